package kinesisd

import "context"

// DeleteResourcePolicy forgets the policy of a stream or a consumer. Without
// one it is an error.
//
// Heeded: ResourceARN.
func (s *Server) deleteResourcePolicy(ctx context.Context, in *resourceInput) (*empty, error) {
	return s.setPolicy(ctx, in.ResourceARN, "")
}
