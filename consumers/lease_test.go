package consumers

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"nagare/internal/coord"
)

// memStore is a coord.Store in memory, for tests with a fake clock. It can
// fail, and it can apply a write and say that it failed.
type memStore struct {
	mu      sync.Mutex
	rows    map[string]coord.Row
	fail    error // returned by every call
	pretend int   // so many Puts are applied and then reported as failed
}

var errStore = errors.New("no connection")

func (m *memStore) Get(_ context.Context, part, sort string) (coord.Row, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.fail != nil {
		return coord.Row{}, m.fail
	}
	r, ok := m.rows[part+"\x00"+sort]
	if !ok {
		return coord.Row{}, coord.ErrNotFound
	}
	return r, nil
}

func (m *memStore) Put(_ context.Context, part, sort string, value []byte, ifVersion int64) (int64, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.fail != nil {
		return 0, m.fail
	}
	k := part + "\x00" + sort
	if m.rows[k].Version != ifVersion {
		return 0, coord.ErrConflict
	}
	if m.rows == nil {
		m.rows = map[string]coord.Row{}
	}
	m.rows[k] = coord.Row{Part: part, Sort: sort, Version: ifVersion + 1, Value: value}
	if m.pretend > 0 {
		m.pretend--
		return 0, errStore
	}
	return ifVersion + 1, nil
}

func (m *memStore) Delete(_ context.Context, part, sort string, ifVersion int64) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.fail != nil {
		return m.fail
	}
	k := part + "\x00" + sort
	if r, ok := m.rows[k]; !ok || r.Version != ifVersion {
		return coord.ErrConflict
	}
	delete(m.rows, k)
	return nil
}

func (m *memStore) List(_ context.Context, part, after string, limit int) ([]coord.Row, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.fail != nil {
		return nil, m.fail
	}
	var out []coord.Row
	for _, r := range m.rows {
		if r.Part == part && r.Sort > after {
			out = append(out, r)
		}
	}
	slices.SortFunc(out, func(a, b coord.Row) int { return strings.Compare(a.Sort, b.Sort) })
	return out[:min(limit, len(out))], nil
}

func (m *memStore) Close() error { return nil }

func (m *memStore) set(f func()) {
	m.mu.Lock()
	defer m.mu.Unlock()
	f()
}

func testLeases(s coord.Store, worker string) *leases {
	return &leases{store: s, part: "lease/a/s@1", worker: worker, ttl: 10 * time.Second, log: slog.New(slog.DiscardHandler)}
}

func mustTake(t *testing.T, l *leases) *lease {
	t.Helper()
	le, err := l.take(t.Context(), "shard")
	if err != nil {
		t.Fatal(err)
	}
	return le
}

// TestZombie has a worker that was frozen past its lease: it must neither
// checkpoint nor renew nor free what another has taken.
func TestZombie(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx := t.Context()
		store := &memStore{}
		a, b := testLeases(store, "a"), testLeases(store, "b")
		la := mustTake(t, a)
		if err := la.checkpoint(ctx, "100", time.Now()); err != nil {
			t.Fatal(err)
		}
		if _, err := b.take(ctx, "shard"); !errors.Is(err, errNotFree) {
			t.Fatalf("take at first sight: %v", err)
		}
		time.Sleep(9 * time.Second)
		if _, err := b.take(ctx, "shard"); !errors.Is(err, errNotFree) {
			t.Fatalf("take after 9 s: %v", err)
		}
		time.Sleep(time.Second)
		lb := mustTake(t, b)
		if lb.epoch != 2 || lb.stored() != "100" {
			t.Errorf("b has epoch %d, checkpoint %s", lb.epoch, lb.stored())
		}
		if err := lb.checkpoint(ctx, "500", time.Now()); err != nil {
			t.Fatal(err)
		}
		// The zombie does not trust its clock either: it pretends it is young.
		la.mu.Lock()
		la.renewed = time.Now()
		la.mu.Unlock()
		for what, err := range map[string]error{
			"checkpoint": la.checkpoint(ctx, "600", time.Now()),
			"confirm":    la.confirm(ctx),
			"release":    la.release(ctx),
		} {
			if !errors.Is(err, errLeaseLost) {
				t.Errorf("%s by the zombie: %v, want %v", what, err, errLeaseLost)
			}
		}
		select {
		case <-la.lost:
		default:
			t.Error("the zombie was not told")
		}
		row, _, err := b.read(ctx, "shard")
		if err != nil || row.Owner != "b" || row.Checkpoint != "500" || row.Epoch != 2 {
			t.Errorf("row %+v, %v", row, err)
		}
	})
}

