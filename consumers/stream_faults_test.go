package consumers

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"

	"nagare"
	"nagare/internal/coord"
	"nagare/internal/kinesisd"
)

// answering is an HTTP client that answers some calls itself: those for which
// answer returns a body.
type answering struct {
	answer func(action, body string) string
}

func (a answering) Do(req *http.Request) (*http.Response, error) {
	body, err := io.ReadAll(req.Body)
	if err != nil {
		return nil, err
	}
	_, action, _ := strings.Cut(req.Header.Get("X-Amz-Target"), ".")
	if text := a.answer(action, string(body)); text != "" {
		return &http.Response{StatusCode: http.StatusOK, Header: http.Header{"Content-Type": {"application/x-amz-json-1.1"}},
			Body: io.NopCloser(strings.NewReader(text)), Request: req}, nil
	}
	req.Body = io.NopCloser(strings.NewReader(string(body)))
	return http.DefaultClient.Do(req)
}

// TestRunReadsEmptyPages: pages without records are not the end of a shard, as
// long as they lead somewhere.
func TestRunReadsEmptyPages(t *testing.T) {
	t.Parallel()
	r := newRig(t, 1, kinesisd.Config{})
	var pages atomic.Int32
	pages.Store(100)
	r.cfg.HTTPClient = answering{func(action, body string) string {
		if action != "GetRecords" {
			return ""
		}
		if n := pages.Add(1); n < 8 {
			return fmt.Sprintf(`{"Records":[],"MillisBehindLatest":%d,"NextShardIterator":%s`, 100_000-n*1000, body[strings.Index(body, `"ShardIterator":`)+len(`"ShardIterator":`):])
		}
		return ""
	}}
	var s sink
	stop := r.start(Config{Sole: true}, &s)
	r.put("e0")
	eventually(t, "the first event is here", s.has(1))
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	pages.Store(0)
	r.put("e1")
	mon := &Monitor{}
	r.start(Config{Sole: true, Monitor: mon, silence: 50 * time.Millisecond}, &s)
	eventually(t, "the event behind them is here", s.has(2))
	if h := mon.Health(); h.Counts.Gaps != 0 || h.Counts.LeasesTaken != 1 {
		t.Errorf("%d gaps, %d sessions; want 0, 1", h.Counts.Gaps, h.Counts.LeasesTaken)
	}
}

// TestRunStartsChildrenWhole: an application that begins at the tip reads
// children from their first record, however late it finds them.
func TestRunStartsChildrenWhole(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, fanOut bool) {
		r := newRig(t, 1, kinesisd.Config{})
		r.put("old")
		time.Sleep(5 * time.Millisecond)
		// The parent takes its time to end; meanwhile its children get records.
		release := make(chan struct{})
		s := sink{flush: func(_ Shard, _ nagare.Position, end bool) error {
			if end {
				<-release
			}
			return nil
		}}
		mon := &Monitor{}
		r.start(Config{FanOut: fanOut, Start: Start{Time: time.Now()}, Monitor: mon}, &s)
		eventually(t, "the shard is open", func() bool { return len(s.lines()) == 1 })
		r.split("shardId-000000000000")
		const n = 20
		for i := range n {
			r.put(fmt.Sprint("e", i))
		}
		time.Sleep(20 * time.Millisecond)
		close(release)
		eventually(t, "all are here", s.has(n))
		s.wantAll(t, n, 1)
	})
}

