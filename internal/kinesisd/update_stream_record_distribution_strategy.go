package kinesisd

import "context"

// UpdateStreamRecordDistributionStrategy declares who decides which shard a
// record of a stream ON_DEMAND falls into. AUTO is told back, and records
// still go by their partition key, which is one way to spread them.
//
// Heeded: StreamARN, RecordDistributionStrategy.
type updateStreamRecordDistributionStrategyInput struct {
	StreamARN                  string
	RecordDistributionStrategy string
}

func (s *Server) updateStreamRecordDistributionStrategy(ctx context.Context, in *updateStreamRecordDistributionStrategyInput) (*empty, error) {
	var v violations
	v.distribution(in.RecordDistributionStrategy)
	if err := v.err(); err != nil {
		return nil, err
	}
	return &empty{}, s.writer.change(ctx, func() error {
		return s.changeStream(streamRef{StreamARN: in.StreamARN}, func(st *stream, set *settings) error {
			return set.distribute(in.RecordDistributionStrategy, st.onDemand)
		})
	})
}

func (v *violations) distribution(strategy string) {
	v.must(strategy == "AUTO" || strategy == "USER_PARTITION_KEY", strategy, "recordDistributionStrategy", "satisfy enum value set: [AUTO, USER_PARTITION_KEY]")
}

// distribute sets the strategy, where AUTO is for streams ON_DEMAND only.
func (set *settings) distribute(strategy string, onDemand bool) error {
	if strategy == "AUTO" && !onDemand {
		return errorf(invalidArgument, "The record distribution strategy AUTO is only supported for streams ON_DEMAND.")
	}
	set.Distribution = strategy
	return nil
}
