package consumers

import (
	"context"
	"sync"
	"time"
)

// A queue hands chunks from the reader of a shard to its pump. It is bounded
// in bytes and in chunks; at the bound the reader waits, and with it the
// stream. A chunk larger than the bound goes through an empty queue.
type queue struct {
	maxBytes  int64
	maxChunks int
	state     *shardState

	space, avail chan struct{} // capacity 1: something may have changed

	mu     sync.Mutex
	chunks []chunk
	bytes  int64
	busy   time.Time // arrival of the chunk that was taken last, until done
}

func newQueue(maxBytes int64, maxChunks int, state *shardState) *queue {
	return &queue{maxBytes: maxBytes, maxChunks: maxChunks, state: state,
		space: make(chan struct{}, 1), avail: make(chan struct{}, 1)}
}

// put waits for room. It returns an error when ctx is over or the pump is.
func (q *queue) put(ctx context.Context, done <-chan struct{}, c chunk) error {
	for {
		select {
		case <-done: // also when there is room: nobody will come for it
			return errOver
		default:
		}
		q.mu.Lock()
		if len(q.chunks) == 0 || q.bytes+c.bytes <= q.maxBytes && len(q.chunks) < q.maxChunks {
			q.chunks = append(q.chunks, c)
			q.bytes += c.bytes
			q.note()
			q.mu.Unlock()
			notify(q.avail)
			return nil
		}
		q.mu.Unlock()
		select {
		case <-q.space:
		case <-done:
			return errOver
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// take returns the oldest chunk, if there is one. The one before is done with.
func (q *queue) take() (chunk, bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.busy = time.Time{}
	if len(q.chunks) == 0 {
		q.note()
		return chunk{}, false
	}
	c := q.chunks[0]
	q.chunks[0] = chunk{}
	q.chunks = q.chunks[1:]
	q.bytes -= c.bytes
	if len(c.events) > 0 {
		q.busy = c.events[0].Pos.Arrived
	}
	q.note()
	notify(q.space)
	return c, true
}

// note tells the monitor; q.mu is held.
func (q *queue) note() {
	oldest := q.busy
	for i := 0; oldest.IsZero() && i < len(q.chunks); i++ {
		oldest = q.chunks[i].to.Arrived
	}
	q.state.waiting(q.bytes, oldest)
}

func notify(ch chan struct{}) {
	select {
	case ch <- struct{}{}:
	default:
	}
}