// TestRunFollowsNewStream: a stream that is deleted and made again under its
// name is read from its beginning, whatever was checkpointed on the old one.
func TestRunFollowsNewStream(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, fanOut bool) {
		r := newRig(t, 2, kinesisd.Config{SubscriptionGap: time.Millisecond, Heartbeat: 50 * time.Millisecond})
		var s sink
		mon := &Monitor{}
		stop := r.start(Config{FanOut: fanOut, Monitor: mon, floor: 10 * time.Millisecond, silence: 300 * time.Millisecond}, &s)
		const n = 20
		for i := range n {
			r.put(fmt.Sprint("e", i))
		}
		eventually(t, "all are here", s.has(n))
		old := streamID(t, r)
		if _, err := r.client.DeleteStream(t.Context(), &kinesis.DeleteStreamInput{StreamName: &r.stream, EnforceConsumerDeletion: aws.Bool(true)}); err != nil {
			t.Fatal(err)
		}
		eventually(t, "health says that the stream is gone", func() bool {
			h := mon.Health()
			return !h.Ready && h.Reason != ""
		})
		eventually(t, "the stream is made again, in another second", func() bool {
			_, err := r.client.CreateStream(t.Context(), &kinesis.CreateStreamInput{StreamName: &r.stream, ShardCount: aws.Int32(2)})
			var busy *types.ResourceInUseException
			if errors.As(err, &busy) {
				r.settled()
				if id, err := StreamID(t.Context(), r.cfg, r.stream); err == nil && id != old {
					return true
				}
				_, _ = r.client.DeleteStream(t.Context(), &kinesis.DeleteStreamInput{StreamName: &r.stream, EnforceConsumerDeletion: aws.Bool(true)})
			}
			return false
		})
		for i := n; i < 2*n; i++ {
			r.put(fmt.Sprint("e", i))
		}
		eventually(t, "all of the new stream are here", func() bool { return len(s.counts()) == 2*n })
		if err := stop(); err != nil {
			t.Error(err)
		}
		s.wantAll(t, 2*n, 1)
		if id := streamID(t, r); id == old || s.events[2*n-1].Pos.Stream != id {
			t.Errorf("the last event is of %s; the stream was %s and is %s", s.events[2*n-1].Pos.Stream, old, id)
		}
	})
}

// TestRunGoesOnAfterTrimming: a place that the stream has no more is left for
// the oldest record there is, and health says so.
func TestRunGoesOnAfterTrimming(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		fanOut bool
		fault  func(action, body string) kinesisd.Fault
		answer func(action, body string) string
	}{
		"polling, refused": {fault: func(action, body string) kinesisd.Fault {
			if action == "GetShardIterator" && strings.Contains(body, "AFTER_SEQUENCE_NUMBER") {
				return kinesisd.Fault{Error: "InvalidArgumentException"}
			}
			return kinesisd.Fault{}
		}},
		"fan-out, refused": {fanOut: true, fault: func(action, body string) kinesisd.Fault {
			if action == "SubscribeToShard" && strings.Contains(body, "AFTER_SEQUENCE_NUMBER") {
				return kinesisd.Fault{Error: "InvalidArgumentException"}
			}
			return kinesisd.Fault{}
		}},
		"polling, nothing comes": {answer: emptyAfter()},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var armed atomic.Bool
			r := newRig(t, 1, kinesisd.Config{SubscriptionGap: time.Millisecond, Fault: func(action string, body []byte) kinesisd.Fault {
				if armed.Load() && c.fault != nil {
					return c.fault(action, string(body))
				}
				return kinesisd.Fault{}
			}})
			if c.answer != nil {
				r.cfg.HTTPClient = answering{func(action, body string) string {
					if armed.Load() {
						return c.answer(action, body)
					}
					return ""
				}}
			}
			cfg := Config{FanOut: c.fanOut, Sole: true, floor: 10 * time.Millisecond, silence: 200 * time.Millisecond}
			var s sink
			stop := r.start(cfg, &s)
			r.put("e0")
			eventually(t, "the first is here", s.has(1))
			if err := stop(); err != nil {
				t.Fatal(err)
			}
			armed.Store(true)
			r.put("e1")
			var after sink
			mon := &Monitor{}
			cfg.Monitor = mon
			r.start(cfg, &after)
			eventually(t, "the oldest and what follows are here", after.has(2))
			h := mon.Health()
			if h.Counts.Gaps == 0 || len(h.Shards) != 1 || h.Shards[0].Gap == "" {
				t.Errorf("health says nothing of a gap: %+v", h)
			}
			after.wantAll(t, 2, 1)
		})
	}
}

// emptyAfter makes iterators after a sequence number lead nowhere.
func emptyAfter() func(action, body string) string {
	return func(action, body string) string {
		switch {
		case action == "GetShardIterator" && strings.Contains(body, "AFTER_SEQUENCE_NUMBER"):
			return `{"ShardIterator":"nowhere"}`
		case action == "GetRecords" && strings.Contains(body, `"nowhere"`):
			return `{"Records":[],"MillisBehindLatest":86400000,"NextShardIterator":"nowhere"}`
		}
		return ""
	}
}

