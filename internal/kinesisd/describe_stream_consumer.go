package kinesisd

import "context"

// DescribeStreamConsumer describes a registered consumer.
//
// Heeded: ConsumerARN, or StreamARN with ConsumerName.
type describeStreamConsumerInput struct{ consumerRef }

type describeStreamConsumerOutput struct{ ConsumerDescription consumerShape }

func (s *Server) describeStreamConsumer(_ context.Context, in *describeStreamConsumerInput) (*describeStreamConsumerOutput, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	st, c, err := s.findConsumer(in.consumerRef)
	if err != nil {
		return nil, err
	}
	out := &describeStreamConsumerOutput{s.consumerShape(st, c)}
	out.ConsumerDescription.StreamARN = s.streamARN(st.name)
	return out, nil
}
