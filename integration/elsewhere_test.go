package integration

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestStreamElsewhere holds what commands do with a stream that is configured:
// send makes it, as serve does; reading places asks for no secret; and a
// server that is gone is named, with what to do, at once.
func TestStreamElsewhere(t *testing.T) {
	binary, dir, addr := build(t), t.TempDir(), freeAddress(t)
	server := exec.Command(binary, "--data", filepath.Join(dir, "server"), "kinesis", "--listen", addr)
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = server.Process.Kill()
		_ = server.Wait()
	})
	config := filepath.Join(dir, "nagare.yaml")
	text := fmt.Sprintf("stream: {endpoint: \"http://%s\"}\nsources: {okta: {auth: {kind: header, name: X-Nagare-Token, secret: \"env:NAGARE_NO_SUCH\"}}}\n", addr)
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	with := func(args ...string) []string {
		return append([]string{"--config", config, "--data", filepath.Join(dir, "worker")}, args...)
	}
	file := signIns(t, "elsewhere", 5, time.Now())
	await(t, 10*time.Second, "the server", func() bool {
		code, _, _ := run(binary, with("send", "--source", "okta", file)...)
		return code == 0
	})
	command(t, binary, with("checkpoints", "list")...)
	held := filepath.Join(dir, "server")
	if code, _, stderr := run(binary, "--data", held, "up"); code == 0 || !strings.Contains(string(stderr), fmt.Sprintf("process %d (nagare kinesis", server.Process.Pid)) || !strings.Contains(string(stderr), "holds "+held+", and other commands") {
		t.Errorf("up beside kinesis: exit %d: %s", code, stderr)
	}
	_ = server.Process.Signal(syscall.SIGTERM)
	_ = server.Wait()
	for _, args := range [][]string{{"send", "--source", "okta", file}, {"checkpoints", "list"}, {"replay", "--app", "live", "--from", "-1h"}} {
		code, _, stderr := run(binary, with(args...)...)
		if code != 3 || strings.Count(string(stderr), "\n") != 1 || !strings.Contains(string(stderr), "Kinesis at http://"+addr+") does not answer") || !strings.Contains(string(stderr), "stream.endpoint") {
			t.Errorf("%v without the server: exit %d: %s", args, code, stderr)
		}
	}
}
