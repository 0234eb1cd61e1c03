package lake

import (
	"context"
	"errors"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"nagare/internal/coord"
)

// rebuild rebuilds the ledger of the world, which has one shard.
func (w *world) rebuild(dry bool) (out []Rebuilt, err error) {
	r, err := NewRebuild(w.t.Context(), RebuildConfig{App: "compact", Coord: w.coord, Stage: w.stage, Lake: w.lake, Archive: w.archive, DryRun: dry})
	if err != nil {
		return nil, err
	}
	err = r.Run(w.t.Context(), func(s Rebuilt) error { out = append(out, s); return nil })
	return out, err
}

// die runs a worker that is gone at a step, the nth time that it comes there.
func (w *world) die(at Step, nth, each int) {
	w.t.Helper()
	gone := errors.New("gone")
	defer func() {
		if p := recover(); p != gone {
			w.t.Fatalf("the worker did not come to %s: %v", at, p)
		}
	}()
	c := w.committer(func(s Step) {
		if s == at {
			if nth--; nth == 0 {
				panic(gone)
			}
		}
	})
	it, err := c.Open(w.t.Context())
	for from := it.To; err == nil; {
		b := w.batch(from, each)
		err = c.Flush(w.t.Context(), b)
		from = b.To.Seq
	}
	w.t.Fatal(err)
}

// all is a worker to whom nothing happens.
func (w *world) all() {
	w.t.Helper()
	if err := w.work(w.t.Context(), 1); err != nil {
		w.t.Fatal(err)
	}
}

// drop removes what was staged under a name when the ledger was at n.
func (w *world) drop(n int64, name string) {
	w.t.Helper()
	ctx := context.Background()
	list, err := w.stage.Store.List(ctx, "stage/", "", 10000)
	if err != nil {
		w.t.Fatal(err)
	}
	for _, e := range list {
		if _, _, _, at, is, ok := stageOf(e.Key); ok && at == n && (is == name || name == "") {
			if err := w.stage.Store.Delete(ctx, e.Key); err != nil {
				w.t.Fatal(err)
			}
		}
	}
}

// child is the committer of a shard that is made of the world's.
func (w *world) child() *Committer {
	w.t.Helper()
	cfg := w.committer(nil).cfg
	cfg.Shard, cfg.Parents = "shardId-000000000001", []string{cfg.Shard}
	c, err := NewCommitter(cfg)
	if err != nil {
		w.t.Fatal(err)
	}
	return c
}

