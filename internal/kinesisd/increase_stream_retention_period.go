package kinesisd

import (
	"context"
	"database/sql"
	"time"
)

// IncreaseStreamRetentionPeriod keeps records longer, up to a year.
//
// Heeded: StreamName, StreamARN, RetentionPeriodHours.
type retentionInput struct {
	streamRef
	RetentionPeriodHours int
}

func (s *Server) increaseStreamRetentionPeriod(ctx context.Context, in *retentionInput) (*empty, error) {
	return s.setRetention(ctx, in, func(st *stream, d time.Duration) error {
		if d < st.retention {
			return errorf(invalidArgument, "Requested retention period (%d hours) for stream %s can not be shorter than existing retention period (%d hours). Use DecreaseRetentionPeriod API.", in.RetentionPeriodHours, st.name, st.retentionHours())
		}
		return nil
	})
}

// setRetention changes the retention when check has nothing against it.
func (s *Server) setRetention(ctx context.Context, in *retentionInput, check func(*stream, time.Duration) error) (*empty, error) {
	var v violations
	v.between(&in.RetentionPeriodHours, minRetentionHours, maxRetentionHours, "retentionPeriodHours")
	if err := v.err(); err != nil {
		return nil, err
	}
	d := time.Duration(in.RetentionPeriodHours) * time.Hour
	return &empty{}, s.writer.change(ctx, func() error {
		st, err := s.find(in.streamRef)
		if err != nil {
			return err
		}
		if err := check(st, d); err != nil {
			return err
		}
		err = s.meta.change(func(tx *sql.Tx) error {
			_, err := tx.Exec(`UPDATE streams SET retention = ? WHERE id = ?`, d.Milliseconds(), st.id)
			return err
		})
		if err != nil {
			return err
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		st.retention = d
		return nil
	})
}
