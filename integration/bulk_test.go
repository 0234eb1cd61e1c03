package integration

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// signal is a delivery of Datadog's that a rule alerts on.
func signal(id string, at time.Time) []byte {
	return fmt.Appendf(nil, `{"signal_id":%q,"severity":"high","title":"Impossible travel","msg":"An alert","timestamp":%d,"date":%d,"last_updated":%d,`+
		`"rule":{"id":"r-1","name":"Impossible travel %s","type":"log_detection"},"event":{"type":"security_signal"},"org":{"id":"1","name":"Example"}}`,
		id, at.UnixMilli(), at.UnixMilli(), at.UnixMilli(), id)
}

// TestOldEventsPageNobody: an old event reaches the lake by the bulk stream and
// raises no alert; with --live it does.
func TestOldEventsPageNobody(t *testing.T) {
	dir, binary := t.TempDir(), build(t)
	p := up(t, binary, dir)
	old := time.Now().Add(-7 * time.Hour)
	post := func(body []byte) {
		t.Helper()
		req, err := http.NewRequestWithContext(context.Background(), http.MethodPost, p.info.HTTP+"/v1/datadog", bytes.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("X-Nagare-Token", p.info.Tokens["datadog"])
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != http.StatusAccepted {
			t.Fatal(resp.Status)
		}
	}
	post(signal("old-1", old))
	file := filepath.Join(t.TempDir(), "old.json")
	if err := os.WriteFile(file, signal("old-2", old), 0o600); err != nil {
		t.Fatal(err)
	}
	command(t, binary, "--data", dir, "send", "--source", "datadog", file)
	if err := os.WriteFile(file, signal("old-3", old), 0o600); err != nil {
		t.Fatal(err)
	}
	command(t, binary, "--data", dir, "send", "--source", "datadog", "--live", file)
	post(signal("new-1", time.Now()))
	// Those that alert came last: when they are there, the others had their time.
	alerts := func() string { return string(command(t, binary, "--data", dir, "alerts", "list", "--format", "json")) }
	await(t, 30*time.Second, "alerts of what is new or live", func() bool {
		a := alerts()
		return strings.Contains(a, "new-1") && strings.Contains(a, "old-3")
	})
	query := func() string {
		return string(command(t, binary, "--data", dir, "query", "--format", "json", "select * from detection_finding"))
	}
	await(t, 30*time.Second, "the lake to have them all", func() bool {
		rows := query()
		return strings.Contains(rows, "old-1") && strings.Contains(rows, "old-2") && strings.Contains(rows, "old-3") && strings.Contains(rows, "new-1")
	})
	if a := alerts(); strings.Contains(a, "old-1") || strings.Contains(a, "old-2") {
		t.Errorf("an old event raised an alert:\n%s", a)
	}
	p.stop()
}
