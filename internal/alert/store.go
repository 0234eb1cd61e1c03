package alert

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"nagare/internal/coord"
)

// The parts of the coordination store. An alert's row lies in
// "alert/<origin>"; workPart holds a marker for each row a sender has to look
// at, so that it need not read all of them; originPart names the origins.
const (
	rowPart    = "alert/"
	workPart   = "alert-work"
	originPart = "alert-origin"
)

// Config says how a Store behaves.
type Config struct {
	// Route names the receivers of an alert. It is asked when the alert is
	// raised, and again when a later match makes it more severe. nil is nobody.
	Route func(Alert) []string
	// Log gets what operators should know; nil is silence.
	Log *slog.Logger
}

// A Store keeps alerts. Its methods may be called from many goroutines, and
// many processes may have a Store on the same rows.
type Store struct {
	coord coord.Store
	cfg   Config
	known recent
	stats Stats

	mu      sync.Mutex
	dirty   map[ref]struct{} // rows that have work since take; at maxDirty the sender finds the rest by itself
	origins map[string]bool  // whose line in originPart is known to exist
	wake    chan struct{}
}

// Stats counts what happened since the Store was made.
type Stats struct {
	Raised, Joined                       atomic.Int64 // new alerts, events that joined one
	Sent, Repeats, Digests, Edited, Dead atomic.Int64 // messages: sent, marked possible repeat, digests, edits, given up
	Throttled, Findings                  atomic.Int64 // refusals with a wait, findings put onto the stream
}

// A ref names one alert.
type ref struct{ origin, id string }

const (
	maxDirty    = 4096
	maxParallel = 8
)

