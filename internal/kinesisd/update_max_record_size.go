package kinesisd

import "context"

// UpdateMaxRecordSize changes how large a record of a stream may be. Records
// that are there already stay.
//
// Heeded: StreamARN, MaxRecordSizeInKiB.
type updateMaxRecordSizeInput struct {
	StreamARN          string
	MaxRecordSizeInKiB int
}

func (s *Server) updateMaxRecordSize(ctx context.Context, in *updateMaxRecordSizeInput) (*empty, error) {
	var v violations
	v.between(&in.MaxRecordSizeInKiB, maxRecordBytes>>10, maxLargeRecordBytes>>10, "maxRecordSizeInKiB")
	if err := v.err(); err != nil {
		return nil, err
	}
	return &empty{}, s.writer.change(ctx, func() error {
		return s.changeStream(streamRef{StreamARN: in.StreamARN}, func(st *stream, _ *settings) error {
			st.maxRecord = in.MaxRecordSizeInKiB << 10
			return nil
		})
	})
}
