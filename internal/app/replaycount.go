package app

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"nagare"
	"nagare/consumers"
	"nagare/consumers/live"
	"nagare/internal/coord"
)

// A tally is how much of a shard a replay has done, in all its runs.
type tally struct {
	Events   int64 `json:"events"`
	Bytes    int64 `json:"bytes"` // of the events' bodies
	Unusable int64 `json:"unusable,omitempty"`
	Skipped  int64 `json:"skipped,omitempty"`
	Matches  int64 `json:"matches,omitempty"`
}

func (t *tally) add(o tally) {
	t.Events += o.Events
	t.Bytes += o.Bytes
	t.Unusable += o.Unusable
	t.Skipped += o.Skipped
	t.Matches += o.Matches
}

// A tallyRow is what is kept of a tally: up to a record, and up to the one
// before. It is written before a flush, so a run that was killed may have made
// either of them durable; which one, the next run sees by where it reads on.
type tallyRow struct {
	Seq    string `json:"seq"`
	Tally  tally  `json:"tally"`
	Before tally  `json:"before"`
}

// replayCounts are the tallies of a replay's shards.
type replayCounts struct {
	store coord.Store
	part  string

	mu    sync.Mutex
	shard map[string]tally     // by stream and shard
	at    map[string]time.Time // arrival of the last event that was processed in this run
	seq   map[string]string    // and its record
	now   tally                // of this run
}

func newReplayCounts(ctx context.Context, store coord.Store, app string) (*replayCounts, error) {
	c := &replayCounts{store: store, part: "replay-counts/" + app, shard: map[string]tally{}, at: map[string]time.Time{}, seq: map[string]string{}}
	rows, err := coord.All(ctx, store, c.part)
	if err != nil {
		return nil, err
	}
	for _, r := range rows {
		var row tallyRow
		if err := json.Unmarshal(r.Value, &row); err != nil {
			return nil, fmt.Errorf("counts of %s: %w", r.Sort, err)
		}
		c.shard[r.Sort] = row.Tally
	}
	return c, nil
}

// all is the sum over all runs, run that of this one.
func (c *replayCounts) all() (all, run tally) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, t := range c.shard {
		all.add(t)
	}
	return all, c.now
}

// reached is when what was last processed of a shard in this run arrived.
func (c *replayCounts) reached(key string) time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at[key]
}

// last is the record that was last processed of a shard in this run, or "".
func (c *replayCounts) last(key string) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.seq[key]
}

// latest is the newest of them: where shards are read one after the other, the
// place of the one at work.
func (c *replayCounts) latest() (at time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, t := range c.at {
		if t.After(at) {
			at = t
		}
	}
	return at
}

// count makes stages that count.
func (c *replayCounts) count(stages func(consumers.Shard, *live.Stats) (consumers.Stage, error)) func(consumers.Shard) (consumers.Stage, error) {
	return func(s consumers.Shard) (consumers.Stage, error) {
		stats := &live.Stats{}
		inner, err := stages(s, stats)
		if err != nil {
			return nil, err
		}
		return &countedStage{Stage: inner, counts: c, key: countKey(s.Stream, s.ID), stats: stats}, nil
	}
}

func countKey(stream, shard string) string { return stream + "/" + shard }

// A countedStage counts what another stage has processed.
type countedStage struct {
	consumers.Stage
	counts *replayCounts
	key    string
	stats  *live.Stats // the stage's own

	row     tallyRow
	version int64
	base    tally // of earlier runs
	begun   bool  // something was processed
	wrote   bool  // and flushed
	mine    tally
}

// Open implements consumers.Stage.
func (s *countedStage) Open(ctx context.Context, shard consumers.Shard) (nagare.Position, error) {
	s.row = tallyRow{}
	version, err := coord.GetJSON(ctx, s.counts.store, s.counts.part, s.key, &s.row)
	if err != nil && !errors.Is(err, coord.ErrNotFound) {
		return nagare.Position{}, err
	}
	s.version, s.base = version, s.row.Tally
	return s.Stage.Open(ctx, shard)
}

// Process implements consumers.Stage.
func (s *countedStage) Process(ctx context.Context, events []nagare.Event) error {
	if err := s.Stage.Process(ctx, events); err != nil || len(events) == 0 {
		return err
	}
	if !s.begun && s.version != 0 && nagare.CompareSeq(events[0].Pos.Seq, s.row.Seq) <= 0 {
		s.base = s.row.Before // the last flush before this run came to nothing
	}
	s.begun = true
	var bytes int64
	for i := range events {
		bytes += int64(len(events[i].Body))
	}
	s.mine.Events += int64(len(events))
	s.mine.Bytes += bytes
	s.mine.Unusable, s.mine.Skipped, s.mine.Matches = s.stats.Unusable.Load(), s.stats.Skipped.Load(), s.stats.Matches.Load()
	c := s.counts
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now.Events += int64(len(events))
	c.now.Bytes += bytes
	c.shard[s.key] = s.sum()
	last := events[len(events)-1].Pos
	c.at[s.key], c.seq[s.key] = last.Arrived, last.Seq
	return nil
}

func (s *countedStage) sum() tally {
	sum := s.base
	sum.add(s.mine)
	return sum
}

// Flush implements consumers.Stage.
func (s *countedStage) Flush(ctx context.Context, to nagare.Position, end bool) error {
	if sum := s.sum(); s.begun && sum != s.row.Tally { // else it is made again, and has its row
		row := tallyRow{Seq: to.Seq, Tally: sum, Before: s.base}
		if s.wrote { // there is another flush, so that one was made durable
			row.Before = s.row.Tally
		}
		version, err := coord.PutJSON(ctx, s.counts.store, s.counts.part, s.key, row, s.version)
		if errors.Is(err, coord.ErrConflict) { // by ourselves: the answer was lost
			var now tallyRow
			if v, e := coord.GetJSON(ctx, s.counts.store, s.counts.part, s.key, &now); e == nil {
				s.version = v
			}
		}
		if err != nil {
			return fmt.Errorf("counts of the replay: %w", err)
		}
		s.row, s.version, s.wrote = row, version, true
	}
	return s.Stage.Flush(ctx, to, end)
}

// WantFlush implements consumers.Flusher.
func (s *countedStage) WantFlush() bool {
	f, ok := s.Stage.(consumers.Flusher)
	return ok && f.WantFlush()
}
