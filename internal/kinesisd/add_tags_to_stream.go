package kinesisd

import "context"

// AddTagsToStream adds tags to a stream, or replaces those of the same key.
//
// Heeded: StreamName, StreamARN, Tags. The limit of calls a second does not
// exist.
type addTagsToStreamInput struct {
	streamRef
	Tags map[string]string
}

func (s *Server) addTagsToStream(ctx context.Context, in *addTagsToStreamInput) (*empty, error) {
	var v violations
	v.tags(in.Tags, 1, "tags")
	if err := v.err(); err != nil {
		return nil, err
	}
	return &empty{}, s.writer.change(ctx, func() error {
		st, err := s.find(in.streamRef)
		if err != nil {
			return err
		}
		return s.changeAttached(resource{stream: st}, addTags(in.Tags))
	})
}
