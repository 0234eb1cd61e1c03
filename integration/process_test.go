// Package integration tests the whole program: started, killed, asked and
// stopped as a person would.
package integration

import (
	"bytes"
	"encoding/json"
	"errors"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"
)

// built is the folder of the binary; it is removed after the tests.
var built string

// build makes the binary once for all tests of a run.
var build = func() func(t *testing.T) string {
	var once sync.Once
	var binary string
	var failure []byte
	return func(t *testing.T) string {
		t.Helper()
		once.Do(func() {
			dir, err := os.MkdirTemp("", "nagare-test-")
			if err != nil {
				failure = []byte(err.Error())
				return
			}
			built = dir
			binary = filepath.Join(dir, "nagare")
			cmd := exec.Command("go", "build", "-o", binary, "../cmd/nagare")
			if out, err := cmd.CombinedOutput(); err != nil {
				failure = append(out, err.Error()...)
			}
		})
		if failure != nil {
			t.Fatalf("build: %s", failure)
		}
		return binary
	}
}()

func TestMain(m *testing.M) {
	code := m.Run()
	if built != "" { // and not what another run has built
		os.RemoveAll(built)
	}
	os.Exit(code)
}

// run runs a command to its end.
func run(binary string, args ...string) (code int, stdout, stderr []byte) {
	cmd := exec.Command(binary, args...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	var exit *exec.ExitError
	switch {
	case errors.As(err, &exit):
		code = exit.ExitCode()
	case err != nil:
		code = -1
	}
	return code, out.Bytes(), errs.Bytes()
}

// command runs a command that must succeed, and returns what it prints.
func command(t *testing.T, binary string, args ...string) []byte {
	t.Helper()
	code, out, stderr := run(binary, args...)
	if code != 0 {
		t.Fatalf("nagare %v: exit %d: %s", args, code, stderr)
	}
	return out
}

// runInfo is what the tests need of run.json.
type runInfo struct {
	PID   int    `json:"pid"`
	HTTP  string `json:"http"`
	Admin string `json:"admin"`
	// Kinesis is the URL of the streams.
	Kinesis string            `json:"kinesis"`
	Tokens  map[string]string `json:"tokens"`
}

// A process is a running nagare up.
type process struct {
	t    *testing.T
	cmd  *exec.Cmd
	info runInfo
	log  *bytes.Buffer
	done chan struct{}
	err  error
}

// up starts the pipeline on a folder and waits until it is ready.
func up(t *testing.T, binary, dir string, args ...string) *process {
	t.Helper()
	p := &process{t: t, log: &bytes.Buffer{}, done: make(chan struct{})}
	p.cmd = exec.Command(binary, append([]string{"--data", dir, "up", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--flush", "1s"}, args...)...)
	p.cmd.Stdout, p.cmd.Stderr = p.log, p.log
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		p.err = p.cmd.Wait()
		close(p.done)
	}()
	t.Cleanup(p.kill9)
	await(t, 30*time.Second, "up to be ready", func() bool {
		select {
		case <-p.done:
			t.Fatalf("up ended: %v: %s", p.err, p.log)
		default:
		}
		data, err := os.ReadFile(filepath.Join(dir, "run.json"))
		if err != nil || json.Unmarshal(data, &p.info) != nil || p.info.PID != p.cmd.Process.Pid {
			return false
		}
		resp, err := http.Get(p.info.Admin + "/readyz")
		if err != nil {
			return false
		}
		resp.Body.Close()
		return resp.StatusCode == http.StatusOK
	})
	return p
}

// kill9 ends the process as a power cut would, for the process.
func (p *process) kill9() {
	select {
	case <-p.done:
	default:
		_ = p.cmd.Process.Kill()
		<-p.done
	}
}

// stop does what Ctrl-C does, and wants exit code 0.
func (p *process) stop() {
	p.t.Helper()
	_ = p.cmd.Process.Signal(syscall.SIGINT)
	select {
	case <-p.done:
		if p.err != nil {
			p.t.Errorf("up stopped with %v: %s", p.err, p.log)
		}
	case <-time.After(30 * time.Second):
		p.t.Errorf("up still runs 30 s after Ctrl-C: %s", p.log)
		p.kill9()
	}
}

func (p *process) pause()   { _ = p.cmd.Process.Signal(syscall.SIGSTOP) }
func (p *process) unpause() { _ = p.cmd.Process.Signal(syscall.SIGCONT) }

// await asks until done says yes.
func await(t *testing.T, limit time.Duration, what string, done func() bool) {
	t.Helper()
	for end := time.Now().Add(limit); !done(); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("still waiting for %s after %s", what, limit)
		}
	}
}
