package alert

import (
	"cmp"
	"context"
	"errors"
	"io"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/segmentio/ksuid"
	"golang.org/x/sync/errgroup"

	"nagare"
	"nagare/internal/coord"
)

// SenderConfig says how a Sender behaves.
type SenderConfig struct {
	// Receivers are by the names that rules and routes use. All Senders on the
	// same rows need the same: a delivery to an unknown one is given up.
	Receivers map[string]Receiver
	// Second gets what no receiver could be given, and critical alerts that
	// have waited for SecondAfter. nil is the log alone.
	Second Receiver
	// SecondAfter defaults to 10 minutes.
	SecondAfter time.Duration
	// Lease is how long an attempt to send belongs to its sender, RequestLife
	// how long a request may still be on its way after that, and
	// RequestTimeout how long a sender waits for an answer. The defaults are
	// 30 s, 60 s and 10 s.
	Lease, RequestLife, RequestTimeout time.Duration
	// DigestOver is the number of waiting alerts of one rule above which they
	// become one digest. The default is 20.
	DigestOver int
	// DigestEvery is the shortest time between two digests of a rule, EditEvery
	// that between two edits of a message. The default is a minute.
	DigestEvery, EditEvery time.Duration
	// Poll is how often rows of other processes are looked for. The default is
	// 5 s; rows of this process are seen at once.
	Poll time.Duration
	// PutFinding puts events onto the stream and returns when they are
	// durable. nil keeps findings waiting in their rows.
	PutFinding func(ctx context.Context, events []nagare.Event) error
	// Log gets refusals and failures; nil is silence.
	Log *slog.Logger
}

func (c *SenderConfig) defaults() {
	c.SecondAfter = cmp.Or(c.SecondAfter, 10*time.Minute)
	c.Lease = cmp.Or(c.Lease, 30*time.Second)
	c.RequestLife = cmp.Or(c.RequestLife, time.Minute)
	c.RequestTimeout = cmp.Or(c.RequestTimeout, 10*time.Second)
	c.DigestOver = cmp.Or(c.DigestOver, 20)
	c.DigestEvery = cmp.Or(c.DigestEvery, time.Minute)
	c.EditEvery = cmp.Or(c.EditEvery, time.Minute)
	c.Poll = cmp.Or(c.Poll, 5*time.Second)
	if c.Second == nil {
		c.Second = NewTerminal(io.Discard)
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
}

// maxHeld bounds the rows a Sender holds in memory; what is beyond stays in
// the store until there is room.
const maxHeld = 10000

// sweepEvery is how often a Sender reads all live rows for one whose marker
// was lost between two senders.
const sweepEvery = time.Hour

// A Sender takes waiting rows to their receivers: each alert once to each, the
// most severe first, then the oldest. Several Senders, of several processes,
// may work on the same rows.
type Sender struct {
	store *Store
	cfg   SenderConfig
	owner string

	reads atomic.Int64 // how many rows were read, to tell what was read before

	mu    sync.Mutex
	held  map[ref]*row
	marks map[ref]int64 // the marker version each held row was read after
	begun map[ref]int64 // the number of the read each held row is of
	kicks map[string]chan struct{}
}

// findings is the name under which the loop that puts findings is kicked; no
// receiver has it.
const findings = ""

// NewSender returns a Sender for the rows of store.
func NewSender(store *Store, cfg SenderConfig) *Sender {
	cfg.defaults()
	s := &Sender{store: store, cfg: cfg, owner: ksuid.New().String(), held: map[ref]*row{}, marks: map[ref]int64{}, begun: map[ref]int64{}, kicks: map[string]chan struct{}{}}
	for name := range cfg.Receivers {
		s.kicks[name] = make(chan struct{}, 1)
	}
	s.kicks[findings] = make(chan struct{}, 1)
	return s
}

// Run sends until ctx is done. A request that is under way then is finished
// first, within RequestTimeout.
func (s *Sender) Run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return s.watch(ctx) })
	for name, receiver := range s.cfg.Receivers {
		w := &worker{Sender: s, name: name, receiver: receiver, digested: map[string]time.Time{}}
		g.Go(func() error { return w.run(ctx) })
	}
	if s.cfg.PutFinding != nil {
		g.Go(func() error { return s.putFindings(ctx) })
	}
	err := g.Wait()
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return nil
	}
	return err
}

// watch keeps held in step with the store.
func (s *Sender) watch(ctx context.Context) error {
	poll := time.NewTicker(s.cfg.Poll)
	defer poll.Stop()
	var swept time.Time
	for {
		refs, all := s.store.take()
		err := s.refresh(ctx, refs)
		if err == nil {
			err = s.rescue(ctx)
		}
		if err == nil && time.Since(swept) >= sweepEvery {
			if err = s.sweep(ctx); err == nil {
				swept, all = time.Now(), true
			}
		}
		if err == nil && all {
			err = s.list(ctx)
		}
		for again := false; err == nil && !again; {
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-s.store.wake:
				again = true
			case <-poll.C:
				if err = s.list(ctx); err == nil {
					err = s.rescue(ctx)
				}
			}
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil {
			s.cfg.Log.Warn("alert rows cannot be read; trying again", "err", err)
			if err := sleep(ctx, s.cfg.Poll); err != nil {
				return err
			}
			swept = time.Time{} // what take returned is found by reading all
		}
	}
}

