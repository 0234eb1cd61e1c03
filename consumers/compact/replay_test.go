package compact

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sync/errgroup"

	"nagare/consumers"
	"nagare/internal/blob"
	"nagare/internal/blob/blobtest"
	"nagare/internal/coord"
	"nagare/internal/lake"
)

// rowStore is a coord.Store in memory.
type rowStore struct {
	mu     sync.Mutex
	rows   map[[2]string]coord.Row
	around func(op, key string, call func() error) error
}

func (m *rowStore) do(op, part, sort string, call func() error) error {
	locked := func() error {
		m.mu.Lock()
		defer m.mu.Unlock()
		return call()
	}
	if m.around == nil {
		return locked()
	}
	return m.around(op, part+" "+sort, locked)
}

func (m *rowStore) Get(_ context.Context, part, sort string) (r coord.Row, err error) {
	err = m.do("get", part, sort, func() error {
		var ok bool
		if r, ok = m.rows[[2]string{part, sort}]; !ok {
			return coord.ErrNotFound
		}
		return nil
	})
	return r, err
}

func (m *rowStore) Put(_ context.Context, part, sort string, value []byte, ifVersion int64) (v int64, err error) {
	err = m.do("put", part, sort, func() error {
		k := [2]string{part, sort}
		if m.rows[k].Version != ifVersion {
			return coord.ErrConflict
		}
		v = ifVersion + 1
		m.rows[k] = coord.Row{Part: part, Sort: sort, Version: v, Value: slices.Clone(value)}
		return nil
	})
	return v, err
}

func (m *rowStore) Delete(context.Context, string, string, int64) error { return errors.ErrUnsupported }

func (m *rowStore) List(_ context.Context, part, after string, limit int) (out []coord.Row, err error) {
	err = m.do("list", part, after, func() error {
		for k, r := range m.rows {
			if k[0] == part && k[1] > after {
				out = append(out, r)
			}
		}
		slices.SortFunc(out, func(a, b coord.Row) int { return strings.Compare(a.Sort, b.Sort) })
		out = out[:min(len(out), limit)]
		return nil
	})
	return out, err
}

func (m *rowStore) Close() error { return nil }

// archived is a lake's archive of a shard and its child: two commits, three
// with the child's, with dead letters and repeats, one of them across the split.
func archived(t *testing.T) *rig {
	t.Helper()
	r := newRig(t)
	s, _ := r.open()
	r.process(s, record(1, "login", "no-event", "other"), record(2, "odd", "login"))
	r.flush(s, 2, false)
	again := record(3, "login", "login")
	again[1].UID = "uid-1-0"
	r.process(s, again)
	r.flush(s, 3, true)
	r.shard.ID, r.shard.Parents = "shardId-000000000001", []string{"shardId-000000000000"}
	child, _ := r.open()
	born := record(4, "login", "panic", "other")
	born[2].UID, born[2].Body = "uid-2-1", []byte("login")
	for i := range born {
		born[i].Pos.Shard = r.shard.ID
	}
	r.process(child, born)
	r.flush(child, 4, false)
	if got := r.rows(); len(got) != 5 {
		t.Fatalf("the first lake has %v", got)
	}
	return r
}

// replayTo is a lake that the archive is replayed to.
func replayTo(r *rig) (*rig, *rowStore) {
	rows := &rowStore{rows: map[[2]string]coord.Row{}}
	to := &rig{t: r.t, cfg: r.cfg, layouts: r.layouts, shard: r.shard}
	root := blobtest.Memory()
	to.cfg.Coord, to.cfg.Stage, to.cfg.Lake, to.cfg.Archive = rows, root, root, root
	to.cfg.FromStart, to.cfg.Stats, to.cfg.MaxBytes = true, &Stats{}, 1 // flush after each record
	return to, rows
}

func (r *rig) replay(ctx context.Context, from, to time.Time, archive blob.Store) (bool, error) {
	return consumers.RunArchive(ctx, consumers.Config{
		App: "replay-x", Coord: r.cfg.Coord, NewStage: New(r.cfg), Sole: true, Start: consumers.Start{Archive: from}, End: to, FlushEvery: time.Hour,
	}, lake.OpenArchive(archive, "nagare@1764000000"))
}

