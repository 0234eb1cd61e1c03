package coord_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"nagare/internal/coord"
	"nagare/internal/coord/coordtest"
)

func open(t *testing.T, path string) coord.Store {
	t.Helper()
	s, err := coord.OpenSQLite(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func TestSQLite(t *testing.T) {
	// A name that would mean something else in an URL.
	path := filepath.Join(t.TempDir(), "a b?c#d%20.db")
	coordtest.Run(t, func(t *testing.T) coord.Store { return open(t, path) })
	if fi, err := os.Stat(path); err != nil || fi.Mode().Perm() != 0o600 {
		t.Errorf("the file is %v, %v; want mode 0600", fi, err)
	}
}

func TestSQLiteRefusesANewerLayout(t *testing.T) {
	path := filepath.Join(t.TempDir(), "coord.db")
	open(t, path).Close()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	b[63] = 9 // user_version in the header of the file
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := coord.OpenSQLite(path); err == nil || !strings.Contains(err.Error(), "layout 9") {
		t.Errorf("open a file of layout 9: %v", err)
	}
}

// TestSQLiteAcrossProcesses counts up from several processes at once, while
// this one reads the file as a backup would: no addition may be lost, and no
// process may see the file as locked.
func TestSQLiteAcrossProcesses(t *testing.T) {
	const each, procs = 40, 3
	if path := os.Getenv("COORD_TEST_COUNT"); path != "" {
		s := open(t, path)
		for done := 0; done < each; {
			var n int
			v, _ := coord.GetJSON(t.Context(), s, "p", "n", &n)
			if _, err := coord.PutJSON(t.Context(), s, "p", "n", n+1, v); err == nil {
				done++
			} else if !strings.Contains(err.Error(), coord.ErrConflict.Error()) {
				t.Fatal(err)
			}
		}
		return
	}
	path := filepath.Join(t.TempDir(), "coord.db")
	s := open(t, path)
	done := make(chan error, procs)
	for range procs {
		cmd := exec.Command(os.Args[0], "-test.run=^TestSQLiteAcrossProcesses$")
		cmd.Env = append(os.Environ(), "COORD_TEST_COUNT="+path)
		go func() {
			out, err := cmd.CombinedOutput()
			if err != nil {
				err = fmt.Errorf("%w: %s", err, out)
			}
			done <- err
		}()
	}
	for range procs {
		os.ReadFile(path)
		os.ReadFile(path + "-shm")
		if err := <-done; err != nil {
			t.Fatal(err)
		}
	}
	var n int
	if _, err := coord.GetJSON(t.Context(), s, "p", "n", &n); err != nil || n != each*procs {
		t.Errorf("counted to %d, %v; want %d", n, err, each*procs)
	}
}
