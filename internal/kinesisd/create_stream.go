package kinesisd

import (
	"context"
	"database/sql"
)

// CreateStream makes a stream with its shards. It is ACTIVE at once.
//
// Heeded: StreamName, ShardCount, StreamModeDetails (ON_DEMAND begins with 4
// shards, and no load changes their number), MaxRecordSizeInKiB, Tags. Told
// back only: WarmThroughputMiBps, RecordDistributionStrategy.
type createStreamInput struct {
	StreamName                 string
	ShardCount                 *int
	MaxRecordSizeInKiB         *int
	StreamModeDetails          *modeShape
	Tags                       map[string]string
	WarmThroughputMiBps        *int
	RecordDistributionStrategy string
}

func (s *Server) createStream(ctx context.Context, in *createStreamInput) (*empty, error) {
	var v violations
	v.name(in.StreamName, "streamName")
	v.between(in.ShardCount, 1, 100_000, "shardCount")
	v.between(in.MaxRecordSizeInKiB, maxRecordBytes>>10, maxLargeRecordBytes>>10, "maxRecordSizeInKiB")
	v.tags(in.Tags, 0, "tags")
	v.between(in.WarmThroughputMiBps, 0, maxWarmMiBps, "warmThroughputMiBps")
	if in.RecordDistributionStrategy != "" {
		v.distribution(in.RecordDistributionStrategy)
	}
	onDemand := false
	if m := in.StreamModeDetails; m != nil {
		v.mode(m.StreamMode)
		onDemand = m.StreamMode == "ON_DEMAND"
	}
	if err := v.err(); err != nil {
		return nil, err
	}
	shards := 4
	switch {
	case in.ShardCount != nil && onDemand:
		return nil, errorf(invalidArgument, "ShardCount must not be given for a stream ON_DEMAND.")
	case in.ShardCount != nil:
		shards = *in.ShardCount
	case !onDemand:
		return nil, errorf(validation, "ShardCount must be given for a PROVISIONED stream.")
	}
	if shards > maxShards {
		return nil, errorf(limitExceeded, "A stream has at most %d shards here.", maxShards)
	}
	maxRecord := maxRecordBytes
	if in.MaxRecordSizeInKiB != nil {
		maxRecord = *in.MaxRecordSizeInKiB << 10
	}
	var set settings
	if err := set.distribute(in.RecordDistributionStrategy, onDemand); err != nil {
		return nil, err
	}
	if in.WarmThroughputMiBps != nil {
		if !onDemand {
			return nil, errorf(invalidArgument, "WarmThroughputMiBps is for streams ON_DEMAND.")
		}
		set.WarmMiBps = *in.WarmThroughputMiBps
	}
	var hung attached
	if err := addTags(in.Tags)(&hung); err != nil {
		return nil, err
	}
	return &empty{}, s.writer.change(ctx, func() error {
		if s.streams[in.StreamName] != nil {
			return errorf(resourceInUse, "Stream %s under account 000000000000 already exists.", in.StreamName)
		}
		now := s.writer.now()
		st := &stream{
			name: in.StreamName, created: now, retention: s.cfg.Retention,
			maxRecord: maxRecord, onDemand: onDemand, nextIndex: shards,
			settings: set, attached: hung,
		}
		starts := uniformStarts(shards)
		for i, low := range starts {
			high := maxHashKey
			if i+1 < shards {
				high = starts[i+1].previous()
			}
			st.shards = append(st.shards, s.newShard(st, i, low, high, now))
		}
		if err := s.meta.change(func(tx *sql.Tx) error { return insertStream(tx, st) }); err != nil {
			return err
		}
		st.reopen()
		s.mu.Lock()
		s.streams[st.name] = st
		s.mu.Unlock()
		return nil
	})
}

// newShard makes an open shard. One change of a stream has one time of the
// writer's, which is given, so that no moment falls between a stream and its
// first shards, or between a parent and its children. Only the writer calls
// it.
func (s *Server) newShard(st *stream, index int, low, high hashKey, created int64) *shard {
	start := s.writer.next()
	return &shard{
		stream: st, index: index, low: low, high: high, start: start, created: created,
		last: start, tail: tail{after: start}, changed: make(chan struct{}),
	}
}
