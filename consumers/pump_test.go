package consumers

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"nagare"
)

// A script is a Stage that notes its calls and fails when told to.
type script struct {
	mu    sync.Mutex
	calls []string
	fail  func(call string) error
	want  bool // WantFlush
}

func (s *script) call(format string, args ...any) error {
	c := fmt.Sprintf(format, args...)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls = append(s.calls, c)
	if s.fail != nil {
		return s.fail(c)
	}
	return nil
}

func (s *script) Open(context.Context, Shard) (nagare.Position, error) { return nagare.Position{}, nil }
func (s *script) Process(_ context.Context, events []nagare.Event) error {
	return s.call("process %d", len(events))
}
func (s *script) Flush(_ context.Context, to nagare.Position, end bool) error {
	return s.call("flush %s %v", to.Seq, end)
}
func (s *script) Drop() { s.call("drop") }
func (s *script) WantFlush() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.want
}

func (s *script) called(call string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Contains(s.calls, call)
}

// testPump runs a pump under a fake clock; f feeds it and ends it.
func testPump(t *testing.T, s *script, change func(*pump), f func(ctx context.Context, cancel context.CancelCauseFunc, p *pump)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancelCause(t.Context())
		defer cancel(nil)
		state := (&Monitor{}).add("shard", 1)
		p := &pump{
			stage: s, queue: newQueue(10000, 4, state), state: state, log: slog.New(slog.DiscardHandler),
			flushEvery: time.Minute, flushBytes: 1 << 20,
			stop: make(chan struct{}), finish: make(chan struct{}), done: make(chan struct{}),
			checkpoint: func(_ context.Context, to nagare.Position, end bool) error {
				return s.call("checkpoint %s %v", to.Seq, end)
			},
		}
		if change != nil {
			change(p)
		}
		go p.run(ctx)
		f(ctx, cancel, p)
		synctest.Wait()
		select {
		case <-p.done:
		default:
			t.Error("the pump has not ended")
			cancel(nil)
			<-p.done
		}
	})
}

func chunkOf(seq string, events int, bytes int64) chunk {
	return chunk{events: make([]nagare.Event, events), to: nagare.Position{Seq: seq, Arrived: time.Now()}, bytes: bytes}
}

func wantCalls(t *testing.T, s *script, want ...string) {
	t.Helper()
	if d := cmp.Diff(want, s.calls); d != "" {
		t.Errorf("calls (-want +got):\n%s", d)
	}
}

func TestPumpFlushesOnTime(t *testing.T) {
	s := &script{}
	testPump(t, s, nil, func(ctx context.Context, _ context.CancelCauseFunc, p *pump) {
		p.queue.put(ctx, p.done, chunkOf("1", 2, 10))
		time.Sleep(40 * time.Second)
		p.queue.put(ctx, p.done, chunkOf("2", 1, 10))
		time.Sleep(19 * time.Second)
		synctest.Wait()
		if s.called("flush 2 false") {
			t.Error("flushed before its time")
		}
		time.Sleep(2 * time.Second) // a minute after the first
		time.Sleep(time.Hour)       // nothing new: nothing to do
		close(p.stop)
	})
	wantCalls(t, s, "process 2", "process 1", "flush 2 false", "checkpoint 2 false", "drop")
}

func TestPumpFlushesOnBytesAndOnWish(t *testing.T) {
	s := &script{}
	testPump(t, s, func(p *pump) { p.flushBytes = 100 }, func(ctx context.Context, _ context.CancelCauseFunc, p *pump) {
		p.queue.put(ctx, p.done, chunkOf("1", 1, 99))
		p.queue.put(ctx, p.done, chunkOf("2", 1, 1))
		synctest.Wait()
		s.want = true                                // the pump is asleep
		p.queue.put(ctx, p.done, chunkOf("3", 0, 1)) // a record without events moves the place too
		synctest.Wait()
		close(p.stop)
	})
	wantCalls(t, s, "process 1", "process 1", "flush 2 false", "checkpoint 2 false", "flush 3 false", "checkpoint 3 false", "drop")
}

