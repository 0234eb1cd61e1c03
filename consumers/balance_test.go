package consumers

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"nagare/internal/kinesisd"
)

// shardsOf are how many shards each monitor's Run reads.
func shardsOf(mons []*Monitor) (out []int) {
	for _, m := range mons {
		out = append(out, len(m.Health().Shards))
	}
	return out
}

// TestRunBalances: workers come and go, and each has within one as many shards
// as another; and what is even stays as it is.
func TestRunBalances(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, fanOut bool) {
		const shards = 8
		r := newRig(t, shards, kinesisd.Config{SubscriptionGap: time.Millisecond})
		var s sink
		var mons []*Monitor
		var stops []func() error
		begin := func() {
			m := &Monitor{}
			mons = append(mons, m)
			stops = append(stops, r.start(Config{FanOut: fanOut, Monitor: m, LeaseTime: time.Second, floor: 10 * time.Millisecond}, &s))
		}
		even := func(want ...int) {
			t.Helper()
			eventually(t, fmt.Sprintf("the shards are divided as %v", want), func() bool {
				got := shardsOf(mons)
				slices.Sort(got)
				return slices.Equal(got, want)
			})
		}
		taken := func() (n uint64) {
			for _, m := range mons {
				n += m.Health().Counts.LeasesTaken
			}
			return n
		}
		begin()
		even(8)
		begin()
		even(4, 4)
		begin()
		even(2, 3, 3)
		before := taken()
		time.Sleep(700 * time.Millisecond) // seven looks at how things are
		if after := taken(); after != before {
			t.Errorf("%d leases were taken though all was even", after-before)
		}
		const n = 80
		for i := range n {
			r.put(fmt.Sprint("e", i))
		}
		eventually(t, "all are here", s.has(n))
		if err := stops[0](); err != nil {
			t.Error(err)
		}
		even(0, 4, 4)
		for i := n; i < 2*n; i++ {
			r.put(fmt.Sprint("e", i))
		}
		eventually(t, "all are here", s.has(2*n))
		s.wantAll(t, 2*n, 1)
	})
}

// TestShares says who may take and who gives up, for a worker b with mine
// shards among others.
func TestShares(t *testing.T) {
	for name, c := range map[string]struct {
		shards int
		others map[string]int
		mine   int
		take   bool
		give   int
	}{
		"alone":                        {8, nil, 7, true, 0},
		"alone, all of it":             {8, nil, 8, false, 0},
		"newly there":                  {8, map[string]int{"a": 8}, 0, true, 0},
		"another is newly there":       {8, map[string]int{"a": 0}, 8, false, 2},
		"even":                         {8, map[string]int{"a": 4}, 4, false, 0},
		"one more":                     {7, map[string]int{"a": 3}, 4, false, 0},
		"one less":                     {7, map[string]int{"a": 4}, 3, false, 0},
		"two with one more, and last":  {4, map[string]int{"a": 2, "c": 0}, 2, false, 1},
		"two with one more, and first": {4, map[string]int{"c": 2, "d": 0}, 2, false, 0}, // c gives
		"one for two":                  {1, map[string]int{"a": 0}, 0, true, 0},
		"one for two, taken":           {1, map[string]int{"a": 1}, 0, false, 0},
		"none":                         {0, map[string]int{"a": 0}, 0, false, 0},
		"a free one of an odd number":  {3, map[string]int{"a": 1}, 1, true, 0},
		"a free one that another gets": {3, map[string]int{"a": 2}, 1, false, 0},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				g := newGroup(testLeases(&memStore{}, "b"), "a", "s@1", nil)
				shards := map[string]shardInfo{}
				g.rows = map[string]leaseRow{}
				next := 0
				own := func(w string, n int) {
					for range n {
						id := fmt.Sprint(next)
						next++
						shards[id], g.rows[id] = shardInfo{id: id}, leaseRow{Owner: w}
					}
				}
				own("b", c.mine)
				for w, n := range c.others {
					g.workers[w] = sighting{1, time.Now()}
					own(w, n)
				}
				own("", c.shards-next)
				if got := g.mayTake("x", shards, c.mine); got != c.take {
					t.Errorf("may take: %v, want %v", got, c.take)
				}
				if n := g.excess(shards, c.mine); n != 0 {
					t.Errorf("gives up %d at first sight", n)
				}
				time.Sleep(3 * g.pace)
				if n := g.excess(shards, c.mine); n != c.give {
					t.Errorf("gives up %d, want %d", n, c.give)
				}
			})
		})
	}
}

// TestAnybodyMayTakeWhatNobodyTakes: a worker that has its share takes a shard
// that the one it is for does not come for.
func TestAnybodyMayTakeWhatNobodyTakes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		shards := map[string]shardInfo{"0": {id: "0"}, "1": {id: "1"}}
		g := newGroup(testLeases(&memStore{}, "b"), "a", "s@1", func(context.Context) (map[string]shardInfo, error) { return shards, nil })
		g.workers["a"] = sighting{1, time.Now()}
		if _, err := g.leases.take(t.Context(), "0"); err != nil {
			t.Fatal(err)
		}
		if _, err := g.view(t.Context()); err != nil {
			t.Fatal(err)
		}
		for i := range 5 {
			g.workers["a"] = sighting{int64(i), time.Now()} // a lives, and takes nothing
			if g.mayTake("1", shards, 1) {
				t.Fatalf("taken after %d s, and it is a's", i)
			}
			time.Sleep(time.Second)
		}
		if !g.mayTake("1", shards, 1) {
			t.Error("not taken after 5 s")
		}
		if n := g.excess(shards, 2); n != 0 {
			t.Errorf("it gives up %d at once", n)
		}
		time.Sleep(5 * time.Second)
		if _, err := g.view(t.Context()); err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff([]string{"1"}, keys(g.unread())); d != "" {
			t.Errorf("unread (-want +got):\n%s", d)
		}
	})
}

func keys[V any](m map[string]V) (out []string) {
	for k := range m {
		out = append(out, k)
	}
	slices.Sort(out)
	return out
}

// TestWorkersMeet: a worker is there while its row changes, and forgotten long
// after that.
func TestWorkersMeet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx := t.Context()
		store := &memStore{}
		a := newGroup(testLeases(store, "a"), "x", "s@1", nil)
		b := newGroup(testLeases(store, "b"), "x", "s@1", nil)
		meet := func(groups ...*group) {
			for _, g := range groups {
				if err := g.meet(ctx); err != nil {
					t.Fatal(err)
				}
			}
		}
		others := func() int { return len(a.divide(nil, 0).has) - 1 }
		for range 30 {
			meet(b, a)
			if others() != 1 {
				t.Fatal("a does not see b")
			}
			time.Sleep(time.Second)
		}
		for range 9 {
			meet(a)
			time.Sleep(time.Second)
		}
		if others() != 0 {
			t.Error("b is counted though it was not heard of for ten seconds")
		}
		for range 120 {
			meet(a)
			time.Sleep(time.Second)
		}
		if len(store.rows) != 1 {
			t.Errorf("%d rows, want a's alone", len(store.rows))
		}
		meet(b) // it was only frozen
		meet(a)
		if others() != 1 {
			t.Error("a does not see b again")
		}
		if err := b.leave(ctx); err != nil {
			t.Fatal(err)
		}
		meet(a)
		if others() != 0 {
			t.Error("b is counted though it has left")
		}
	})
}
