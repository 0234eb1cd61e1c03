package consumers

import (
	"context"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"

	"nagare"
	"nagare/internal/coord"
	"nagare/internal/frame"
	"nagare/internal/kinesisd"
)

// TestMain lets more tests run at once than there are processors: nearly all
// of their time is spent waiting for a stream's pace.
func TestMain(m *testing.M) {
	if job := os.Getenv(jobEnv); job != "" {
		work(job) // this process is a worker of a benchmark
		return
	}
	flag.Parse()
	if err := flag.Set("test.parallel", "10"); err != nil {
		panic(err)
	}
	os.Exit(m.Run())
}

// A rig is a stream with a client for it, a store, and Runs.
type rig struct {
	t      testing.TB
	cfg    aws.Config
	client *kinesis.Client
	stream string
	store  coord.Store
}

// serve runs the embedded server, and returns its URL.
func serve(t testing.TB, cfg kinesisd.Config) string {
	t.Helper()
	cfg.Limits = true
	return serveAsIs(t, cfg)
}

func serveAsIs(t testing.TB, cfg kinesisd.Config) string {
	t.Helper()
	cfg.Dir = t.TempDir()
	s, err := kinesisd.Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return s.URL()
}

func newRig(t testing.TB, shards int, server kinesisd.Config) *rig {
	t.Helper()
	return newRigAt(t, shards, serve(t, server))
}

// newRigAt makes a stream on a server.
func newRigAt(t testing.TB, shards int, url string) *rig {
	t.Helper()
	r := &rig{t: t, stream: "nagare", cfg: testAWS(url)}
	r.client = kinesis.NewFromConfig(r.cfg)
	if _, err := r.client.CreateStream(t.Context(), &kinesis.CreateStreamInput{StreamName: &r.stream, ShardCount: aws.Int32(int32(shards))}); err != nil {
		t.Fatal(err)
	}
	r.settled()
	r.store = openStore(t)
	return r
}

func testAWS(url string) aws.Config {
	return aws.Config{Region: "us-east-1", BaseEndpoint: &url, Credentials: credentials.NewStaticCredentialsProvider("test", "test", "")}
}

