package consumers

import (
	"fmt"
	"sort"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"nagare"
)

// A Monitor shows what one Run is doing. The zero Monitor is ready: put it
// into Config.Monitor and call Health whenever you like.
type Monitor struct {
	counters counters

	mu     sync.Mutex
	app    string
	stream string
	lease  time.Duration
	reason string // why the Run as a whole does not get on
	ready  bool
	shards map[string]*shardState
	unread []UnreadShard
}

// Health is a snapshot of a Run.
type Health struct {
	App    string
	Stream string
	// Ready says that the stream was found, that the shards that this process
	// has get on, and that each shard there is has a worker: none has been
	// without either for StuckAfter, or two LeaseTimes if that is longer.
	Ready bool
	// Reason says why not, with the shards' names; "" if it is ready.
	Reason string
	// Shards are those that this process has the lease of, by id.
	Shards []ShardHealth
	// Unread are shards of the stream that no worker of the application has
	// taken for a whole LeaseTime, by id.
	Unread []UnreadShard
	Counts Counts
}

// StuckAfter is how long a shard may be stuck before a Run is not ready.
const StuckAfter = time.Minute

// An UnreadShard could be read, and nobody does. What may be in it is not known,
// so it lags since then.
type UnreadShard struct {
	Shard string
	Since time.Time
}

// ShardHealth is a snapshot of one shard.
type ShardHealth struct {
	Shard string
	Epoch int64
	// Since is when the lease was taken.
	Since time.Time
	// Lag is how long the next event to be processed has been on the stream;
	// zero when there is none. While the shard does not get on it grows: it is
	// at least Stuck, and counts from the oldest event that is not durable.
	Lag time.Duration
	// Stuck is for how long the shard has not got on: something of it is
	// retried or does not return, or it was not read, so that nobody knows what
	// is there. Zero when it gets on.
	Stuck time.Duration
	// LastProgress is when the shard was last seen to be read up to its tip,
	// or processed, flushed or checkpointed something. A shard without
	// traffic makes progress too.
	LastProgress time.Time
	// Reason says what is being retried, and why, or what does not return; ""
	// when nothing is.
	Reason string
	// Gap says where records may be missing, because the stream trimmed them
	// before they were read; "" when none are.
	Gap string
	// Processed and Checkpoint are how far it got.
	Processed, Checkpoint nagare.Position
	// Waiting is what was read and not yet processed, in bytes.
	Waiting int64
}

// Counts only ever grow.
type Counts struct {
	Records     uint64 // records read
	Bytes       uint64 // of their data
	Events      uint64 // events handed to stages
	Plain       uint64 // of these, from records that were no frames
	Bad         uint64 // of these, records that could not be read: dead letters
	Misrouted   uint64 // events left out because they belong to another shard
	Flushes     uint64
	FlushTime   time.Duration // spent in Flush, in all
	Checkpoints uint64
	Retries     uint64 // calls of a stage that failed and were made again
	ReadErrors  uint64 // reads and subscribes that failed, throttling included
	LeasesTaken uint64
	LeasesLost  uint64
	Gaps        uint64 // places where records may be missing: see ShardHealth.Gap
}

type counters struct {
	records, bytes, events, plain, bad, misrouted         atomic.Uint64
	flushes, checkpoints, retries, readErrors, took, lost atomic.Uint64
	gaps                                                  atomic.Uint64
	flushTime                                             atomic.Int64
}

func (c *counters) snapshot() Counts {
	return Counts{
		Records: c.records.Load(), Bytes: c.bytes.Load(), Events: c.events.Load(), Plain: c.plain.Load(),
		Bad: c.bad.Load(), Misrouted: c.misrouted.Load(), Flushes: c.flushes.Load(),
		FlushTime: time.Duration(c.flushTime.Load()), Checkpoints: c.checkpoints.Load(), Retries: c.retries.Load(),
		ReadErrors: c.readErrors.Load(), LeasesTaken: c.took.Load(), LeasesLost: c.lost.Load(), Gaps: c.gaps.Load(),
	}
}

// Health returns how things stand.
func (m *Monitor) Health() Health {
	m.mu.Lock()
	defer m.mu.Unlock()
	h := Health{App: m.app, Stream: m.stream, Ready: m.ready, Reason: m.reason, Counts: m.counters.snapshot()}
	for _, s := range m.shards {
		h.Shards = append(h.Shards, s.snapshot())
	}
	h.Unread = append(h.Unread, m.unread...)
	sort.Slice(h.Shards, func(i, j int) bool { return h.Shards[i].Shard < h.Shards[j].Shard })
	h.judge(max(StuckAfter, 2*m.lease))
	return h
}

// judge makes h not ready if a shard has been stuck or without a worker for so
// long.
func (h *Health) judge(most time.Duration) {
	var why []string
	for _, s := range h.Shards {
		if s.Stuck >= most {
			why = append(why, fmt.Sprintf("%s does not get on (%s)", s.Shard, s.Reason))
		}
	}
	for _, u := range h.Unread {
		if time.Since(u.Since) >= most {
			why = append(why, u.Shard+" has no worker")
		}
	}
	if len(why) == 0 {
		return
	}
	if h.Reason != "" {
		why = append([]string{h.Reason}, why...)
	}
	const shown = 20
	if n := len(why) - shown; n > 0 {
		why = append(why[:shown], fmt.Sprintf("and %d more", n))
	}
	h.Ready, h.Reason = false, strings.Join(why, "; ")
}

