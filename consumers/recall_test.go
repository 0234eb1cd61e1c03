package consumers

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"nagare/internal/coord"
	"nagare/internal/kinesisd"
)

// remove deletes those rows of the application's leases that which says.
func (r *rig) remove(which func(sort string, row leaseRow) bool) {
	r.t.Helper()
	part := leasePart("test", streamID(r.t, r))
	for gone := false; !gone; { // a renewal may be faster
		rows, err := coord.All(r.t.Context(), r.store, part)
		if err != nil {
			r.t.Fatal(err)
		}
		gone = true
		held, err := leaseRows(r.t.Context(), r.store, part)
		if err != nil {
			r.t.Fatal(err)
		}
		for _, row := range rows {
			if !which(row.Sort, held[row.Sort]) {
				continue
			}
			err := r.store.Delete(r.t.Context(), part, row.Sort, row.Version)
			if errors.Is(err, coord.ErrConflict) {
				gone = false
			} else if err != nil {
				r.t.Fatal(err)
			}
		}
	}
}

// finished are the shards whose rows say so.
func (r *rig) finished() (n int) {
	list, err := Checkpoints(r.t.Context(), r.store, "test", streamID(r.t, r))
	if err != nil {
		r.t.Fatal(err)
	}
	for _, c := range list {
		if c.Finished {
			n++
		}
	}
	return n
}

// parentsFirst checks that no shard was opened before its parents had ended.
func parentsFirst(t *testing.T, r *rig, lines []string) {
	t.Helper()
	_, shards, err := readShards(r.shards(), "")
	if err != nil {
		t.Fatal(err)
	}
	for id, info := range shards {
		open := slices.Index(lines, "open "+id)
		for _, p := range info.existing {
			if end := slices.Index(lines, "end "+p); open >= 0 && (end < 0 || end > open) {
				t.Errorf("%s was opened at line %d, and its parent %s ended at line %d of %v", id, open, p, end, lines)
			}
		}
	}
}

// TestTakeoverWithoutRows removes rows of a stream that was resharded, and then
// a worker dies: another takes its shards over, and nothing is lost.
func TestTakeoverWithoutRows(t *testing.T) {
	t.Parallel()
	for name, which := range map[string]func(string, leaseRow) bool{
		"all":      func(string, leaseRow) bool { return true },
		"finished": func(_ string, row leaseRow) bool { return row.Checkpoint == shardEnd },
		"live":     func(_ string, row leaseRow) bool { return row.Owner != "" },
	} {
		for _, after := range []bool{false, true} { // the others have written what they know
			t.Run(fmt.Sprintf("%s, restored=%v", name, after), func(t *testing.T) {
				t.Parallel()
				r := newRig(t, 2, kinesisd.Config{SubscriptionGap: 10 * time.Millisecond})
				frozen := &frozenStore{Store: r.store}
				var s sink
				mons := []*Monitor{{}, {}}
				r.start(Config{Monitor: mons[0], Coord: frozen, LeaseTime: 2 * time.Second}, &s)
				r.start(Config{Monitor: mons[1], LeaseTime: 2 * time.Second}, &s)
				r.put("e0")
				eventually(t, "it reads", s.has(1))
				r.split("shardId-000000000000") // into 2 and 3
				r.split("shardId-000000000001") // into 4 and 5
				eventually(t, "the parents are finished", func() bool { return r.finished() == 2 })
				r.merge("shardId-000000000003", "shardId-000000000004") // into 6: its parents have parents
				eventually(t, "those are too", func() bool { return r.finished() == 4 })
				eventually(t, "each has a part", func() bool { n := shardsOf(mons); return n[0] > 0 && n[1] > 0 && n[0]+n[1] == 3 })
				r.remove(which)
				if after {
					eventually(t, "the rows are there again", func() bool {
						list, err := Checkpoints(t.Context(), r.store, "test", streamID(t, r))
						return err == nil && len(list) == 7 && r.finished() == 4
					})
				}
				frozen.freeze(true)
				const n = 60
				for i := 1; i < n; i++ {
					r.put(fmt.Sprint("e", i))
				}
				eventually(t, "the other has all shards", func() bool { return shardsOf(mons)[1] == 3 })
				eventually(t, "all are here", func() bool { return len(s.counts()) == n })
				eventually(t, "no shard is without a worker", func() bool { return len(mons[1].Health().Unread) == 0 && r.finished() == 4 })
				s.wantAll(t, n, 3)
				parentsFirst(t, r, s.lines())
			})
		}
	}
}

