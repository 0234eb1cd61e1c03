package kinesisd

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"runtime"
	"time"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"
)

const (
	// maxQueued bounds the calls waiting for the writer; more of them wait
	// to be queued.
	maxQueued = 1024
	// maxGroupBytes bounds the records of one commit.
	maxGroupBytes = 4 << 20
	// gatherFor is how long a commit waits for the producers that the
	// previous one answered. It nearly doubles the records per sync.
	gatherFor = 300 * time.Microsecond
)

// writer is the one goroutine that changes what is stored. It commits the
// records of many calls together, since a commit costs one sync whatever its
// size; and between commits it changes streams and shards, so that no record
// can slip into a shard after its end.
type writer struct {
	s        *Server
	ops      chan *operation
	quit     chan struct{}
	done     chan struct{}
	broken   chan struct{} // closed when records can no longer be stored
	brokenBy error         // set before broken is closed
	closeErr error         // set before done is closed

	// The goroutine's own.
	file   *hourWriter
	hour   *hour
	place  int64 // the last given in hour
	lastAt int64 // the newest arrival time, which never falls
	group  []*operation
}

// operation is a call for the writer: records to put, or a change to make.
type operation struct {
	put    *putBatch
	change func() error
	done   chan error
}

// putBatch is the records of one call, and what became of them.
type putBatch struct {
	stream  *stream
	entries []putEntry
	size    int
}

type putEntry struct {
	key          hashKey
	partitionKey string
	data         []byte
	// results
	err   *apiError // set before the writer for an entry not to be stored
	shard *shard
	seq   sequence
	at    int64
}

// load reads the folder and starts the writer.
func (s *Server) load() error {
	streams, err := s.meta.loadStreams()
	if err != nil {
		return err
	}
	hours, err := s.meta.loadHours()
	if err != nil {
		return err
	}
	w := &writer{s: s, ops: make(chan *operation, maxQueued), quit: make(chan struct{}), done: make(chan struct{}), broken: make(chan struct{})}
	if err := s.passNumbers(); err != nil {
		return err
	}
	first := len(hours) == 0
	if first {
		h := &hour{}
		if err := s.meta.change(func(tx *sql.Tx) error { return insertHour(tx, h) }); err != nil {
			return err
		}
		hours = append(hours, h)
	}
	w.hour = hours[len(hours)-1]
	for _, h := range hours[:len(hours)-1] {
		if _, err := os.Stat(hourPath(s.cfg.Dir, h.number)); err != nil {
			return fmt.Errorf("records are missing: %w", err)
		}
		w.lastAt = max(w.lastAt, h.last)
	}
	s.streams = streams
	if err := s.removeStrays(hours); err != nil {
		return err
	}
	if !first {
		if err := s.lookAtNewest(w.hour.number); err != nil {
			return err
		}
	}
	if w.file, err = openHour(hourPath(s.cfg.Dir, w.hour.number)); err != nil {
		return err
	}
	if w.place, w.hour.first, w.hour.last, err = w.file.highest(); err != nil {
		return errors.Join(err, w.file.close())
	}
	w.lastAt = max(w.lastAt, w.hour.last)
	if !first {
		w.place = max(w.place, startPlace)
	}
	for _, st := range streams {
		for _, sh := range st.shards {
			for _, q := range []sequence{sh.start, sh.end} {
				if q.hour() == w.hour.number {
					w.place = max(w.place, q.place())
				}
			}
		}
	}
	for _, st := range streams {
		for _, sh := range st.shards {
			sh.last = sh.end
			if sh.end == 0 {
				sh.last = newSequence(w.hour.number, w.place)
			}
			sh.tail.after = sh.last
		}
	}
	s.hours, s.writer = hours, w
	go w.run()
	return nil
}

// put stores the batch. When it returns nil every entry has a sequence number
// and is on disk, or has an error.
func (w *writer) put(ctx context.Context, b *putBatch) error {
	return w.submit(ctx, &operation{put: b, done: make(chan error, 1)})
}

// change runs f on the writer's goroutine, where it alone may change streams.
// What f shows to others it must change under Server.mu.
func (w *writer) change(ctx context.Context, f func() error) error {
	return w.submit(ctx, &operation{change: f, done: make(chan error, 1)})
}

func (w *writer) submit(ctx context.Context, op *operation) error {
	select {
	case w.ops <- op:
	case <-w.done:
		return errClosing
	case <-ctx.Done():
		return ctx.Err()
	}
	select {
	case err := <-op.done:
		return err
	case <-w.done:
	}
	select {
	case err := <-op.done:
		return err
	default:
		return errClosing
	}
}

// close ends the goroutine after the operations already queued.
func (w *writer) close() error {
	close(w.quit)
	<-w.done
	return w.closeErr
}

