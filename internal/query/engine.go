//go:build cgo && !nosql

package query

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"github.com/duckdb/duckdb-go/v2"
)

// A DB is the lake, open for questions. Its methods may be called from many
// goroutines.
type DB struct {
	cfg  Config
	sql  *sql.DB
	temp string // removed by Close; "" without one
}

// Open makes the views and closes the sandbox around them. Files that are
// published later are seen by questions asked later, but for a class that had
// no file at all.
func Open(ctx context.Context, cfg Config) (*DB, error) {
	cfg.defaults()
	db := &DB{cfg: cfg}
	lake, err := filepath.Abs(cfg.LakeDir)
	if err != nil {
		return nil, fmt.Errorf("query: %w", err)
	}
	// DuckDB knows no escape that holds both in a pattern and in
	// allowed_directories, so a folder with such a name gets another one.
	if strings.ContainsAny(lake, "*?[") {
		if db.temp, err = os.MkdirTemp("", "nagare-lake-"); err != nil {
			return nil, fmt.Errorf("query: %w", err)
		}
		link := filepath.Join(db.temp, "lake")
		if err := os.Symlink(lake, link); err != nil {
			return nil, errors.Join(fmt.Errorf("query: %w", err), db.Close())
		}
		lake = link
	}
	connector, err := duckdb.NewConnector("", nil)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("query: %w", err), db.Close())
	}
	db.sql = sql.OpenDB(connector)
	for _, s := range setup(cfg, lake) {
		if _, err := db.sql.ExecContext(ctx, s); err != nil {
			return nil, errors.Join(fmt.Errorf("query: %.60s…: %w", s, err), db.Close())
		}
	}
	return db, nil
}

func (c *Config) defaults() {
	if c.MemoryLimit == "" {
		c.MemoryLimit = "1GB"
	}
	if c.Timeout <= 0 {
		c.Timeout = 5 * time.Minute
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
}

// setup are the statements that make the views, then lock everything else out.
// The order matters: a view of Parquet files is bound when it is made, and what
// is locked stays locked.
func setup(cfg Config, lake string) []string {
	s := []string{
		"SET GLOBAL memory_limit = " + text(cfg.MemoryLimit),
		"SET GLOBAL temp_directory = ''", // what does not fit fails instead of writing
		"SET GLOBAL TimeZone = 'UTC'",
		"SET GLOBAL autoinstall_known_extensions = false", // each try would go to the network
		"SET GLOBAL autoload_known_extensions = false",
		"SET GLOBAL allow_community_extensions = false",
	}
	var filled []View
	for _, v := range cfg.Views {
		objects := hasObjects(lake, v)
		if objects {
			filled = append(filled, v)
		}
		s = append(s, viewSQL(v, lake, objects))
	}
	return append(s, activitySQL(filled),
		"SET GLOBAL allowed_directories = ["+text(lake+string(filepath.Separator))+"]",
		"SET GLOBAL enable_external_access = false",
		"SET GLOBAL lock_configuration = true")
}

// Close closes the lake.
func (db *DB) Close() error {
	var err error
	if db.sql != nil {
		err = db.sql.Close()
	}
	if db.temp != "" {
		err = errors.Join(err, os.RemoveAll(db.temp))
	}
	return err
}

// Query asks a question: one SELECT. An error that it is to blame for wraps
// ErrBadSQL. The answer is whole in memory, within MemoryLimit, before its first
// row is seen: that is how the driver works.
func (db *DB) Query(ctx context.Context, question string, args ...any) (Result, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, db.cfg.Timeout, fmt.Errorf("the question took longer than %v", db.cfg.Timeout))
	r, err := db.run(ctx, question, args)
	if err != nil {
		err = db.blame(ctx, err)
		cancel()
		return nil, err
	}
	r.db, r.ctx, r.cancel = db, ctx, cancel
	return r, nil
}

// maxSQL bounds the text of a question.
const maxSQL = 1 << 20

func (db *DB) run(ctx context.Context, question string, args []any) (*result, error) {
	if len(question) > maxSQL {
		return nil, &SQLError{Message: fmt.Sprintf("the SQL has %d bytes; %d are the limit", len(question), maxSQL)}
	}
	conn, err := db.sql.Conn(ctx)
	if err != nil {
		return nil, err
	}
	if err := check(ctx, conn, question); err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	r, err := open(ctx, conn, question, args)
	if err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	if exact := exactJSON(question, r); exact != "" {
		if again, err := open(ctx, conn, exact, args); err == nil {
			for i, t := range r.types {
				if t == "JSON" {
					again.types[i] = t
				}
			}
			r.rows.Close()
			r = again
		}
	}
	r.conn = conn
	return r, nil
}

var explainPrefix = regexp.MustCompile(`(?i)^\s*EXPLAIN\s+(ANALYZE\s+)?`)

