package kinesisd

import (
	"database/sql"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// edit runs statements on a database file of a closed server.
func edit(t *testing.T, path string, statements ...string) {
	t.Helper()
	db, err := sql.Open("sqlite", dsn(path))
	if err != nil {
		t.Fatal(err)
	}
	for _, q := range statements {
		if _, err := db.Exec(q); err != nil {
			t.Fatalf("%s: %v", q, err)
		}
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestFormatVersion1 opens a folder of the first format: what is there can be
// read, and what comes is stored with it.
func TestFormatVersion1(t *testing.T) {
	dir, clock := t.TempDir(), newClock()
	s := open(t, Config{Dir: dir, now: clock.now})
	must(t, s, "CreateStream", `{"StreamName":"s","ShardCount":1}`)
	put(t, s, "full file")
	clock.pass(time.Hour)
	put(t, s, "file in use")
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	edit(t, filepath.Join(dir, "streams.db"), `DROP TABLE attached`, `ALTER TABLE streams DROP COLUMN settings`, `PRAGMA user_version = 1`)
	for _, n := range []int64{1, 2} {
		edit(t, hourPath(dir, n), `ALTER TABLE r DROP COLUMN sum`, `PRAGMA user_version = 1`)
	}
	s = open(t, Config{Dir: dir, now: clock.now, TailBytes: 1})
	put(t, s, "new")
	must(t, s, "AddTagsToStream", `{"StreamName":"s","Tags":{"a":"b"}}`)
	if d := cmp.Diff([]string{"full file", "file in use", "new"}, horizon(t, s, firstShard)); d != "" {
		t.Errorf("records (-want +got):\n%s", d)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"streams.db", filepath.Base(hourPath(dir, 3))} {
		edit(t, filepath.Join(dir, name), `PRAGMA user_version = 3`)
		if s, err := Open(Config{Dir: dir, now: clock.now}); err == nil {
			_ = s.Close()
			t.Errorf("opened a %s of version 3", name)
		} else if !strings.Contains(err.Error(), "version 3") {
			t.Errorf("a %s of version 3: %v", name, err)
		}
		edit(t, filepath.Join(dir, name), `PRAGMA user_version = 2`)
	}
}

// TestDamage changes one byte of one record: it is not served, and the log
// says which it is. What lies before and behind it still is.
func TestDamage(t *testing.T) {
	dir := t.TempDir()
	s := open(t, Config{Dir: dir})
	must(t, s, "CreateStream", `{"StreamName":"s","ShardCount":1}`)
	put(t, s, "one")
	bad := put(t, s, "two")
	put(t, s, "three")
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	for _, change := range []string{`data = CAST('tvo' AS BLOB)`, `pk = 'j'`, `t = t + 1`} {
		// The stored checksum stays what it was.
		edit(t, hourPath(dir, 1), `CREATE TABLE kept AS SELECT * FROM r`, `UPDATE r SET `+change+` WHERE CAST(data AS TEXT) = 'two'`)
		log := &lines{}
		s = open(t, Config{Dir: dir, Log: log.logger()})
		it := must(t, s, "GetShardIterator", `{"StreamName":"s","ShardId":"shardId-000000000000","ShardIteratorType":"TRIM_HORIZON"}`)["ShardIterator"].(string)
		out := must(t, s, "GetRecords", `{"ShardIterator":"`+it+`"}`)
		if n := len(out["Records"].([]any)); n != 1 {
			t.Errorf("%s: %d records before it", change, n)
		}
		refused(t, s, "GetRecords", `{"ShardIterator":"`+out["NextShardIterator"].(string)+`"}`, internalFailure)
		if !strings.Contains(log.String(), bad) {
			t.Errorf("%s: the log does not name record %s: %s", change, bad, log)
		}
		it = must(t, s, "GetShardIterator", `{"StreamName":"s","ShardId":"shardId-000000000000","ShardIteratorType":"AFTER_SEQUENCE_NUMBER","StartingSequenceNumber":"`+bad+`"}`)["ShardIterator"].(string)
		if n := len(must(t, s, "GetRecords", `{"ShardIterator":"`+it+`"}`)["Records"].([]any)); n != 1 {
			t.Errorf("%s: %d records behind it", change, n)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		edit(t, hourPath(dir, 1), `DELETE FROM r`, `INSERT INTO r SELECT * FROM kept`, `DROP TABLE kept`)
	}
}
