package producers

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/big"
	"slices"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
)

// A hashKey is a place on the ring of a stream, big-endian, so that bytes
// compare as the integers do.
type hashKey = [16]byte

// A span is the part of the ring that a shard owns, both ends included.
type span struct{ first, last hashKey }

func (s span) holds(k hashKey) bool {
	return bytes.Compare(s.first[:], k[:]) <= 0 && bytes.Compare(k[:], s.last[:]) <= 0
}

// A ring is what a stream's shards were when it was asked.
type ring struct {
	// spans holds every shard, open or closed: a record may have gone to one
	// that was closed since.
	spans map[string]span
	// open holds the ids of the shards that take records, in ring order.
	open []string
}

// readRing asks for the shards of a stream. In the middle of a resharding the
// open shards may not cover the ring; that is an error, for the caller to ask
// again.
func readRing(ctx context.Context, client Client, stream string) (*ring, error) {
	r := &ring{spans: map[string]span{}}
	in := &kinesis.ListShardsInput{StreamName: aws.String(stream)}
	for {
		out, err := client.ListShards(ctx, in)
		if err != nil {
			return nil, fmt.Errorf("list shards of %s: %w", stream, err)
		}
		for _, s := range out.Shards {
			id := aws.ToString(s.ShardId)
			if id == "" || s.HashKeyRange == nil {
				return nil, fmt.Errorf("list shards of %s: a shard without id or range", stream)
			}
			var sp span
			var err1, err2 error
			sp.first, err1 = parseHashKey(aws.ToString(s.HashKeyRange.StartingHashKey))
			sp.last, err2 = parseHashKey(aws.ToString(s.HashKeyRange.EndingHashKey))
			if err := errors.Join(err1, err2); err != nil {
				return nil, fmt.Errorf("range of shard %s: %w", id, err)
			}
			r.spans[id] = sp
			if s.SequenceNumberRange == nil || s.SequenceNumberRange.EndingSequenceNumber == nil {
				r.open = append(r.open, id)
			}
		}
		if aws.ToString(out.NextToken) == "" {
			break
		}
		in = &kinesis.ListShardsInput{NextToken: out.NextToken}
	}
	slices.SortFunc(r.open, func(a, b string) int {
		x, y := r.spans[a].first, r.spans[b].first
		return bytes.Compare(x[:], y[:])
	})
	return r, r.covered()
}

// covered says whether every hash belongs to exactly one open shard.
func (r *ring) covered() error {
	next := big.NewInt(0)
	for _, id := range r.open {
		s := r.spans[id]
		if new(big.Int).SetBytes(s.first[:]).Cmp(next) != 0 {
			return fmt.Errorf("the open shards leave a gap or overlap before %s", id)
		}
		next.SetBytes(s.last[:]).Add(next, big.NewInt(1))
	}
	if next.BitLen() != 129 {
		return errors.New("the open shards do not cover the stream")
	}
	return nil
}

// parseHashKey reads the decimal form of the API.
func parseHashKey(s string) (k hashKey, err error) {
	n, ok := new(big.Int).SetString(s, 10)
	if !ok || n.Sign() < 0 || n.BitLen() > 128 {
		return k, fmt.Errorf("%.50q is no hash key", s)
	}
	n.FillBytes(k[:])
	return k, nil
}

func formatHashKey(k hashKey) string {
	return new(big.Int).SetBytes(k[:]).String()
}
