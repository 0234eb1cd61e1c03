package kinesisd

import (
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// TestMemoryNeverStops lets many calls take bytes step by step, more than
// there are: none waits for ever, and the bound holds.
func TestMemoryNeverStops(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemory(100, 40)
		var wg sync.WaitGroup
		for i := range 50 {
			wg.Go(func() {
				r := rand.New(rand.NewPCG(1, uint64(i)))
				for range 20 {
					h := m.hold()
					for left := int64(40); left > 0; {
						n := 1 + r.Int64N(left)
						if err := h.take(t.Context(), n); err != nil {
							t.Error(err)
						}
						left -= n
						time.Sleep(time.Duration(r.IntN(10)) * time.Millisecond)
					}
					m.mu.Lock()
					if m.used > m.total {
						t.Errorf("%d of %d bytes are held", m.used, m.total)
					}
					m.mu.Unlock()
					h.drop()
				}
			})
		}
		wg.Wait() // synctest fails the test if nothing can go on
		if m.used != 0 || m.holders.Len() != 0 || m.waiting.Len() != 0 {
			t.Errorf("%d bytes, %d holders, %d claims are left", m.used, m.holders.Len(), m.waiting.Len())
		}
	})
}

// TestMemoryForgetsWhoLeaves gives back what a call got in the moment it was
// given up, and lets those behind it go on.
func TestMemoryForgetsWhoLeaves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemory(1024, 944)
		first, second, third := m.hold(), m.hold(), m.hold()
		if err := first.take(t.Context(), 944); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		gone := make(chan error)
		go func() { gone <- second.take(ctx, 80) }()
		synctest.Wait()
		got := make(chan error)
		go func() { got <- third.take(t.Context(), 2) }()
		synctest.Wait()
		cancel()
		if err := <-gone; !errors.Is(err, context.Canceled) {
			t.Errorf("a call that was given up got %v", err)
		}
		if err := <-got; err != nil {
			t.Error(err)
		}
		first.drop()
		second.drop()
		third.drop()
		third.drop()
		if m.used != 0 {
			t.Errorf("%d bytes are left", m.used)
		}
	})
}

// sender is a client that sends some bytes at once and the rest never, until
// the server's deadline passes. It is its own connection.
type sender struct {
	httptest.ResponseRecorder
	left int
	cut  chan struct{}
	once sync.Once
}

func (c *sender) Read(b []byte) (int, error) {
	if c.left == 0 {
		<-c.cut
		return 0, os.ErrDeadlineExceeded
	}
	n := min(c.left, len(b))
	c.left -= n
	return n, nil
}

func (c *sender) SetReadDeadline(t time.Time) error {
	if !t.IsZero() {
		time.AfterFunc(time.Until(t), func() { c.once.Do(func() { close(c.cut) }) })
	}
	return nil
}

// TestStalledSendersHoldUpNobody announces large bodies and sends little of
// them: another call is not held up. Those that did fill the memory are cut
// off when somebody needs it.
func TestStalledSendersHoldUpNobody(t *testing.T) {
	for name, sent := range map[string]int{"a byte": 1, "nearly all": maxPutBody - 1} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := &Server{bodies: newMemory(maxBodiesInMemory, maxCallInMemory)}
				var senders sync.WaitGroup
				start := time.Now()
				for range 20 {
					senders.Go(func() {
						c := &sender{left: sent, cut: make(chan struct{})}
						r := httptest.NewRequest(http.MethodPost, "/", io.NopCloser(c))
						r.ContentLength = maxPutBody
						h, _, err := s.body(c, r, "PutRecords")
						h.drop()
						if e := asAPI(err); e.code != http.StatusRequestTimeout {
							t.Errorf("a body that stops is answered %v", err)
						}
					})
				}
				synctest.Wait()
				r := httptest.NewRequest(http.MethodPost, "/", io.NopCloser(&sender{left: 1000}))
				r.ContentLength = 1000
				h, body, err := s.body(&sender{cut: make(chan struct{})}, r, "PutRecord")
				if err != nil || len(body) != 1000 {
					t.Errorf("%d bytes, %v", len(body), err)
				}
				h.drop()
				if d := time.Since(start); d != 0 {
					t.Errorf("another call waited %s", d)
				}
				senders.Wait()
				if s.bodies.used != 0 {
					t.Errorf("%d bytes are still held", s.bodies.used)
				}
			})
		})
	}
}

// TestSlowIsFineAlone cuts nobody off while there is room.
func TestSlowIsFineAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemory(1024, 944)
		h, other := m.hold(), m.hold()
		cut := false
		h.moving(func() { cut = true })
		if err := h.take(t.Context(), 944); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		if cut {
			t.Error("cut off though nobody waits")
		}
		go func() { _ = other.take(t.Context(), 80) }()
		time.Sleep(2 * slowLook)
		synctest.Wait()
		if !cut {
			t.Error("not cut off though somebody waits")
		}
		h.drop()
		other.drop()
	})
}
