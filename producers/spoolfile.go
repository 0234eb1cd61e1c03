package producers

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"
)

// A row is one batch. Ids are given without gaps from 1, so that a missing row
// is seen.
const (
	spoolTable  = `CREATE TABLE r (id INTEGER PRIMARY KEY, t INTEGER NOT NULL, sum INTEGER NOT NULL, data BLOB NOT NULL)`
	spoolSchema = spoolTable + `; PRAGMA user_version = 1;`
)

// spoolRows is what one INSERT takes when there is enough.
const spoolRows = 32

func spoolPath(dir string, number int64) string {
	return filepath.Join(dir, fmt.Sprintf("spool-%08d.db", number))
}

func sqliteURL(path string) string { return "file:" + (&url.URL{Path: path}).EscapedPath() }

// A spoolWriter is a file being written.
type spoolWriter struct {
	db                        *sql.DB
	conn                      *sql.Conn
	begin, commit, one, batch *sql.Stmt
	args                      []any
}

// makeSpoolFile makes a new file and opens it for writing. The page size has
// to be set before WAL mode fixes it, and the driver would do them in the
// wrong order.
func makeSpoolFile(path string, maxPages int) (*spoolWriter, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o600) // SQLite gives its side files the same mode
	if err != nil {
		return nil, err
	}
	w, err := openSpoolFile(path, maxPages, f.Close())
	if err != nil {
		err = errors.Join(fmt.Errorf("make %s: %w", path, err), removeSpoolFile(path))
	}
	return w, err
}

func openSpoolFile(path string, maxPages int, err error) (*spoolWriter, error) {
	if err != nil {
		return nil, err
	}
	db, err := sql.Open("sqlite", sqliteURL(path))
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(1)
	for _, q := range []string{`PRAGMA page_size = 8192`, `PRAGMA journal_mode = WAL`, `PRAGMA synchronous = FULL`, `BEGIN IMMEDIATE; ` + spoolSchema + ` COMMIT`} {
		if _, err := db.Exec(q); err != nil {
			return nil, errors.Join(err, db.Close())
		}
	}
	if err := errors.Join(db.Close(), syncFolder(filepath.Dir(path))); err != nil {
		return nil, err
	}
	// Another goroutine's checkpoint would never let the log start over, so it
	// is the writer's; every 4000 pages keeps its pauses rare and short.
	db, err = sql.Open("sqlite", sqliteURL(path)+"?_pragma=busy_timeout(10000)&_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)"+
		"&_pragma=wal_autocheckpoint(4000)&_pragma=journal_size_limit(67108864)&_pragma=cache_size(-8192)&_pragma=temp_store(MEMORY)&_txlock=immediate")
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(1)
	w := &spoolWriter{db: db, args: make([]any, 0, 4*spoolRows)}
	ctx := context.Background()
	if w.conn, err = db.Conn(ctx); err == nil && maxPages > 0 {
		_, err = w.conn.ExecContext(ctx, fmt.Sprintf("PRAGMA max_page_count = %d", maxPages))
	}
	prepare := func(q string) *sql.Stmt {
		if err != nil {
			return nil
		}
		var st *sql.Stmt
		st, err = w.conn.PrepareContext(ctx, q)
		return st
	}
	const insert = "INSERT INTO r (id, t, sum, data) VALUES (?,?,?,?)"
	w.begin = prepare("BEGIN IMMEDIATE")
	w.commit = prepare("COMMIT")
	w.one = prepare(insert)
	w.batch = prepare(insert + strings.Repeat(",(?,?,?,?)", spoolRows-1))
	if err != nil {
		return nil, errors.Join(err, w.close())
	}
	return w, nil
}

