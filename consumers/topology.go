package consumers

import (
	"context"
	"errors"
	"fmt"
	"math/big"
	"strconv"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"
)

// streamInfo is what a stream is, whatever its shards are.
type streamInfo struct {
	name, arn string
	id        string // name@created
	retention time.Duration
}

func describe(ctx context.Context, client *kinesis.Client, name string) (streamInfo, error) {
	out, err := client.DescribeStreamSummary(ctx, &kinesis.DescribeStreamSummaryInput{StreamName: &name})
	if err != nil {
		return streamInfo{}, fmt.Errorf("describe stream %s: %w", name, err)
	}
	d := out.StreamDescriptionSummary
	if d == nil || d.StreamCreationTimestamp == nil {
		return streamInfo{}, fmt.Errorf("describe stream %s: no creation time in the answer", name)
	}
	return streamInfo{name: name, arn: aws.ToString(d.StreamARN), id: name + "@" + strconv.FormatInt(d.StreamCreationTimestamp.Unix(), 10),
		retention: time.Duration(aws.ToInt32(d.RetentionPeriodHours)) * time.Hour}, nil
}

// StreamID asks for the name and creation time of a stream, as "name@unix-seconds".
func StreamID(ctx context.Context, cfg aws.Config, name string) (string, error) {
	info, err := describe(ctx, kinesis.NewFromConfig(cfg), name)
	return info.id, err
}

// shardInfo is a shard as the stream lists it.
type shardInfo struct {
	id       string
	parents  []string // all that it names
	existing []string // those that are still listed
	closed   bool
	from, to [16]byte
}

// A topology knows the shards of a stream, from a list that is a moment old.
type topology struct {
	client *kinesis.Client
	stream string
	// only limits it to one shard and its descendants, if not "".
	only string

	mu     sync.Mutex // held during a call, so that one call serves all who wait
	at     time.Time
	list   []types.Shard
	shards map[string]shardInfo
}

// topologyAge is how old a list may be. The KCL asks many times a second.
const topologyAge = time.Second

// get returns the shards, from a list no older than age.
func (t *topology) get(ctx context.Context, age time.Duration) ([]types.Shard, map[string]shardInfo, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.shards != nil && time.Since(t.at) < age {
		return t.list, t.shards, nil
	}
	began := time.Now()
	var list []types.Shard
	in := &kinesis.ListShardsInput{StreamName: &t.stream}
	for {
		out, err := t.client.ListShards(ctx, in)
		if err != nil {
			return nil, nil, fmt.Errorf("list shards of %s: %w", t.stream, err)
		}
		list = append(list, out.Shards...)
		if out.NextToken == nil {
			break
		}
		in = &kinesis.ListShardsInput{NextToken: out.NextToken}
	}
	list, shards, err := readShards(list, t.only)
	if err != nil {
		return nil, nil, fmt.Errorf("list shards of %s: %w", t.stream, err)
	}
	t.list, t.shards, t.at = list, shards, began
	return list, shards, nil
}

// expire makes the next get ask again: a shard has ended, so there are others.
func (t *topology) expire() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.at = time.Time{}
}

// shard returns one shard, and asks again if it is not known: a shard whose
// parents are unknown would be started too early.
func (t *topology) shard(ctx context.Context, id string) (shardInfo, bool, error) {
	_, shards, err := t.get(ctx, topologyAge)
	if err != nil {
		return shardInfo{}, false, err
	}
	if s, ok := shards[id]; ok {
		return s, true, nil
	}
	_, shards, err = t.get(ctx, 0)
	s, ok := shards[id]
	return s, ok, err
}

