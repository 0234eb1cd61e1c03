package integration

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"nagare/internal/coord/coordtest"
)

// TestLedgerLost kills the pipeline under load, removes coord.db, rebuilds the
// ledger, and goes on; a few times. Before, the last commit of a shard is made
// to look as if it had not been published, or in part, or another had been
// begun. In the end everything acknowledged is in the lake, once.
func TestLedgerLost(t *testing.T) {
	ledgerLost(t, "stream: {shards: 3}\n", func(dir string) {
		for _, name := range []string{"coord.db", "coord.db-wal", "coord.db-shm"} {
			if err := os.Remove(filepath.Join(dir, name)); err != nil && name == "coord.db" {
				t.Fatal(err)
			}
		}
	})
}

// TestLedgerLostDynamoDB is the same, with a table that is deleted.
func TestLedgerLostDynamoDB(t *testing.T) {
	url := coordtest.Dynalite(t)
	client := dynamodb.New(dynamodb.Options{Region: "us-east-1", BaseEndpoint: &url, Credentials: credentials.NewStaticCredentialsProvider("id", "secret", "")})
	table := "lost"
	ledgerLost(t, fmt.Sprintf("stream: {shards: 3}\ncoord: {kind: dynamodb, table: %s, endpoint: %q}\n", table, url), func(string) {
		ctx := context.WithoutCancel(t.Context())
		if _, err := client.DeleteTable(ctx, &dynamodb.DeleteTableInput{TableName: &table}); err != nil {
			t.Fatal(err)
		}
		if err := dynamodb.NewTableNotExistsWaiter(client).Wait(ctx, &dynamodb.DescribeTableInput{TableName: &table}, time.Minute); err != nil {
			t.Fatal(err)
		}
	})
}

// ledgerLost does it. lose removes the rows, all of them.
func ledgerLost(t *testing.T, text string, lose func(dir string)) {
	t.Helper()
	dir, binary := t.TempDir(), build(t)
	rounds := number("NAGARE_KILLS", 3)
	seed := uint64(number("NAGARE_SEED", int(time.Now().UnixNano())))
	t.Logf("%d rounds, NAGARE_SEED=%d", rounds, seed)
	rnd := rand.New(rand.NewPCG(seed, 3))
	config := filepath.Join(t.TempDir(), "nagare.yaml")
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	l := ledger{t, binary, config, dir}
	s := &senders{acked: map[string]bool{}}
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	for i := range 4 {
		s.wg.Add(1)
		go s.send(ctx, i)
	}
	undone, notes := 0, map[string]int{}
	for round := range rounds {
		p := up(t, binary, dir, "--config", config)
		s.target(p.info)
		await(t, 60*time.Second, "a commit of this round", func() bool { return s.since() > 30 && len(files(t, dir, "stage", "manifest.json")) >= 4*(round+1) })
		time.Sleep(time.Duration(rnd.IntN(1200)) * time.Millisecond) // the moment is the point: any will do
		p.kill9()
		s.target(runInfo{})
		undone += l.undo(rnd)
		lose(dir)
		if round == 0 {
			l.refused()
		}
		for range rnd.IntN(3) { // a rebuild that is killed, and run again
			cmd := exec.Command(binary, l.args("lake", "rebuild")...)
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Duration(rnd.IntN(150)) * time.Millisecond)
			_ = cmd.Process.Kill()
			_ = cmd.Wait()
		}
		var dry, wet, again []rebuilt
		dry, wet, again = l.rebuild("--dry-run"), l.rebuild(), l.rebuild()
		for i, r := range wet {
			if len(dry) != len(wet) || dry[i] != r {
				t.Errorf("a dry run says %+v, and it is %+v", dry, wet)
				break
			}
			if len(again) != len(wet) || again[i].Outcome != "kept" || again[i].N != r.N || r.Outcome == "refused" || r.N < 1 {
				t.Errorf("rebuilt %+v, and again %+v", wet, again)
				break
			}
			if r.Note != "" {
				notes[strings.Join(strings.Fields(r.Note)[:2], " ")]++
			}
		}
		if len(wet) < 4 { // two streams, and one of the bulk's shards may be idle
			t.Errorf("%d shards were rebuilt", len(wet))
		}
	}
	p := up(t, binary, dir, "--config", config)
	s.target(p.info)
	await(t, 20*time.Second, "deliveries after the last start", func() bool { return s.since() > 20 })
	stop()
	s.wg.Wait()
	acked := s.all()
	missing := func() (n int, rows map[string]int) {
		rows = countByUID(t, binary, dir)
		for uid := range acked {
			if rows[uid] == 0 {
				n++
			}
		}
		return n, rows
	}
	await(t, 60*time.Second, "the lake to hold everything acknowledged", func() bool { n, _ := missing(); return n == 0 })
	p.stop()
	lost, rows := missing() // and after the last flush
	doubled := 0
	for uid, n := range rows {
		if n > 1 {
			doubled++
			t.Errorf("%s is in the lake %d times", uid, n)
		}
	}
	t.Logf("the ledger was lost %d times, %d shards had been changed, notes %v: %d acknowledged, %d rows, %d lost, %d doubled", rounds, undone, notes, len(acked), len(rows), lost, doubled)
	if lost > 0 || doubled > 0 {
		t.Fail()
	}
}

// A ledger is a folder whose ledger is lost and rebuilt.
type ledger struct {
	t                   *testing.T
	binary, config, dir string
}

func (l *ledger) args(args ...string) []string {
	return append([]string{"--config", l.config, "--data", l.dir}, args...)
}

