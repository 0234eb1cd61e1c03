package kinesisd

import (
	"sync"
	"time"
)

// bucket holds what may be used of a throughput: it fills with time up to one
// second's worth, and may go below zero, to be paid off before more is given.
type bucket struct {
	level float64
	at    time.Time
}

func (b *bucket) fill(now time.Time, rate float64) {
	if b.at.IsZero() {
		b.level = rate
	} else if d := now.Sub(b.at); d > 0 {
		b.level = min(rate, b.level+rate*d.Seconds())
	}
	b.at = now
}

// shardInLimit is the write throughput of a shard.
type shardInLimit struct{ bytes, records bucket }

func (l *shardInLimit) take(now time.Time, bytes int) bool {
	l.bytes.fill(now, shardBytesIn)
	l.records.fill(now, shardRecordsIn)
	// A record larger than a second's worth goes when the bucket is full.
	if l.records.level < 1 || l.bytes.level < min(float64(bytes), shardBytesIn) {
		return false
	}
	l.records.level--
	l.bytes.level -= float64(bytes)
	return true
}

// shardOutLimit is the read throughput of a shard, shared by all GetRecords.
type shardOutLimit struct {
	mu           sync.Mutex
	bytes, calls bucket
}

// take admits a read; what it then returned is told to spent.
func (l *shardOutLimit) take(now time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.bytes.fill(now, shardBytesOut)
	l.calls.fill(now, shardReadsOut)
	if l.calls.level < 1 || l.bytes.level <= 0 {
		return false
	}
	l.calls.level--
	return true
}

func (l *shardOutLimit) spent(bytes int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.bytes.level -= float64(bytes)
}

// wait is how long a reader with a throughput of its own has to pause after
// having been sent so many bytes.
func (b *bucket) wait(now time.Time, rate float64, bytes int) time.Duration {
	b.fill(now, rate)
	b.level -= float64(bytes)
	if b.level >= 0 {
		return 0
	}
	return time.Duration(-b.level / rate * float64(time.Second))
}