func TestLeaseIsRenewed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		store := &memStore{}
		a, b := testLeases(store, "a"), testLeases(store, "b")
		la := mustTake(t, a)
		go la.keep(ctx)
		for range 60 { // a minute
			if _, err := b.take(ctx, "shard"); !errors.Is(err, errNotFree) {
				t.Fatalf("take of a lease that is kept: %v", err)
			}
			time.Sleep(time.Second)
		}
		cancel()
		synctest.Wait()
	})
}

// TestLeaseEndsWithoutStore: a worker that cannot reach the store believes in
// its lease for LeaseTime and not longer.
func TestLeaseEndsWithoutStore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		store := &memStore{}
		la := mustTake(t, testLeases(store, "a"))
		go la.keep(ctx)
		time.Sleep(4 * time.Second) // one renewal, at 3.3 s
		store.set(func() { store.fail = errStore })
		began := time.Now()
		<-la.lost
		if d := time.Since(began); d < 6*time.Second || d > 13*time.Second {
			t.Errorf("lost after %s without a store", d)
		}
	})
}

// TestLeaseUnknownOutcome: a write that was applied, and reported as failed,
// is found by its marks, and does not cost the lease.
func TestLeaseUnknownOutcome(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx := t.Context()
		store := &memStore{}
		a := testLeases(store, "a")
		store.set(func() { store.pretend = 1 })
		if _, err := a.take(ctx, "shard"); !errors.Is(err, errStore) {
			t.Fatalf("take: %v", err)
		}
		la := mustTake(t, a) // the row names us; no wait
		if la.epoch != 2 {
			t.Errorf("epoch %d, want 2: a new tenure", la.epoch)
		}
		store.set(func() { store.pretend = 1 })
		if err := la.checkpoint(ctx, "7", time.Now()); err != nil {
			t.Errorf("checkpoint: %v", err)
		}
		if row, _, _ := a.read(ctx, "shard"); row.Checkpoint != "7" || row.Owner != "a" {
			t.Errorf("row %+v", row)
		}
	})
}

func TestCheckpointNeverGoesBack(t *testing.T) {
	ctx := t.Context()
	store := &memStore{}
	l := testLeases(store, "a")
	la := mustTake(t, l)
	for _, c := range []struct {
		seq  string
		want error
	}{
		{"99", nil}, {"100", nil}, {"100", nil}, {"99", errBackwards}, {"9", errBackwards}, {"x", errors.ErrUnsupported},
		{shardEnd, nil}, {shardEnd, nil}, {"101", errBackwards},
	} {
		err := la.checkpoint(ctx, c.seq, time.Now())
		switch {
		case c.want == errors.ErrUnsupported:
			if err == nil {
				t.Errorf("checkpoint %s: no error", c.seq)
			}
		case !errors.Is(err, c.want):
			t.Errorf("checkpoint %s: %v, want %v", c.seq, err, c.want)
		}
	}
	if err := la.release(ctx); err != nil {
		t.Fatal(err)
	}
	if _, err := testLeases(store, "b").take(ctx, "shard"); !errors.Is(err, errFinished) {
		t.Errorf("take of a finished shard: %v", err)
	}
}

func TestSoleTakesAtOnce(t *testing.T) {
	store := &memStore{}
	mustTake(t, testLeases(store, "dead"))
	l := testLeases(store, "new")
	l.sole = true
	if le := mustTake(t, l); le.epoch != 2 {
		t.Errorf("epoch %d", le.epoch)
	}
}
