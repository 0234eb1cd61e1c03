package kinesisd

import (
	"context"
	"math"
	"strings"
)

// ListShards lists a stream's shards in order, a page at a time.
//
// Heeded: StreamName, StreamARN, NextToken (alone), MaxResults,
// ExclusiveStartShardId, ShardFilter of every type, StreamCreationTimestamp.
type listShardsInput struct {
	streamRef
	NextToken               string
	MaxResults              *int
	ExclusiveStartShardId   string
	StreamCreationTimestamp *timestamp
	ShardFilter             *struct {
		Type      string
		ShardId   string
		Timestamp *timestamp
	}
}

type listShardsOutput struct {
	Shards    []shardShape
	NextToken string `json:",omitempty"`
}

// Filters, as tokens keep them.
const (
	everyShard byte = iota
	afterShard
	atLatest
	atTime   // open at a time; the trim horizon is one
	fromTime // open at a time or later
)

func (s *Server) listShards(_ context.Context, in *listShardsInput) (*listShardsOutput, error) {
	var v violations
	v.between(in.MaxResults, 1, 10_000, "maxResults")
	if err := v.err(); err != nil {
		return nil, err
	}
	limit := 1000
	if in.MaxResults != nil {
		limit = *in.MaxResults
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	st, from, err := s.listShardsFrom(in)
	if err != nil {
		return nil, err
	}
	out := &listShardsOutput{Shards: []shardShape{}}
	for _, sh := range st.shards {
		if int64(sh.index) < from.shard || !from.wants(sh) {
			continue
		}
		if len(out.Shards) == limit {
			from.shard = int64(sh.index)
			out.NextToken = from.String()
			break
		}
		out.Shards = append(out.Shards, sh.shape())
	}
	return out, nil
}

// listShardsFrom says what to list and where to begin; the token's after is
// the filter's time in milliseconds.
func (s *Server) listShardsFrom(in *listShardsInput) (*stream, token, error) {
	now := s.cfg.now().UnixMilli()
	if in.NextToken != "" {
		if in.StreamName != "" || in.ExclusiveStartShardId != "" || in.ShardFilter != nil {
			return nil, token{}, errorf(invalidArgument, "NextToken and StreamName cannot be provided together.")
		}
		t, ok := parseToken(in.NextToken, listToken)
		if !ok {
			return nil, token{}, errorf(invalidArgument, "NextToken is not one of this server.")
		}
		if now-t.issued > nextTokenTTL.Milliseconds() {
			return nil, token{}, errorf(expiredToken, "The NextToken has expired.")
		}
		for _, st := range s.streams {
			if st.id == t.stream {
				t.issued = now
				return st, t, nil
			}
		}
		return nil, token{}, errorf(resourceNotFound, "The stream of the NextToken is gone.")
	}
	if in.StreamName == "" && in.StreamARN == "" {
		return nil, token{}, errorf(invalidArgument, "Either NextToken or StreamName should be provided.")
	}
	st, err := s.find(in.streamRef)
	if err == nil {
		err = st.madeAt(in.StreamCreationTimestamp)
	}
	if err != nil {
		return nil, token{}, err
	}
	t := token{kind: listToken, stream: st.id, issued: now}
	if in.ExclusiveStartShardId != "" {
		if t.shard, err = shardIndexAfter(in.ExclusiveStartShardId); err != nil {
			return nil, token{}, err
		}
	}
	if f := in.ShardFilter; f != nil {
		err = t.setFilter(st, f.Type, f.ShardId, f.Timestamp, now)
	}
	return st, t, err
}

func (t *token) setFilter(st *stream, kind, shardID string, at *timestamp, now int64) error {
	switch kind {
	case "AFTER_SHARD_ID":
		from, err := shardIndexAfter(shardID)
		t.filter, t.shard = afterShard, max(t.shard, from)
		return err
	case "AT_LATEST":
		t.filter = atLatest
		return nil
	case "AT_TRIM_HORIZON":
		// the first moment records are kept of
		t.filter, t.after = atTime, sequence(max(st.created, now-st.retention.Milliseconds()))
		return nil
	case "FROM_TRIM_HORIZON":
		t.filter = everyShard
		return nil
	case "AT_TIMESTAMP", "FROM_TIMESTAMP":
		if at == nil || *at < 0 || math.IsNaN(float64(*at)) || *at > 1e12 {
			return errorf(invalidArgument, "ShardFilter of type %s needs a Timestamp.", kind)
		}
		t.filter, t.after = atTime, sequence(math.Round(float64(*at)*1000))
		if kind == "FROM_TIMESTAMP" {
			t.filter = fromTime
		}
		return nil
	}
	return errorf(validation, "1 validation error detected: Value '%s' at 'shardFilter.type' failed to satisfy constraint: Member must satisfy enum value set: [AFTER_SHARD_ID, AT_TRIM_HORIZON, FROM_TRIM_HORIZON, AT_LATEST, AT_TIMESTAMP, FROM_TIMESTAMP]", clip(kind))
}

func (t *token) wants(sh *shard) bool {
	at := int64(t.after)
	switch t.filter {
	case atLatest:
		return sh.end == 0
	case atTime:
		return sh.created <= at && (sh.end == 0 || sh.closed > at)
	case fromTime:
		return sh.end == 0 || sh.closed >= at
	}
	return true
}

// shardIndexAfter is the index behind the shard of that id, which need not
// exist any more.
func shardIndexAfter(id string) (int64, error) {
	digits, ok := strings.CutPrefix(id, "shardId-")
	index := int64(0)
	for i := range len(digits) {
		if digits[i] < '0' || digits[i] > '9' {
			ok = false
			break
		}
		index = index*10 + int64(digits[i]-'0')
	}
	if !ok || len(digits) != 12 {
		return 0, errorf(invalidArgument, "%s is not the id of a shard.", clip(id))
	}
	return index + 1, nil
}
