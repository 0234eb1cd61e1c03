package kinesisd

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// keep runs the writer's housekeeping now.
func keep(t *testing.T, s *Server) {
	t.Helper()
	if err := s.writer.change(t.Context(), s.writer.housekeep); err != nil {
		t.Fatal(err)
	}
}

func hoursOnDisk(t *testing.T, s *Server) (numbers []int64) {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(s.cfg.Dir, "records-*.db"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		var n int64
		if _, err := fmt.Sscanf(filepath.Base(name), "records-%d.db", &n); err != nil {
			t.Fatal(err)
		}
		numbers = append(numbers, n)
	}
	return numbers
}

// TestRetention puts a record an hour: files are rolled each hour, and removed
// whole when the stream that keeps longest does not want them any more.
func TestRetention(t *testing.T) {
	for _, memory := range []int{1, 1 << 20} {
		t.Run(fmt.Sprintf("tail of %d bytes", memory), func(t *testing.T) {
			clock := newClock()
			s := open(t, Config{Dir: t.TempDir(), Retention: 3 * time.Hour, TailBytes: memory, now: clock.now})
			must(t, s, "CreateStream", `{"StreamName":"s","ShardCount":1}`)
			for i := range 6 {
				put(t, s, fmt.Sprint(i))
				clock.pass(time.Hour)
			}
			// 16:30 now; the records are of 10:30 to 15:30
			if d := cmp.Diff([]string{"3", "4", "5"}, horizon(t, s, firstShard)); d != "" {
				t.Errorf("records before housekeeping (-want +got):\n%s", d)
			}
			keep(t, s)
			// The last file has been rolled too, and a new one is there.
			if d := cmp.Diff([]int64{4, 5, 6, 7}, hoursOnDisk(t, s)); d != "" {
				t.Errorf("files (-want +got):\n%s", d)
			}
			if d := cmp.Diff([]string{"3", "4", "5"}, horizon(t, s, firstShard)); d != "" {
				t.Errorf("records (-want +got):\n%s", d)
			}
			must(t, s, "IncreaseStreamRetentionPeriod", `{"StreamName":"s","RetentionPeriodHours":24}`)
			clock.pass(20 * time.Hour)
			keep(t, s)
			if d := cmp.Diff([]string{"3", "4", "5"}, horizon(t, s, firstShard)); d != "" {
				t.Errorf("records kept longer (-want +got):\n%s", d)
			}
			clock.pass(20 * time.Hour)
			keep(t, s)
			if d := cmp.Diff([]int64{7}, hoursOnDisk(t, s)); d != "" {
				t.Errorf("files at last (-want +got):\n%s", d)
			}
			if got := horizon(t, s, firstShard); len(got) != 0 {
				t.Errorf("records at last: %v", got)
			}
		})
	}
}

