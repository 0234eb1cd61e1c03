package consumers

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/smithy-go"
	"github.com/segmentio/ksuid"
)

// Run reads the stream until ctx is over, or Config.End is reached in every
// shard; then it returns nil. When ctx is over it flushes and checkpoints what
// was processed and gives its leases back, within Config.StopTime; if that is
// too short it returns an ErrNotFlushed, and the rest is done again by whoever
// has the shards next.
//
// Run returns early, with an error, only if it cannot begin: a wrong Config,
// no such stream, a stream or store that cannot be reached for half a minute.
// Later troubles are retried for ever, and shown by the Monitor.
//
// A stream that is deleted and made again under its name is another stream:
// Run begins there as at its first start.
func Run(ctx context.Context, cfg Config) error {
	cfg = cfg.withDefaults()
	if err := cfg.check(); err != nil {
		return err
	}
	for {
		again, err := run(ctx, cfg)
		if !again || ctx.Err() != nil {
			return err
		}
		cfg.Log.Warn("the stream was made again; beginning there", "app", cfg.App, "stream", cfg.Stream, "err", err)
	}
}

// run is Run on one stream. It returns true when the stream is another one now.
func run(ctx context.Context, cfg Config) (again bool, err error) {
	r := &runner{cfg: cfg, stopping: make(chan struct{}), remade: make(chan struct{}), sessions: map[string]*session{}}
	r.ctx, r.cancel = context.WithCancel(ctx)
	defer r.cancel()
	r.log = cfg.Log.With("app", cfg.App, "stream", cfg.Stream)
	cfg.Monitor.name(cfg.App, cfg.Stream, cfg.LeaseTime)
	cfg.Monitor.set(false, "starting")
	defer cfg.Monitor.set(false, "stopped")
	if err := r.begin(ctx); err != nil {
		if ctx.Err() != nil {
			return false, nil
		}
		return false, fmt.Errorf("consume %s as %s: %w", cfg.Stream, cfg.App, err)
	}
	worker := r.newWorker()
	if err := worker.Start(); err != nil {
		return false, fmt.Errorf("consume %s as %s: %w", cfg.Stream, cfg.App, err)
	}
	balanced := make(chan struct{})
	go func() {
		defer close(balanced)
		r.balance(r.ctx)
	}()
	cfg.Monitor.set(true, "")
	r.log.Info("consumer started", "worker", r.leases.worker, "fan_out", cfg.FanOut, "start", r.start.String())

	complete := r.wait(ctx)
	err = r.stop(worker.Shutdown, balanced)
	if complete && err == nil && cfg.FanOut {
		// An application with an end is done with its fan-out consumer, which
		// costs by the hour.
		cctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cfg.StopTime)
		defer cancel()
		if err := deregisterConsumer(cctx, r.reader, r.consumerARN); err != nil {
			r.log.Warn("fan-out consumer not removed", "err", err)
		}
	}
	r.log.Info("consumer stopped", "complete", complete, "err", err)
	select {
	case <-r.remade:
		return true, err
	default:
		return false, err
	}
}

// A runner is one Run.
type runner struct {
	cfg    Config
	ctx    context.Context // Run's, and over when the Run stops
	cancel context.CancelFunc
	log    *slog.Logger
	stream streamInfo
	start  Start

	reader        *kinesis.Client    // for everything but subscriptions
	subscribeHTTP kinesis.HTTPClient // for these
	consumerARN   string
	topology      *topology
	leases        *leases
	group         *group

	// stopping is closed when nothing more is to be read, remade when there is
	// another stream of the name.
	stopping, remade chan struct{}
	lookedAt         time.Time // when the stream was last looked for

	mu       sync.Mutex
	sessions map[string]*session // by shard
	troubles map[string]string   // by what is retried; logged when they change
	late     []string            // shards that were not flushed when the time to stop was up
}

// beginTime is how long the stream and the store may be out of reach before
// Run gives up at its start.
const beginTime = 30 * time.Second

// begin finds the stream and settles where to start.
func (r *runner) begin(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, beginTime)
	defer cancel()
	r.reader = kinesis.NewFromConfig(r.cfg.Kinesis)
	r.subscribeHTTP = subscribeHTTP(r.cfg.Kinesis.HTTPClient)
	for try := 0; ; try++ {
		err := r.tryBegin(ctx)
		if err == nil {
			r.trouble("start", nil)
			return nil
		}
		if ctx.Err() != nil || !retryable(err) {
			return err
		}
		r.trouble("start", err)
		select {
		case <-ctx.Done():
			return err
		case <-time.After(backoff(try, 100*time.Millisecond, 5*time.Second)):
		}
	}
}

