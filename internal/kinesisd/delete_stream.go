package kinesisd

import (
	"context"
	"database/sql"
)

// DeleteStream forgets a stream at once; subscriptions to it end. The disk
// space of its records is given back when their files are past retention.
//
// Heeded: StreamName, StreamARN, EnforceConsumerDeletion.
type deleteStreamInput struct {
	streamRef
	EnforceConsumerDeletion bool
}

func (s *Server) deleteStream(ctx context.Context, in *deleteStreamInput) (*empty, error) {
	return &empty{}, s.writer.change(ctx, func() error {
		st, err := s.find(in.streamRef)
		if err != nil {
			return err
		}
		if len(st.consumers) > 0 && !in.EnforceConsumerDeletion {
			return errorf(resourceInUse, "Stream %s under account 000000000000 has registered consumers.", st.name)
		}
		if err := s.meta.change(func(tx *sql.Tx) error { return deleteStream(tx, st.id) }); err != nil {
			return err
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.streams, st.name)
		st.deleted = true
		for _, sh := range st.shards {
			sh.wake()
		}
		return nil
	})
}
