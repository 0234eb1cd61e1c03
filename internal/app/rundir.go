package app

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/gofrs/flock"
)

// RunInfo is run.json: how another process reaches the pipeline that holds
// the data folder.
type RunInfo struct {
	PID int `json:"pid"`
	// HTTP, Admin and Kinesis are URLs.
	HTTP    string `json:"http"`
	Admin   string `json:"admin"`
	Kinesis string `json:"kinesis"`
	// Tokens holds, for each source without auth in the configuration, the
	// value for header X-Nagare-Token.
	Tokens map[string]string `json:"tokens"`
}

const (
	lockFile = "lock"
	runFile  = "run.json"
)

// lockDir makes the data folder and takes its lock. held is false if another
// process has it.
func lockDir(o Options) (lock *flock.Flock, held bool, err error) {
	dir := o.Data
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, false, usagef("data folder: %w; name another with --data", err)
	}
	lock = flock.New(filepath.Join(dir, lockFile), flock.SetPermissions(0o600))
	held, err = lock.TryLock()
	if err != nil {
		return nil, false, usagef("lock of the data folder: %w", err)
	}
	if held {
		// For people, and only while the lock is held: so no error is one.
		_ = os.WriteFile(filepath.Join(dir, lockFile), fmt.Appendf(nil, "%d %s\n", os.Getpid(), o.Command), 0o600)
	}
	return lock, held, nil
}

// lockHolder is the process that last had the lock of a folder alone.
func lockHolder(dir string) (pid, command string, ok bool) {
	text, err := os.ReadFile(filepath.Join(dir, lockFile))
	if err != nil {
		return "", "", false
	}
	return strings.Cut(printable(strings.TrimSpace(string(text[:min(len(text), 200)]))), " ")
}

// heldBy says who has the lock of a folder, alone and without a run.json, and
// what can be done.
func heldBy(dir string) string {
	pid, command, ok := lockHolder(dir)
	if !ok {
		return fmt.Sprintf("another process holds %s: wait until it has ended, or name another folder with --data", dir)
	}
	who := fmt.Sprintf("process %s (nagare %s) holds %s", pid, command, dir)
	switch command {
	case "up":
		return who + " and has not started yet: wait until it has"
	case "kinesis", "kinesis run":
		return who + ", and other commands cannot use a folder beside it: stop it, or name another folder with --data; " +
			"to work on its streams, set stream.endpoint to the address that it printed"
	}
	return who + ": wait until it has ended, or name another folder with --data"
}

// shareDir makes the data folder and takes its lock together with others that
// share it. It fails while one process holds it for itself.
func shareDir(dir string) (*flock.Flock, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, usagef("data folder: %w; name another with --data", err)
	}
	lock := flock.New(filepath.Join(dir, lockFile), flock.SetPermissions(0o600))
	held, err := lock.TryRLock()
	switch {
	case err != nil:
		return nil, usagef("lock of the data folder: %w", err)
	case !held:
		return nil, usagef("another process holds %s for itself; stop it, or name another folder with --data", dir)
	}
	return lock, nil
}

// writeRunInfo publishes run.json, readable by its owner only.
func writeRunInfo(dir string, info RunInfo) error {
	data, err := json.MarshalIndent(info, "", "  ")
	if err != nil {
		return err
	}
	tmp := filepath.Join(dir, runFile+".tmp")
	if err := os.WriteFile(tmp, append(data, '\n'), 0o600); err != nil {
		return err
	}
	return os.Rename(tmp, filepath.Join(dir, runFile))
}

// readRunInfo returns how to reach the process that holds the lock of dir.
// The lock being held and the process not answering is Unreachable; being told
// to stop meanwhile is not.
func readRunInfo(ctx context.Context, dir string) (RunInfo, error) {
	var info RunInfo
	data, err := os.ReadFile(filepath.Join(dir, runFile))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return info, unreachablef("%s", heldBy(dir))
	case err != nil:
		return info, unreachablef("%w", err)
	}
	if err := json.Unmarshal(data, &info); err != nil {
		return info, unreachablef("%s: %w", filepath.Join(dir, runFile), err)
	}
	asked := ctx
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, info.Admin+"/healthz", nil)
	if err != nil {
		return info, unreachablef("%s: %w", runFile, err)
	}
	resp, err := http.DefaultClient.Do(req)
	if asked.Err() != nil {
		return info, stopped(asked)
	}
	if pid, _, ok := lockHolder(dir); err != nil && ok && pid != strconv.Itoa(info.PID) {
		return info, unreachablef("%s", heldBy(dir)) // a run.json that a kill left
	}
	if err != nil {
		return info, unreachablef("another process holds %s, and process %d of its %s does not answer: %w", dir, info.PID, runFile, err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return info, unreachablef("process %d, which holds %s, answers %s", info.PID, dir, resp.Status)
	}
	return info, nil
}

// removeRunInfo takes run.json away at a clean stop.
func removeRunInfo(dir string) error {
	if err := os.Remove(filepath.Join(dir, runFile)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove %s: %w", runFile, err)
	}
	return nil
}

// tokensFile keeps the tokens that up made, so that a sender that was given
// one can go on after a restart.
const tokensFile = "tokens.json"

func readTokens(dir string) (map[string]string, error) {
	tokens := map[string]string{}
	data, err := os.ReadFile(filepath.Join(dir, tokensFile))
	if errors.Is(err, fs.ErrNotExist) {
		return tokens, nil
	}
	if err == nil {
		err = json.Unmarshal(data, &tokens)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w; remove it to have new tokens", tokensFile, err)
	}
	return tokens, nil
}

func writeTokens(dir string, tokens map[string]string) error {
	data, err := json.MarshalIndent(tokens, "", "  ")
	if err != nil {
		return err
	}
	tmp := filepath.Join(dir, tokensFile+".tmp")
	if err := os.WriteFile(tmp, append(data, '\n'), 0o600); err != nil {
		return err
	}
	return os.Rename(tmp, filepath.Join(dir, tokensFile))
}
