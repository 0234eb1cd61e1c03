package producers

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/semaphore"

	"nagare"
	"nagare/internal/claim"
	"nagare/internal/frame"
)

// ErrClosed is returned by Put when the writer stopped before the events were
// durable. They may or may not be on the stream.
var ErrClosed = errors.New("the writer is closed")

// Client is the part of *kinesis.Client that a Writer uses.
type Client interface {
	PutRecords(context.Context, *kinesis.PutRecordsInput, ...func(*kinesis.Options)) (*kinesis.PutRecordsOutput, error)
	ListShards(context.Context, *kinesis.ListShardsInput, ...func(*kinesis.Options)) (*kinesis.ListShardsOutput, error)
}

// WriterConfig says how a Writer behaves. Its zero value is ready to use.
type WriterConfig struct {
	// Claims keeps the bodies that no record holds. Without it such an event
	// is cut to a dead letter.
	Claims *claim.Store
	// Linger is how long an event waits for others to share its frame.
	// The default is 50 ms.
	Linger time.Duration
	// FrameBytes closes a frame: its size before compression. The default is
	// 256 KiB.
	FrameBytes int
	// RecordBytes is the stream's limit for a record. The default is 1 MiB.
	RecordBytes int
	// QueueBytes bounds what waits in memory; Put waits at the bound. The
	// default is 64 MiB.
	QueueBytes int
	// RequestTimeout is how long an answer may take. A connection that died
	// without a word would hold its shard's lane for ever; the request is made
	// again, and what the lost one did is there twice, with the same uids. The
	// default is 6 s.
	RequestTimeout time.Duration
	// Drain is how long Run goes on after its context ended, to write what
	// was accepted. The default is 10 s.
	Drain time.Duration
	// Log is silent by default.
	Log *slog.Logger
	// Metrics are private by default.
	Metrics *Metrics
}

func (c WriterConfig) withDefaults() WriterConfig {
	c.Linger = cmp.Or(c.Linger, 50*time.Millisecond)
	c.FrameBytes = cmp.Or(c.FrameBytes, 256<<10)
	c.RecordBytes = cmp.Or(c.RecordBytes, 1<<20)
	c.QueueBytes = cmp.Or(c.QueueBytes, 64<<20)
	c.RequestTimeout = cmp.Or(c.RequestTimeout, 6*time.Second)
	c.Drain = cmp.Or(c.Drain, 10*time.Second)
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.Metrics == nil {
		c.Metrics = NewMetrics(nil)
	}
	return c
}

// A Writer puts events on one stream. Events are gathered by the shard that
// their hash belongs to, and each shard is written by a lane of its own, one
// request at a time. Put may be called from many goroutines; it works while
// Run does.
type Writer struct {
	client  Client
	stream  string
	cfg     WriterConfig
	room    *semaphore.Weighted // bytes that may still be queued; waits when used up
	waiting prometheus.Gauge

	refreshing chan struct{} // holds a token while the shards are asked for

	mu      sync.Mutex // guards what follows
	ring    *ring      // nil until Run has read it
	lanes   map[string]*lane
	start   func(*lane) // starts a lane's goroutine
	early   []*entry    // put before the ring was known
	left    int         // entries not yet resolved
	closing bool        // Put refuses, lanes do not linger
	idle    chan struct{}
	lastErr error // why the last request failed; nil after one that did not
}

// An entry is one event on its way.
type entry struct {
	event nagare.Event
	hash  hashKey
	size  int
	owner *waiter
}

// A waiter is a call of Put that waits for its events.
type waiter struct {
	left atomic.Int64
	gone atomic.Bool           // the caller gave up: what was not sent yet need not be
	err  atomic.Pointer[error] // why not everything was written
	done chan struct{}         // closed when left is 0
}

