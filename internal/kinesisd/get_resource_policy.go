package kinesisd

import "context"

// GetResourcePolicy tells the policy of a stream or a consumer. Without one it
// is an error, as on AWS.
//
// Heeded: ResourceARN.
type getResourcePolicyOutput struct{ Policy string }

func (s *Server) getResourcePolicy(_ context.Context, in *resourceInput) (*getResourcePolicyOutput, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	r, err := s.findResource(in.ResourceARN)
	if err != nil {
		return nil, err
	}
	if policy := r.attached().Policy; policy != "" {
		return &getResourcePolicyOutput{policy}, nil
	}
	return nil, errorf(resourceNotFound, "No resource policy found for resource ARN %s", clip(in.ResourceARN))
}
