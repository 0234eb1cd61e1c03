// Package live is the near-real-time consumer: it normalizes each event,
// evaluates the rules on it, and records what matched as alert rows before
// the position moves.
//
// It writes no lake, and no dead letters: what cannot be normalized is
// counted here and becomes a dead letter in package compact, which reads the
// same stream.
package live

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"nagare"
	"nagare/consumers"
	"nagare/internal/alert"
	"nagare/ocsf"
)

// FindingSource is the source of the findings that come back on the stream.
// Rules do not see them: a finding would raise itself for ever.
const FindingSource = "nagare.finding"

// Config says what a stage does with an event. All fields but Seen are needed.
type Config struct {
	// Normalize fills out from ev. An error says that the event cannot be
	// used.
	Normalize func(ev *nagare.Event, out *ocsf.Event) error
	// Eval evaluates the rules on a normalized event.
	Eval func(e *ocsf.Event, ev *nagare.Event, emit func(alert.Match))
	// Record makes matches durable. It is called once for what a batch of
	// events brought, and again with the same matches after an error.
	Record func(ctx context.Context, matches ...alert.Match) error
	// Stats counts; nil is allowed.
	Stats *Stats
}

// Stats counts what all stages of an application did.
type Stats struct {
	// Events were evaluated, Skipped were findings of our own and events that
	// intake could not read, Unusable could not be normalized.
	Events, Skipped, Unusable atomic.Int64
	// Matches is how often a rule's condition held.
	Matches atomic.Int64
}

// New returns what consumers.Config.NewStage wants.
func New(cfg Config) func(consumers.Shard) (consumers.Stage, error) {
	if cfg.Stats == nil {
		cfg.Stats = &Stats{}
	}
	return func(consumers.Shard) (consumers.Stage, error) {
		return &stage{cfg: cfg}, nil
	}
}

type stage struct {
	cfg     Config
	event   ocsf.Event // reused for each event
	matches []alert.Match
}

// Open reads on from the checkpoint: alert rows are idempotent, so a repeat
// after a crash changes nothing.
func (s *stage) Open(context.Context, consumers.Shard) (nagare.Position, error) {
	return nagare.Position{}, nil
}

// Process returns when the rows of all matches are durable.
func (s *stage) Process(ctx context.Context, events []nagare.Event) error {
	s.matches = s.matches[:0]
	emit := func(m alert.Match) { s.matches = append(s.matches, m) }
	var seen, skipped, unusable int64
	for i := range events {
		ev := &events[i]
		if ev.Reason != "" || ev.Source == FindingSource {
			skipped++
			continue
		}
		if err := s.normalize(ev); err != nil {
			unusable++
			continue
		}
		seen++
		s.cfg.Eval(&s.event, ev, emit)
	}
	if len(s.matches) > 0 {
		if err := s.cfg.Record(ctx, s.matches...); err != nil {
			return err
		}
	}
	st := s.cfg.Stats
	st.Events.Add(seen)
	st.Skipped.Add(skipped)
	st.Unusable.Add(unusable)
	st.Matches.Add(int64(len(s.matches)))
	return nil
}

// normalize fills the event. A panic is a bug of ours, but not a reason to stop
// the shard: package compact logs it, and keeps the event as a dead letter.
func (s *stage) normalize(ev *nagare.Event) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("normalizing panicked: %v", p)
		}
	}()
	return s.cfg.Normalize(ev, &s.event)
}

// Flush has nothing to do: Process left nothing in memory.
func (s *stage) Flush(context.Context, nagare.Position, bool) error { return nil }

// Drop forgets the last batch.
func (s *stage) Drop() { s.matches, s.event = nil, ocsf.Event{} }

// EventTime is the time an alert is about: the event's own, or its receipt
// when the event has none.
func EventTime(e *ocsf.Event, ev *nagare.Event) time.Time {
	if v := e.Get("time"); v.Has() {
		return time.UnixMilli(v.Int()).UTC()
	}
	return ev.Received
}
