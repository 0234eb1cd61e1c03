package producers

import (
	"context"
	"fmt"
	"hash/crc32"
	"runtime"
	"time"
)

const (
	// maxSpoolGroup bounds the data of one commit, except for a single batch.
	maxSpoolGroup = 4 << 20
	// spoolGather is how long a commit waits for those that the previous one
	// answered. It nearly doubles the batches per sync.
	spoolGather = 300 * time.Microsecond
)

func spoolSum(data []byte) int64 { return int64(crc32.Checksum(data, castagnoli)) }

// A committer is the one goroutine that writes. It commits what many calls of
// Put have brought together, since a commit costs one sync whatever its size.
type committer struct {
	s        *Spool
	w        *spoolWriter // nil until there is something to write
	file     *spoolFile   // of w
	next     int64        // the number of the next file
	group    []*spoolPut
	closeErr error // set before Spool.done is closed
}

func (c *committer) run() {
	s := c.s
	defer close(s.done)
	tick := time.NewTicker(min(time.Minute, max(s.cfg.FileSpan/4, time.Millisecond)))
	defer tick.Stop()
	for {
		select {
		case op := <-s.ops:
			c.serve(op)
		case <-tick.C:
			if c.due() {
				c.roll()
			}
			s.mu.Lock()
			s.measure()
			s.mu.Unlock()
		case <-s.quit:
			for len(s.ops) > 0 {
				c.serve(<-s.ops)
			}
			c.closeErr = c.roll()
			return
		}
	}
}

// serve commits a batch together with what waits behind it.
func (c *committer) serve(op *spoolPut) {
	s := c.s
	if len(c.group) > 1 {
		deadline := time.Now().Add(spoolGather)
		for len(s.ops)+1 < len(c.group) && time.Now().Before(deadline) {
			runtime.Gosched()
		}
	}
	clear(c.group)
	c.group = append(c.group[:0], op)
	for size := len(op.data); size < maxSpoolGroup; {
		select {
		case next := <-s.ops:
			c.group = append(c.group, next)
			size += len(next.data)
			continue
		default:
		}
		break
	}
	err := c.commit()
	for _, op := range c.group {
		op.done <- err
	}
}

// due says whether the file is to be closed.
func (c *committer) due() bool {
	if c.file == nil {
		return false
	}
	c.s.mu.Lock()
	defer c.s.mu.Unlock()
	f := c.file
	return f.damaged || f.bytes >= c.s.cfg.FileBytes || c.s.cfg.now().Sub(f.born) >= c.s.cfg.FileSpan
}

// roll closes the file; the next batch makes another.
func (c *committer) roll() error {
	if c.w == nil {
		return nil
	}
	err := c.w.end()
	c.s.mu.Lock()
	c.file.writing = false
	c.s.mu.Unlock()
	c.w, c.file = nil, nil
	c.s.poke()
	return err
}

// open makes a file if there is none.
func (c *committer) open() error {
	if c.w != nil {
		return nil
	}
	s := c.s
	if err := s.cfg.fault("make"); err != nil {
		return err
	}
	path := spoolPath(s.cfg.Dir, c.next)
	w, err := makeSpoolFile(path, s.cfg.maxPages)
	if err != nil {
		return err
	}
	c.w, c.file = w, &spoolFile{number: c.next, path: path, born: s.cfg.now(), writing: true}
	c.next++
	s.mu.Lock()
	defer s.mu.Unlock()
	s.files = append(s.files, c.file)
	return nil
}

// commit brings the group to the disk. After an error nothing of it counts.
func (c *committer) commit() error {
	s := c.s
	if c.due() {
		c.roll()
	}
	var size int64
	rows, events := 0, 0
	for _, op := range c.group {
		if op.data != nil {
			size += int64(len(op.data) + rowOverhead)
			rows++
			events += op.events
		}
	}
	if rows == 0 {
		return nil
	}
	now := s.cfg.now()
	err := c.open()
	if err == nil {
		if err = c.store(now); err != nil {
			c.w.rollback(context.Background())
		}
	}
	if err != nil {
		s.release(size)
		reason := "error"
		if isFull(err) {
			reason = "disk-full"
		}
		// After a failed sync nobody knows what of it is on the disk, and a
		// second sync would say yes to anything. What was committed before is
		// still read from this file; new batches go to another. On a full disk
		// it is the way to get the file drained and removed.
		c.roll()
		s.cfg.Metrics.spoolRefused.WithLabelValues(s.cfg.Stream, reason).Add(float64(rows))
		s.cfg.Log.Error("events not spooled", "stream", s.cfg.Stream, "batches", rows, "err", err)
		return fmt.Errorf("spool: commit: %w", err)
	}
	s.cfg.Metrics.spooled.WithLabelValues(s.cfg.Stream).Add(float64(events))
	s.mu.Lock()
	c.file.last += int64(rows)
	c.file.bytes += size
	if s.oldest.IsZero() {
		s.oldest = now
	}
	s.mu.Unlock()
	s.poke()
	return nil
}

func (c *committer) store(now time.Time) error {
	ctx := context.Background() // a commit is not given up halfway
	if err := c.s.cfg.fault("begin"); err != nil {
		return err
	}
	if _, err := c.w.begin.ExecContext(ctx); err != nil {
		return err
	}
	id := c.file.last // of this goroutine's making; read without the lock
	for _, op := range c.group {
		if op.data == nil {
			continue
		}
		id++
		if err := c.w.insert(ctx, id, now.UnixMilli(), op.sum, op.data); err != nil {
			return err
		}
	}
	if err := c.s.cfg.fault("insert"); err != nil {
		return err
	}
	if err := c.w.flush(ctx); err != nil {
		return err
	}
	if err := c.s.cfg.fault("commit"); err != nil {
		return err
	}
	_, err := c.w.commit.ExecContext(ctx)
	return err
}
