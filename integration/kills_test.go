package integration

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"time"
)

// signIn is an Okta sign-in with an id of its own, at a time. From six hours
// on it takes the way of old events, by the bulk stream.
func signIn(uid string, at time.Time) []byte {
	return fmt.Appendf(nil, `{"uuid":%q,"published":%q,"eventType":"policy.evaluate_sign_on","version":"0","severity":"INFO","displayMessage":"Evaluation of sign-on policy",`+
		`"actor":{"id":"00u1","type":"User","alternateId":"sato@example.co.jp","displayName":"Sato"},"client":{"ipAddress":"203.0.113.20"},`+
		`"outcome":{"result":"ALLOW"},"debugContext":{"debugData":{"authMethodFirstType":"webauthn:webauthn:aut3"}},`+
		`"target":[{"id":"0oa1","type":"AppInstance","alternateId":"Payroll","displayName":"Payroll"}]}`,
		uid, at.UTC().Format("2006-01-02T15:04:05.000Z"))
}

// TestKills kills the pipeline at random moments under load, starts it again,
// and counts the lake by uid: everything acknowledged is there, and nothing is
// there twice. NAGARE_KILLS sets the number of kills.
func TestKills(t *testing.T) {
	kills := 5
	if n, err := strconv.Atoi(os.Getenv("NAGARE_KILLS")); err == nil {
		kills = n
	}
	killsOn(t, kills, "stream: {shards: 3}\n", func(int) {})
}

// killsOn runs the pipeline of a configuration, kills it so many times, and
// counts. meanwhile is called while it runs, before each kill and once more
// before the count.
func killsOn(t *testing.T, kills int, text string, meanwhile func(round int)) {
	t.Helper()
	dir := t.TempDir()
	binary := build(t)
	seed := uint64(time.Now().UnixNano())
	t.Logf("%d kills, seed %d", kills, seed)
	rnd := rand.New(rand.NewPCG(seed, 1))

	config := filepath.Join(t.TempDir(), "nagare.yaml")
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	s := &senders{acked: map[string]bool{}}
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	for i := range 4 {
		s.wg.Add(1)
		go s.send(ctx, i)
	}
	for round := range kills {
		p := up(t, binary, dir, "--config", config)
		s.target(p.info)
		time.Sleep(time.Duration(200+rnd.IntN(1500)) * time.Millisecond) // the moment is the point: any will do
		meanwhile(round)
		p.kill9()
		s.target(runInfo{})
	}
	p := up(t, binary, dir, "--config", config)
	s.target(p.info)
	meanwhile(kills)
	// A little more after the last start, and then no more.
	await(t, 20*time.Second, "deliveries after the last start", func() bool { return s.since() > 20 })
	stop()
	s.wg.Wait()
	acked := s.all()
	if len(acked) < 20*kills {
		t.Fatalf("%d deliveries were acknowledged: not much of a load", len(acked))
	}

	var rows map[string]int
	await(t, 60*time.Second, "the lake to hold everything acknowledged", func() bool {
		rows = countByUID(t, binary, dir)
		for uid := range acked {
			if rows[uid] == 0 {
				return false
			}
		}
		return true
	})
	p.stop()
	rows = countByUID(t, binary, dir) // and after the last flush
	lost, doubled := 0, 0
	for uid := range acked {
		if rows[uid] == 0 {
			lost++
		}
	}
	for uid, n := range rows {
		if n > 1 {
			doubled++
			t.Errorf("%s is in the lake %d times", uid, n)
		}
	}
	t.Logf("%d kills: %d acknowledged, %d rows, %d lost, %d doubled", kills, len(acked), len(rows), lost, doubled)
	if lost > 0 || doubled > 0 {
		t.Fail()
	}
}

// countByUID asks the lake how often each uid is there.
func countByUID(t *testing.T, binary, dir string) map[string]int {
	t.Helper()
	out := command(t, binary, "--data", dir, "query", "--format", "json", "select metadata.uid as uid, count(*) as n from authentication group by 1")
	rows := map[string]int{}
	for line := range bytes.Lines(out) {
		var r struct {
			UID string
			N   int
		}
		if err := json.Unmarshal(line, &r); err != nil {
			t.Fatalf("query answered %q: %v", line, err)
		}
		rows[r.UID] = r.N
	}
	return rows
}

