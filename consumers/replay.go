package consumers

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"strings"
	"time"

	"nagare"
)

// An Archived is the raw events of a stream, kept after the stream has trimmed
// them.
type Archived interface {
	// Stream is name and creation time of the stream.
	Stream() string
	// Shards lists the shards in an order in which parents are before children.
	Shards(ctx context.Context) ([]string, error)
	// Events yields the events of a shard that arrived from from on and before
	// to, in the order of their positions. An error ends it.
	Events(ctx context.Context, shard string, from, to time.Time) iter.Seq2[nagare.Event, error]
}

// RunArchive is Run for an archive instead of a stream: it gives the events
// that arrived from Config.Start.Archive on and before Config.End to stages,
// one shard after the other, checkpoints as Run does, and goes on from there
// the next time. It returns nil when all is done or ctx is over; complete says
// which. Config.Sole says that no other process works for the same application.
//
// A stage is told that all shards that were read before are the parents of its
// own: which ones really are, the archive does not say, and to be compared
// with more than necessary harms nobody.
func RunArchive(ctx context.Context, cfg Config, a Archived) (complete bool, err error) {
	cfg = cfg.withDefaults()
	name, _, _ := strings.Cut(a.Stream(), "@")
	if !validApp.MatchString(cfg.App) || cfg.Coord == nil || cfg.NewStage == nil {
		return false, errors.New("consumers: a replay of the archive needs a name, a coordination store and stages")
	}
	r := &archiveRun{cfg: cfg, archive: a, name: name, leases: &leases{
		store: cfg.Coord, part: leasePart(cfg.App, a.Stream()), worker: workerID(), ttl: cfg.LeaseTime, sole: cfg.Sole, end: cfg.End, log: cfg.Log,
	}}
	cfg.Monitor.name(cfg.App, name, cfg.LeaseTime)
	defer cfg.Monitor.set(false, "stopped")
	if _, err := pinStart(ctx, r.leases, cfg.Start, a.Stream()); ctx.Err() != nil {
		return false, nil
	} else if err != nil {
		return false, fmt.Errorf("replay the archive of %s as %s: %w", a.Stream(), cfg.App, err)
	}
	shards, err := a.Shards(ctx)
	if ctx.Err() != nil {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("replay the archive of %s: %w", a.Stream(), err)
	}
	cfg.Monitor.set(true, "")
	for i, shard := range shards {
		err := r.shard(ctx, shard, shards[:i])
		if ctx.Err() != nil {
			return false, nil
		}
		if err != nil {
			return false, fmt.Errorf("replay the archive of %s, shard %s: %w", a.Stream(), shard, err)
		}
	}
	return true, nil
}

type archiveRun struct {
	cfg     Config
	archive Archived
	name    string
	leases  *leases
}

// shard reads one shard to its end.
func (r *archiveRun) shard(ctx context.Context, id string, before []string) error {
	le, err := r.leases.take(ctx, id)
	for errors.Is(err, errNotFree) { // until whoever was killed has lost it
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(r.cfg.LeaseTime / 10):
		}
		le, err = r.leases.take(ctx, id)
	}
	if errors.Is(err, errFinished) {
		return nil
	}
	if err != nil {
		return err
	}
	row := le.row // nobody else has it yet
	state := r.cfg.Monitor.add(id, le.epoch)
	defer r.cfg.Monitor.remove(state)
	// What was read is flushed when ctx is over, so the work has its own, which
	// ends with the lease or a while after.
	work, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	defer cancel(errOver)
	go le.keep(work)
	stop := make(chan struct{})
	quit := context.AfterFunc(ctx, func() { close(stop) })
	defer quit()
	late := context.AfterFunc(ctx, func() { time.AfterFunc(r.cfg.StopTime, func() { cancel(errStopLong) }) })
	defer late()

	stage, err := r.cfg.NewStage(Shard{App: r.cfg.App, Stream: r.archive.Stream(), StreamName: r.name, ID: id, Parents: before, Epoch: le.epoch,
		HashTo: [16]byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}})
	if err != nil {
		return err
	}
	var from nagare.Position
	if err := protect(func() (err error) { from, err = stage.Open(work, Shard{ID: id}); return err }); err != nil {
		stage.Drop()
		return err
	}
	after := from.Seq
	if after == "" {
		after = le.stored()
	}
	if nagare.CompareSeq(after, "0") == 0 {
		after = "" // the stage wants all there is
	}
	since := r.cfg.Start.Archive
	if row.Checkpoint != "" && nagare.CompareSeq(row.Checkpoint, after) <= 0 {
		// What arrived well before the checkpoint is behind the position.
		if at := row.Arrived.Add(-time.Minute); at.After(since) {
			since = at
		}
	}
	p := &pump{
		stage: stage, queue: newQueue(r.cfg.QueueBytes, r.cfg.QueueChunks, state), state: state, log: r.cfg.Log,
		flushEvery: r.cfg.FlushEvery, flushBytes: r.cfg.FlushBytes, stopTime: r.cfg.StopTime, stop: stop, finish: make(chan struct{}), done: make(chan struct{}),
		to: nagare.Position{Stream: r.archive.Stream(), Shard: id, Seq: after},
		checkpoint: func(ctx context.Context, to nagare.Position, end bool) error {
			seq := to.Seq
			if end {
				seq = shardEnd
			}
			if seq == "" {
				return nil
			}
			if err := le.checkpoint(ctx, seq, to.Arrived); !errors.Is(err, errBackwards) {
				return err
			}
			return nil
		},
	}
	go p.run(work)
	readErr := r.read(ctx, p, state, id, since, after)
	if readErr == nil {
		readErr = p.queue.put(ctx, p.done, chunk{end: true})
	}
	if readErr != nil && ctx.Err() == nil {
		close(p.finish) // what was read counts
	}
	<-p.done
	// Not under a context that may be over: the next should not have to wait.
	last, done := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer done()
	if err := le.release(last); err != nil && !errors.Is(err, errLeaseLost) {
		r.cfg.Log.Warn("lease not given back", "shard", id, "err", err)
	}
	if readErr == nil && !p.ended {
		readErr = errors.New("the work was cut short; the same command again goes on")
	}
	return readErr
}

// read hands the events after a record to the pump, whole records at a time.
func (r *archiveRun) read(ctx context.Context, p *pump, state *shardState, id string, since time.Time, after string) error {
	var c chunk
	for ev, err := range r.archive.Events(ctx, id, since, r.cfg.End) {
		if err != nil {
			return err
		}
		if nagare.CompareSeq(ev.Pos.Seq, after) <= 0 {
			continue
		}
		if ev.Pos.Seq != c.to.Seq {
			if c.to.Seq != "" && nagare.CompareSeq(ev.Pos.Seq, c.to.Seq) < 0 {
				return fmt.Errorf("record %s comes after %s", ev.Pos.Seq, c.to.Seq)
			}
			if c.bytes >= chunkBytes {
				if err := p.queue.put(ctx, p.done, c); err != nil {
					return err
				}
				c = chunk{}
			}
			state.counter.records.Add(1)
		}
		c.to = ev.Pos
		c.add(ev)
		state.counter.events.Add(1)
		state.counter.bytes.Add(uint64(len(ev.Body)))
	}
	if len(c.events) == 0 {
		return ctx.Err()
	}
	return p.queue.put(ctx, p.done, c)
}