// TestRetentionOfShards forgets a closed shard when its records are gone, and
// its children stay what they are.
func TestRetentionOfShards(t *testing.T) {
	clock := newClock()
	dir := t.TempDir()
	s := open(t, Config{Dir: dir, Retention: 3 * time.Hour, now: clock.now})
	must(t, s, "CreateStream", `{"StreamName":"s","ShardCount":1}`)
	put(t, s, "parent's")
	must(t, s, "SplitShard", `{"StreamName":"s","ShardToSplit":"shardId-000000000000","NewStartingHashKey":"170141183460469231731687303715884105728"}`)
	put(t, s, "child's")
	list := func(s *Server) (ids []string) {
		for _, sh := range must(t, s, "ListShards", `{"StreamName":"s"}`)["Shards"].([]any) {
			ids = append(ids, sh.(map[string]any)["ShardId"].(string))
		}
		return ids
	}
	clock.pass(3 * time.Hour)
	keep(t, s)
	if got := list(s); len(got) != 3 {
		t.Errorf("shards %v, want all 3", got)
	}
	clock.pass(2 * time.Hour)
	keep(t, s)
	want := []string{"shardId-000000000001", "shardId-000000000002"}
	if d := cmp.Diff(want, list(s)); d != "" {
		t.Errorf("shards (-want +got):\n%s", d)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = open(t, Config{Dir: dir, now: clock.now})
	if d := cmp.Diff(want, list(s)); d != "" {
		t.Errorf("shards after opening again (-want +got):\n%s", d)
	}
	must(t, s, "SplitShard", `{"StreamName":"s","ShardToSplit":"shardId-000000000001","NewStartingHashKey":"1000"}`)
	if d := cmp.Diff(append(want, "shardId-000000000003", "shardId-000000000004"), list(s)); d != "" {
		t.Errorf("new shards (-want +got):\n%s", d)
	}
}

// TestRemoveWhileRead removes a file only after its last reader.
func TestRemoveWhileRead(t *testing.T) {
	clock := newClock()
	s := open(t, Config{Dir: t.TempDir(), Retention: time.Hour, TailBytes: 1, now: clock.now})
	must(t, s, "CreateStream", `{"StreamName":"s","ShardCount":1}`)
	put(t, s, "one")
	clock.pass(3 * time.Hour)
	r, err := s.files.acquire(1)
	if err != nil {
		t.Fatal(err)
	}
	keep(t, s)
	if d := cmp.Diff([]int64{1, 2}, hoursOnDisk(t, s)); d != "" {
		t.Errorf("files while one is read (-want +got):\n%s", d)
	}
	found, _, err := r.read(t.Context(), 1, 0, maxPlace, 10, 1000, true)
	if err != nil || len(found) != 1 {
		t.Errorf("read %d records, %v", len(found), err)
	}
	if err := s.files.release(r); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff([]int64{2}, hoursOnDisk(t, s)); d != "" {
		t.Errorf("files (-want +got):\n%s", d)
	}
	if r, err := s.files.acquire(1); r != nil || err != nil {
		t.Errorf("a removed file was opened: %v, %v", r, err)
	}
	// What a crash left behind goes at the next start.
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(hourPath(s.cfg.Dir, 1), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	s = open(t, Config{Dir: s.cfg.Dir, now: clock.now})
	if d := cmp.Diff([]int64{2}, hoursOnDisk(t, s)); d != "" {
		t.Errorf("files after opening again (-want +got):\n%s", d)
	}
}

// TestManyHours finds records by time and by number across more files than
// are kept open, and more than one read looks through.
func TestManyHours(t *testing.T) {
	clock := newClock()
	s := open(t, Config{Dir: t.TempDir(), Retention: 1000 * time.Hour, TailBytes: 1, now: clock.now})
	must(t, s, "CreateStream", `{"StreamName":"s","ShardCount":2}`)
	const hours = maxHoursPerRead + 8
	start := clock.now()
	var want []string
	for i := range hours {
		// shard 0 has a record in the first and the last hour only
		key := `170141183460469231731687303715884105728`
		if i == 0 || i == hours-1 {
			key = "0"
		}
		must(t, s, "PutRecord", fmt.Sprintf(`{"StreamName":"s","PartitionKey":"k","Data":"YWJj","ExplicitHashKey":%q}`, key))
		if key == "0" {
			want = append(want, "abc")
		}
		clock.pass(time.Hour)
	}
	if d := cmp.Diff(want, horizon(t, s, firstShard)); d != "" {
		t.Errorf("sparse shard (-want +got):\n%s", d)
	}
	if got := horizon(t, s, "shardId-000000000001"); len(got) != hours-2 {
		t.Errorf("other shard has %d records, want %d", len(got), hours-2)
	}
	if n := len(s.files.open); n > maxOpenHours {
		t.Errorf("%d files are open", n)
	}
	for i := range hours - 2 {
		at := start.Add(time.Duration(i+1)*time.Hour - time.Minute)
		it := must(t, s, "GetShardIterator", fmt.Sprintf(`{"StreamName":"s","ShardId":"shardId-000000000001","ShardIteratorType":"AT_TIMESTAMP","Timestamp":%d}`, at.Unix()))["ShardIterator"]
		n := 0
		for it != nil {
			out := must(t, s, "GetRecords", fmt.Sprintf(`{"ShardIterator":%q}`, it))
			n += len(out["Records"].([]any))
			if it = out["NextShardIterator"]; out["MillisBehindLatest"].(float64) == 0 {
				break
			}
		}
		if n != hours-2-i {
			t.Errorf("from hour %d on there are %d records, want %d", i, n, hours-2-i)
		}
	}
}
