package producers

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/big"
	"math/rand/v2"
	"os"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"

	"nagare"
	"nagare/internal/blob"
	"nagare/internal/claim"
	"nagare/internal/frame"
)

// A fakeStream is the part of Kinesis that the writer sees, with faults.
type fakeStream struct {
	mu       sync.Mutex
	shards   []types.Shard
	records  map[string][][]byte // by shard
	requests []*kinesis.PutRecordsInput
	inFlight map[string]int
	latency  time.Duration
	// fault is asked before each entry; "" lets it through.
	fault func(request, entry int) string
	// down makes whole requests fail.
	down error
	// stale makes that many ListShards calls answer as before the last split.
	stale  int
	before []types.Shard
	t      *testing.T
}

func newFakeStream(t *testing.T, shards int) *fakeStream {
	f := &fakeStream{t: t, records: map[string][][]byte{}, inFlight: map[string]int{}}
	ring := new(big.Int).Lsh(big.NewInt(1), 128)
	for i := range shards {
		first := new(big.Int).Div(new(big.Int).Mul(ring, big.NewInt(int64(i))), big.NewInt(int64(shards)))
		last := new(big.Int).Div(new(big.Int).Mul(ring, big.NewInt(int64(i+1))), big.NewInt(int64(shards)))
		f.add(first, last.Sub(last, big.NewInt(1)))
	}
	return f
}

func (f *fakeStream) add(first, last *big.Int) {
	f.shards = append(f.shards, types.Shard{
		ShardId:             aws.String(fmt.Sprintf("shardId-%012d", len(f.shards))),
		HashKeyRange:        &types.HashKeyRange{StartingHashKey: aws.String(first.String()), EndingHashKey: aws.String(last.String())},
		SequenceNumberRange: &types.SequenceNumberRange{StartingSequenceNumber: aws.String("1")},
	})
}

// split closes some shard and opens its two halves; the list of shards lags.
func (f *fakeStream) split(r *rand.Rand) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.before, f.stale = append([]types.Shard{}, f.shards...), r.IntN(3)
	s := &f.shards[r.IntN(len(f.shards))]
	for s.SequenceNumberRange.EndingSequenceNumber != nil {
		s = &f.shards[r.IntN(len(f.shards))]
	}
	s.SequenceNumberRange = &types.SequenceNumberRange{StartingSequenceNumber: aws.String("1"), EndingSequenceNumber: aws.String("9")}
	first, _ := new(big.Int).SetString(*s.HashKeyRange.StartingHashKey, 10)
	last, _ := new(big.Int).SetString(*s.HashKeyRange.EndingHashKey, 10)
	mid := new(big.Int).Add(first, last)
	mid.Rsh(mid, 1)
	f.add(first, mid)
	f.add(new(big.Int).Add(mid, big.NewInt(1)), last)
}

func (f *fakeStream) ListShards(context.Context, *kinesis.ListShardsInput, ...func(*kinesis.Options)) (*kinesis.ListShardsOutput, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.down != nil {
		return nil, f.down
	}
	if f.stale > 0 {
		f.stale--
		return &kinesis.ListShardsOutput{Shards: f.before}, nil
	}
	return &kinesis.ListShardsOutput{Shards: append([]types.Shard{}, f.shards...)}, nil
}

func (f *fakeStream) PutRecords(ctx context.Context, in *kinesis.PutRecordsInput, _ ...func(*kinesis.Options)) (*kinesis.PutRecordsOutput, error) {
	f.mu.Lock()
	n := len(f.requests)
	f.requests = append(f.requests, in)
	key := f.home(in.Records[0])
	f.inFlight[key]++
	if f.inFlight[key] > 1 && f.before == nil { // a closed shard's lane may meet its child's
		f.t.Errorf("%d requests in flight for %s", f.inFlight[key], key)
	}
	f.mu.Unlock()
	time.Sleep(f.latency)
	f.mu.Lock()
	defer f.mu.Unlock()
	f.inFlight[key]--
	if f.down != nil {
		return nil, f.down
	}
	if len(in.Records) > 500 {
		f.t.Errorf("%d records in a request", len(in.Records))
	}
	out := &kinesis.PutRecordsOutput{FailedRecordCount: aws.Int32(0)}
	total := 0
	for i, r := range in.Records {
		size := len(r.Data) + len(*r.PartitionKey)
		total += size
		if size > 1<<20 {
			f.t.Errorf("record of %d bytes", size)
		}
		if f.fault != nil {
			if code := f.fault(n, i); code != "" {
				*out.FailedRecordCount++
				out.Records = append(out.Records, types.PutRecordsResultEntry{ErrorCode: aws.String(code), ErrorMessage: aws.String("try later")})
				continue
			}
		}
		shard := f.home(r)
		f.records[shard] = append(f.records[shard], r.Data)
		out.Records = append(out.Records, types.PutRecordsResultEntry{ShardId: aws.String(shard), SequenceNumber: aws.String("1")})
	}
	if total > 5<<20 {
		f.t.Errorf("request of %d bytes", total)
	}
	return out, nil
}

