package kinesisd

import (
	"bytes"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"nagare"
)

// crashed copies a server's folder while it is open, as a power loss leaves it.
func crashed(t *testing.T, from string) string {
	t.Helper()
	to := t.TempDir()
	files, err := os.ReadDir(from)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		b, err := os.ReadFile(filepath.Join(from, f.Name()))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(to, f.Name()), b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return to
}

// TestDamagedLog changes the newest file and its log behind a server that
// crashed: what can be read is served, what is lost is said, and no number is
// given again.
func TestDamagedLog(t *testing.T) {
	const records = 60
	dir := t.TempDir()
	s := open(t, Config{Dir: dir})
	must(t, s, "CreateStream", `{"StreamName":"s","ShardCount":1}`)
	last := ""
	for i := range records {
		last = must(t, s, "PutRecord", fmt.Sprintf(`{"StreamName":"s","PartitionKey":"k","Data":"%s"}`, strings.Repeat("QUJD", 200+i)))["SequenceNumber"].(string)
	}
	newest := hourPath("", 1)
	for name, c := range map[string]struct {
		do     func(dir string) error
		served int // at least
		said   string
	}{
		"nothing": {func(string) error { return nil }, records, ""},
		"a bit of the log": {func(dir string) error {
			path := filepath.Join(dir, newest+"-wal")
			b, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			b[len(b)*3/10] ^= 4
			return os.WriteFile(path, b, 0o600)
		}, records * 8 / 10, "log of the newest records is damaged"},
		"the log": {func(dir string) error {
			return os.Remove(filepath.Join(dir, newest+"-wal"))
		}, 0, "log of the newest records is damaged"},
		"half of the log": {func(dir string) error {
			path := filepath.Join(dir, newest+"-wal")
			info, err := os.Stat(path)
			if err != nil {
				return err
			}
			return os.Truncate(path, info.Size()/2)
		}, 10, "log of the newest records is damaged"},
		"the file": {func(dir string) error { return removeHour(filepath.Join(dir, newest)) }, 0, "missing or empty"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := crashed(t, dir)
			if err := c.do(dir); err != nil {
				t.Fatal(err)
			}
			var log bytes.Buffer
			s := open(t, Config{Dir: dir, Log: slog.New(slog.NewTextHandler(&log, nil))})
			next := must(t, s, "PutRecord", `{"StreamName":"s","PartitionKey":"k","Data":"bmV3"}`)["SequenceNumber"].(string)
			if nagare.CompareSeq(next, last) <= 0 {
				t.Errorf("the number %s was given after %s", next, last)
			}
			if errors := strings.Contains(log.String(), "level=ERROR"); errors != (c.said != "") || !strings.Contains(log.String(), c.said) {
				t.Errorf("the log should say %q:\n%s", c.said, log.String())
			}
			// A damaged record stops a page: go on behind it, and then in the
			// new record's file.
			served := 0
			for at := sequence(0); ; {
				p, err := s.read(t.Context(), s.streams["s"].shards[0], at, 1, 10<<20)
				if err != nil {
					at++
					if at.place() > records+2 {
						at = newSequence(2, 0)
					}
					continue
				}
				if len(p.records) == 0 {
					s.drop(p)
					break
				}
				served, at = served+1, p.records[0].seq
				s.drop(p)
			}
			if served < c.served+1 {
				t.Errorf("%d records are served, want %d and the new one", served, c.served)
			}
		})
	}
}

// TestStrayFile: a file that the list does not know is removed when it is past
// retention, and set aside when it is not.
func TestStrayFile(t *testing.T) {
	clock := newClock()
	dir := t.TempDir()
	s := open(t, Config{Dir: dir, now: clock.now})
	must(t, s, "CreateStream", `{"StreamName":"s","ShardCount":1}`)
	put(t, s, "x")
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	stray := hourPath(dir, 7)
	b, err := os.ReadFile(hourPath(dir, 1))
	if err != nil {
		t.Fatal(err)
	}
	for _, wanted := range []bool{true, false} {
		if err := os.WriteFile(stray, b, 0o600); err != nil {
			t.Fatal(err)
		}
		if !wanted {
			clock.pass(48 * time.Hour)
		}
		s, err := Open(Config{Dir: dir, now: clock.now})
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		var left []string
		files, _ := filepath.Glob(filepath.Join(dir, "*00000007.db"))
		for _, f := range files {
			left = append(left, filepath.Base(f))
		}
		if want := []string{"damaged-records-00000007.db"}; !slices.Equal(left, want) {
			t.Errorf("wanted %v: files %v, want %v", wanted, left, want)
		}
	}
}

// TestLostList removes the log of the list behind a server that crashed: the
// file that it has lost is set aside, and its numbers are not given again.
func TestLostList(t *testing.T) {
	dir := t.TempDir()
	s := open(t, Config{Dir: dir})
	must(t, s, "CreateStream", `{"StreamName":"s","ShardCount":1}`)
	put(t, s, "first file")
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = open(t, Config{Dir: dir})
	last := put(t, s, "second file")
	dir = crashed(t, dir)
	if err := os.Remove(filepath.Join(dir, "streams.db-wal")); err != nil {
		t.Fatal(err)
	}
	for range 2 { // also when it has been set aside before
		s = open(t, Config{Dir: dir})
		next := put(t, s, "new")
		if nagare.CompareSeq(next, last) <= 0 {
			t.Errorf("the number %s was given after %s", next, last)
		}
		last = next
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := os.Stat(filepath.Join(dir, "damaged-"+filepath.Base(hourPath("", 2)))); err != nil {
		t.Error(err)
	}
}
