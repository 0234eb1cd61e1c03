// Package query answers questions to the lake in SQL, with DuckDB in this
// process: one view for each OCSF class, read from the lake's Parquet files, in
// a sandbox that sees nothing but the lake. Reports are prepared questions.
//
// It writes nothing, and it does not know how the lake is filled, nor OCSF: the
// caller says which classes there are and what columns they have. Built with
// the tag nosql, or without cgo, it answers that there is no SQL.
package query

import (
	"errors"
	"log/slog"
	"time"
)

var (
	// ErrBadSQL is behind errors that the question itself is to blame for. The
	// error is an *SQLError.
	ErrBadSQL = errors.New("bad SQL")
	// ErrNoSQL is what a binary without DuckDB answers.
	ErrNoSQL = errors.New("this binary was built without SQL (tag nosql, or without cgo): build it with cgo and without the tag")
)

// An SQLError says what is wrong with a question.
type SQLError struct {
	// Message is the engine's, with the place in the text.
	Message string
	// Hint says what to do; "" when there is nothing to add.
	Hint string
}

// Error is message and hint.
func (e *SQLError) Error() string {
	if e.Hint == "" {
		return e.Message
	}
	return e.Message + "\n" + e.Hint
}

// Unwrap is ErrBadSQL.
func (e *SQLError) Unwrap() error { return ErrBadSQL }

// A View is one class of the lake.
type View struct {
	// Name is the class's key, UID its number: the files are below
	// ext/nagare_<UID>.
	Name string
	UID  int
	// Columns are the class's table. region, accountId and eventDay come from
	// the names of the files and are added.
	Columns []Column
}

// A Column is a column of a view, with its type as DuckDB writes it, as
// STRUCT("name" VARCHAR)[].
type Column struct{ Name, Type string }

// Config says what to open.
type Config struct {
	// LakeDir is the lake's folder. It need not exist yet: then all views are
	// empty.
	LakeDir string
	Views   []View
	// MemoryLimit is DuckDB's, as "1GB"; the default is 1GB. A question that
	// needs more fails.
	MemoryLimit string
	// Timeout bounds one question; the default is five minutes.
	Timeout time.Duration
	Log     *slog.Logger
}

// A Result is the answer to a question, row by row. Close it.
type Result interface {
	// Columns are the names, Types the types as DuckDB writes them.
	Columns() []string
	Types() []string
	// Next returns the next row, and io.EOF after the last. Its values are
	// nil, bool, numbers, string, []byte, time.Time, []any, map[string]any for
	// a struct, and values with a String method.
	Next() ([]any, error)
	Close() error
}
