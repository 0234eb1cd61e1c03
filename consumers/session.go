package consumers

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"

	"nagare"
)

var (
	errStopping = errors.New("the consumer is stopping")
	errReached  = errors.New("the end that was asked for is reached")
	errStopLong = errors.New("the time to stop is up")
	errLeaving  = errors.New("the shard is given up to another worker")
)

// A session is one tenure on one shard: its lease, its stage, its pump, and
// where it reads. It is made when the lease is taken and closed when the KCL's
// consumer of the shard has returned, however that came about.
type session struct {
	run   *runner
	lease *lease
	shard Shard
	state *shardState
	dec   decoder

	// ctx is over when the lease is lost, or when a stop has taken too long.
	ctx    context.Context
	cancel context.CancelCauseFunc
	wg     sync.WaitGroup // of the lease's keeper and the pump
	since  time.Time

	// stop is closed when no more is to be read: the Run stops, or the shard
	// is given up, and then leaving is closed too.
	stop, leaving chan struct{}
	leaveOnce     sync.Once

	pump       *pump // nil until open
	subscribed bool  // the KCL's goroutine alone looks at these two

	mu      sync.Mutex
	start   types.StartingPosition // where to read if nothing was read yet
	after   string                 // the last record that was read
	reached bool                   // Config.End

	poll poller
}

func newSession(r *runner, le *lease, info shardInfo) *session {
	s := &session{run: r, lease: le, shard: Shard{
		App: r.cfg.App, Stream: r.stream.id, StreamName: r.stream.name, ID: info.id,
		Parents: info.parents, Epoch: le.epoch, HashFrom: info.from, HashTo: info.to,
	}}
	s.state = r.cfg.Monitor.add(info.id, le.epoch)
	s.dec = decoder{shard: &s.shard, source: r.cfg.DefaultSource, counter: s.state.counter}
	if claims := r.cfg.Claims; claims != nil {
		s.dec.resolve, s.dec.maxClaim = s.resolve, claims.MaxBytes()
	}
	// Not under the context of Run: when that is over there is still to flush.
	s.ctx, s.cancel = context.WithCancelCause(context.WithoutCancel(r.ctx))
	s.since, s.stop, s.leaving = time.Now(), make(chan struct{}), make(chan struct{})
	s.wg.Go(func() { le.keep(s.ctx) })
	s.wg.Go(func() {
		select {
		case <-r.stopping:
			close(s.stop)
		case <-s.leaving:
			close(s.stop)
		case <-s.ctx.Done():
		}
	})
	s.wg.Go(func() {
		select {
		case <-le.lost:
			s.state.counter.lost.Add(1)
			s.cancel(errLeaseLost)
		case <-s.ctx.Done():
		}
	})
	return s
}

// over says why no more should be read, or nil.
func (s *session) over() error {
	switch {
	case s.ctx.Err() != nil:
		return context.Cause(s.ctx)
	case s.isReached():
		return errReached
	case s.run.isStopping():
		return errStopping
	case s.isLeaving():
		return errLeaving
	}
	return nil
}

// leave gives the shard up: what was processed is flushed, and the lease given
// back.
func (s *session) leave() { s.leaveOnce.Do(func() { close(s.leaving) }) }

func (s *session) isLeaving() bool {
	select {
	case <-s.leaving:
		return true
	default:
		return false
	}
}

func (s *session) isReached() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.reached
}

// sleep waits, but not longer than there is a reason to read.
func (s *session) sleep(d time.Duration) error {
	if d <= 0 {
		return s.over()
	}
	select {
	case <-time.After(d):
	case <-s.ctx.Done():
	case <-s.stop:
	}
	return s.over()
}

