package kinesisd

import (
	"context"
	"encoding/json"
)

// PutResourcePolicy keeps a policy for a stream or a consumer. It is told
// back, and nobody is admitted or refused by it: the server knows no accounts.
//
// Heeded: ResourceARN, Policy (any JSON object).
type putResourcePolicyInput struct{ ResourceARN, Policy string }

// maxPolicy is the length of a policy, in bytes.
const maxPolicy = 20 << 10

func (s *Server) putResourcePolicy(ctx context.Context, in *putResourcePolicyInput) (*empty, error) {
	var object map[string]json.RawMessage
	if len(in.Policy) > maxPolicy || json.Unmarshal([]byte(in.Policy), &object) != nil || object == nil {
		return nil, errorf(invalidArgument, "The policy is not a JSON object of at most %d bytes.", maxPolicy)
	}
	return s.setPolicy(ctx, in.ResourceARN, in.Policy)
}

func (s *Server) setPolicy(ctx context.Context, arn, policy string) (*empty, error) {
	return &empty{}, s.writer.change(ctx, func() error {
		r, err := s.findResource(arn)
		if err != nil {
			return err
		}
		return s.changeAttached(r, func(a *attached) error {
			if policy == "" && a.Policy == "" {
				return errorf(resourceNotFound, "No resource policy found for resource ARN %s", clip(arn))
			}
			a.Policy = policy
			return nil
		})
	})
}
