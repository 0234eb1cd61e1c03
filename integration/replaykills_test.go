package integration

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// TestReplayAlertsKills kills a replay of the rules, again and again, and lets
// it go on: its alerts are those of one that nobody killed, each with as many
// events, and the live ones are as they were.
func TestReplayAlertsKills(t *testing.T) {
	dir, binary := t.TempDir(), build(t)
	p := up(t, binary, dir)
	const events, people = 2000, 100
	var body bytes.Buffer
	for i := range events {
		fmt.Fprintf(&body, "%s\n", refused(fmt.Sprint("r-", i), fmt.Sprintf("198.51.100.%d", i%people)))
	}
	file := filepath.Join(t.TempDir(), "in.jsonl")
	if err := os.WriteFile(file, body.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	command(t, binary, "--data", dir, "send", "--source", "okta", file)
	list := func(args ...string) map[string]int {
		got := map[string]int{}
		for _, a := range lines[alertLine](t, command(t, binary, append([]string{"--data", dir, "alerts", "list", "--format", "json"}, args...)...)) {
			got[a.Rule+" "+a.Key] += a.Count
		}
		return got
	}
	total := func(counts map[string]int) (n int) {
		for _, c := range counts {
			n += c
		}
		return n
	}
	var live map[string]int
	await(t, 30*time.Second, "the live alerts", func() bool {
		live = list()
		return total(live) == events
	})
	replay := func(name string) []string {
		return []string{"--data", dir, "replay", "--app", "live", "--from", "TRIM_HORIZON", "--name", name}
	}
	began := time.Now()
	summary := regexp.MustCompile(fmt.Sprintf(`; 0 unusable, \d+ skipped, %d matches; replay `, events))
	if code, _, said := run(binary, replay("whole")...); code != 0 || !summary.Match(said) {
		t.Fatalf("exit %d: %s", code, said)
	}
	took := time.Since(began)
	kills, done := 0, false
	for _, percent := range []time.Duration{40, 55, 65, 75} { // any moment will do
		cmd := exec.Command(binary, replay("cut")...)
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		over := make(chan error, 1)
		go func() { over <- cmd.Wait() }()
		select {
		case err := <-over:
			if err != nil {
				t.Fatal(err)
			}
			done = true // it was faster than before
		case <-time.After(took * percent / 100):
			_ = cmd.Process.Kill()
			<-over
			kills++
		}
	}
	if kills == 0 {
		t.Fatal("the replay was over before it could be killed")
	}
	t.Logf("%d kills, then %d of %d matches are there", kills, total(list("--origin", "replay:cut")), events)
	// Its summary is that of all its runs.
	if code, _, said := run(binary, replay("cut")...); code != 0 || !summary.Match(said) && !(done && bytes.Contains(said, []byte("was done at"))) {
		t.Fatalf("exit %d, want %d matches: %s", code, events, said)
	}
	whole := list("--origin", "replay:whole")
	if total(whole) != events {
		t.Errorf("the replay that nobody killed has %d matches, want %d", total(whole), events)
	}
	if d := cmp.Diff(whole, list("--origin", "replay:cut")); d != "" {
		t.Errorf("alerts differ (-whole +killed): %.2000s", d)
	}
	if d := cmp.Diff(live, list()); d != "" {
		t.Errorf("live alerts changed (-before +after): %.2000s", d)
	}
	p.stop()
}
