package producers

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"nagare"
)

// When a delivery is acknowledged: the values of sources.NAME.ack.
const (
	// AckKinesis waits until the stream has it. It is the default, and the one
	// for machines whose disk ends with them.
	AckKinesis = "kinesis"
	// AckSpool waits for this machine's disk only, always.
	AckSpool = "spool"
	// AckEither waits for the stream, but not for long: while it is slow or
	// down, the spool takes what comes.
	AckEither = "kinesis-or-spool"
)

// AckPolicies are all of them.
var AckPolicies = [...]string{AckKinesis, AckSpool, AckEither}

// AckConfig says what an Ack does. Stream must be set.
type AckConfig struct {
	// Name is the stream's, for metrics.
	Name string
	// Stream is the writer of the stream, Spool the spool in front of it. With
	// no Spool every policy is AckKinesis.
	Stream, Spool Putter
	// Policy is the policy of a source. The default is AckKinesis for all.
	Policy func(source string) string
	// Patience is how long AckEither waits for the stream. The default is
	// 300 ms: several times what a healthy one needs.
	Patience time.Duration
	// Pause is for how long AckEither does not ask a stream that was too slow.
	// After it, one delivery tries. The default is 1 s.
	Pause time.Duration
	// Log is silent by default.
	Log *slog.Logger
	// Metrics are private by default.
	Metrics *Metrics
}

// An Ack is the Putter of an intake: it decides, by the source, what has to
// have the events before Put returns.
type Ack struct {
	cfg AckConfig

	mu   sync.Mutex
	slow time.Time // until then the stream is not asked; zero when it keeps up
}

// NewAck makes an Ack.
func NewAck(cfg AckConfig) *Ack {
	cfg.Patience = cmp.Or(cfg.Patience, 300*time.Millisecond)
	cfg.Pause = cmp.Or(cfg.Pause, time.Second)
	if cfg.Policy == nil {
		cfg.Policy = func(string) string { return AckKinesis }
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Metrics == nil {
		cfg.Metrics = NewMetrics(nil)
	}
	return &Ack{cfg: cfg}
}

// Put returns nil when the events are durable as the policy of their source
// wants it. They must be of one source, as the events of a delivery are.
func (a *Ack) Put(ctx context.Context, events []nagare.Event) error {
	if len(events) == 0 {
		return ctx.Err()
	}
	policy := a.cfg.Policy(events[0].Source)
	switch {
	case a.cfg.Spool == nil || policy == AckKinesis || policy == "":
		return a.put(ctx, AckKinesis, a.cfg.Stream, events)
	case policy == AckSpool:
		return a.put(ctx, AckSpool, a.cfg.Spool, events)
	}
	var slow error
	if a.ask() {
		short, cancel := context.WithTimeout(ctx, a.cfg.Patience)
		slow = a.put(short, AckKinesis, a.cfg.Stream, events)
		cancel()
		if slow == nil {
			a.heard(true, nil)
			return nil
		}
		if ctx.Err() != nil {
			return slow // the caller had no time; that says nothing
		}
		a.heard(false, slow)
	}
	// What the stream got nevertheless comes to it again, with the same uids.
	err := a.put(ctx, AckSpool, a.cfg.Spool, events)
	if err == nil || ctx.Err() != nil {
		return err
	}
	// A spool that cannot leaves only patience.
	if last := a.put(ctx, AckKinesis, a.cfg.Stream, events); last != nil {
		return errors.Join(err, last)
	}
	return nil
}

func (a *Ack) put(ctx context.Context, by string, to Putter, events []nagare.Event) error {
	err := to.Put(ctx, events)
	if err != nil {
		return fmt.Errorf("acknowledge by %s: %w", by, err)
	}
	a.cfg.Metrics.acked.WithLabelValues(a.cfg.Name, by).Add(float64(len(events)))
	return nil
}

// ask says whether to try the stream.
func (a *Ack) ask() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	now := time.Now()
	if now.Before(a.slow) {
		return false
	}
	if !a.slow.IsZero() {
		a.slow = now.Add(a.cfg.Pause) // one asks, the others wait for what he hears
	}
	return true
}

// heard notes whether the stream keeps up.
func (a *Ack) heard(ok bool, err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	switch {
	case ok && !a.slow.IsZero():
		a.slow = time.Time{}
		a.cfg.Log.Info("the stream keeps up again", "stream", a.cfg.Name)
	case !ok:
		if a.slow.IsZero() {
			a.cfg.Log.Warn("the stream is slow or down: the spool takes over", "stream", a.cfg.Name, "err", err)
		}
		a.slow = time.Now().Add(a.cfg.Pause)
	}
}
