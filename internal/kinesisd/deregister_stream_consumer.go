package kinesisd

import (
	"context"
	"database/sql"
	"slices"
)

// DeregisterStreamConsumer forgets a registered consumer and ends its
// subscriptions.
//
// Heeded: ConsumerARN, or StreamARN with ConsumerName.
type deregisterStreamConsumerInput struct{ consumerRef }

func (s *Server) deregisterStreamConsumer(ctx context.Context, in *deregisterStreamConsumerInput) (*empty, error) {
	return &empty{}, s.writer.change(ctx, func() error {
		st, c, err := s.findConsumer(in.consumerRef)
		if err != nil {
			return err
		}
		err = s.meta.change(func(tx *sql.Tx) error {
			if _, err := tx.Exec(`DELETE FROM attached WHERE stream = ? AND consumer = ?`, st.id, c.name); err != nil {
				return err
			}
			_, err := tx.Exec(`DELETE FROM consumers WHERE stream = ? AND name = ?`, st.id, c.name)
			return err
		})
		if err != nil {
			return err
		}
		s.mu.Lock()
		st.consumers = slices.DeleteFunc(slices.Clone(st.consumers), func(o *consumer) bool { return o == c })
		s.mu.Unlock()
		s.subs.forget(c)
		return nil
	})
}
