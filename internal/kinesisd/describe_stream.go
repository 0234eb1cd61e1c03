package kinesisd

import (
	"cmp"
	"context"
)

// DescribeStream describes a stream with its shards, a page at a time.
//
// Heeded: StreamName, StreamARN, Limit, ExclusiveStartShardId.
type describeStreamInput struct {
	streamRef
	Limit                 *int
	ExclusiveStartShardId string
}

type describeStreamOutput struct {
	StreamDescription struct {
		StreamName              string
		StreamARN               string
		StreamStatus            string
		StreamModeDetails       modeShape
		StreamCreationTimestamp seconds
		RetentionPeriodHours    int
		EncryptionType          string
		KeyId                   string `json:",omitempty"`
		EnhancedMonitoring      []metricsShape
		HasMoreShards           bool
		Shards                  []shardShape
	}
}

func (s *Server) describeStream(_ context.Context, in *describeStreamInput) (*describeStreamOutput, error) {
	var v violations
	v.between(in.Limit, 1, 10_000, "limit")
	if err := v.err(); err != nil {
		return nil, err
	}
	limit := 100
	if in.Limit != nil {
		limit = *in.Limit
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	st, err := s.find(in.streamRef)
	if err != nil {
		return nil, err
	}
	out := &describeStreamOutput{}
	d := &out.StreamDescription
	d.StreamName, d.StreamARN, d.StreamStatus = st.name, s.streamARN(st.name), "ACTIVE"
	d.StreamModeDetails, d.StreamCreationTimestamp = st.mode(), seconds(st.created)
	d.RetentionPeriodHours, d.EncryptionType = st.retentionHours(), st.encryption()
	d.KeyId, d.EnhancedMonitoring = st.KeyID, st.monitoring()
	d.Shards = []shardShape{}
	for _, sh := range st.shards {
		if in.ExclusiveStartShardId != "" && cmp.Compare(sh.id(), in.ExclusiveStartShardId) <= 0 {
			continue
		}
		if len(d.Shards) == limit {
			d.HasMoreShards = true
			break
		}
		d.Shards = append(d.Shards, sh.shape())
	}
	return out, nil
}
