package app

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
)

// TestAway: who does not answer is said with where it was looked for, and what
// to do; on one line, and before the tokens of the SDK.
func TestAway(t *testing.T) {
	ctx, cfg := t.Context(), embeddedAWS("http://127.0.0.1:1")
	_, kinesisErr := kinesis.NewFromConfig(cfg).ListStreams(ctx, nil)
	_, dynamoErr := dynamodb.NewFromConfig(cfg).ListTables(ctx, nil)
	for _, c := range []struct {
		err  error
		says []string
	}{
		{kinesisErr, []string{"the stream (Kinesis at http://127.0.0.1:1) does not answer: ", "connection refused", "stream.endpoint"}},
		{unreachablef("replay: %w", fmt.Errorf("describe: %w", kinesisErr)), []string{"Kinesis at http://127.0.0.1:1", "stream.endpoint"}},
		{dynamoErr, []string{"the rows (DynamoDB at http://127.0.0.1:1) do not answer: ", "connection refused", "coord.endpoint"}},
	} {
		got := away(c.err)
		for _, s := range c.says {
			if !strings.Contains(got.Error(), s) {
				t.Errorf("%v\nlacks %q", got, s)
			}
		}
		if ExitCode(got) != 3 || strings.Contains(got.Error(), "\n") || strings.Contains(got.Error(), "token") {
			t.Errorf("exit %d: %v", ExitCode(got), got)
		}
		if again := away(fmt.Errorf("once more: %w", got)); !strings.HasPrefix(again.Error(), "once more: ") {
			t.Errorf("said twice: %v", again)
		}
	}
	gone, cancel := context.WithCancel(ctx)
	cancel()
	_, canceled := kinesis.NewFromConfig(cfg).ListStreams(gone, nil)
	for _, err := range []error{nil, errors.New("other"), usagef("wrong"), canceled} {
		if got := away(err); got != err {
			t.Errorf("away(%v) = %v", err, got)
		}
	}
}

// TestHeldBy: who holds a folder and is no pipeline is named, with what can be
// done about it; a signal meanwhile ends the waiting without a word of it.
func TestHeldBy(t *testing.T) {
	dir := t.TempDir()
	for command, want := range map[string]string{"kinesis": "stop it, or name another folder", "up": "has not started yet", "lake rebuild": "wait until it has ended"} {
		lock, held, err := lockDir(Options{Data: dir, Command: command})
		if err != nil || !held {
			t.Fatal(held, err)
		}
		_, err = readRunInfo(t.Context(), dir)
		if err == nil || ExitCode(err) != 3 || !strings.Contains(err.Error(), fmt.Sprintf("process %d (nagare %s) holds %s", os.Getpid(), command, dir)) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", command, err)
		}
		// A run.json that a killed up left says nothing about who is there now.
		stale := filepath.Join(dir, runFile)
		if err := os.WriteFile(stale, []byte(`{"pid":1,"admin":"http://127.0.0.1:1"}`), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err = readRunInfo(t.Context(), dir); err == nil || !strings.Contains(err.Error(), "(nagare "+command+")") {
			t.Errorf("%s beside an old run.json: %v", command, err)
		}
		ctx, cancel := context.WithTimeoutCause(t.Context(), time.Nanosecond, errors.New("told to"))
		<-ctx.Done()
		if _, err = readRunInfo(ctx, dir); err == nil || ExitCode(err) != 1 || !strings.HasPrefix(err.Error(), "stopped (told to)") {
			t.Errorf("told to stop meanwhile: %v", err)
		}
		cancel()
		if err := errors.Join(os.Remove(stale), lock.Unlock()); err != nil {
			t.Fatal(err)
		}
	}
}

// TestNeedData: commands that only read refuse a folder without data, and
// leave nothing in it.
func TestNeedData(t *testing.T) {
	empty := t.TempDir()
	nowhere := filepath.Join(empty, "nowhere")
	for name, f := range map[string]func(o Options) error{
		"checkpoints list": func(o Options) error { return CheckpointsList(t.Context(), o, CheckpointsFilter{}, "json", os.Stdout) },
		"checkpoints saved": func(o Options) error {
			return CheckpointsList(t.Context(), o, CheckpointsFilter{Saved: true}, "json", os.Stdout)
		},
		"checkpoints save": func(o Options) error { return CheckpointsSave(t.Context(), o, "x", "live", false, "json", os.Stdout) },
		"checkpoints set": func(o Options) error {
			return CheckpointsSet(t.Context(), o, "live", "-1h", "", time.Second, os.Stdout)
		},
		"alerts list":      func(o Options) error { return AlertsList(t.Context(), o, AlertsFilter{}, "json", os.Stdout) },
		"alerts show":      func(o Options) error { return AlertsShow(t.Context(), o, "live", "x", "json", os.Stdout) },
		"deadletters list": func(o Options) error { return DeadLettersList(t.Context(), o, DeadLettersFilter{}, "json", os.Stdout) },
		"deadletters show": func(o Options) error {
			return DeadLettersShow(t.Context(), o, DeadLettersFilter{IDs: []string{"x"}}, "json", os.Stdout)
		},
		"deadletters redrive": func(o Options) error {
			return Redrive(t.Context(), o, RedriveOptions{Out: os.Stdout, Progress: os.Stderr})
		},
		"query": func(o Options) error { return Query(t.Context(), o, "select 1", "json", os.Stdout) },
	} {
		for _, dir := range []string{empty, nowhere} {
			err := f(Options{Data: dir, Log: NewLog(os.Stderr, "error")})
			if ExitCode(err) != 2 || !strings.Contains(err.Error(), "no data of nagare in "+dir) {
				t.Errorf("%s in %s: %v", name, dir, err)
			}
			if left, err := os.ReadDir(empty); err != nil || len(left) > 0 {
				t.Fatalf("%s left %v, %v", name, left, err)
			}
		}
	}
}