func openStore(t testing.TB) coord.Store {
	t.Helper()
	s, err := coord.OpenSQLite(filepath.Join(t.TempDir(), "coord.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// settled waits until a change of the shards is done.
func (r *rig) settled() {
	r.t.Helper()
	eventually(r.t, "the stream is active", func() bool {
		out, err := r.client.DescribeStreamSummary(r.t.Context(), &kinesis.DescribeStreamSummaryInput{StreamName: &r.stream})
		return err == nil && out.StreamDescriptionSummary.StreamStatus == types.StreamStatusActive
	})
}

func eventually(t testing.TB, what string, f func() bool) {
	t.Helper()
	for end := time.Now().Add(60 * time.Second); !f(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not within a minute: %s", what)
		}
	}
}

// put puts one event in a frame of its own, as the writer does: at its hash.
func (r *rig) put(uid string) {
	r.t.Helper()
	data, err := frame.Encode(nil, []nagare.Event{{ID: uid, UID: uid, Source: "test", Received: time.Now(), Body: []byte(time.Now().Format(time.RFC3339Nano))}})
	if err != nil {
		r.t.Fatal(err)
	}
	r.putRaw(data, keyOf("test", uid))
}

func (r *rig) putRaw(data []byte, hash string) {
	r.t.Helper()
	in := &kinesis.PutRecordInput{StreamName: &r.stream, PartitionKey: aws.String("p"), Data: data}
	if hash != "" {
		in.ExplicitHashKey = &hash
	}
	if _, err := r.client.PutRecord(context.Background(), in); err != nil {
		r.t.Error(err)
	}
}

func (r *rig) shards() []types.Shard {
	r.t.Helper()
	out, err := r.client.ListShards(r.t.Context(), &kinesis.ListShardsInput{StreamName: &r.stream})
	if err != nil {
		r.t.Fatal(err)
	}
	return out.Shards
}

func (r *rig) split(id string) {
	r.t.Helper()
	for _, s := range r.shards() {
		if *s.ShardId == id {
			if _, err := r.client.SplitShard(r.t.Context(), &kinesis.SplitShardInput{StreamName: &r.stream, ShardToSplit: &id,
				NewStartingHashKey: aws.String(middle(*s.HashKeyRange.StartingHashKey, *s.HashKeyRange.EndingHashKey))}); err != nil {
				r.t.Fatal(err)
			}
		}
	}
	r.settled()
}

func (r *rig) merge(a, b string) {
	r.t.Helper()
	if _, err := r.client.MergeShards(r.t.Context(), &kinesis.MergeShardsInput{StreamName: &r.stream, ShardToMerge: &a, AdjacentShardToMerge: &b}); err != nil {
		r.t.Fatal(err)
	}
	r.settled()
}

// start starts a Run and returns what stops it and waits.
func (r *rig) start(cfg Config, sink *sink) (stop func() error) {
	r.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	cfg = r.config(cfg, sink)
	go func() { done <- Run(ctx, cfg) }()
	var once sync.Once
	var err error
	stop = func() error {
		once.Do(func() {
			cancel()
			err = <-done
		})
		return err
	}
	r.t.Cleanup(func() { stop() })
	return stop
}

func (r *rig) config(cfg Config, sink *sink) Config {
	if cfg.App == "" {
		cfg.App = "test"
	}
	cfg.Stream, cfg.Kinesis = r.stream, r.cfg
	if cfg.Coord == nil {
		cfg.Coord = r.store
	}
	if cfg.LeaseTime == 0 {
		cfg.LeaseTime = 3 * time.Second
	}
	if cfg.FlushEvery == 0 {
		cfg.FlushEvery = 50 * time.Millisecond
	}
	if cfg.NewStage == nil {
		cfg.NewStage = sink.stage
	}
	cfg.Log = slog.New(slog.NewTextHandler(testLog{r.t}, &slog.HandlerOptions{Level: slog.LevelDebug}))
	return cfg
}

// testLog writes to the log of a test, also when that is over.
type testLog struct{ t testing.TB }

func (l testLog) Write(b []byte) (int, error) {
	if l.t.Context().Err() == nil {
		l.t.Log(strings.TrimSpace(string(b)))
	}
	return len(b), nil
}

// A sink is where the stages of all shards leave what they got.
type sink struct {
	mu      sync.Mutex
	events  []nagare.Event // processed
	durable int            // flushed
	log     []string       // "open SHARD", "end SHARD", "drop SHARD"
	latency []time.Duration

	// process, flush and open, if not nil, are asked first.
	process func(Shard, []nagare.Event) error
	flush   func(Shard, nagare.Position, bool) error
	open    func(Shard) (nagare.Position, error)
}

func (s *sink) stage(shard Shard) (Stage, error) { return &sinkStage{sink: s, shard: shard}, nil }

type sinkStage struct {
	sink  *sink
	shard Shard
	held  int
}

func (st *sinkStage) note(what string) {
	st.sink.mu.Lock()
	defer st.sink.mu.Unlock()
	st.sink.log = append(st.sink.log, what+" "+st.shard.ID)
}

func (st *sinkStage) Open(_ context.Context, shard Shard) (nagare.Position, error) {
	st.note("open")
	if st.sink.open != nil {
		return st.sink.open(shard)
	}
	return nagare.Position{}, nil
}

func (st *sinkStage) Process(_ context.Context, events []nagare.Event) error {
	now := time.Now()
	if st.sink.process != nil {
		if err := st.sink.process(st.shard, events); err != nil {
			return err
		}
	}
	st.sink.mu.Lock()
	defer st.sink.mu.Unlock()
	for _, ev := range events {
		st.sink.events = append(st.sink.events, ev)
		if at, err := time.Parse(time.RFC3339Nano, string(ev.Body)); err == nil {
			st.sink.latency = append(st.sink.latency, now.Sub(at))
		}
	}
	st.held += len(events)
	return nil
}

func (st *sinkStage) Flush(_ context.Context, to nagare.Position, end bool) error {
	if st.sink.flush != nil {
		if err := st.sink.flush(st.shard, to, end); err != nil {
			return err
		}
	}
	if end {
		st.note("end")
	}
	st.sink.mu.Lock()
	defer st.sink.mu.Unlock()
	st.sink.durable += st.held
	st.held = 0
	return nil
}

func (st *sinkStage) Drop() { st.note("drop") }

func (s *sink) has(n int) func() bool {
	return func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		return len(s.events) >= n
	}
}

// counts says how often each uid was processed.
func (s *sink) counts() map[string]int {
	s.mu.Lock()
	defer s.mu.Unlock()
	m := map[string]int{}
	for _, ev := range s.events {
		m[ev.UID]++
	}
	return m
}

func (s *sink) lines() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]string(nil), s.log...)
}

// wantAll checks that every uid of 0..n-1 came, at most most times.
func (s *sink) wantAll(t *testing.T, n, most int) {
	t.Helper()
	counts := s.counts()
	missing, doubled := 0, 0
	for i := range n {
		switch c := counts[fmt.Sprint("e", i)]; {
		case c == 0:
			missing++
		case c > most:
			doubled++
		}
	}
	if missing > 0 || doubled > 0 || len(counts) != n {
		t.Errorf("%d events: %d missing, %d more than %d times, %d different", n, missing, doubled, most, len(counts))
	}
}

func (s *sink) percentile(p float64) time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.latency) == 0 {
		return 0
	}
	l := append([]time.Duration(nil), s.latency...)
	for i := range l { // insertion is fine for a test's few
		for j := i; j > 0 && l[j] < l[j-1]; j-- {
			l[j], l[j-1] = l[j-1], l[j]
		}
	}
	return l[min(int(p*float64(len(l))), len(l)-1)].Round(100 * time.Microsecond)
}