// NewWriter makes a Writer for a stream; Run starts it.
func NewWriter(client Client, stream string, cfg WriterConfig) *Writer {
	cfg = cfg.withDefaults()
	return &Writer{
		client: client, stream: stream, cfg: cfg,
		room:       semaphore.NewWeighted(int64(cfg.QueueBytes)),
		waiting:    cfg.Metrics.waiting.WithLabelValues(stream),
		lanes:      map[string]*lane{},
		idle:       make(chan struct{}),
		refreshing: make(chan struct{}, 1),
	}
}

// Put returns nil when all the events are durable on the stream. After an
// error, some of them may be; putting them again is harmless, for they carry
// their uids.
//
// The body of an event that no record can hold goes to Config.Claims, and the
// event travels without it. Where that cannot be, the event is put as a dead
// letter with its first 64 KiB (reason "too-large"); that is no error.
func (w *Writer) Put(ctx context.Context, events []nagare.Event) error {
	if len(events) == 0 {
		return ctx.Err()
	}
	events, err := w.claim(ctx, events)
	if err != nil {
		return fmt.Errorf("put on %s: %w", w.stream, err)
	}
	wait := &waiter{done: make(chan struct{})}
	wait.left.Store(int64(len(events)))
	for len(events) > 0 {
		// Ask for the room of several events at once, but for little enough
		// that a large delivery and a small queue still get along.
		n, size := 0, 0
		for n < len(events) && (n == 0 || size < w.cfg.QueueBytes/16) {
			size += w.weight(&events[n])
			n++
		}
		size = min(size, w.cfg.QueueBytes)
		if err := w.room.Acquire(ctx, int64(size)); err != nil {
			wait.gone.Store(true)
			return w.explain(err)
		}
		if err := w.enqueue(events[:n], size, wait); err != nil {
			w.room.Release(int64(size))
			wait.gone.Store(true)
			return err
		}
		events = events[n:]
	}
	select {
	case <-wait.done:
		if err := wait.err.Load(); err != nil {
			return *err
		}
		return nil
	case <-ctx.Done():
		wait.gone.Store(true)
		return w.explain(ctx.Err())
	}
}

// weight is what an event counts for in the queue: its bytes and our own.
func (w *Writer) weight(ev *nagare.Event) int {
	size := len(ev.Body) + len(ev.Error) + 300
	if ev.DataRef != "" {
		// Whoever reads the frame holds the body too: two of them in one frame
		// would be more than he expects.
		size += w.cfg.FrameBytes
	}
	return min(size, w.cfg.QueueBytes)
}

// explain adds why the stream does not take anything, if we know.
func (w *Writer) explain(err error) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.lastErr != nil {
		return fmt.Errorf("put on %s: %w: %w", w.stream, err, w.lastErr)
	}
	return fmt.Errorf("put on %s: %w", w.stream, err)
}

