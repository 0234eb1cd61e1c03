package kinesisd

import "context"

// RemoveTagsFromStream takes tags from a stream. One that is not there is no
// mistake.
//
// Heeded: StreamName, StreamARN, TagKeys.
type removeTagsFromStreamInput struct {
	streamRef
	TagKeys []string
}

func (s *Server) removeTagsFromStream(ctx context.Context, in *removeTagsFromStreamInput) (*empty, error) {
	var v violations
	v.tagKeys(in.TagKeys)
	if err := v.err(); err != nil {
		return nil, err
	}
	return &empty{}, s.writer.change(ctx, func() error {
		st, err := s.find(in.streamRef)
		if err != nil {
			return err
		}
		return s.changeAttached(resource{stream: st}, removeTags(in.TagKeys))
	})
}