// TestOldCheckpointIsAGap: a checkpoint older than what the stream keeps is
// said to be one.
func TestOldCheckpointIsAGap(t *testing.T) {
	t.Parallel()
	r := newRig(t, 1, kinesisd.Config{})
	out, err := r.client.PutRecord(t.Context(), &kinesis.PutRecordInput{StreamName: &r.stream, PartitionKey: aws.String("p"), Data: []byte("x")})
	if err != nil {
		t.Fatal(err)
	}
	row := leaseRow{Checkpoint: *out.SequenceNumber, Arrived: time.Now().Add(-25 * time.Hour)}
	if _, err := coord.PutJSON(t.Context(), r.store, leasePart("test", streamID(t, r)), *out.ShardId, row, 0); err != nil {
		t.Fatal(err)
	}
	var s sink
	mon := &Monitor{}
	r.start(Config{Monitor: mon}, &s)
	eventually(t, "health says so", func() bool {
		h := mon.Health()
		return len(h.Shards) == 1 && strings.Contains(h.Shards[0].Gap, "the stream keeps records for 24h")
	})
}

// TestRunSurvivesRestart kills the server's connections and takes the server
// away for a while, under load.
func TestRunSurvivesRestart(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, fanOut bool) {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		l.Close()
		cfg := kinesisd.Config{Dir: t.TempDir(), Listen: l.Addr().String(), SubscriptionGap: time.Millisecond}
		serve := func() (stop func()) {
			s, err := kinesisd.Open(cfg)
			if err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithCancel(context.Background())
			done := make(chan error, 1)
			go func() { done <- s.Run(ctx) }()
			return func() {
				cancel()
				if err := <-done; err != nil {
					t.Error(err)
				}
			}
		}
		stopServer := serve()
		r := newRigAt(t, 2, "http://"+cfg.Listen)
		var s sink
		mon := &Monitor{}
		r.start(Config{FanOut: fanOut, Monitor: mon, floor: 10 * time.Millisecond}, &s)
		const n = 60
		for i := range n {
			if i%20 == 10 {
				stopServer()
				time.Sleep(100 * time.Millisecond)
				stopServer = serve()
			}
			r.put(fmt.Sprint("e", i))
		}
		defer stopServer()
		eventually(t, "all are here", s.has(n))
		s.wantAll(t, n, 1)
		if h := mon.Health(); h.Counts.LeasesTaken != 2 {
			t.Errorf("%d sessions, want 2", h.Counts.LeasesTaken)
		}
	})
}

// TestRunReshardsAmongWorkers splits, splits again what came of it, and merges,
// under load and with two workers: nothing is lost, nothing comes twice, and no
// worker opens a child before its parents are finished, by whomever.
func TestRunReshardsAmongWorkers(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, fanOut bool) {
		r := newRig(t, 2, kinesisd.Config{SubscriptionGap: time.Millisecond})
		var s sink
		for range 2 {
			r.start(Config{FanOut: fanOut, LeaseTime: time.Second, floor: 10 * time.Millisecond}, &s)
		}
		const n = 300
		var wg sync.WaitGroup
		defer wg.Wait() // also when something is not as it should be
		wg.Go(func() {
			for i := range n {
				r.put(fmt.Sprint("e", i))
				time.Sleep(3 * time.Millisecond)
			}
		})
		eventually(t, "some events are here", s.has(20))
		r.split("shardId-000000000000") // into 2 and 3
		eventually(t, "more events are here", s.has(90))
		r.split("shardId-000000000002") // into 4 and 5, perhaps before 2 was opened
		eventually(t, "more events are here", s.has(170))
		r.merge("shardId-000000000005", "shardId-000000000003") // into 6
		wg.Wait()
		eventually(t, "all events are here", func() bool { return len(s.counts()) == n })
		s.wantAll(t, n, 1)
		got := s.lines()
		for _, want := range [][2]string{{"0", "2"}, {"0", "3"}, {"2", "4"}, {"2", "5"}, {"5", "6"}, {"3", "6"}} {
			end, open := slices.Index(got, "end shardId-00000000000"+want[0]), slices.Index(got, "open shardId-00000000000"+want[1])
			if end < 0 || open < 0 || end > open {
				t.Errorf("shard %s ended at line %d, its child %s opened at %d of %v", want[0], end, want[1], open, got)
			}
		}
	})
}
