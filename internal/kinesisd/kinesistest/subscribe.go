package kinesistest

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"
	"github.com/google/go-cmp/cmp"
)

// register registers a consumer and waits until it is active.
func (f *fixture) register(name string) *string {
	f.t.Helper()
	out, err := f.c.RegisterStreamConsumer(f.t.Context(), &kinesis.RegisterStreamConsumerInput{StreamARN: f.describe().StreamARN, ConsumerName: &name})
	f.must(err)
	for status := out.Consumer.ConsumerStatus; status != types.ConsumerStatusActive; {
		time.Sleep(200 * time.Millisecond)
		d, err := f.c.DescribeStreamConsumer(f.t.Context(), &kinesis.DescribeStreamConsumerInput{ConsumerARN: out.Consumer.ConsumerARN})
		f.must(err)
		status = d.ConsumerDescription.ConsumerStatus
	}
	return out.Consumer.ConsumerARN
}

// subscribe opens a subscription that ends with the test.
func (f *fixture) subscribe(consumer, shard *string, from types.StartingPosition) *kinesis.SubscribeToShardEventStream {
	f.t.Helper()
	// A client of its own: the event streams of one client share a buffer
	// without a lock (smithy-go v1.28.9), which the race detector sees.
	out, err := kinesis.New(f.c.Options()).SubscribeToShard(f.t.Context(), &kinesis.SubscribeToShardInput{ConsumerARN: consumer, ShardId: shard, StartingPosition: &from})
	f.must(err)
	s := out.GetStream()
	f.t.Cleanup(func() { _ = s.Close() })
	return s
}

// events takes events until it has so many records.
func (f *fixture) events(s *kinesis.SubscribeToShardEventStream, want int) (records []types.Record, last types.SubscribeToShardEvent) {
	f.t.Helper()
	ctx, cancel := context.WithTimeout(f.t.Context(), 20*time.Second)
	defer cancel()
	for {
		select {
		case e, ok := <-s.Events():
			if !ok {
				f.t.Fatalf("the subscription ended after %d of %d records: %v", len(records), want, s.Err())
			}
			last = e.(*types.SubscribeToShardEventStreamMemberSubscribeToShardEvent).Value
			if last.MillisBehindLatest == nil {
				f.t.Fatal("an event says no MillisBehindLatest")
			}
			records = append(records, last.Records...)
		case <-ctx.Done():
			f.t.Fatalf("%d of %d records came", len(records), want)
		}
		if len(records) >= want {
			return records, last
		}
	}
}

// testConsumers registers, finds, lists and deregisters consumers.
func testConsumers(t *testing.T, f *fixture) {
	f.create(1)
	arn := f.describe().StreamARN
	_, err := f.c.DescribeStreamConsumer(t.Context(), &kinesis.DescribeStreamConsumerInput{StreamARN: arn, ConsumerName: aws.String("absent")})
	wantError(t, err, "ResourceNotFoundException")
	first := f.register("first")
	_, err = f.c.RegisterStreamConsumer(t.Context(), &kinesis.RegisterStreamConsumerInput{StreamARN: arn, ConsumerName: aws.String("first")})
	wantError(t, err, "ResourceInUseException")
	d, err := f.c.DescribeStreamConsumer(t.Context(), &kinesis.DescribeStreamConsumerInput{StreamARN: arn, ConsumerName: aws.String("first")})
	f.must(err)
	if c := d.ConsumerDescription; *c.ConsumerARN != *first || *c.StreamARN != *arn || *c.ConsumerName != "first" || c.ConsumerStatus != types.ConsumerStatusActive {
		t.Errorf("consumer is %+v", c)
	}
	f.register("second")
	f.register("third")
	got := map[string]bool{}
	in := &kinesis.ListStreamConsumersInput{StreamARN: arn, MaxResults: aws.Int32(2)}
	for {
		out, err := f.c.ListStreamConsumers(t.Context(), in)
		f.must(err)
		for _, c := range out.Consumers {
			got[*c.ConsumerName] = true
		}
		if out.NextToken == nil {
			break
		}
		in.NextToken = out.NextToken
	}
	if d := cmp.Diff(map[string]bool{"first": true, "second": true, "third": true}, got); d != "" {
		t.Errorf("consumers (-want +got):\n%s", d)
	}
	_, err = f.c.DeregisterStreamConsumer(t.Context(), &kinesis.DeregisterStreamConsumerInput{ConsumerARN: first})
	f.must(err)
	for range 50 {
		if _, err = f.c.DescribeStreamConsumer(t.Context(), &kinesis.DescribeStreamConsumerInput{ConsumerARN: first}); err != nil {
			break
		}
		time.Sleep(200 * time.Millisecond)
	}
	wantError(t, err, "ResourceNotFoundException")
}

// testSubscribe gets what is there and what comes, then goes on where a
// subscription left off.
func testSubscribe(t *testing.T, f *fixture) {
	sh := f.create(1)[0]
	consumer := f.register("reader")
	before := numbered(0, 20)
	f.putAll(sh, before...)
	s := f.subscribe(consumer, sh.ShardId, types.StartingPosition{Type: types.ShardIteratorTypeTrimHorizon})
	got, _ := f.events(s, 20)
	if d := cmp.Diff(before, dataOf(got)); d != "" {
		t.Fatalf("what was there (-want +got):\n%s", d)
	}
	var last types.SubscribeToShardEvent
	for i := range 5 {
		want := fmt.Sprintf("live %d", i)
		f.put(sh, want)
		got, last = f.events(s, 1)
		if d := cmp.Diff([]string{want}, dataOf(got)); d != "" {
			t.Fatalf("what came (-want +got):\n%s", d)
		}
	}
	f.must(s.Close())
	f.put(sh, "missed")
	// Another consumer, since the first has to wait five seconds.
	s = f.subscribe(f.register("other"), sh.ShardId, types.StartingPosition{Type: types.ShardIteratorTypeAfterSequenceNumber, SequenceNumber: last.ContinuationSequenceNumber})
	got, _ = f.events(s, 1)
	if d := cmp.Diff([]string{"missed"}, dataOf(got)); d != "" {
		t.Errorf("what was missed (-want +got):\n%s", d)
	}
}

