package lake

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"nagare"
	"nagare/ocsf"
)

func jsonInto(b []byte, v any) error { return json.Unmarshal(b, v) }

func (l *testLayouts) classOf(name string) *ocsf.Class {
	c, _ := l.schema.Class(name)
	return c
}

// A commit of everything there is: two classes, a late day, dead letters, a
// repeat in the same batch and one in a later one.
func TestCommit(t *testing.T) {
	w := newWorld(t, newLayouts(t), 0)
	w.add(start, "one", "auth-1", "dead-1", "late-1")
	w.add(start.Add(time.Second), "two", "one", "auth-late")
	w.add(start.Add(20*time.Minute), "auth-1", "three")
	var steps []Step
	c := w.committer(func(s Step) { steps = append(steps, s) })
	if it, err := c.Open(t.Context()); err != nil || it.N != 0 || it.To != "" {
		t.Fatalf("Open of a new shard = %+v, %v", it, err)
	}
	if err := c.Flush(t.Context(), w.batch("", 2)); err != nil {
		t.Fatal(err)
	}
	b := w.batch("110", 1)
	b.Closed = true
	if err := c.Flush(t.Context(), b); err != nil {
		t.Fatal(err)
	}
	w.complete()
	want := []string{
		"ext/nagare_0/region=local/accountId=external/eventDay=20261124/95f5f44d-shardId-000000000000-000000000001-000.zstd.parquet",
		"ext/nagare_0/region=local/accountId=external/eventDay=20261125/95f5f44d-shardId-000000000000-000000000001-001.zstd.parquet",
		"ext/nagare_0/region=local/accountId=external/eventDay=20261125/95f5f44d-shardId-000000000000-000000000002-000.zstd.parquet",
		"ext/nagare_3002/region=local/accountId=external/eventDay=20261124/95f5f44d-shardId-000000000000-000000000001-002.zstd.parquet",
		"ext/nagare_3002/region=local/accountId=external/eventDay=20261125/95f5f44d-shardId-000000000000-000000000001-003.zstd.parquet",
	}
	for i := range want {
		want[i] = strings.ReplaceAll(want[i], "95f5f44d", stream8("nagare@1764000000"))
	}
	if d := cmp.Diff(want, w.look().files); d != "" {
		t.Errorf("objects (-want +got):\n%s", d)
	}
	it := w.item()
	if it.N != 2 || !it.Closed || it.From != "110" || it.To != "120" || !it.ReadUntil.Equal(start.Add(20*time.Minute)) {
		t.Errorf("ledger %+v", it)
	}
	m, err := ReadManifest(t.Context(), w.stage, it.Manifest)
	if err != nil || m.Counts != (Counts{Events: 2, Rows: 1, Repeats: 1}) || m.IDs.Count != 1 {
		t.Errorf("manifest %+v, %v", m, err)
	}
	if w.stats.Repeats.Load() != 2 || w.stats.Rows.Load() != 6 || w.stats.Dead.Load() != 1 || w.stats.Commits.Load() != 2 {
		t.Errorf("counted %d repeats, %d rows, %d dead, %d commits", w.stats.Repeats.Load(), w.stats.Rows.Load(), w.stats.Dead.Load(), w.stats.Commits.Load())
	}
	last := ""
	for _, s := range steps {
		if !strings.Contains(string(s), ".") {
			last += string(s)
		}
	}
	if want := "F0F1" + "F2F3F4F5" + "F2F3F4F5"; last != want {
		t.Errorf("steps %s, want %s", last, want)
	}
	// The same again changes nothing.
	if err := c.Flush(t.Context(), &Batch{From: "120", To: b.To, Closed: true}); err != nil || w.item() != it {
		t.Errorf("a second end: %v, ledger %+v", err, w.item())
	}
}

// Each storage call of the whole work fails once: before it is done, and after
// (the answer is lost). The worker dies of it and another one takes over; or
// it lives and tries the same again.
func TestEveryCallFails(t *testing.T) {
	l := newLayouts(t)
	fault := errors.New("the store said no")
	for _, after := range []bool{false, true} {
		for _, dies := range []bool{true, false} {
			t.Run(fmt.Sprintf("after=%v dies=%v", after, dies), func(t *testing.T) {
				total, step := 0, 1
				if testing.Short() { // each with the race detector takes its time
					step = 4
				}
				for n := 1; ; n += step {
					w := newWorld(t, l, 2)
					w.add(start.Add(time.Minute), "dead-1", "uid-0-a")
					left := n
					hit := func(string, string) error {
						if left--; left == 0 {
							return fault
						}
						return nil
					}
					check := func(string, string) error { w.visible(); return nil }
					if after {
						w.faults(check, hit)
					} else {
						w.faults(hit, check)
					}
					if dies {
						for try := 0; w.work(t.Context(), 2) != nil; try++ {
							if try == 3 {
								t.Fatalf("call %d: no progress", n)
							}
						}
					} else {
						w.retry(2)
					}
					w.complete()
					if left > 0 {
						total = n
						break
					}
				}
				if total < 20 {
					t.Errorf("only %d calls were tried", total)
				}
			})
		}
	}
}

