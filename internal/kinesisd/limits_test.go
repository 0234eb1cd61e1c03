package kinesisd

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// TestWriteLimits lets a shard take 1000 records and 1 MiB a second.
func TestWriteLimits(t *testing.T) {
	clock := newClock()
	s := open(t, Config{Limits: true, now: clock.now})
	must(t, s, "CreateStream", `{"StreamName":"s","ShardCount":2}`)
	records := func(n, size int, key string) (failed float64) {
		one := fmt.Sprintf(`{"PartitionKey":"k","Data":%q,"ExplicitHashKey":%q}`, strings.Repeat("AAAA", size/3), key)
		all := strings.TrimSuffix(strings.Repeat(one+",", n), ",")
		return must(t, s, "PutRecords", `{"StreamName":"s","Records":[`+all+`]}`)["FailedRecordCount"].(float64)
	}
	first, second := "0", maxHashKey.String()
	if a, b, c := records(500, 3, first), records(500, 3, first), records(10, 3, first); a+b != 0 || c != 10 {
		t.Errorf("failed %v, %v, then %v of 10", a, b, c)
	}
	if n := records(500, 3, second); n != 0 {
		t.Errorf("%v records failed on the other shard", n)
	}
	refused(t, s, "PutRecord", `{"StreamName":"s","PartitionKey":"k","Data":"AAAA","ExplicitHashKey":"0"}`, throughput)
	clock.pass(100 * time.Millisecond)
	if n := records(150, 3, first); n != 50 {
		t.Errorf("after a tenth of a second %v of 150 failed", n)
	}
	clock.pass(2 * time.Second)
	if n := records(12, 99_000, first); n != 2 {
		t.Errorf("of 12 records of 99 kB %v failed", n)
	}
	if got := len(horizon(t, s, firstShard)); got != 1000+100+10 {
		t.Errorf("%d records are stored", got)
	}
}

// TestReadLimits lets a shard be read five times and 2 MiB a second; a large
// answer is paid off afterwards.
func TestReadLimits(t *testing.T) {
	clock := newClock()
	s := open(t, Config{Limits: true, now: clock.now})
	must(t, s, "CreateStream", `{"StreamName":"s","ShardCount":1}`)
	it := must(t, s, "GetShardIterator", `{"StreamName":"s","ShardId":"shardId-000000000000","ShardIteratorType":"TRIM_HORIZON"}`)["ShardIterator"]
	body := fmt.Sprintf(`{"ShardIterator":%q}`, it)
	for range shardReadsOut {
		must(t, s, "GetRecords", body)
	}
	refused(t, s, "GetRecords", body, throughput)
	clock.pass(200 * time.Millisecond)
	must(t, s, "GetRecords", body)
	refused(t, s, "GetRecords", body, throughput)
	for range 8 {
		clock.pass(time.Second)
		put(t, s, strings.Repeat("x", 1<<20-1))
	}
	clock.pass(time.Second)
	must(t, s, "GetRecords", body) // 8 MiB
	clock.pass(2 * time.Second)
	refused(t, s, "GetRecords", body, throughput)
	clock.pass(1500 * time.Millisecond)
	must(t, s, "GetRecords", body)
}

// TestPace makes a reader with a throughput of its own wait for what it was
// sent beyond it.
func TestPace(t *testing.T) {
	var b bucket
	now := time.Unix(1_000_000, 0)
	if d := b.wait(now, shardBytesOut, shardBytesOut); d != 0 {
		t.Errorf("the first second's worth waits %v", d)
	}
	if d := b.wait(now, shardBytesOut, shardBytesOut/2); d != 500*time.Millisecond {
		t.Errorf("half a second's worth more waits %v", d)
	}
	if d := b.wait(now.Add(time.Second), shardBytesOut, 0); d != 0 {
		t.Errorf("a second later it waits %v", d)
	}
}

// TestIteratorExpires after its time, and next tokens after theirs.
func TestIteratorExpires(t *testing.T) {
	clock := newClock()
	s := open(t, Config{now: clock.now})
	must(t, s, "CreateStream", `{"StreamName":"s","ShardCount":2}`)
	it := must(t, s, "GetShardIterator", `{"StreamName":"s","ShardId":"shardId-000000000000","ShardIteratorType":"LATEST"}`)["ShardIterator"]
	token := must(t, s, "ListShards", `{"StreamName":"s","MaxResults":1}`)["NextToken"]
	clock.pass(5 * time.Minute)
	out := must(t, s, "GetRecords", fmt.Sprintf(`{"ShardIterator":%q}`, it))
	must(t, s, "ListShards", fmt.Sprintf(`{"NextToken":%q}`, token))
	clock.pass(time.Second)
	refused(t, s, "GetRecords", fmt.Sprintf(`{"ShardIterator":%q}`, it), expiredIterator)
	refused(t, s, "ListShards", fmt.Sprintf(`{"NextToken":%q}`, token), expiredToken)
	must(t, s, "GetRecords", fmt.Sprintf(`{"ShardIterator":%q}`, out["NextShardIterator"]))
	// A stream made again under its name is another one.
	must(t, s, "DeleteStream", `{"StreamName":"s"}`)
	must(t, s, "CreateStream", `{"StreamName":"s","ShardCount":2}`)
	refused(t, s, "GetRecords", fmt.Sprintf(`{"ShardIterator":%q}`, out["NextShardIterator"]), resourceNotFound)
}

// TestStaleCheckpoint refuses a sequence number of a stream that was deleted
// and made again under its name.
func TestStaleCheckpoint(t *testing.T) {
	s := open(t, Config{})
	must(t, s, "CreateStream", `{"StreamName":"s","ShardCount":1}`)
	stale := put(t, s, "old")
	must(t, s, "DeleteStream", `{"StreamName":"s"}`)
	must(t, s, "CreateStream", `{"StreamName":"s","ShardCount":1}`)
	fresh := put(t, s, "new")
	for number, want := range map[string]bool{stale: false, fresh: true, "0": true} {
		code, _ := post(t, s, "GetShardIterator", fmt.Sprintf(`{"StreamName":"s","ShardId":"shardId-000000000000","ShardIteratorType":"AFTER_SEQUENCE_NUMBER","StartingSequenceNumber":%q}`, number))
		if (code == 200) != want {
			t.Errorf("sequence number %s answered %d", number, code)
		}
	}
}
