package producers

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gofrs/flock"
	"modernc.org/sqlite"

	"nagare"
	"nagare/internal/frame"
)

// ErrSpoolFull is returned by Spool.Put at one of its bounds. What it holds is
// acknowledged, so nothing of it is dropped to make room: the sender has to
// come again.
var ErrSpoolFull = errors.New("the spool is full")

// ErrSpoolTaken is returned by OpenSpool when another process has the folder.
var ErrSpoolTaken = errors.New("another process has the spool")

// SpoolConfig says how a Spool behaves. Dir and Stream must be set; the rest
// of the zero value is ready to use.
type SpoolConfig struct {
	// Dir is the folder of the files. It is made if it is not there, and
	// belongs to one process at a time.
	Dir string
	// Stream is the stream that the events are for; it names the metrics.
	Stream string
	// MaxBytes bounds the spool's files; at the bound Put refuses. The log of
	// the file being written comes on top, up to 64 MiB. The default is 4 GiB.
	MaxBytes int64
	// MaxAge is how long the oldest event may wait for the stream before Put
	// refuses: by then somebody has to hear of it. The default is 72 h.
	MaxAge time.Duration
	// FileSpan and FileBytes close a file. It is removed as a whole, once
	// everything in it is on the stream. The defaults are 1 h and 64 MiB.
	FileSpan  time.Duration
	FileBytes int64
	// Drain is how long Run goes on after its context ended, to empty the
	// spool. What is left then waits for the next start. The default is 5 s.
	Drain time.Duration
	// Log is silent by default.
	Log *slog.Logger
	// Metrics are private by default.
	Metrics *Metrics

	// For tests: the clock, an error for an operation by its name, and a
	// bound of SQLite's own for the pages of a file.
	now      func() time.Time
	fault    func(op string) error
	maxPages int
}

func (c SpoolConfig) withDefaults() SpoolConfig {
	c.MaxBytes = cmp.Or(c.MaxBytes, 4<<30)
	c.MaxAge = cmp.Or(c.MaxAge, 72*time.Hour)
	c.FileSpan = cmp.Or(c.FileSpan, time.Hour)
	// A file's drained rows count until the file goes: it must be small
	// against the whole.
	c.FileBytes = min(cmp.Or(c.FileBytes, 64<<20), max(c.MaxBytes/8, 1))
	c.Drain = cmp.Or(c.Drain, 5*time.Second)
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.Metrics == nil {
		c.Metrics = NewMetrics(nil)
	}
	if c.now == nil {
		c.now = time.Now
	}
	if c.fault == nil {
		c.fault = func(string) error { return nil }
	}
	return c
}

// A Spool keeps events on this machine's disk until their stream takes them.
// Put returns when they are synced; Run brings them to the stream, oldest
// first, and begins again where it was after a crash. An event may so come to
// the stream more than once, each time with the same uid, id and times.
//
// The files are SQLite's, one after another; damage in them is counted, logged
// and set aside, and what can still be read goes on its way.
type Spool struct {
	cfg  SpoolConfig
	lock *flock.Flock
	id   string // see spoolID

	ops  chan *spoolPut // bounded: Put waits
	quit chan struct{}
	done chan struct{} // closed when the committer has ended

	committer committer // of the committing goroutine alone
	running   atomic.Bool
	changed   chan struct{} // capacity 1: there is something to drain, or to remove

	mu      sync.Mutex   // guards what follows
	files   []*spoolFile // oldest first; the last one may be the committer's
	used    int64        // bytes of files, of what is being put, and of what was set aside
	oldest  time.Time    // no event that waits for the stream is older; zero if none waits
	alarmed bool         // that it is filling was said
}

// A spoolPut is a batch on its way to the disk; without data, a request to
// close the file.
type spoolPut struct {
	data   []byte
	sum    uint32
	events int
	done   chan error
}