// TestReplayOfArchive rebuilds a lake from the archive of another one, whole
// and in part, and stops and goes on.
func TestReplayOfArchive(t *testing.T) {
	r := archived(t)
	to, _ := replayTo(r)
	for range 2 { // the second finds that all is done
		if complete, err := to.replay(t.Context(), start, start.Add(time.Hour), r.cfg.Archive); err != nil || !complete {
			t.Fatalf("complete %v, %v", complete, err)
		}
		if d := cmp.Diff(r.rows(), to.rows()); d != "" {
			t.Errorf("rows (-first +rebuilt): %s", d)
		}
		if d := cmp.Diff(r.dead(), to.dead()); d != "" {
			t.Errorf("dead letters (-first +rebuilt): %s", d)
		}
	}
	if n := to.cfg.Stats.Lake.Repeats.Load(); n != 2 {
		t.Errorf("%d repeats, want 2: one of them of before the split", n)
	}
	part, _ := replayTo(r)
	if _, err := part.replay(t.Context(), start.Add(2*time.Second), start.Add(4*time.Second), r.cfg.Archive); err != nil {
		t.Fatal(err)
	}
	want := map[string]int{"uid-2-1": 1, "uid-3-0": 1, "uid-1-0": 1} // the first of its kind there
	if d := cmp.Diff(want, part.rows()); d != "" {
		t.Errorf("a part (-want +got): %s", d)
	}
	// Another start under the same name is refused.
	if _, err := part.replay(t.Context(), start, start.Add(4*time.Second), r.cfg.Archive); err == nil {
		t.Error("another start: no error")
	}
	none, _ := replayTo(r)
	stopped, cancel := context.WithCancel(t.Context())
	cancel()
	if complete, err := none.replay(stopped, start, start.Add(time.Hour), r.cfg.Archive); complete || err != nil {
		t.Errorf("stopped at once: complete %v, %v", complete, err)
	}
	if complete, err := none.replay(t.Context(), start, start.Add(time.Hour), r.cfg.Archive); err != nil || !complete {
		t.Fatalf("after the stop: complete %v, %v", complete, err)
	}
	if d := cmp.Diff(r.rows(), none.rows()); d != "" {
		t.Errorf("after a stop (-first +rebuilt): %s", d)
	}
}

// TestReplayOfDamagedArchive ends with an error, and what follows the damage
// does not count.
func TestReplayOfDamagedArchive(t *testing.T) {
	r := archived(t)
	damaged := blobtest.Memory()
	list, err := r.cfg.Archive.List(t.Context(), "archive/", "", 100)
	if err != nil {
		t.Fatal(err)
	}
	for i, e := range list {
		b, err := blob.ReadAll(t.Context(), r.cfg.Archive, e.Key, 1<<20)
		if err != nil {
			t.Fatal(err)
		}
		if i == 1 {
			b[len(b)-1] ^= 1
		}
		if err := damaged.Put(t.Context(), e.Key, blob.Bytes(b)); err != nil {
			t.Fatal(err)
		}
	}
	to, _ := replayTo(r)
	for range 2 {
		complete, err := to.replay(t.Context(), start, start.Add(time.Hour), damaged)
		if complete || err == nil || !strings.Contains(err.Error(), list[1].Key) {
			t.Errorf("complete %v, %v; want an error that names %s", complete, err, list[1].Key)
		}
	}
	if complete, err := to.replay(t.Context(), start, start.Add(time.Hour), r.cfg.Archive); err != nil || !complete {
		t.Fatalf("after the repair: complete %v, %v", complete, err)
	}
	if d := cmp.Diff(r.rows(), to.rows()); d != "" {
		t.Errorf("after the repair (-first +rebuilt): %s", d)
	}
}