// open makes the stage, asks it where to begin, and starts the pump. It is
// called once, before the first read, by the KCL's goroutine of the shard.
func (s *session) open() error {
	if s.pump != nil {
		return nil
	}
	var stage Stage
	var from nagare.Position
	for try := 0; ; try++ {
		err := protect(func() (err error) {
			if stage == nil {
				if stage, err = s.run.cfg.NewStage(s.shard); err != nil {
					return err
				}
			}
			from, err = stage.Open(s.ctx, s.shard)
			if err == nil && from.Seq != "" && !nagare.ValidSeq(from.Seq) {
				err = errors.New("the stage asks for position " + from.Seq)
			}
			return err
		})
		s.state.trying("open", err)
		if err == nil {
			break
		}
		over := s.over()
		if over == nil {
			s.state.counter.retries.Add(1)
			s.run.log.Warn("stage retried", "op", "open", "shard", s.shard.ID, "try", try+1, "err", err)
			over = s.sleep(backoff(try, 100*time.Millisecond, 15*time.Second))
		}
		if over != nil {
			if stage != nil {
				stage.Drop()
			}
			return over
		}
	}
	s.start, s.after = s.begin(from.Seq)
	if row := s.lease.last(); s.after != "" && s.after == row.Checkpoint && !row.Arrived.IsZero() && s.run.stream.retention > 0 && time.Since(row.Arrived) > s.run.stream.retention {
		s.gap("the checkpoint is of " + row.Arrived.Format(time.RFC3339) + ", and the stream keeps records for " + s.run.stream.retention.String())
	}
	s.run.log.Info("shard opened", "shard", s.shard.ID, "epoch", s.shard.Epoch, "from", string(s.start.Type), "seq", aws.ToString(s.start.SequenceNumber))
	p := &pump{
		stage:      stage,
		queue:      newQueue(s.run.cfg.QueueBytes, s.run.cfg.QueueChunks, s.state),
		state:      s.state,
		log:        s.run.log,
		leaving:    s.leaving,
		flushEvery: s.run.cfg.FlushEvery,
		flushBytes: s.run.cfg.FlushBytes,
		stopTime:   s.run.cfg.StopTime,
		checkpoint: s.checkpoint,
		stop:       s.stop,
		finish:     make(chan struct{}),
		done:       make(chan struct{}),
		to:         nagare.Position{Stream: s.shard.Stream, Shard: s.shard.ID, Seq: s.after},
	}
	s.pump = p
	s.wg.Go(func() { p.run(s.ctx) })
	return nil
}

// take is called by the KCL with records that have passed through it.
func (s *session) take(records []types.Record) error {
	return s.dec.decode(records, func(c chunk) error { return s.pump.queue.put(s.ctx, s.pump.done, c) })
}

// resolve gives an event the body that it travelled without. While the store of
// claims does not answer, the shard waits: a body that is there is not missing.
func (s *session) resolve(ev *nagare.Event) error {
	for try := 0; ; try++ {
		err := s.run.cfg.Claims.Resolve(s.ctx, ev)
		s.state.trying("claim", err)
		if err == nil {
			return nil
		}
		if over := s.over(); over != nil {
			return over
		}
		s.state.counter.retries.Add(1)
		s.run.log.Warn("claim retried", "shard", s.shard.ID, "object", ev.DataRef, "try", try+1, "err", err)
		if over := s.sleep(backoff(try, 100*time.Millisecond, 15*time.Second)); over != nil {
			return over
		}
	}
}

// finishShard flushes and checkpoints a shard that was read to its end. It
// returns when that is done, or cannot be.
func (s *session) finishShard() {
	if s.pump.queue.put(s.ctx, s.pump.done, chunk{end: true}) == nil {
		<-s.pump.done
	}
}

// checkpoint is the pump's.
func (s *session) checkpoint(ctx context.Context, to nagare.Position, end bool) error {
	seq := to.Seq
	if end {
		seq = shardEnd
	}
	if seq == "" {
		return nil
	}
	err := s.lease.checkpoint(ctx, seq, to.Arrived)
	if errors.Is(err, errBackwards) {
		// The stage began before the checkpoint, at a ledger of its own.
		s.run.log.Debug("checkpoint not moved back", "shard", s.shard.ID, "seq", seq)
		return nil
	}
	if err == nil && end { // its children wait for this
		s.run.group.know(s.shard.ID, s.lease.last())
		s.run.topology.expire()
	}
	return err
}

// close ends the session: what was processed is flushed if that is possible,
// the stage is dropped, the lease is given back.
func (s *session) close() {
	over := s.over()
	if s.pump != nil {
		switch {
		case errors.Is(over, errReached):
			close(s.pump.finish)
		case over == nil:
			// The reader gave up without being told to (the shard is gone from
			// the stream). What was processed counts.
			close(s.pump.finish)
		}
		<-s.pump.done
	}
	clean := s.pump != nil && s.pump.clean && s.ctx.Err() == nil
	// A last word to the store is short, and not under a context that is over.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(s.ctx), time.Second)
	defer cancel()
	// What was read up to the end is not yet what was processed: a stop leaves
	// the queue, and what was on its way to it.
	stopped := s.run.ctx.Err() != nil || s.run.isStopping() || s.isLeaving()
	if clean && s.pump.drained && !s.pump.ended && s.isReached() && !stopped {
		if err := s.lease.reached(ctx, s.run.cfg.End); err != nil {
			s.run.log.Warn("end not stored", "shard", s.shard.ID, "err", err)
		}
	}
	s.cancel(errOver)
	s.wg.Wait()
	if err := s.lease.release(ctx); err != nil && !errors.Is(err, errLeaseLost) {
		s.run.log.Warn("lease not given back", "shard", s.shard.ID, "err", err)
	}
	s.run.cfg.Monitor.remove(s.state)
	s.run.log.Info("shard closed", "shard", s.shard.ID, "epoch", s.shard.Epoch, "finished", s.pump != nil && s.pump.ended, "clean", clean)
}
