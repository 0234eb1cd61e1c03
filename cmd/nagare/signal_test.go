//go:build unix

package main

import (
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// A check ends by a signal at once, whatever it is at: here it waits for a
// mapping file that is a pipe nobody writes to, and looks at no context.
func TestCheckEndsAtOnce(t *testing.T) {
	if pipe := os.Getenv("NAGARE_TEST_PIPE"); pipe != "" {
		os.Args = []string{"nagare", "mappings", "check", pipe}
		main()
		return
	}
	pipe := filepath.Join(t.TempDir(), "a.yaml")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Skip(err)
	}
	for _, sig := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT} {
		cmd := exec.Command(os.Args[0], "-test.run=^TestCheckEndsAtOnce$")
		cmd.Env = append(os.Environ(), "NAGARE_TEST_PIPE="+pipe)
		cmd.Stdout, cmd.Stderr = io.Discard, io.Discard
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		// Opening the pipe for writing waits until the check reads it.
		opened := make(chan *os.File, 1)
		go func() {
			f, _ := os.OpenFile(pipe, os.O_WRONLY, 0)
			opened <- f
		}()
		select {
		case f := <-opened:
			defer f.Close()
		case <-time.After(20 * time.Second):
			cmd.Process.Kill()
			t.Fatal("the check does not read its file")
		}
		if err := cmd.Process.Signal(sig); err != nil {
			t.Fatal(err)
		}
		done := make(chan error, 1)
		go func() { done <- cmd.Wait() }()
		select {
		case err := <-done:
			var exit *exec.ExitError
			if !errors.As(err, &exit) || exit.Sys().(syscall.WaitStatus).Signal() != sig {
				t.Errorf("%v: the check ended with %v", sig, err)
			}
		case <-time.After(10 * time.Second):
			cmd.Process.Kill()
			t.Errorf("%v: the check goes on", sig)
		}
	}
}
