package consumers

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"
	chk "github.com/vmware/vmware-go-kcl-v2/clientlibrary/checkpoint"
	kclconfig "github.com/vmware/vmware-go-kcl-v2/clientlibrary/config"
	kcl "github.com/vmware/vmware-go-kcl-v2/clientlibrary/interfaces"
	par "github.com/vmware/vmware-go-kcl-v2/clientlibrary/partition"
	kclworker "github.com/vmware/vmware-go-kcl-v2/clientlibrary/worker"

	"nagare"
	"nagare/internal/coord"
	"nagare/internal/kinesisd"
)

// These measure what the issue of the part promises; a machine that is busy
// with something else makes them slow, which is why they are no tests. Each
// wants -benchtime=1x.

// report reports percentiles of durations in milliseconds.
func report(b *testing.B, l []time.Duration) {
	slices.Sort(l)
	at := func(p float64) float64 {
		return float64(l[min(int(p*float64(len(l))), len(l)-1)].Microseconds()) / 1000
	}
	b.ReportMetric(at(.5), "p50-ms")
	b.ReportMetric(at(.99), "p99-ms")
	b.ReportMetric(at(1), "max-ms")
	b.ReportMetric(0, "ns/op")
}

// BenchmarkLatency is from before a put to Process, at 100 events a second on
// four shards; with "reshard", while a shard is split, one of its children is
// split and two shards are merged.
func BenchmarkLatency(b *testing.B) {
	for _, fanOut := range []bool{false, true} {
		for _, reshard := range []bool{false, true} {
			b.Run(map[bool]string{false: "polling", true: "fan-out"}[fanOut]+map[bool]string{true: ",reshard"}[reshard], func(b *testing.B) {
				for b.Loop() {
					r := newRig(b, 4, kinesisd.Config{})
					var s sink
					stop := r.start(Config{FanOut: fanOut, FlushEvery: time.Second}, &s)
					eventually(b, "all shards are open", func() bool { return len(s.lines()) == 4 })
					const n = 1000
					var wg sync.WaitGroup
					wg.Go(func() {
						tick := time.NewTicker(10 * time.Millisecond)
						defer tick.Stop()
						for i := range n {
							<-tick.C
							r.put(fmt.Sprint("e", i))
						}
					})
					if reshard {
						eventually(b, "some are here", s.has(n/4))
						r.split("shardId-000000000000")
						eventually(b, "more are here", s.has(n/2))
						r.split("shardId-000000000004")
						eventually(b, "more are here", s.has(3*n/4))
						r.merge("shardId-000000000002", "shardId-000000000003")
					}
					wg.Wait()
					eventually(b, "all are here", s.has(n))
					began := time.Now()
					if err := stop(); err != nil {
						b.Error(err)
					}
					report(b, s.latency)
					b.ReportMetric(float64(time.Since(began).Milliseconds()), "stop-ms")
				}
			})
		}
	}
}

// BenchmarkFirstRecord is from the start of a worker to the first record of
// the last of 32 shards.
func BenchmarkFirstRecord(b *testing.B) {
	for _, fanOut := range []bool{false, true} {
		b.Run(map[bool]string{false: "polling", true: "fan-out"}[fanOut], func(b *testing.B) {
			for b.Loop() {
				const shards = 32
				r := newRig(b, shards, kinesisd.Config{})
				for _, s := range r.shards() {
					r.putRaw([]byte("x"), *s.HashKeyRange.StartingHashKey)
				}
				var s sink
				began := time.Now()
				stop := r.start(Config{FanOut: fanOut}, &s)
				eventually(b, "one of each is here", s.has(shards))
				b.ReportMetric(time.Since(began).Seconds(), "s")
				b.ReportMetric(0, "ns/op")
				if err := stop(); err != nil {
					b.Error(err)
				}
			}
		})
	}
}

// jobEnv carries a job to a process of its own.
const jobEnv = "NAGARE_TEST_JOB"

// A job is what a worker process is to read.
type job struct {
	URL, Store, Stream string
	FanOut             bool
	Lease              time.Duration
}

// work reads a stream and prints a line for each event: its shard, and how
// long it took from its put, in microseconds.
func work(text string) {
	var j job
	if err := json.Unmarshal([]byte(text), &j); err != nil {
		panic(err)
	}
	store, err := coord.OpenSQLite(j.Store)
	if err != nil {
		panic(err)
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	var mu sync.Mutex
	var s sink
	s.process = func(shard Shard, events []nagare.Event) error {
		mu.Lock()
		defer mu.Unlock()
		for _, ev := range events {
			at, _ := time.Parse(time.RFC3339Nano, string(ev.Body))
			fmt.Println(shard.ID, time.Since(at).Microseconds(), ev.UID)
		}
		return nil
	}
	err = Run(ctx, Config{App: "test", Stream: j.Stream, Kinesis: testAWS(j.URL), Coord: store, NewStage: s.stage, FanOut: j.FanOut, LeaseTime: j.Lease,
		Log: slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))})
	if err != nil {
		panic(err)
	}
}

