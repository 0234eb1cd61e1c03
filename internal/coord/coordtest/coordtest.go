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
	t.Run("LongList", func(t *testing.T) { longList(t, s) })
	t.Run("VersionsDoNotReturn", func(t *testing.T) { versionsDoNotReturn(t, s) })
	t.Run("OneWinner", func(t *testing.T) { oneWinner(t, s, open(t)) })
	t.Run("Counter", func(t *testing.T) { counter(t, s, open(t)) })
	t.Run("Tenures", func(t *testing.T) { tenures(t, s, open(t)) })
	t.Run("Reopen", func(t *testing.T) { reopen(t, s, open) })
	t.Run("Cancelled", func(t *testing.T) { cancelled(t, s) })
}

func roundTrip(t *testing.T, s coord.Store) {
	ctx := t.Context()
	if _, err := s.Get(ctx, "round", "a"); !errors.Is(err, coord.ErrNotFound) {
		t.Fatalf("Get of no row: %v, want ErrNotFound", err)
	}
	var last int64
	for i, value := range [][]byte{
		[]byte(`{"x":1}`), {}, {0, 255, '\''}, []byte("\x00\b\u2028\u00a0\U0001f600 <&>\\\""), {0xed, 0xa0, 0x80},
		bytes.Repeat([]byte{'v'}, coord.MaxValue), bytes.Repeat([]byte{1}, coord.MaxValue), bytes.Repeat([]byte{0xff}, coord.MaxValue),
	} {
		v, err := s.Put(ctx, "round", "a", value, last)
		if err != nil || v < 1 || last != 0 && v != last+1 {
			t.Fatalf("Put %d if version %d = %d, %v; want the next version", i, last, v, err)
		}
		last = v
		got, err := s.Get(ctx, "round", "a")
		if err != nil {
			t.Fatal(err)
		}
		if got.Part != "round" || got.Sort != "a" || got.Version != v || !bytes.Equal(got.Value, value) {
			t.Errorf("%d: Get = %s %s version %d, %d bytes; want what was put (%d bytes)", i, got.Part, got.Sort, got.Version, len(got.Value), len(value))
		}
	}
	// The largest row there may be: keys and value at their limits.
	part, sort := strings.Repeat("p", 2048), strings.Repeat("s", 1024)
	if _, err := s.Put(ctx, part, sort, bytes.Repeat([]byte{0xff}, coord.MaxValue), 0); err != nil {
		t.Errorf("the largest row: %v", err)
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
	version := func() int64 {
		t.Helper()
		r, err := s.Get(ctx, "cond", "a")
		if err != nil {
			t.Fatal(err)
		}
		return r.Version
	}
	put(coord.ErrConflict, "early", 1)
	del(coord.ErrConflict, 1)
	del(coord.ErrConflict, 0)
	put(nil, "one", 0)
	v := version()
	put(coord.ErrConflict, "again", 0)
	put(coord.ErrConflict, "future", v+1)
	put(nil, "two", v)
	put(coord.ErrConflict, "stale", v)
	del(coord.ErrConflict, v)
	if r, err := s.Get(ctx, "cond", "a"); err != nil || string(r.Value) != "two" || r.Version != v+1 {
		t.Errorf("after refused writes the row is %q, %v; want two", r.Value, err)
	}
	del(nil, v+1)
	if _, err := s.Get(ctx, "cond", "a"); !errors.Is(err, coord.ErrNotFound) {
		t.Errorf("Get after Delete: %v, want ErrNotFound", err)
	}
	put(coord.ErrConflict, "zombie", v+1)
	put(nil, "new life", 0)
}

// versionsDoNotReturn holds that who read a row that was removed cannot touch
// the one that was made in its place.
func versionsDoNotReturn(t *testing.T, s coord.Store) {
	ctx := t.Context()
	seen := map[int64]bool{}
	for range 10 {
		old, err := s.Put(ctx, "again", "a", []byte("old"), 0)
		if err != nil {
			t.Fatal(err)
		}
		if seen[old] {
			t.Fatalf("version %d again", old)
		}
		seen[old] = true
		if err := s.Delete(ctx, "again", "a", old); err != nil {
			t.Fatal(err)
		}
		fresh, err := s.Put(ctx, "again", "a", []byte("new"), 0)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.Put(ctx, "again", "a", []byte("zombie"), old); !errors.Is(err, coord.ErrConflict) {
			t.Errorf("Put by who read the row before: %v, want ErrConflict", err)
		}
		if err := s.Delete(ctx, "again", "a", old); !errors.Is(err, coord.ErrConflict) {
			t.Errorf("Delete by who read the row before: %v, want ErrConflict", err)
		}
		if err := s.Delete(ctx, "again", "a", fresh); err != nil {
			t.Fatal(err)
		}
	}
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
		"part":       {"limit\xff", "a", 1}, // not UTF-8
		"sort":       {"limit", "a\xff", 1},
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
	for _, limit := range []int{-1, 0, 10001} {
		if _, err := s.List(ctx, "limit", "", limit); err == nil {
			t.Errorf("List with limit %d: no error", limit)
		}
	}
	if _, err := s.List(ctx, "", "", 1); err == nil {
		t.Error("List of no part: no error")
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
				if r.Part != "list/x" || r.Version < 1 || string(r.Value) != r.Sort {
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

// longList lists more than one answer of DynamoDB holds, which is 1 MB.
func longList(t *testing.T, s coord.Store) {
	ctx := t.Context()
	const rows = 9
	for i := range rows {
		if _, err := s.Put(ctx, "long", fmt.Sprintf("%03d", i), bytes.Repeat([]byte{byte('a' + i)}, 300<<10), 0); err != nil {
			t.Fatal(err)
		}
	}
	for _, limit := range []int{2, 5, rows, 10000} {
		next := 0
		for after, more := "", true; more; {
			got, err := s.List(ctx, "long", after, limit)
			if err != nil {
				t.Fatal(err)
			}
			for _, r := range got {
				if r.Sort != fmt.Sprintf("%03d", next) || len(r.Value) != 300<<10 || r.Value[0] != byte('a'+next) {
					t.Fatalf("pages of %d: row %d is %s with %d bytes", limit, next, r.Sort, len(r.Value))
				}
				next, after = next+1, r.Sort
			}
			more = len(got) == limit
		}
		if next != rows {
			t.Errorf("pages of %d: %d rows, want %d", limit, next, rows)
		}
	}
}

// oneWinner lets many writers race for the same version.
func oneWinner(t *testing.T, a, b coord.Store) {
	var version int64
	for round := range 20 {
		version = Race(t, "race", 8, version, a, b)
		if t.Failed() {
			t.Fatalf("in round %d", round)
		}
	}
	Race(t, "race", 100, version, a, b)
	Race(t, "hundred", 100, 0, a, b)
}

// Race lets writers race for a version of row a of part. Exactly one must win,
// all others must be told that they did not, and the row must be the winner's.
// It returns the row's version.
func Race(t *testing.T, part string, writers int, ifVersion int64, stores ...coord.Store) int64 {
	ctx := t.Context()
	var wins atomic.Int32
	var winner atomic.Value
	var wg sync.WaitGroup
	start := make(chan struct{})
	for w := range writers {
		wg.Go(func() {
			<-start
			me := fmt.Sprint("writer ", w, " after ", ifVersion)
			switch _, err := stores[w%len(stores)].Put(ctx, part, "a", []byte(me), ifVersion); {
			case err == nil:
				wins.Add(1)
				winner.Store(me)
			case !errors.Is(err, coord.ErrConflict):
				t.Error(err)
			}
		})
	}
	close(start)
	wg.Wait()
	if wins.Load() != 1 {
		t.Errorf("%d winners of %d, want 1", wins.Load(), writers)
	}
	r, err := stores[0].Get(ctx, part, "a")
	if err != nil || string(r.Value) != winner.Load() {
		t.Errorf("the row is %q, %v; the winner wrote %v", r.Value, err, winner.Load())
	}
	return r.Version
}

func counter(t *testing.T, stores ...coord.Store) {
	if unknown := Counter(t, "counter", 4, 25, stores...); unknown != 0 {
		t.Errorf("%d outcomes were unknown with nothing failing", unknown)
	}
}

// Counter lets workers add to one row with read, add, conditional write: each
// addition must be there, once. Where the outcome of a write is unknown a
// worker reads its own count, as every user of a Store must. It returns how
// often that was.
func Counter(t *testing.T, part string, workers, each int, stores ...coord.Store) (unknown int64) {
	ctx := t.Context()
	var wg sync.WaitGroup
	var unsure, first atomic.Int64
	for w := range workers {
		s := stores[w%len(stores)]
		me := fmt.Sprint(w)
		wg.Go(func() {
			for tries := 0; ; tries++ {
				if tries > 200*each*workers {
					t.Errorf("worker %s makes no progress", me)
					return
				}
				counts := map[string]int{}
				v, err := coord.GetJSON(ctx, s, part, "n", &counts)
				if err != nil && !errors.Is(err, coord.ErrNotFound) {
					t.Error(err)
					return
				}
				if counts[me] == each {
					return
				}
				counts[me]++
				next, err := coord.PutJSON(ctx, s, part, "n", counts, v)
				switch {
				case err == nil && v == 0:
					first.Store(next)
				case err != nil && !errors.Is(err, coord.ErrConflict):
					unsure.Add(1)
				}
			}
		})
	}
	wg.Wait()
	counts := map[string]int{}
	v, err := coord.GetJSON(ctx, stores[0], part, "n", &counts)
	if err != nil {
		t.Fatal(err)
	}
	for w := range workers {
		if n := counts[fmt.Sprint(w)]; n != each {
			t.Errorf("worker %d is counted %d times, want %d", w, n, each)
		}
	}
	if f := first.Load(); f != 0 && v != f+int64(workers*each)-1 {
		t.Errorf("version %d after %d writes from %d on", v, workers*each, f)
	}
	return unsure.Load()
}

// tenures lets workers hold a row, as a lease, while another removes it again
// and again: a version is had by one worker only, so what each believes to
// hold nobody else does.
func tenures(t *testing.T, stores ...coord.Store) {
	Tenures(t, "tenures", 100, func(s coord.Store) {
		ctx := t.Context()
		if r, err := s.Get(ctx, "tenures", "a"); err == nil {
			if err := s.Delete(ctx, "tenures", "a", r.Version); err != nil && !errors.Is(err, coord.ErrConflict) {
				t.Error(err)
			}
		}
	}, stores...)
}

// Tenures lets three workers take, renew and lose row a of a part, for so many
// renewals in all, while remove takes it away from under them.
func Tenures(t *testing.T, part string, renewals int, remove func(coord.Store), stores ...coord.Store) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var mu sync.Mutex
	had := map[int64]string{} // by version
	renewed, lost, tries := 0, 0, 0
	kick := make(chan struct{}, 1) // asks for a removal
	var wg sync.WaitGroup
	for w := range 3 {
		s, me := stores[w%len(stores)], fmt.Sprint(w)
		wg.Go(func() {
			var version int64
			for waits := 1; ctx.Err() == nil; waits++ {
				next, err := s.Put(ctx, part, "a", []byte(me), version) // takes it only where no row is
				mu.Lock()
				if tries++; tries == 500*renewals {
					t.Errorf("%d renewals and %d losses in %d tries", renewed, lost, tries)
					cancel()
				}
				switch {
				case err == nil:
					if other, ok := had[next]; ok {
						t.Errorf("version %d is had by %s and by %s", next, other, me)
						cancel()
					}
					had[next], version, waits = me, next, 0
					if renewed++; renewed >= renewals && lost >= 3 {
						cancel()
					}
				case version != 0:
					// Refused; or unknown, and then it is not believed.
					version = 0
					lost++
				}
				// A row that was left in doubt is nobody's until it is removed.
				if err == nil && renewed%10 == 0 || waits%30 == 29 {
					select {
					case kick <- struct{}{}:
					default:
					}
				}
				mu.Unlock()
			}
		})
	}
	wg.Go(func() {
		for {
			select {
			case <-ctx.Done():
				return
			case <-kick:
				remove(stores[0])
			}
		}
	})
	wg.Wait()
}

func reopen(t *testing.T, s coord.Store, open func(*testing.T) coord.Store) {
	ctx := t.Context()
	v, err := s.Put(ctx, "reopen", "a", []byte("kept"), 0)
	if err != nil {
		t.Fatal(err)
	}
	again := open(t)
	r, err := again.Get(ctx, "reopen", "a")
	if err != nil || string(r.Value) != "kept" || r.Version != v {
		t.Fatalf("after opening again: %+v, %v", r, err)
	}
	if err := again.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Put(ctx, "reopen", "a", []byte("more"), v); err != nil {
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