// list looks at every marker that is new or has changed.
func (s *Sender) list(ctx context.Context) error {
	const page = 500
	for after := ""; ; {
		rows, err := s.store.coord.List(ctx, workPart, after, page)
		if err != nil {
			return err
		}
		var changed []ref
		s.mu.Lock()
		for _, r := range rows {
			at := refOf(r.Sort)
			if v, ok := s.marks[at]; !ok || v != r.Version {
				changed = append(changed, at)
			}
		}
		s.mu.Unlock()
		if err := s.refresh(ctx, changed); err != nil {
			return err
		}
		if len(rows) < page {
			return nil
		}
		after = rows[len(rows)-1].Sort
	}
}

// refOf is the ref a marker stands for. An id has no slash.
func refOf(marker string) ref {
	for i := len(marker) - 1; i >= 0; i-- {
		if marker[i] == '/' {
			return ref{marker[:i], marker[i+1:]}
		}
	}
	return ref{id: marker}
}

// sweep marks live rows that have work and no marker.
func (s *Sender) sweep(ctx context.Context) error {
	return s.store.each(ctx, Live, func(r *row) {
		at := ref{Live, r.ID}
		if !r.work() {
			return
		}
		if _, err := s.store.coord.Get(ctx, workPart, at.origin+"/"+at.id); errors.Is(err, coord.ErrNotFound) {
			if err := s.store.mark(ctx, at); err != nil {
				s.cfg.Log.Warn("alert row cannot be marked", "alert", at.id, "err", err)
			}
		}
	})
}

// refresh reads rows again, holds those with work and forgets the others. The
// workers see them all at once, so that they see a storm and not its first
// alert.
func (s *Sender) refresh(ctx context.Context, refs []ref) error {
	var rows []held
	for _, at := range refs {
		h, err := s.read(ctx, at)
		if err != nil {
			return err
		}
		rows = append(rows, h)
	}
	s.hold(rows...)
	if len(rows) > 0 {
		for name := range s.kicks {
			s.kick(name)
		}
	}
	return nil
}

// settle is refresh for one row whose change needs no announcement.
func (s *Sender) settle(ctx context.Context, at ref) error {
	h, err := s.read(ctx, at)
	if err == nil {
		s.hold(h)
	}
	return err
}

// kick wakes the loop of a name, which looks again at what is held.
func (s *Sender) kick(name string) {
	select {
	case s.kicks[name] <- struct{}{}:
	default: // it has been told already
	}
}

// held is a row that waits, and the version its marker had before it was read.
type held struct {
	at      ref
	row     *row // nil when nothing is to be done
	version int64
	begun   int64 // the number of the read, given before it was made
}

// read reads a row. Without work it removes the marker, unless that was renewed
// meanwhile: the marker is read before the row.
func (s *Sender) read(ctx context.Context, at ref) (held, error) {
	h := held{at: at, begun: s.reads.Add(1)}
	marker, err := s.store.coord.Get(ctx, workPart, at.origin+"/"+at.id)
	if err == nil {
		h.version = marker.Version
	} else if !errors.Is(err, coord.ErrNotFound) {
		return h, err
	}
	r, _, err := s.store.load(ctx, at)
	if err != nil && !errors.Is(err, coord.ErrNotFound) {
		return h, err
	}
	if err == nil && r.work() {
		r.Counter, r.Events = counter{}, nil // not needed to send, and they may be large
		h.row = r
		return h, nil
	}
	if h.version > 0 {
		err := s.store.coord.Delete(ctx, workPart, at.origin+"/"+at.id, h.version)
		if err != nil && !errors.Is(err, coord.ErrConflict) {
			return h, err
		}
	}
	return h, nil
}

// hold keeps rows that wait, as far as there is room, and forgets the others.
// What was read before a change of ours must not hide what was read after it,
// or a worker would pass over the row until somebody else changes it.
func (s *Sender) hold(rows ...held) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, h := range rows {
		_, known := s.held[h.at]
		switch {
		case known && h.begun < s.begun[h.at]:
		case h.row == nil:
			delete(s.held, h.at)
			delete(s.marks, h.at)
			delete(s.begun, h.at)
		case known || len(s.held) < maxHeld:
			s.held[h.at], s.marks[h.at], s.begun[h.at] = h.row, h.version, h.begun
		}
	}
}

// Waiting is the number of alerts this Sender knows to have work.
func (s *Sender) Waiting() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.held)
}

// change changes one delivery of a row and holds the outcome. change is told
// what is there now and answers false to leave it. It finishes also when ctx
// is done, because it says what has already happened.
func (s *Sender) change(ctx context.Context, at ref, name string, change func(*row, *Delivery) bool) (bool, error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.cfg.RequestTimeout)
	defer cancel()
	done := false
	_, err := s.store.update(ctx, at, false, func(r *row) bool {
		d := r.Deliveries[name]
		done = d != nil && change(r, d)
		return done
	})
	if err == nil {
		err = s.settle(ctx, at)
	}
	return done, err
}

func message(r *row) Message {
	return Message{ID: r.ID, Origin: r.Origin, Alert: r.Alert, Runbook: r.Runbook}
}