// readShards checks a list, and keeps only one shard and its descendants if
// only is not "".
func readShards(list []types.Shard, only string) ([]types.Shard, map[string]shardInfo, error) {
	shards := map[string]shardInfo{}
	for _, s := range list {
		if s.ShardId == nil || s.SequenceNumberRange == nil || s.HashKeyRange == nil {
			return nil, nil, errors.New("a shard without id or ranges")
		}
		info := shardInfo{id: *s.ShardId, closed: s.SequenceNumberRange.EndingSequenceNumber != nil}
		var err error
		if info.from, err = hashKey(s.HashKeyRange.StartingHashKey); err != nil {
			return nil, nil, fmt.Errorf("shard %s: %w", info.id, err)
		}
		if info.to, err = hashKey(s.HashKeyRange.EndingHashKey); err != nil {
			return nil, nil, fmt.Errorf("shard %s: %w", info.id, err)
		}
		for _, p := range []*string{s.ParentShardId, s.AdjacentParentShardId} {
			if p != nil && *p != "" {
				info.parents = append(info.parents, *p)
			}
		}
		shards[info.id] = info
	}
	if only != "" {
		list = descendants(list, shards, only)
		if len(list) == 0 {
			return nil, nil, fmt.Errorf("there is no shard %s", only)
		}
	}
	for id, info := range shards {
		for _, p := range info.parents {
			if _, ok := shards[p]; ok {
				info.existing = append(info.existing, p)
			}
		}
		shards[id] = info
	}
	return list, shards, nil
}

// descendants removes from shards all but only and what was made of it, and
// returns the list of these.
func descendants(list []types.Shard, shards map[string]shardInfo, only string) []types.Shard {
	keep := map[string]bool{only: true}
	for grown := true; grown; { // the list need not be in order of birth
		grown = false
		for id, info := range shards {
			for _, p := range info.parents {
				if keep[p] && !keep[id] {
					keep[id], grown = true, true
				}
			}
		}
	}
	var out []types.Shard
	for _, s := range list {
		if keep[*s.ShardId] {
			out = append(out, s)
		} else {
			delete(shards, *s.ShardId)
		}
	}
	return out
}

// hashKey reads a decimal hash key of at most 128 bits.
func hashKey(s *string) (key [16]byte, err error) {
	n, ok := new(big.Int).SetString(aws.ToString(s), 10)
	if !ok || n.Sign() < 0 || n.BitLen() > 128 {
		return key, fmt.Errorf("hash key %.50q", aws.ToString(s))
	}
	n.FillBytes(key[:])
	return key, nil
}

// consumerName makes a fan-out consumer's name of an application's.
func consumerName(app string) string {
	b := []byte("nagare-" + app)
	for i, c := range b {
		if c == ':' {
			b[i] = '.'
		}
	}
	return string(b)
}

// registerConsumer makes the fan-out consumer of an application, or finds it,
// and waits until it can be used.
func registerConsumer(ctx context.Context, client *kinesis.Client, stream streamInfo, app string) (string, error) {
	name := consumerName(app)
	for try := 0; ; try++ {
		out, err := client.DescribeStreamConsumer(ctx, &kinesis.DescribeStreamConsumerInput{StreamARN: &stream.arn, ConsumerName: &name})
		var notFound *types.ResourceNotFoundException
		var inUse *types.ResourceInUseException
		switch {
		case err == nil && out.ConsumerDescription != nil && out.ConsumerDescription.ConsumerStatus == types.ConsumerStatusActive:
			return aws.ToString(out.ConsumerDescription.ConsumerARN), nil
		case err == nil: // being made, or being deleted by an earlier run
		case errors.As(err, &notFound):
			_, err := client.RegisterStreamConsumer(ctx, &kinesis.RegisterStreamConsumerInput{StreamARN: &stream.arn, ConsumerName: &name})
			if err != nil && !errors.As(err, &inUse) {
				return "", fmt.Errorf("register fan-out consumer %s: %w", name, err)
			}
			continue
		default:
			return "", fmt.Errorf("describe fan-out consumer %s: %w", name, err)
		}
		select {
		case <-ctx.Done():
			return "", context.Cause(ctx)
		case <-time.After(backoff(try, 100*time.Millisecond, 2*time.Second)):
		}
	}
}

// deregisterConsumer removes the fan-out consumer of an application that is done.
func deregisterConsumer(ctx context.Context, client *kinesis.Client, arn string) error {
	_, err := client.DeregisterStreamConsumer(ctx, &kinesis.DeregisterStreamConsumerInput{ConsumerARN: &arn})
	return err
}
