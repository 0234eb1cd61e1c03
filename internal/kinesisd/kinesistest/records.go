package kinesistest

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"
	"github.com/google/go-cmp/cmp"
)

// testIterators reads from each kind of position.
func testIterators(t *testing.T, f *fixture) {
	sh := f.create(1)[0]
	before := numbered(0, 3)
	numbers := f.putAll(sh, before...)
	time.Sleep(5 * time.Millisecond) // arrival times are in milliseconds
	all, _ := f.read(f.horizon(sh.ShardId), 3)
	latest := f.iterator(kinesis.GetShardIteratorInput{ShardId: sh.ShardId, ShardIteratorType: types.ShardIteratorTypeLatest})
	after := numbered(3, 2)
	f.putAll(sh, after...)
	five := append(append([]string{}, before...), after...)
	if all[0].ApproximateArrivalTimestamp.After(time.Now().Add(time.Minute)) || *all[0].PartitionKey != "key of record 0" {
		t.Errorf("record arrived at %v with key %q", all[0].ApproximateArrivalTimestamp, *all[0].PartitionKey)
	}
	next := all[2].ApproximateArrivalTimestamp.Add(time.Millisecond)
	tests := []struct {
		name string
		in   kinesis.GetShardIteratorInput
		want []string
	}{
		{"trim horizon", kinesis.GetShardIteratorInput{ShardIteratorType: types.ShardIteratorTypeTrimHorizon}, five},
		{"at the second", kinesis.GetShardIteratorInput{ShardIteratorType: types.ShardIteratorTypeAtSequenceNumber, StartingSequenceNumber: &numbers[1]}, five[1:]},
		{"after the second", kinesis.GetShardIteratorInput{ShardIteratorType: types.ShardIteratorTypeAfterSequenceNumber, StartingSequenceNumber: &numbers[1]}, five[2:]},
		{"at the first's time", kinesis.GetShardIteratorInput{ShardIteratorType: types.ShardIteratorTypeAtTimestamp, Timestamp: all[0].ApproximateArrivalTimestamp}, five},
		{"after the third's time", kinesis.GetShardIteratorInput{ShardIteratorType: types.ShardIteratorTypeAtTimestamp, Timestamp: &next}, five[3:]},
		{"long ago", kinesis.GetShardIteratorInput{ShardIteratorType: types.ShardIteratorTypeAtTimestamp, Timestamp: aws.Time(time.Now().Add(-time.Hour))}, five},
	}
	for _, tt := range tests {
		tt.in.ShardId = sh.ShardId
		got, _ := f.read(f.iterator(tt.in), len(tt.want))
		if d := cmp.Diff(tt.want, dataOf(got)); d != "" {
			t.Errorf("%s (-want +got):\n%s", tt.name, d)
		}
	}
	got, out := f.read(latest, 2)
	if d := cmp.Diff(after, dataOf(got)); d != "" {
		t.Errorf("latest (-want +got):\n%s", d)
	}
	if *out.MillisBehindLatest != 0 {
		t.Errorf("at the tip, but %d ms behind", *out.MillisBehindLatest)
	}
	// pages of two, with nothing skipped or repeated
	var paged []types.Record
	for it := f.horizon(sh.ShardId); len(paged) < 5; {
		out, err := f.c.GetRecords(t.Context(), &kinesis.GetRecordsInput{ShardIterator: it, Limit: aws.Int32(2)})
		f.must(err)
		if len(out.Records) > 2 {
			t.Fatalf("asked for 2 records, got %d", len(out.Records))
		}
		paged, it = append(paged, out.Records...), out.NextShardIterator
	}
	if d := cmp.Diff(five, dataOf(paged)); d != "" {
		t.Errorf("pages (-want +got):\n%s", d)
	}
}

// testOrder puts many records over several shards: each arrives once, whole,
// in the order of its sequence number, which is the order it was put in.
func testOrder(t *testing.T, f *fixture) {
	shards := f.create(3)
	const calls, perCall = 8, 100
	want := map[string][]string{}
	for range calls {
		var entries []types.PutRecordsRequestEntry
		for i := range perCall {
			data := bytes.Repeat([]byte{byte(i), 0, 0xff, '"'}, i+1)
			entries = append(entries, types.PutRecordsRequestEntry{Data: data, PartitionKey: aws.String(strings.Repeat("ключ\"\\<", i%20) + string(rune('a'+i%26)))})
		}
		out, err := f.c.PutRecords(t.Context(), &kinesis.PutRecordsInput{StreamName: &f.stream, Records: entries})
		f.must(err)
		if *out.FailedRecordCount != 0 || len(out.Records) != perCall {
			t.Fatalf("%d of %d records failed", *out.FailedRecordCount, len(out.Records))
		}
		for i, r := range out.Records {
			want[*r.ShardId] = append(want[*r.ShardId], *r.SequenceNumber+" "+*entries[i].PartitionKey+" "+string(entries[i].Data))
		}
	}
	if len(want) != 3 {
		t.Errorf("records fell into %d of 3 shards", len(want))
	}
	for _, sh := range shards {
		records, _ := f.read(f.horizon(sh.ShardId), len(want[*sh.ShardId]))
		var got []string
		previous := decimal(t, sh.SequenceNumberRange.StartingSequenceNumber)
		for _, r := range records {
			got = append(got, *r.SequenceNumber+" "+*r.PartitionKey+" "+string(r.Data))
			n := decimal(t, r.SequenceNumber)
			if n.Cmp(previous) <= 0 {
				t.Errorf("%s: sequence number %s follows %s", *sh.ShardId, n, previous)
			}
			previous = n
		}
		if d := cmp.Diff(want[*sh.ShardId], got); d != "" {
			t.Errorf("%s (-want +got):\n%s", *sh.ShardId, d)
		}
	}
}

// testHashKeys checks that a record falls into the shard whose range holds its
// hash, at both ends of the ranges, and by partition key.
func testHashKeys(t *testing.T, f *fixture) {
	shards := f.create(4)
	if first, last := *shards[0].HashKeyRange.StartingHashKey, *shards[3].HashKeyRange.EndingHashKey; first != "0" || last != "340282366920938463463374607431768211455" {
		t.Errorf("the ring goes from %s to %s", first, last)
	}
	for _, sh := range shards {
		for _, key := range []*string{sh.HashKeyRange.StartingHashKey, sh.HashKeyRange.EndingHashKey} {
			out, err := f.c.PutRecord(t.Context(), &kinesis.PutRecordInput{StreamName: &f.stream, PartitionKey: aws.String("k"), Data: []byte("x"), ExplicitHashKey: key})
			f.must(err)
			if *out.ShardId != *sh.ShardId {
				t.Errorf("hash key %s fell into %s, want %s", *key, *out.ShardId, *sh.ShardId)
			}
		}
	}
	// md5("a") begins with 0c, md5("b") with 92, md5("f") with 8f, md5("g") with b2
	for key, want := range map[string]int{"a": 0, "b": 2, "f": 2, "g": 2, "c": 1, "h": 0, "d": 2, "e": 3} {
		out, err := f.c.PutRecord(t.Context(), &kinesis.PutRecordInput{StreamName: &f.stream, PartitionKey: &key, Data: []byte("x")})
		f.must(err)
		if *out.ShardId != *shards[want].ShardId {
			t.Errorf("partition key %q fell into %s, want %s", key, *out.ShardId, *shards[want].ShardId)
		}
	}
}
