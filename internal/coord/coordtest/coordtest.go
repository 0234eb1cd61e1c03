// Package coordtest says what every coord.Store must do, as a test suite. It
// is the reason why code written on one store runs on another.
package coordtest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"

	"nagare/internal/coord"
)

// Run tests the stores that open returns. Each call of open gives another
// handle on the same rows, as another process would have.
func Run(t *testing.T, open func(t *testing.T) coord.Store) {
	s := open(t)
	t.Run("RoundTrip", func(t *testing.T) { roundTrip(t, s) })
	t.Run("Conditions", func(t *testing.T) { conditions(t, s) })
	t.Run("Limits", func(t *testing.T) { limits(t, s) })
	t.Run("List", func(t *testing.T) { list(t, s) })
	t.Run("OneWinner", func(t *testing.T) { oneWinner(t, s, open(t)) })
	t.Run("Counter", func(t *testing.T) { counter(t, s, open(t)) })
	t.Run("Reopen", func(t *testing.T) { reopen(t, s, open) })
	t.Run("Cancelled", func(t *testing.T) { cancelled(t, s) })
}

func roundTrip(t *testing.T, s coord.Store) {
	ctx := t.Context()
	if _, err := s.Get(ctx, "round", "a"); !errors.Is(err, coord.ErrNotFound) {
		t.Fatalf("Get of no row: %v, want ErrNotFound", err)
	}
	for i, value := range [][]byte{[]byte(`{"x":1}`), {}, {0, 255, '\''}, bytes.Repeat([]byte{'v'}, coord.MaxValue)} {
		v, err := s.Put(ctx, "round", "a", value, int64(i))
		if err != nil || v != int64(i+1) {
			t.Fatalf("Put %d = %d, %v; want version %d", i, v, err, i+1)
		}
		got, err := s.Get(ctx, "round", "a")
		if err != nil {
			t.Fatal(err)
		}
		if got.Part != "round" || got.Sort != "a" || got.Version != v || !bytes.Equal(got.Value, value) {
			t.Errorf("Get = %s %s version %d, %d bytes; want what was put (%d bytes)", got.Part, got.Sort, got.Version, len(got.Value), len(value))
		}
	}
}

func conditions(t *testing.T, s coord.Store) {
	ctx := t.Context()
	put := func(want error, value string, ifVersion int64) {
		t.Helper()
		if _, err := s.Put(ctx, "cond", "a", []byte(value), ifVersion); !errors.Is(err, want) {
			t.Errorf("Put if version %d: %v, want %v", ifVersion, err, want)
		}
	}
	del := func(want error, ifVersion int64) {
		t.Helper()
		if err := s.Delete(ctx, "cond", "a", ifVersion); !errors.Is(err, want) {
			t.Errorf("Delete if version %d: %v, want %v", ifVersion, err, want)
		}
	}
	put(coord.ErrConflict, "early", 1)
	del(coord.ErrConflict, 1)
	del(coord.ErrConflict, 0)
	put(nil, "one", 0)
	put(coord.ErrConflict, "again", 0)
	put(coord.ErrConflict, "future", 2)
	put(nil, "two", 1)
	put(coord.ErrConflict, "stale", 1)
	del(coord.ErrConflict, 1)
	if r, err := s.Get(ctx, "cond", "a"); err != nil || string(r.Value) != "two" {
		t.Errorf("after refused writes the row is %q, %v; want two", r.Value, err)
	}
	del(nil, 2)
	if _, err := s.Get(ctx, "cond", "a"); !errors.Is(err, coord.ErrNotFound) {
		t.Errorf("Get after Delete: %v, want ErrNotFound", err)
	}
	put(coord.ErrConflict, "zombie", 2)
	put(nil, "new life", 0)
}

func limits(t *testing.T, s coord.Store) {
	ctx := t.Context()
	for name, c := range map[string]struct {
		part, sort string
		size       int
	}{
		"value":      {"limit", "a", coord.MaxValue + 1},
		"empty part": {"", "a", 1},
		"empty sort": {"limit", "", 1},
		"long part":  {strings.Repeat("p", 2049), "a", 1},
		"long sort":  {"limit", strings.Repeat("s", 1025), 1},
	} {
		_, err := s.Put(ctx, c.part, c.sort, make([]byte, c.size), 0)
		if err == nil || errors.Is(err, coord.ErrConflict) {
			t.Errorf("%s: Put = %v, want an error about the limit", name, err)
		}
	}
	if rows, err := s.List(ctx, "limit", "", 10); err != nil || len(rows) != 0 {
		t.Errorf("refused rows are there: %v, %v", rows, err)
	}
	if _, err := s.List(ctx, "limit", "", 0); err == nil {
		t.Error("List with limit 0: no error")
	}
}

