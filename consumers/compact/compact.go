// Package compact is the consumer that fills the lake: it normalizes each
// event, keeps what came of a shard in memory, and at each flush commits it as
// Parquet files, with the raw events and the dead letters, exactly once
// (package lake says how).
//
// It evaluates no rules. Its place in a shard is the lake's ledger; the
// checkpoint is only a hint for people.
package compact

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync/atomic"
	"time"

	"nagare"
	"nagare/consumers"
	"nagare/internal/blob"
	"nagare/internal/coord"
	"nagare/internal/lake"
	"nagare/ocsf"
	"nagare/ocsf/mapping"
)

// Config says what a stage does with events, and where it puts them.
// Normalize, Coord, Stage, Lake, Archive and Tables are needed; the other zero
// values are ready to use.
type Config struct {
	// Normalize fills out from ev. A *mapping.Dead says why an event cannot be
	// used. It is called from the goroutines of all shards, and twice for each
	// event, so it must give the same both times.
	Normalize func(ev *nagare.Event, out *ocsf.Event) error
	// Downgrade brings normalized events down to the schema of Tables; nil
	// when they are of that schema already. What is not valid then is a dead
	// letter.
	Downgrade *ocsf.Downgrade

	// Coord keeps the ledger, at ledger/<app>/<stream>.
	Coord coord.Store
	// Stage, Lake and Archive are as in lake.Config.
	Stage, Lake, Archive blob.Store
	Tables               *lake.Tables
	// Region, Account, Window and TempDir are as in lake.Config.
	Region, Account string
	Window          time.Duration
	TempDir         string

	// FromStart begins a shard without commits where the application does, at
	// its checkpoint or consumers.Config.Start, instead of at the oldest
	// record: for a lake that is to hold a part of the stream.
	FromStart bool
	// Version names the version of a source's mapping, for dead letters; nil
	// when there is none to name.
	Version func(source string) string

	// MaxBytes is how much event data a shard may keep before it asks for a
	// flush. The default is 64 MiB.
	MaxBytes int64

	// At is called at each step of a commit, for tests that stop the process
	// there.
	At func(lake.Step)
	// Stats counts; nil is allowed.
	Stats *Stats
	// Log is where life events go. The default discards them.
	Log *slog.Logger
}

// Stats counts what all stages of an application did.
type Stats struct {
	// Lake counts commits, and what they held.
	Lake lake.Stats
	// Events were processed, Skipped were committed before by another worker.
	Events, Skipped atomic.Int64
	// Invalid events lack something that OCSF asks for, or have a value that
	// it does not know. They are in the lake all the same.
	Invalid atomic.Int64
}

// maxPartitions is how many files a commit may have before a flush is asked
// for. Senders with wild clocks make one for each day.
const maxPartitions = 512

// maxProblems bounds what a dead letter says of an event.
const maxProblems = 8

// perEvent is about what an event costs in memory beside its texts.
const perEvent = 512

// The reasons of events that are dead here: a mapping panicked on it; it is not
// valid in the lake's schema, to which it was brought down.
const (
	panicked = "panic"
	invalid  = mapping.Invalid
)

