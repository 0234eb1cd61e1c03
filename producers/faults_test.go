package producers_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"

	"nagare"
	"nagare/internal/frame"
	"nagare/internal/kinesisd"
	"nagare/producers"
)

// A faulty is the embedded Kinesis, with things that go wrong, and a client
// that leaves every retry to us.
type faulty struct {
	t      *testing.T
	faults *kinesisd.Faults
	client *kinesis.Client
}

func serveFaulty(t *testing.T, limits bool) *faulty {
	t.Helper()
	f := &faulty{t: t, faults: &kinesisd.Faults{}}
	server, err := kinesisd.Open(kinesisd.Config{Dir: t.TempDir(), Faults: f.faults, Limits: limits})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- server.Run(ctx) }()
	transport := &http.Transport{}
	t.Cleanup(func() {
		transport.CloseIdleConnections() // a stopping server waits for those that were never used
		cancel()
		<-done
	})
	f.client = kinesis.New(kinesis.Options{
		Region: "us-east-1", BaseEndpoint: aws.String(server.URL()), Retryer: aws.NopRetryer{},
		Credentials: credentials.NewStaticCredentialsProvider("k", "s", ""), HTTPClient: &http.Client{Transport: transport},
	})
	return f
}

// stream makes a stream of two shards.
func (f *faulty) stream(name string) {
	f.t.Helper()
	if _, err := f.client.CreateStream(f.t.Context(), &kinesis.CreateStreamInput{StreamName: &name, ShardCount: aws.Int32(2)}); err != nil {
		f.t.Fatal(err)
	}
	f.active(name)
}

func (f *faulty) active(name string) {
	f.t.Helper()
	err := kinesis.NewStreamExistsWaiter(f.client, func(o *kinesis.StreamExistsWaiterOptions) {
		o.MinDelay, o.MaxDelay = 2*time.Millisecond, 20*time.Millisecond
	}).
		Wait(f.t.Context(), &kinesis.DescribeStreamInput{StreamName: &name}, 30*time.Second)
	if err != nil {
		f.t.Fatal(err)
	}
}

// read counts the uids of a stream as a consumer does.
func (f *faulty) read(name string) map[string]int {
	f.t.Helper()
	seen := map[string]int{}
	shards, err := f.client.ListShards(f.t.Context(), &kinesis.ListShardsInput{StreamName: &name})
	if err != nil {
		f.t.Fatal(err)
	}
	for _, s := range shards.Shards {
		it, err := f.client.GetShardIterator(f.t.Context(), &kinesis.GetShardIteratorInput{StreamName: &name, ShardId: s.ShardId, ShardIteratorType: types.ShardIteratorTypeTrimHorizon})
		if err != nil {
			f.t.Fatal(err)
		}
		for next := it.ShardIterator; next != nil; {
			got, err := f.client.GetRecords(f.t.Context(), &kinesis.GetRecordsInput{ShardIterator: next})
			if err != nil {
				f.t.Fatal(err)
			}
			for _, r := range got.Records {
				events, err := frame.Decode(r.Data)
				if err != nil {
					f.t.Fatal(err)
				}
				for _, ev := range events {
					if producers.InRange(s.HashKeyRange, frame.HashKey(ev.Source, ev.UID)) {
						seen[ev.UID]++
					}
				}
			}
			next = got.NextShardIterator
			if len(got.Records) == 0 && aws.ToInt64(got.MillisBehindLatest) == 0 {
				break
			}
		}
	}
	return seen
}

func sample(from, n int) []nagare.Event {
	events := make([]nagare.Event, n)
	for i := range events {
		uid := fmt.Sprintf("uid-%d", from+i)
		events[i] = nagare.Event{ID: uid, UID: uid, Source: "okta", Body: fmt.Appendf(nil, `{"n":%d,"pad":"%0200d"}`, from+i, i)}
	}
	return events
}

// TestWriterFailEveryCall lets the n-th call fail, for every n and in every way
// that a call can, while a shard is split between two puts. Everything must be
// on the stream, and only what was done and not heard of may be there twice.
func TestWriterFailEveryCall(t *testing.T) {
	for _, tt := range []struct {
		name   string
		rule   kinesisd.Rule
		repeat bool // what was sent may be there twice
	}{
		{"internal failure", kinesisd.Rule{Fault: kinesisd.Fault{Error: "InternalFailure"}}, false},
		{"cut before", kinesisd.Rule{Fault: kinesisd.Fault{Cut: true}}, false},
		{"cut after", kinesisd.Rule{Fault: kinesisd.Fault{Drop: true}}, true},
		{"no answer", kinesisd.Rule{Fault: kinesisd.Fault{DelayAnswer: time.Minute}}, true},
		{"a record throttled", kinesisd.Rule{Action: "PutRecords", Records: true, Fault: kinesisd.Fault{Error: "ProvisionedThroughputExceededException"}}, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel() // they wait for disk and clock
			f := serveFaulty(t, false)
			for n := 1; ; n++ {
				name := fmt.Sprintf("s%d", n)
				f.stream(name)
				rule := tt.rule
				rule.Nth, rule.Stream = n, name
				var armed []*kinesisd.Armed
				for _, action := range []string{"PutRecords", "ListShards"} {
					if r := rule; r.Action == "" || r.Action == action {
						r.Action = action
						armed = append(armed, f.faults.Add(r))
					}
				}
				cfg := producers.WriterConfig{Linger: time.Millisecond, FrameBytes: 4000}
				if tt.repeat { // what does not answer is given up soon, or the test would be long
					cfg.RequestTimeout = 200 * time.Millisecond
				}
				w := producers.NewWriter(f.client, name, cfg)
				ctx, cancel := context.WithCancel(t.Context())
				done := make(chan error)
				go func() { done <- w.Run(ctx) }()
				const half = 60
				if err := w.Put(t.Context(), sample(0, half)); err != nil {
					t.Fatal(err)
				}
				if _, err := f.client.SplitShard(ctx, &kinesis.SplitShardInput{StreamName: &name, ShardToSplit: aws.String("shardId-000000000000"),
					NewStartingHashKey: aws.String("42535295865117307932921825928971026432")}); err != nil {
					t.Fatal(err)
				}
				f.active(name)
				if err := w.Put(t.Context(), sample(half, half)); err != nil {
					t.Fatal(err)
				}
				cancel()
				if err := <-done; err != nil {
					t.Error(err)
				}
				hits := 0
				for _, a := range armed {
					hits += a.Hits()
					a.Remove()
				}
				seen := f.read(name)
				for uid, times := range seen {
					if times > 1 && !tt.repeat {
						t.Errorf("call %d %s: %s is there %d times", n, tt.name, uid, times)
					}
				}
				if len(seen) != 2*half {
					t.Errorf("call %d %s: %d events are on the stream, want %d", n, tt.name, len(seen), 2*half)
				}
				if t.Failed() {
					return
				}
				if hits == 0 {
					if n < 3 {
						t.Errorf("only %d calls", n)
					}
					return
				}
			}
		})
	}
}

