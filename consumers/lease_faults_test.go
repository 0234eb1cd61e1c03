package consumers

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"nagare"
	"nagare/internal/coord"
	"nagare/internal/kinesisd"
)

// TestRunSurvivesLostRows removes all rows of the application while it works,
// as when the table is deleted: no shard changes hands, nothing comes twice,
// and the checkpoints are there again.
func TestRunSurvivesLostRows(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, fanOut bool) {
		r := newRig(t, 2, kinesisd.Config{SubscriptionGap: time.Millisecond})
		var s sink
		mon := &Monitor{}
		cfg := Config{FanOut: fanOut, Monitor: mon, LeaseTime: 600 * time.Millisecond, floor: 10 * time.Millisecond}
		stop := r.start(cfg, &s)
		const n = 40
		for i := range n / 2 {
			r.put(fmt.Sprint("e", i))
		}
		eventually(t, "half is here", s.has(n/2))
		id := streamID(t, r)
		eventually(t, "half is checkpointed", func() bool {
			cks, err := Checkpoints(t.Context(), r.store, "test", id)
			return err == nil && len(cks) == 2 && cks[0].Seq != "" && cks[1].Seq != ""
		})
		before, _ := Checkpoints(t.Context(), r.store, "test", id)
		for _, part := range []string{leasePart("test", id), "worker/test/" + id} {
			rows, err := coord.All(t.Context(), r.store, part)
			if err != nil || len(rows) == 0 {
				t.Fatalf("no rows at %s: %v", part, err)
			}
			for _, row := range rows {
				for err := errors.New("again"); err != nil; { // a renewal may be faster
					if row, err = r.store.Get(t.Context(), part, row.Sort); err != nil {
						t.Fatal(err)
					}
					err = r.store.Delete(t.Context(), part, row.Sort, row.Version)
				}
			}
		}
		eventually(t, "the rows are there again", func() bool {
			now, err := Checkpoints(t.Context(), r.store, "test", id)
			return err == nil && len(now) == 2 && nagare.CompareSeq(now[0].Seq, before[0].Seq) >= 0 && nagare.CompareSeq(now[1].Seq, before[1].Seq) >= 0
		})
		for i := n / 2; i < n; i++ {
			r.put(fmt.Sprint("e", i))
		}
		eventually(t, "all are here", s.has(n))
		if h := mon.Health(); h.Counts.LeasesTaken != 2 || h.Counts.LeasesLost != 0 {
			t.Errorf("%d sessions, %d lost; want 2, 0", h.Counts.LeasesTaken, h.Counts.LeasesLost)
		}
		if err := stop(); err != nil {
			t.Error(err)
		}
		s.wantAll(t, n, 1)
	})
}

// TestRunBesideEditedCheckpoints sets checkpoints back and forward while
// nobody looks: a stage with a ledger of its own gets each record once all the
// same.
func TestRunBesideEditedCheckpoints(t *testing.T) {
	t.Parallel()
	for name, edit := range map[string]func(row *leaseRow){
		"back":    func(row *leaseRow) { row.Checkpoint = "1" },
		"forward": func(row *leaseRow) { row.Checkpoint += "000" },
		"gone":    func(row *leaseRow) { row.Checkpoint = "" },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, 1, kinesisd.Config{})
			var s sink
			last := "0"
			s.open = func(Shard) (nagare.Position, error) { return nagare.Position{Seq: last}, nil }
			s.flush = func(_ Shard, to nagare.Position, _ bool) error { last = to.Seq; return nil }
			const n = 20
			for i := range n {
				r.put(fmt.Sprint("e", i))
				if i == n/2 {
					stop := r.start(Config{Sole: true}, &s)
					eventually(t, "half is here", s.has(n/2+1))
					if err := stop(); err != nil {
						t.Fatal(err)
					}
					part, shard := leasePart("test", streamID(t, r)), "shardId-000000000000"
					var row leaseRow
					v, err := coord.GetJSON(t.Context(), r.store, part, shard, &row)
					if err != nil || row.Checkpoint == "" {
						t.Fatalf("row %+v, %v", row, err)
					}
					edit(&row)
					if _, err := coord.PutJSON(t.Context(), r.store, part, shard, row, v); err != nil {
						t.Fatal(err)
					}
				}
			}
			r.start(Config{Sole: true}, &s)
			eventually(t, "all are here", s.has(n))
			time.Sleep(50 * time.Millisecond) // for one too many
			s.wantAll(t, n, 1)
		})
	}
}

// flaky is a memStore that fails a part of its calls, by a seed; half of the
// writes that fail are applied.
type flaky struct {
	*memStore
	rnd  *rand.Rand
	part float64
}

func (f *flaky) fails() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.rnd.Float64() < f.part
}

