package kinesisd

import "context"

// TagResource adds tags to a stream or a consumer, or replaces those of the
// same key.
//
// Heeded: ResourceARN, Tags.
type tagResourceInput struct {
	ResourceARN string
	Tags        map[string]string
}

func (s *Server) tagResource(ctx context.Context, in *tagResourceInput) (*empty, error) {
	var v violations
	v.tags(in.Tags, 1, "tags")
	if err := v.err(); err != nil {
		return nil, err
	}
	return &empty{}, s.writer.change(ctx, func() error {
		r, err := s.findResource(in.ResourceARN)
		if err != nil {
			return err
		}
		return s.changeAttached(r, addTags(in.Tags))
	})
}
