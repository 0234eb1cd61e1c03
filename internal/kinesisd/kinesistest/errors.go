package kinesistest

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"
)

// testErrors makes every mistake a client is likely to make.
func testErrors(t *testing.T, f *fixture) {
	sh := f.create(2)[0]
	ctx, name := t.Context(), &f.stream
	absent := aws.String("nagare-no-such-stream")
	key, data := aws.String("k"), []byte("x")
	entry := types.PutRecordsRequestEntry{PartitionKey: key, Data: data}
	tests := []struct {
		name, want string
		call       func() error
	}{
		{"stream exists", "ResourceInUseException", func() error {
			_, err := f.c.CreateStream(ctx, &kinesis.CreateStreamInput{StreamName: name, ShardCount: aws.Int32(1)})
			return err
		}},
		{"bad stream name", "ValidationException", func() error {
			_, err := f.c.CreateStream(ctx, &kinesis.CreateStreamInput{StreamName: aws.String("a b"), ShardCount: aws.Int32(1)})
			return err
		}},
		{"no such stream to describe", "ResourceNotFoundException", func() error {
			_, err := f.c.DescribeStreamSummary(ctx, &kinesis.DescribeStreamSummaryInput{StreamName: absent})
			return err
		}},
		{"no such stream to list", "ResourceNotFoundException", func() error {
			_, err := f.c.ListShards(ctx, &kinesis.ListShardsInput{StreamName: absent})
			return err
		}},
		{"no such stream to put to", "ResourceNotFoundException", func() error {
			_, err := f.c.PutRecord(ctx, &kinesis.PutRecordInput{StreamName: absent, PartitionKey: key, Data: data})
			return err
		}},
		{"no such stream to delete", "ResourceNotFoundException", func() error {
			_, err := f.c.DeleteStream(ctx, &kinesis.DeleteStreamInput{StreamName: absent})
			return err
		}},
		{"no such shard", "ResourceNotFoundException", func() error {
			_, err := f.c.GetShardIterator(ctx, &kinesis.GetShardIteratorInput{StreamName: name, ShardId: aws.String("shardId-000000000099"), ShardIteratorType: types.ShardIteratorTypeLatest})
			return err
		}},
		{"sequence number of elsewhere", "InvalidArgumentException", func() error {
			_, err := f.c.GetShardIterator(ctx, &kinesis.GetShardIteratorInput{StreamName: name, ShardId: sh.ShardId, ShardIteratorType: types.ShardIteratorTypeAtSequenceNumber, StartingSequenceNumber: aws.String("12345")})
			return err
		}},
		{"time to come", "InvalidArgumentException", func() error {
			_, err := f.c.GetShardIterator(ctx, &kinesis.GetShardIteratorInput{StreamName: name, ShardId: sh.ShardId, ShardIteratorType: types.ShardIteratorTypeAtTimestamp, Timestamp: aws.Time(time.Now().Add(time.Hour))})
			return err
		}},
		{"made-up iterator", "InvalidArgumentException", func() error {
			_, err := f.c.GetRecords(ctx, &kinesis.GetRecordsInput{ShardIterator: aws.String("AAAAAAAAAAAA")})
			return err
		}},
		{"limit too large", "ValidationException", func() error {
			it := f.horizon(sh.ShardId)
			_, err := f.c.GetRecords(ctx, &kinesis.GetRecordsInput{ShardIterator: it, Limit: aws.Int32(10_001)})
			return err
		}},
		{"partition key too long", "ValidationException", func() error {
			_, err := f.c.PutRecord(ctx, &kinesis.PutRecordInput{StreamName: name, PartitionKey: aws.String(strings.Repeat("k", 257)), Data: data})
			return err
		}},
		{"partition key empty", "ValidationException", func() error {
			_, err := f.c.PutRecord(ctx, &kinesis.PutRecordInput{StreamName: name, PartitionKey: aws.String(""), Data: data})
			return err
		}},
		{"hash key out of range", "InvalidArgumentException", func() error {
			_, err := f.c.PutRecord(ctx, &kinesis.PutRecordInput{StreamName: name, PartitionKey: key, Data: data, ExplicitHashKey: aws.String("340282366920938463463374607431768211456")})
			return err
		}},
		{"record too large", "ValidationException", func() error {
			_, err := f.c.PutRecord(ctx, &kinesis.PutRecordInput{StreamName: name, PartitionKey: key, Data: bytes.Repeat([]byte{1}, 1<<20+1)})
			return err
		}},
		{"no records", "ValidationException", func() error {
			_, err := f.c.PutRecords(ctx, &kinesis.PutRecordsInput{StreamName: name, Records: []types.PutRecordsRequestEntry{}})
			return err
		}},
		{"too many records", "ValidationException", func() error {
			many := make([]types.PutRecordsRequestEntry, 501)
			for i := range many {
				many[i] = entry
			}
			_, err := f.c.PutRecords(ctx, &kinesis.PutRecordsInput{StreamName: name, Records: many})
			return err
		}},
		{"records too large together", "InvalidArgumentException", func() error {
			large := types.PutRecordsRequestEntry{PartitionKey: key, Data: bytes.Repeat([]byte{1}, 1<<20-1)}
			many := []types.PutRecordsRequestEntry{large, large, large, large, large, large, large, large, large, large, entry}
			_, err := f.c.PutRecords(ctx, &kinesis.PutRecordsInput{StreamName: name, Records: many})
			return err
		}},
		{"split of no shard", "ResourceNotFoundException", func() error {
			_, err := f.c.SplitShard(ctx, &kinesis.SplitShardInput{StreamName: name, ShardToSplit: aws.String("shardId-000000000099"), NewStartingHashKey: middle(t, sh)})
			return err
		}},
		{"merge with itself", "InvalidArgumentException", func() error {
			_, err := f.c.MergeShards(ctx, &kinesis.MergeShardsInput{StreamName: name, ShardToMerge: sh.ShardId, AdjacentShardToMerge: sh.ShardId})
			return err
		}},
		{"split at the edge", "InvalidArgumentException", func() error {
			_, err := f.c.SplitShard(ctx, &kinesis.SplitShardInput{StreamName: name, ShardToSplit: sh.ShardId, NewStartingHashKey: sh.HashKeyRange.StartingHashKey})
			return err
		}},
	}
	for _, tt := range tests {
		t.Run(strings.ReplaceAll(tt.name, " ", "_"), func(t *testing.T) { wantError(t, tt.call(), tt.want) })
	}
	// None of it stored anything.
	if got, _ := f.read(f.horizon(sh.ShardId), 0); len(got) != 0 {
		t.Errorf("refused calls left %d records", len(got))
	}
}