func (f *flaky) Get(ctx context.Context, part, sort string) (coord.Row, error) {
	if f.fails() {
		return coord.Row{}, errStore
	}
	return f.memStore.Get(ctx, part, sort)
}

func (f *flaky) Put(ctx context.Context, part, sort string, value []byte, ifVersion int64) (int64, error) {
	if f.fails() {
		if f.fails() {
			_, _ = f.memStore.Put(ctx, part, sort, value, ifVersion)
		}
		return 0, errStore
	}
	return f.memStore.Put(ctx, part, sort, value, ifVersion)
}

// TestLeaseSurvivesThrottling: a store that refuses a third of the calls for
// ten minutes costs no lease; one that refuses all for two minutes costs one,
// and the shard is taken again as soon as it answers.
func TestLeaseSurvivesThrottling(t *testing.T) {
	for seed := range uint64(20) {
		synctest.Test(t, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			store := &flaky{memStore: &memStore{}, rnd: rand.New(rand.NewPCG(seed, 3))}
			l := testLeases(store, "a")
			la := mustTake(t, l)
			go la.keep(ctx)
			store.set(func() { store.part = 0.3 })
			select {
			case <-la.lost:
				t.Fatalf("seed %d: the lease was lost to a third of refusals", seed)
			case <-time.After(10 * time.Minute):
			}
			store.set(func() { store.part = 1 })
			time.Sleep(2 * time.Minute)
			select {
			case <-la.lost:
			default:
				t.Error("a lease is believed in for two minutes without a store")
			}
			store.set(func() { store.part = 0 })
			if again := mustTake(t, l); again.epoch != 2 {
				t.Errorf("epoch %d", again.epoch)
			}
			cancel()
			synctest.Wait()
		})
	}
}

// TestRunUnderFlappingLeases takes the lease away several times a second, with
// two workers who want it: nothing is lost, and things move on.
func TestRunUnderFlappingLeases(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, fanOut bool) {
		r := newRig(t, 1, kinesisd.Config{SubscriptionGap: time.Millisecond})
		var s sink
		mons := []*Monitor{{}, {}}
		for _, m := range mons {
			r.start(Config{FanOut: fanOut, Monitor: m, LeaseTime: time.Second, FlushEvery: 20 * time.Millisecond, floor: time.Millisecond}, &s)
		}
		part, shard := leasePart("test", streamID(t, r)), "shardId-000000000000"
		const n = 60
		for i := range n {
			r.put(fmt.Sprint("e", i))
			time.Sleep(20 * time.Millisecond)
			if i%15 != 14 {
				continue
			}
			row := func() (row leaseRow, v int64) {
				v, err := coord.GetJSON(t.Context(), r.store, part, shard, &row)
				if err != nil {
					t.Fatal(err)
				}
				return row, v
			}
			eventually(t, "the lease is taken away", func() bool {
				row, v := row()
				if row.Owner == "" {
					return false
				}
				row.Owner, row.Epoch = "", row.Epoch+1
				_, err := coord.PutJSON(t.Context(), r.store, part, shard, row, v)
				return err == nil
			})
			eventually(t, "somebody has it again", func() bool { row, _ := row(); return row.Owner != "" })
		}
		eventually(t, "all are here", func() bool { return len(s.counts()) == n })
		id := streamID(t, r)
		eventually(t, "all is checkpointed", func() bool {
			cks, err := Checkpoints(t.Context(), r.store, "test", id)
			s.mu.Lock()
			defer s.mu.Unlock()
			last := "0"
			for _, ev := range s.events {
				if nagare.CompareSeq(ev.Pos.Seq, last) > 0 {
					last = ev.Pos.Seq
				}
			}
			return err == nil && len(cks) == 1 && cks[0].Seq == last
		})
		eventually(t, "all tenures that were cut short have noticed", func() bool {
			return mons[0].Health().Counts.LeasesLost+mons[1].Health().Counts.LeasesLost == n/15
		})
	})
}

// TestHealthNamesWhatDoesNotReturn: a stage that hangs is a reason too.
func TestHealthNamesWhatDoesNotReturn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := (&Monitor{}).add("shard", 1)
		st.calling("process")
		time.Sleep(longCall - time.Second)
		if h := st.snapshot(); h.Reason != "" {
			t.Errorf("reason %q before its time", h.Reason)
		}
		time.Sleep(2 * time.Second)
		if h := st.snapshot(); !strings.Contains(h.Reason, "process: has not returned for 31s") {
			t.Errorf("reason %q", h.Reason)
		}
		st.calling("")
		if h := st.snapshot(); h.Reason != "" {
			t.Errorf("reason %q after it has returned", h.Reason)
		}
	})
}