// TestReplayEveryCallFails fails each call to rows, to the new lake and to the
// archive once, before it is done or after; the replay goes on by itself, or
// with the next command. Some of the commits have dead letters.
func TestReplayEveryCallFails(t *testing.T) {
	r := archived(t)
	wantRows, wantDead := r.rows(), r.dead()
	fault := errors.New("said no")
	for _, after := range []bool{false, true} {
		var group errgroup.Group
		group.SetLimit(16) // they mostly wait before they try again
		var most atomic.Int64
		one := func(n int64) (hit bool) {
			to, rows := replayTo(r)
			var calls atomic.Int64
			around := func(_, _ string, call func() error) error {
				mine := calls.Add(1) == n
				if mine && !after {
					return fault
				}
				err := call()
				if mine && err == nil {
					return fault
				}
				return err
			}
			faulty := func(s blob.Store) *blobtest.Faults {
				ask := func(when bool) func(op, key string) error {
					return func(string, string) error {
						if when == after && calls.Add(1) == n {
							return fault
						}
						return nil
					}
				}
				return &blobtest.Faults{Store: s, Before: ask(false), After: ask(true)}
			}
			rows.around = around
			root := faulty(to.cfg.Lake)
			to.cfg.Stage, to.cfg.Lake, to.cfg.Archive = root, root, root
			from := faulty(r.cfg.Archive)
			for try := 0; ; try++ {
				complete, err := to.replay(t.Context(), start, start.Add(time.Hour), from)
				if complete && err == nil {
					break
				}
				if try == 3 {
					t.Errorf("call %d: no progress: %v", n, err)
					break
				}
			}
			hit = calls.Load() >= n
			calls.Store(1 << 40) // no more
			if d := cmp.Diff(wantRows, to.rows()); d != "" {
				t.Errorf("after %v, call %d: rows (-want +got): %s", after, n, d)
			}
			if d := cmp.Diff(wantDead, to.dead()); d != "" {
				t.Errorf("after %v, call %d: dead letters (-want +got): %s", after, n, d)
			}
			return hit
		}
		step, end := int64(5), int64(1000) // with a first call that is another each time
		if testing.Short() {
			step, end = 70, 140 // each takes seconds with the race detector
		}
		for n := 1 + rand.Int64N(step); n < end && most.Load() == 0; n += step {
			group.Go(func() error {
				if !one(n) {
					most.CompareAndSwap(0, n)
				}
				return nil
			})
		}
		_ = group.Wait()
		if !testing.Short() && most.Load() < 40 {
			t.Errorf("after %v: only %d calls were tried", after, most.Load())
		}
	}
}

// TestDeadLettersNotWritable: while the store of dead letters says no, nothing
// of the commit is in the lake, the flush fails each time, and afterwards all
// of it is there.
func TestDeadLettersNotWritable(t *testing.T) {
	r := newRig(t)
	full := fmt.Errorf("write deadletters: %w", errNoSpace)
	refuse := true
	objects := r.cfg.Archive
	r.cfg.Archive = &blobtest.Faults{Store: objects, Before: func(op, key string) error {
		if refuse && op == "put" && strings.HasPrefix(key, "deadletters/") {
			return full
		}
		return nil
	}}
	s, _ := r.open()
	r.process(s, record(1, "login", "no-event"))
	for range 3 {
		if err := s.Flush(t.Context(), at(1), false); !errors.Is(err, errNoSpace) {
			t.Fatalf("flush: %v, want that there is no room", err)
		}
		if n := len(r.cfg.Stats.Lake.DeadKinds()); n != 0 {
			t.Errorf("%d kinds of dead letters are counted that are not there", n)
		}
	}
	// Nor can another worker go past it.
	other, err := New(r.cfg)(r.shard)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := other.Open(t.Context(), r.shard); !errors.Is(err, errNoSpace) {
		t.Errorf("another worker opens the shard: %v", err)
	}
	refuse = false
	r.flush(s, 1, false)
	if got := r.rows(); len(got) != 1 || got["uid-1-0"] != 1 {
		t.Errorf("rows %v", got)
	}
	if got := r.dead(); len(got) != 1 || !strings.HasPrefix(got["uid-1-1"], "not-an-event|") {
		t.Errorf("dead letters %v", got)
	}
	if d := cmp.Diff(map[lake.DeadKind]int64{{Source: "test", Reason: "not-an-event"}: 1}, r.cfg.Stats.Lake.DeadKinds()); d != "" {
		t.Errorf("counted (-want +got): %s", d)
	}
}

var errNoSpace = errors.New("no space left on device")

var _ consumers.Archived = (*lake.Archive)(nil)
