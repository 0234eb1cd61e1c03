package app

import (
	"context"
	"errors"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"nagare"
	"nagare/consumers"
	"nagare/consumers/live"
	"nagare/internal/coord"
)

func TestOverlap(t *testing.T) {
	dir := t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, "data", "lake"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(filepath.Join(dir, "data"), filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	lake := filepath.Join(dir, "data", "lake")
	for into, want := range map[string]bool{
		lake: true, lake + "/": true, lake + "/ext/x": true, filepath.Join(dir, "data"): true, "/": true, filepath.Join(dir, "link", "lake"): true,
		filepath.Join(dir, "link", "lake", "not", "made"): true, lake + "2": false, filepath.Join(dir, "data", "other"): false, filepath.Join(dir, "..lake"): false,
		filepath.Join(dir, "data", "lake", "..", "other"): false,
	} {
		if got := overlap(into, lake); got != want {
			t.Errorf("%s and the lake: %v, want %v", into, got, want)
		}
	}
}

func TestProgressLine(t *testing.T) {
	began := time.Date(2026, 11, 25, 10, 0, 0, 0, time.UTC)
	at := func(m int) time.Time { return began.Add(time.Duration(m) * time.Minute) }
	type step struct {
		after time.Duration
		r     reading
		want  string
	}
	for what, steps := range map[string][]step{
		"of stretches of time no rest of time follows": {
			{time.Second, reading{}, "x [--------------------]   ?% 0 events, 0.0 MB/s, 0 events/s"},
			{10 * time.Second, reading{100_000, 100_000, 50_000_000, 0.25, true, false, at(15)},
				"x [#####---------------]  25% 100000 events, 5.0 MB/s, 10000 events/s, at 2026-11-25T10:15:00Z"},
			// A shard that was begun later does not set it back.
			{20 * time.Second, reading{200_000, 200_000, 50_000_000, 0.2, true, false, at(5)},
				"x [#####---------------]  25% 200000 events, 2.5 MB/s, 10000 events/s, at 2026-11-25T10:15:00Z"},
			// What is not all is not 100 %.
			{40 * time.Second, reading{400_000, 400_000, 80_000_000, 0.999, true, false, at(60)},
				"x [###################-]  99% 400000 events, 2.0 MB/s, 10000 events/s, at 2026-11-25T11:00:00Z"},
			{40 * time.Second, reading{400_000, 400_000, 80_000_000, 1, true, false, at(60)},
				"x [####################] 100% 400000 events, 2.0 MB/s, 10000 events/s, at 2026-11-25T11:00:00Z"},
		},
		// 60 % were done by earlier runs: the rate is that of this one.
		"a resumed run, of amounts": {
			{0, reading{events: 600_000, share: 0.6, known: true, sized: true}, "x [############--------]  60% 600000 events, 0.0 MB/s, 0 events/s"},
			{time.Second, reading{events: 700_000, run: 100_000, bytes: 10_000_000, share: 0.7, known: true, sized: true},
				"x [##############------]  70% 700000 events, 10.0 MB/s, 100000 events/s"},
			{2 * time.Second, reading{events: 800_000, run: 200_000, bytes: 20_000_000, share: 0.8, known: true, sized: true},
				"x [################----]  80% 800000 events, 10.0 MB/s, 100000 events/s, remaining 2s"},
		},
	} {
		p := &progress{what: "x", began: began}
		for _, c := range steps {
			if got := p.line(c.r, began.Add(c.after)); got != c.want {
				t.Errorf("%s, after %s:\n%s\nwant\n%s", what, c.after, got, c.want)
			}
		}
	}
}

// TestStreamShare: each shard counts by where it is between its first and its
// last record; one that is finished is whole, one without records is nothing.
func TestStreamShare(t *testing.T) {
	began := time.Date(2026, 11, 25, 10, 0, 0, 0, time.UTC)
	at := func(s int) time.Time { return began.Add(time.Duration(s) * time.Second) }
	counts := &replayCounts{at: map[string]time.Time{"s/a": at(5), "s/b": at(1)}}
	full := consumers.Extent{First: at(0), Last: at(10)}
	s := &streamShare{counts: counts, shards: map[string]*shardShare{
		"s/a": {extent: full, measured: true}, "s/b": {extent: full, measured: true, done: true}, "s/empty": {measured: true},
		"s/resumed": {extent: full, measured: true, stored: at(2)},
	}}
	want := func(share float64, known bool, reached time.Time) {
		t.Helper()
		if got, k, r := s.share(t.Context()); math.Abs(got-share) > 1e-9 || k != known || !r.Equal(reached) {
			t.Errorf("share %v, known %v, at %s; want %v, %v, %s", got, k, r, share, known, reached)
		}
	}
	want((0.5+1+0.2)/3, true, at(2))
	counts.at["s/a"], counts.at["s/resumed"] = at(10), at(9)
	want((1+1+0.9)/3, true, at(9))
	s.shards["s/new"] = &shardShare{} // not looked at yet
	want((1+1+0.9)/3, false, at(9))
	for _, sh := range s.shards {
		sh.done = true
	}
	want(1, true, time.Time{})
}

// TestArchiveShare: what is skipped counts as done, and what was read only when
// its events were processed.
func TestArchiveShare(t *testing.T) {
	counts := &replayCounts{seq: map[string]string{}}
	s := &archiveShare{counts: counts, keys: []string{"s/a", "s/b", "s/c"}, sizes: map[string]int64{"s/a": 100, "s/b": 200, "s/c": 100}, total: 400}
	want := func(share float64) {
		t.Helper()
		if got, known := s.share(); got != share || !known {
			t.Errorf("share %v, known %v; want %v", got, known, share)
		}
	}
	want(0)
	s.begin("s/b", 150) // a resumed run: a is finished, and 50 of b lie behind
	want(150. / 400)
	s.more(50)
	s.mark("7")
	s.mark("8")
	want(150. / 400)
	counts.seq["s/b"] = "7"
	want(200. / 400)
	s.more(100)
	s.mark("9")
	counts.seq["s/b"] = "12"
	want(300. / 400)
	s.begin("s/c", 100)
	want(300. / 400)
	s.more(100)
	s.mark("3")
	counts.seq["s/c"] = "3"
	want(1)
}

// TestReplayCounts: a run that was killed may have made durable what it had
// flushed, or not: by where the next one reads on, each event counts once.
func TestReplayCounts(t *testing.T) {
	ctx := t.Context()
	store, err := coord.OpenSQLite(filepath.Join(t.TempDir(), "coord.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	shard := consumers.Shard{Stream: "nagare@1", ID: "shardId-000000000000"}
	run := func(from, to, flushTo int, want int64) {
		t.Helper()
		c, err := newReplayCounts(ctx, store, "replay-x")
		if err != nil {
			t.Fatal(err)
		}
		s, err := c.count(func(consumers.Shard, *live.Stats) (consumers.Stage, error) { return nothing{}, nil })(shard)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.Open(ctx, shard); err != nil {
			t.Fatal(err)
		}
		for i := from; i < to; i++ {
			pos := nagare.Position{Seq: strconv.Itoa(i + 1)}
			if err := s.Process(ctx, []nagare.Event{{Body: []byte("12345"), Pos: pos}}); err != nil {
				t.Fatal(err)
			}
			if i%2 == 1 && i < flushTo {
				if err := errors.Join(s.Flush(ctx, pos, false), s.Flush(ctx, pos, false)); err != nil { // made again
					t.Fatal(err)
				}
			}
		}
		if all, _ := c.all(); all.Events != want || all.Bytes != 5*want {
			t.Errorf("from %d to %d: %+v, want %d events", from, to, all, want)
		}
	}
	run(0, 5, 5, 5)    // killed: 4 are flushed, and the checkpoint is at 2 or at 4
	run(4, 7, 0, 7)    // it was at 4; nothing is flushed
	run(2, 2, 0, 4)    // nothing read yet: what is known is 4
	run(2, 9, 8, 9)    // it was at 2
	run(6, 10, 10, 10) // flushed to 8, durable to 6
	run(10, 10, 0, 10)
}

// nothing is a stage that does nothing.
type nothing struct{}

func (nothing) Open(context.Context, consumers.Shard) (nagare.Position, error) {
	return nagare.Position{}, nil
}
func (nothing) Process(context.Context, []nagare.Event) error      { return nil }
func (nothing) Flush(context.Context, nagare.Position, bool) error { return nil }
func (nothing) Drop()                                              {}

// TestOverlay: what is written is seen there, and not below.
func TestOverlay(t *testing.T) {
	ctx := t.Context()
	below, err := coord.OpenSQLite(filepath.Join(t.TempDir(), "coord.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer below.Close()
	versions := map[string]int64{}
	for _, sort := range []string{"a", "b", "d"} {
		if versions[sort], err = below.Put(ctx, "p", sort, []byte("below "+sort), 0); err != nil {
			t.Fatal(err)
		}
	}
	o := newOverlay(below)
	for _, sort := range []string{"a", "c"} {
		if _, err := o.Put(ctx, "p", sort, []byte("x"), versions[sort]+1); !errors.Is(err, coord.ErrConflict) {
			t.Errorf("put %s on another version: %v", sort, err)
		}
		v, err := o.Put(ctx, "p", sort, []byte("above "+sort), versions[sort])
		if err != nil {
			t.Fatal(err)
		}
		if _, err := o.Put(ctx, "p", sort, []byte("x"), versions[sort]); !errors.Is(err, coord.ErrConflict) {
			t.Errorf("put %s on the old version: %v", sort, err)
		}
		if r, err := o.Get(ctx, "p", sort); err != nil || string(r.Value) != "above "+sort || r.Version != v {
			t.Errorf("%s is %+v, %v", sort, r, err)
		}
	}
	if err := o.Delete(ctx, "p", "b", versions["b"]); err != nil {
		t.Fatal(err)
	}
	if _, err := o.Get(ctx, "p", "b"); !errors.Is(err, coord.ErrNotFound) {
		t.Errorf("b was deleted: %v", err)
	}
	list := func(s coord.Store, after string, limit int) string {
		rows, err := s.List(ctx, "p", after, limit)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, r := range rows {
			got = append(got, string(r.Value))
		}
		return strings.Join(got, ", ")
	}
	for _, c := range []struct {
		s     coord.Store
		after string
		limit int
		want  string
	}{{o, "", 9, "above a, above c, below d"}, {o, "a", 1, "above c"}, {below, "", 9, "below a, below b, below d"}} {
		if got := list(c.s, c.after, c.limit); got != c.want {
			t.Errorf("after %q, %d: %s, want %s", c.after, c.limit, got, c.want)
		}
	}
}

func TestReplayName(t *testing.T) {
	a := ReplayOptions{App: "live", From: "-1h"}
	b := a
	if a.name() != b.name() || !strings.HasPrefix(a.name(), "live-") {
		t.Errorf("the same command has the names %s and %s", a.name(), b.name())
	}
	for _, other := range []ReplayOptions{{App: "compact", From: "-1h"}, {App: "live", From: "-2h"}, {App: "live", From: "-1h", To: "-5m"}, {App: "live", From: "-1h", Stream: "bulk"}, {App: "live", From: "-1h", Notify: true}} {
		if other.name() == a.name() {
			t.Errorf("%+v has the name of %+v", other, a)
		}
	}
}
