package kinesisd

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// TestReadsAgree reads at random positions, limits and times, while the tail
// holds some of the records and several files the rest, and compares with the
// plain list of what was put.
func TestReadsAgree(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	clock := newClock()
	s := open(t, Config{Dir: t.TempDir(), TailBytes: 8 << 10, FileSpan: time.Second, now: clock.now})
	must(t, s, "CreateStream", `{"StreamName":"s","ShardCount":2}`)
	st := s.streams["s"]
	lists := make([][]record, 2)
	for range 60 {
		b := &putBatch{stream: st, entries: make([]putEntry, 1+r.IntN(8))}
		for i := range b.entries {
			key := []string{"0", maxHashKey.String()}[r.IntN(2)]
			in := &recordInput{Data: make([]byte, r.IntN(300)), PartitionKey: fmt.Sprint(r.Int()), ExplicitHashKey: &key}
			if err := b.set(i, in, maxRecordBytes, ""); err != nil {
				t.Fatal(err)
			}
		}
		if err := s.writer.put(t.Context(), b); err != nil {
			t.Fatal(err)
		}
		for _, e := range b.entries {
			lists[e.shard.index] = append(lists[e.shard.index], record{e.seq, e.at, e.partitionKey, e.data})
		}
		clock.pass(time.Duration(r.IntN(100)) * time.Millisecond)
		for range 10 {
			index := r.IntN(2)
			list := lists[index]
			if len(list) == 0 {
				continue
			}
			from := r.IntN(len(list))
			after := list[from].seq - sequence(r.IntN(2)) // at it, or after it
			maxRecords, maxBytes := 1+r.IntN(40), 1+r.IntN(4000)
			checkRead(t, s, st.shards[index], list, after, maxRecords, maxBytes)
			at := list[from].at + int64(r.IntN(3)) - 1
			got, err := s.positionAt(t.Context(), st.shards[index], at)
			if err != nil {
				t.Fatal(err)
			}
			want := slices.IndexFunc(list, func(rec record) bool { return rec.at >= at })
			have := slices.IndexFunc(list, func(rec record) bool { return rec.seq > got })
			if want != have {
				t.Fatalf("time %d is at record %d, want %d of %d", at, have, want, len(list))
			}
		}
	}
	if len(s.hours) < 2 || s.tails.order.len() == 0 {
		t.Errorf("%d files and %d records in memory prove little", len(s.hours), s.tails.order.len())
	}
}

func checkRead(t *testing.T, s *Server, sh *shard, list []record, after sequence, maxRecords, maxBytes int) {
	t.Helper()
	var got []record
	for position := after; ; {
		p, err := s.read(t.Context(), sh, position, maxRecords, maxBytes)
		if err != nil {
			t.Fatal(err)
		}
		if len(p.records) > maxRecords || p.bytes() > maxBytes && len(p.records) > 1 {
			t.Fatalf("a page of %d records and %d bytes for a limit of %d and %d", len(p.records), p.bytes(), maxRecords, maxBytes)
		}
		got, position = append(got, p.records...), p.next
		more := p.more
		s.drop(p)
		if !more {
			break
		}
	}
	i := slices.IndexFunc(list, func(rec record) bool { return rec.seq > after })
	want := list[len(list):]
	if i >= 0 {
		want = list[i:]
	}
	if d := cmp.Diff(len(want), len(got)); d != "" {
		t.Fatalf("records after %s (-want +got):\n%s", after, d)
	}
	for i := range want {
		if want[i].seq != got[i].seq || want[i].at != got[i].at || want[i].partitionKey != got[i].partitionKey || string(want[i].data) != string(got[i].data) {
			t.Fatalf("record %d after %s is %v, want %v", i, after, got[i], want[i])
		}
	}
}

