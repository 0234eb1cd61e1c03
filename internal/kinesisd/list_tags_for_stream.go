package kinesisd

import "context"

// ListTagsForStream lists a stream's tags in order of their keys, a page at a
// time.
//
// Heeded: StreamName, StreamARN, ExclusiveStartTagKey, Limit.
type listTagsForStreamInput struct {
	streamRef
	ExclusiveStartTagKey string
	Limit                *int
}

type listTagsForStreamOutput struct {
	Tags        []tagShape
	HasMoreTags bool
}

func (s *Server) listTagsForStream(_ context.Context, in *listTagsForStreamInput) (*listTagsForStreamOutput, error) {
	var v violations
	v.between(in.Limit, 1, maxTags, "limit")
	if err := v.err(); err != nil {
		return nil, err
	}
	limit := maxTags
	if in.Limit != nil {
		limit = *in.Limit
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	st, err := s.find(in.streamRef)
	if err != nil {
		return nil, err
	}
	out := &listTagsForStreamOutput{Tags: []tagShape{}}
	for _, tag := range tagShapes(st.Tags) {
		if tag.Key <= in.ExclusiveStartTagKey {
			continue
		}
		if len(out.Tags) == limit {
			out.HasMoreTags = true
			break
		}
		out.Tags = append(out.Tags, tag)
	}
	return out, nil
}
