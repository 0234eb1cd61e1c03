package kinesisd

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// clock is a time that tests move.
type clock struct {
	mu sync.Mutex
	at time.Time
}

func newClock() *clock { return &clock{at: time.Date(2026, 3, 1, 10, 30, 0, 0, time.UTC)} }

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

func (c *clock) pass(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = c.at.Add(d)
}

// open opens a server that is called without HTTP, and closes it after the test.
func open(t testing.TB, cfg Config) *Server {
	t.Helper()
	s, err := Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// post sends a call as a client would and returns the status and the answer.
func post(t testing.TB, s *Server, action, body string) (int, map[string]any) {
	t.Helper()
	r := httptest.NewRequest(http.MethodPost, "/", strings.NewReader(body))
	r.Header.Set("Content-Type", contentType)
	r.Header.Set("X-Amz-Target", targetPrefix+action)
	w := httptest.NewRecorder()
	s.ServeHTTP(w, r)
	var out map[string]any
	if w.Body.Len() > 0 && w.Header().Get("Content-Type") == contentType {
		if err := json.Unmarshal(w.Body.Bytes(), &out); err != nil {
			t.Fatalf("%s %s answered %q: %v", action, body, w.Body, err)
		}
	}
	return w.Code, out
}

func must(t testing.TB, s *Server, action, body string) map[string]any {
	t.Helper()
	code, out := post(t, s, action, body)
	if code != http.StatusOK {
		t.Fatalf("%s %s answered %d %v", action, body, code, out)
	}
	return out
}

func refused(t testing.TB, s *Server, action, body, want string) {
	t.Helper()
	if code, out := post(t, s, action, body); code == http.StatusOK || out["__type"] != want {
		t.Errorf("%s %s answered %d %v, want %s", action, body, code, out, want)
	}
}

func put(t testing.TB, s *Server, data string) string {
	t.Helper()
	body, _ := json.Marshal(map[string]any{"StreamName": "s", "PartitionKey": "k", "Data": []byte(data)})
	return must(t, s, "PutRecord", string(body))["SequenceNumber"].(string)
}

// horizon reads a shard of stream s from its beginning to its tip.
func horizon(t testing.TB, s *Server, shard string) (data []string) {
	t.Helper()
	it := must(t, s, "GetShardIterator", fmt.Sprintf(`{"StreamName":"s","ShardId":%q,"ShardIteratorType":"TRIM_HORIZON"}`, shard))["ShardIterator"]
	data = []string{}
	for it != nil {
		out := must(t, s, "GetRecords", fmt.Sprintf(`{"ShardIterator":%q}`, it))
		for _, r := range out["Records"].([]any) {
			b, err := json.Marshal(r.(map[string]any)["Data"])
			if err != nil {
				t.Fatal(err)
			}
			var raw []byte
			if err := json.Unmarshal(b, &raw); err != nil {
				t.Fatal(err)
			}
			data = append(data, string(raw))
		}
		if it = out["NextShardIterator"]; out["MillisBehindLatest"].(float64) == 0 {
			break
		}
	}
	return data
}

const firstShard = "shardId-000000000000"

// TestReopen closes a server and opens its folder again: streams, shards,
// consumers, records and positions are what they were, and numbers go on.
func TestReopen(t *testing.T) {
	dir := t.TempDir()
	s := open(t, Config{Dir: dir})
	must(t, s, "CreateStream", `{"StreamName":"s","ShardCount":1,"MaxRecordSizeInKiB":2048}`)
	arn := s.streamARN("s")
	must(t, s, "RegisterStreamConsumer", fmt.Sprintf(`{"StreamARN":%q,"ConsumerName":"c"}`, arn))
	must(t, s, "IncreaseStreamRetentionPeriod", `{"StreamName":"s","RetentionPeriodHours":48}`)
	put(t, s, "one")
	last := put(t, s, "two")
	must(t, s, "CreateStream", `{"StreamName":"t","ShardCount":1}`)
	must(t, s, "DeleteStream", `{"StreamName":"t"}`)
	must(t, s, "CreateStream", `{"StreamName":"u","ShardCount":2}`)
	must(t, s, "MergeShards", `{"StreamName":"u","ShardToMerge":"shardId-000000000000","AdjacentShardToMerge":"shardId-000000000001"}`)
	ask := func(s *Server) (all []any) {
		for _, c := range [][2]string{
			{"DescribeStream", `{"StreamName":"s"}`}, {"DescribeStreamSummary", `{"StreamName":"s"}`}, {"ListStreams", `{}`}, {"ListShards", `{"StreamName":"u"}`},
			{"ListStreamConsumers", fmt.Sprintf(`{"StreamARN":%q}`, arn)},
		} {
			all = append(all, must(t, s, c[0], c[1]))
		}
		return append(all, horizon(t, s, firstShard))
	}
	want := ask(s)
	latest := must(t, s, "GetShardIterator", `{"StreamName":"s","ShardId":"shardId-000000000000","ShardIteratorType":"LATEST"}`)["ShardIterator"]
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if names, _ := filepath.Glob(filepath.Join(dir, "*-wal")); len(names) > 0 {
		t.Errorf("a clean stop left %v", names)
	}
	s = open(t, Config{Dir: dir})
	if d := cmp.Diff(want, ask(s)); d != "" {
		t.Errorf("after opening again (-before +after):\n%s", d)
	}
	// The merge of u was the last to take numbers, and no record bears them.
	child := must(t, s, "ListShards", `{"StreamName":"u","ShardFilter":{"Type":"AT_LATEST"}}`)["Shards"].([]any)[0].(map[string]any)
	start := child["SequenceNumberRange"].(map[string]any)["StartingSequenceNumber"].(string)
	if n := must(t, s, "PutRecord", `{"StreamName":"u","PartitionKey":"k","Data":"YQ=="}`)["SequenceNumber"].(string); n <= start {
		t.Errorf("the merged shard began at %s, and has a record %s", start, n)
	}
	if next := put(t, s, "three"); next <= last {
		t.Errorf("number %s follows %s", next, last)
	}
	out := must(t, s, "GetRecords", fmt.Sprintf(`{"ShardIterator":%q}`, latest))
	if n := len(out["Records"].([]any)); n != 1 {
		t.Errorf("an iterator from before found %d records, want 1", n)
	}
	if d := cmp.Diff([]string{"one", "two", "three"}, horizon(t, s, firstShard)); d != "" {
		t.Errorf("records (-want +got):\n%s", d)
	}
}

// TestOpenRefuses covers what must not be served from.
func TestOpenRefuses(t *testing.T) {
	dir := t.TempDir()
	first := open(t, Config{Dir: dir})
	must(t, first, "CreateStream", `{"StreamName":"s","ShardCount":1}`)
	other := t.TempDir()
	if err := os.WriteFile(filepath.Join(other, "streams.db"), []byte(strings.Repeat("no database ", 1000)), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, cfg := range map[string]Config{
		"second server":           {Dir: dir},
		"every address":           {Listen: "0.0.0.0:0"},
		"other address":           {Listen: "192.0.2.1:0"},
		"name":                    {Listen: "localhost:0"},
		"no database":             {Dir: other},
		"not a folder":            {Dir: filepath.Join(other, "streams.db")},
		"port taken":              {Listen: first.ln.Addr().String()},
		"missing a port":          {Listen: "127.0.0.1"},
		"every address, with TLS": {ListenTLS: "0.0.0.0:0"},
		"port taken, with TLS":    {ListenTLS: first.ln.Addr().String()},
	} {
		s, err := Open(cfg)
		if err == nil {
			_ = s.Close()
			t.Errorf("%s: opened", name)
		}
	}
	if got := must(t, first, "ListStreams", `{}`)["StreamNames"]; len(got.([]any)) != 1 {
		t.Errorf("the first server lists %v", got)
	}
}

// TestMissingRecords reports a file that somebody removed instead of going on
// without its records.
func TestMissingRecords(t *testing.T) {
	dir, clock := t.TempDir(), newClock()
	s := open(t, Config{Dir: dir, now: clock.now})
	must(t, s, "CreateStream", `{"StreamName":"s","ShardCount":1}`)
	put(t, s, "one")
	clock.pass(time.Hour)
	put(t, s, "two")
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(hourPath(dir, 1)); err != nil {
		t.Fatal(err)
	}
	if s, err := Open(Config{Dir: dir, now: clock.now}); err == nil {
		_ = s.Close()
		t.Error("opened without the first hour")
	} else if !strings.Contains(err.Error(), "records-00000001.db") {
		t.Errorf("error does not name the file: %v", err)
	}
}

// TestTemporaryFolder goes away with its server.
func TestTemporaryFolder(t *testing.T) {
	s := open(t, Config{})
	must(t, s, "CreateStream", `{"StreamName":"s","ShardCount":1}`)
	put(t, s, "one")
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(s.cfg.Dir); !os.IsNotExist(err) {
		t.Errorf("the folder is still there: %v", err)
	}
}

// TestRunEnds covers each way a run ends.
func TestRunEnds(t *testing.T) {
	run := func(s *Server, ctx context.Context) chan error {
		done := make(chan error, 1)
		go func() { done <- s.Run(ctx) }()
		resp, err := http.Post(s.URL(), contentType, strings.NewReader("{}"))
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		return done
	}
	t.Run("context", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		done := run(open(t, Config{}), ctx)
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	t.Run("close", func(t *testing.T) {
		s := open(t, Config{})
		done := run(s, t.Context())
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		if err := <-done; err != nil {
			t.Error(err)
		}
		if err := s.Run(t.Context()); err != nil {
			t.Errorf("run after close: %v", err)
		}
	})
	t.Run("storage breaks", func(t *testing.T) {
		s := open(t, Config{})
		must(t, s, "CreateStream", `{"StreamName":"s","ShardCount":1}`)
		done := run(s, t.Context())
		_ = s.writer.file.conn.Close() // as if the disk were gone
		refused(t, s, "PutRecord", `{"StreamName":"s","PartitionKey":"k","Data":"YQ=="}`, internalFailure)
		if err := <-done; err == nil || !strings.Contains(err.Error(), "store") {
			t.Errorf("run ended with %v", err)
		}
	})
}

// TestAnswerAfterCommit holds the disk up: as long as a record is not
// committed it is neither answered for nor shown.
func TestAnswerAfterCommit(t *testing.T) {
	s := open(t, Config{})
	must(t, s, "CreateStream", `{"StreamName":"s","ShardCount":1}`)
	db, err := sql.Open("sqlite", dsn(hourPath(s.cfg.Dir, 1)))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	db.SetMaxOpenConns(1)
	if _, err := db.Exec(`BEGIN IMMEDIATE`); err != nil {
		t.Fatal(err)
	}
	answered := make(chan int, 1)
	go func() {
		code, _ := post(t, s, "PutRecord", `{"StreamName":"s","PartitionKey":"k","Data":"YWJj"}`)
		answered <- code
	}()
	select {
	case code := <-answered:
		t.Fatalf("answered %d before the commit", code)
	case <-time.After(100 * time.Millisecond):
	}
	if got := horizon(t, s, firstShard); len(got) != 0 {
		t.Errorf("shown before the commit: %v", got)
	}
	if _, err := db.Exec(`ROLLBACK`); err != nil {
		t.Fatal(err)
	}
	if code := <-answered; code != http.StatusOK {
		t.Errorf("answered %d", code)
	}
	if d := cmp.Diff([]string{"abc"}, horizon(t, s, firstShard)); d != "" {
		t.Errorf("records (-want +got):\n%s", d)
	}
}

// TestFullDisk refuses records while they do not fit, and takes them again
// when they do. What was refused is not there.
func TestFullDisk(t *testing.T) {
	s := open(t, Config{})
	must(t, s, "CreateStream", `{"StreamName":"s","ShardCount":1}`)
	put(t, s, "before")
	limit := func(pages int) {
		t.Helper()
		if _, err := s.writer.file.conn.ExecContext(t.Context(), fmt.Sprintf(`PRAGMA max_page_count = %d`, pages)); err != nil {
			t.Fatal(err)
		}
	}
	limit(4)
	large, _ := json.Marshal(map[string]any{"StreamName": "s", "PartitionKey": "k", "Data": bytes.Repeat([]byte("x"), 500_000)})
	refused(t, s, "PutRecord", string(large), internalFailure)
	limit(1 << 20)
	put(t, s, "after")
	if d := cmp.Diff([]string{"before", "after"}, horizon(t, s, firstShard)); d != "" {
		t.Errorf("records (-want +got):\n%s", d)
	}
}
