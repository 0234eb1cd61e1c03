package consumers

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"

	"nagare"
)

// A Gap is a part of a stream that was to be read and is not there any more.
type Gap struct {
	Stream string `json:"stream"`
	// Shard is "" for all shards.
	Shard string `json:"shard,omitempty"`
	// From and Until are arrival times; a zero From is not known.
	From  time.Time `json:"from,omitzero"`
	Until time.Time `json:"until,omitzero"`
	// Why says it in words.
	Why string `json:"why"`
}

func (g Gap) String() string {
	where := g.Stream
	if g.Shard != "" {
		where += " " + g.Shard
	}
	return where + ": " + g.Why
}

// Gaps says what a Run with this Config cannot read because the stream has
// trimmed it: before where it begins, or since it last stopped. A quiet shard
// may be named although nothing was lost: that a place is too old is known,
// what lay there is not.
func Gaps(ctx context.Context, cfg Config) ([]Gap, error) {
	client := kinesis.NewFromConfig(cfg.Kinesis)
	out, err := client.DescribeStreamSummary(ctx, &kinesis.DescribeStreamSummaryInput{StreamName: &cfg.Stream})
	if err != nil {
		return nil, fmt.Errorf("describe stream %s: %w", cfg.Stream, err)
	}
	info, err := describe(ctx, client, cfg.Stream)
	if err != nil {
		return nil, err
	}
	d := out.StreamDescriptionSummary
	created := aws.ToTime(d.StreamCreationTimestamp)
	horizon := time.Now().Add(-time.Duration(aws.ToInt32(d.RetentionPeriodHours)) * time.Hour)
	if !created.Before(horizon) {
		return nil, nil // younger than what it keeps: nothing was trimmed
	}
	g := &gaps{client: client, cfg: &cfg, created: created, horizon: horizon}
	rows, err := leaseRows(ctx, cfg.Coord, leasePart(cfg.App, info.id))
	if err != nil {
		return nil, err
	}
	start := cfg.Start
	begun := len(rows) > 0
	if !begun && (start.App != "" || start.Checkpoint != "") {
		if rows, err = start.rows(ctx, cfg.Coord, info.id); err != nil {
			return nil, err
		}
	}
	t := &topology{client: client, stream: cfg.Stream}
	if _, g.shards, err = t.get(ctx, 0); err != nil {
		return nil, err
	}
	return g.find(ctx, rows, begun)
}

// find looks at where reading begins, and at the checkpoints that it goes on
// from.
func (g *gaps) find(ctx context.Context, rows map[string]leaseRow, begun bool) ([]Gap, error) {
	start := g.cfg.Start
	switch {
	case begun:
	case !start.Time.IsZero() && start.Time.Before(g.horizon):
		from := start.Time
		if from.Before(g.created) {
			from = g.created
		}
		g.found = append(g.found, Gap{Stream: g.cfg.Stream, From: from.UTC(), Until: g.horizon.UTC(),
			Why: fmt.Sprintf("records that arrived from %s until %s are trimmed", from.UTC().Format(time.RFC3339), g.horizon.UTC().Format(time.RFC3339))})
	case start.Shard != "":
		there, err := g.holds(ctx, start.Shard, start.Seq)
		if err != nil {
			return nil, err
		}
		if !there {
			g.found = append(g.found, Gap{Stream: g.cfg.Stream, Shard: start.Shard, Until: g.horizon.UTC(), Why: "record " + start.Seq + " is not there any more"})
		}
	}
	for shard, row := range rows {
		if err := g.row(ctx, shard, row); err != nil {
			return nil, err
		}
	}
	slices.SortFunc(g.found, func(a, b Gap) int { return cmp.Compare(a.Shard, b.Shard) })
	return g.found, nil
}

type gaps struct {
	client           *kinesis.Client
	cfg              *Config
	created, horizon time.Time
	shards           map[string]shardInfo
	found            []Gap
}

// row looks whether reading can go on after a checkpoint.
func (g *gaps) row(ctx context.Context, shard string, row leaseRow) error {
	if row.Checkpoint == "" || row.Checkpoint == shardEnd || !g.cfg.End.IsZero() && row.Reached.Equal(g.cfg.End) || !row.Arrived.Before(g.horizon) {
		return nil
	}
	gap := Gap{Stream: g.cfg.Stream, Shard: shard, From: row.Arrived.UTC(), Until: g.horizon.UTC()}
	if _, ok := g.shards[shard]; !ok {
		gap.Why = fmt.Sprintf("the shard is gone, and was read up to %s only", row.Arrived.UTC().Format(time.RFC3339))
		g.found = append(g.found, gap)
		return nil
	}
	there, err := g.holds(ctx, shard, row.Checkpoint)
	if err != nil || there {
		return err
	}
	gap.Why = fmt.Sprintf("records after %s (%s) that arrived before %s are trimmed", row.Checkpoint, row.Arrived.UTC().Format(time.RFC3339), g.horizon.UTC().Format(time.RFC3339))
	g.found = append(g.found, gap)
	return nil
}

// maxProbe bounds the reads that look for one record: pages may be empty.
const maxProbe = 50

// holds says whether a record is still on the stream; then so is all after it.
func (g *gaps) holds(ctx context.Context, shard, seq string) (bool, error) {
	there, pages := false, 0
	err := probe(ctx, g.client, &kinesis.GetShardIteratorInput{StreamName: &g.cfg.Stream, ShardId: &shard,
		ShardIteratorType: types.ShardIteratorTypeAtSequenceNumber, StartingSequenceNumber: &seq}, 1,
		func(out *kinesis.GetRecordsOutput) bool {
			if len(out.Records) > 0 {
				there = nagare.CompareSeq(aws.ToString(out.Records[0].SequenceNumber), seq) == 0
				return false
			}
			pages++
			return pages < maxProbe && aws.ToInt64(out.MillisBehindLatest) > 0
		})
	var invalid *types.InvalidArgumentException
	var notFound *types.ResourceNotFoundException
	if errors.As(err, &invalid) || errors.As(err, &notFound) {
		return false, nil // the stream does not know it
	}
	if err != nil {
		return false, fmt.Errorf("look for record %s: %w", seq, err)
	}
	return there, nil
}
