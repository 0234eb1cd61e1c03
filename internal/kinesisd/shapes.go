package kinesisd

import "strconv"

// Shapes that several answers share.

// seconds is a time as the protocol writes it: seconds with a fraction. It
// holds milliseconds.
type seconds int64

func (t seconds) append(b []byte) []byte {
	return strconv.AppendFloat(b, float64(t)/1000, 'f', 3, 64)
}

// MarshalJSON writes the number.
func (t seconds) MarshalJSON() ([]byte, error) { return t.append(nil), nil }

// timestamp is a time in a call: seconds with a fraction.
type timestamp float64

type hashRangeShape struct{ StartingHashKey, EndingHashKey string }

type shardShape struct {
	ShardId               string
	ParentShardId         string `json:",omitempty"`
	AdjacentParentShardId string `json:",omitempty"`
	HashKeyRange          hashRangeShape
	SequenceNumberRange   struct {
		StartingSequenceNumber string
		EndingSequenceNumber   string `json:",omitempty"`
	}
}

func (sh *shard) shape() shardShape {
	out := shardShape{
		ShardId: sh.id(), ParentShardId: sh.parent, AdjacentParentShardId: sh.adjacent,
		HashKeyRange: hashRangeShape{sh.low.String(), sh.high.String()},
	}
	out.SequenceNumberRange.StartingSequenceNumber = sh.start.String()
	if sh.end != 0 {
		out.SequenceNumberRange.EndingSequenceNumber = sh.end.String()
	}
	return out
}

type childShape struct {
	ShardId      string
	ParentShards []string
	HashKeyRange hashRangeShape
}

// childShapes describes the children of a closed shard, as the last answer
// about it does.
func (s *Server) childShapes(sh *shard) []childShape {
	s.mu.RLock()
	defer s.mu.RUnlock()
	out := []childShape{}
	for _, c := range sh.children() {
		parents := []string{c.parent}
		if c.adjacent != "" {
			parents = append(parents, c.adjacent)
		}
		out = append(out, childShape{c.id(), parents, hashRangeShape{c.low.String(), c.high.String()}})
	}
	return out
}

type modeShape struct{ StreamMode string }

func (st *stream) mode() modeShape {
	if st.onDemand {
		return modeShape{"ON_DEMAND"}
	}
	return modeShape{"PROVISIONED"}
}

// retentionHours is the retention in hours, rounded up.
func (st *stream) retentionHours() int {
	return int((st.retention.Hours()*3600 + 3599) / 3600)
}

type consumerShape struct {
	ConsumerARN               string
	ConsumerCreationTimestamp seconds
	ConsumerName              string
	ConsumerStatus            string
	StreamARN                 string `json:",omitempty"`
}

func (s *Server) consumerShape(st *stream, c *consumer) consumerShape {
	return consumerShape{
		ConsumerARN: s.consumerARN(st, c), ConsumerName: c.name, ConsumerStatus: "ACTIVE",
		ConsumerCreationTimestamp: seconds(c.created),
	}
}