// New returns what consumers.Config.NewStage wants.
func New(cfg Config) func(consumers.Shard) (consumers.Stage, error) {
	if cfg.MaxBytes <= 0 {
		cfg.MaxBytes = 64 << 20
	}
	if cfg.Stats == nil {
		cfg.Stats = &Stats{}
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	return func(shard consumers.Shard) (consumers.Stage, error) {
		if cfg.Normalize == nil {
			return nil, errors.New("compact: no normalizer given")
		}
		c, err := lake.NewCommitter(lake.Config{
			App: shard.App, Stream: shard.Stream, Shard: shard.ID, Parents: shard.Parents, Epoch: shard.Epoch,
			Coord: cfg.Coord, Stage: cfg.Stage, Lake: cfg.Lake, Archive: cfg.Archive, Tables: cfg.Tables,
			Region: cfg.Region, Account: cfg.Account, Window: cfg.Window, TempDir: cfg.TempDir,
			At: cfg.At, Stats: &cfg.Stats.Lake, Log: cfg.Log,
		})
		if err != nil {
			return nil, err
		}
		return &stage{cfg: cfg, lake: c}, nil
	}
}

// stage keeps raw events and what decides their place, and fills each event a
// second time when its file is written: what mappings make of an event is
// several times as large as the event.
type stage struct {
	cfg  Config
	lake *lake.Committer

	from     string // everything up to here is committed
	kept     []kept
	bytes    int64
	parts    map[lake.Partition]bool
	event    ocsf.Event // reused for each event
	full     ocsf.Event // an event before its downgrade
	problems []ocsf.Problem
}

// kept is one event of the buffer: a row, or a dead letter.
type kept struct {
	ev     *nagare.Event
	row    lake.Row
	reason string // of a dead letter
	err    string
}

// Open finishes what is decided and not published, and reads on from the
// ledger. The checkpoint is never used.
func (s *stage) Open(ctx context.Context, _ consumers.Shard) (nagare.Position, error) {
	it, err := s.lake.Open(ctx)
	if err != nil {
		return nagare.Position{}, err
	}
	s.forget()
	s.from = it.To
	to := nagare.Position{Seq: it.To}
	if it.To == "" && !s.cfg.FromStart {
		to.Seq = "0" // the oldest record there is, whatever the checkpoint says
	}
	return to, nil
}

// Process normalizes and keeps events.
func (s *stage) Process(_ context.Context, events []nagare.Event) error {
	if s.parts == nil {
		s.parts = map[lake.Partition]bool{}
	}
	for i := range events {
		ev := &events[i]
		if nagare.CompareSeq(ev.Pos.Seq, s.from) <= 0 {
			s.cfg.Stats.Skipped.Add(1)
			continue
		}
		k := s.keep(ev)
		s.kept = append(s.kept, k)
		s.bytes += int64(len(ev.Body)+len(ev.UID)+len(ev.Error)) + perEvent
		s.cfg.Stats.Events.Add(1)
		if k.reason == "" {
			s.parts[k.row.Partition()] = true
		}
	}
	return nil
}

func (s *stage) keep(ev *nagare.Event) kept {
	if ev.Reason != "" {
		return kept{ev: ev, reason: ev.Reason, err: ev.Error}
	}
	if err := s.fill(ev, &s.event); err != nil {
		k := kept{ev: ev, reason: "unmapped", err: err.Error()}
		var dead *mapping.Dead
		if errors.As(err, &dead) {
			k.reason = dead.Reason
			if dead.Err != nil {
				k.err = dead.Err.Error()
			}
		}
		return k
	}
	if s.cfg.Downgrade == nil {
		if s.problems = ocsf.Validate(&s.event, s.problems[:0]); len(s.problems) > 0 {
			s.cfg.Stats.Invalid.Add(1)
		}
	}
	return kept{ev: ev, row: lake.NewRow(ev, &s.event)}
}

// fill normalizes one event. A panic is a bug of ours, but not a reason to
// stop the shard.
func (s *stage) fill(ev *nagare.Event, out *ocsf.Event) (err error) {
	defer func() {
		if p := recover(); p != nil {
			s.cfg.Log.Error("normalizing panicked", "source", ev.Source, "event_id", ev.ID, "err", p)
			err = &mapping.Dead{Reason: panicked, Err: fmt.Errorf("%v", p)}
		}
	}()
	if s.cfg.Downgrade == nil {
		return s.cfg.Normalize(ev, out)
	}
	if err := s.cfg.Normalize(ev, &s.full); err != nil {
		return err
	}
	s.problems = s.cfg.Downgrade.Convert(&s.full, out, s.problems[:0])
	if len(s.problems) == 0 {
		return nil
	}
	var all []string
	for _, p := range s.problems[:min(len(s.problems), maxProblems)] {
		all = append(all, p.String())
	}
	return &mapping.Dead{Reason: invalid, Err: fmt.Errorf("in OCSF %s: %s", out.Class().Version, strings.Join(all, "; "))}
}

// WantFlush asks for a flush when memory says so, when the hour of arrival is
// over, or when a commit would have very many files.
func (s *stage) WantFlush() bool {
	if len(s.kept) == 0 {
		return false
	}
	first, last := s.kept[0].ev.Pos.Arrived, s.kept[len(s.kept)-1].ev.Pos.Arrived
	return s.bytes >= s.cfg.MaxBytes || len(s.parts) >= maxPartitions ||
		!first.IsZero() && !first.Truncate(time.Hour).Equal(last.Truncate(time.Hour))
}

// Flush commits what is kept up to to. Another worker may have committed
// meanwhile, and may do so at any time: then what it committed is forgotten
// here, and the rest is a commit after it.
func (s *stage) Flush(ctx context.Context, to nagare.Position, end bool) error {
	for {
		b := s.batch(to, end)
		err := s.lake.Flush(ctx, b)
		var moved *lake.MovedError
		switch {
		case err == nil:
			s.trim(b.To.Seq)
			return nil
		case !errors.As(err, &moved):
			return err
		case nagare.CompareSeq(moved.To, s.from) < 0:
			return fmt.Errorf("compact: the ledger went back from %s to %s: restart, so that the shard is read again from there", s.from, moved.To)
		}
		s.trim(moved.To)
	}
}

// batch is what is kept up to to.
func (s *stage) batch(to nagare.Position, end bool) *lake.Batch {
	if nagare.CompareSeq(to.Seq, s.from) < 0 {
		to.Seq = s.from
	}
	b := &lake.Batch{From: s.from, To: to, Closed: end, Fill: s.fill}
	b.Events = make([]*nagare.Event, 0, len(s.kept))
	b.Rows = make([]lake.Row, 0, len(s.kept))
	for i := range s.kept {
		k := &s.kept[i]
		if nagare.CompareSeq(k.ev.Pos.Seq, to.Seq) > 0 {
			break
		}
		b.Events = append(b.Events, k.ev)
		if k.reason == "" {
			b.Rows = append(b.Rows, k.row)
			continue
		}
		d := lake.NewDeadLetter(k.ev, k.reason, k.err)
		if k.ev.Reason == "" {
			d.Mapping = k.ev.Source
			if s.cfg.Version != nil {
				d.Mapping += "@" + s.cfg.Version(k.ev.Source)
			}
		}
		b.Dead = append(b.Dead, d)
	}
	return b
}

// trim forgets what lies up to seq: it is committed.
func (s *stage) trim(seq string) {
	s.from = seq
	n := 0
	for n < len(s.kept) && nagare.CompareSeq(s.kept[n].ev.Pos.Seq, seq) <= 0 {
		n++
	}
	rest := s.kept[n:]
	if len(rest) == 0 {
		s.forget()
		return
	}
	events := make([]kept, len(rest))
	copy(events, rest)
	s.forget()
	s.kept = events
	for i := range events {
		ev := events[i].ev
		s.bytes += int64(len(ev.Body)+len(ev.UID)+len(ev.Error)) + perEvent
		if events[i].reason == "" {
			s.parts[events[i].row.Partition()] = true
		}
	}
}

// forget empties the buffer, and gives its memory back if it was large.
func (s *stage) forget() {
	clear(s.kept)
	s.kept = s.kept[:0]
	if cap(s.kept) > 64<<10 {
		s.kept = nil
	}
	s.bytes = 0
	s.parts = map[lake.Partition]bool{}
}

// Drop forgets everything.
func (s *stage) Drop() {
	s.forget()
	s.kept, s.parts, s.event, s.full = nil, nil, ocsf.Event{}, ocsf.Event{}
}
