package kinesisd

import (
	"context"
	"maps"
	"slices"
)

// ListStreams names the streams in order, a page at a time.
//
// Heeded: Limit, ExclusiveStartStreamName, NextToken (which here is the name
// of the last stream of the page before).
type listStreamsInput struct {
	Limit                    *int
	ExclusiveStartStreamName string
	NextToken                string
}

type streamSummaryShape struct {
	StreamName              string
	StreamARN               string
	StreamStatus            string
	StreamModeDetails       modeShape
	StreamCreationTimestamp seconds
}

type listStreamsOutput struct {
	StreamNames     []string
	StreamSummaries []streamSummaryShape
	HasMoreStreams  bool
	NextToken       string `json:",omitempty"`
}

func (s *Server) listStreams(_ context.Context, in *listStreamsInput) (*listStreamsOutput, error) {
	var v violations
	v.between(in.Limit, 1, 10_000, "limit")
	if err := v.err(); err != nil {
		return nil, err
	}
	limit := 100
	if in.Limit != nil {
		limit = *in.Limit
	}
	after := max(in.ExclusiveStartStreamName, in.NextToken)
	s.mu.RLock()
	defer s.mu.RUnlock()
	out := &listStreamsOutput{StreamNames: []string{}, StreamSummaries: []streamSummaryShape{}}
	for _, name := range slices.Sorted(maps.Keys(s.streams)) {
		if name <= after {
			continue
		}
		if len(out.StreamNames) == limit {
			out.HasMoreStreams, out.NextToken = true, out.StreamNames[limit-1]
			break
		}
		st := s.streams[name]
		out.StreamNames = append(out.StreamNames, name)
		out.StreamSummaries = append(out.StreamSummaries, streamSummaryShape{name, s.streamARN(name), "ACTIVE", st.mode(), seconds(st.created)})
	}
	return out, nil
}
