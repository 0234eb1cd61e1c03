package kinesisd

import "context"

// MergeShards ends two shards whose ranges adjoin and makes one of them. It is
// done when it answers; the stream is never UPDATING.
//
// Heeded: StreamName, StreamARN, ShardToMerge, AdjacentShardToMerge, in the
// order of their ranges: AWS refuses them the other way around.
type mergeShardsInput struct {
	streamRef
	ShardToMerge         string
	AdjacentShardToMerge string
}

func (s *Server) mergeShards(ctx context.Context, in *mergeShardsInput) (*empty, error) {
	return &empty{}, s.writer.change(ctx, func() error {
		st, err := s.find(in.streamRef)
		if err != nil {
			return err
		}
		if err := st.mustBeProvisioned("MergeShards"); err != nil {
			return err
		}
		a, err := st.openShard(in.ShardToMerge)
		if err != nil {
			return err
		}
		b, err := st.openShard(in.AdjacentShardToMerge)
		if err != nil {
			return err
		}
		if !adjoin(a, b) {
			return errorf(invalidArgument, "Shards %s and %s in stream %s under account 000000000000 are not an adjacent pair of shards eligible for merging", a.id(), b.id(), st.name)
		}
		r := s.reshard(st)
		r.merge(a, b)
		return r.apply()
	})
}

// adjoin says that high begins where low ends.
func adjoin(low, high *shard) bool {
	return low.high.less(high.low) && low.high.next() == high.low
}
