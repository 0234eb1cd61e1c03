package consumers

import (
	"sort"
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
	reason string // why the Run as a whole does not get on
	ready  bool
	shards map[string]*shardState
	unread []UnreadShard
}

// Health is a snapshot of a Run.
type Health struct {
	App    string
	Stream string
	// Ready says that the stream was found and its shards are being read.
	Ready bool
	// Reason says why the Run as a whole does not get on; "" if it does.
	Reason string
	// Shards are those that this process has the lease of, by id.
	Shards []ShardHealth
	// Unread are shards of the stream that no worker of the application has
	// taken for a whole LeaseTime, by id.
	Unread []UnreadShard
	Counts Counts
}

// An UnreadShard could be read, and nobody does.
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
	// zero when there is none.
	Lag time.Duration
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
	return h
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

func (m *Monitor) name(app, stream string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.app, m.stream = app, stream
}

func (m *Monitor) add(shard string, epoch int64) *shardState {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.shards == nil {
		m.shards = map[string]*shardState{}
	}
	now := time.Now()
	s := &shardState{counter: &m.counters, h: ShardHealth{Shard: shard, Epoch: epoch, Since: now, LastProgress: now}, reasons: map[string]string{}}
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
	reasons  map[string]string // by what is retried
	called   string            // what of the stage is running
	calledAt time.Time
	oldest   time.Time     // arrival of what waits or is being processed
	behind   time.Duration // what the stream said at the last read
	readAt   time.Time
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
	for _, what := range []string{"open", "read", "process", "flush", "checkpoint"} {
		if why := s.reasons[what]; why != "" {
			h.Reason = what + ": " + why
		}
	}
	if d := time.Since(s.calledAt); h.Reason == "" && s.called != "" && d > longCall {
		h.Reason = s.called + ": has not returned for " + d.Round(time.Second).String()
	}
	return h
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
		delete(s.reasons, what)
		return
	}
	s.reasons[what] = err.Error()
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
	delete(s.reasons, "read")
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
}

func (s *shardState) checkpointed(to nagare.Position) {
	s.counter.checkpoints.Add(1)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.h.Checkpoint, s.h.LastProgress = to, time.Now()
}
