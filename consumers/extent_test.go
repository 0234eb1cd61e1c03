package consumers

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"nagare/internal/kinesisd"
)

// TestCheckStart tells places that never were from those that are there.
func TestCheckStart(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	r := newRig(t, 2, kinesisd.Config{})
	const shard = "shardId-000000000000"
	for i := range 20 {
		r.put(fmt.Sprint("e", i))
	}
	all := readAll(t, r, shard)
	last := *all[len(all)-1].SequenceNumber
	for _, c := range []struct{ shard, seq, says string }{
		{shard, *all[0].SequenceNumber, ""},
		{shard, last, ""},
		{"shardId-000000000009", "1", "it has shardId-000000000000, shardId-000000000001"},
		{shard, "1", "begins at sequence number"},
		{shard, strings.Repeat("9", 50), "is before it"},
		{shard, strings.Repeat("9", 56), "the newest record of " + shard + " of " + r.stream + " is " + last},
	} {
		err := CheckStart(ctx, r.cfg, r.stream, Start{Shard: c.shard, Seq: c.seq})
		if c.says == "" && err != nil || c.says != "" && (!errors.Is(err, ErrNoPlace) || !strings.Contains(err.Error(), c.says)) {
			t.Errorf("%s %s: %v, want %q", c.shard, c.seq, err, c.says)
		}
	}
	empty := newRig(t, 1, kinesisd.Config{})
	if err := CheckStart(ctx, empty.cfg, empty.stream, Start{Shard: shard, Seq: last}); !errors.Is(err, ErrNoPlace) || !strings.Contains(err.Error(), "has no record") {
		t.Errorf("of an empty shard: %v", err)
	}
	if err := CheckStart(ctx, r.cfg, r.stream, Start{Time: time.Now()}); err != nil {
		t.Errorf("of a time: %v", err)
	}
}

// TestMeasureExtent finds the first and the last record between two times.
func TestMeasureExtent(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	r := newRig(t, 1, kinesisd.Config{})
	const shard = "shardId-000000000000"
	if e, err := MeasureExtent(ctx, r.cfg, r.stream, shard, Start{}, time.Now()); err != nil || e != (Extent{}) {
		t.Errorf("of an empty shard: %+v, %v", e, err)
	}
	for i := range 10 {
		r.put(fmt.Sprint("e", i))
		time.Sleep(2 * time.Millisecond) // arrival times are milliseconds
	}
	all := readAll(t, r, shard)
	at := func(i int) time.Time { return all[i].ApproximateArrivalTimestamp.UTC() }
	for _, c := range []struct {
		what        string
		start       Start
		end         time.Time
		first, last time.Time
	}{
		{"all", Start{}, time.Now().Add(time.Minute), at(0), at(9)},
		{"all, much later", Start{}, time.Now().Add(50 * time.Hour), at(0), at(9)},
		{"from a time to a time", Start{Time: at(3)}, at(7), at(3), at(6)},
		{"from a record", Start{Shard: shard, Seq: *all[4].SequenceNumber}, time.Now().Add(time.Minute), at(4), at(9)},
		{"after all", Start{Time: at(9).Add(time.Millisecond)}, time.Now().Add(time.Hour), time.Time{}, time.Time{}},
		{"before all", Start{}, at(0), time.Time{}, time.Time{}},
	} {
		if e, err := MeasureExtent(ctx, r.cfg, r.stream, shard, c.start, c.end); err != nil || !e.First.Equal(c.first) || !e.Last.Equal(c.last) {
			t.Errorf("%s: %+v, %v; want %s to %s", c.what, e, err, c.first, c.last)
		}
	}
}
