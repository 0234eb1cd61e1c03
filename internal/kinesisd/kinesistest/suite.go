package kinesistest

import (
	"errors"
	"fmt"
	"math/big"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"
	"github.com/aws/smithy-go"
)

// Run puts the Kinesis that client reaches through every test. It makes and
// removes streams of its own.
func Run(t *testing.T, client func(t *testing.T) *kinesis.Client) {
	tests := []struct {
		name string
		run  func(*testing.T, *fixture)
	}{
		{"Iterators", testIterators},
		{"Order", testOrder},
		{"HashKeys", testHashKeys},
		{"Split", testSplit},
		{"Merge", testMerge},
		{"UpdateShardCount", testUpdateShardCount},
		{"ListShards", testListShards},
		{"ListShardsInPages", testListShardsInPages},
		{"ListShardsMadeUpToken", testListShardsMadeUpToken},
		{"ListShardsByARN", testListShardsByARN},
		{"Describe", testDescribe},
		{"DescribeByARN", testDescribeByARN},
		{"ListStreams", testListStreams},
		{"StreamSummaries", testStreamSummaries},
		{"Tags", testTags},
		{"TagsWithCreate", testTagsWithCreate},
		{"TagResource", testTagResource},
		{"Monitoring", testMonitoring},
		{"Encryption", testEncryption},
		{"StreamMode", testStreamMode},
		{"MaxRecordSize", testMaxRecordSize},
		{"Policy", testPolicy},
		{"Limits", testLimits},
		{"Account", testAccount},
		{"Retention", testRetention},
		{"Consumers", testConsumers},
		{"Subscribe", testSubscribe},
		{"SubscribeFromEachPosition", testSubscribePositions},
		{"SubscribeToTheEnd", testSubscribeEnd},
		{"SubscribeTwice", testSubscribeTwice},
		{"Errors", testErrors},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tt.run(t, &fixture{t: t, c: client(t), stream: streamName(t)})
		})
	}
}

// fixture is a client with a stream of its own, and short words for calls.
type fixture struct {
	t      *testing.T
	c      *kinesis.Client
	stream string
}

func (f *fixture) must(err error) {
	f.t.Helper()
	if err != nil {
		f.t.Fatal(err)
	}
}

func (f *fixture) create(shards int32) []types.Shard {
	f.t.Helper()
	CreateStream(f.t, f.c, f.stream, shards)
	return f.shards()
}

func (f *fixture) shards() []types.Shard {
	f.t.Helper()
	out, err := f.c.ListShards(f.t.Context(), &kinesis.ListShardsInput{StreamName: &f.stream})
	f.must(err)
	return out.Shards
}

// put puts a record into a shard by explicit hash key.
func (f *fixture) put(sh types.Shard, data string) *kinesis.PutRecordOutput {
	f.t.Helper()
	out, err := f.c.PutRecord(f.t.Context(), &kinesis.PutRecordInput{
		StreamName: &f.stream, PartitionKey: aws.String("key of " + data), Data: []byte(data), ExplicitHashKey: sh.HashKeyRange.StartingHashKey,
	})
	f.must(err)
	return out
}

func (f *fixture) putAll(sh types.Shard, data ...string) (numbers []string) {
	f.t.Helper()
	for _, d := range data {
		numbers = append(numbers, *f.put(sh, d).SequenceNumber)
	}
	return numbers
}

func (f *fixture) iterator(in kinesis.GetShardIteratorInput) *string {
	f.t.Helper()
	in.StreamName = &f.stream
	out, err := f.c.GetShardIterator(f.t.Context(), &in)
	f.must(err)
	return out.ShardIterator
}

func (f *fixture) horizon(shardID *string) *string {
	f.t.Helper()
	return f.iterator(kinesis.GetShardIteratorInput{ShardId: shardID, ShardIteratorType: types.ShardIteratorTypeTrimHorizon})
}

// read reads from an iterator until it has so many records or the shard ends.
func (f *fixture) read(it *string, want int) (records []types.Record, last *kinesis.GetRecordsOutput) {
	f.t.Helper()
	for it != nil {
		out, err := f.c.GetRecords(f.t.Context(), &kinesis.GetRecordsInput{ShardIterator: it})
		f.must(err)
		if out.MillisBehindLatest == nil {
			f.t.Fatal("GetRecords says no MillisBehindLatest")
		}
		records, last, it = append(records, out.Records...), out, out.NextShardIterator
		if want >= 0 && len(records) >= want {
			break
		}
	}
	return records, last
}

func dataOf(records []types.Record) []string {
	data := []string{}
	for _, r := range records {
		data = append(data, string(r.Data))
	}
	return data
}

// numbered makes n texts to tell apart.
func numbered(from, n int) []string {
	texts := make([]string, n)
	for i := range texts {
		texts[i] = fmt.Sprintf("record %d", from+i)
	}
	return texts
}

func decimal(t *testing.T, s *string) *big.Int {
	t.Helper()
	n, ok := new(big.Int).SetString(aws.ToString(s), 10)
	if !ok {
		t.Fatalf("%q is not a decimal number", aws.ToString(s))
	}
	return n
}

// wantError checks the type of an error of the API.
func wantError(t *testing.T, err error, want string) {
	t.Helper()
	var e smithy.APIError
	if !errors.As(err, &e) || e.ErrorCode() != want {
		t.Errorf("got error %v, want %s", err, want)
	}
}
