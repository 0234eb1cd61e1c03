package consumers

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"

	"nagare/internal/coord"
	"nagare/internal/kinesisd"
)

// TestSavedCheckpoint begins where an application was when that was saved, not
// where it is now.
func TestSavedCheckpoint(t *testing.T) {
	t.Parallel()
	r := newRig(t, 2, kinesisd.Config{})
	ctx := t.Context()
	put := func(from, to int) {
		for i := from; i < to; i++ {
			r.put(fmt.Sprint("e", i))
		}
	}
	put(0, 20)
	time.Sleep(20 * time.Millisecond)
	wantSet(t, "first", runToEnd(t, r, Config{App: "first", End: time.Now()}), span(0, 20))
	stream, err := StreamID(ctx, r.cfg, r.stream)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := SaveCheckpoint(ctx, r.store, "then", "first", []string{stream}, false); err != nil {
		t.Fatal(err)
	}
	put(20, 30)
	r.split("shardId-000000000001")
	put(30, 40)
	time.Sleep(20 * time.Millisecond)
	// It moves on; what was saved does not.
	wantSet(t, "first, later", runToEnd(t, r, Config{App: "first", End: time.Now()}), span(20, 40))
	wantSet(t, "from then", runToEnd(t, r, Config{App: "second", Start: Start{Checkpoint: "then"}, End: time.Now()}), span(20, 40))
	wantSet(t, "from now", runToEnd(t, r, Config{App: "third", Start: Start{App: "first"}, End: time.Now()}), nil)

	if before, err := SaveCheckpoint(ctx, r.store, "then", "first", []string{stream}, false); !errors.Is(err, ErrTaken) || before.App != "first" {
		t.Errorf("the same name: %v", err)
	}
	if _, err := SaveCheckpoint(ctx, r.store, "then", "first", []string{stream}, true); err != nil {
		t.Errorf("replaced: %v", err)
	}
	wantSet(t, "from the new then", runToEnd(t, r, Config{App: "fourth", Start: Start{Checkpoint: "then"}, End: time.Now()}), nil)
	if _, err := SaveCheckpoint(ctx, r.store, "x", "nobody", []string{stream}, false); err == nil {
		t.Error("of nobody: no error")
	}
	if _, err := SaveCheckpoint(ctx, r.store, "../x", "first", []string{stream}, false); err == nil {
		t.Error("a name with a slash: no error")
	}
	saved, err := ListSaved(ctx, r.store)
	if err != nil || len(saved) != 1 || saved[0].Name != "then" {
		t.Errorf("saved %+v, %v", saved, err)
	}
	apps, err := Apps(ctx, r.store)
	if err != nil || len(apps) != 4 || apps[0] != (App{"first", stream}) {
		t.Errorf("applications %+v, %v", apps, err)
	}
	for s, want := range map[Start]bool{{}: true, {App: "first"}: true, {App: "nobody"}: false, {Checkpoint: "then"}: true} {
		if got, err := StartsOn(ctx, r.store, s, stream); got != want || err != nil {
			t.Errorf("%s on the stream: %v, %v", s, got, err)
		}
	}
	if _, err := StartsOn(ctx, r.store, Start{Checkpoint: "nothing"}, stream); !errors.Is(err, ErrUnknown) {
		t.Errorf("an unknown checkpoint: %v", err)
	}
}

