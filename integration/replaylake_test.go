package integration

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"math/big"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"
	"github.com/google/go-cmp/cmp"
)

// streamClient talks to the streams of a running up.
func streamClient(p *process) *kinesis.Client {
	return kinesis.NewFromConfig(aws.Config{Region: "us-east-1", BaseEndpoint: aws.String(p.info.Kinesis), Credentials: credentials.NewStaticCredentialsProvider("test", "test", "")})
}

// open are the open shards of a stream that can be used.
func openShards(t *testing.T, client *kinesis.Client, stream string) (open []types.Shard) {
	t.Helper()
	await(t, 20*time.Second, "the stream to be active", func() bool {
		out, err := client.DescribeStreamSummary(t.Context(), &kinesis.DescribeStreamSummaryInput{StreamName: &stream})
		return err == nil && out.StreamDescriptionSummary.StreamStatus == types.StreamStatusActive
	})
	out, err := client.ListShards(t.Context(), &kinesis.ListShardsInput{StreamName: &stream})
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range out.Shards {
		if s.SequenceNumberRange.EndingSequenceNumber == nil {
			open = append(open, s)
		}
	}
	return open
}

// split splits the first open shard.
func split(t *testing.T, client *kinesis.Client, stream string) {
	t.Helper()
	s := openShards(t, client, stream)[0]
	mid := new(big.Int).Add(decimal(s.HashKeyRange.StartingHashKey), decimal(s.HashKeyRange.EndingHashKey))
	if _, err := client.SplitShard(t.Context(), &kinesis.SplitShardInput{StreamName: &stream, ShardToSplit: s.ShardId, NewStartingHashKey: aws.String(mid.Rsh(mid, 1).String())}); err != nil {
		t.Fatal(err)
	}
	openShards(t, client, stream)
}

// merge merges the first two open shards that lie side by side.
func merge(t *testing.T, client *kinesis.Client, stream string) {
	t.Helper()
	open := openShards(t, client, stream)
	for _, a := range open {
		next := new(big.Int).Add(decimal(a.HashKeyRange.EndingHashKey), big.NewInt(1))
		for _, b := range open {
			if decimal(b.HashKeyRange.StartingHashKey).Cmp(next) != 0 {
				continue
			}
			if _, err := client.MergeShards(t.Context(), &kinesis.MergeShardsInput{StreamName: &stream, ShardToMerge: a.ShardId, AdjacentShardToMerge: b.ShardId}); err != nil {
				t.Fatal(err)
			}
			openShards(t, client, stream)
			return
		}
	}
	t.Fatal("no two shards to merge")
}

// signIns writes a file of sign-ins.
func signIns(t *testing.T, prefix string, n int, at time.Time) string {
	t.Helper()
	var b bytes.Buffer
	for i := range n {
		b.Write(signIn(fmt.Sprintf("%s-%d", prefix, i), at))
		b.WriteByte('\n')
	}
	file := filepath.Join(t.TempDir(), prefix+".jsonl")
	if err := os.WriteFile(file, b.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// lakeConfig is a configuration whose lake is elsewhere.
func lakeConfig(t *testing.T, dir string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "nagare.yaml")
	if err := os.WriteFile(file, fmt.Appendf(nil, "lake: {dir: %q}\n", dir), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// countFiles counts the files under a folder.
func countFiles(dir string) (n int) {
	_ = filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			n++
		}
		return nil
	})
	return n
}

type replayAnswer struct {
	Name                          string
	Events, Rows, Dead, Repeats   int
	Commits, Files, Bytes         int64
	ID, Source, Outcome, Redriven string
}