// TestPumpNeverCheckpointsWhatIsNotDurable: whatever fails is tried again, in
// order, and the checkpoint waits.
func TestPumpNeverCheckpointsWhatIsNotDurable(t *testing.T) {
	left := map[string]int{"process 1": 2, "flush 1 false": 3, "checkpoint 1 false": 1}
	s := &script{fail: func(call string) error {
		if left[call] == 0 {
			return nil
		}
		if left[call]--; call == "flush 1 false" && left[call] == 1 {
			panic("a bug")
		}
		return errors.New("disk full")
	}}
	testPump(t, s, nil, func(ctx context.Context, _ context.CancelCauseFunc, p *pump) {
		p.queue.put(ctx, p.done, chunkOf("1", 1, 1))
		synctest.Wait()
		if h := p.state.snapshot(); !strings.Contains(h.Reason, "process: disk full") {
			t.Errorf("reason %q", h.Reason)
		}
		time.Sleep(10 * time.Minute)
		if h := p.state.snapshot(); h.Reason != "" || h.Checkpoint.Seq != "1" {
			t.Errorf("health %+v", h)
		}
		close(p.stop)
	})
	wantCalls(t, s, "process 1", "process 1", "process 1",
		"flush 1 false", "flush 1 false", "flush 1 false", "flush 1 false",
		"checkpoint 1 false", "checkpoint 1 false", "drop")
}

func TestPumpStops(t *testing.T) {
	s := &script{fail: func(call string) error {
		if call == "process 2" {
			return errors.New("no")
		}
		return nil
	}}
	testPump(t, s, nil, func(ctx context.Context, _ context.CancelCauseFunc, p *pump) {
		p.queue.put(ctx, p.done, chunkOf("1", 1, 1))
		p.queue.put(ctx, p.done, chunkOf("2", 2, 1)) // never succeeds
		p.queue.put(ctx, p.done, chunkOf("3", 3, 1))
		synctest.Wait()
		close(p.stop)
	})
	wantCalls(t, s, "process 1", "process 2", "flush 1 false", "checkpoint 1 false", "drop")
}

func TestPumpDropsWithTheLease(t *testing.T) {
	t.Run("while idle", func(t *testing.T) {
		s := &script{}
		testPump(t, s, nil, func(ctx context.Context, cancel context.CancelCauseFunc, p *pump) {
			p.queue.put(ctx, p.done, chunkOf("1", 1, 1))
			synctest.Wait()
			cancel(errLeaseLost)
		})
		wantCalls(t, s, "process 1", "drop")
	})
	t.Run("at the checkpoint", func(t *testing.T) {
		s := &script{fail: func(call string) error {
			if strings.HasPrefix(call, "checkpoint") {
				return errLeaseLost
			}
			return nil
		}}
		testPump(t, s, nil, func(ctx context.Context, _ context.CancelCauseFunc, p *pump) {
			p.queue.put(ctx, p.done, chunkOf("1", 1, 1))
			time.Sleep(2 * time.Minute)
			p.queue.put(ctx, p.done, chunkOf("2", 1, 1))
		})
		wantCalls(t, s, "process 1", "flush 1 false", "checkpoint 1 false", "drop")
	})
}

func TestPumpEndsAShard(t *testing.T) {
	tries := 0
	s := &script{fail: func(call string) error {
		if call == "flush 1 true" {
			if tries++; tries < 3 {
				return errors.New("not yet")
			}
		}
		return nil
	}}
	testPump(t, s, nil, func(ctx context.Context, _ context.CancelCauseFunc, p *pump) {
		p.queue.put(ctx, p.done, chunkOf("1", 1, 1))
		p.queue.put(ctx, p.done, chunk{end: true})
		<-p.done
		if !p.ended || !p.clean {
			t.Errorf("ended %v, clean %v", p.ended, p.clean)
		}
		if err := p.queue.put(ctx, p.done, chunkOf("2", 1, 1)); !errors.Is(err, errOver) {
			t.Errorf("put after the end: %v", err)
		}
	})
	wantCalls(t, s, "process 1", "flush 1 true", "flush 1 true", "flush 1 true", "checkpoint 1 true", "drop")
}

