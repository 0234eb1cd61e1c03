package kinesisd_test

import (
	"errors"
	"fmt"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"
	"github.com/aws/smithy-go"

	"nagare/internal/kinesisd"
	"nagare/internal/kinesisd/kinesistest"
)

const arn = "arn:aws:kinesis:us-east-1:000000000000:stream/s"

// reader is a server with a stream "s" of one shard and a consumer.
type reader struct {
	t        *testing.T
	s        *kinesisd.Server
	c        *kinesis.Client
	consumer *string
}

func newReader(t *testing.T, cfg kinesisd.Config) *reader {
	t.Helper()
	s := kinesistest.Start(t, cfg)
	c := kinesistest.Client(s.URL())
	kinesistest.CreateStream(t, c, "s", 1)
	out, err := c.RegisterStreamConsumer(t.Context(), &kinesis.RegisterStreamConsumerInput{StreamARN: aws.String(arn), ConsumerName: aws.String("c")})
	if err != nil {
		t.Fatal(err)
	}
	return &reader{t, s, c, out.Consumer.ConsumerARN}
}

func (r *reader) subscribe() (*kinesis.SubscribeToShardEventStream, error) {
	out, err := kinesis.New(r.c.Options()).SubscribeToShard(r.t.Context(), &kinesis.SubscribeToShardInput{
		ConsumerARN: r.consumer, ShardId: aws.String("shardId-000000000000"), StartingPosition: &types.StartingPosition{Type: types.ShardIteratorTypeTrimHorizon},
	})
	if err != nil {
		return nil, err
	}
	r.t.Cleanup(func() { _ = out.GetStream().Close() })
	return out.GetStream(), nil
}

func (r *reader) mustSubscribe() *kinesis.SubscribeToShardEventStream {
	r.t.Helper()
	s, err := r.subscribe()
	if err != nil {
		r.t.Fatal(err)
	}
	return s
}

func (r *reader) put(data string) error {
	_, err := r.c.PutRecord(r.t.Context(), &kinesis.PutRecordInput{StreamName: aws.String("s"), PartitionKey: aws.String("k"), Data: []byte(data)},
		func(o *kinesis.Options) { o.Retryer = aws.NopRetryer{} })
	return err
}

// next takes an event; ok is false at the end of the stream.
func (r *reader) next(s *kinesis.SubscribeToShardEventStream) (e types.SubscribeToShardEvent, ok bool) {
	r.t.Helper()
	select {
	case got, ok := <-s.Events():
		if !ok {
			return e, false
		}
		return got.(*types.SubscribeToShardEventStreamMemberSubscribeToShardEvent).Value, true
	case <-time.After(10 * time.Second):
		r.t.Fatal("no event within ten seconds")
	}
	return e, false
}

func code(err error) string {
	var e smithy.APIError
	if errors.As(err, &e) {
		return e.ErrorCode()
	}
	return fmt.Sprint(err)
}

// TestHeartbeat gets empty events while nothing happens, each with a
// continuation.
func TestHeartbeat(t *testing.T) {
	r := newReader(t, kinesisd.Config{Heartbeat: 20 * time.Millisecond})
	s := r.mustSubscribe()
	for i := range 4 {
		e, ok := r.next(s)
		if !ok || len(e.Records) != 0 || e.ContinuationSequenceNumber == nil || *e.MillisBehindLatest != 0 {
			t.Fatalf("event %d is %+v, %v", i, e, ok)
		}
	}
}

// TestSubscriptionEnds ends without an error after its time, and the next one
// goes on.
func TestSubscriptionEnds(t *testing.T) {
	r := newReader(t, kinesisd.Config{SubscriptionTTL: 50 * time.Millisecond, SubscriptionGap: time.Nanosecond})
	for round := range 2 {
		if err := r.put(fmt.Sprint(round)); err != nil {
			t.Fatal(err)
		}
		s, start, records := r.mustSubscribe(), time.Now(), 0
		for {
			e, ok := r.next(s)
			if !ok {
				break
			}
			records += len(e.Records)
		}
		if took := time.Since(start); s.Err() != nil || records != round+1 || took < 40*time.Millisecond {
			t.Errorf("ended after %v with %d records: %v", took, records, s.Err())
		}
	}
}

