package app

import (
	"context"
	"iter"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"golang.org/x/sync/errgroup"

	"nagare"
	"nagare/consumers"
	"nagare/internal/coord"
	"nagare/internal/lake"
)

// A streamShare says how much of some streams was replayed: the mean, over the
// shards that have anything, of how far each is between the arrival of its
// first and of its last record. A shard that is finished is whole. How many
// records there are, a stream does not say.
type streamShare struct {
	aws    aws.Config
	store  coord.Store
	app    string
	counts *replayCounts

	mu     sync.Mutex
	ids    []string // of the streams
	shards map[string]*shardShare
	failed bool // some shard could not be measured
	asked  time.Time
}

// A shardShare is one shard of them.
type shardShare struct {
	extent   consumers.Extent
	measured bool
	done     bool
	stored   time.Time // arrival of what an earlier run made durable
}

// extents looks where the records of the shards begin and end, a few shards at
// a time, beside the replay.
func (s *streamShare) extents(ctx context.Context, name, id string, start consumers.Start, end time.Time) {
	fail := func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.failed = true
	}
	shards, err := consumers.Shards(ctx, s.aws, name, start)
	places := map[string]string{}
	if err == nil && (start.App != "" || start.Checkpoint != "") {
		places, err = consumers.Places(ctx, s.store, start, id)
	}
	if err != nil {
		fail()
		return
	}
	s.mu.Lock()
	s.ids = append(s.ids, id)
	for _, shard := range shards {
		s.shards[countKey(id, shard)] = &shardShare{}
	}
	s.mu.Unlock()
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(4)
	for _, shard := range shards {
		group.Go(func() error {
			from := start
			switch seq := places[shard]; {
			case seq == "SHARD_END":
				from = consumers.Start{Time: end} // nothing is to be read
			case seq != "" && nagare.CompareSeq(seq, "0") > 0:
				from = consumers.Start{Shard: shard, Seq: seq}
			}
			var e consumers.Extent
			var err error
			if from.Time.IsZero() || from.Time.Before(end) {
				e, err = consumers.MeasureExtent(ctx, s.aws, name, shard, from, end)
			}
			if err != nil {
				return err
			}
			s.mu.Lock()
			defer s.mu.Unlock()
			sh := s.shards[countKey(id, shard)]
			sh.extent, sh.measured = e, true
			return nil
		})
	}
	if group.Wait() != nil {
		fail()
	}
}

// refresh reads what the checkpoints say, now and then.
func (s *streamShare) refresh(ctx context.Context) {
	const often = 2 * time.Second
	s.mu.Lock()
	due := time.Since(s.asked) >= often
	if due {
		s.asked = time.Now()
	}
	ids := s.ids
	s.mu.Unlock()
	if !due {
		return
	}
	for _, id := range ids {
		list, err := consumers.Checkpoints(ctx, s.store, s.app, id)
		if err != nil {
			continue // the line can be a little old
		}
		s.mu.Lock()
		for _, c := range list {
			if sh := s.shards[countKey(id, c.Shard)]; sh != nil {
				sh.done, sh.stored = c.Finished || !c.Reached.IsZero(), c.Arrived
			}
		}
		s.mu.Unlock()
	}
}

// share is the mean, and the arrival time that the shard has reached which is
// farthest behind.
func (s *streamShare) share(ctx context.Context) (share float64, known bool, at time.Time) {
	s.refresh(ctx)
	s.mu.Lock()
	defer s.mu.Unlock()
	sum, n := 0.0, 0
	known = !s.failed && len(s.shards) > 0
	for key, sh := range s.shards {
		reached := s.counts.reached(key)
		if reached.IsZero() {
			reached = sh.stored
		}
		if !reached.IsZero() && !sh.done && (at.IsZero() || reached.Before(at)) {
			at = reached
		}
		part, ok := sh.share(reached)
		if !ok {
			known = false
		}
		if sh.done && !sh.measured || sh.measured && !sh.extent.First.IsZero() {
			sum, n = sum+part, n+1
		}
	}
	if n == 0 {
		return 0, false, at
	}
	return sum / float64(n), known, at
}

func (sh *shardShare) share(reached time.Time) (float64, bool) {
	first, last := sh.extent.First, sh.extent.Last
	switch {
	case sh.done:
		return 1, true
	case !sh.measured || !first.IsZero() && last.IsZero():
		return 0, false
	case first.IsZero(): // there is nothing in it
		return 0, true
	case reached.IsZero() || reached.Before(first):
		return 0, true
	case !reached.Before(last):
		return 1, true
	}
	return float64(reached.Sub(first)) / float64(last.Sub(first)), true
}

// An archiveShare says how much of some archives was replayed, by the bytes of
// their objects, which are read shard after shard. What was read and still
// waits to be processed does not count.
type archiveShare struct {
	counts *replayCounts

	mu    sync.Mutex
	keys  []string // streams and shards, in the order in which they are read
	sizes map[string]int64
	total int64
	at    string // the shard that is read
	done  int64  // bytes whose events were processed, and those before them
	read  int64  // bytes that were read, and those before them
	marks []readMark
}

// A readMark says how much was read when a record came.
type readMark struct {
	seq  string
	read int64
}

// plan notes what there is to read of an archive.
func (s *archiveShare) plan(ctx context.Context, a *lake.Archive, from, to time.Time) error {
	shards, err := a.Shards(ctx)
	if err != nil {
		return err
	}
	for _, shard := range shards {
		size, err := a.Size(ctx, shard, from, to)
		if err != nil {
			return err
		}
		key := countKey(a.Stream(), shard)
		s.mu.Lock()
		s.keys = append(s.keys, key)
		s.sizes[key] = size
		s.total += size
		s.mu.Unlock()
	}
	return nil
}

// begin notes that a shard is begun, with so much left to read of it: shards
// before it are done, and so is the rest of it.
func (s *archiveShare) begin(key string, left int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.at, s.done, s.marks = key, 0, nil
	for _, k := range s.keys {
		if k == key {
			s.done += max(s.sizes[k]-left, 0)
			break
		}
		s.done += s.sizes[k]
	}
	s.read = s.done
}

// more notes that so many bytes more were read.
func (s *archiveShare) more(n int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.read += n
}

// mark notes that a record was reached.
func (s *archiveShare) mark(seq string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if n := len(s.marks); n == 0 && s.read > s.done || n > 0 && s.marks[n-1].read < s.read {
		s.marks = append(s.marks, readMark{seq, s.read})
	}
}

func (s *archiveShare) share() (share float64, known bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.total == 0 {
		return 0, false
	}
	processed := s.counts.last(s.at)
	for len(s.marks) > 0 && processed != "" && nagare.CompareSeq(s.marks[0].seq, processed) <= 0 {
		s.done, s.marks = s.marks[0].read, s.marks[1:]
	}
	return min(float64(s.done)/float64(s.total), 1), true
}

// A watchedArchive tells a share what is read of it.
type watchedArchive struct {
	*lake.Archive
	share *archiveShare
}

// Events implements consumers.Archived.
func (a watchedArchive) Events(ctx context.Context, shard string, from, to time.Time) iter.Seq2[nagare.Event, error] {
	if left, err := a.Size(ctx, shard, from, to); err == nil {
		a.share.begin(countKey(a.Stream(), shard), left)
	}
	return func(yield func(nagare.Event, error) bool) {
		for ev, err := range a.Archive.Events(ctx, shard, from, to) {
			a.share.mark(ev.Pos.Seq)
			if !yield(ev, err) {
				return
			}
		}
	}
}
