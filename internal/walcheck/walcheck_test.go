package walcheck

import (
	"database/sql"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	_ "modernc.org/sqlite"
)

const commits = 40

// killed is the folder of a database whose process was killed after forty
// commits of a row each, none of them moved out of the log.
func killed(t *testing.T) (path string) {
	t.Helper()
	live := filepath.Join(t.TempDir(), "a.db")
	db, err := sql.Open("sqlite", live+"?_pragma=journal_mode(WAL)&_pragma=wal_autocheckpoint(0)")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.Exec(`CREATE TABLE r (id INTEGER PRIMARY KEY, data BLOB)`); err != nil {
		t.Fatal(err)
	}
	for i := range commits {
		if _, err := db.Exec(`INSERT INTO r VALUES (?, zeroblob(3000))`, i); err != nil {
			t.Fatal(err)
		}
	}
	path = filepath.Join(t.TempDir(), "a.db")
	for _, suffix := range []string{"", "-wal", "-shm"} {
		b, err := os.ReadFile(live + suffix)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path+suffix, b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return path
}

// last is the newest row that SQLite finds.
func last(t *testing.T, path string) (id int) {
	t.Helper()
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if err := db.QueryRow(`SELECT max(id) FROM r`).Scan(&id); err != nil {
		t.Fatal(err)
	}
	return id
}

// TestRepair: of a sound log nothing is changed; behind a flipped bit SQLite
// reads every commit again, and the log as it was is kept; of a log that was
// cut it is known that something is missing.
func TestRepair(t *testing.T) {
	for name, c := range map[string]struct {
		do      func(log []byte) []byte
		want    func(Report) bool
		newest  bool // the newest row is read
		keptLog bool
	}{
		"sound":    {func(b []byte) []byte { return b }, Report.Sound, true, false},
		"flipped":  {func(b []byte) []byte { b[len(b)/2] ^= 1; return b }, func(r Report) bool { return r.Bad > 0 && r.Missing == 0 }, true, true},
		"cut":      {func(b []byte) []byte { return b[:len(b)/2] }, func(r Report) bool { return r.Missing > 0 }, false, false},
		"no frame": {func(b []byte) []byte { return b[:logHeader] }, func(r Report) bool { return r.Missing > 0 }, false, false},
	} {
		t.Run(name, func(t *testing.T) {
			path := killed(t)
			b, err := os.ReadFile(path + "-wal")
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path+"-wal", c.do(b), 0o600); err != nil {
				t.Fatal(err)
			}
			found, err := Repair(path+"-wal", path+"-shm", path+"-aside")
			if err != nil || !c.want(found) {
				t.Errorf("found %+v, %v", found, err)
			}
			if _, err := os.Stat(path + "-aside"); (err == nil) != c.keptLog {
				t.Errorf("the damaged log is kept: %v, want %v", err == nil, c.keptLog)
			}
			if name != "no frame" { // then there is no table
				if id := last(t, path); (id == commits-1) != c.newest {
					t.Errorf("the newest row read is %d of %d", id, commits-1)
				}
			}
		})
	}
}

// TestRepairNothing: no log is no damage.
func TestRepairNothing(t *testing.T) {
	dir := t.TempDir()
	if found, err := Repair(filepath.Join(dir, "no-wal"), "", filepath.Join(dir, "aside")); err != nil || !found.Sound() {
		t.Errorf("found %+v, %v", found, err)
	}
}

// FuzzRepairedLog: whatever a log says, it is looked at without a panic.
func FuzzRepairedLog(f *testing.F) {
	f.Add([]byte{}, 0)
	f.Add([]byte(fmt.Sprintf("\x37\x7f\x06\x82%060d", 0)), 3)
	f.Fuzz(func(_ *testing.T, data []byte, written int) { repairedLog(data, written) })
}