// NewStore returns a Store on c.
func NewStore(c coord.Store, cfg Config) *Store {
	if cfg.Route == nil {
		cfg.Route = func(Alert) []string { return nil }
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	return &Store{coord: c, cfg: cfg, dirty: map[ref]struct{}{}, origins: map[string]bool{}, wake: make(chan struct{}, 1)}
}

// Stats are the counters of this Store and of the Sender on it.
func (s *Store) Stats() *Stats { return &s.stats }

// Record makes every match durable: as a new alert, or as part of the one it
// belongs to. A repeat of an event changes nothing. The caller moves its
// position only after Record has returned nil, and after an error records the
// same matches again. Matches of one alert in one call cost one write, so hand
// over what a batch of events brought together.
func (s *Store) Record(ctx context.Context, matches ...Match) error {
	groups := map[ref][]*Match{}
	var order []ref
	for i := range matches {
		m := &matches[i]
		if err := m.check(); err != nil {
			return err
		}
		r := ref{m.origin(), m.id()}
		if s.known.has(r, m) {
			continue
		}
		if groups[r] == nil {
			order = append(order, r)
		}
		groups[r] = append(groups[r], m)
	}
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(maxParallel)
	for _, r := range order {
		g.Go(func() error { return s.record(ctx, r, groups[r]) })
	}
	return g.Wait()
}

func (m *Match) check() error {
	switch {
	case m.Rule == "" || m.EventUID == "":
		return fmt.Errorf("alert: a match of rule %q, event %q: both must be named", m.Rule, m.EventUID)
	case SeverityID(m.Severity) == 0:
		return fmt.Errorf("alert: rule %s: no severity %q", m.Rule, m.Severity)
	case len(m.origin()) > 200:
		return fmt.Errorf("alert: origin of %d bytes is too long", len(m.Origin))
	}
	return nil
}

func (s *Store) record(ctx context.Context, at ref, matches []*Match) error {
	if err := s.register(ctx, at.origin); err != nil {
		return err
	}
	var had, changed, raised bool
	var joined int
	now := time.Now()
	r, err := s.update(ctx, at, true, func(r *row) bool {
		had, changed, raised = r.work(), false, r.ID == ""
		before := r.Count
		for _, m := range matches {
			changed = r.join(m, s.cfg.Route, now) || changed
		}
		joined = r.Count - before
		return changed
	})
	if err != nil {
		return err
	}
	// The marker comes after the row and before the position moves, so a crash
	// between is repaired by the matches coming again. A row that already had
	// work has its marker, unless these are such repeats.
	if r.work() && (!had || !changed) {
		if err := s.mark(ctx, at); err != nil {
			return err
		}
	}
	if raised {
		s.stats.Raised.Add(1)
		joined--
	}
	s.stats.Joined.Add(int64(max(joined, 0)))
	for _, m := range matches {
		s.known.add(at, m)
	}
	if r.work() {
		s.tell(at)
	}
	return nil
}

// load reads a row; its error is coord.ErrNotFound when there is none.
func (s *Store) load(ctx context.Context, at ref) (*row, int64, error) {
	r := &row{}
	version, err := coord.GetJSON(ctx, s.coord, rowPart+at.origin, at.id, r)
	return r, version, err
}

// update changes a row under its version until nobody else was faster. change
// may be called several times; false from it leaves the row as it is. A row
// that is not there is made if create says so.
func (s *Store) update(ctx context.Context, at ref, create bool, change func(*row) bool) (*row, error) {
	for try := 0; ; try++ {
		r, version, err := s.load(ctx, at)
		if err != nil && (!create || !errors.Is(err, coord.ErrNotFound)) {
			return nil, fmt.Errorf("alert %s: %w", at.id, err)
		}
		if !change(r) {
			return r, nil
		}
		value, err := json.Marshal(r)
		if err != nil {
			return nil, fmt.Errorf("alert %s: %w", at.id, err)
		}
		_, err = s.coord.Put(ctx, rowPart+at.origin, at.id, value, version)
		if err == nil {
			return r, nil
		}
		if !errors.Is(err, coord.ErrConflict) {
			return nil, fmt.Errorf("alert %s: %w", at.id, err)
		}
		if err := sleep(ctx, rand.N(time.Millisecond<<min(try, 6))); err != nil {
			return nil, err
		}
	}
}

// mark leaves word that a row has work. A marker that is there gets a new
// version, so that a sender who has just found no work does not remove it.
func (s *Store) mark(ctx context.Context, at ref) error {
	name := at.origin + "/" + at.id
	for try := 0; ; try++ {
		var version int64
		old, err := s.coord.Get(ctx, workPart, name)
		if err == nil {
			version = old.Version
		} else if !errors.Is(err, coord.ErrNotFound) {
			return fmt.Errorf("alert %s: %w", at.id, err)
		}
		_, err = s.coord.Put(ctx, workPart, name, []byte("{}"), version)
		if !errors.Is(err, coord.ErrConflict) {
			return err
		}
		if err := sleep(ctx, rand.N(time.Millisecond<<min(try, 6))); err != nil {
			return err
		}
	}
}

// register leaves word of an origin, so that List finds its alerts.
func (s *Store) register(ctx context.Context, origin string) error {
	s.mu.Lock()
	known := s.origins[origin]
	s.mu.Unlock()
	if known {
		return nil
	}
	if _, err := s.coord.Put(ctx, originPart, origin, []byte("{}"), 0); err != nil && !errors.Is(err, coord.ErrConflict) {
		return fmt.Errorf("alert: origin %s: %w", origin, err)
	}
	s.mu.Lock()
	s.origins[origin] = true
	s.mu.Unlock()
	return nil
}

// tell wakes the Sender of this Store.
func (s *Store) tell(at ref) {
	s.mu.Lock()
	if len(s.dirty) < maxDirty {
		s.dirty[at] = struct{}{}
	}
	s.mu.Unlock()
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// take returns the rows told of since the last take; full when there may be
// more.
func (s *Store) take() (refs []ref, full bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	full = len(s.dirty) >= maxDirty
	for at := range s.dirty {
		refs = append(refs, at)
	}
	clear(s.dirty)
	return refs, full
}

func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}

// recent remembers the matches last recorded, so that a batch read again costs
// no write. It forgets the older half when it is full; forgetting costs a read.
type recent struct {
	mu       sync.Mutex
	now, old map[uint64]struct{}
}

const maxRecent = 1 << 16

func (r *recent) has(at ref, m *Match) bool {
	k := recentKey(at, m)
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, ok := r.now[k]; ok {
		return true
	}
	_, ok := r.old[k]
	return ok
}

func (r *recent) add(at ref, m *Match) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.now == nil || len(r.now) >= maxRecent {
		r.old, r.now = r.now, make(map[uint64]struct{}, 64)
	}
	r.now[recentKey(at, m)] = struct{}{}
}

// recentKey hashes what makes two matches ask for the same.
func recentKey(at ref, m *Match) uint64 {
	return hash64(at.origin, at.id, m.EventUID, fmt.Sprint(m.Suppressed, m.notifies(), m.publishes()))
}