// TestSetCheckpoints sets an application back, and on, and a worker that still
// believes in its lease cannot undo that.
func TestSetCheckpoints(t *testing.T) {
	t.Parallel()
	r := newRig(t, 2, kinesisd.Config{})
	ctx := t.Context()
	for i := range 10 {
		r.put(fmt.Sprint("e", i))
	}
	time.Sleep(20 * time.Millisecond)
	half := time.Now()
	time.Sleep(20 * time.Millisecond)
	for i := 10; i < 20; i++ {
		r.put(fmt.Sprint("e", i))
	}
	stream, err := StreamID(ctx, r.cfg, r.stream)
	if err != nil {
		t.Fatal(err)
	}
	run := func(what string, want []string) {
		t.Helper()
		var s sink
		stop := r.start(Config{App: "app", Sole: true}, &s)
		if len(want) > 0 {
			eventually(t, what, s.has(len(want)))
		} else {
			time.Sleep(600 * time.Millisecond) // there is no sign of nothing
		}
		if running, err := Running(ctx, r.store, "app", stream, 6*time.Second); err != nil || !running {
			t.Errorf("%s: running %v, %v", what, running, err)
		}
		if err := stop(); err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, ev := range s.events {
			got = append(got, ev.UID)
		}
		wantSet(t, what, got, want)
		if running, err := Running(ctx, r.store, "app", stream, time.Second); err != nil || running {
			t.Errorf("%s: running after the stop: %v, %v", what, running, err)
		}
	}
	run("first", span(0, 20))
	if _, err := SaveCheckpoint(ctx, r.store, "all", "app", []string{stream}, false); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		to   Start
		want []string
	}{
		{Start{Time: half.UTC()}, span(10, 20)}, {Start{}, span(0, 20)}, {Start{Checkpoint: "all"}, nil},
	} {
		if err := SetCheckpoints(ctx, r.store, "app", stream, c.to); err != nil {
			t.Fatal(err)
		}
		run(c.to.String(), c.want)
	}
	// A zombie with a lease of before.
	l := &leases{store: r.store, part: leasePart("app", stream), worker: "zombie", ttl: time.Hour, log: slog.New(slog.DiscardHandler)}
	le, err := l.take(ctx, "shardId-000000000000")
	if err != nil {
		t.Fatal(err)
	}
	if err := SetCheckpoints(ctx, r.store, "app", stream, Start{}); err != nil {
		t.Fatal(err)
	}
	if err := le.checkpoint(ctx, le.row.Checkpoint+"0", time.Now()); !errors.Is(err, errLeaseLost) {
		t.Errorf("a checkpoint of a lease of before: %v", err)
	}
	run("after the zombie", span(0, 20))
	if err := SetCheckpoints(ctx, r.store, "app", stream, Start{App: "nobody"}); err == nil {
		t.Error("to where nobody is: no error")
	}
}