func (r *runner) tryBegin(ctx context.Context) (err error) {
	if r.stream, err = describe(ctx, r.reader, r.cfg.Stream); err != nil {
		return err
	}
	r.leases = &leases{
		store: r.cfg.Coord, part: leasePart(r.cfg.App, r.stream.id), worker: workerID(),
		ttl: r.cfg.LeaseTime, sole: r.cfg.Sole, end: r.cfg.End, log: r.log,
	}
	if r.start, err = pinStart(ctx, r.leases, r.cfg.Start, r.stream.id); err != nil {
		return err
	}
	r.leases.start = r.start
	r.topology = &topology{client: r.reader, stream: r.stream.name, only: r.start.Shard}
	if _, _, err = r.topology.get(ctx, 0); err != nil {
		return err
	}
	r.group = newGroup(r.leases, r.cfg.App, r.stream.id, r.listed)
	if err = r.group.meet(ctx); err != nil {
		return err
	}
	if r.cfg.FanOut {
		r.consumerARN, err = registerConsumer(ctx, r.reader, r.stream, r.cfg.App)
	}
	return err
}

// permanent marks an error that does not go away.
type permanent struct{ error }

func (p permanent) Unwrap() error { return p.error }

// Retryable says whether a call of the stream or the store that failed may
// succeed later by itself.
func Retryable(err error) bool { return retryable(err) }

// retryable says whether what failed may succeed later by itself.
func retryable(err error) bool {
	if errors.As(err, &permanent{}) {
		return false
	}
	var api smithy.APIError
	if !errors.As(err, &api) || api.ErrorFault() == smithy.FaultServer {
		return true
	}
	for _, soon := range []string{"Throttl", "Exceeded", "ResourceInUse", "InternalFailure", "Unavailable"} {
		if strings.Contains(api.ErrorCode(), soon) {
			return true
		}
	}
	return api.ErrorFault() == smithy.FaultUnknown && api.ErrorCode() == ""
}

// workerID names this Run, in the leases, for people and for us: no two Runs
// ever have the same.
func workerID() string {
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	return host + "/" + strconv.Itoa(os.Getpid()) + "/" + ksuid.New().String()
}

// wait returns when ctx is over, or, with true, when all was read that there
// is to read before Config.End.
func (r *runner) wait(ctx context.Context) (complete bool) {
	if r.cfg.End.IsZero() {
		select {
		case <-ctx.Done():
		case <-r.remade:
		}
		return false
	}
	for {
		select {
		case <-ctx.Done():
			return false
		case <-r.remade:
			return false
		case <-time.After(100 * time.Millisecond):
		}
		// Again with a fresh list: the last shard may have been split.
		complete, err := r.complete(ctx, topologyAge)
		if complete && err == nil {
			complete, err = r.complete(ctx, 0)
		}
		r.trouble("look for the end", err)
		if complete {
			return true
		}
	}
}

// complete says whether every shard is finished, or read up to Config.End, or
// made of one that is (and so began after it).
func (r *runner) complete(ctx context.Context, age time.Duration) (bool, error) {
	_, shards, err := r.topology.get(ctx, age)
	if err != nil {
		return false, err
	}
	cut := map[string]bool{}
	var isCut func(id string) (bool, error)
	isCut = func(id string) (bool, error) {
		if c, ok := cut[id]; ok {
			return c, nil
		}
		row, _, err := r.leases.current(ctx, id) // not from a view, which may be old
		if err != nil {
			return false, err
		}
		c := row.Checkpoint != shardEnd && row.Reached.Equal(r.cfg.End)
		for _, p := range shards[id].existing {
			pc, err := isCut(p)
			if err != nil {
				return false, err
			}
			c = c || pc
		}
		cut[id] = c
		return c, nil
	}
	for id := range shards {
		if row, _, err := r.leases.current(ctx, id); err != nil {
			return false, err
		} else if row.Checkpoint == shardEnd {
			continue
		}
		if c, err := isCut(id); err != nil || !c {
			return false, err
		}
		if r.session(id) != nil {
			return false, nil // it is about to give its lease back
		}
	}
	return true, nil
}

// ErrNotFlushed says that Run was stopped before all that was processed was
// flushed. Nothing is lost by that, and nothing has to be done about it.
var ErrNotFlushed = errors.New("not flushed")

// stopGrace is how long a stage may take to see that the time to stop is up.
const stopGrace = 1500 * time.Millisecond

