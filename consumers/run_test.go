package consumers

import (
	"context"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"nagare"
	"nagare/internal/coord"
	"nagare/internal/frame"
	"nagare/internal/kinesisd"
)

func keyOf(source, uid string) string {
	k := frame.HashKey(source, uid)
	return new(big.Int).SetBytes(k[:]).String()
}

func middle(from, to string) string {
	a, _ := new(big.Int).SetString(from, 10)
	b, _ := new(big.Int).SetString(to, 10)
	a.Add(a, b).Rsh(a, 1)
	return a.String()
}

// both runs a test by polling and by fan-out.
func both(t *testing.T, f func(t *testing.T, fanOut bool)) {
	t.Run("polling", func(t *testing.T) { t.Parallel(); f(t, false) })
	t.Run("fan-out", func(t *testing.T) { t.Parallel(); f(t, true) })
}

// TestRunReads reads a stream as it is written, and says how long that takes.
func TestRunReads(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, fanOut bool) {
		r := newRig(t, 2, kinesisd.Config{})
		var s sink
		mon := &Monitor{}
		stop := r.start(Config{FanOut: fanOut, Monitor: mon}, &s)
		eventually(t, "both shards are open", func() bool { return len(s.lines()) == 2 })
		const n = 150
		for i := range n {
			r.put(fmt.Sprint("e", i))
			time.Sleep(5 * time.Millisecond)
		}
		eventually(t, "all events are here", s.has(n))
		h := mon.Health()
		if !h.Ready || len(h.Shards) != 2 || h.Shards[0].Reason != "" || h.Counts.Events != n {
			t.Errorf("health %+v", h)
		}
		began := time.Now()
		if err := stop(); err != nil {
			t.Error(err)
		}
		took := time.Since(began)
		if took > 5*time.Second {
			t.Errorf("the stop took %s", took)
		}
		s.wantAll(t, n, 1)
		if s.durable != n {
			t.Errorf("%d flushed, want %d", s.durable, n)
		}
		t.Logf("put to Process: p50 %s, p99 %s, max %s; stop %s", s.percentile(.5), s.percentile(.99), s.percentile(1), took)
		cks, err := Checkpoints(t.Context(), r.store, "test", streamID(t, r))
		if err != nil || len(cks) != 2 || cks[0].Owner != "" || cks[0].Seq == "" {
			t.Errorf("checkpoints %+v, %v", cks, err)
		}
		if got := s.lines(); len(got) != 4 || slices.Index(got, "drop shardId-000000000000") < 0 {
			t.Errorf("calls: %v", got)
		}
	})
}

func streamID(t testing.TB, r *rig) string {
	t.Helper()
	id, err := StreamID(t.Context(), r.cfg, r.stream)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

// TestRunReshards splits and merges under load: nothing is lost, and nothing
// of a child is processed before all of its parents are finished.
func TestRunReshards(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, fanOut bool) {
		r := newRig(t, 2, kinesisd.Config{})
		// The parents take their time to end, and their children are known
		// meanwhile.
		s := sink{flush: func(_ Shard, _ nagare.Position, end bool) error {
			if end {
				time.Sleep(topologyAge + 300*time.Millisecond)
			}
			return nil
		}}
		r.start(Config{FanOut: fanOut}, &s)
		const n = 400
		var wg sync.WaitGroup
		defer wg.Wait() // also when something is not as it should be
		wg.Go(func() {
			for i := range n {
				r.put(fmt.Sprint("e", i))
				time.Sleep(3 * time.Millisecond)
			}
		})
		eventually(t, "some events are here", s.has(50))
		r.split("shardId-000000000001")
		eventually(t, "more events are here", s.has(180))
		r.merge("shardId-000000000000", "shardId-000000000002") // the adjacent parent ends last
		wg.Wait()
		eventually(t, "all events are here", func() bool { return len(s.counts()) == n })
		s.wantAll(t, n, 1)
		got := s.lines()
		for _, want := range [][2]string{{"001", "002"}, {"001", "003"}, {"002", "004"}, {"000", "004"}} {
			end, open := slices.Index(got, "end shardId-000000000"+want[0]), slices.Index(got, "open shardId-000000000"+want[1])
			if end < 0 || open < 0 || end > open {
				t.Errorf("shard %s ended at line %d, its child %s opened at %d of %v", want[0], end, want[1], open, got)
			}
		}
		t.Logf("put to Process: p50 %s, p99 %s, max %s", s.percentile(.5), s.percentile(.99), s.percentile(1))
	})
}