func (m *Monitor) set(ready bool, reason string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.ready, m.reason = ready, reason
}

func (m *Monitor) setUnread(since map[string]time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.unread = m.unread[:0:0]
	for id, at := range since {
		m.unread = append(m.unread, UnreadShard{id, at})
	}
	sort.Slice(m.unread, func(i, j int) bool { return m.unread[i].Shard < m.unread[j].Shard })
}

func (m *Monitor) name(app, stream string, lease time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.app, m.stream, m.lease = app, stream, lease
}

func (m *Monitor) add(shard string, epoch int64) *shardState {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.shards == nil {
		m.shards = map[string]*shardState{}
	}
	now := time.Now()
	s := &shardState{counter: &m.counters, h: ShardHealth{Shard: shard, Epoch: epoch, Since: now, LastProgress: now}, troubles: map[string]trouble{}}
	m.shards[shard] = s
	return s
}

func (m *Monitor) remove(s *shardState) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.shards[s.h.Shard] == s {
		delete(m.shards, s.h.Shard)
	}
}

// shardState is where the goroutines of one shard leave word.
type shardState struct {
	counter *counters

	mu       sync.Mutex
	h        ShardHealth
	troubles map[string]trouble // by what is retried
	called   string             // what of the stage is running
	calledAt time.Time
	oldest   time.Time     // arrival of what waits or is being processed
	volatile time.Time     // arrival of the oldest that was processed and is not durable
	behind   time.Duration // what the stream said at the last read
	readAt   time.Time
}

// A trouble is why something is retried, and since when.
type trouble struct {
	why   string
	since time.Time
}

func (s *shardState) snapshot() ShardHealth {
	s.mu.Lock()
	defer s.mu.Unlock()
	h := s.h
	switch {
	case !s.oldest.IsZero():
		h.Lag = max(time.Since(s.oldest), 0)
	case s.behind > 0:
		h.Lag = s.behind + time.Since(s.readAt)
	}
	stuck := func(since time.Time, reason string) {
		if h.Stuck = max(h.Stuck, time.Since(since)); reason != "" {
			h.Reason = reason
		}
	}
	switch last := later(s.readAt, h.LastProgress); {
	case s.readAt.IsZero() && h.LastProgress.Equal(h.Since):
		stuck(h.Since, "")
	case s.readAt.IsZero(): // it reads no stream
	case time.Since(last) > longCall:
		stuck(last, "nothing was read or done for "+time.Since(last).Round(time.Second).String())
	}
	for _, what := range []string{"open", "read", "claim", "process", "flush", "checkpoint"} {
		if t, ok := s.troubles[what]; ok {
			stuck(t.since, what+": "+t.why)
		}
	}
	if d := time.Since(s.calledAt); len(s.troubles) == 0 && s.called != "" && d > longCall {
		stuck(s.calledAt, s.called+": has not returned for "+d.Round(time.Second).String())
	}
	if h.Stuck >= StuckAfter && h.Reason == "" {
		h.Reason = "not opened for " + h.Stuck.Round(time.Second).String()
	}
	h.Lag = max(h.Lag, h.Stuck)
	if h.Stuck > 0 && !s.volatile.IsZero() {
		h.Lag = max(h.Lag, time.Since(s.volatile))
	}
	return h
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// longCall is after how long a call of a stage is a reason for being late.
const longCall = 30 * time.Second

// calling notes that a method of the stage is called; "" that it returned.
func (s *shardState) calling(what string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.called, s.calledAt = what, time.Now()
}

// gapped notes that records may be missing.
func (s *shardState) gapped(why string) {
	s.counter.gaps.Add(1)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.h.Gap = why
}

// trying notes that what fails with err, or no longer does.
func (s *shardState) trying(what string, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err == nil {
		delete(s.troubles, what)
		return
	}
	t := s.troubles[what]
	if t.since.IsZero() {
		t.since = time.Now()
	}
	t.why = err.Error()
	s.troubles[what] = t
}

// read notes an answer of the stream.
func (s *shardState) read(bytes int, behind time.Duration) {
	s.counter.bytes.Add(uint64(bytes))
	s.mu.Lock()
	defer s.mu.Unlock()
	s.behind, s.readAt = behind, time.Now()
	if behind == 0 && s.oldest.IsZero() {
		s.h.LastProgress = s.readAt
	}
	delete(s.troubles, "read")
}

// waiting notes what is queued: its bytes, and when the oldest of it arrived.
func (s *shardState) waiting(bytes int64, oldest time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.h.Waiting, s.oldest = bytes, oldest
}

func (s *shardState) processed(to nagare.Position) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.h.Processed, s.h.LastProgress = to, time.Now()
	if s.volatile.IsZero() {
		s.volatile = to.Arrived
	}
}

func (s *shardState) checkpointed(to nagare.Position) {
	s.counter.checkpoints.Add(1)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.h.Checkpoint, s.h.LastProgress, s.volatile = to, time.Now(), time.Time{}
}
