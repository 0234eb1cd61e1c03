package consumers

import (
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"

	"nagare/internal/coord"
	"nagare/internal/kinesisd"
)

// TestRunSurvivesTheStream reads through errors, cut and silent connections,
// iterators and subscriptions that end: nothing is lost, nothing comes twice,
// and no session ends for it.
func TestRunSurvivesTheStream(t *testing.T) {
	t.Parallel()
	// every n-th call fails so.
	every := func(n int32, f kinesisd.Fault, actions ...string) func(string, []byte) kinesisd.Fault {
		var calls atomic.Int32
		return func(action string, _ []byte) kinesisd.Fault {
			if slices.Contains(actions, action) && calls.Add(1)%n == 0 {
				return f
			}
			return kinesisd.Fault{}
		}
	}
	first := func(f kinesisd.Fault, action string) func(string, []byte) kinesisd.Fault {
		var calls atomic.Int32
		return func(a string, _ []byte) kinesisd.Fault {
			if a == action && calls.Add(1) == 1 {
				return f
			}
			return kinesisd.Fault{}
		}
	}
	reads := []string{"GetRecords", "GetShardIterator", "ListShards"}
	for name, c := range map[string]struct {
		fanOut bool
		server kinesisd.Config
	}{
		"polling, errors":            {false, kinesisd.Config{Fault: every(3, kinesisd.Fault{Error: "InternalFailure"}, reads...)}},
		"polling, throttled":         {false, kinesisd.Config{Fault: every(3, kinesisd.Fault{Error: "ProvisionedThroughputExceededException"}, reads...)}},
		"polling, cut connections":   {false, kinesisd.Config{Fault: every(2, kinesisd.Fault{Drop: true}, reads...)}},
		"polling, expired iterators": {false, kinesisd.Config{IteratorTTL: 100 * time.Millisecond}},
		"polling, silence":           {false, kinesisd.Config{Fault: first(kinesisd.Fault{Delay: time.Hour}, "GetRecords")}},
		"fan-out, errors":            {true, kinesisd.Config{Fault: every(2, kinesisd.Fault{Error: "InternalFailure"}, "SubscribeToShard"), SubscriptionTTL: 200 * time.Millisecond}},
		"fan-out, short":             {true, kinesisd.Config{SubscriptionTTL: 100 * time.Millisecond}},
		"fan-out, cut connections":   {true, kinesisd.Config{Fault: every(2, kinesisd.Fault{Drop: true}, "SubscribeToShard"), SubscriptionTTL: 300 * time.Millisecond}},
		"fan-out, silence":           {true, kinesisd.Config{Fault: first(kinesisd.Fault{Mute: true}, "SubscribeToShard")}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c.server.SubscriptionGap = time.Millisecond
			c.server.Heartbeat = 50 * time.Millisecond
			r := newRig(t, 1, c.server)
			var s sink
			mon := &Monitor{}
			cfg := Config{FanOut: c.fanOut, Monitor: mon, floor: 10 * time.Millisecond, silence: 300 * time.Millisecond}
			stop := r.start(cfg, &s)
			const n = 60
			for i := range n {
				r.put(fmt.Sprint("e", i))
				time.Sleep(10 * time.Millisecond)
			}
			eventually(t, "all are here", s.has(n))
			if err := stop(); err != nil {
				t.Error(err)
			}
			s.wantAll(t, n, 1)
			h := mon.Health()
			if h.Counts.LeasesTaken != 1 || h.Counts.LeasesLost != 0 {
				t.Errorf("%d sessions, %d lost; want 1, 0", h.Counts.LeasesTaken, h.Counts.LeasesLost)
			}
			if h.Counts.ReadErrors == 0 && name != "fan-out, short" && name != "fan-out, cut connections" {
				t.Error("no read failed: the test tests nothing")
			}
			t.Logf("%d reads failed; max %s", h.Counts.ReadErrors, s.percentile(1))
		})
	}
}

// TestZombieDoesNotSubscribe has a worker whose lease was taken without its
// knowing, as when it was frozen: when the new owner takes the subscription,
// it must not take that back.
func TestZombieDoesNotSubscribe(t *testing.T) {
	t.Parallel()
	var subscribes atomic.Int32
	r := newRig(t, 1, kinesisd.Config{SubscriptionGap: 50 * time.Millisecond, Fault: func(action string, _ []byte) kinesisd.Fault {
		if action == "SubscribeToShard" {
			subscribes.Add(1)
		}
		return kinesisd.Fault{}
	}})
	var s sink
	r.start(Config{FanOut: true, LeaseTime: time.Hour, floor: 10 * time.Millisecond}, &s)
	r.put("e0")
	eventually(t, "an event is here", s.has(1))
	time.Sleep(200 * time.Millisecond) // the checkpoint is made: no write of its own will tell it

	part := leasePart("test", streamID(t, r))
	var row leaseRow
	v, err := coord.GetJSON(t.Context(), r.store, part, "shardId-000000000000", &row)
	if err != nil {
		t.Fatal(err)
	}
	row.Owner, row.Epoch = "the new owner", row.Epoch+1
	if _, err := coord.PutJSON(t.Context(), r.store, part, "shardId-000000000000", row, v); err != nil {
		t.Fatal(err)
	}
	arn := consumerARN(t, r)
	shard := "shardId-000000000000"
	out, err := r.client.SubscribeToShard(t.Context(), &kinesis.SubscribeToShardInput{ConsumerARN: &arn, ShardId: &shard,
		StartingPosition: &types.StartingPosition{Type: types.ShardIteratorTypeLatest}})
	if err != nil {
		t.Fatal(err)
	}
	defer out.GetStream().Close()
	eventually(t, "the zombie has dropped", func() bool { return len(s.lines()) == 2 })
	before := subscribes.Load()
	time.Sleep(500 * time.Millisecond)
	if before != 2 || subscribes.Load() != 2 {
		t.Errorf("%d, then %d subscriptions; want 2: one of the zombie, one of the owner", before, subscribes.Load())
	}
	if h := len(s.lines()); h != 2 {
		t.Errorf("the zombie came back: %v", s.lines())
	}
}

func consumerARN(t *testing.T, r *rig) string {
	t.Helper()
	info, err := describe(t.Context(), r.client, r.stream)
	if err != nil {
		t.Fatal(err)
	}
	arn, err := registerConsumer(t.Context(), r.client, info, "test")
	if err != nil {
		t.Fatal(err)
	}
	return arn
}