// home is the open shard of a record's explicit hash key. f.mu is held.
func (f *fakeStream) home(r types.PutRecordsRequestEntry) string {
	k, err := parseHashKey(aws.ToString(r.ExplicitHashKey))
	if err != nil {
		f.t.Error(err)
	}
	for _, s := range f.shards {
		if s.SequenceNumberRange.EndingSequenceNumber == nil && f.span(s).holds(k) {
			return *s.ShardId
		}
	}
	f.t.Errorf("no shard for %s", *r.ExplicitHashKey)
	return ""
}

func (f *fakeStream) span(s types.Shard) (sp span) {
	sp.first, _ = parseHashKey(*s.HashKeyRange.StartingHashKey)
	sp.last, _ = parseHashKey(*s.HashKeyRange.EndingHashKey)
	return sp
}

// read does what a consumer does: it skips events outside of their shard, and
// returns how often each uid is left.
func (f *fakeStream) read() map[string]int {
	f.mu.Lock()
	defer f.mu.Unlock()
	seen := map[string]int{}
	for _, s := range f.shards {
		for _, data := range f.records[*s.ShardId] {
			events, err := frame.Decode(data)
			if err != nil {
				f.t.Error(err)
			}
			for _, ev := range events {
				if f.span(s).holds(frame.HashKey(ev.Source, ev.UID)) {
					seen[ev.UID]++
				}
			}
		}
	}
	return seen
}

func numbered(from, n int) []nagare.Event {
	events := make([]nagare.Event, n)
	for i := range events {
		uid := fmt.Sprintf("uid-%d", from+i)
		events[i] = nagare.Event{ID: uid, UID: uid, Source: "okta", Body: fmt.Appendf(nil, `{"n":%d,"pad":"%0200d"}`, from+i, i)}
	}
	return events
}

// once fails unless each of the n events is there exactly once.
func (f *fakeStream) once(n int) {
	f.t.Helper()
	seen := f.read()
	if len(seen) != n {
		f.t.Errorf("%d events are on the stream, want %d", len(seen), n)
	}
	for uid, times := range seen {
		if times != 1 {
			f.t.Errorf("%s is there %d times", uid, times)
		}
	}
}

// write runs a writer for the length of body.
func write(t *testing.T, f *fakeStream, cfg WriterConfig, body func(ctx context.Context, w *Writer)) {
	t.Helper()
	w := NewWriter(f, "events", cfg)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- w.Run(ctx) }()
	body(t.Context(), w)
	cancel()
	if err := <-done; err != nil {
		t.Errorf("Run = %v", err)
	}
	if w.left != 0 || !w.room.TryAcquire(int64(w.cfg.QueueBytes)) {
		t.Errorf("%d events, or their room in the queue, were never given back", w.left)
	}
}

func TestWriterLingersThenWrites(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeStream(t, 4)
		write(t, f, WriterConfig{}, func(ctx context.Context, w *Writer) {
			start := time.Now()
			var group sync.WaitGroup
			for i := range 20 {
				group.Go(func() {
					if err := w.Put(ctx, numbered(i*3, 3)); err != nil {
						t.Error(err)
					}
				})
			}
			group.Wait()
			if d := time.Since(start); d != 50*time.Millisecond {
				t.Errorf("written after %v, want 50 ms", d)
			}
		})
		f.once(60)
		if len(f.requests) != 4 {
			t.Errorf("%d requests, want one a shard", len(f.requests))
		}
	})
}

func TestWriterClosesAFullFrameAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeStream(t, 1)
		write(t, f, WriterConfig{FrameBytes: 10_000}, func(ctx context.Context, w *Writer) {
			start := time.Now()
			if err := w.Put(ctx, numbered(0, 100)); err != nil {
				t.Error(err)
			}
			if d := time.Since(start); d != 0 {
				t.Errorf("a full frame waited %v", d)
			}
		})
		f.once(100)
		if n := len(f.records["shardId-000000000000"]); n < 4 {
			t.Errorf("%d frames for 40 kB in frames of 10 kB", n)
		}
	})
}

