//go:build unix

package main

import (
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// A check, and map, end by a signal at once, whatever they are at: here they
// wait for a file that is a pipe nobody writes to, and look at no context.
func TestEndsAtOnce(t *testing.T) {
	if args := os.Getenv("NAGARE_TEST_ARGS"); args != "" {
		os.Args = strings.Split(args, "\n")
		main()
		return
	}
	t.Run("check", func(t *testing.T) { endsAtOnce(t, "mappings", "check") })
	t.Run("map", func(t *testing.T) { endsAtOnce(t, "map", "--data", t.TempDir(), "--source", "okta") })
}

func endsAtOnce(t *testing.T, command ...string) {
	pipe := filepath.Join(t.TempDir(), "a.yaml")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Skip(err)
	}
	for _, sig := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT} {
		cmd := exec.Command(os.Args[0], "-test.run=^TestEndsAtOnce$")
		cmd.Env = append(os.Environ(), "NAGARE_TEST_ARGS="+strings.Join(append(append([]string{"nagare"}, command...), pipe), "\n"))
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
			t.Fatal("the command does not read its file")
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
				t.Errorf("%v: the command ended with %v", sig, err)
			}
		case <-time.After(10 * time.Second):
			cmd.Process.Kill()
			t.Errorf("%v: the command goes on", sig)
		}
	}
}