// stop ends the sessions and the worker. It returns when they have ended, or
// soon after Config.StopTime in any case.
func (r *runner) stop(shutdown func(), balanced <-chan struct{}) error {
	close(r.stopping)
	r.cancel()
	began := time.Now()
	hurry := time.AfterFunc(r.cfg.StopTime, func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		for _, s := range r.sessions {
			s.cancel(errStopLong)
		}
	})
	defer hurry.Stop()
	<-balanced
	r.leave()
	done := make(chan struct{})
	go func() {
		defer close(done)
		shutdown()
	}()
	select {
	case <-done:
	case <-time.After(time.Until(began.Add(r.cfg.StopTime + stopGrace))):
		// A stage does not heed its context. The leases lapse by themselves.
		return fmt.Errorf("consume %s as %s: a stage has not returned %s after the stop", r.cfg.Stream, r.cfg.App, r.cfg.StopTime)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.late) > 0 {
		return fmt.Errorf("consume %s as %s: %w within %s: %s", r.cfg.Stream, r.cfg.App, ErrNotFlushed, r.cfg.StopTime, strings.Join(r.late, " "))
	}
	return nil
}

// look looks whether the stream is still the one it was, at most once a second.
// It is called when the stream does not know what it should.
func (r *runner) look() {
	r.mu.Lock()
	soon := time.Since(r.lookedAt) < time.Second
	if !soon {
		r.lookedAt = time.Now()
	}
	r.mu.Unlock()
	if soon {
		return
	}
	ctx, cancel := context.WithTimeout(r.ctx, 10*time.Second)
	defer cancel()
	now, err := describe(ctx, r.reader, r.cfg.Stream)
	if err != nil || now.id == r.stream.id {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.isRemade() {
		close(r.remade)
	}
}

func (r *runner) isRemade() bool {
	select {
	case <-r.remade:
		return true
	default:
		return false
	}
}

func (r *runner) isStopping() bool {
	select {
	case <-r.stopping:
		return true
	default:
		return false
	}
}

// trouble notes that something outside of any shard fails, or no longer does.
func (r *runner) trouble(what string, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	was := r.troubles[what]
	if err == nil {
		if was != "" {
			delete(r.troubles, what)
			r.log.Info("retry succeeded", "op", what)
			if len(r.troubles) == 0 {
				r.cfg.Monitor.set(what != "start", "") // Run says when it has started
			}
		}
		return
	}
	if r.ctx.Err() != nil {
		return // it is because we stop
	}
	if was == "" {
		r.log.Warn("retrying", "op", what, "err", err)
	}
	if r.troubles == nil {
		r.troubles = map[string]string{}
	}
	r.troubles[what] = err.Error()
	r.cfg.Monitor.set(false, what+": "+err.Error())
}

// session returns the session of a shard, or nil.
func (r *runner) session(shard string) *session {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.sessions[shard]
}

// acquire begins a session, if the shard may be read now by us.
func (r *runner) acquire(shard string) error {
	if r.isStopping() {
		return errStopping
	}
	if r.session(shard) != nil {
		return errNotFree // the last one is still closing
	}
	info, ok, err := r.topology.shard(r.ctx, shard)
	if err != nil {
		return err
	}
	if !ok {
		return errOver
	}
	rows, err := r.group.view(r.ctx)
	r.trouble("read leases", err)
	if err != nil {
		return err
	}
	row := rows[shard]
	switch {
	case r.leases.done(row):
		return errFinished
	case !readable(info, rows), row.Owner != "" && row.Owner != r.leases.worker && !r.leases.sole, !r.mayTake(shard):
		return errNotFree
	}
	le, err := r.leases.take(r.ctx, shard)
	if err != nil {
		if !errors.Is(err, errNotFree) && !errors.Is(err, errFinished) {
			r.trouble("take lease", err)
		}
		return err
	}
	r.trouble("take lease", nil)
	r.cfg.Monitor.counters.took.Add(1)
	r.group.know(shard, le.row)
	s := newSession(r, le, info)
	r.mu.Lock()
	r.sessions[shard] = s
	stopping := r.isStopping()
	r.mu.Unlock()
	if stopping {
		// The stop may not have seen it. The KCL has no consumer for it yet.
		r.closeSession(shard)
		return errStopping
	}
	return nil
}

// openSession returns the session of a shard with its stage open.
func (r *runner) openSession(shard string) (*session, error) {
	s := r.session(shard)
	if s == nil {
		return nil, errOver
	}
	if err := s.over(); err != nil {
		return nil, err
	}
	return s, s.open()
}

func (r *runner) closeSession(shard string) {
	s := r.session(shard)
	if s == nil {
		return
	}
	s.close()
	r.group.know(shard, s.lease.last())
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.sessions, shard)
	if s.pump != nil && !s.pump.clean && (s.pump.gaveUp || errors.Is(context.Cause(s.ctx), errStopLong)) {
		r.late = append(r.late, shard)
	}
}

// fetch returns the stored checkpoint of a shard, as of a moment ago.
func (r *runner) fetch(shard string) (string, error) {
	rows, err := r.group.view(r.ctx)
	r.trouble("read leases", err)
	return rows[shard].Checkpoint, err
}