// What a shard may look like when its ledger is lost, and what is made of it.
func TestRebuild(t *testing.T) {
	l := newLayouts(t)
	for _, c := range []struct {
		name string
		// before leaves the shard in some state. All of it has 4 records.
		before func(w *world)
		want   Item // N, To and State
		note   string
	}{
		{"all is published", func(w *world) { w.all() }, Item{N: 4, To: "130", State: Published}, ""},
		{"all but the mark", func(w *world) { w.die(StepPublish, 2, 1) }, Item{N: 2, To: "110", State: Published}, ""},
		{"a part is published", func(w *world) { w.die(StepPut, 3, 1) }, Item{N: 2, To: "110", State: Committed}, "published in part"},
		{"committed", func(w *world) { w.die(StepCommit, 2, 1) }, Item{N: 2, To: "110", State: Committed}, "nothing of it was published"},
		{"staged", func(w *world) { w.die(StepStaged, 2, 1) }, Item{N: 2, To: "110", State: Committed}, "nothing of it was published"},
		{"staged in part", func(w *world) { w.die(StepPart, 5, 1) }, Item{N: 1, To: "100", State: Published}, ""},
		{"the first is staged", func(w *world) { w.die(StepStaged, 1, 1) }, Item{N: 1, To: "100", State: Committed}, "nothing of it"},
		{"the first is staged in part", func(w *world) { w.die(StepPart, 1, 1) }, Item{State: Published}, ""},
		{"two were staged, the longer is taken", func(w *world) {
			w.die(StepStaged, 2, 1)
			w.die(StepStaged, 1, 3)
			w.die(StepStaged, 1, 2)
		}, Item{N: 2, To: "130", State: Committed}, "nothing of it"},
		{"two were staged, the shorter is published in part", func(w *world) {
			w.die(StepStaged, 2, 1)
			w.die(StepStaged, 1, 3)
			w.die(StepPut, 1, 1)
		}, Item{N: 2, To: "110", State: Committed}, "published in part"},
		{"staged, and not whole any more", func(w *world) {
			w.die(StepStaged, 3, 1)
			w.drop(2, "part-000.parquet")
		}, Item{N: 2, To: "110", State: Published}, "not whole"},
		{"the first is staged, and not whole any more", func(w *world) {
			w.die(StepStaged, 1, 1)
			w.drop(0, "part-000.parquet")
		}, Item{State: Published}, "not whole"},
		{"published, and a part is staged no more", func(w *world) {
			w.die(StepPublish, 2, 1)
			w.drop(1, "part-000.parquet")
		}, Item{N: 2, To: "110", State: Published}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t, l, 4)
			w.window = 1 // looking for repeats would hide what is committed twice
			c.before(w)
			row := w.item()
			clear(w.coord.rows)
			dry, err := w.rebuild(true)
			if err != nil || len(w.coord.rows) != 0 {
				t.Fatalf("a dry run: %v, %d rows", err, len(w.coord.rows))
			}
			got, err := w.rebuild(false)
			if err != nil || len(got) != 1 || got[0].Outcome != Restored || !strings.Contains(got[0].Note, c.note) || c.note == "" && got[0].Note != "" {
				t.Fatalf("rebuilt %+v, %v", got, err)
			}
			it := w.item()
			if it.N != c.want.N || it.To != c.want.To || it.State != c.want.State {
				t.Errorf("the row is %+v, want %+v", it, c.want)
			}
			if d := cmp.Diff(dry, got); d != "" || got[0].Item != it {
				t.Errorf("a dry run says (-), and it is (+), row %+v:\n%s", it, d)
			}
			if row.Attempt == it.Attempt {
				row.State = it.State // a mark may be missing
				if row.N > 0 && row != it {
					t.Errorf("the row was %+v, and is %+v", row, it)
				}
			}
			// Once more finds nothing to do.
			if got, err := w.rebuild(false); err != nil || got[0].Outcome != Kept {
				t.Errorf("once more: %+v, %v", got, err)
			}
			if err := w.work(t.Context(), 1); err != nil {
				t.Fatal(err)
			}
			w.complete()
			if got, err := w.rebuild(false); err != nil || got[0].Outcome != Kept {
				t.Errorf("at the end: %+v, %v", got, err)
			}
		})
	}
}

// The objects do not say what the row was: then none is written.
func TestRebuildRefuses(t *testing.T) {
	l := newLayouts(t)
	for _, c := range []struct {
		name   string
		before func(w *world)
		why    string
	}{
		{"the stage is gone", func(w *world) {
			w.all()
			for n := range int64(4) {
				w.drop(n, "")
			}
		}, "of commit 4, and the stage has no manifest of that commit"},
		{"the last manifest is gone", func(w *world) { w.all(); w.drop(3, "manifest.json") }, "of commit 4, and the stage has no manifest"},
		{"manifests are gone, and more was staged", func(w *world) {
			w.die(StepPart, 8, 1)
			w.drop(1, "manifest.json")
		}, "no manifest of that commit"},
		{"published in part, and the rest is gone", func(w *world) {
			w.die(StepPut, 3, 1)
			w.drop(1, "part-000.parquet")
		}, "published in part, and 1 of its objects are in the stage no more"},
		{"a lake object is not ours", func(w *world) {
			w.die(StepPut, 4, 1)
			key := w.look().files[1]
			if err := w.lake.Store.Delete(t.Context(), key); err != nil {
				t.Fatal(err)
			}
			if err := w.lake.Store.Put(t.Context(), key, blobBytes("not ours")); err != nil {
				t.Fatal(err)
			}
		}, "is not what any attempt for commit 2 made"},
		{"the winner's manifest is gone, another attempt's is there", func(w *world) {
			w.add(start.Add(time.Minute), "auth-1")
			w.die(StepStaged, 1, 1)
			w.die(StepPut, 3, 5)
			files := w.look().files // base events, which the other has too, and sign-ins
			if err := errors.Join(w.lake.Store.Delete(t.Context(), files[0]), w.stage.Store.Delete(t.Context(), w.item().Manifest)); err != nil {
				t.Fatal(err)
			}
		}, "is not what any attempt for commit 1 made"},
		{"a manifest is damaged", func(w *world) {
			w.die(StepCommit, 2, 1)
			key := w.item().Manifest
			w.drop(1, "manifest.json")
			if err := w.stage.Store.Put(t.Context(), key, blobBytes(`{"version":`)); err != nil {
				t.Fatal(err)
			}
		}, "put the stage back"},
		{"a manifest is another's", func(w *world) {
			w.die(StepCommit, 2, 1)
			key := w.item().Manifest
			w.drop(1, "manifest.json")
			if err := w.stage.Store.Put(t.Context(), key, blobBytes(`{"version":1,"app":"compact","stream":"nagare@1764000000","shard":"shardId-000000000000","n":2,"attempt":"x"}`)); err != nil {
				t.Fatal(err)
			}
		}, "of another commit than its name says"},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t, l, 4)
			c.before(w)
			clear(w.coord.rows)
			got, err := w.rebuild(false)
			if err != nil || len(got) != 1 || got[0].Outcome != Refused || !strings.Contains(got[0].Note, c.why) {
				t.Errorf("rebuilt %+v, %v; want %q", got, err, c.why)
			}
			if len(w.coord.rows) != 0 {
				t.Errorf("a row was written: %+v", w.item())
			}
		})
	}
}

