package kinesisd

import (
	"context"
	"fmt"
)

// UpdateShardCount splits and merges until the stream has so many shards of
// equal range. It is done when it answers; the stream is never UPDATING. As on
// AWS it at most doubles or halves. The limit of calls a day does not exist.
//
// Heeded: StreamName, StreamARN, TargetShardCount, ScalingType (only
// UNIFORM_SCALING).
type updateShardCountInput struct {
	streamRef
	TargetShardCount int
	ScalingType      string
}

type updateShardCountOutput struct {
	StreamName        string
	StreamARN         string
	CurrentShardCount int
	TargetShardCount  int
}

func (s *Server) updateShardCount(ctx context.Context, in *updateShardCountInput) (*updateShardCountOutput, error) {
	var v violations
	v.between(&in.TargetShardCount, 1, 100_000, "targetShardCount")
	v.must(in.ScalingType == "UNIFORM_SCALING", in.ScalingType, "scalingType", "satisfy enum value set: [UNIFORM_SCALING]")
	if err := v.err(); err != nil {
		return nil, err
	}
	out := &updateShardCountOutput{TargetShardCount: in.TargetShardCount}
	return out, s.writer.change(ctx, func() error {
		st, err := s.find(in.streamRef)
		if err != nil {
			return err
		}
		if err := st.mustBeProvisioned("UpdateShardCount"); err != nil {
			return err
		}
		current := len(st.open)
		out.StreamName, out.StreamARN, out.CurrentShardCount = st.name, s.streamARN(st.name), current
		var refusal string
		switch {
		case in.TargetShardCount > maxShards:
			refusal = fmt.Sprintf("Target shard count or number of open shards cannot be greater than %d.", maxShards)
		case in.TargetShardCount > 2*current:
			refusal = "UpdateShardCount cannot scale up over double your current open shard count."
		case 2*in.TargetShardCount < current:
			refusal = "UpdateShardCount cannot scale down below half your current open shard count."
		}
		if refusal != "" {
			return errorf(limitExceeded, "%s Current open shard count: %d, Target shard count: %d", refusal, current, in.TargetShardCount)
		}
		r := s.reshard(st)
		r.level(st.open, uniformStarts(in.TargetShardCount))
		return r.apply()
	})
}

// level turns the open shards, in order of their ranges, into one for each
// start: it divides them at every start, then merges what lies between two.
func (r *resharding) level(open []*shard, starts []hashKey) {
	i := 0
	for n := range starts {
		end := maxHashKey
		if n+1 < len(starts) {
			end = starts[n+1].previous()
		}
		var whole *shard // what has been gathered of this range, from start on
		for whole == nil || whole.high.less(end) {
			sh := open[i]
			if end.less(sh.high) {
				low, high := r.split(sh, end.next())
				sh, open = low, append([]*shard{high}, open[i+1:]...)
				i = 0
			} else {
				i++
			}
			if whole == nil {
				whole = sh
			} else {
				whole = r.merge(whole, sh)
			}
		}
	}
}
