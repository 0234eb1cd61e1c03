package kinesisd

import "context"

// DescribeAccountSettings says that nobody is committed to a minimum of
// throughput, which is all there is to say where nothing is billed.
// UpdateAccountSettings is unknown here.
type describeAccountSettingsOutput struct {
	MinimumThroughputBillingCommitment struct{ Status string }
}

func (s *Server) describeAccountSettings(context.Context, *empty) (*describeAccountSettingsOutput, error) {
	out := &describeAccountSettingsOutput{}
	out.MinimumThroughputBillingCommitment.Status = "DISABLED"
	return out, nil
}