// A ledger from a backup is behind the objects: a worker refuses to go on from
// there, and the row is brought to where they are. One that is not behind is
// left alone, also when the stage is gone.
func TestLedgerBehind(t *testing.T) {
	w := newWorld(t, newLayouts(t), 4)
	w.window = 1
	w.die(StepStaged, 3, 1) // committed twice
	backup := map[string]coord.Row{}
	for k, r := range w.coord.rows {
		backup[k] = r
	}
	if _, err := w.committer(nil).Open(t.Context()); err != nil {
		t.Fatalf("Open beside what was only staged: %v", err)
	}
	w.die(StepStaged, 2, 1) // a third time
	w.coord.rows = backup
	if err := w.work(t.Context(), 1); !errors.Is(err, ErrLedgerBehind) || !strings.Contains(err.Error(), "nagare lake rebuild") {
		t.Fatalf("a worker with an old ledger: %v, want ErrLedgerBehind", err)
	}
	if got := w.stats.Stopped(); len(got) != 1 || got[0].Shard != "shardId-000000000000" {
		t.Errorf("stopped are %v", got)
	}
	got, err := w.rebuild(false)
	if err != nil || len(got) != 1 || got[0].Outcome != Advanced || !strings.Contains(got[0].Note, "the row was at commit 2") {
		t.Fatalf("rebuilt %+v, %v", got, err)
	}
	w.all()
	w.complete()
	if got := w.stats.Stopped(); len(got) != 0 {
		t.Errorf("stopped are %v", got)
	}
	for n := range int64(4) {
		w.drop(n, "")
	}
	if got, err := w.rebuild(false); err != nil || got[0].Outcome != Kept || got[0].Item != w.item() {
		t.Errorf("with a row, and without the stage: %+v, %v", got, err)
	}
}

// A row of an attempt whose bytes are not in the lake is not taken for right.
func TestRebuildKeepsNoWrongRow(t *testing.T) {
	w := newWorld(t, newLayouts(t), 2)
	w.die(StepStaged, 1, 2)
	w.die(StepPut, 1, 1)
	it, version, err := ReadItem(t.Context(), w.coord, "compact", "nagare@1764000000", "shardId-000000000000")
	if err != nil {
		t.Fatal(err)
	}
	it.Attempt = "another"
	if _, err := coord.PutJSON(t.Context(), w.coord, LedgerPart("compact", "nagare@1764000000"), "shardId-000000000000", it, version); err != nil {
		t.Fatal(err)
	}
	if got, err := w.rebuild(false); err != nil || got[0].Outcome != Refused || !strings.Contains(got[0].Note, "attempt another") {
		t.Errorf("rebuilt %+v, %v", got, err)
	}
}

