package kinesisd

import "context"

// UntagResource takes tags from a stream or a consumer. One that is not there
// is no mistake.
//
// Heeded: ResourceARN, TagKeys.
type untagResourceInput struct {
	ResourceARN string
	TagKeys     []string
}

func (s *Server) untagResource(ctx context.Context, in *untagResourceInput) (*empty, error) {
	var v violations
	v.tagKeys(in.TagKeys)
	if err := v.err(); err != nil {
		return nil, err
	}
	return &empty{}, s.writer.change(ctx, func() error {
		r, err := s.findResource(in.ResourceARN)
		if err != nil {
			return err
		}
		return s.changeAttached(r, removeTags(in.TagKeys))
	})
}