// TestNobodyKnows: all rows are gone, and all workers: everything is read from
// where the application began, parents first.
func TestNobodyKnows(t *testing.T) {
	t.Parallel()
	r := newRig(t, 1, kinesisd.Config{})
	var a, b sink
	stop := r.start(Config{LeaseTime: time.Second}, &a)
	const n = 20
	for i := range n {
		if i == n/2 {
			r.split("shardId-000000000000")
		}
		r.put(fmt.Sprint("e", i))
	}
	eventually(t, "all are here", a.has(n))
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	r.remove(func(string, leaseRow) bool { return true })
	r.start(Config{LeaseTime: time.Second}, &b)
	eventually(t, "all are here again", b.has(n))
	b.wantAll(t, n, 1)
	parentsFirst(t, r, b.lines())
}

// TestRowsRemovedAtRandom removes rows again and again, under load, while
// shards are split and workers die and come: nothing is skipped, and no shard
// is opened before its parents were finished.
func TestRowsRemovedAtRandom(t *testing.T) {
	if testing.Short() {
		t.Skip("it takes a while")
	}
	t.Parallel()
	for seed := range uint64(2) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			t.Parallel()
			r := newRig(t, 2, kinesisd.Config{})
			rnd := rand.New(rand.NewPCG(seed, 1))
			var s sink
			cfg := Config{LeaseTime: time.Second}
			frozen := &frozenStore{Store: r.store}
			dies := cfg
			dies.Coord = frozen
			r.start(dies, &s)
			r.start(cfg, &s)
			const n = 150
			for i := range n {
				r.put(fmt.Sprint("e", i))
				time.Sleep(20 * time.Millisecond)
				switch i {
				case 30:
					r.split("shardId-000000000000") // into 2 and 3
				case 60:
					r.split("shardId-000000000003") // into 4 and 5
				case 80:
					frozen.freeze(true)
				case 100:
					r.start(cfg, &s)
				}
				if rnd.IntN(6) == 0 {
					part := rnd.Float64()
					r.remove(func(string, leaseRow) bool { return rnd.Float64() < part })
				}
			}
			eventually(t, "all are here", func() bool { return len(s.counts()) == n })
			eventually(t, "all parents are finished", func() bool { return r.finished() == 2 })
			parentsFirst(t, r, s.lines())
		})
	}
}