// A proc is a worker process and what it has processed.
type proc struct {
	cmd *exec.Cmd

	mu    sync.Mutex
	seen  map[string]int // events by shard
	first map[string]time.Time
	late  []time.Duration
}

func startProc(b *testing.B, j job) *proc {
	b.Helper()
	text, err := json.Marshal(j)
	if err != nil {
		b.Fatal(err)
	}
	p := &proc{cmd: exec.Command(os.Args[0]), seen: map[string]int{}, first: map[string]time.Time{}}
	p.cmd.Env = append(os.Environ(), jobEnv+"="+string(text))
	p.cmd.Stderr = os.Stderr
	out, err := p.cmd.StdoutPipe()
	if err == nil {
		err = p.cmd.Start()
	}
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = p.cmd.Process.Kill(); _ = p.cmd.Wait() })
	go func() {
		for lines := bufio.NewScanner(out); lines.Scan(); {
			f := strings.Fields(lines.Text())
			us, err := strconv.Atoi(f[1])
			if err != nil {
				continue
			}
			p.mu.Lock()
			if p.seen[f[0]]++; p.seen[f[0]] == 1 {
				p.first[f[0]] = time.Now()
			}
			p.late = append(p.late, time.Duration(us)*time.Microsecond)
			p.mu.Unlock()
		}
	}()
	return p
}

func (p *proc) shards() map[string]int {
	p.mu.Lock()
	defer p.mu.Unlock()
	out := map[string]int{}
	for k, v := range p.seen {
		out[k] = v
	}
	return out
}

// flow puts an event every 20 ms until stopped.
func (r *rig) flow(b *testing.B) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() {
		for i := 0; ctx.Err() == nil; i++ {
			r.put(fmt.Sprint("e", i))
			time.Sleep(20 * time.Millisecond)
		}
	})
	return func() { cancel(); wg.Wait() }
}

func workersOn(b *testing.B, shards int, fanOut bool) (r *rig, j job) {
	r = newRig(b, shards, kinesisd.Config{})
	path := filepath.Join(b.TempDir(), "coord.db")
	return r, job{URL: *r.cfg.BaseEndpoint, Store: path, Stream: r.stream, FanOut: fanOut, Lease: 10 * time.Second}
}

// BenchmarkTakeover kills a worker process with kill -9 and measures until
// another one processes events of all of its shards; leases are of ten seconds.
func BenchmarkTakeover(b *testing.B) {
	for _, fanOut := range []bool{false, true} {
		b.Run(map[bool]string{false: "polling", true: "fan-out"}[fanOut], func(b *testing.B) {
			for b.Loop() {
				r, j := workersOn(b, 4, fanOut)
				stop := r.flow(b)
				a, c := startProc(b, j), startProc(b, j)
				eventually(b, "both read", func() bool { return len(a.shards()) >= 2 && len(c.shards()) >= 2 })
				time.Sleep(5 * time.Second) // until they share evenly
				began := time.Now()
				before := c.shards()
				_ = a.cmd.Process.Kill()
				eventually(b, "the other reads all", func() bool {
					now := c.shards()
					for id := range a.shards() {
						if now[id] <= before[id] {
							return false
						}
					}
					return len(now) == 4
				})
				b.ReportMetric(time.Since(began).Seconds(), "s")
				b.ReportMetric(0, "ns/op")
				stop()
			}
		})
	}
}

// BenchmarkFrozen stops the process that reads a shard for three leases, lets
// it go on, and measures put to Process of the one that took over, from ten
// seconds after that on: the two must not take the subscription from each other.
func BenchmarkFrozen(b *testing.B) {
	for b.Loop() {
		r, j := workersOn(b, 1, true)
		stop := r.flow(b)
		a := startProc(b, j)
		eventually(b, "the first reads", func() bool { return len(a.shards()) == 1 })
		c := startProc(b, j)
		time.Sleep(2 * time.Second)
		_ = a.cmd.Process.Signal(syscall.SIGSTOP)
		time.Sleep(30 * time.Second)
		_ = a.cmd.Process.Signal(syscall.SIGCONT)
		time.Sleep(10 * time.Second)
		c.mu.Lock()
		from := len(c.late)
		c.mu.Unlock()
		back := a.shards()
		time.Sleep(10 * time.Second)
		stop()
		c.mu.Lock()
		late := slices.Clone(c.late[from:])
		c.mu.Unlock()
		if len(late) == 0 {
			b.Fatal("the owner processed nothing")
		}
		report(b, late)
		b.ReportMetric(float64(a.shards()["shardId-000000000000"]-back["shardId-000000000000"]), "events-of-the-zombie")
	}
}

