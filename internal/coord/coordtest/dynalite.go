package coordtest

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// Dynalite starts an empty emulator of DynamoDB that is not ours, dynalite as
// integration/emulators installs it, on loopback for as long as the test
// runs, and returns its URL.
//
// The test is skipped where NAGARE_EMULATORS is not set, because make test is
// for Go alone, and where node or npm are missing.
func Dynalite(t *testing.T) string {
	t.Helper()
	if os.Getenv("NAGARE_EMULATORS") == "" {
		t.Skip("DynamoDB is not tested: NAGARE_EMULATORS is not set; make proof sets it where node and npm are")
	}
	script := filepath.Join(moduleRoot(t), "integration", "emulators", "run.sh")
	for try := 0; ; try++ {
		url, err := start(t, script)
		if err == nil {
			return url
		}
		var exit *exec.ExitError
		if errors.As(err, &exit) && exit.ExitCode() == 3 {
			t.Skip("DynamoDB is not tested: ", err)
		}
		if try == 2 { // another program may have taken the port first
			t.Fatal(err)
		}
	}
}

func start(t *testing.T, script string) (url string, err error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	port := l.Addr().(*net.TCPAddr).Port
	if err := l.Close(); err != nil {
		return "", err
	}
	cmd := exec.Command(script, "dynalite", fmt.Sprint(port))
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &said, &said
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // the script and what it starts
	if err := cmd.Start(); err != nil {
		return "", err
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	stop := func() {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
		<-ended
	}
	url = fmt.Sprintf("http://127.0.0.1:%d", port)
	deadline := time.After(2 * time.Minute) // it may have to be installed first
	for {
		if resp, err := http.Get(url); err == nil {
			_ = resp.Body.Close()
			t.Cleanup(stop)
			return url, nil
		}
		select {
		case err := <-ended:
			return "", fmt.Errorf("dynalite ended: %w: %s", err, said.Bytes())
		case <-deadline:
			stop()
			return "", fmt.Errorf("dynalite does not answer: %s", said.Bytes())
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// moduleRoot is the folder with go.mod, seen from the test's own.
func moduleRoot(t *testing.T) string {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir
		}
		up := filepath.Dir(dir)
		if up == dir {
			t.Fatal("no go.mod above the test's folder")
		}
		dir = up
	}
}
