package consumers

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"

	"nagare"
)

// ErrNoPlace means that a Start names a place that never was on the stream.
var ErrNoPlace = errors.New("there is no such place")

// CheckStart says, with ErrNoPlace, whether a Start with a sequence number
// names a place that cannot have been: a shard that the stream does not list,
// or a record before the shard's first or after its newest. A record that was
// trimmed is none of these; see Gaps.
func CheckStart(ctx context.Context, cfg aws.Config, stream string, start Start) error {
	if start.Shard == "" {
		return nil
	}
	client := kinesis.NewFromConfig(cfg)
	t := &topology{client: client, stream: stream}
	list, _, err := t.get(ctx, 0)
	if err != nil {
		return err
	}
	i := slices.IndexFunc(list, func(s types.Shard) bool { return aws.ToString(s.ShardId) == start.Shard })
	if i < 0 {
		var ids []string
		for _, s := range list {
			ids = append(ids, aws.ToString(s.ShardId))
		}
		slices.Sort(ids)
		return fmt.Errorf("%w: stream %s has no shard %s; it has %s", ErrNoPlace, stream, start.Shard, strings.Join(ids, ", "))
	}
	if first := aws.ToString(list[i].SequenceNumberRange.StartingSequenceNumber); nagare.CompareSeq(start.Seq, first) < 0 {
		return fmt.Errorf("%w: %s of %s begins at sequence number %s, and %s is before it", ErrNoPlace, start.Shard, stream, first, start.Seq)
	}
	g := &gaps{client: client, cfg: &Config{Stream: stream}}
	if there, err := g.holds(ctx, start.Shard, start.Seq); err != nil || there {
		return err
	}
	newest, err := newestBefore(ctx, client, stream, start.Shard, Start{}, time.Now().Add(time.Minute))
	switch {
	case err != nil:
		return err
	case newest.seq == "" && newest.sure:
		return fmt.Errorf("%w: %s of %s has no record", ErrNoPlace, start.Shard, stream)
	case newest.seq != "" && newest.sure && nagare.CompareSeq(start.Seq, newest.seq) > 0:
		return fmt.Errorf("%w: the newest record of %s of %s is %s, and %s is after it", ErrNoPlace, start.Shard, stream, newest.seq, start.Seq)
	}
	return nil
}

// An Extent is what of a shard lies between a start and an end.
type Extent struct {
	// First and Last are when its first and its last record arrived; zero when
	// there is none. Last is zero too when it could not be found cheaply.
	First, Last time.Time
}

// MeasureExtent looks where the records of a shard that arrived before end, and
// that start includes, begin and end. It reads a few pages at either side.
func MeasureExtent(ctx context.Context, cfg aws.Config, stream, shard string, start Start, end time.Time) (Extent, error) {
	client := kinesis.NewFromConfig(cfg)
	var e Extent
	pages := 0
	err := probe(ctx, client, start.iterator(stream, shard), 1, func(out *kinesis.GetRecordsOutput) bool {
		pages++
		if len(out.Records) == 0 {
			return aws.ToInt64(out.MillisBehindLatest) > 0 && pages < maxProbe
		}
		if at := aws.ToTime(out.Records[0].ApproximateArrivalTimestamp); at.Before(end) {
			e.First = at.UTC()
		}
		return false
	})
	if err != nil || e.First.IsZero() {
		return e, err
	}
	newest, err := newestBefore(ctx, client, stream, shard, Start{Time: e.First}, end)
	if err != nil {
		return e, err
	}
	if newest.sure {
		e.Last = newest.arrived
	}
	return e, nil
}

// A found is a record that was looked for.
type found struct {
	seq     string
	arrived time.Time
	// sure says that it is the one, or that there is none.
	sure bool
}

// newestBefore looks for the last record of a shard that arrived before end,
// and not before start. A stream cannot be read backwards: so the last second
// is read, then the last two, and so on, until there is a record.
func newestBefore(ctx context.Context, client *kinesis.Client, stream, shard string, start Start, end time.Time) (found, error) {
	tip := time.Now()
	if end.Before(tip) {
		tip = end
	}
	for back := time.Second; ; back *= 2 {
		from, all := Start{Time: tip.Add(-back)}, false
		if back > 366*24*time.Hour || !start.Time.IsZero() && !from.Time.After(start.Time) {
			from, all = start, true
		}
		var f found
		pages, past := 0, false
		err := probe(ctx, client, from.iterator(stream, shard), 10000, func(out *kinesis.GetRecordsOutput) bool {
			for i := range out.Records {
				at := aws.ToTime(out.Records[i].ApproximateArrivalTimestamp)
				if past = !at.Before(end); past {
					break
				}
				f.seq, f.arrived = aws.ToString(out.Records[i].SequenceNumber), at.UTC()
			}
			pages++
			f.sure = past || aws.ToInt64(out.MillisBehindLatest) == 0
			return !f.sure && pages < maxProbe
		})
		var invalid *types.InvalidArgumentException
		if errors.As(err, &invalid) && back < time.Hour {
			continue // its clock is behind ours, and it reads nothing from a time to come
		}
		if err != nil {
			return found{}, fmt.Errorf("newest record of %s: %w", shard, err)
		}
		if f.seq != "" || all || !f.sure {
			return f, nil
		}
	}
}