// TestSetCheckpointsCutShort fails each write once: the same again finishes it.
func TestSetCheckpointsCutShort(t *testing.T) {
	ctx := t.Context()
	for n := 1; ; n++ {
		store := &failing{Store: openStore(t), left: -1}
		l := &leases{store: store, part: leasePart("app", "s@1"), worker: "w", ttl: time.Hour, log: slog.New(slog.DiscardHandler)}
		for _, shard := range []string{"a", "b", "c"} {
			le, err := l.take(ctx, shard)
			if err == nil {
				err = le.checkpoint(ctx, "100", time.Now())
			}
			if err == nil {
				err = le.release(ctx)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		to := Start{Time: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)}
		store.left = n
		failed := SetCheckpoints(ctx, store, "app", "s@1", to)
		if over := store.left > 0; over == (failed != nil) {
			t.Fatalf("write %d: %v", n, failed)
		}
		store.left = -1
		if err := SetCheckpoints(ctx, store, "app", "s@1", to); err != nil {
			t.Fatalf("write %d, again: %v", n, err)
		}
		list, err := Checkpoints(ctx, store, "app", "s@1")
		if err != nil || len(list) != 3 {
			t.Fatalf("write %d: %+v, %v", n, list, err)
		}
		for _, c := range list {
			if c.Seq != "" {
				t.Errorf("write %d: %s is at %s still", n, c.Shard, c.Seq)
			}
		}
		if got, err := pinStart(ctx, l, Start{}, "s@1"); err != nil || got.String() != to.String() {
			t.Errorf("write %d: begins at %s, %v", n, got, err)
		}
		if failed == nil {
			if n < 5 {
				t.Errorf("only %d writes were tried", n)
			}
			return
		}
	}
}

// failing fails the left-th write from now.
type failing struct {
	coord.Store
	left int
}

func (f *failing) Put(ctx context.Context, part, sort string, value []byte, ifVersion int64) (int64, error) {
	if f.left--; f.left == 0 {
		return 0, errors.New("the store said no")
	}
	return f.Store.Put(ctx, part, sort, value, ifVersion)
}

// TestGaps: a place that the stream has trimmed is said to be, and one that it
// has not is not.
func TestGaps(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	// Shorter retention than the API allows; the server says that it is an
	// hour, so arrival times here are those of a day ago.
	r := newRig(t, 1, kinesisd.Config{Retention: 4 * time.Second, FileSpan: time.Second})
	cfg := Config{App: "app", Stream: r.stream, Kinesis: r.cfg, Coord: r.store}
	if gaps, err := Gaps(ctx, cfg); err != nil || len(gaps) != 0 {
		t.Errorf("of a new stream: %v, %v", gaps, err)
	}
	r.put("e0")
	out := readAll(t, r, "shardId-000000000000")
	first := *out[0].SequenceNumber
	g := func() *gaps {
		return &gaps{client: r.client, cfg: &cfg, created: time.Now().Add(-72 * time.Hour), horizon: time.Now().Add(-24 * time.Hour), shards: map[string]shardInfo{"shardId-000000000000": {}}}
	}
	old := leaseRow{Checkpoint: first, Arrived: time.Now().Add(-48 * time.Hour)}
	check := func(what, shard string, row leaseRow, want string) {
		t.Helper()
		g := g()
		if err := g.row(ctx, shard, row); err != nil {
			t.Fatal(err)
		}
		if want == "" && len(g.found) > 0 || want != "" && (len(g.found) != 1 || !strings.Contains(g.found[0].Why, want)) {
			t.Errorf("%s: %v, want %q", what, g.found, want)
		}
	}
	const shard = "shardId-000000000000"
	check("the record is there", shard, old, "")
	check("young", shard, leaseRow{Checkpoint: "1", Arrived: time.Now()}, "")
	check("finished", shard, leaseRow{Checkpoint: shardEnd, Arrived: old.Arrived}, "")
	check("not begun", shard, leaseRow{}, "")
	check("a shard that is gone", "shardId-000000000009", old, "gone")
	eventually(t, "the record is trimmed", func() bool { // files go while others are made
		r.put("more")
		all := readAll(t, r, shard)
		return len(all) > 0 && *all[0].SequenceNumber != first
	})
	check("the record is trimmed", shard, old, "trimmed")

	for _, c := range []struct {
		what  string
		start Start
		begun bool
		want  string
	}{
		{"at a trimmed record", Start{Shard: shard, Seq: first}, false, "not there any more"},
		{"at a record that never was", Start{Shard: shard, Seq: "1"}, false, "not there any more"},
		{"before the horizon", Start{Time: time.Now().Add(-48 * time.Hour)}, false, "are trimmed"},
		{"before the stream was made", Start{Time: time.Now().Add(-480 * time.Hour)}, false, "are trimmed"},
		{"after the horizon", Start{Time: time.Now().Add(-time.Hour)}, false, ""},
		{"before it, but begun long ago", Start{Time: time.Now().Add(-48 * time.Hour)}, true, ""},
		{"at the oldest record", Start{}, false, ""},
	} {
		cfg.Start = c.start
		g := g()
		found, err := g.find(ctx, nil, c.begun)
		if err != nil {
			t.Fatal(err)
		}
		if c.want == "" && len(found) > 0 || c.want != "" && (len(found) != 1 || !strings.Contains(found[0].Why, c.want)) {
			t.Errorf("%s: %v, want %q", c.what, found, c.want)
		}
		if len(found) == 1 && !found[0].From.IsZero() && found[0].From.Before(g.created.Add(-time.Second)) {
			t.Errorf("%s: a gap from %s, before there was a stream", c.what, found[0].From)
		}
	}
}

// TestMeasureLag counts what lies behind a position.
func TestMeasureLag(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	r := newRig(t, 1, kinesisd.Config{})
	const shard = "shardId-000000000000"
	if lag, err := MeasureLag(ctx, r.cfg, r.stream, shard, "", Start{}, 100); err != nil || lag != (Lag{}) {
		t.Errorf("of an empty shard: %+v, %v", lag, err)
	}
	began := time.Now().Add(-time.Second)
	for i := range 10 {
		r.put(fmt.Sprint("e", i))
	}
	all := readAll(t, r, shard)
	late := Start{Time: time.Now().Add(time.Minute)}
	for _, c := range []struct {
		seq        string
		start      Start
		most, want int
	}{
		{"", Start{}, 100, 10}, {*all[3].SequenceNumber, Start{}, 100, 6}, {*all[9].SequenceNumber, Start{}, 100, 0},
		// Where an application begins counts while it has no checkpoint.
		{"", late, 100, 0}, {"", Start{Time: began}, 100, 10}, {*all[3].SequenceNumber, late, 100, 6},
		{"", Start{Shard: shard, Seq: *all[3].SequenceNumber}, 100, 7},
	} {
		lag, err := MeasureLag(ctx, r.cfg, r.stream, shard, c.seq, c.start, c.most)
		if err != nil || lag.Records != c.want || lag.More || lag.Oldest.IsZero() != (c.want == 0) || c.want > 0 && lag.Oldest.Before(began) {
			t.Errorf("after %q: %+v, %v; want %d records", c.seq, lag, err, c.want)
		}
	}
	if _, err := MeasureLag(ctx, r.cfg, r.stream, "shardId-000000000007", "", Start{}, 100); err == nil {
		t.Error("of no shard: no error")
	}
}

// TestProbeIsPatient: reads beside the consumers of a shard are throttled, and
// made again; other refusals are told at once.
func TestProbeIsPatient(t *testing.T) {
	t.Parallel()
	faults := &kinesisd.Faults{}
	r := newRig(t, 1, kinesisd.Config{Faults: faults})
	r.put("e0")
	const shard = "shardId-000000000000"
	throttled := faults.Add(kinesisd.Rule{Action: "GetRecords", Times: 4, Fault: kinesisd.Fault{Error: "ProvisionedThroughputExceededException"}})
	if lag, err := MeasureLag(t.Context(), r.cfg, r.stream, shard, "", Start{}, 100); err != nil || lag.Records != 1 {
		t.Errorf("throttled: %+v, %v; want 1 record", lag, err)
	}
	if n := throttled.Hits(); n != 4 {
		t.Errorf("throttled %d times, want 4", n)
	}
	refused := faults.Add(kinesisd.Rule{Action: "GetRecords", Fault: kinesisd.Fault{Error: "AccessDeniedException"}})
	if _, err := MeasureLag(t.Context(), r.cfg, r.stream, shard, "", Start{}, 100); err == nil {
		t.Error("refused: no error")
	}
	if n := refused.Hits(); n != 1 {
		t.Errorf("refused %d times, want once", n)
	}
}

// readAll reads a shard from its oldest record.
func readAll(t *testing.T, r *rig, shard string) (all []types.Record) {
	t.Helper()
	from := &kinesis.GetShardIteratorInput{StreamName: &r.stream, ShardId: &shard, ShardIteratorType: types.ShardIteratorTypeTrimHorizon}
	err := probe(t.Context(), r.client, from, 10000, func(out *kinesis.GetRecordsOutput) bool {
		all = append(all, out.Records...)
		return *out.MillisBehindLatest > 0
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}