// senders post sign-ins until told to stop, each again until it is
// acknowledged, as a webhook's sender does.
type senders struct {
	wg sync.WaitGroup

	mu    sync.Mutex
	info  runInfo
	acked map[string]bool
	mark  int // len(acked) when the target changed
}

func (s *senders) target(info runInfo) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.info, s.mark = info, len(s.acked)
}

func (s *senders) since() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.acked) - s.mark
}

func (s *senders) all() map[string]bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.acked
}

func (s *senders) send(ctx context.Context, worker int) {
	defer s.wg.Done()
	client := &http.Client{Timeout: 5 * time.Second}
	for n := 0; ctx.Err() == nil; n++ {
		uid := fmt.Sprintf("kill-%d-%d", worker, n)
		at := time.Now()
		if n%5 == 4 {
			at = at.Add(-30 * 24 * time.Hour)
		}
		body := signIn(uid, at)
		for ctx.Err() == nil && !s.post(ctx, client, body) {
			time.Sleep(20 * time.Millisecond) // nobody is there to be asked
		}
		if ctx.Err() == nil {
			s.mu.Lock()
			s.acked[uid] = true
			s.mu.Unlock()
		}
	}
}

func (s *senders) post(ctx context.Context, client *http.Client, body []byte) bool {
	s.mu.Lock()
	info := s.info
	s.mu.Unlock()
	if info.HTTP == "" {
		return false
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, info.HTTP+"/v1/okta", bytes.NewReader(body))
	if err != nil {
		return false
	}
	req.Header.Set("X-Nagare-Token", info.Tokens["okta"])
	resp, err := client.Do(req)
	if err != nil {
		return false
	}
	defer resp.Body.Close()
	_, err = io.Copy(io.Discard, resp.Body)
	return err == nil && resp.StatusCode == http.StatusAccepted
}

// TestOneFolderOneProcess holds what section 12 of the design says of the
// lock: a second up is refused, other commands work beside the first, a stale
// run.json is no trouble, and a lock whose holder does not answer is exit 3.
func TestOneFolderOneProcess(t *testing.T) {
	dir, binary := t.TempDir(), build(t)
	p := up(t, binary, dir)
	if code, _, _ := run(binary, "--data", dir, "up", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"); code != 2 {
		t.Errorf("a second up: exit %d, want 2", code)
	}
	file := filepath.Join(t.TempDir(), "in.jsonl")
	if err := os.WriteFile(file, signIn("beside", time.Now()), 0o600); err != nil {
		t.Fatal(err)
	}
	command(t, binary, "--data", dir, "send", "--source", "okta", file)
	await(t, 30*time.Second, "the event sent beside up", func() bool { return countByUID(t, binary, dir)["beside"] == 1 })
	command(t, binary, "--data", dir, "alerts", "list")
	command(t, binary, "--data", dir, "deadletters", "list")
	p.kill9()

	// run.json is still there, and says nothing true.
	command(t, binary, "--data", dir, "alerts", "list")
	if err := os.WriteFile(file, signIn("alone", time.Now()), 0o600); err != nil {
		t.Fatal(err)
	}
	command(t, binary, "--data", dir, "send", "--source", "okta", file)
	token := p.info.Tokens["okta"]
	p = up(t, binary, dir)
	if p.info.Tokens["okta"] != token {
		t.Error("a restart changed the token that senders were given")
	}
	await(t, 30*time.Second, "the event sent without up", func() bool { return countByUID(t, binary, dir)["alone"] == 1 })
	p.pause()
	if code, _, stderr := run(binary, "--data", dir, "alerts", "list"); code != 3 {
		t.Errorf("alerts beside a process that does not answer: exit %d, want 3: %s", code, stderr)
	}
	p.unpause()
	p.stop()
}
