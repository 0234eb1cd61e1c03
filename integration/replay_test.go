package integration

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// refused is an Okta event that the rule identity.phishing_blocked alerts on.
func refused(uid, ip string) []byte {
	return fmt.Appendf(nil, `{"uuid":%q,"published":%q,"eventType":"user.authentication.auth_via_mfa","severity":"INFO","actor":{"id":"00u1","type":"User","alternateId":"sato@example.co.jp","displayName":"Sato"},`+
		`"client":{"ipAddress":%q},"outcome":{"result":"FAILURE","reason":"FastPass declined phishing attempt"}}`, uid, time.Now().UTC().Format("2006-01-02T15:04:05.000Z"), ip)
}

// lines decodes JSON lines.
func lines[T any](t *testing.T, out []byte) []T {
	t.Helper()
	var all []T
	for line := range bytes.Lines(out) {
		var v T
		if err := json.Unmarshal(line, &v); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		all = append(all, v)
	}
	return all
}

type alertLine struct {
	ID, Rule, Key, State, Verdict, Origin string
	Count                                 int
}

// TestReplay holds that a replay finds the alerts that were raised, with the
// same ids, and neither joins nor hides them; and what alerts can be made to
// say.
func TestReplay(t *testing.T) {
	dir, binary := t.TempDir(), build(t)
	p := up(t, binary, dir)
	file := filepath.Join(t.TempDir(), "in.jsonl")
	body := bytes.Join([][]byte{refused("a-1", "198.51.100.1"), refused("a-2", "198.51.100.1"), refused("b-1", "198.51.100.2"), signIn("c-1", time.Now())}, []byte("\n"))
	if err := os.WriteFile(file, body, 0o600); err != nil {
		t.Fatal(err)
	}
	command(t, binary, "--data", dir, "send", "--source", "okta", file)
	var live []alertLine
	list := func(args ...string) []alertLine {
		return lines[alertLine](t, command(t, binary, append([]string{"--data", dir, "alerts", "list", "--format", "json"}, args...)...))
	}
	await(t, 10*time.Second, "two alerts of three events", func() bool {
		live = list()
		return len(live) == 2 && live[0].Count+live[1].Count == 3
	})
	ids := map[string]string{}
	for _, a := range live {
		ids[a.ID] = a.Key
	}

	for _, from := range []string{"-1h", "TRIM_HORIZON"} {
		again := lines[alertLine](t, command(t, binary, "--data", dir, "replay", "--app", "live", "--from", from, "--dry-run", "--format", "json"))
		if len(again) != 2 {
			t.Fatalf("replay from %s found %d alerts, want 2", from, len(again))
		}
		for _, a := range again {
			if ids[a.ID] != a.Key {
				t.Errorf("replay from %s: alert %s is about %q, live it was about %q", from, a.ID, a.Key, ids[a.ID])
			}
		}
	}
	if code, _, _ := run(binary, "--data", dir, "replay", "--app", "live", "--from", "-1h", "--to", "-2h"); code != 2 {
		t.Errorf("an end before the start: exit %d, want 2", code)
	}
	if got := list("--origin", ""); len(got) != 2 {
		t.Errorf("a dry run left %d alerts, want 2", len(got))
	}
	command(t, binary, "--data", dir, "replay", "--app", "live", "--from", "-1h")
	if got := list("--origin", ""); len(got) != 4 {
		t.Errorf("after a replay there are %d alerts, want 4", len(got))
	}
	if got := list(); len(got) != 2 || got[0].Count+got[1].Count != 3 {
		t.Errorf("live alerts changed: %+v", got)
	}

	id := live[0].ID
	command(t, binary, "--data", dir, "alerts", "ack", id[:10], "--note", "looking")
	command(t, binary, "--data", dir, "alerts", "close", id, "--as", "benign")
	if got := list("--state", "closed"); len(got) != 1 || got[0].ID != id || got[0].Verdict != "benign" {
		t.Errorf("closed alerts: %+v", got)
	}
	if code, _, _ := run(binary, "--data", dir, "alerts", "show", "nothing-like-it"); code != 2 {
		t.Errorf("an unknown alert: exit %d, want 2", code)
	}
	p.stop()
	// And without a running up.
	if again := lines[alertLine](t, command(t, binary, "--data", dir, "replay", "--app", "live", "--from", "-1h", "--dry-run", "--format", "json")); len(again) != 2 {
		t.Errorf("replay without up found %d alerts, want 2", len(again))
	}
}

// TestAnswers holds what intake answers, and that what it cannot read becomes
// a dead letter that can be listed.
func TestAnswers(t *testing.T) {
	dir, binary := t.TempDir(), build(t)
	p := up(t, binary, dir)
	post := func(path, token, body string) int {
		req, err := http.NewRequest(http.MethodPost, p.info.HTTP+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		if token != "" {
			req.Header.Set("X-Nagare-Token", token)
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		return resp.StatusCode
	}
	token := p.info.Tokens["datadog"]
	for _, c := range []struct {
		path, token, body string
		want              int
	}{
		{"/v1/datadog", "", "{}", 401},
		{"/v1/datadog", "wrong", "{}", 401},
		{"/v1/datadog", p.info.Tokens["okta"], "{}", 401},
		{"/v1/nothing", token, "{}", 404},
		{"/v1/nagare.finding", token, "{}", 404},
		{"/v1/datadog", token, `{"signal_id":"s-1","severity":"low","title":"x"}`, 202},
		{"/v1/datadog/tokyo", token, `{"signal_id":"s-2","severity":"low","title":"x"}`, 202},
		{"/v1/datadog", token, "this is no JSON", 202},
		{"/v1/datadog", token, strings.Repeat(`{"a":`, 200) + "1" + strings.Repeat("}", 200), 202},
		{"/v1/datadog", token, strings.Repeat(" ", 11<<20), 413},
	} {
		if got := post(c.path, c.token, c.body); got != c.want {
			t.Errorf("POST %s %.30q: %d, want %d", c.path, c.body, got, c.want)
		}
	}
	if resp, err := http.Get(p.info.HTTP + "/v1/datadog"); err != nil || resp.StatusCode != http.StatusMethodNotAllowed {
		t.Errorf("GET: %v, want 405", resp)
	}
	type dead struct{ Source, Reason string }
	await(t, 20*time.Second, "the dead letters", func() bool {
		reasons := map[string]bool{}
		for _, d := range lines[dead](t, command(t, binary, "--data", dir, "deadletters", "list", "--format", "json")) {
			reasons[d.Reason] = true
		}
		return reasons["not-json"] && reasons["too-deep"] && reasons["too-large"]
	})
	for sql, want := range map[string]int{
		"select count(*) from detection_finding":      0,
		"selec 1":                                     2,
		"select * from read_csv('/etc/passwd')":       2,
		"copy (select 1) to '" + dir + "/x.csv'":      2,
		"attach '" + dir + "/coord.db' (type sqlite)": 2,
		"set memory_limit = '10GB'":                   2,
	} {
		if code, _, stderr := run(binary, "--data", dir, "query", sql); code != want {
			t.Errorf("query %q: exit %d, want %d: %s", sql, code, want, stderr)
		}
	}
	resp, err := http.Get(p.info.Admin + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var text bytes.Buffer
	if _, err := text.ReadFrom(resp.Body); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"nagare_intake_events_total", "nagare_live_events_total", "nagare_lake_rows_total", "nagare_consumer_lag_seconds", `nagare_ack_events_total{by="kinesis",stream="nagare"}`} {
		if !strings.Contains(text.String(), name) {
			t.Errorf("/metrics lacks %s", name)
		}
	}
	p.stop()
}