// retry is a worker that survives every error and calls again.
func (w *world) retry(each int) {
	w.t.Helper()
	c := w.committer(nil)
	var it Item
	var err error
	for range 3 {
		if it, err = c.Open(w.t.Context()); err == nil {
			break
		}
	}
	from := it.To
	for tries := 0; from != w.end(); tries++ {
		if tries > 20 {
			w.t.Fatalf("no progress: %v", err)
		}
		b := w.batch(from, each)
		err = c.Flush(w.t.Context(), b)
		var moved *MovedError
		if errors.As(err, &moved) {
			from = moved.To
		} else if err == nil {
			from = b.To.Seq
		}
	}
}

// Two or three workers work on one shard at once, as zombies do, and the
// stores answer late, lose answers, or workers die; all by chance, with a seed
// that is printed. Every call is a moment at which another one may go on.
func TestZombies(t *testing.T) {
	l := newLayouts(t)
	rounds := 40
	if testing.Short() {
		rounds = 6
	}
	var lost, recovered int64
	for seed := range uint64(rounds) {
		w := newWorld(t, l, 5)
		if seed%2 == 0 {
			w.records[2][0].UID = "uid-0-a" // a repeat
		} else {
			w.window = 1 // looking for repeats would hide what is committed twice
		}
		rng := rand.New(rand.NewPCG(seed, 1))
		var turn sync.Mutex
		faults := 3
		ask := func(string, string) error {
			// Let go, so that another worker may come in between.
			turn.Unlock()
			time.Sleep(time.Duration(seed%3) * 10 * time.Microsecond)
			turn.Lock()
			if faults > 0 && rng.IntN(25) == 0 {
				faults--
				return errors.New("by chance")
			}
			return nil
		}
		w.faults(ask, ask)
		var wg sync.WaitGroup
		for id := range 2 + int(seed%2) {
			wg.Go(func() {
				turn.Lock()
				defer turn.Unlock()
				for range 6 {
					if w.work(t.Context(), 1+(id+int(seed))%3) == nil {
						return
					}
				}
				t.Errorf("seed %d: worker %d made no progress", seed, id)
			})
		}
		wg.Wait()
		w.faults(nil, nil)
		w.visible()
		w.complete()
		lost += w.stats.Lost.Load()
		recovered += w.stats.Recovered.Load()
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
	t.Logf("%d races lost, %d commits of others finished", lost, recovered)
	if lost == 0 || recovered == 0 {
		t.Errorf("the workers never met: %d races, %d recoveries", lost, recovered)
	}
}

// A commit whose answer was lost is known as won, and not made again.
func TestLostAnswer(t *testing.T) {
	w := newWorld(t, newLayouts(t), 1)
	c := w.committer(nil)
	if _, err := c.Open(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.coord.after = func(op, _ string) error {
		if op == "put" {
			w.coord.after = nil
			return errors.New("no answer")
		}
		return nil
	}
	if err := c.Flush(t.Context(), w.batch("", 1)); err != nil {
		t.Fatal(err)
	}
	w.complete()
	if w.stats.Lost.Load() != 0 || w.item().N != 1 {
		t.Errorf("%d races lost, commit %d", w.stats.Lost.Load(), w.item().N)
	}
}

// A zombie wakes up behind its F3 when everything is published by another
// worker, more is committed, and what was staged is collected.
func TestStagedGone(t *testing.T) {
	l := newLayouts(t)
	for i := range 4 {
		// The other worker finishes this commit only, or all; the stage is
		// collected, or not yet.
		more, collected := 1+i%2, i/2 == 1
		w := newWorld(t, l, 3)
		var c *Committer
		c = w.committer(func(s Step) {
			if s != StepCommit {
				return
			}
			other := w.committer(nil)
			it, err := other.Open(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			for from := it.To; more > 1 && from != w.end(); {
				b := w.batch(from, 1)
				if err := other.Flush(t.Context(), b); err != nil {
					t.Fatal(err)
				}
				from = b.To.Seq
			}
			for _, e := range c.manifest.Entries {
				if !collected {
					break
				}
				if err := w.stage.Delete(t.Context(), e.Staged); err != nil {
					t.Fatal(err)
				}
			}
		})
		if _, err := c.Open(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := c.Flush(t.Context(), w.batch("", 1)); err != nil {
			t.Fatalf("the zombie's flush (more %d, collected %v): %v", more, collected, err)
		}
		if err := w.work(t.Context(), 1); err != nil {
			t.Fatal(err)
		}
		w.complete()
	}
}

// A worker that missed two commits of others, and finishes the second, still
// finds the repeats of the first.
func TestRepeatsOfMissedCommits(t *testing.T) {
	w := newWorld(t, newLayouts(t), 3) // one for the worker, two for others
	w.add(start.Add(time.Minute), "uid-1-a", "uid-2-a", "new")
	c := w.committer(nil)
	if _, err := c.Open(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := c.Flush(t.Context(), w.batch("", 1)); err != nil {
		t.Fatal(err)
	}
	dead := errors.New("dead")
	other := w.committer(func(s Step) {
		if s == StepCommit && w.item().N == 3 {
			w.lake.Before = func(string, string) error { w.lake.Before = nil; return dead }
		}
	})
	if _, err := other.Open(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := other.Flush(t.Context(), w.batch("100", 1)); err != nil {
		t.Fatal(err)
	}
	if err := other.Flush(t.Context(), w.batch("110", 1)); !errors.Is(err, dead) {
		t.Fatalf("the other worker lives: %v", err)
	}
	var moved *MovedError
	if err := c.Flush(t.Context(), w.batch("100", 3)); !errors.As(err, &moved) || moved.To != "120" {
		t.Fatalf("Flush of what others committed: %v", err)
	}
	if err := c.Flush(t.Context(), w.batch("120", 1)); err != nil {
		t.Fatal(err)
	}
	w.complete()
}

// A decided commit of which a part is lost is an error, for ever.
func TestStagedLost(t *testing.T) {
	w := newWorld(t, newLayouts(t), 1)
	var c *Committer
	c = w.committer(func(s Step) {
		if s == StepCommit {
			if err := w.stage.Delete(t.Context(), c.manifest.Entries[0].Staged); err != nil {
				t.Fatal(err)
			}
		}
	})
	if _, err := c.Open(t.Context()); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := c.Flush(t.Context(), w.batch("", 1)); !errors.Is(err, blobNotFound) {
			t.Errorf("Flush with a lost part: %v", err)
		}
	}
	if it := w.item(); it.State != Committed {
		t.Errorf("the ledger says %s", it.State)
	}
}

// Objects without a ledger row: refuse, do not begin again.
func TestLedgerLost(t *testing.T) {
	w := newWorld(t, newLayouts(t), 2)
	if err := w.work(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	clear(w.coord.rows)
	if _, err := w.committer(nil).Open(t.Context()); !errors.Is(err, ErrLedgerLost) {
		t.Errorf("Open without a row: %v, want ErrLedgerLost", err)
	}
}

// A lake object that is not ours stops the shard.
func TestForeignObject(t *testing.T) {
	w := newWorld(t, newLayouts(t), 1)
	w.lake.Before = func(op, key string) error {
		if op == "put" {
			w.lake.Before = nil
			return w.lake.Store.Put(t.Context(), key, blobBytes("not ours"))
		}
		return nil
	}
	for range 2 {
		if err := w.work(t.Context(), 1); !errors.Is(err, ErrDifferent) {
			t.Errorf("publish over a foreign object: %v, want ErrDifferent", err)
		}
	}
	if it := w.item(); it.State != Committed {
		t.Errorf("the ledger says %s", it.State)
	}
}

// Repeats are found within the window, by a worker that was not there, in the
// parents of a new shard; and not outside of the window.
func TestWindow(t *testing.T) {
	w := newWorld(t, newLayouts(t), 0)
	w.window = 30 * time.Minute
	w.add(start, "x", "y")
	w.add(start.Add(20*time.Minute), "x", "z")
	w.add(start.Add(25*time.Minute), "y")      // a row 25 minutes and two commits ago
	w.add(start.Add(45*time.Minute), "x", "z") // x was a row 45 minutes ago, z 25 minutes ago
	for range w.records {
		c := w.committer(nil) // a new worker each time
		it, err := c.Open(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		b := w.batch(it.To, 1)
		b.Closed = b.To.Seq == w.end()
		if err := c.Flush(t.Context(), b); err != nil {
			t.Fatal(err)
		}
	}
	if d := cmp.Diff(map[string]int{"x": 2, "y": 1, "z": 1}, w.look().uids); d != "" {
		t.Errorf("rows by uid (-want +got):\n%s", d)
	}
	child, err := NewCommitter(Config{
		App: "compact", Stream: "nagare@1764000000", Shard: "shardId-000000000001", Parents: []string{"shardId-000000000000", "never-seen"},
		Coord: w.coord, Stage: w.stage, Lake: w.lake, Archive: w.archive, Tables: w.l.tables, Window: w.window,
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := child.Open(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.add(start.Add(50*time.Minute), "x", "new")
	b := w.batch("130", 1)
	b.From = "" // a shard of its own
	if err := child.Flush(t.Context(), b); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(map[string]int{"x": 2, "y": 1, "z": 1, "new": 1}, w.look().uids); d != "" {
		t.Errorf("rows by uid after the child's commit (-want +got):\n%s", d)
	}
}

// TestWindowBehindEmptyCommit: a parent was closed by a commit without events.
// A repeat of what the parent had is found by a worker that opens the child
// when that has commits of its own, and by one that opens the child of two
// such parents.
func TestWindowBehindEmptyCommit(t *testing.T) {
	w := newWorld(t, newLayouts(t), 0)
	open := func(shard string, parents ...string) *Committer {
		t.Helper()
		c, err := NewCommitter(Config{
			App: "compact", Stream: "nagare@1764000000", Shard: shard, Parents: parents,
			Coord: w.coord, Stage: w.stage, Lake: w.lake, Archive: w.archive, Tables: w.l.tables, Window: time.Hour,
		})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.Open(t.Context()); err != nil {
			t.Fatal(err)
		}
		return c
	}
	flush := func(c *Committer, closed bool, at time.Duration, uids ...string) {
		t.Helper()
		from := c.Item().To
		// A worker that took the shard over and found only its end knows of no
		// arrival.
		b := &Batch{From: from, To: nagare.Position{Stream: c.cfg.Stream, Shard: c.cfg.Shard, Seq: from}, Closed: closed}
		if len(uids) > 0 {
			have := ""
			if len(w.records) > 0 {
				have = w.end()
			}
			w.add(start.Add(at), uids...)
			b = w.batch(have, 1)
			b.From, b.Closed = from, closed
		}
		if err := c.Flush(t.Context(), b); err != nil {
			t.Fatal(err)
		}
	}
	one, two := open("shardId-000000000001"), open("shardId-000000000002")
	flush(one, false, 0, "x")
	flush(one, true, 0)
	flush(two, false, time.Minute, "y")
	flush(two, true, 0)
	child := func() *Committer { return open("shardId-000000000003", "shardId-000000000001", "shardId-000000000002") }
	flush(child(), false, 2*time.Minute, "z")
	flush(child(), true, 3*time.Minute, "x", "y", "z")
	three := open("shardId-000000000004", "shardId-000000000005", "shardId-000000000003")
	flush(three, false, 4*time.Minute, "x", "y", "z")
	if d := cmp.Diff(map[string]int{"x": 1, "y": 1, "z": 1}, w.look().uids); d != "" {
		t.Errorf("rows by uid (-want +got):\n%s", d)
	}
}

// The ids of earlier commits are joined from the stage when they do not fit
// into the cache.
func TestWindowWithoutCache(t *testing.T) {
	w := newWorld(t, newLayouts(t), 4)
	w.add(start.Add(time.Minute), "uid-0-a", "uid-3-b", "uid-9")
	c := w.committer(nil)
	c.cfg.CacheBytes = 1
	c.recent.cfg = &c.cfg
	if _, err := c.Open(t.Context()); err != nil {
		t.Fatal(err)
	}
	from := ""
	for from != w.end() {
		b := w.batch(from, 1)
		if err := c.Flush(t.Context(), b); err != nil {
			t.Fatal(err)
		}
		from = b.To.Seq
	}
	if c.recent.cached != 0 {
		t.Errorf("%d bytes are cached", c.recent.cached)
	}
	w.complete()
}

// A mapping that gives another answer the second time loses nothing.
func TestNotRepeatable(t *testing.T) {
	w := newWorld(t, newLayouts(t), 2)
	b := w.batch("", 2)
	b.Fill = func(ev *event, out *ocsf.Event) error {
		if ev.UID == "uid-1-a" {
			return errors.New("changed its mind")
		}
		return w.fill(ev, out)
	}
	c := w.committer(nil)
	if _, err := c.Open(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := c.Flush(t.Context(), b); err != nil {
		t.Fatal(err)
	}
	f := w.look()
	if len(f.rows) != 3 || f.dead["110/0"] != 1 {
		t.Errorf("rows %v, dead %v", f.rows, f.dead)
	}
	m, err := ReadManifest(t.Context(), w.stage, w.item().Manifest)
	if err != nil || m.Counts != (Counts{Events: 4, Rows: 3, Dead: 1}) || m.IDs.Count != 3 {
		t.Errorf("manifest %+v, %v", m, err)
	}
}
