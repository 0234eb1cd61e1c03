package producers_test

import (
	"context"
	"fmt"
	"sync"
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

// serve starts the embedded Kinesis with a stream.
func serve(t *testing.T, shards int32) *kinesis.Client {
	t.Helper()
	server, err := kinesisd.Open(kinesisd.Config{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- server.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		<-done
	})
	client := kinesis.New(kinesis.Options{
		Region: "us-east-1", BaseEndpoint: aws.String(server.URL()),
		Credentials: credentials.NewStaticCredentialsProvider("k", "s", ""),
	})
	if _, err := client.CreateStream(ctx, &kinesis.CreateStreamInput{StreamName: aws.String("nagare"), ShardCount: aws.Int32(shards)}); err != nil {
		t.Fatal(err)
	}
	wait(t, client)
	return client
}

// wait returns when the stream is not being changed.
func wait(t *testing.T, client *kinesis.Client) {
	t.Helper()
	for range 1000 {
		out, err := client.DescribeStreamSummary(t.Context(), &kinesis.DescribeStreamSummaryInput{StreamName: aws.String("nagare")})
		if err != nil {
			t.Fatal(err)
		}
		if out.StreamDescriptionSummary.StreamStatus == types.StreamStatusActive {
			return
		}
		time.Sleep(5 * time.Millisecond) // a real server on a real clock
	}
	t.Fatal("the stream does not become active")
}

// TestWriterOnKinesis writes through the AWS SDK while the stream is split,
// and reads as a consumer does: what lies outside of its shard is skipped.
func TestWriterOnKinesis(t *testing.T) {
	client := serve(t, 2)
	w := producers.NewWriter(client, "nagare", producers.WriterConfig{FrameBytes: 8 << 10, Linger: 5 * time.Millisecond})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- w.Run(ctx) }()

	const puts, each = 200, 50
	var group sync.WaitGroup
	for i := range puts {
		group.Go(func() {
			events := make([]nagare.Event, each)
			for k := range events {
				events[k] = nagare.Event{ID: "x", UID: fmt.Sprintf("%d-%d", i, k), Source: "okta", Body: fmt.Appendf(nil, `{"n":%d,"k":"%0100d"}`, i, k)}
			}
			if err := w.Put(t.Context(), events); err != nil {
				t.Error(err)
			}
		})
		if i == puts/2 {
			_, err := client.SplitShard(ctx, &kinesis.SplitShardInput{StreamName: aws.String("nagare"),
				ShardToSplit: aws.String("shardId-000000000000"), NewStartingHashKey: aws.String("42535295865117307932921825928971026432")})
			if err != nil {
				t.Error(err)
			}
		}
	}
	group.Wait()
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}

	seen := map[string]int{}
	out, err := client.ListShards(t.Context(), &kinesis.ListShardsInput{StreamName: aws.String("nagare")})
	if err != nil {
		t.Fatal(err)
	}
	if len(out.Shards) != 4 {
		t.Fatalf("%d shards, want two and two children", len(out.Shards))
	}
	for _, s := range out.Shards {
		it, err := client.GetShardIterator(t.Context(), &kinesis.GetShardIteratorInput{StreamName: aws.String("nagare"), ShardId: s.ShardId, ShardIteratorType: types.ShardIteratorTypeTrimHorizon})
		if err != nil {
			t.Fatal(err)
		}
		for next := it.ShardIterator; next != nil; {
			got, err := client.GetRecords(t.Context(), &kinesis.GetRecordsInput{ShardIterator: next})
			if err != nil {
				t.Fatal(err)
			}
			for _, r := range got.Records {
				events, err := frame.Decode(r.Data)
				if err != nil {
					t.Fatal(err)
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
	for uid, n := range seen {
		if n != 1 {
			t.Errorf("%s is there %d times", uid, n)
		}
	}
	if len(seen) != puts*each {
		t.Errorf("%d events are on the stream, want %d", len(seen), puts*each)
	}
}

func BenchmarkWriterOnKinesis(b *testing.B) {
	server, err := kinesisd.Open(kinesisd.Config{Dir: b.TempDir()})
	if err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithCancel(b.Context())
	done := make(chan error)
	go func() { done <- server.Run(ctx) }()
	defer func() { cancel(); <-done }()
	client := kinesis.New(kinesis.Options{Region: "us-east-1", BaseEndpoint: aws.String(server.URL()), Credentials: credentials.NewStaticCredentialsProvider("k", "s", "")})
	if _, err := client.CreateStream(ctx, &kinesis.CreateStreamInput{StreamName: aws.String("nagare"), ShardCount: aws.Int32(4)}); err != nil {
		b.Fatal(err)
	}
	w := producers.NewWriter(client, "nagare", producers.WriterConfig{})
	writer, stop := context.WithCancel(ctx)
	go w.Run(writer)
	defer stop()
	events := make([]nagare.Event, 4000)
	for k := range events {
		events[k] = nagare.Event{ID: "x", UID: fmt.Sprint(k), Source: "okta", Body: fmt.Appendf(nil, `{"k":"%032d","eventType":"user.session.start","actor":{"alternateId":"user%d@example.com"}}`, k, k%500)}
	}
	for b.Loop() {
		var group sync.WaitGroup
		for range 4 {
			group.Go(func() {
				if err := w.Put(ctx, events); err != nil {
					b.Error(err)
				}
			})
		}
		group.Wait()
	}
	b.ReportMetric(float64(b.N*4*len(events))/b.Elapsed().Seconds(), "events/s")
}