// TestTakeOver refuses a second subscription for the gap, even of one that has
// ended, then lets it take over.
func TestTakeOver(t *testing.T) {
	r := newReader(t, kinesisd.Config{SubscriptionGap: 300 * time.Millisecond})
	start := time.Now()
	first := r.mustSubscribe()
	r.next(first)
	_, err := r.subscribe()
	if code(err) != "ResourceInUseException" {
		t.Errorf("second subscription: %v", err)
	}
	var second *kinesis.SubscribeToShardEventStream
	for {
		if second, err = r.subscribe(); err == nil {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	if took := time.Since(start); took < 300*time.Millisecond {
		t.Errorf("taken over after %v", took)
	}
	if _, ok := r.next(first); ok || code(first.Err()) != "ResourceInUseException" {
		t.Errorf("the first subscription ended with %v", first.Err())
	}
	r.next(second)
	if err := r.put("x"); err != nil {
		t.Fatal(err)
	}
	if e, ok := r.next(second); !ok || len(e.Records) != 1 {
		t.Errorf("the second subscription got %+v, %v", e, ok)
	}
	if err := second.Close(); err != nil {
		t.Errorf("close: %v", err)
	}
	if _, err := r.subscribe(); code(err) != "ResourceInUseException" {
		t.Errorf("third subscription, right after the second ended: %v", err)
	}
}

// TestSubscriptionIsToldWhatIsGone ends when its consumer or stream goes.
func TestSubscriptionIsToldWhatIsGone(t *testing.T) {
	gone := map[string]func(r *reader) error{
		"consumer": func(r *reader) error {
			_, err := r.c.DeregisterStreamConsumer(r.t.Context(), &kinesis.DeregisterStreamConsumerInput{ConsumerARN: r.consumer})
			return err
		},
		"stream": func(r *reader) error {
			_, err := r.c.DeleteStream(r.t.Context(), &kinesis.DeleteStreamInput{StreamName: aws.String("s"), EnforceConsumerDeletion: aws.Bool(true)})
			return err
		},
	}
	for name, remove := range gone {
		t.Run(name, func(t *testing.T) {
			r := newReader(t, kinesisd.Config{})
			s := r.mustSubscribe()
			r.next(s)
			if err := remove(r); err != nil {
				t.Fatal(err)
			}
			if _, ok := r.next(s); ok || code(s.Err()) != "ResourceNotFoundException" {
				t.Errorf("the subscription ended with %v", s.Err())
			}
		})
	}
}

// TestStopEndsSubscriptions stops a server at once although somebody is
// subscribed, and the stream ends without an error.
func TestStopEndsSubscriptions(t *testing.T) {
	r := newReader(t, kinesisd.Config{})
	s := r.mustSubscribe()
	r.next(s)
	start := time.Now()
	if err := r.s.Close(); err != nil {
		t.Error(err)
	}
	if took := time.Since(start); took > 3*time.Second {
		t.Errorf("close took %v", took)
	}
	if _, ok := r.next(s); ok || s.Err() != nil {
		t.Errorf("the subscription ended with %v", s.Err())
	}
}

// TestFaults injects each kind.
func TestFaults(t *testing.T) {
	var fault atomic.Pointer[kinesisd.Fault]
	var seen atomic.Int64
	arm := func(f kinesisd.Fault) { fault.Store(&f) }
	r := newReader(t, kinesisd.Config{Fault: func(action string, body []byte) kinesisd.Fault {
		if action != "PutRecord" && action != "PutRecords" && action != "SubscribeToShard" {
			return kinesisd.Fault{}
		}
		seen.Add(int64(len(body)))
		if f := fault.Swap(nil); f != nil {
			return *f
		}
		return kinesisd.Fault{}
	}})
	arm(kinesisd.Fault{Error: "ProvisionedThroughputExceededException"})
	if got := code(r.put("throttled")); got != "ProvisionedThroughputExceededException" {
		t.Errorf("throttled put: %s", got)
	}
	arm(kinesisd.Fault{Error: "InternalFailure"})
	var answer *awshttp.ResponseError
	if err := r.put("failed"); code(err) != "InternalFailure" || !errors.As(err, &answer) || answer.HTTPStatusCode() != http.StatusInternalServerError {
		t.Errorf("failed put: %v", err)
	}
	arm(kinesisd.Fault{Delay: 50 * time.Millisecond})
	if start := time.Now(); r.put("late") != nil || time.Since(start) < 50*time.Millisecond {
		t.Errorf("delayed put took %v", time.Since(start))
	}
	arm(kinesisd.Fault{Drop: true})
	if err := r.put("dropped"); err == nil {
		t.Error("dropped put was answered for")
	}
	arm(kinesisd.Fault{Record: func(i int) string {
		if i == 1 {
			return "ProvisionedThroughputExceededException"
		}
		return ""
	}})
	entry := func(data string) types.PutRecordsRequestEntry {
		return types.PutRecordsRequestEntry{PartitionKey: aws.String("k"), Data: []byte(data)}
	}
	out, err := r.c.PutRecords(t.Context(), &kinesis.PutRecordsInput{StreamName: aws.String("s"), Records: []types.PutRecordsRequestEntry{entry("first"), entry("second"), entry("third")}})
	if err != nil || *out.FailedRecordCount != 1 || aws.ToString(out.Records[1].ErrorCode) != "ProvisionedThroughputExceededException" || out.Records[2].SequenceNumber == nil {
		t.Errorf("one of three failed: %+v, %v", out, err)
	}
	arm(kinesisd.Fault{Drop: true})
	s := r.mustSubscribe()
	e, _ := r.next(s)
	var got []string
	for _, rec := range e.Records {
		got = append(got, string(rec.Data))
	}
	if want := []string{"late", "dropped", "first", "third"}; fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("stored are %v, want %v", got, want)
	}
	// The SDK takes a cut between two events for an end.
	if e, ok := r.next(s); ok {
		t.Errorf("the dropped subscription goes on with %+v", e)
	}
	if seen.Load() == 0 {
		t.Error("the hook saw no bodies")
	}
}

// TestMute keeps a subscription open without a word.
func TestMute(t *testing.T) {
	r := newReader(t, kinesisd.Config{Heartbeat: time.Millisecond, Fault: func(action string, _ []byte) kinesisd.Fault {
		return kinesisd.Fault{Mute: action == "SubscribeToShard"}
	}})
	s := r.mustSubscribe()
	if err := r.put("x"); err != nil {
		t.Fatal(err)
	}
	select {
	case e, ok := <-s.Events():
		t.Errorf("got %v, %v", e, ok)
	case <-time.After(50 * time.Millisecond):
	}
}

// TestLargeBacklog sends more than one event holds, and a consumer that lags is
// told by how much.
func TestLargeBacklog(t *testing.T) {
	for _, tail := range []int{1, 64 << 20} {
		r := newReader(t, kinesisd.Config{TailBytes: tail})
		const records = 40
		for i := range records {
			if err := r.put(fmt.Sprintf("%0200000d", i)); err != nil {
				t.Fatal(err)
			}
		}
		s := r.mustSubscribe()
		n, events := 0, 0
		for n < records {
			e, ok := r.next(s)
			if !ok {
				t.Fatal(s.Err())
			}
			for _, rec := range e.Records {
				if want := fmt.Sprintf("%0200000d", n); string(rec.Data) != want {
					t.Fatalf("record %d is %.20q…", n, rec.Data)
				}
				n++
			}
			if behind := *e.MillisBehindLatest > 0; behind != (n < records) {
				t.Errorf("%d ms behind after %d of %d records", *e.MillisBehindLatest, n, records)
			}
			events++
		}
		if events < records/5 {
			t.Errorf("%d records of 200 kB came in %d events", records, events)
		}
	}
}
