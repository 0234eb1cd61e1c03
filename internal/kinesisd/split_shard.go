package kinesisd

import "context"

// SplitShard ends a shard and makes two of its range. It is done when it
// answers; the stream is never UPDATING.
//
// Heeded: StreamName, StreamARN, ShardToSplit, NewStartingHashKey.
type splitShardInput struct {
	streamRef
	ShardToSplit       string
	NewStartingHashKey string
}

func (s *Server) splitShard(ctx context.Context, in *splitShardInput) (*empty, error) {
	key, ok := parseHashKey(in.NewStartingHashKey)
	var v violations
	v.must(ok, in.NewStartingHashKey, "newStartingHashKey", "satisfy regular expression pattern: 0|([1-9]\\d{0,38})")
	if err := v.err(); err != nil {
		return nil, err
	}
	return &empty{}, s.writer.change(ctx, func() error {
		st, err := s.find(in.streamRef)
		if err != nil {
			return err
		}
		if err := st.mustBeProvisioned("SplitShard"); err != nil {
			return err
		}
		sh, err := st.openShard(in.ShardToSplit)
		if err != nil {
			return err
		}
		if !sh.low.next().less(key) || !key.less(sh.high) {
			return errorf(invalidArgument, "NewStartingHashKey %s used in SplitShard() on shard %s in stream %s under account 000000000000 is not both greater than one plus the shard's StartingHashKey %s and less than the shard's EndingHashKey %s.",
				key, sh.id(), st.name, sh.low, sh.high)
		}
		if len(st.open) >= maxShards {
			return errorf(limitExceeded, "A stream has at most %d shards here.", maxShards)
		}
		r := s.reshard(st)
		r.split(sh, key)
		return r.apply()
	})
}