// check refuses what is not one SELECT, by the engine's own parser: COPY TO
// could write into the lake, and the driver runs all statements but the last
// when it only prepares.
func check(ctx context.Context, conn *sql.Conn, question string) error {
	inner := question[len(explainPrefix.FindString(question)):]
	var failed bool
	var kind, message sql.NullString
	var statements sql.NullInt64
	const ask = `SELECT (j->>'$.error')::BOOLEAN, j->>'$.error_type', j->>'$.error_message', json_array_length(j, '$.statements')
		FROM (SELECT json_serialize_sql(CAST(? AS VARCHAR)) AS j)`
	if err := conn.QueryRowContext(ctx, ask, inner).Scan(&failed, &kind, &message, &statements); err != nil {
		return err
	}
	switch {
	case failed && kind.String == "parser":
		// The engine's own error shows the place. What cannot be parsed is not
		// run either.
		if stmt, err := conn.PrepareContext(ctx, question); err != nil {
			return err
		} else if err := stmt.Close(); err != nil {
			return err
		}
		return &SQLError{Message: message.String}
	case failed:
		return &SQLError{Message: "only SELECT is allowed here", Hint: "the lake is read-only: SELECT, WITH, VALUES, DESCRIBE, SHOW TABLES, SUMMARIZE and EXPLAIN work"}
	case statements.Int64 != 1:
		return &SQLError{Message: fmt.Sprintf("one SELECT is needed; there are %d statements", statements.Int64)}
	}
	return nil
}

func open(ctx context.Context, conn *sql.Conn, question string, args []any) (*result, error) {
	rows, err := conn.QueryContext(ctx, question, args...)
	if err != nil {
		return nil, err
	}
	types, err := rows.ColumnTypes()
	if err != nil {
		return nil, errors.Join(err, rows.Close())
	}
	r := &result{rows: rows}
	for _, t := range types {
		r.names = append(r.names, t.Name())
		r.types = append(r.types, t.DatabaseTypeName())
	}
	return r, nil
}

// exactJSON is the question with its JSON columns as text, because the driver
// reads their numbers as floats; "" when there are none, or when columns have
// the same name.
func exactJSON(question string, r *result) string {
	var replace []string
	seen := map[string]bool{}
	for i, name := range r.names {
		if seen[strings.ToLower(name)] {
			return ""
		}
		seen[strings.ToLower(name)] = true
		if r.types[i] == "JSON" {
			replace = append(replace, fmt.Sprintf("CAST(%s AS VARCHAR) AS %[1]s", ident(name)))
		}
	}
	if replace == nil {
		return ""
	}
	return "SELECT * REPLACE (" + strings.Join(replace, ", ") + ") FROM (" + strings.TrimRight(question, "; \t\r\n") + "\n)"
}

// blame tells what the question did wrong from what happened to it.
func (db *DB) blame(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); cause != nil {
		return fmt.Errorf("query: %w", cause)
	}
	var bad *SQLError
	if errors.As(err, &bad) {
		return bad
	}
	var e *duckdb.Error
	if !errors.As(err, &e) {
		return fmt.Errorf("query: %w", err)
	}
	switch e.Type {
	case duckdb.ErrorTypeIO, duckdb.ErrorTypeFatal, duckdb.ErrorTypeInternal, duckdb.ErrorTypeInterrupt, duckdb.ErrorTypeSerialization:
		return fmt.Errorf("query: %w", err)
	case duckdb.ErrorTypeOutOfMemory:
		return fmt.Errorf("query: %w; ask for fewer days or columns", err)
	}
	return &SQLError{Message: strings.TrimSpace(e.Msg), Hint: hint(e.Msg, db.cfg.Views)}
}

// A result is DuckDB's answer.
type result struct {
	db           *DB
	ctx          context.Context // of the question, for its time limit
	cancel       context.CancelFunc
	conn         *sql.Conn
	rows         *sql.Rows
	names, types []string
}

// Columns implements Result.
func (r *result) Columns() []string { return r.names }

// Types implements Result.
func (r *result) Types() []string { return r.types }

// Next implements Result.
func (r *result) Next() ([]any, error) {
	if !r.rows.Next() {
		if err := r.rows.Err(); err != nil {
			return nil, r.db.blame(r.ctx, err)
		}
		return nil, io.EOF
	}
	values := make([]any, len(r.names))
	into := make([]any, len(values))
	for i := range values {
		into[i] = &values[i]
	}
	if err := r.rows.Scan(into...); err != nil {
		return nil, r.db.blame(r.ctx, err)
	}
	for i, v := range values {
		values[i] = plain(v)
	}
	return values, nil
}

// Close implements Result.
func (r *result) Close() error {
	err := errors.Join(r.rows.Close(), r.conn.Close())
	r.cancel()
	return err
}