// TestQueueIsBounded: a reader that is faster than its stage waits.
func TestQueueIsBounded(t *testing.T) {
	for name, c := range map[string]struct {
		bytes int64
		fits  int
	}{"in chunks": {1, 4}, "in bytes": {4000, 2}, "one too large": {20000, 1}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithCancel(t.Context())
				q := newQueue(10000, 4, (&Monitor{}).add("shard", 1))
				put := 0
				go func() {
					for q.put(ctx, nil, chunkOf("1", 1, c.bytes)) == nil {
						put++
					}
				}()
				synctest.Wait()
				if put != c.fits {
					t.Errorf("%d put, want %d", put, c.fits)
				}
				q.take()
				synctest.Wait()
				if put != c.fits+1 {
					t.Errorf("after a take %d put, want %d", put, c.fits+1)
				}
				cancel()
				synctest.Wait()
			})
		})
	}
}

// TestPumpDoesNotBeginWhatCannotEnd: a stop flushes what fits into its time, by
// the pace of the flush before; what is given up to another worker is flushed
// however long it takes.
func TestPumpDoesNotBeginWhatCannotEnd(t *testing.T) {
	const mib = 1 << 20
	for name, c := range map[string]struct {
		pending int64
		leaving bool
		flushed bool
	}{
		"what fits":               {2 * mib, false, true},
		"too much":                {4 * mib, false, false},
		"too much, but no stop":   {4 * mib, true, true},
		"too little to be judged": {mib - 1, false, true},
	} {
		t.Run(name, func(t *testing.T) {
			s := &script{}
			s.fail = func(call string) error {
				if call == "flush 1 false" {
					time.Sleep(10 * time.Second) // a MiB a second
				}
				return nil
			}
			testPump(t, s, func(p *pump) {
				p.flushBytes, p.queue.maxBytes, p.stopTime, p.leaving = 10*mib, 20*mib, 3*time.Second, make(chan struct{})
			}, func(ctx context.Context, _ context.CancelCauseFunc, p *pump) {
				p.queue.put(ctx, p.done, chunkOf("1", 1, 10*mib))
				time.Sleep(20 * time.Second)
				p.queue.put(ctx, p.done, chunkOf("2", 1, c.pending))
				synctest.Wait()
				if c.leaving {
					close(p.leaving)
				}
				close(p.stop)
				<-p.done
				if p.clean != c.flushed || p.gaveUp == c.flushed {
					t.Errorf("clean %v, gave up %v", p.clean, p.gaveUp)
				}
			})
			if s.called("flush 2 false") != c.flushed || s.called("checkpoint 2 false") != c.flushed {
				t.Errorf("calls %v", s.calls)
			}
		})
	}
}

// TestPumpCheckpointsWhatWasJustInTime: a flush that succeeds when the time to
// stop is up is checkpointed.
func TestPumpCheckpointsWhatWasJustInTime(t *testing.T) {
	s := &script{}
	testPump(t, s, func(p *pump) {
		done := p.checkpoint
		p.checkpoint = func(ctx context.Context, to nagare.Position, end bool) error {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			return done(ctx, to, end)
		}
	}, func(ctx context.Context, cancel context.CancelCauseFunc, p *pump) {
		s.fail = func(call string) error {
			if call == "flush 1 false" {
				cancel(errStopLong)
			}
			return nil
		}
		p.queue.put(ctx, p.done, chunkOf("1", 1, 10))
		synctest.Wait()
		close(p.stop)
	})
	wantCalls(t, s, "process 1", "flush 1 false", "checkpoint 1 false", "drop")
}