// enqueue hands events to their lanes. Their weights add up to size, except
// that size is cut at the whole queue; the last entry takes the difference.
func (w *Writer) enqueue(events []nagare.Event, size int, wait *waiter) error {
	entries := make([]entry, len(events))
	for i := range events {
		weight := w.weight(&events[i])
		if i == len(events)-1 {
			weight = size
		}
		size -= weight
		entries[i] = entry{event: events[i], hash: frame.HashKey(events[i].Source, events[i].UID), size: weight, owner: wait}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closing {
		return fmt.Errorf("put on %s: %w", w.stream, ErrClosed)
	}
	w.left += len(entries)
	for i := range entries {
		w.waiting.Add(float64(entries[i].size))
		w.route(&entries[i])
	}
	return nil
}

// route appends an entry to the lane of its hash. w.mu is held.
func (w *Writer) route(e *entry) {
	if w.ring == nil {
		w.early = append(w.early, e)
		return
	}
	i, found := slices.BinarySearchFunc(w.ring.open, e.hash, func(id string, k hashKey) int {
		first := w.ring.spans[id].first
		return slices.Compare(first[:], k[:])
	})
	if !found {
		i-- // the shard that starts before the hash; the ring has no gaps
	}
	w.lanes[w.ring.open[i]].push(e)
}

// finish says that an entry is durable, or, with an error, that it will not be.
func (w *Writer) finish(e *entry, err error) {
	w.room.Release(int64(e.size))
	w.waiting.Sub(float64(e.size))
	if err != nil {
		e.owner.err.CompareAndSwap(nil, &err)
	}
	if e.owner.left.Add(-1) == 0 {
		close(e.owner.done)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.left--
	if w.closing && w.left == 0 {
		close(w.idle)
	}
}

// Run writes until ctx ends, and then for up to Config.Drain longer what was
// already accepted. It returns nil after that; whoever still waits in Put gets
// ErrClosed.
func (w *Writer) Run(ctx context.Context) error {
	work, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	var lanes sync.WaitGroup
	w.mu.Lock()
	w.start = func(l *lane) { lanes.Go(func() { l.run(work) }) }
	w.mu.Unlock()

	if w.refresh(ctx, "") == nil {
		<-ctx.Done()
	}
	w.mu.Lock()
	w.closing = true
	if w.left == 0 {
		close(w.idle)
	}
	for _, l := range w.lanes {
		l.poke()
	}
	patience := w.cfg.Drain
	if w.ring == nil {
		patience = 0 // the stream was never reached
	}
	w.mu.Unlock()

	drain := time.NewTimer(patience)
	defer drain.Stop()
	select {
	case <-w.idle:
	case <-drain.C:
	}
	stop()
	lanes.Wait()

	w.mu.Lock()
	rest := w.early
	w.early = nil
	for _, l := range w.lanes {
		rest = append(rest, l.waiting...)
		l.waiting = nil
	}
	w.mu.Unlock()
	for _, e := range rest {
		w.finish(e, fmt.Errorf("put on %s: %w", w.stream, ErrClosed))
	}
	if len(rest) > 0 {
		w.cfg.Log.Warn("events were not written before the stop", "stream", w.stream, "events", len(rest))
	}
	return nil
}

// refresh reads the ring, again and again until that works, and moves lanes
// and waiting entries to the open shards. A caller who saw a shard that he did
// not expect names it: the ring must then know it, and a ring that a
// neighbour has read meanwhile will do.
func (w *Writer) refresh(ctx context.Context, seen string) error {
	select {
	case w.refreshing <- struct{}{}:
		defer func() { <-w.refreshing }()
	case <-ctx.Done():
		return ctx.Err()
	}
	for attempt := 0; ; attempt++ {
		w.mu.Lock()
		current := w.ring
		w.mu.Unlock()
		if attempt == 0 && seen != "" && current != nil && slices.Contains(current.open, seen) {
			return nil
		}
		r, err := w.readRing(ctx)
		if err == nil && seen != "" {
			if _, ok := r.spans[seen]; !ok {
				err = fmt.Errorf("shard %s is not listed yet", seen)
			}
		}
		if err == nil {
			w.adopt(r)
			return nil
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		w.failed(err)
		w.cfg.Log.Warn("the shards are not known", "stream", w.stream, "err", err)
		if err := pause(ctx, attempt); err != nil {
			return err
		}
	}
}

func (w *Writer) readRing(ctx context.Context) (*ring, error) {
	ctx, cancel := context.WithTimeout(ctx, w.cfg.RequestTimeout)
	defer cancel()
	return readRing(ctx, w.client, w.stream)
}

// adopt makes r the ring.
func (w *Writer) adopt(r *ring) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.ring = r
	moved := w.early
	w.early = nil
	for id, l := range w.lanes {
		if !slices.Contains(r.open, id) {
			moved = append(moved, l.waiting...)
			l.waiting, l.bytes, l.retired = nil, 0, true
			l.poke()
			delete(w.lanes, id)
		}
	}
	for _, id := range r.open {
		if w.lanes[id] == nil {
			l := &lane{w: w, shard: id, wake: make(chan struct{}, 1)}
			w.lanes[id] = l
			w.start(l)
		}
	}
	for _, e := range moved {
		w.route(e)
	}
}

func (w *Writer) failed(err error) {
	w.mu.Lock()
	w.lastErr = err
	w.mu.Unlock()
}