// testSubscribePositions starts at each kind of position, and uses a
// continuation from before the first record.
func testSubscribePositions(t *testing.T, f *fixture) {
	sh := f.create(1)[0]
	s := f.subscribe(f.register("empty"), sh.ShardId, types.StartingPosition{Type: types.ShardIteratorTypeTrimHorizon})
	_, first := f.events(s, 0)
	numbers := f.putAll(sh, numbered(0, 3)...)
	records, _ := f.read(f.horizon(sh.ShardId), 3)
	tests := []struct {
		name string
		from types.StartingPosition
		want []string
	}{
		{"continuation", types.StartingPosition{Type: types.ShardIteratorTypeAfterSequenceNumber, SequenceNumber: first.ContinuationSequenceNumber}, numbered(0, 3)},
		{"horizon", types.StartingPosition{Type: types.ShardIteratorTypeTrimHorizon}, numbered(0, 3)},
		{"at", types.StartingPosition{Type: types.ShardIteratorTypeAtSequenceNumber, SequenceNumber: &numbers[1]}, numbered(1, 2)},
		{"after", types.StartingPosition{Type: types.ShardIteratorTypeAfterSequenceNumber, SequenceNumber: &numbers[1]}, numbered(2, 1)},
		{"time", types.StartingPosition{Type: types.ShardIteratorTypeAtTimestamp, Timestamp: records[0].ApproximateArrivalTimestamp}, numbered(0, 3)},
	}
	for _, tt := range tests {
		got, last := f.events(f.subscribe(f.register(tt.name), sh.ShardId, tt.from), len(tt.want))
		if d := cmp.Diff(tt.want, dataOf(got)); d != "" {
			t.Errorf("%s (-want +got):\n%s", tt.name, d)
		}
		if *last.MillisBehindLatest != 0 || last.ContinuationSequenceNumber == nil {
			t.Errorf("%s: at the tip, %d ms behind, continuation %v", tt.name, *last.MillisBehindLatest, last.ContinuationSequenceNumber)
		}
	}
	latest := f.subscribe(f.register("latest"), sh.ShardId, types.StartingPosition{Type: types.ShardIteratorTypeLatest})
	f.put(sh, "new")
	if got, _ := f.events(latest, 1); string(got[0].Data) != "new" {
		t.Errorf("latest begins with %q", got[0].Data)
	}
}

// testSubscribeEnd subscribes to a shard that is split meanwhile: the last
// event has the children, and the stream ends without an error.
func testSubscribeEnd(t *testing.T, f *fixture) {
	sh := f.create(1)[0]
	s := f.subscribe(f.register("reader"), sh.ShardId, types.StartingPosition{Type: types.ShardIteratorTypeTrimHorizon})
	f.put(sh, "last")
	f.events(s, 1)
	low, high := f.split(sh)
	timeout := time.After(20 * time.Second)
	var last types.SubscribeToShardEvent
	for open := true; open; {
		select {
		case e, ok := <-s.Events():
			if open = ok; ok {
				last = e.(*types.SubscribeToShardEventStreamMemberSubscribeToShardEvent).Value
			}
		case <-timeout:
			t.Fatal("the subscription goes on after the end of its shard")
		}
	}
	if err := s.Err(); err != nil {
		t.Errorf("the subscription ended with %v", err)
	}
	got := []string{}
	for _, c := range last.ChildShards {
		got = append(got, *c.ShardId)
		if d := cmp.Diff([]string{*sh.ShardId}, c.ParentShards); d != "" {
			t.Errorf("parents of %s (-want +got):\n%s", *c.ShardId, d)
		}
	}
	if d := cmp.Diff([]string{*low.ShardId, *high.ShardId}, got); d != "" {
		t.Errorf("children (-want +got):\n%s", d)
	}
	if last.ContinuationSequenceNumber != nil {
		t.Errorf("the end continues at %s", *last.ContinuationSequenceNumber)
	}
}

// testSubscribeTwice is refused a second subscription at once, but not
// another shard or consumer.
func testSubscribeTwice(t *testing.T, f *fixture) {
	shards := f.create(2)
	consumer := f.register("reader")
	from := types.StartingPosition{Type: types.ShardIteratorTypeLatest}
	s := f.subscribe(consumer, shards[0].ShardId, from)
	_, err := f.c.SubscribeToShard(t.Context(), &kinesis.SubscribeToShardInput{ConsumerARN: consumer, ShardId: shards[0].ShardId, StartingPosition: &from})
	wantError(t, err, "ResourceInUseException")
	f.subscribe(consumer, shards[1].ShardId, from)
	f.subscribe(f.register("other"), shards[0].ShardId, from)
	f.put(shards[0], "to the first")
	if got, _ := f.events(s, 1); string(got[0].Data) != "to the first" {
		t.Errorf("got %q", got[0].Data)
	}
}