type rebuilt struct {
	Stream, Shard, Outcome, To, State, Note string
	N                                       int64
	Closed                                  bool
}

func (l *ledger) rebuild(flags ...string) (out []rebuilt) {
	l.t.Helper()
	answer := command(l.t, l.binary, l.args(append([]string{"lake", "rebuild", "--format", "json", "--lease", "1s"}, flags...)...)...)
	for line := range bytes.Lines(answer) {
		var r rebuilt
		if err := json.Unmarshal(line, &r); err != nil {
			l.t.Fatalf("lake rebuild answered %q: %v", line, err)
		}
		out = append(out, r)
	}
	return out
}

// refused holds what is said while the ledger is lost: the pipeline is not
// ready, and says what to do; the ledger is not rebuilt beside it.
func (l *ledger) refused() {
	l.t.Helper()
	p := &process{t: l.t, log: &bytes.Buffer{}, done: make(chan struct{})}
	p.cmd = exec.Command(l.binary, l.args("up", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--flush", "1s")...)
	p.cmd.Stdout, p.cmd.Stderr = p.log, p.log
	if err := p.cmd.Start(); err != nil {
		l.t.Fatal(err)
	}
	go func() {
		p.err = p.cmd.Wait()
		close(p.done)
	}()
	defer p.kill9()
	var body []byte
	defer func() {
		if l.t.Failed() {
			l.t.Logf("/readyz says %s; log %s", body, p.log)
		}
	}()
	await(l.t, 30*time.Second, "/readyz to say what to do", func() bool {
		var info runInfo
		data, err := os.ReadFile(filepath.Join(l.dir, "run.json"))
		if err != nil || json.Unmarshal(data, &info) != nil || info.PID != p.cmd.Process.Pid {
			return false
		}
		resp, err := http.Get(info.Admin + "/readyz")
		if err != nil {
			return false
		}
		defer resp.Body.Close()
		body, _ = io.ReadAll(resp.Body)
		return resp.StatusCode == http.StatusServiceUnavailable && bytes.Contains(body, []byte("nagare lake rebuild"))
	})
	code, _, stderr := run(l.binary, l.args("lake", "rebuild")...)
	if code != 2 || !bytes.Contains(stderr, []byte("stop up")) {
		l.t.Errorf("lake rebuild beside up: exit %d, want 2: %s", code, stderr)
	}
	p.kill9()
	other := filepath.Join(l.t.TempDir(), "nagare.yaml")
	if err := os.WriteFile(other, []byte("lake: {dir: .}\n"), 0o600); err != nil {
		l.t.Fatal(err)
	}
	code, _, stderr = run(l.binary, "--config", other, "--data", l.dir, "lake", "rebuild")
	if code != 2 || !bytes.Contains(stderr, []byte("is not the lake that compact filled")) {
		l.t.Errorf("lake rebuild with another folder for the lake: exit %d, want 2: %s", code, stderr)
	}
	code, _, stderr = run(l.binary, "--data", l.t.TempDir(), "lake", "rebuild")
	if code != 2 || !bytes.Contains(stderr, []byte("there is no ")) {
		l.t.Errorf("lake rebuild of an empty folder: exit %d, want 2: %s", code, stderr)
	}
}

// undo makes the last commit of some shards look as if the worker had died
// earlier, and returns how many.
func (l *ledger) undo(rnd *rand.Rand) (n int) {
	l.t.Helper()
	last := map[string]string{} // by folder of the shard, the last manifest
	for _, name := range files(l.t, l.dir, "stage", "manifest.json") {
		shard := filepath.Dir(filepath.Dir(filepath.Dir(name)))
		last[shard] = max(last[shard], name)
	}
	for _, shard := range slices.Sorted(maps.Keys(last)) {
		var m struct {
			N       int64
			Entries []struct{ Store, Key string }
		}
		data, err := os.ReadFile(last[shard])
		if err == nil {
			err = json.Unmarshal(data, &m)
		}
		if err != nil {
			l.t.Fatal(err)
		}
		if exists(filepath.Join(shard, fmt.Sprintf("%012d", m.N))) {
			continue // a further one was being staged, so this one is published
		}
		from := len(m.Entries)
		switch rnd.IntN(4) {
		case 0: // as if nothing had been published
			from = 0
		case 1: // as if not all had been
			from = max(1, len(m.Entries)-1)
		case 2: // as if a further one were being staged; all of the last is published then
			if from > 0 && exists(filepath.Join(l.dir, m.Entries[from-1].Store, m.Entries[from-1].Key)) {
				part := filepath.Join(shard, fmt.Sprintf("%012d", m.N), "begun")
				if err := os.MkdirAll(part, 0o700); err != nil {
					l.t.Fatal(err)
				}
				if err := os.WriteFile(filepath.Join(part, "part-000.parquet"), []byte("begun"), 0o600); err != nil {
					l.t.Fatal(err)
				}
				n++
			}
		}
		for _, e := range m.Entries[from:] {
			if err := os.Remove(filepath.Join(l.dir, e.Store, e.Key)); err == nil && from < len(m.Entries) {
				from = len(m.Entries)
				n++
			}
		}
	}
	return n
}

func exists(name string) bool {
	_, err := os.Stat(name)
	return err == nil
}

// files are the files of a name below a folder.
func files(t *testing.T, dir, under, name string) (out []string) {
	t.Helper()
	err := filepath.WalkDir(filepath.Join(dir, under), func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.Name() == name {
			out = append(out, path)
		}
		return nil // what is removed meanwhile is no trouble
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}