func TestWriterRetriesOnlyWhatFailed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeStream(t, 1)
		f.fault = func(request, entry int) string {
			if request == 0 && entry%3 == 1 {
				return "ProvisionedThroughputExceededException"
			}
			return ""
		}
		write(t, f, WriterConfig{FrameBytes: 2000}, func(ctx context.Context, w *Writer) {
			if err := w.Put(ctx, numbered(0, 100)); err != nil {
				t.Error(err)
			}
		})
		f.once(100)
		if len(f.requests) != 2 || len(f.requests[1].Records) >= len(f.requests[0].Records)/2 {
			t.Errorf("%d requests; the second must hold a third of the first", len(f.requests))
		}
	})
}

// TestWriterReshard splits shards again and again under load, with an answer
// of ListShards that lags behind. Without reroute, frames that lie across a
// new border are half lost; without the span test they are doubled.
func TestWriterReshard(t *testing.T) {
	for seed := range uint64(20) {
		synctest.Test(t, func(t *testing.T) {
			r := rand.New(rand.NewPCG(seed, 1))
			f := newFakeStream(t, 2)
			f.latency = 20 * time.Millisecond
			faults := rand.New(rand.NewPCG(seed, 2)) // used under f.mu
			f.fault = func(int, int) string {
				if faults.IntN(5) == 0 {
					return "InternalFailure"
				}
				return ""
			}
			const puts, each = 60, 25
			write(t, f, WriterConfig{FrameBytes: 4000}, func(ctx context.Context, w *Writer) {
				var group sync.WaitGroup
				for i := range puts {
					group.Go(func() {
						if err := w.Put(ctx, numbered(i*each, each)); err != nil {
							t.Error(err)
						}
					})
					time.Sleep(time.Duration(r.IntN(20)) * time.Millisecond)
					if i%15 == 7 {
						f.split(r)
					}
				}
				group.Wait()
			})
			f.once(puts * each)
		})
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
}

func TestWriterGivesUpWithTheCaller(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeStream(t, 1)
		write(t, f, WriterConfig{QueueBytes: 20_000}, func(ctx context.Context, w *Writer) {
			if err := w.Put(ctx, numbered(0, 1)); err != nil {
				t.Error(err)
			}
			f.mu.Lock()
			f.down = errors.New("connection refused")
			f.mu.Unlock()
			short, cancel := context.WithTimeout(ctx, 3*time.Second)
			defer cancel()
			// More than the queue holds: the second half never gets in.
			err := w.Put(short, numbered(1, 80))
			if !errors.Is(err, context.DeadlineExceeded) || !errors.Is(err, f.down) {
				t.Errorf("Put = %v, want a timeout because of the refused connection", err)
			}
			f.mu.Lock()
			f.down = nil
			f.mu.Unlock()
			time.Sleep(10 * time.Second)
			if err := w.Put(ctx, numbered(1000, 5)); err != nil {
				t.Error(err)
			}
		})
		if seen := f.read(); len(seen) != 6 {
			t.Errorf("%d events; those that were given up must not come late", len(seen))
		}
	})
}

func TestWriterStops(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeStream(t, 2)
		w := NewWriter(f, "events", WriterConfig{Linger: time.Hour})
		ctx, cancel := context.WithCancel(t.Context())
		put := make(chan error)
		go w.Run(ctx)
		go func() { put <- w.Put(t.Context(), numbered(0, 10)) }()
		synctest.Wait()
		cancel()
		if err := <-put; err != nil {
			t.Errorf("what was accepted must be written before the stop: %v", err)
		}
		f.once(10)
		if err := w.Put(t.Context(), numbered(10, 1)); !errors.Is(err, ErrClosed) {
			t.Errorf("Put after the stop = %v", err)
		}
	})
}

func TestWriterStopsWithoutStream(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeStream(t, 2)
		f.down = errors.New("connection refused")
		w := NewWriter(f, "events", WriterConfig{})
		ctx, cancel := context.WithCancel(t.Context())
		put, done := make(chan error), make(chan error)
		go func() { done <- w.Run(ctx) }()
		go func() { put <- w.Put(t.Context(), numbered(0, 10)) }()
		time.Sleep(time.Minute)
		cancel()
		if err := <-put; !errors.Is(err, ErrClosed) {
			t.Errorf("Put = %v", err)
		}
		if err := <-done; err != nil {
			t.Errorf("Run = %v", err)
		}
	})
}

