package kinesisd

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"
)

// BenchmarkPut has 64 writers store records of 1500 bytes: through the store
// alone, one by one; and through HTTP and the SDK, a hundred in a call. It
// reports records a second, and their ratio to the syncs a second that one
// file takes just before and after.
func BenchmarkPut(b *testing.B) {
	b.Run("store", func(b *testing.B) {
		s := openForBench(b)
		st := s.streams["bench"]
		data := make([]byte, 1500)
		var n atomic.Int64
		benchWriters(b, 64, 1, func() error {
			batch := &putBatch{stream: st, entries: make([]putEntry, 1)}
			in := &recordInput{Data: data, PartitionKey: fmt.Sprint(n.Add(1))}
			if err := batch.set(0, in, maxRecordBytes, ""); err != nil {
				return err
			}
			return s.writer.put(context.Background(), batch)
		})
	})
	for _, size := range []int{1, 100} {
		b.Run(fmt.Sprintf("http%d", size), func(b *testing.B) {
			s := openForBench(b)
			c := benchClient(s)
			data := make([]byte, 1500)
			var n atomic.Int64
			benchWriters(b, 64, size, func() error {
				in := &kinesis.PutRecordsInput{StreamName: aws.String("bench")}
				for range size {
					in.Records = append(in.Records, types.PutRecordsRequestEntry{Data: data, PartitionKey: aws.String(fmt.Sprint(n.Add(1)))})
				}
				_, err := c.PutRecords(context.Background(), in)
				return err
			})
		})
	}
}

// BenchmarkSubscribe measures from before a put until its event arrives.
func BenchmarkSubscribe(b *testing.B) {
	s := openForBench(b)
	c := benchClient(s)
	ctx := b.Context()
	reg, err := c.RegisterStreamConsumer(ctx, &kinesis.RegisterStreamConsumerInput{StreamARN: aws.String(s.streamARN("bench")), ConsumerName: aws.String("c")})
	if err != nil {
		b.Fatal(err)
	}
	sub, err := c.SubscribeToShard(ctx, &kinesis.SubscribeToShardInput{ConsumerARN: reg.Consumer.ConsumerARN, ShardId: aws.String("shardId-000000000000"),
		StartingPosition: &types.StartingPosition{Type: types.ShardIteratorTypeLatest}})
	if err != nil {
		b.Fatal(err)
	}
	defer sub.GetStream().Close()
	var took []time.Duration
	for b.Loop() {
		start := time.Now()
		_, err := c.PutRecord(ctx, &kinesis.PutRecordInput{StreamName: aws.String("bench"), Data: make([]byte, 1500), PartitionKey: aws.String("k"), ExplicitHashKey: aws.String("0")})
		if err != nil {
			b.Fatal(err)
		}
		for got := 0; got == 0; {
			e, ok := <-sub.GetStream().Events()
			if !ok {
				b.Fatal(sub.GetStream().Err())
			}
			got = len(e.(*types.SubscribeToShardEventStreamMemberSubscribeToShardEvent).Value.Records)
		}
		took = append(took, time.Since(start))
	}
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)/2].Microseconds())/1000, "p50-ms")
	b.ReportMetric(float64(took[len(took)*99/100].Microseconds())/1000, "p99-ms")
}

func openForBench(b *testing.B) *Server {
	b.Helper()
	s, err := Open(Config{Dir: b.TempDir()})
	if err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	b.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			b.Error(err)
		}
	})
	four := 4
	if _, err := s.createStream(ctx, &createStreamInput{StreamName: "bench", ShardCount: &four}); err != nil {
		b.Fatal(err)
	}
	return s
}

func benchClient(s *Server) *kinesis.Client {
	return kinesis.New(kinesis.Options{BaseEndpoint: aws.String(s.URL()), Region: "us-east-1", Credentials: credentials.NewStaticCredentialsProvider("any", "any", "")})
}

// benchWriters shares b.N records among writers that put so many at a time.
func benchWriters(b *testing.B, writers, size int, put func() error) {
	before := syncsPerSecond(b)
	b.ReportAllocs()
	b.ResetTimer()
	start := time.Now()
	var left atomic.Int64
	left.Store(int64(b.N))
	var all sync.WaitGroup
	for range writers {
		all.Go(func() {
			for left.Add(-int64(size)) > -int64(size) {
				if err := put(); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	all.Wait()
	rate := float64(b.N) / time.Since(start).Seconds()
	b.StopTimer()
	b.ReportMetric(rate, "records/s")
	b.ReportMetric(rate/((before+syncsPerSecond(b))/2), "records/sync")
}

// syncsPerSecond appends to a file and syncs it, for a quarter of a second.
func syncsPerSecond(b *testing.B) float64 {
	b.Helper()
	f, err := os.Create(filepath.Join(b.TempDir(), "syncs"))
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	data, n, start := make([]byte, 1500), 0, time.Now()
	for time.Since(start) < 250*time.Millisecond {
		if _, err := f.Write(data); err != nil {
			b.Fatal(err)
		}
		if err := f.Sync(); err != nil {
			b.Fatal(err)
		}
		n++
	}
	return float64(n) / time.Since(start).Seconds()
}
