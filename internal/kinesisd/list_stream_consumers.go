package kinesisd

import (
	"context"
	"strings"
)

// ListStreamConsumers lists a stream's registered consumers in order of their
// names, a page at a time.
//
// Heeded: StreamARN, MaxResults, NextToken, StreamCreationTimestamp.
type listStreamConsumersInput struct {
	StreamARN  string
	MaxResults *int
	NextToken  string

	StreamCreationTimestamp *timestamp
}

type listStreamConsumersOutput struct {
	Consumers []consumerShape
	NextToken string `json:",omitempty"`
}

func (s *Server) listStreamConsumers(_ context.Context, in *listStreamConsumersInput) (*listStreamConsumersOutput, error) {
	var v violations
	v.between(in.MaxResults, 1, 10_000, "maxResults")
	if err := v.err(); err != nil {
		return nil, err
	}
	limit := 100
	if in.MaxResults != nil {
		limit = *in.MaxResults
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	st, err := s.find(streamRef{StreamARN: in.StreamARN})
	if err == nil {
		err = st.madeAt(in.StreamCreationTimestamp)
	}
	if err != nil {
		return nil, err
	}
	// The token is the name the page before ended with, marked as a token.
	after, ok := strings.CutPrefix(in.NextToken, "after:")
	if in.NextToken != "" && !ok {
		return nil, errorf(invalidArgument, "NextToken is not one of this server.")
	}
	out := &listStreamConsumersOutput{Consumers: []consumerShape{}}
	for _, c := range st.consumers {
		if c.name <= after {
			continue
		}
		if len(out.Consumers) == limit {
			out.NextToken = "after:" + out.Consumers[limit-1].ConsumerName
			break
		}
		out.Consumers = append(out.Consumers, s.consumerShape(st, c))
	}
	return out, nil
}