func syncFolder(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// insert adds a row to the open transaction, or keeps it for the next full
// INSERT; flush sends the rest.
func (w *spoolWriter) insert(ctx context.Context, id, t int64, sum uint32, data []byte) error {
	w.args = append(w.args, id, t, int64(sum), data)
	if len(w.args) < cap(w.args) {
		return nil
	}
	_, err := w.batch.ExecContext(ctx, w.args...)
	w.reset()
	return err
}

func (w *spoolWriter) flush(ctx context.Context) error {
	for i := 0; i < len(w.args); i += 4 {
		if _, err := w.one.ExecContext(ctx, w.args[i:i+4]...); err != nil {
			return err
		}
	}
	w.reset()
	return nil
}

func (w *spoolWriter) reset() {
	clear(w.args) // the batches must not be kept
	w.args = w.args[:0]
}

// rollback undoes a transaction that could not be committed. SQLite may have
// undone it already.
func (w *spoolWriter) rollback(ctx context.Context) {
	w.reset()
	_, _ = w.conn.ExecContext(ctx, "ROLLBACK")
}

// end brings everything from the log into the file and closes it. If the
// former does not work the log stays, and is as good.
func (w *spoolWriter) end() error {
	_, _ = w.conn.ExecContext(context.Background(), `PRAGMA wal_checkpoint(TRUNCATE)`)
	return w.close()
}

func (w *spoolWriter) close() error {
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

// A spoolRow is a row as it was read, with its checksum found right.
type spoolRow struct {
	id   int64
	t    time.Time
	data []byte
}

// A spoolReader reads a file, be it still written or not.
type spoolReader struct {
	db        *sql.DB
	page, one *sql.Stmt
}

func openSpoolReader(path string) (*spoolReader, error) {
	db, err := sql.Open("sqlite", sqliteURL(path)+"?mode=ro&_pragma=busy_timeout(10000)&_pragma=query_only(1)&_pragma=cache_size(-2048)")
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(1)
	r := &spoolReader{db: db}
	if r.page, err = db.Prepare(`SELECT id, t, sum, data FROM r WHERE id > ? ORDER BY id LIMIT ?`); err == nil {
		r.one, err = db.Prepare(`SELECT id, t, sum, data FROM r WHERE id = ?`)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open %s: %w", path, err), r.close())
	}
	return r, nil
}

func (r *spoolReader) close() error {
	for _, st := range []*sql.Stmt{r.page, r.one} {
		if st != nil {
			_ = st.Close() // the database's Close ends it in any case
		}
	}
	return r.db.Close()
}

// errRow is a row that is not what was written, or not where it should be.
var errRow = errors.New("a row is damaged")

// read returns the rows after an id, as many as fit, and at least one if there
// is one. It has read everything when it returns: an open statement would keep
// the log from starting over.
func (r *spoolReader) read(ctx context.Context, after int64, maxRows, maxBytes int) ([]spoolRow, error) {
	rows, err := r.page.QueryContext(ctx, after, maxRows)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var found []spoolRow
	for size := 0; size < maxBytes && rows.Next(); {
		row, err := scanSpoolRow(rows)
		if err == nil && row.id != after+int64(len(found))+1 {
			err = fmt.Errorf("%w: %d follows %d", errRow, row.id, after+int64(len(found)))
		}
		if err != nil {
			return nil, err
		}
		found = append(found, row)
		size += len(row.data)
	}
	return found, rows.Err()
}

// get returns one row, or sql.ErrNoRows.
func (r *spoolReader) get(ctx context.Context, id int64) (spoolRow, error) {
	return scanSpoolRow(r.one.QueryRowContext(ctx, id))
}

func scanSpoolRow(row interface{ Scan(...any) error }) (spoolRow, error) {
	var out spoolRow
	var t, sum int64
	if err := row.Scan(&out.id, &t, &sum, &out.data); err != nil {
		// SQLite does not mind a text, or nothing, where a number was written.
		if sqliteCode(err) == 0 && !errors.Is(err, sql.ErrNoRows) && !errors.Is(err, context.Canceled) && !errors.Is(err, context.DeadlineExceeded) {
			err = fmt.Errorf("%w: %w", errRow, err)
		}
		return out, err
	}
	if spoolSum(out.data) != sum {
		return out, fmt.Errorf("%w: checksum of row %d", errRow, out.id)
	}
	out.t = time.UnixMilli(t)
	return out, nil
}

// removeSpoolFile removes a file and what SQLite keeps beside it. Nobody may
// have it open: SQLite would go on writing into nothing.
func removeSpoolFile(path string) error {
	var errs []error
	for _, name := range []string{path, path + "-wal", path + "-shm"} {
		if err := os.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// sqliteCode is the primary code of an error of SQLite, or 0.
func sqliteCode(err error) int {
	var e *sqlite.Error
	if errors.As(err, &e) {
		return e.Code() & 0xff
	}
	return 0
}

func isFull(err error) bool { return sqliteCode(err) == sqlite3.SQLITE_FULL }

// isDamage says whether reading again cannot help.
func isDamage(err error) bool {
	switch sqliteCode(err) {
	case sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_ERROR, sqlite3.SQLITE_FORMAT, sqlite3.SQLITE_SCHEMA, sqlite3.SQLITE_MISMATCH:
		return true
	}
	return errors.Is(err, errRow)
}

// isPassing says whether an error has another cause than the file.
func isPassing(err error) bool {
	switch sqliteCode(err) {
	case sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_NOMEM, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_INTERRUPT:
		return true
	}
	return false
}