// TestWhatRowsTell is about a worker that has seen nothing, and one that has.
func TestWhatRowsTell(t *testing.T) {
	shards := map[string]shardInfo{
		"0": {id: "0"}, "1": {id: "1"},
		"2": {id: "2", existing: []string{"0"}}, "3": {id: "3", existing: []string{"1"}},
		"4": {id: "4", existing: []string{"2", "3"}},
	}
	ended, owned, free := leaseRow{Checkpoint: shardEnd}, leaseRow{Owner: "x"}, leaseRow{Epoch: 2}
	for name, c := range map[string]struct {
		stored, seen map[string]leaseRow
		finished     []string
		open         []string // what may be opened
	}{
		"nothing":                             {open: []string{"0", "1"}},
		"a grandchild has a worker":           {stored: map[string]leaseRow{"4": owned}, finished: []string{"0", "1", "2", "3"}, open: []string{"4"}},
		"a grandchild has a place":            {stored: map[string]leaseRow{"4": {Checkpoint: "7"}}, finished: []string{"0", "1", "2", "3"}, open: []string{"4"}},
		"a grandchild is to begin":            {stored: map[string]leaseRow{"4": free}, open: []string{"0", "1"}},
		"one line":                            {stored: map[string]leaseRow{"2": ended}, finished: []string{"0"}, open: []string{"1"}},
		"a parent is read again":              {stored: map[string]leaseRow{"0": owned, "2": {Checkpoint: "7"}}, open: []string{"0", "1", "2"}},
		"it is finished, and was seen":        {seen: map[string]leaseRow{"0": ended}, finished: []string{"0"}, open: []string{"1", "2"}},
		"it was seen, and is to be read anew": {seen: map[string]leaseRow{"0": ended}, stored: map[string]leaseRow{"0": free}, open: []string{"0", "1"}},
		"a child was seen":                    {seen: map[string]leaseRow{"3": owned}, finished: []string{"1"}, open: []string{"0", "3"}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				store := &memStore{}
				l := testLeases(store, "b")
				l.start = Start{Time: time.Unix(7, 0).UTC()}
				g := newGroup(l, "a", "s@1", func(context.Context) (map[string]shardInfo, error) { return shards, nil })
				rows := func(rows map[string]leaseRow) map[string]leaseRow {
					store.rows = nil
					for id, row := range rows {
						if _, err := coord.PutJSON(t.Context(), store, l.part, id, row, 0); err != nil {
							t.Fatal(err)
						}
					}
					got, err := g.view(t.Context())
					if err != nil {
						t.Fatal(err)
					}
					time.Sleep(2 * time.Second)
					return got
				}
				rows(c.seen)
				rows(c.stored)
				if d := cmp.Diff(c.finished, g.finished); d != "" {
					t.Errorf("finished (-want +got):\n%s", d)
				}
				var open []string
				for id, info := range shards {
					if !l.done(g.rows[id]) && readable(info, g.rows) {
						open = append(open, id)
					}
				}
				slices.Sort(open)
				if d := cmp.Diff(c.open, open); d != "" {
					t.Errorf("may be opened (-want +got):\n%s", d)
				}
				if err := g.restore(t.Context()); err != nil {
					t.Fatal(err)
				}
				for _, id := range c.finished {
					if row, _, err := l.read(t.Context(), id); err != nil || row.Checkpoint != shardEnd {
						t.Errorf("the row of %s is %+v, %v", id, row, err)
					}
				}
				var start Start
				if _, err := coord.GetJSON(t.Context(), store, l.part, startRow, &start); err != nil || start != l.start {
					t.Errorf("the start is %v, %v", start, err)
				}
			})
		})
	}
}

// TestSeenOwner: who was seen with a lease keeps it for its time when the row is
// gone, and then a worker that has seen it goes on at its checkpoint.
func TestSeenOwner(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, store := t.Context(), &memStore{}
		a, b := testLeases(store, "a"), testLeases(store, "b")
		g := newGroup(b, "a", "s@1", func(context.Context) (map[string]shardInfo, error) {
			return map[string]shardInfo{"0": {id: "0"}}, nil
		})
		la, err := a.take(ctx, "0")
		if err != nil {
			t.Fatal(err)
		}
		if err := la.checkpoint(ctx, "7", time.Unix(1, 0)); err != nil {
			t.Fatal(err)
		}
		if _, err := g.view(ctx); err != nil {
			t.Fatal(err)
		}
		store.rows = nil
		for range 9 {
			time.Sleep(time.Second)
			if _, err := g.view(ctx); err != nil {
				t.Fatal(err)
			}
			if _, err := b.take(ctx, "0"); !errors.Is(err, errNotFree) {
				t.Fatalf("b takes what a has: %v", err)
			}
		}
		time.Sleep(time.Second)
		lb, err := b.take(ctx, "0")
		if err != nil || lb.stored() != "7" || lb.epoch != la.epoch+1 {
			t.Fatalf("b goes on at %q, %v", lb.stored(), err)
		}
	})
}