// TestWriterSendsOnlyWhatFailed: of 50 records 37 are refused, and 37 are sent
// again.
func TestWriterSendsOnlyWhatFailed(t *testing.T) {
	f := serveFaulty(t, false)
	name := "partial"
	if _, err := f.client.CreateStream(t.Context(), &kinesis.CreateStreamInput{StreamName: &name, ShardCount: aws.Int32(1)}); err != nil {
		t.Fatal(err)
	}
	f.active(name)
	f.faults.Add(kinesisd.Rule{Action: "PutRecords", Stream: name, Records: true, Times: 37, Fault: kinesisd.Fault{Error: "ProvisionedThroughputExceededException"}})
	all := f.faults.Add(kinesisd.Rule{Action: "PutRecords", Stream: name, Records: true, Nth: -1, Every: 1 << 30})
	w := producers.NewWriter(f.client, name, producers.WriterConfig{FrameBytes: 1, Linger: time.Millisecond})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- w.Run(ctx) }()
	if err := w.Put(ctx, sample(0, 50)); err != nil {
		t.Error(err)
	}
	cancel()
	<-done
	if n := all.Seen(); n != 50+37 {
		t.Errorf("%d records were sent, want 50 and the 37 again", n)
	}
	for uid, n := range f.read(name) {
		if n != 1 {
			t.Errorf("%s is there %d times", uid, n)
		}
	}
}

// TestSpoolAbsorbsAnOutage takes the stream away for a while and has it
// throttle afterwards: deliveries are acknowledged all the while, and all of
// them arrive.
func TestSpoolAbsorbsAnOutage(t *testing.T) {
	f := serveFaulty(t, false)
	name := "outage"
	f.stream(name)
	w := producers.NewWriter(f.client, name, producers.WriterConfig{Linger: time.Millisecond})
	spool, err := producers.OpenSpool(producers.SpoolConfig{Dir: t.TempDir(), Stream: name})
	if err != nil {
		t.Fatal(err)
	}
	ack := producers.NewAck(producers.AckConfig{Name: name, Stream: w, Spool: spool, Patience: 50 * time.Millisecond, Pause: 100 * time.Millisecond,
		Policy: func(string) string { return producers.AckEither }})
	draining, stopDraining := context.WithCancel(t.Context())
	writing, stopWriting := context.WithCancel(context.Background())
	drained, written := make(chan error), make(chan error)
	go func() { written <- w.Run(writing) }()
	go func() { drained <- spool.Run(draining, w) }()

	const puts, each = 90, 5
	var outage *kinesisd.Armed
	spooled := false
	for i := range puts {
		switch i {
		case puts / 3:
			outage = f.faults.Add(kinesisd.Rule{Action: "PutRecords", Stream: name, Fault: kinesisd.Fault{Error: "ServiceUnavailable"}})
		case 2 * puts / 3:
			f.faults.Add(kinesisd.Rule{Action: "PutRecords", Stream: name, Records: true, Every: 2, Fault: kinesisd.Fault{Error: "ProvisionedThroughputExceededException"}})
			outage.Remove()
		}
		if err := ack.Put(t.Context(), sample(i*each, each)); err != nil {
			t.Fatalf("delivery %d: %v", i, err)
		}
		spooled = spooled || spool.Waiting()
	}
	for end := time.Now().Add(30 * time.Second); spool.Waiting(); time.Sleep(5 * time.Millisecond) { // a real clock
		if time.Now().After(end) {
			t.Fatal("the spool is not drained")
		}
	}
	stopDraining()
	err = <-drained
	stopWriting()
	if err := errors.Join(err, <-written, spool.Close()); err != nil {
		t.Error(err)
	}
	if seen := f.read(name); len(seen) != puts*each || !spooled {
		t.Errorf("%d events are on the stream, want %d; the spool was used: %v", len(seen), puts*each, spooled)
	}
}
