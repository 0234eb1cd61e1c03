package producers

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"time"

	"github.com/segmentio/ksuid"
	"golang.org/x/sync/errgroup"

	"nagare"
	"nagare/ocsf/mapping"
)

// Putter makes events durable. *Writer is one.
type Putter interface {
	Put(ctx context.Context, events []nagare.Event) error
}

// Config says how an Intake behaves. Head and Events must be set; the rest of
// the zero value is ready to use.
type Config struct {
	// Head makes what splits values into events. It is called for about as
	// many as there are deliveries at the same time.
	Head func() Head
	// Events is the stream that detection reads.
	Events Putter
	// Bulk is the stream for what is too old to matter to anybody now. Without
	// it, everything goes to Events.
	Bulk Putter
	// Adapters are the sources that send what is not JSON, by source.
	Adapters map[string]Adapter
	// Late is the age from which an event goes to Bulk. The default is 6 h.
	Late time.Duration
	// Decompressed bounds what a delivery may grow to and the size of a single
	// JSON value of a file. The default is 64 MiB.
	Decompressed int
	// Depth bounds how deep JSON may be nested. The default is 64.
	Depth int
	// PutTimeout bounds the wait for the stream, per megabyte or so. The
	// default is 30 s.
	PutTimeout time.Duration
	// InOrder puts the batches of a delivery one after another, for a Putter
	// that cares about their order. Otherwise a few are on their way at once.
	InOrder bool
	// Log is silent by default.
	Log *slog.Logger
	// Metrics are private by default.
	Metrics *Metrics
}

// An Intake turns deliveries into events on a stream. It may be used from many
// goroutines.
type Intake struct {
	cfg   Config
	heads sync.Pool // of Head
	// large holds a token for each delivery that may hold more than a few
	// megabytes of text at once; others wait.
	large chan struct{}
}

const (
	// maxLarge deliveries may hold up to Config.Decompressed at the same time.
	maxLarge = 2
	// A batch of events goes to the stream when it has one of these sizes, and
	// so many batches of a delivery are on their way at once.
	batchBytes, batchEvents, maxBatches = 1 << 20, 5000, 4
	// After so many dead letters in a row the rest of a delivery is one: a few
	// bytes of garbage must not become half a million events.
	maxDead = 1000
)

// NewIntake makes an Intake.
func NewIntake(cfg Config) *Intake {
	cfg.Late = cmp.Or(cfg.Late, 6*time.Hour)
	cfg.Decompressed = cmp.Or(cfg.Decompressed, 64<<20)
	cfg.Depth = cmp.Or(cfg.Depth, 64)
	cfg.PutTimeout = cmp.Or(cfg.PutTimeout, 30*time.Second)
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Metrics == nil {
		cfg.Metrics = NewMetrics(nil)
	}
	return &Intake{
		cfg:   cfg,
		heads: sync.Pool{New: func() any { return cfg.Head() }},
		large: make(chan struct{}, maxLarge),
	}
}

// Accept makes a delivery durable. It returns an error only when that did not
// work, and then some of its events may be durable and the sender should send
// it again. What cannot be read is no error: it is accepted, and Result.Dead
// counts it.
func (in *Intake) Accept(ctx context.Context, d Delivery) (Result, error) {
	open := func() (io.Reader, error) { return bytes.NewReader(d.Body), nil }
	return in.run(ctx, d, open, int64(in.cfg.Decompressed), nil)
}

// AcceptFile is Accept for a file of any size, which is read as it goes: d
// says what the file is, its Body is not used. Only a single JSON value, and
// what an adapter must see whole, are bounded by Config.Decompressed. If
// progress is set it is called with the number of bytes read from r so far.
//
// A file that is to be read again for its hash (events without an id of their
// own are named by it) should be an io.ReaderAt, as *os.File is. Of a pipe, the
// first 64 KiB stand for the whole.
func (in *Intake) AcceptFile(ctx context.Context, d Delivery, r io.Reader, progress func(n int64)) (Result, error) {
	opened := false
	open := func() (io.Reader, error) {
		if !opened {
			opened = true
			return r, nil
		}
		at, ok := r.(io.ReaderAt)
		if !ok {
			return nil, errors.ErrUnsupported
		}
		return io.NewSectionReader(at, 0, 1<<62), nil
	}
	return in.run(ctx, d, open, 0, progress)
}

// run takes one delivery. open returns its bytes, and perhaps again when it is
// called a second time; limit is for the text, 0 for none.
func (in *Intake) run(ctx context.Context, d Delivery, open func() (io.Reader, error), limit int64, progress func(int64)) (Result, error) {
	d.Received = cmp.Or(d.Received, time.Now()).UTC()
	d.Auth = cmp.Or(d.Auth, nagare.AuthNone)
	id, err := ksuid.NewRandomWithTime(d.Received)
	if err != nil {
		return Result{}, fmt.Errorf("delivery id: %w", err)
	}
	group, work := errgroup.WithContext(ctx)
	group.SetLimit(maxBatches)
	if in.cfg.InOrder {
		group.SetLimit(1)
	}
	t := &taking{in: in, d: d, ctx: work, group: group, id: id, open: open, limit: limit, result: Result{ID: id.String()},
		splitter: in.heads.Get().(Head), meta: mapping.HeadMeta{Source: d.Source, Tenant: d.Tenant, Auth: d.Auth, Received: d.Received}}
	defer t.release()

	err = t.take(progress)
	if err == nil {
		t.flush(&t.events, in.cfg.Events)
		t.flush(&t.bulk, in.cfg.Bulk)
	}
	// A failed Put ends work and, with that, take: its error says more.
	if putErr := group.Wait(); putErr != nil {
		err = putErr
	}
	if err != nil {
		return t.result, fmt.Errorf("delivery %s of %s: %w", id, d.Source, err)
	}
	m := in.cfg.Metrics
	m.deliveries.WithLabelValues(d.Source).Inc()
	m.events.WithLabelValues(d.Source).Add(float64(t.result.Accepted))
	in.cfg.Log.Debug("delivery accepted", "source", d.Source, "id", id, "accepted", t.result.Accepted, "dead", t.result.Dead)
	return t.result, nil
}
