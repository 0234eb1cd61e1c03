package kinesisd

import (
	"context"
	"fmt"
	"math"
	"sort"
	"time"
)

// page is a stretch of a shard.
type page struct {
	records []record
	next    sequence // the position behind what was looked at
	more    bool     // there is more to read at once
	ended   bool     // the shard is closed and this was its end
	lag     int64    // milliseconds behind the newest record
	changed <-chan struct{}
	held    *holding // of Server.pages; nil if it is in memory in any case
}

// read returns what follows a position in a shard. The caller must drop the
// page when it has been sent.
func (s *Server) read(ctx context.Context, sh *shard, after sequence, maxRecords, maxBytes int) (*page, error) {
	s.mu.RLock()
	hours := s.visibleHours(sh.stream)
	if after.hour() < hours[0].number {
		after = newSequence(hours[0].number, 0) // what was before has been trimmed
	}
	last, closed := sh.last, sh.end != 0
	p := &page{next: after, changed: sh.changed}
	inMemory := after >= last || after >= sh.tail.after
	if inMemory && after < last {
		var full bool
		if p.records, full = sh.tail.from(after, maxRecords, maxBytes); full {
			p.next = p.records[len(p.records)-1].seq
		} else {
			p.next = last
		}
	}
	s.mu.RUnlock()
	if !inMemory {
		if err := s.readDisk(ctx, p, sh, hours, last, maxRecords, maxBytes); err != nil {
			s.drop(p)
			return nil, err
		}
	}
	p.more = p.next < last
	p.ended = closed && !p.more
	if p.more {
		if n := len(p.records); n > 0 {
			p.lag = max(0, s.cfg.now().UnixMilli()-p.records[n-1].at)
		} else {
			p.lag = 1 // unknown before something is found, but not nothing
		}
	}
	return p, nil
}

// readDisk fills the page from the files, as far as a page goes.
func (s *Server) readDisk(ctx context.Context, p *page, sh *shard, hours []*hour, last sequence, maxRecords, maxBytes int) error {
	p.held = s.pages.hold()
	if err := p.held.take(ctx, int64(maxBytes)); err != nil {
		return err
	}
	// Reading is short, sending may not be: it holds what was found.
	defer func() { p.held.give(max(int64(maxBytes-p.cost()), 0)) }()
	looked := 0
	begin := max(p.next.hour(), sh.start.hour())
	for _, h := range hours[sort.Search(len(hours), func(i int) bool { return hours[i].number >= begin }):] {
		number := h.number // which never changes; the rest of h may
		if number > last.hour() || looked == maxHoursPerRead {
			break
		}
		looked++
		from, to := int64(0), int64(maxPlace)
		if number == p.next.hour() {
			from = p.next.place()
		}
		if number == last.hour() {
			to = last.place()
		}
		full, err := s.readHour(ctx, p, sh, number, from, to, maxRecords, maxBytes)
		if err != nil {
			return fmt.Errorf("read records of hour %d: %w", number, err)
		}
		if full {
			p.next = p.records[len(p.records)-1].seq
			return nil
		}
		p.next = newSequence(number, to)
	}
	return nil
}

func (s *Server) readHour(ctx context.Context, p *page, sh *shard, number, from, to int64, maxRecords, maxBytes int) (full bool, err error) {
	size := 0
	for i := range p.records {
		size += len(p.records[i].data)
	}
	if len(p.records) >= maxRecords || size >= maxBytes {
		return true, nil
	}
	r, err := s.files.acquire(number)
	if err != nil || r == nil {
		return false, err
	}
	found, full, err := r.read(ctx, sh.number, from, to, maxRecords-len(p.records), maxBytes-size, len(p.records) == 0)
	if rerr := s.files.release(r); rerr != nil {
		s.log.Warn("a file of records was not removed", "hour", number, "err", rerr)
	}
	p.records = append(p.records, found...)
	return full, err
}

