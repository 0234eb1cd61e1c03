package kinesisd

import (
	"container/list"
	"context"
	"sync"
	"time"
)

const (
	// slowAfter and slowRate say who is slow: a client that has moved less
	// than slowRate bytes a second for slowAfter.
	slowAfter = 2 * time.Second
	slowRate  = 256 << 10
	// slowLook is how often slow clients are looked for while calls wait.
	slowLook = 500 * time.Millisecond
)

// memory bounds the bytes that calls hold. What does not fit waits, first come
// first served.
//
// Calls take bytes as they need them, so two may wait for what the other has.
// So a part is kept in reserve for the oldest call: it can always go on, ends,
// and makes the next one the oldest. No call may hold more than the reserve.
// And a client that lets its call hold bytes while others wait, and takes or
// sends next to nothing, is cut off.
type memory struct {
	total, reserve int64

	mu      sync.Mutex
	used    int64
	holders list.List // of *holding, oldest first
	waiting list.List // of *claim, in the order they came
}

// A holding is what one call has of a memory.
type holding struct {
	m     *memory
	place *list.Element // nil once it is given back
	held  int64

	// The client's turn, if cut is set: whoever waits for memory looks at
	// what it has moved since the last look.
	cut   func()
	since time.Time
	moved int64
}

// A claim is a call that waits for n more bytes.
type claim struct {
	h     *holding
	n     int64
	ready chan struct{}
}

func newMemory(total, reserve int64) *memory { return &memory{total: total, reserve: reserve} }

// hold enters a call, with nothing yet. It must be dropped.
func (m *memory) hold() *holding {
	m.mu.Lock()
	defer m.mu.Unlock()
	h := &holding{m: m}
	h.place = m.holders.PushBack(h)
	return h
}

// small says whether a call is small with n more bytes. A part of the memory is
// for such calls alone, so that they do not wait behind large ones.
func (h *holding) small(n int64) bool { return h.held+n <= h.m.total/1024 }

// fits says whether n more bytes may be given to a holding. The others never
// hold more than total-reserve together: so the oldest always gets its reserve.
func (m *memory) fits(h *holding, n int64) bool {
	oldest := m.holders.Front()
	others := m.used - oldest.Value.(*holding).held
	switch {
	case oldest == h.place:
		return m.used+n <= m.total
	case h.small(n):
		return others+n <= m.total-m.reserve
	}
	return others+n <= m.total-m.reserve-m.total/16
}

// take takes n more bytes, or waits for them until ctx ends.
func (h *holding) take(ctx context.Context, n int64) error {
	m := h.m
	m.mu.Lock()
	if m.fits(h, n) && (m.waiting.Len() == 0 || m.holders.Front() == h.place || h.small(n)) {
		m.used += n
		h.held += n
		m.mu.Unlock()
		return nil
	}
	c := &claim{h: h, n: n, ready: make(chan struct{})}
	place := m.waiting.PushBack(c)
	m.mu.Unlock()
	look := time.NewTicker(slowLook)
	defer look.Stop()
	for {
		select {
		case <-c.ready:
			return nil
		case now := <-look.C:
			m.mu.Lock()
			if m.waiting.Front() == place {
				m.cutSlow(now)
			}
			m.mu.Unlock()
		case <-ctx.Done():
			m.mu.Lock()
			defer m.mu.Unlock()
			select {
			case <-c.ready: // drop gives it back
			default:
				m.waiting.Remove(place)
				m.serve() // it may have stood before others
			}
			return ctx.Err()
		}
	}
}

// give gives n bytes back.
func (h *holding) give(n int64) {
	h.m.mu.Lock()
	defer h.m.mu.Unlock()
	h.held -= n
	h.m.used -= n
	h.m.serve()
}

// drop ends a holding and gives all of it back. It may be called again.
func (h *holding) drop() {
	m := h.m
	m.mu.Lock()
	defer m.mu.Unlock()
	if h.place == nil {
		return
	}
	m.used -= h.held
	m.holders.Remove(h.place)
	h.held, h.place, h.cut = 0, nil, nil
	m.serve()
}

// serve gives to those who wait. The lock is held.
func (m *memory) serve() {
	grant := func(e *list.Element) {
		c := m.waiting.Remove(e).(*claim)
		m.used += c.n
		c.h.held += c.n
		close(c.ready)
	}
	for e := m.waiting.Front(); e != nil; e = e.Next() {
		if m.holders.Front() == e.Value.(*claim).h.place {
			grant(e)
			break
		}
	}
	for e := m.waiting.Front(); e != nil && m.fits(e.Value.(*claim).h, e.Value.(*claim).n); e = m.waiting.Front() {
		grant(e)
	}
}

// moving says that it is the client's turn: if it is slow while others wait,
// cut is called, once. cut must not wait.
func (h *holding) moving(cut func()) {
	h.m.mu.Lock()
	defer h.m.mu.Unlock()
	h.cut, h.since, h.moved = cut, time.Now(), 0
}

// move notes that the client has sent or taken n bytes.
func (h *holding) move(n int) {
	h.m.mu.Lock()
	defer h.m.mu.Unlock()
	h.moved += int64(n)
}

// settled says that it is the server's turn again.
func (h *holding) settled() { h.moving(nil) }

// cutSlow cuts off the clients that are slow. The lock is held.
func (m *memory) cutSlow(now time.Time) {
	for e := m.holders.Front(); e != nil; e = e.Next() {
		h := e.Value.(*holding)
		d := now.Sub(h.since)
		if h.cut == nil || h.held == 0 || d < slowAfter {
			continue
		}
		if float64(h.moved) < slowRate*d.Seconds() {
			h.cut()
			h.cut = nil
		}
		h.since, h.moved = now, 0
	}
}