// TestRunContinues stops and starts, and is killed in between: all events
// come, and after a clean stop none comes twice.
func TestRunContinues(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, fanOut bool) {
		// A restart within five seconds would wait for its subscription.
		r := newRig(t, 1, kinesisd.Config{SubscriptionGap: 10 * time.Millisecond})
		var s sink
		const n = 90
		for i := range n / 3 {
			r.put(fmt.Sprint("e", i))
		}
		stop := r.start(Config{FanOut: fanOut, Sole: true}, &s)
		eventually(t, "a third is here", s.has(n/3))
		if err := stop(); err != nil {
			t.Fatal(err)
		}
		for i := n / 3; i < n; i++ {
			r.put(fmt.Sprint("e", i))
		}
		// This one processes all, but never gets to flush: as if it was killed.
		killed := sink{flush: func(Shard, nagare.Position, bool) error { return errors.New("no disk") }}
		stop = r.start(Config{FanOut: fanOut, Sole: true, StopTime: 200 * time.Millisecond, FlushEvery: time.Hour}, &killed)
		eventually(t, "the rest was processed", killed.has(2*n/3))
		if err := stop(); err == nil || !strings.Contains(err.Error(), "not flushed within 200ms: shardId-000000000000") {
			t.Errorf("a stop that could not flush: %v", err)
		}
		if killed.has(2*n/3 + 1)() {
			t.Errorf("what was checkpointed came again: %d events", len(killed.events))
		}
		r.start(Config{FanOut: fanOut, Sole: true}, &s)
		eventually(t, "the rest is here", s.has(n))
		s.wantAll(t, n, 1)
	})
}

// TestRunTakesOver has one worker fail without a word: the other waits for the
// lease to lapse, and the first notices what it has lost.
func TestRunTakesOver(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, fanOut bool) {
		r := newRig(t, 1, kinesisd.Config{SubscriptionGap: 10 * time.Millisecond})
		const n = 60
		frozen := &frozenStore{Store: r.store}
		var a, b sink
		mon := &Monitor{}
		r.start(Config{FanOut: fanOut, Coord: frozen, LeaseTime: 600 * time.Millisecond, Monitor: mon}, &a)
		for i := range n / 2 {
			r.put(fmt.Sprint("e", i))
		}
		eventually(t, "a has half", a.has(n/2))
		eventually(t, "a has checkpointed", func() bool { return mon.Health().Counts.Checkpoints > 0 })
		r.start(Config{FanOut: fanOut, LeaseTime: 600 * time.Millisecond}, &b)
		time.Sleep(900 * time.Millisecond)
		if len(b.lines()) != 0 {
			t.Fatalf("b took a lease that is being renewed: %v", b.lines())
		}
		frozen.freeze(true)
		began := time.Now()
		eventually(t, "b has the shard", func() bool { return len(b.lines()) > 0 })
		if d := time.Since(began); d > 3*time.Second {
			t.Errorf("the takeover took %s", d)
		}
		eventually(t, "a has dropped", func() bool { return slices.Contains(a.lines(), "drop shardId-000000000000") })
		for i := n / 2; i < n; i++ {
			r.put(fmt.Sprint("e", i))
		}
		eventually(t, "b has the rest", b.has(n/2))
		frozen.freeze(false)
		b.mu.Lock()
		defer b.mu.Unlock()
		first := b.events[0].UID
		for _, ev := range b.events {
			if first != "e0" && ev.UID == "e0" {
				t.Error("b did not begin at a's checkpoint")
			}
		}
		if h := mon.Health(); h.Counts.LeasesLost != 1 {
			t.Errorf("a counts %d lost leases", h.Counts.LeasesLost)
		}
	})
}

// frozenStore is a store that a process cannot reach while frozen.
type frozenStore struct {
	coord.Store
	mu     sync.Mutex
	frozen bool
}

func (f *frozenStore) freeze(on bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.frozen = on
}

func (f *frozenStore) err() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.frozen {
		return errStore
	}
	return nil
}

func (f *frozenStore) Get(ctx context.Context, part, sort string) (coord.Row, error) {
	if err := f.err(); err != nil {
		return coord.Row{}, err
	}
	return f.Store.Get(ctx, part, sort)
}

func (f *frozenStore) Put(ctx context.Context, part, sort string, value []byte, v int64) (int64, error) {
	if err := f.err(); err != nil {
		return 0, err
	}
	return f.Store.Put(ctx, part, sort, value, v)
}

// TestRunSurvivesPoison puts the record that kills a bare KCL, for ever.
func TestRunSurvivesPoison(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, fanOut bool) {
		r := newRig(t, 1, kinesisd.Config{})
		var s sink
		r.start(Config{FanOut: fanOut, DefaultSource: "plain"}, &s)
		r.put("e0")
		r.putRaw(kplWrap(kplMessage(7, "x")), "")
		r.putRaw(kplWrap([]byte("not a message")), "")
		r.putRaw(kplWrap(kplMessage(0, "a", "b")), "")
		r.putRaw([]byte("NGR1 damaged"), "")
		r.put("e1")
		eventually(t, "all are here", s.has(7))
		var got []string
		for _, ev := range s.events {
			got = append(got, ev.Source+" "+ev.Reason)
		}
		want := []string{"test ", "plain bad-kpl", "plain bad-kpl", "plain ", "plain ", "plain bad-frame", "test "}
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("(-want +got):\n%s", d)
		}
	})
}

