package kinesisd

import (
	"context"
	"time"
)

// DecreaseStreamRetentionPeriod keeps records shorter, down to a day. What is
// older is not readable from then on.
//
// Heeded: StreamName, StreamARN, RetentionPeriodHours.
func (s *Server) decreaseStreamRetentionPeriod(ctx context.Context, in *retentionInput) (*empty, error) {
	return s.setRetention(ctx, in, func(st *stream, d time.Duration) error {
		if d > st.retention {
			return errorf(invalidArgument, "Requested retention period (%d hours) for stream %s can not be longer than existing retention period (%d hours). Use IncreaseRetentionPeriod API.", in.RetentionPeriodHours, st.name, st.retentionHours())
		}
		return nil
	})
}