// TestReplayKills kills a replay that fills a lake, again and again, and lets
// it go on: from streams that were split and merged, with back-fills on the
// bulk stream, repeats and dead letters. Then each event is in the new lake
// once, also when the lake is filled from the archive.
func TestReplayKills(t *testing.T) {
	dir, binary := t.TempDir(), build(t)
	p := up(t, binary, dir)
	client := streamClient(p)
	send := func(file string) { command(t, binary, "--data", dir, "send", "--source", "okta", file) }
	now := time.Now()
	send(signIns(t, "a", 3000, now))
	split(t, client, "nagare")
	send(signIns(t, "b", 3000, now))
	merge(t, client, "nagare")
	send(signIns(t, "c", 3000, now))
	send(signIns(t, "c", 100, now)) // again
	send(signIns(t, "old", 2000, now.Add(-48*time.Hour)))
	bad := filepath.Join(t.TempDir(), "bad.txt")
	if err := os.WriteFile(bad, []byte("this is no JSON\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	send(bad)
	const want = 3*3000 + 2000
	var before map[string]int
	await(t, 60*time.Second, "the lake to hold everything", func() bool {
		before = countByUID(t, binary, dir)
		return len(before) == want
	})
	p.stop()
	live := tree(t, filepath.Join(dir, "lake"))

	for _, from := range []string{"TRIM_HORIZON", "archive:-1h"} {
		t.Run(from, func(t *testing.T) {
			into := filepath.Join(t.TempDir(), "lake")
			args := []string{"--data", dir, "replay", "--app", "compact", "--from", from, "--into", into, "--flush", "1ms", "--format", "json"}
			kills := 0
			for range 3 {
				had := countFiles(filepath.Join(into, "ext"))
				cmd := exec.Command(binary, args...)
				var log bytes.Buffer
				cmd.Stderr = &log
				if err := cmd.Start(); err != nil {
					t.Fatal(err)
				}
				over := make(chan error, 1)
				go func() { over <- cmd.Wait() }()
				ended := false
				await(t, 60*time.Second, "a commit of the replay", func() bool {
					select {
					case err := <-over:
						if err != nil {
							t.Fatalf("replay: %v: %s", err, log.Bytes())
						}
						ended = true
						return true
					default:
						return countFiles(filepath.Join(into, "ext")) > had
					}
				})
				if ended {
					break
				}
				_ = cmd.Process.Kill()
				<-over
				kills++
			}
			if kills == 0 {
				t.Fatal("the replay was over before it could be killed")
			}
			answers := lines[replayAnswer](t, command(t, binary, args...))
			if len(answers) != 1 {
				t.Fatalf("answered %+v", answers)
			}
			a := answers[0]
			t.Logf("%d kills: %+v", kills, a)
			if a.Rows != want || a.Dead != 1 || a.Repeats != 100 || a.Events != want+101 {
				t.Errorf("answered %+v; want %d rows, 1 dead, 100 repeats", a, want)
			}
			if d := cmp.Diff(before, countByUIDOf(t, binary, "--config", lakeConfig(t, into), "--data", dir)); d != "" {
				t.Errorf("the lakes differ (-pipeline +replay): %.2000s", d)
			}
			if dead := lines[replayAnswer](t, command(t, binary, "--data", dir, "deadletters", "list", "--root", into, "--format", "json")); len(dead) != 1 {
				t.Errorf("%d dead letters in the replay's folder, want 1", len(dead))
			}
			// Done is done, and said so.
			code, out, stderr := run(binary, args...)
			if code != 0 || !bytes.Contains(stderr, []byte("was done")) || len(lines[replayAnswer](t, out)) != 1 {
				t.Errorf("once more: exit %d, %s %s", code, out, stderr)
			}
			// The folder is this replay's, and no other's.
			if code, _, stderr := run(binary, "--data", dir, "replay", "--app", "compact", "--from", from, "--into", into, "--name", "other"); code != 2 || !bytes.Contains(stderr, []byte("belongs to")) {
				t.Errorf("another replay into the same folder: exit %d, %s", code, stderr)
			}
			if code, _, stderr := run(binary, "--config", lakeConfig(t, into), "--data", t.TempDir(), "up", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"); code != 2 || !bytes.Contains(stderr, []byte("belongs to")) {
				t.Errorf("a pipeline on the replay's lake: exit %d, %s", code, stderr)
			}
		})
	}
	if d := cmp.Diff(live, tree(t, filepath.Join(dir, "lake"))); d != "" {
		t.Errorf("the pipeline's lake changed (-before +after): %.1000s", d)
	}
	for _, into := range []string{filepath.Join(dir, "lake"), dir, filepath.Join(dir, "archive", "x")} {
		if code, _, _ := run(binary, "--data", dir, "replay", "--app", "compact", "--from", "TRIM_HORIZON", "--into", into); code != 2 {
			t.Errorf("into %s: exit %d, want 2", into, code)
		}
	}
}

// tree is what a folder holds: names and sizes.
func tree(t *testing.T, dir string) map[string]int64 {
	t.Helper()
	files := map[string]int64{}
	err := filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if err == nil {
			files[strings.TrimPrefix(name, dir)] = info.Size()
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

func countByUIDOf(t *testing.T, binary string, flags ...string) map[string]int {
	t.Helper()
	out := command(t, binary, append(flags, "query", "--format", "json", "select metadata.uid as uid, count(*) as n from authentication group by 1")...)
	rows := map[string]int{}
	for _, r := range lines[struct {
		UID string
		N   int
	}](t, out) {
		rows[r.UID] = r.N
	}
	return rows
}

// TestDryRunWritesNothing compares the data folder before and after. (The
// streams' own files know that they were opened, and the lock who had it.)
func TestDryRunWritesNothing(t *testing.T) {
	dir, binary := t.TempDir(), build(t)
	command(t, binary, "--data", dir, "send", "--source", "okta", signIns(t, "d", 50, time.Now()))
	command(t, binary, "--data", dir, "replay", "--app", "live", "--from", "-1h", "--name", "first")
	look := func() map[string]string {
		files := map[string]string{}
		for name := range tree(t, dir) {
			if !strings.HasPrefix(name, "/kinesis/") && !strings.HasSuffix(name, "-shm") && !strings.HasSuffix(name, "-wal") {
				data, err := os.ReadFile(dir + name)
				if err != nil {
					t.Fatal(err)
				}
				if name == "/lock" {
					data = nil
				}
				files[name] = string(data)
			}
		}
		return files
	}
	before := look()
	for _, app := range []string{"live", "compact"} {
		out := command(t, binary, "--data", dir, "replay", "--app", app, "--from", "app:replay-first", "--dry-run", "--format", "json")
		if app == "compact" && len(out) != 0 {
			t.Errorf("from where all was read: %s", out)
		}
		out = command(t, binary, "--data", dir, "replay", "--app", app, "--from", "TRIM_HORIZON", "--dry-run", "--format", "json")
		if want := `{"class":"authentication","events":50}` + "\n"; app == "compact" && string(out) != want {
			t.Errorf("a dry run says %s, want %s", out, want)
		}
	}
	if d := cmp.Diff(before, look()); d != "" {
		t.Errorf("the data folder changed: %.500s", d)
	}
}

// door is a mapping of a source that nobody knows. Its first version looks at
// a member that some events do not have.
func door(t *testing.T, where string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range map[string]string{
		"nagare.yaml": fmt.Sprintf("mappings: {dirs: [%q]}\n", filepath.Join(dir, "mappings")),
		"mappings/door.yaml": `source: door
products: {door: {vendor_name: Example Locks, name: Door Log}}
uid: raw.id
events:
  - class: base_event
    when: ` + where + `
    set: {message: "'door'"}
`,
	} {
		file := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return filepath.Join(dir, "nagare.yaml")
}

type deadLetter struct {
	ID, UID, Reason, Mapping string
	Redriven                 time.Time
}

// TestRedrive puts dead letters on the stream again after the mapping was
// mended, twice: the rows are there once, and what came again by itself
// meanwhile is not doubled.
func TestRedrive(t *testing.T) {
	dir, binary := t.TempDir(), build(t)
	in := filepath.Join(t.TempDir(), "in.jsonl")
	var b bytes.Buffer
	for i := range 10 {
		fmt.Fprintf(&b, `{"id":"d-%d","kind":"%s"}`+"\n", i, map[bool]string{true: "new", false: "known"}[i < 6])
	}
	if err := os.WriteFile(in, b.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	old, mended := door(t, `raw.kind == "known"`), door(t, "true")
	rows := func(config string) map[string]int {
		got := map[string]int{}
		for _, r := range lines[struct {
			UID string
			N   int
		}](t, command(t, binary, "--config", config, "--data", dir, "query", "--format", "json", "select metadata.uid as uid, count(*) as n from base_event group by 1")) {
			got[r.UID] = r.N
		}
		return got
	}
	list := func(args ...string) []deadLetter {
		return lines[deadLetter](t, command(t, binary, append([]string{"--config", old, "--data", dir, "deadletters", "list", "--format", "json"}, args...)...))
	}
	p := up(t, binary, dir, "--config", old)
	command(t, binary, "--config", old, "--data", dir, "send", "--source", "door", in)
	var dead []deadLetter
	await(t, 30*time.Second, "six dead letters", func() bool { dead = list(); return len(dead) == 6 })
	for _, d := range dead {
		if d.Reason != "no-mapping" || !strings.HasPrefix(d.Mapping, "door@") {
			t.Errorf("dead letter %+v", d)
		}
	}
	if got := list("--since", "-1h", "--limit", "2"); len(got) != 2 {
		t.Errorf("--limit 2 lists %d", len(got))
	}
	if got := list("--source", "okta"); len(got) != 0 {
		t.Errorf("--source okta lists %d", len(got))
	}
	var shown struct{ Body string }
	if err := json.Unmarshal(command(t, binary, "--data", dir, "deadletters", "show", dead[0].ID, "--format", "json"), &shown); err != nil || !strings.Contains(shown.Body, `"kind":"new"`) {
		t.Errorf("shown %+v, %v", shown, err)
	}
	metrics := string(get(t, p.info.Admin+"/metrics"))
	if !strings.Contains(metrics, fmt.Sprintf(`nagare_dead_letters_total{reason=%q,source="door"} 6`, dead[0].Reason)) {
		t.Error("/metrics does not count six dead letters of door")
	}
	p.stop()

	// The sender repeats two of them, and the mended mapping takes these.
	p = up(t, binary, dir, "--config", mended)
	again := filepath.Join(t.TempDir(), "again.jsonl")
	if err := os.WriteFile(again, []byte(`{"id":"d-0","kind":"new"}`+"\n"+`{"id":"d-1","kind":"new"}`+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	command(t, binary, "--config", mended, "--data", dir, "send", "--source", "door", again)
	await(t, 30*time.Second, "the repeats in the lake", func() bool { return len(rows(mended)) == 6 })
	redrive := func(args ...string) map[string]int {
		t.Helper()
		got := map[string]int{}
		for _, l := range lines[replayAnswer](t, command(t, binary, append([]string{"--config", mended, "--data", dir, "deadletters", "redrive", "--format", "json"}, args...)...)) {
			got[l.Outcome]++
		}
		return got
	}
	for _, c := range []struct {
		args []string
		want map[string]int
	}{
		{[]string{"--dry-run"}, map[string]int{"redriven": 4, "in-lake": 2}},
		{[]string{"--source", "okta"}, map[string]int{}},
		{[]string{"--id", dead[5].ID, "--reason", dead[5].Reason}, map[string]int{"redriven": 1}},
		{nil, map[string]int{"redriven": 3, "redriven-before": 1, "in-lake": 2}},
		{nil, map[string]int{"redriven-before": 4, "in-lake": 2}},
	} {
		if d := cmp.Diff(c.want, redrive(c.args...)); d != "" {
			t.Errorf("redrive %v (-want +got): %s", c.args, d)
		}
	}
	await(t, 30*time.Second, "all rows", func() bool { return len(rows(mended)) == 10 })
	// Also when they are put once more: those that landed are known.
	if d := cmp.Diff(map[string]int{"in-lake": 6}, redrive("--again")); d != "" {
		t.Errorf("redrive --again (-want +got): %s", d)
	}
	p.stop()
	for uid, n := range rows(mended) {
		if n != 1 {
			t.Errorf("%s is in the lake %d times", uid, n)
		}
	}
	redriven := 0
	for _, d := range list() {
		if !d.Redriven.IsZero() {
			redriven++
		}
	}
	if redriven != 4 {
		t.Errorf("%d letters are marked, want 4", redriven)
	}
}

// TestDeadLettersNotWritable holds that a shard whose dead letters cannot be
// written stops and says so, with the good events of the commit; and that all
// of it is there once they can.
func TestDeadLettersNotWritable(t *testing.T) {
	dir, binary := t.TempDir(), build(t)
	archive := filepath.Join(dir, "archive")
	if err := os.MkdirAll(archive, 0o700); err != nil {
		t.Fatal(err)
	}
	// A file where the folder belongs: root may write everywhere else.
	block := filepath.Join(archive, "deadletters")
	if err := os.WriteFile(block, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	p := up(t, binary, dir)
	in := filepath.Join(t.TempDir(), "in.txt")
	if err := os.WriteFile(in, append(signIn("good", time.Now()), "\nno JSON\n"...), 0o600); err != nil {
		t.Fatal(err)
	}
	command(t, binary, "--data", dir, "send", "--source", "okta", in)
	await(t, 30*time.Second, "the shard to say that it cannot write", func() bool {
		return strings.Contains(string(get(t, p.info.Admin+"/readyz")), "deadletters")
	})
	if got := lines[replayAnswer](t, command(t, binary, "--data", dir, "checkpoints", "list", "--app", "compact", "--format", "json")); len(got) == 0 {
		t.Error("no checkpoints of compact")
	}
	if err := os.Remove(block); err != nil {
		t.Fatal(err)
	}
	await(t, 60*time.Second, "the row and the dead letter", func() bool {
		dead := lines[deadLetter](t, command(t, binary, "--data", dir, "deadletters", "list", "--format", "json"))
		return len(dead) == 1 && countByUID(t, binary, dir)["good"] == 1
	})
	p.stop()
}

// get returns what a URL answers, whatever its status.
func get(t *testing.T, url string) []byte {
	t.Helper()
	resp, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return body
}

// TestReplayDocs runs the commands of docs/replay.md, one after the other.
func TestReplayDocs(t *testing.T) {
	binary := build(t)
	text, err := os.ReadFile("../docs/replay.md")
	if err != nil {
		t.Fatal(err)
	}
	_, block, ok := strings.Cut(string(text), "```sh\n")
	block, _, end := strings.Cut(block, "\n```")
	if !ok || !end {
		t.Fatal("docs/replay.md has no block of commands")
	}
	dir := t.TempDir()
	in, err := os.ReadFile(signIns(t, "s", 20, time.Now()))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "sign-ins.jsonl"), in, 0o600); err != nil {
		t.Fatal(err)
	}
	n := 0
	for line := range strings.Lines(block) {
		words := strings.Fields(line)
		if len(words) < 2 || words[0] != "nagare" {
			t.Fatalf("%q is no command", line)
		}
		cmd := exec.Command(binary, words[1:]...)
		cmd.Dir = dir
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("%s: %v: %s", line, err, out)
		}
		n++
	}
	if n < 10 {
		t.Errorf("only %d commands", n)
	}
}

// TestCheckpoints lists how far applications are, keeps that, and sets it back
// where that is safe.
func TestCheckpoints(t *testing.T) {
	type line struct {
		App, Stream, Shard, State, Position, From, Owner, Ledger string
		Records                                                  int     `json:"lag_records"`
		Lag                                                      float64 `json:"lag_seconds"`
	}
	dir, binary := t.TempDir(), build(t)
	p := up(t, binary, dir)
	list := func(args ...string) map[string]line {
		got := map[string]line{}
		for _, l := range lines[line](t, command(t, binary, append([]string{"--data", dir, "checkpoints", "list", "--format", "json"}, args...)...)) {
			got[l.App+" "+l.Stream] = l
		}
		return got
	}
	send := func(prefix string) {
		command(t, binary, "--data", dir, "send", "--source", "okta", signIns(t, prefix, 20, time.Now()))
	}
	send("a")
	await(t, 30*time.Second, "all to be read", func() bool {
		got := list()
		live, compact := got["live nagare"], got["compact nagare"]
		return live.Position != "" && live.Records == 0 && compact.Position == live.Position && compact.Ledger == live.Position && live.State == "reading" && live.Owner != ""
	})
	if code, _, stderr := run(binary, "--data", dir, "checkpoints", "set", "--app", "live", "--to", "TRIM_HORIZON"); code != 2 || !bytes.Contains(stderr, []byte("running")) {
		t.Errorf("set while it runs: exit %d, %s", code, stderr)
	}
	command(t, binary, "--data", dir, "checkpoints", "save", "first")
	if code, _, _ := run(binary, "--data", dir, "checkpoints", "save", "first"); code != 2 {
		t.Errorf("the same name: exit %d, want 2", code)
	}
	p.stop()
	send("b") // nobody reads it
	got := list()
	if l := got["live nagare"]; l.Records == 0 || l.Lag <= 0 || l.State != "idle" {
		t.Errorf("live lags by nothing: %+v", l)
	}
	for to, want := range map[string]int{"TRIM_HORIZON": 2, "-1h": 2, "app:live": 0, "archive:-1h": 2, "checkpoint:nothing": 2} {
		if code, _, stderr := run(binary, "--data", dir, "checkpoints", "set", "--app", "compact", "--to", to); code != want {
			t.Errorf("compact to %s: exit %d, want %d: %s", to, code, want, stderr)
		}
	}
	command(t, binary, "--data", dir, "checkpoints", "set", "--app", "live", "--to", "TRIM_HORIZON")
	if l := list("--app", "live")["live nagare"]; l.Position != "" || l.Records <= got["live nagare"].Records {
		t.Errorf("live was not set back: %+v", l)
	}
	// Nothing came after this time: it is the place that is shown, and counted from.
	at := time.Now().UTC().Format(time.RFC3339Nano)
	command(t, binary, "--data", dir, "checkpoints", "set", "--app", "live", "--to", at)
	if l := list("--app", "live")["live nagare"]; l.From != at || l.Position != "" || l.Records != 0 || l.Lag != 0 {
		t.Errorf("live is not at %s: %+v", at, l)
	}
	if out := command(t, binary, "--data", dir, "checkpoints", "list", "--app", "live", "--format", "table"); !bytes.Contains(out, []byte("from "+at)) {
		t.Errorf("the list lacks the place that was set: %s", out)
	}
	// Places that never were are refused at once, with those that are.
	for from, says := range map[string]string{
		"seq:shardId-000000000009:1": "it has shardId-000000000000",
		"seq:shardId-000000000000:99999999999999999999999999999999999999999999999999999999": "the newest record of shardId-000000000000 of nagare is ",
	} {
		for _, args := range [][]string{{"replay", "--app", "live", "--from", from}, {"checkpoints", "set", "--app", "live", "--to", from}} {
			if code, _, stderr := run(binary, append([]string{"--data", dir}, args...)...); code != 2 || !bytes.Contains(stderr, []byte(says)) {
				t.Errorf("%v: exit %d, want 2 with %q: %s", args, code, says, stderr)
			}
		}
	}
	command(t, binary, "--data", dir, "checkpoints", "set", "--app", "live", "--to", "checkpoint:first")
	if l := list("--app", "live")["live nagare"]; l.Position != got["live nagare"].Position || l.Records != got["live nagare"].Records {
		t.Errorf("live is not where it was: %+v", l)
	}
	p = up(t, binary, dir)
	await(t, 30*time.Second, "live to catch up", func() bool { return list()["live nagare"].Records == 0 })
	p.stop()
	rows := countByUID(t, binary, dir)
	if len(rows) != 40 {
		t.Errorf("%d rows, want 40", len(rows))
	}
	for uid, n := range rows {
		if n != 1 {
			t.Errorf("%s is in the lake %d times", uid, n)
		}
	}
}