// A spoolFile is one file of the spool. Its fields are guarded by Spool.mu.
type spoolFile struct {
	number  int64
	path    string
	bytes   int64     // counted in Spool.used
	last    int64     // the newest row; 0 if there is none
	sent    int64     // the newest row that is on the stream, with all before it
	born    time.Time // when it was made
	writing bool      // the committer has it open
	damaged bool      // something in it cannot be read
	lost    int64     // rows that cannot be read; of the draining goroutine
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// rowOverhead is about what SQLite needs for a row besides its data.
const rowOverhead = 32

// OpenSpool takes the folder and looks at what an earlier process left there.
// Close gives it back.
func OpenSpool(cfg SpoolConfig) (*Spool, error) {
	cfg = cfg.withDefaults()
	if err := os.MkdirAll(cfg.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("spool: %w", err)
	}
	// See kinesisd.Open: whoever is first decides for the process.
	if _, err := sqlite.OFDLocking(true); errors.Is(err, sqlite.ErrOFDLockingTooLate) && !sqlite.OFDLockingEnabled() {
		return nil, fmt.Errorf("spool: lock databases: %w", err)
	}
	lock := flock.New(filepath.Join(cfg.Dir, "lock"))
	held, err := lock.TryLock()
	if err != nil {
		return nil, fmt.Errorf("spool: lock %s: %w", cfg.Dir, err)
	}
	if !held {
		return nil, fmt.Errorf("spool %s: %w: stop it, or use another data folder", cfg.Dir, ErrSpoolTaken)
	}
	s := &Spool{cfg: cfg, lock: lock, ops: make(chan *spoolPut, 1024), quit: make(chan struct{}), done: make(chan struct{}), changed: make(chan struct{}, 1)}
	if err := s.load(); err != nil {
		return nil, errors.Join(fmt.Errorf("spool: %w", err), lock.Unlock())
	}
	s.committer.s = s
	go s.committer.run()
	return s, nil
}

// Close ends the spool. Put must not be called any more, and Run have returned.
func (s *Spool) Close() error {
	close(s.quit)
	<-s.done
	s.writeMark()
	return errors.Join(s.committer.closeErr, s.lock.Unlock())
}

// Put returns nil when all the events are on the disk. After an error they may
// be, and then they will come to the stream; putting them again is harmless.
func (s *Spool) Put(ctx context.Context, events []nagare.Event) error {
	if len(events) == 0 {
		return ctx.Err()
	}
	data := encodeRow(events)
	size := int64(len(data) + rowOverhead)
	if err := s.reserve(size); err != nil {
		return err
	}
	op := &spoolPut{data: data, sum: crc32.Checksum(data, castagnoli), events: len(events), done: make(chan error, 1)}
	select {
	case s.ops <- op:
	case <-s.done:
		s.release(size)
		return fmt.Errorf("spool: %w", ErrClosed)
	case <-ctx.Done():
		s.release(size)
		return fmt.Errorf("spool: %w", ctx.Err())
	}
	// From here on the bytes are the committer's to give back.
	select {
	case err := <-op.done:
		return err
	case <-ctx.Done():
		return fmt.Errorf("spool: %w", ctx.Err())
	case <-s.done:
	}
	select {
	case err := <-op.done:
		return err
	default:
		return fmt.Errorf("spool: %w", ErrClosed)
	}
}

// compressFrom is from where a batch is compressed: small ones gain little,
// and are what comes in thousands.
const compressFrom = 16 << 10

// encodeRow is what a batch is in a row: a frame, or a small one, or one that
// no frame holds, as it is. A batch begins with another byte than a frame.
func encodeRow(events []nagare.Event) []byte {
	var enc frame.Encoder
	for i := range events {
		enc.Add(&events[i])
	}
	if enc.RawSize() >= compressFrom {
		if data, err := enc.Append(nil); err == nil {
			return data
		}
	}
	return enc.AppendRaw(nil)
}

func decodeRow(data []byte) ([]nagare.Event, error) {
	if frame.Is(data) {
		return frame.Decode(data)
	}
	return frame.DecodeRaw(data)
}

// reserve takes room for a batch, or refuses.
func (s *Spool) reserve(size int64) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.used+size > s.cfg.MaxBytes {
		s.cfg.Metrics.spoolRefused.WithLabelValues(s.cfg.Stream, "bytes").Inc()
		return fmt.Errorf("spool: %w: %d of %d bytes are used; is the stream taking anything?", ErrSpoolFull, s.used, s.cfg.MaxBytes)
	}
	if age := s.age(); age > s.cfg.MaxAge {
		s.cfg.Metrics.spoolRefused.WithLabelValues(s.cfg.Stream, "age").Inc()
		return fmt.Errorf("spool: %w: its oldest event waits for %s, more than %s", ErrSpoolFull, age.Round(time.Second), s.cfg.MaxAge)
	}
	s.used += size
	if !s.alarmed && s.used > s.cfg.MaxBytes/5*4 {
		s.alarmed = true
		s.cfg.Log.Warn("the spool is filling", "stream", s.cfg.Stream, "bytes", s.used, "of", s.cfg.MaxBytes)
	}
	s.measure()
	return nil
}

func (s *Spool) release(size int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.used -= size
	if s.used < s.cfg.MaxBytes/5*3 {
		s.alarmed = false
	}
	s.measure()
}

// age is how long the oldest event has been waiting. s.mu is held.
func (s *Spool) age() time.Duration {
	if s.oldest.IsZero() {
		return 0
	}
	return max(s.cfg.now().Sub(s.oldest), 0)
}

// measure shows the state. s.mu is held.
func (s *Spool) measure() {
	s.cfg.Metrics.spoolBytes.WithLabelValues(s.cfg.Stream).Set(float64(s.used))
	s.cfg.Metrics.spoolAge.WithLabelValues(s.cfg.Stream).Set(s.age().Seconds())
}

// Waiting says whether events wait for the stream.
func (s *Spool) Waiting() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return !s.oldest.IsZero()
}

func (s *Spool) poke() {
	select {
	case s.changed <- struct{}{}:
	default: // it will look anyway
	}
}