// TestRunRetriesStages: a stage that fails loses nothing and skips nothing.
func TestRunRetriesStages(t *testing.T) {
	t.Parallel()
	r := newRig(t, 1, kinesisd.Config{})
	var fails atomic.Int32
	fails.Store(3)
	fail := func() error {
		if fails.Add(-1) >= 0 {
			return errors.New("not now")
		}
		return nil
	}
	s := sink{
		open:    func(Shard) (nagare.Position, error) { return nagare.Position{}, fail() },
		process: func(Shard, []nagare.Event) error { return fail() },
		flush:   func(Shard, nagare.Position, bool) error { return fail() },
	}
	mon := &Monitor{}
	stop := r.start(Config{Monitor: mon}, &s)
	r.put("e0")
	eventually(t, "it says why it waits", func() bool {
		h := mon.Health()
		return len(h.Shards) == 1 && strings.HasSuffix(h.Shards[0].Reason, "not now")
	})
	eventually(t, "it is checkpointed", func() bool { return mon.Health().Counts.Checkpoints == 1 })
	if h := mon.Health(); h.Shards[0].Reason != "" || h.Counts.Retries != 3 {
		t.Errorf("health %+v", h)
	}
	if err := stop(); err != nil {
		t.Error(err)
	}
	s.wantAll(t, 1, 1)
}

// TestRunObeysTheStage begins where the stage's own ledger is.
func TestRunObeysTheStage(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, fanOut bool) {
		r := newRig(t, 1, kinesisd.Config{SubscriptionGap: 10 * time.Millisecond})
		for i := range 5 {
			r.put(fmt.Sprint("e", i))
		}
		var s sink
		stop := r.start(Config{FanOut: fanOut, Sole: true}, &s)
		eventually(t, "all are here", s.has(5))
		if err := stop(); err != nil {
			t.Fatal(err)
		}
		for _, c := range []struct {
			from nagare.Position
			want string
		}{{nagare.Position{Seq: s.events[2].Pos.Seq}, "e3"}, {nagare.Position{Seq: "0"}, "e0"}} {
			again := sink{open: func(Shard) (nagare.Position, error) { return c.from, nil }}
			stop := r.start(Config{FanOut: fanOut, Sole: true}, &again)
			eventually(t, "some are here", again.has(1))
			if err := stop(); err != nil {
				t.Error(err)
			}
			if got := again.events[0].UID; got != c.want {
				t.Errorf("from %q the first is %s, want %s", c.from.Seq, got, c.want)
			}
		}
		// Neither moved the checkpoint back.
		cks, err := Checkpoints(t.Context(), r.store, "test", streamID(t, r))
		if err != nil || len(cks) != 1 || cks[0].Seq != s.events[4].Pos.Seq {
			t.Errorf("checkpoints %+v, %v; want %s", cks, err, s.events[4].Pos.Seq)
		}
	})
}

// heedless is a Stage whose Flush ends with its context alone.
type heedless struct{ sinkStage }

func (h *heedless) Flush(ctx context.Context, _ nagare.Position, _ bool) error {
	<-ctx.Done()
	return ctx.Err()
}

// TestRunStopsInTime has a flush that takes for ever: the stop gives it up, and
// another worker has the shards at once, though their leases would last long.
func TestRunStopsInTime(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, fanOut bool) {
		r := newRig(t, 2, kinesisd.Config{SubscriptionGap: 10 * time.Millisecond})
		var a, b sink
		cfg := Config{FanOut: fanOut, LeaseTime: time.Hour, FlushEvery: time.Hour, StopTime: 300 * time.Millisecond, floor: 10 * time.Millisecond}
		slow := cfg
		slow.NewStage = func(shard Shard) (Stage, error) { return &heedless{sinkStage{sink: &a, shard: shard}}, nil }
		stop := r.start(slow, &a)
		const n = 30
		for i := range n {
			r.put(fmt.Sprint("e", i))
		}
		eventually(t, "all are here", a.has(n))
		if err := stop(); !errors.Is(err, ErrNotFlushed) {
			t.Errorf("a stop in the middle of a flush: %v", err)
		}
		cfg.FlushEvery = time.Millisecond
		r.start(cfg, &b)
		eventually(t, "another has all of them", b.has(n))
		b.wantAll(t, n, 1)
	})
}
