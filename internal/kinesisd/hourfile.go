package kinesisd

import (
	"context"
	"database/sql"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// hour is a file of records. It takes records for one Config.FileSpan and is
// removed whole when every stream's retention has passed over it.
type hour struct {
	number      int64
	first, last int64 // arrival times in milliseconds; 0 while it is empty
	closed      bool
}

// A record's key in its file is its shard's number, then its place, so one
// shard's records lie together in order and no second index is needed.
const hourSchema = `
CREATE TABLE r (id INTEGER PRIMARY KEY, t INTEGER NOT NULL, pk TEXT NOT NULL, data BLOB NOT NULL);
`

// hourSince2 came with version 2: a checksum, which records of version 1 do
// not have.
const hourSince2 = `
ALTER TABLE r ADD COLUMN sum INTEGER;
PRAGMA user_version = 2;`

// checksum is CRC-32C of all that is stored of a record. SQLite notices a
// damaged page only when it cannot make sense of it.
func checksum(id, at int64, partitionKey string, data []byte) int64 {
	var head [24]byte
	binary.BigEndian.PutUint64(head[0:], uint64(id))
	binary.BigEndian.PutUint64(head[8:], uint64(at))
	binary.BigEndian.PutUint64(head[16:], uint64(len(partitionKey)))
	table := crc32.MakeTable(crc32.Castagnoli) // made once by the library
	sum := crc32.Update(0, table, head[:])
	sum = crc32.Update(sum, table, []byte(partitionKey))
	return int64(crc32.Update(sum, table, data))
}

func rowID(shard, place int64) int64 { return shard<<placeBits | place }

func hourPath(dir string, number int64) string {
	return filepath.Join(dir, fmt.Sprintf("records-%08d.db", number))
}

// rowsPerInsert is what one INSERT takes when there is enough.
const rowsPerInsert = 32

// columns are those of a row.
const columns = 5

// hourWriter is the writing side of the file in use. Only the writer's
// goroutine touches it.
type hourWriter struct {
	db                        *sql.DB
	conn                      *sql.Conn
	begin, commit, one, batch *sql.Stmt
	args                      []any
}

// openHour opens a file for writing, or makes it.
func openHour(path string) (*hourWriter, error) {
	if err := makeHour(path); err != nil {
		return nil, fmt.Errorf("make %s: %w", path, err)
	}
	// The checkpoint belongs to the writer: another goroutine's never lets
	// the log start over. 4000 pages of 8 KiB keep its pauses rare and short.
	db, err := sql.Open("sqlite", dsn(path)+"?_pragma=busy_timeout(10000)&_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)"+
		"&_pragma=wal_autocheckpoint(4000)&_pragma=journal_size_limit(67108864)&_pragma=cache_size(-8192)&_pragma=temp_store(MEMORY)&_txlock=immediate")
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(1)
	w := &hourWriter{db: db, args: make([]any, 0, columns*rowsPerInsert)}
	ctx := context.Background()
	if w.conn, err = db.Conn(ctx); err == nil {
		prepare := func(q string) *sql.Stmt {
			if err != nil {
				return nil
			}
			var st *sql.Stmt
			st, err = w.conn.PrepareContext(ctx, q)
			return st
		}
		const insert = "INSERT INTO r (id, t, pk, data, sum) VALUES (?,?,?,?,?)"
		w.begin = prepare("BEGIN IMMEDIATE")
		w.commit = prepare("COMMIT")
		w.one = prepare(insert)
		w.batch = prepare(insert + strings.Repeat(",(?,?,?,?,?)", rowsPerInsert-1))
	}
	if err != nil {
		_ = w.close()
		return nil, fmt.Errorf("open %s: %w", path, err)
	}
	return w, nil
}

// makeHour creates the file with its table. The page size has to be set
// before WAL mode fixes it, which the driver's own order would not do.
func makeHour(path string) error {
	if err := createPrivate(path); err != nil {
		return err
	}
	db, err := sql.Open("sqlite", dsn(path))
	if err != nil {
		return err
	}
	defer db.Close()
	db.SetMaxOpenConns(1)
	var v int
	if err := db.QueryRow(`PRAGMA user_version`).Scan(&v); err != nil {
		return err
	}
	switch v {
	case formatVersion:
		return nil
	case 0, 1:
	default:
		return fmt.Errorf("format version %d, this program knows %d", v, formatVersion)
	}
	steps := []string{`PRAGMA page_size = 8192`, `PRAGMA journal_mode = WAL`, `PRAGMA synchronous = FULL`, `BEGIN IMMEDIATE; ` + hourSchema + hourSince2 + ` COMMIT`}
	if v == 1 {
		steps = []string{`PRAGMA synchronous = FULL`, `BEGIN IMMEDIATE; ` + hourSince2 + ` COMMIT`}
	}
	for _, q := range steps {
		if _, err := db.Exec(q); err != nil {
			return err
		}
	}
	if err := db.Close(); err != nil {
		return err
	}
	return syncDir(filepath.Dir(path))
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// insert adds one record to the open transaction, or keeps it for the next
// full batch; flush sends the rest.
func (w *hourWriter) insert(ctx context.Context, id, at int64, partitionKey string, data []byte) error {
	if data == nil {
		data = []byte{} // nil would be NULL
	}
	w.args = append(w.args, id, at, partitionKey, data, checksum(id, at, partitionKey, data))
	if len(w.args) < cap(w.args) {
		return nil
	}
	_, err := w.batch.ExecContext(ctx, w.args...)
	w.args = w.args[:0]
	return err
}

func (w *hourWriter) flush(ctx context.Context) error {
	for i := 0; i < len(w.args); i += columns {
		if _, err := w.one.ExecContext(ctx, w.args[i:i+columns]...); err != nil {
			return err
		}
	}
	w.args = w.args[:0]
	return nil
}

// rollback undoes a transaction that could not be committed. SQLite may have
// undone it already.
func (w *hourWriter) rollback(ctx context.Context) {
	w.args = w.args[:0]
	_, _ = w.conn.ExecContext(ctx, "ROLLBACK")
}

// end moves everything from the log into the file and closes it. When it
// fails the file can still be written.
func (w *hourWriter) end() error {
	if _, err := w.conn.ExecContext(context.Background(), `PRAGMA wal_checkpoint(TRUNCATE)`); err != nil {
		return err
	}
	return w.close()
}

func (w *hourWriter) close() error {
	var errs []error
	for _, st := range []*sql.Stmt{w.begin, w.commit, w.one, w.batch} {
		if st != nil {
			errs = append(errs, st.Close())
		}
	}
	if w.conn != nil {
		errs = append(errs, w.conn.Close())
	}
	return errors.Join(append(errs, w.db.Close())...)
}

// highest looks at what a file holds: its last place, and the arrival times
// of its first and last record.
func (w *hourWriter) highest() (place, first, last int64, err error) {
	ctx := context.Background()
	for shard := int64(0); ; {
		// the next shard that has records here, then its last record
		var id, t int64
		row := w.conn.QueryRowContext(ctx, `SELECT id, t FROM r WHERE id >= ? ORDER BY id LIMIT 1`, rowID(shard, 0))
		if err := row.Scan(&id, &t); errors.Is(err, sql.ErrNoRows) {
			return place, first, last, nil
		} else if err != nil {
			return 0, 0, 0, err
		}
		if first == 0 || t < first {
			first = t
		}
		shard = id>>placeBits + 1
		row = w.conn.QueryRowContext(ctx, `SELECT id, t FROM r WHERE id < ? ORDER BY id DESC LIMIT 1`, rowID(shard, 0))
		if err := row.Scan(&id, &t); err != nil {
			return 0, 0, 0, err
		}
		place, last = max(place, id&maxPlace), max(last, t)
	}
}

// removeHour removes a file and what SQLite keeps beside it. Nobody may have
// it open: SQLite would go on writing into nothing.
func removeHour(path string) error {
	var errs []error
	for _, name := range []string{path, path + "-wal", path + "-shm"} {
		if err := os.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}