// TestClockGoesBack keeps arrival times from falling, across files and a new
// start too, since reading by time relies on it.
func TestClockGoesBack(t *testing.T) {
	clock := newClock()
	dir := t.TempDir()
	s := open(t, Config{Dir: dir, now: clock.now})
	must(t, s, "CreateStream", `{"StreamName":"s","ShardCount":1}`)
	want := clock.now().UnixMilli()
	for range 3 {
		put(t, s, "x")
		clock.pass(-time.Hour)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = open(t, Config{Dir: dir, now: clock.now})
	put(t, s, "x")
	p, err := s.read(t.Context(), s.streams["s"].shards[0], 0, 10, 1000)
	if err != nil {
		t.Fatal(err)
	}
	defer s.drop(p)
	for i, r := range p.records {
		if r.at != want {
			t.Errorf("record %d arrived %v after the first", i, time.Duration(r.at-want)*time.Millisecond)
		}
	}
	if len(p.records) != 4 || len(s.hours) != 2 { // a start begins a file
		t.Errorf("%d records in %d files", len(p.records), len(s.hours))
	}
}

// TestTailIsBounded keeps the memory of the tails under its bound, whatever is
// put.
func TestTailIsBounded(t *testing.T) {
	const bound = 4 << 10
	s := open(t, Config{TailBytes: bound})
	must(t, s, "CreateStream", `{"StreamName":"s","ShardCount":3}`)
	for i := range 200 {
		put(t, s, string(make([]byte, i*7)))
		size := 0
		for _, sh := range s.streams["s"].shards {
			for _, r := range sh.tail.records.all() {
				size += r.size()
			}
		}
		if size != s.tails.bytes || size > bound {
			t.Fatalf("tails hold %d bytes, count %d, bound %d", size, s.tails.bytes, bound)
		}
	}
}

// TestReadsWaitForMemory lets no more be read from disk at once than the
// bound, and gives all of it back.
func TestReadsWaitForMemory(t *testing.T) {
	s := open(t, Config{TailBytes: 1})
	must(t, s, "CreateStream", `{"StreamName":"s","ShardCount":1}`)
	put(t, s, "one")
	sh := s.streams["s"].shards[0]
	var pages []*page
	for range maxPagesInMemory / maxReadBytes {
		p, err := s.read(t.Context(), sh, 0, 10, maxReadBytes)
		if err != nil {
			t.Fatal(err)
		}
		pages = append(pages, p)
		if p.held.held > 1000 {
			t.Fatalf("a page of 3 bytes holds %d", p.held.held)
		}
		// As if it were full.
		if err := p.held.take(t.Context(), maxReadBytes-p.held.held); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if _, err := s.read(ctx, sh, 0, 10, maxReadBytes); err == nil {
		t.Error("a read went beyond the bound")
	}
	for _, p := range pages {
		s.drop(p)
	}
	if s.pages.used != 0 {
		t.Error("pages were dropped, but their memory is still taken")
	}
}

// TestOneChangeHasOneTime lists shards at times a clock that never stands
// still puts between the steps of a change: the first shards are as old as
// their stream, and there is always either a parent or its children.
func TestOneChangeHasOneTime(t *testing.T) {
	var ms atomic.Int64
	ms.Store(newClock().at.UnixMilli())
	s := open(t, Config{now: func() time.Time { return time.UnixMilli(ms.Add(1)) }})
	must(t, s, "CreateStream", `{"StreamName":"s","ShardCount":2}`)
	before := ms.Load()
	must(t, s, "SplitShard", `{"StreamName":"s","ShardToSplit":"shardId-000000000000","NewStartingHashKey":"9"}`)
	list := func(filter string) int {
		return len(must(t, s, "ListShards", `{"StreamName":"s","ShardFilter":`+filter+`}`)["Shards"].([]any))
	}
	if n := list(`{"Type":"AT_TRIM_HORIZON"}`); n != 2 {
		t.Errorf("%d shards at the trim horizon, want the first 2", n)
	}
	for at := before; at < ms.Load(); at++ {
		n := list(fmt.Sprintf(`{"Type":"AT_TIMESTAMP","Timestamp":%d.%03d}`, at/1000, at%1000))
		if n != 2 && n != 3 {
			t.Errorf("%d shards %d ms after the split began, want 2 or 3", n, at-before)
		}
		if at > before+100 {
			break
		}
	}
}
