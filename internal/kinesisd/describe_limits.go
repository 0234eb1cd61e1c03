package kinesisd

import "context"

// DescribeLimits counts open shards and streams ON_DEMAND beside their limits.
// The limits are the usual ones of an account; here they hold for each stream.
type describeLimitsOutput struct {
	ShardLimit               int
	OpenShardCount           int
	OnDemandStreamCount      int
	OnDemandStreamCountLimit int
}

func (s *Server) describeLimits(context.Context, *empty) (*describeLimitsOutput, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	out := &describeLimitsOutput{ShardLimit: maxShards, OnDemandStreamCountLimit: maxOnDemandStreams}
	for _, st := range s.streams {
		if st.onDemand { // the limit of shards is not for these
			out.OnDemandStreamCount++
		} else {
			out.OpenShardCount += len(st.open)
		}
	}
	return out, nil
}
