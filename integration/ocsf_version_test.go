package integration

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestOlderLake holds that a lake of OCSF 1.1.0 can be asked as any other, and
// that no other version is written into it.
func TestOlderLake(t *testing.T) {
	dir, binary := t.TempDir(), build(t)
	config := filepath.Join(t.TempDir(), "nagare.yaml")
	if err := os.WriteFile(config, []byte("lake: {ocsf: 1.1.0}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	p := up(t, binary, dir, "--config", config)
	command(t, binary, "--config", config, "--data", dir, "send", "--source", "okta", "demo/events/okta-system-log.jsonl")
	type row struct {
		Version string `json:"version"`
		N       int    `json:"n"`
		Factors int    `json:"factors"`
		Kept    int    `json:"kept"`
	}
	const sql = `select metadata.version as version, count(*) as n, count(auth_factors) as factors, count(unmapped['auth_factors']) as kept from authentication group by 1`
	var got []row
	await(t, 20*time.Second, "sign-ins in the lake", func() bool {
		got = lines[row](t, command(t, binary, "--data", dir, "query", "--format", "json", sql))
		return len(got) > 0
	})
	if len(got) != 1 || got[0].Version != "1.1.0" || got[0].Factors != 0 || got[0].Kept == 0 {
		t.Errorf("sign-ins by version: %+v", got)
	}
	// Its labels say that an account is disabled; 1.1.0 has none.
	command(t, binary, "--config", config, "--data", dir, "send", "--source", "directory", "demo/events/directory-users.jsonl")
	var report string
	await(t, 20*time.Second, "users in the lake", func() bool {
		report = string(command(t, binary, "--data", dir, "report", "run", "dormant-accounts", "--format", "csv"))
		return strings.Contains(report, "kato@example.co.jp")
	})
	for line := range strings.Lines(report) {
		if strings.HasPrefix(line, "kato@example.co.jp") && !strings.Contains(line, ",disabled,") {
			t.Errorf("a disabled account is not said to be one: %s", line)
		}
	}
	p.stop()
	code, _, stderr := run(binary, "--data", dir, "up", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0")
	if code != 2 || !strings.Contains(string(stderr), "written in OCSF 1.1.0") {
		t.Errorf("up with another version: exit %d: %s", code, stderr)
	}
}
