package consumers

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"runtime/debug"
	"time"

	"nagare"
)

// errOver says that there is nothing more to do for a shard here.
var errOver = errors.New("the work on this shard is over")

// A pump is the loop of one shard: process, flush, checkpoint, in that order.
// Everything that a Stage is called with after Open comes from its goroutine.
type pump struct {
	stage      Stage
	queue      *queue
	state      *shardState
	log        *slog.Logger
	flushEvery time.Duration
	flushBytes int64
	// stopTime is how long a flush may take when the Run stops.
	stopTime time.Duration
	// checkpoint stores that everything up to a position is durable, or with
	// end that the shard is finished. errLeaseLost ends the pump.
	checkpoint func(ctx context.Context, to nagare.Position, end bool) error

	// stop is closed to end the pump after what is being processed: flush and
	// checkpoint that, leave the queue.
	stop chan struct{}
	// leaving is closed if that is because the shard is given up to another
	// worker: then a flush may take what it takes.
	leaving chan struct{}
	// finish is closed to end the pump after all that is queued.
	finish chan struct{}
	// done is closed at the end. Then ended says that the shard is finished,
	// clean that all that was asked for was done, drained that nothing was left
	// in the queue, and gaveUp that a last flush was not even begun.
	done                          chan struct{}
	ended, clean, drained, gaveUp bool

	to      nagare.Position // the last record processed
	dirty   bool            // it is not checkpointed
	pending int64           // bytes of events since the last flush
	oldest  time.Time       // when the oldest of these was processed
	pace    float64         // bytes a second that the last large flush made durable
}

// paceBytes is how much a flush must have had to say how fast flushes are.
const paceBytes = 1 << 20

// run works until the pump is told to end, or ctx is over: then the shard is
// somebody else's, or the time to stop is up.
func (p *pump) run(ctx context.Context) {
	defer close(p.done)
	defer p.stage.Drop()
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		var due <-chan time.Time
		if p.dirty {
			timer.Reset(time.Until(p.oldest.Add(p.flushEvery)))
			due = timer.C
		}
		var err error
		select {
		case <-ctx.Done():
			return
		case <-p.stop:
			if p.gaveUp = p.tooMuch(); !p.gaveUp {
				p.clean = p.flush(ctx, false) == nil
			}
			return
		case <-due:
			err = p.flush(ctx, false)
		case <-p.queue.avail:
			err = p.drain(ctx)
		case <-p.finish:
			if err = p.drain(ctx); err == nil {
				p.clean = p.flush(ctx, false) == nil
				p.drained = true
				return
			}
		}
		switch {
		case p.ended:
			return
		case errors.Is(err, errStopping):
			continue // p.stop is closed
		case err != nil:
			return // the lease or the time is gone
		}
	}
}

// drain processes what is queued.
func (p *pump) drain(ctx context.Context) error {
	for {
		select {
		case <-p.stop:
			return errStopping
		default:
		}
		c, ok := p.queue.take()
		if !ok {
			return nil
		}
		if c.end {
			err := p.flush(ctx, true)
			p.ended, p.clean = err == nil, err == nil
			return err
		}
		if len(c.events) > 0 {
			err := p.retry(ctx, "process", c.to, true, func() error { return p.stage.Process(ctx, c.events) })
			if err != nil {
				return err
			}
		}
		p.to = c.to
		p.pending += c.bytes
		p.state.processed(c.to)
		if !p.dirty {
			p.dirty, p.oldest = true, time.Now()
		}
		f, ok := p.stage.(Flusher)
		if p.pending >= p.flushBytes || time.Since(p.oldest) >= p.flushEvery || ok && f.WantFlush() {
			if err := p.flush(ctx, false); err != nil {
				return err
			}
		}
	}
}

// tooMuch says that what is to be flushed cannot be before a stop is over: it is
// still on the stream, and to begin would only make the stop long.
func (p *pump) tooMuch() bool {
	select {
	case <-p.leaving:
		return false
	default:
	}
	if p.pending < paceBytes || p.pace == 0 {
		return false
	}
	need := time.Duration(float64(p.pending) / p.pace * float64(time.Second))
	if need <= p.stopTime {
		return false
	}
	p.log.Info("not flushed at the stop: it would take too long", "shard", p.to.Shard, "bytes", p.pending, "seconds", need.Seconds())
	return true
}

// flush makes what was processed durable and then, only then, checkpoints it.
func (p *pump) flush(ctx context.Context, end bool) error {
	if !p.dirty && !end {
		return nil
	}
	var took time.Duration
	err := p.retry(ctx, "flush", p.to, false, func() error {
		began := time.Now()
		err := p.stage.Flush(ctx, p.to, end)
		p.state.counter.flushes.Add(1)
		took = time.Since(began)
		p.state.counter.flushTime.Add(int64(took))
		return err
	})
	if err != nil {
		return err
	}
	if p.pending >= paceBytes && took > 0 {
		p.pace = float64(p.pending) / took.Seconds()
	}
	if errors.Is(context.Cause(ctx), errStopLong) {
		// Just in time: what is durable should not be done again.
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(context.WithoutCancel(ctx), stopGrace/3)
		defer cancel()
	}
	err = p.retry(ctx, "checkpoint", p.to, false, func() error { return p.checkpoint(ctx, p.to, end) })
	if err != nil {
		return err
	}
	p.dirty, p.pending = false, 0
	p.state.checkpointed(p.to)
	return nil
}

// retry calls f until it succeeds. It gives up with ctx, with the lease, and,
// where stopping is true, when the pump is to stop: what is not processed then
// is processed by the next who has the shard.
func (p *pump) retry(ctx context.Context, what string, at nagare.Position, stopping bool, f func() error) error {
	var stop <-chan struct{}
	if stopping {
		stop = p.stop
	}
	for try := 0; ; try++ {
		p.state.calling(what)
		err := protect(f)
		p.state.calling("")
		p.state.trying(what, err)
		switch {
		case err == nil:
			return nil
		case errors.Is(err, errLeaseLost):
			return err
		case ctx.Err() != nil:
			return context.Cause(ctx)
		}
		p.state.counter.retries.Add(1)
		p.log.Warn("stage retried", "op", what, "shard", at.Shard, "seq", at.Seq, "try", try+1, "err", err)
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-stop:
			return errStopping
		case <-time.After(backoff(try, 100*time.Millisecond, 15*time.Second)):
		}
	}
}

// protect makes a panic of a stage an error: one shard waits for a person then,
// and the others go on.
func protect(f func() error) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("panic: %v\n%s", r, debug.Stack())
		}
	}()
	return f()
}

// backoff is how long to wait after the try-th failure: half of it fixed, half
// random, so that many who failed together do not come back together.
func backoff(try int, first, most time.Duration) time.Duration {
	d := first << min(try, 20)
	if d <= 0 || d > most {
		d = most
	}
	return d/2 + rand.N(d/2+1)
}
