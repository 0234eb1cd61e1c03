package kinesisd

import "context"

// ListTagsForResource lists the tags of a stream or a consumer in order of
// their keys.
//
// Heeded: ResourceARN.
type resourceInput struct{ ResourceARN string }

type listTagsForResourceOutput struct{ Tags []tagShape }

func (s *Server) listTagsForResource(_ context.Context, in *resourceInput) (*listTagsForResourceOutput, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	r, err := s.findResource(in.ResourceARN)
	if err != nil {
		return nil, err
	}
	return &listTagsForResourceOutput{tagShapes(r.attached().Tags)}, nil
}
