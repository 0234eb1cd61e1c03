package kinesisd

import (
	"context"
	"database/sql"
	"errors"
	"slices"
	"strings"
)

// RegisterStreamConsumer registers a reader for SubscribeToShard. It is ACTIVE
// at once. A stream has at most 20.
//
// Heeded: StreamARN, ConsumerName, Tags.
type registerStreamConsumerInput struct {
	StreamARN, ConsumerName string
	Tags                    map[string]string
}

type registerStreamConsumerOutput struct{ Consumer consumerShape }

func (s *Server) registerStreamConsumer(ctx context.Context, in *registerStreamConsumerInput) (*registerStreamConsumerOutput, error) {
	var v violations
	v.name(in.ConsumerName, "consumerName")
	v.tags(in.Tags, 0, "tags")
	if err := v.err(); err != nil {
		return nil, err
	}
	out := &registerStreamConsumerOutput{}
	return out, s.writer.change(ctx, func() error {
		st, err := s.find(streamRef{StreamARN: in.StreamARN})
		if err != nil {
			return err
		}
		if st.consumer(in.ConsumerName) != nil {
			return errorf(resourceInUse, "Consumer %s of stream %s already exists.", in.ConsumerName, st.name)
		}
		if len(st.consumers) >= maxConsumers {
			return errorf(limitExceeded, "Stream %s has %d registered consumers already.", st.name, maxConsumers)
		}
		c := &consumer{name: in.ConsumerName, created: s.cfg.now().UnixMilli()}
		if err := addTags(in.Tags)(&c.attached); err != nil {
			return err
		}
		err = s.meta.change(func(tx *sql.Tx) error {
			_, err := tx.Exec(`INSERT INTO consumers (stream, name, created) VALUES (?,?,?)`, st.id, c.name, c.created)
			return errors.Join(err, storeAttached(tx, st.id, c.name, c.attached))
		})
		if err != nil {
			return err
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		consumers := append(slices.Clone(st.consumers), c)
		slices.SortFunc(consumers, func(a, b *consumer) int { return strings.Compare(a.name, b.name) })
		st.consumers = consumers
		out.Consumer = s.consumerShape(st, c)
		return nil
	})
}