func TestWriterCutsWhatNoRecordHolds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeStream(t, 1)
		noise := make([]byte, 2<<20)
		r := rand.NewChaCha8([32]byte{1})
		r.Read(noise)
		events := numbered(0, 4)
		events[1].Body = noise
		events[2].Body = bytes.Repeat([]byte("compresses well "), 1<<17) // 2 MiB too
		events[3].Body = noise[:600<<10]
		write(t, f, WriterConfig{FrameBytes: 4 << 20}, func(ctx context.Context, w *Writer) {
			if err := w.Put(ctx, events); err != nil {
				t.Error(err)
			}
		})
		f.once(4)
		for _, data := range f.records["shardId-000000000000"] {
			got, _ := frame.Decode(data)
			for _, ev := range got {
				want := ""
				if ev.UID == "uid-1" {
					want = ReasonTooLarge
					if !bytes.Equal(ev.Body, noise[:64<<10]) || ev.Error == "" {
						t.Errorf("cut to %d bytes, error %q", len(ev.Body), ev.Error)
					}
				}
				if ev.Reason != want {
					t.Errorf("%s: reason %q, want %q", ev.UID, ev.Reason, want)
				}
			}
		}
	})
}

// TestWriterClaims: what no record holds travels without its body, one in a
// frame, and comes back whole; what the store of claims does not take is not
// on the stream either.
func TestWriterClaims(t *testing.T) {
	dir := t.TempDir()
	objects, err := blob.Dir(dir)
	if err != nil {
		t.Fatal(err)
	}
	claims := claim.New(claim.Config{Blob: objects, MaxBytes: 4 << 20})
	noise := make([]byte, 6<<20)
	rand.NewChaCha8([32]byte{1}).Read(noise)
	events := numbered(0, 6)
	events[1].Body = noise[:2<<20]
	events[2].Body = bytes.Repeat([]byte("compresses well "), 1<<17)
	events[3].Body = noise[1<<20 : 3<<20]
	events[4].Body = noise[:5<<20] // over the limit of claims too
	want := slices.Clone(events)
	synctest.Test(t, func(t *testing.T) {
		f := newFakeStream(t, 1)
		write(t, f, WriterConfig{Claims: claims}, func(ctx context.Context, w *Writer) {
			if err := w.Put(ctx, events); err != nil {
				t.Error(err)
			}
		})
		f.once(6)
		if events[1].DataRef != "" || len(events[1].Body) != 2<<20 {
			t.Error("the caller's events were changed")
		}
		for _, data := range f.records["shardId-000000000000"] {
			got, _ := frame.Decode(data)
			claimed := 0
			for _, ev := range got {
				if ev.DataRef != "" {
					claimed++
				}
				if err := claims.Resolve(t.Context(), &ev); err != nil {
					t.Error(err)
				}
				i := slices.IndexFunc(want, func(w nagare.Event) bool { return w.UID == ev.UID })
				if i == 4 {
					if ev.Reason != ReasonTooLarge {
						t.Errorf("an event over every limit has reason %q", ev.Reason)
					}
				} else if !bytes.Equal(ev.Body, want[i].Body) || ev.Reason != "" {
					t.Errorf("%s came back with %d bytes, want %d; reason %q", ev.UID, len(ev.Body), len(want[i].Body), ev.Reason)
				}
			}
			if claimed > 1 {
				t.Errorf("%d claims in one frame", claimed)
			}
		}
	})
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(dir, nil, 0o600); err != nil { // a folder would be made again
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		f := newFakeStream(t, 1)
		write(t, f, WriterConfig{Claims: claims}, func(ctx context.Context, w *Writer) {
			if err := w.Put(ctx, events); err == nil {
				t.Error("Put without a store of claims worked")
			}
		})
		f.once(0)
	})
}

func TestRingRefusesGapsAndOverlaps(t *testing.T) {
	f := newFakeStream(t, 3)
	if _, err := readRing(t.Context(), f, "s"); err != nil {
		t.Fatal(err)
	}
	f.shards[1].SequenceNumberRange.EndingSequenceNumber = aws.String("5")
	if r, err := readRing(t.Context(), f, "s"); err == nil {
		t.Errorf("a ring with a gap: %v", r.open)
	}
	f.shards = f.shards[:1]
	if r, err := readRing(t.Context(), f, "s"); err == nil {
		t.Errorf("a third of a ring: %v", r.open)
	}
}

func BenchmarkWriter(b *testing.B) {
	f := &fakeStream{t: &testing.T{}, records: map[string][][]byte{}, inFlight: map[string]int{}}
	f.shards = newFakeStream(&testing.T{}, 4).shards
	w := NewWriter(f, "events", WriterConfig{})
	ctx, cancel := context.WithCancel(b.Context())
	defer cancel()
	go w.Run(ctx)
	events := numbered(0, 4000)
	for b.Loop() {
		if err := w.Put(ctx, events); err != nil {
			b.Fatal(err)
		}
		f.mu.Lock()
		clear(f.records)
		f.requests = nil
		f.mu.Unlock()
	}
	b.ReportMetric(float64(b.N*len(events))/b.Elapsed().Seconds(), "events/s")
}