func (w *writer) run() {
	defer close(w.done)
	housekeeping := time.NewTicker(min(time.Minute, max(w.s.cfg.FileSpan/4, time.Millisecond)))
	defer housekeeping.Stop()
	for {
		select {
		case op := <-w.ops:
			w.serve(op)
		case <-housekeeping.C:
			if err := w.housekeep(); err != nil {
				w.s.log.Error("housekeeping", "err", err)
			}
		case <-w.quit:
			for len(w.ops) > 0 {
				w.serve(<-w.ops)
			}
			if w.closeErr = w.file.end(); w.closeErr != nil {
				_ = w.file.close() // the next start reads the log
			}
			if w.brokenBy != nil {
				w.closeErr = nil // told already
			}
			return
		}
	}
}

// serve carries out an operation, together with what waits behind it.
func (w *writer) serve(op *operation) {
	if op.change != nil {
		op.done <- w.run1(op.change)
		return
	}
	if len(w.group) > 1 {
		deadline := time.Now().Add(gatherFor)
		for len(w.ops)+1 < len(w.group) && time.Now().Before(deadline) {
			runtime.Gosched()
		}
	}
	clear(w.group)
	w.group = append(w.group[:0], op)
	size := op.put.size
	var change *operation
collect:
	for size < maxGroupBytes && change == nil {
		select {
		case next := <-w.ops:
			if next.change != nil {
				change = next
				break
			}
			w.group = append(w.group, next)
			size += next.put.size
		default:
			break collect
		}
	}
	err := w.run1(w.commit)
	for _, op := range w.group {
		op.done <- err
	}
	if change != nil {
		change.done <- w.run1(change.change)
	}
}

// run1 runs f unless the writer is broken.
func (w *writer) run1(f func() error) error {
	if w.brokenBy != nil {
		return w.brokenBy
	}
	err := f()
	var e *apiError
	if err != nil && !errors.As(err, &e) {
		w.s.log.Error("store", "err", err)
		if !diskFull(err) {
			// After a failed sync nobody knows what is on disk. Another
			// start reads it back.
			w.brokenBy = fmt.Errorf("store: %w", err)
			close(w.broken)
		}
	}
	return err
}

func diskFull(err error) bool {
	var e *sqlite.Error
	return errors.As(err, &e) && e.Code()&0xff == sqlite3.SQLITE_FULL
}

// next gives out a sequence number.
func (w *writer) next() sequence {
	w.place++
	return newSequence(w.hour.number, w.place)
}

// now is the arrival time of what comes next.
func (w *writer) now() int64 {
	w.lastAt = max(w.lastAt, w.s.cfg.now().UnixMilli())
	return w.lastAt
}

// commit stores the records of the group, then shows them to readers.
func (w *writer) commit() error {
	at := w.now()
	if err := w.rollIfDue(at); err != nil {
		return err
	}
	stored := 0
	for _, op := range w.group {
		for i := range op.put.entries {
			if w.assign(op.put.stream, &op.put.entries[i], at) {
				stored++
			}
		}
	}
	if stored == 0 {
		return nil
	}
	ctx := context.Background() // a commit is not given up halfway
	if err := w.store(ctx); err != nil {
		w.file.rollback(ctx)
		return fmt.Errorf("commit %d records: %w", stored, err)
	}
	w.publish(at)
	return nil
}

// assign routes an entry and gives it its number, or its error.
func (w *writer) assign(st *stream, e *putEntry, at int64) bool {
	if e.err != nil {
		return false
	}
	if st.deleted {
		e.err = errorf(resourceNotFound, "Stream %s under account 000000000000 not found.", st.name)
		return false
	}
	e.shard = st.route(e.key)
	if w.s.cfg.Limits && !e.shard.in.take(w.s.cfg.now(), len(e.data)+len(e.partitionKey)) {
		e.err = errorf(throughput, "Rate exceeded for shard %s in stream %s under account 000000000000.", e.shard.id(), st.name)
		return false
	}
	e.seq, e.at = w.next(), at
	return true
}

func (w *writer) store(ctx context.Context) error {
	if _, err := w.file.begin.ExecContext(ctx); err != nil {
		return err
	}
	for _, op := range w.group {
		for i := range op.put.entries {
			if e := &op.put.entries[i]; e.err == nil {
				if err := w.file.insert(ctx, rowID(e.shard.number, e.seq.place()), e.at, e.partitionKey, e.data); err != nil {
					return err
				}
			}
		}
	}
	if err := w.file.flush(ctx); err != nil {
		return err
	}
	_, err := w.file.commit.ExecContext(ctx)
	return err
}

func (w *writer) publish(at int64) {
	touched := map[*shard]bool{}
	w.s.mu.Lock()
	defer w.s.mu.Unlock()
	for _, op := range w.group {
		for i := range op.put.entries {
			if e := &op.put.entries[i]; e.err == nil {
				w.s.tails.push(e.shard, record{e.seq, e.at, e.partitionKey, e.data})
				e.shard.last = e.seq
				touched[e.shard] = true
			}
		}
	}
	w.s.tails.shrink(w.s.cfg.TailBytes)
	if w.hour.first == 0 {
		w.hour.first = at
	}
	w.hour.last = at
	for sh := range touched {
		sh.wake()
	}
}
