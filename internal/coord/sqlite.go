package coord

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"

	"modernc.org/sqlite"
)

// schemaVersion is kept in the file's user_version.
const schemaVersion = 1

// sqliteStore keeps the rows in one SQLite file. Writes go through one
// connection, because SQLite has one writer at a time anyway and a queue in Go
// is fairer than its busy handler; readers have their own.
type sqliteStore struct {
	write, read *sql.DB
}

// OpenSQLite opens the store in the file at path, or makes it. Several
// processes may have the same file open. A write that has returned is on disk.
func OpenSQLite(path string) (Store, error) {
	// Without it, closing any other descriptor of the file in this process (a
	// backup, a hash) would silently drop SQLite's locks. Where the system has
	// no such locks we go on without. Two first calls at once may be told that
	// they are too late though it is on (modernc v1.62.0), hence the second look.
	if _, err := sqlite.OFDLocking(true); errors.Is(err, sqlite.ErrOFDLockingTooLate) && !sqlite.OFDLockingEnabled() {
		return nil, fmt.Errorf("open %s: %w", path, err)
	}
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", path, err)
	}
	// SQLite gives its side files the mode of the database, and alerts are
	// nobody else's business.
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o600)
	if err == nil {
		err = f.Close()
	}
	if err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, fmt.Errorf("open %s: %w", path, err)
	}
	base := "file:" + (&url.URL{Path: path}).EscapedPath() + "?_pragma=busy_timeout(10000)"
	s := &sqliteStore{}
	if s.write, err = sql.Open("sqlite", base+
		"&_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)&_pragma=journal_size_limit(16777216)&_txlock=immediate"); err != nil {
		return nil, fmt.Errorf("open %s: %w", path, err)
	}
	s.write.SetMaxOpenConns(1)
	if err := s.prepare(); err != nil {
		s.write.Close()
		return nil, fmt.Errorf("open %s: %w", path, err)
	}
	if s.read, err = sql.Open("sqlite", base+"&_pragma=query_only(1)"); err != nil {
		s.write.Close()
		return nil, fmt.Errorf("open %s: %w", path, err)
	}
	s.read.SetMaxOpenConns(4)
	return s, nil
}

// prepare makes the table, or sees that it is one we know.
func (s *sqliteStore) prepare() error {
	tx, err := s.write.Begin()
	if err != nil {
		return err
	}
	defer tx.Rollback()
	var v int
	if err := tx.QueryRow("PRAGMA user_version").Scan(&v); err != nil {
		return err
	}
	switch v {
	case schemaVersion:
		return nil
	case 0:
	default:
		return fmt.Errorf("the file has layout %d, this program knows %d: use the newer program", v, schemaVersion)
	}
	// TEXT compares byte by byte, which is also how DynamoDB orders.
	if _, err := tx.Exec(`CREATE TABLE coord (
		part TEXT NOT NULL, sort TEXT NOT NULL, version INTEGER NOT NULL, value BLOB NOT NULL,
		PRIMARY KEY (part, sort))`); err != nil {
		return err
	}
	if _, err := tx.Exec(fmt.Sprintf("PRAGMA user_version = %d", schemaVersion)); err != nil {
		return err
	}
	return tx.Commit()
}

// Get implements Store.
func (s *sqliteStore) Get(ctx context.Context, part, sort string) (Row, error) {
	if err := checkKey(part, sort); err != nil {
		return Row{}, err
	}
	r := Row{Part: part, Sort: sort}
	err := s.read.QueryRowContext(ctx, "SELECT version, value FROM coord WHERE part = ? AND sort = ?", part, sort).Scan(&r.Version, &r.Value)
	if errors.Is(err, sql.ErrNoRows) {
		return Row{}, ErrNotFound
	}
	if err != nil {
		return Row{}, fmt.Errorf("coord: get %s %s: %w", part, sort, err)
	}
	return r, nil
}

// Put implements Store.
func (s *sqliteStore) Put(ctx context.Context, part, sort string, value []byte, ifVersion int64) (int64, error) {
	if err := checkPut(part, sort, value); err != nil {
		return 0, err
	}
	if value == nil {
		value = []byte{} // nil would be NULL
	}
	// One statement each, so each is its own transaction and its own fsync.
	var res sql.Result
	var err error
	version := ifVersion + 1
	if ifVersion == 0 {
		version = firstVersion()
		res, err = s.write.ExecContext(ctx, "INSERT INTO coord VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING", part, sort, version, value)
	} else {
		res, err = s.write.ExecContext(ctx, "UPDATE coord SET version = version + 1, value = ? WHERE part = ? AND sort = ? AND version = ?", value, part, sort, ifVersion)
	}
	if err := changed(res, err); err != nil {
		return 0, fmt.Errorf("coord: put %s %s: %w", part, sort, err)
	}
	return version, nil
}

// Delete implements Store.
func (s *sqliteStore) Delete(ctx context.Context, part, sort string, ifVersion int64) error {
	if err := checkKey(part, sort); err != nil {
		return err
	}
	res, err := s.write.ExecContext(ctx, "DELETE FROM coord WHERE part = ? AND sort = ? AND version = ?", part, sort, ifVersion)
	if err := changed(res, err); err != nil {
		return fmt.Errorf("coord: delete %s %s: %w", part, sort, err)
	}
	return nil
}

// List implements Store.
func (s *sqliteStore) List(ctx context.Context, part, after string, limit int) ([]Row, error) {
	if err := checkList(part, limit); err != nil {
		return nil, err
	}
	rows, err := s.read.QueryContext(ctx, "SELECT sort, version, value FROM coord WHERE part = ? AND sort > ? ORDER BY sort LIMIT ?", part, after, limit)
	if err != nil {
		return nil, fmt.Errorf("coord: list %s: %w", part, err)
	}
	defer rows.Close()
	var out []Row
	for rows.Next() {
		r := Row{Part: part}
		if err := rows.Scan(&r.Sort, &r.Version, &r.Value); err != nil {
			return nil, fmt.Errorf("coord: list %s: %w", part, err)
		}
		out = append(out, r)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("coord: list %s: %w", part, err)
	}
	return out, nil
}

// Close implements Store.
func (s *sqliteStore) Close() error {
	return errors.Join(s.read.Close(), s.write.Close())
}

// changed turns "no row changed" into ErrConflict.
func changed(res sql.Result, err error) error {
	if err != nil {
		return err
	}
	n, err := res.RowsAffected()
	if err == nil && n == 0 {
		err = ErrConflict
	}
	return err
}