// BenchmarkThroughput reads a backlog of 48 MB, in records of 4 KB on four
// shards, by fan-out: through the wall, and with the bare library.
func BenchmarkThroughput(b *testing.B) {
	const records, size = 12_000, 4 << 10
	fill := func(b *testing.B) *rig {
		r := newRigAt(b, 4, serveAsIs(b, kinesisd.Config{SubscriptionGap: time.Millisecond}))
		data := make([]byte, size)
		for i := 0; i < records; i += 400 {
			var in kinesis.PutRecordsInput
			in.StreamName = &r.stream
			for k := range 400 {
				in.Records = append(in.Records, types.PutRecordsRequestEntry{Data: data, PartitionKey: aws.String(fmt.Sprint(i + k))})
			}
			if out, err := r.client.PutRecords(context.Background(), &in); err != nil || *out.FailedRecordCount > 0 {
				b.Fatalf("%v, %+v", err, out)
			}
		}
		return r
	}
	rate := func(b *testing.B, began time.Time) {
		b.ReportMetric(records*size/time.Since(began).Seconds()/1e6, "MB/s")
		b.ReportMetric(0, "ns/op")
	}
	b.Run("wall", func(b *testing.B) {
		for b.Loop() {
			r := fill(b)
			var n atomic.Int64
			began := time.Now()
			stop := r.start(Config{FanOut: true, FlushEvery: time.Second, NewStage: func(Shard) (Stage, error) { return counting{&n}, nil }}, nil)
			eventually(b, "all are read", func() bool { return n.Load() == records })
			rate(b, began)
			if err := stop(); err != nil {
				b.Error(err)
			}
		}
	})
	b.Run("bare", func(b *testing.B) {
		for b.Loop() {
			r := fill(b)
			info, err := describe(b.Context(), r.client, r.stream)
			if err != nil {
				b.Fatal(err)
			}
			arn, err := registerConsumer(b.Context(), r.client, info, "bare")
			if err != nil {
				b.Fatal(err)
			}
			c := kclconfig.NewKinesisClientLibConfigWithCredential("bare", r.stream, "us-east-1", "bare", nil)
			c.WithLogger(kclLog{slog.New(slog.DiscardHandler)}).WithInitialPositionInStream(kclconfig.TRIM_HORIZON).WithShardSyncIntervalMillis(50).WithMaxRecords(10000)
			c.EnableEnhancedFanOutConsumer, c.EnhancedFanOutConsumerARN = true, arn
			var n atomic.Int64
			began := time.Now()
			w := kclworker.NewWorker(bareFactory{&n}, c).WithKinesis(r.client).WithCheckpointer(bareCheckpointer{})
			if err := w.Start(); err != nil {
				b.Fatal(err)
			}
			eventually(b, "all are read", func() bool { return n.Load() == records })
			rate(b, began)
			w.Shutdown()
		}
	})
}

// counting is a stage that counts.
type counting struct{ n *atomic.Int64 }

func (counting) Open(context.Context, Shard) (nagare.Position, error) {
	return nagare.Position{}, nil
}
func (c counting) Process(_ context.Context, events []nagare.Event) error {
	c.n.Add(int64(len(events)))
	return nil
}
func (counting) Flush(context.Context, nagare.Position, bool) error { return nil }
func (counting) Drop()                                              {}

// bareFactory makes processors that count, for the bare library.
type bareFactory struct{ n *atomic.Int64 }

func (f bareFactory) CreateProcessor() kcl.IRecordProcessor { return bareProcessor(f) }

type bareProcessor struct{ n *atomic.Int64 }

func (bareProcessor) Initialize(*kcl.InitializationInput) {}
func (p bareProcessor) ProcessRecords(in *kcl.ProcessRecordsInput) {
	p.n.Add(int64(len(in.Records)))
}
func (bareProcessor) Shutdown(*kcl.ShutdownInput) {}

// bareCheckpointer gives one worker every lease and remembers nothing.
type bareCheckpointer struct{}

func (bareCheckpointer) Init() error { return nil }
func (bareCheckpointer) GetLease(shard *par.ShardStatus, worker string) error {
	shard.SetLeaseOwner(worker)
	shard.SetLeaseTimeout(time.Now().Add(time.Hour))
	return nil
}
func (bareCheckpointer) CheckpointSequence(*par.ShardStatus) error { return nil }
func (bareCheckpointer) FetchCheckpoint(*par.ShardStatus) error {
	return chk.ErrSequenceIDNotFound
}
func (bareCheckpointer) RemoveLeaseInfo(string) error         { return nil }
func (bareCheckpointer) RemoveLeaseOwner(string) error        { return nil }
func (bareCheckpointer) GetLeaseOwner(string) (string, error) { return "", io.EOF }
func (bareCheckpointer) ListActiveWorkers(map[string]*par.ShardStatus) (map[string][]*par.ShardStatus, error) {
	return nil, chk.ErrShardNotAssigned
}
func (bareCheckpointer) ClaimShard(*par.ShardStatus, string) error { return chk.ErrLeaseNotAcquired{} }
