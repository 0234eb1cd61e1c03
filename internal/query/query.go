// Package query answers questions to the lake in SQL, with DuckDB in this
// process: one view for each OCSF class, read from the lake's Parquet files,
// in a sandbox that sees nothing but the lake. Reports are prepared questions.
//
// It writes nothing, and it does not know how the lake is filled. Built with
// the tag nosql it answers that there is no SQL.
package query

import (
	"errors"
	"io"
	"log/slog"
	"time"
)

// ErrBadSQL is behind errors that the question itself is to blame for.
var ErrBadSQL = errors.New("bad SQL")

// A View is one class of the lake.
type View struct {
	// Name is the class's key, UID its number: the files are below
	// ext/nagare_<UID>.
	Name string
	UID  int
	// Columns are the class's table, for a view without files.
	Columns []Column
}

// A Column is a column of a view, with its type as DuckDB writes it.
type Column struct{ Name, Type string }

// Config says what to open.
type Config struct {
	// LakeDir is the lake's folder.
	LakeDir string
	Views   []View
	// MemoryLimit is DuckDB's, as "1GB"; the default is 1GB.
	MemoryLimit string
	// Timeout bounds one question; the default is five minutes.
	Timeout time.Duration
	Log     *slog.Logger
}

// A Result is the answer to a question, row by row. Close it.
type Result interface {
	// Columns are the names.
	Columns() []string
	// Next returns the next row, and io.EOF after the last.
	Next() ([]any, error)
	Close() error
}

// Formats are how an answer can be written.
var Formats = []string{"table", "json", "csv"}

// Write writes an answer in a format and returns the number of rows.
func Write(w io.Writer, format string, r Result) (int, error) {
	switch format {
	case "json":
		return writeJSON(w, r)
	case "csv":
		return writeCSV(w, r)
	}
	return writeTable(w, r)
}