// A parent is closed by the attempt that its child says it follows, and not by
// another one: else the child would wait for it for ever, when the stream has
// the parent no more.
func TestRebuildParents(t *testing.T) {
	l := newLayouts(t)
	for range 3 { // names of attempts are by chance
		w := newWorld(t, l, 1)
		w.all()
		last := w.records[0][0].Pos.Seq
		for _, to := range []string{"900", last} { // records without events
			c := w.committer(func(s Step) {
				if s == StepStaged && to != last {
					panic("gone")
				}
			})
			func() {
				defer func() { _ = recover() }()
				if it, err := c.Open(t.Context()); err != nil || it.Closed {
					t.Fatalf("%+v, %v", it, err)
				}
				b := &Batch{From: last, To: w.records[0][0].Pos, Closed: true, Fill: w.fill}
				b.To.Seq = to
				if err := c.Flush(t.Context(), b); err != nil {
					t.Fatal(err)
				}
			}()
		}
		parent := w.item()
		child := w.child()
		if _, err := child.Open(t.Context()); err != nil {
			t.Fatal(err)
		}
		b := w.batch("", 1)
		if err := child.Flush(t.Context(), b); err != nil {
			t.Fatal(err)
		}
		clear(w.coord.rows)
		if got, err := w.rebuild(false); err != nil || len(got) != 2 {
			t.Fatalf("rebuilt %+v, %v", got, err)
		}
		it, _, err := ReadItem(t.Context(), w.coord, "compact", "nagare@1764000000", "shardId-000000000000")
		if err != nil || it != parent || !it.Closed {
			t.Fatalf("the parent's row is %+v, %v; it was %+v", it, err, parent)
		}
	}
}

// What somebody removed of a commit that was published does not come back: the
// next one was begun, so it had all been there.
func TestRebuildBringsNothingBack(t *testing.T) {
	w := newWorld(t, newLayouts(t), 4)
	w.die(StepPart, 5, 1)
	list, err := w.archive.Store.List(t.Context(), archiveRoot, "", 10)
	if err != nil || len(list) != 1 {
		t.Fatalf("%v, %v", list, err)
	}
	if err := w.archive.Store.Delete(t.Context(), list[0].Key); err != nil {
		t.Fatal(err)
	}
	clear(w.coord.rows)
	got, err := w.rebuild(false)
	if err != nil || got[0].Item.N != 1 || got[0].Item.State != Published || got[0].Note != "1 of 2 objects of commit 1 are gone" {
		t.Errorf("rebuilt %+v, %v", got, err)
	}
}

// A worker dies at each of its storage calls in turn, and the next one begins
// with other boundaries and dies too; then the ledger is lost, and each call of
// rebuilding it fails once, before it is done or after. The same again makes
// the same row, and in the end each event is there once.
func TestRebuildEveryCallFails(t *testing.T) {
	l := newLayouts(t)
	fault := errors.New("the store said no")
	works, step, rebuilds, most := 0, 2, 0, 0
	if testing.Short() {
		step = 11
	}
	for n := 1; ; n += step {
		w := newWorld(t, l, 3)
		w.add(start.Add(time.Minute), "dead-1", "auth-1")
		w.window = 1 // looking for repeats would hide what is committed twice
		rng := rand.New(rand.NewPCG(uint64(n), 1))
		left := n
		dies := func(string, string) error {
			if left--; left <= 0 {
				return fault
			}
			return nil
		}
		w.faults(dies, nil)
		over := w.work(t.Context(), 2) == nil
		if !over && rng.IntN(2) == 0 {
			left = 1 + rng.IntN(20)
			_ = w.work(t.Context(), 1)
		}
		w.faults(nil, nil)
		lose := func() { clear(w.coord.rows) }
		lose()
		first, err := w.rebuild(false)
		if err != nil {
			t.Fatal(err)
		}
		want := w.item()
		for _, after := range []bool{false, true} {
			for fail := 1; ; fail++ {
				lose()
				at := fail
				hit := func(string, string) error {
					if at--; at == 0 {
						return fault
					}
					return nil
				}
				if after {
					w.faults(nil, hit)
				} else {
					w.faults(hit, nil)
				}
				rebuilds++
				if _, err := w.rebuild(false); err != nil && !errors.Is(err, fault) {
					t.Fatalf("dead at call %d, rebuild fails at call %d: %v", n, fail, err)
				}
				w.faults(nil, nil)
				got, err := w.rebuild(false)
				if err != nil || len(got) != len(first) || w.item() != want {
					t.Fatalf("dead at call %d, rebuild fails at call %d: %+v, %v; row %+v, want %+v", n, fail, got, err, w.item(), want)
				}
				if at > 0 {
					most = max(most, fail-1)
					break
				}
			}
		}
		if err := w.work(t.Context(), 1); err != nil {
			t.Fatalf("dead at call %d: %v", n, err)
		}
		w.complete()
		works++
		if over {
			break
		}
	}
	t.Logf("%d places to die, %d rebuilds, of up to %d calls", works, rebuilds, most)
	if !testing.Short() && (works < 12 || most < 8) {
		t.Errorf("only %d places to die and %d calls of a rebuild", works, most)
	}
}