// drop gives back what a page held.
func (s *Server) drop(p *page) {
	if p.held != nil {
		p.held.drop()
	}
}

// visibleHours lists the files that still hold records of a stream; it is
// never empty. The caller holds Server.mu, but the list itself never changes.
func (s *Server) visibleHours(st *stream) []*hour {
	horizon := s.cfg.now().Add(-st.retention).UnixMilli()
	i := sort.Search(len(s.hours)-1, func(i int) bool { return s.hours[i].last >= horizon })
	return s.hours[i:]
}

// startingPosition is where a reader wants to begin, in the words of
// GetShardIterator and SubscribeToShard.
type startingPosition struct {
	Type           string
	SequenceNumber string
	Timestamp      *timestamp
}

// position resolves a starting position: the reader gets what lies after it.
func (s *Server) position(ctx context.Context, sh *shard, p startingPosition) (sequence, error) {
	switch p.Type {
	case "TRIM_HORIZON":
		return 0, nil
	case "LATEST":
		s.mu.RLock()
		defer s.mu.RUnlock()
		return sh.last, nil
	case "AT_SEQUENCE_NUMBER", "AFTER_SEQUENCE_NUMBER":
		q, ok := parseSequence(p.SequenceNumber)
		if !ok || !s.holds(sh, q) {
			return 0, errorf(invalidArgument, "StartingSequenceNumber %s used on shard %s in stream %s under account 000000000000 is invalid because it did not come from this shard.",
				clip(p.SequenceNumber), sh.id(), sh.stream.name)
		}
		if p.Type == "AT_SEQUENCE_NUMBER" && q > 0 {
			q--
		}
		return q, nil
	case "AT_TIMESTAMP":
		if p.Timestamp == nil {
			return 0, errorf(invalidArgument, "Must specify timestampInMillis parameter for AT_TIMESTAMP.")
		}
		at := math.Round(float64(*p.Timestamp) * 1000)
		if now := s.cfg.now(); at > float64(now.UnixMilli()+1) {
			return 0, errorf(invalidArgument, "The timestampInMillis parameter cannot be greater than the currentTimestampInMillis. timestampInMillis: %.0f, currentTimestampInMillis: %d", at, now.UnixMilli())
		}
		return s.positionAt(ctx, sh, int64(max(at, 0)))
	}
	return 0, errorf(validation, "1 validation error detected: Value '%s' at 'shardIteratorType' failed to satisfy constraint: Member must satisfy enum value set: [AFTER_SEQUENCE_NUMBER, LATEST, AT_TIMESTAMP, AT_SEQUENCE_NUMBER, TRIM_HORIZON]", clip(p.Type))
}

// holds says whether a sequence number can have come from the shard: from its
// records, its start or its end, or from a continuation. It keeps apart
// streams made again under their old name.
func (s *Server) holds(sh *shard, q sequence) bool {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return q == 0 || q >= sh.start && q <= sh.last
}

// positionAt finds the place before the first record that arrived at a time or
// later.
func (s *Server) positionAt(ctx context.Context, sh *shard, at int64) (sequence, error) {
	s.mu.RLock()
	last, hours := sh.last, s.visibleHours(sh.stream)
	i := sort.Search(len(hours)-1, func(i int) bool { return hours[i].number >= sh.start.hour() && hours[i].last >= at })
	s.mu.RUnlock()
	for _, h := range hours[i:] {
		number := h.number
		if number > last.hour() {
			break
		}
		r, err := s.files.acquire(number)
		if err != nil {
			return 0, err
		}
		if r == nil {
			continue
		}
		place, found, err := r.firstSince(ctx, sh.number, at)
		if rerr := s.files.release(r); rerr != nil {
			s.log.Warn("a file of records was not removed", "hour", number, "err", rerr)
		}
		if err != nil {
			return 0, fmt.Errorf("find %s in hour %d: %w", time.UnixMilli(at).UTC(), number, err)
		}
		if found {
			return newSequence(number, place) - 1, nil
		}
	}
	return last, nil
}