func list(t *testing.T, s coord.Store) {
	ctx := t.Context()
	// In the order of their bytes: upper case before lower, 10 before 9.
	want := []string{"A", "a", "a b", "a'", "a0", "s10", "s9", "é", "東京"}
	for _, k := range []int{8, 1, 5, 0, 7, 2, 6, 3, 4} {
		if _, err := s.Put(ctx, "list/x", want[k], []byte(want[k]), 0); err != nil {
			t.Fatal(err)
		}
	}
	for _, other := range []string{"list/w", "list/xx", "list/"} {
		if _, err := s.Put(ctx, other, "other", nil, 0); err != nil {
			t.Fatal(err)
		}
	}
	for _, limit := range []int{1, 2, 3, len(want), 100} {
		var got []string
		for after, more := "", true; more; {
			rows, err := s.List(ctx, "list/x", after, limit)
			if err != nil {
				t.Fatal(err)
			}
			for _, r := range rows {
				if r.Part != "list/x" || r.Version != 1 || string(r.Value) != r.Sort {
					t.Errorf("row %+v is not what was put", r)
				}
				got, after = append(got, r.Sort), r.Sort
			}
			more = len(rows) == limit
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("pages of %d (-want +got):\n%s", limit, d)
		}
	}
	all, err := coord.All(ctx, s, "list/x")
	if err != nil || len(all) != len(want) {
		t.Errorf("All gives %d rows, %v; want %d", len(all), err, len(want))
	}
}

// oneWinner lets many writers race for the same version.
func oneWinner(t *testing.T, a, b coord.Store) {
	ctx := t.Context()
	for round := range 20 {
		var wins, errs atomic.Int32
		var winner atomic.Value
		var wg sync.WaitGroup
		start := make(chan struct{})
		for w := range 8 {
			s := []coord.Store{a, b}[w%2]
			wg.Go(func() {
				<-start
				me := fmt.Sprintf("%d/%d", round, w)
				switch _, err := s.Put(ctx, "race", "a", []byte(me), int64(round)); {
				case err == nil:
					wins.Add(1)
					winner.Store(me)
				case !errors.Is(err, coord.ErrConflict):
					errs.Add(1)
					t.Error(err)
				}
			})
		}
		close(start)
		wg.Wait()
		if wins.Load() != 1 || errs.Load() != 0 {
			t.Fatalf("round %d: %d winners, want 1", round, wins.Load())
		}
		if r, err := a.Get(ctx, "race", "a"); err != nil || string(r.Value) != winner.Load() {
			t.Fatalf("the row is %q, %v; the winner wrote %v", r.Value, err, winner.Load())
		}
	}
}

// counter adds with read, add, conditional write: no addition may be lost.
func counter(t *testing.T, stores ...coord.Store) {
	ctx := t.Context()
	const each = 25
	var wg sync.WaitGroup
	for w := range 4 {
		s := stores[w%len(stores)]
		wg.Go(func() {
			for done := 0; done < each; {
				var n int
				v, err := coord.GetJSON(ctx, s, "counter", "n", &n)
				if err != nil && !errors.Is(err, coord.ErrNotFound) {
					t.Error(err)
					return
				}
				switch _, err := coord.PutJSON(ctx, s, "counter", "n", n+1, v); {
				case err == nil:
					done++
				case !errors.Is(err, coord.ErrConflict):
					t.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	var n int
	if v, err := coord.GetJSON(ctx, stores[0], "counter", "n", &n); err != nil || n != 4*each || v != 4*each {
		t.Errorf("counter = %d at version %d, %v; want %d at %d", n, v, err, 4*each, 4*each)
	}
}

func reopen(t *testing.T, s coord.Store, open func(*testing.T) coord.Store) {
	ctx := t.Context()
	if _, err := s.Put(ctx, "reopen", "a", []byte("kept"), 0); err != nil {
		t.Fatal(err)
	}
	again := open(t)
	r, err := again.Get(ctx, "reopen", "a")
	if err != nil || string(r.Value) != "kept" || r.Version != 1 {
		t.Fatalf("after opening again: %+v, %v", r, err)
	}
	if err := again.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Put(ctx, "reopen", "a", []byte("more"), 1); err != nil {
		t.Errorf("closing one handle broke the other: %v", err)
	}
}

func cancelled(t *testing.T, s coord.Store) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.Get(ctx, "cancel", "a"); err == nil || errors.Is(err, coord.ErrNotFound) {
		t.Errorf("Get with a context that is over: %v, want an error", err)
	}
	if _, err := s.Put(ctx, "cancel", "a", nil, 0); err == nil || errors.Is(err, coord.ErrConflict) {
		t.Errorf("Put with a context that is over: %v, want an error", err)
	}
}
