package query

import (
	"bufio"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode"

	"github.com/mattn/go-runewidth"
)

// Formats are how an answer can be written.
var Formats = []string{"table", "json", "csv"}

// Write writes an answer in a format and returns the number of rows: table for
// people, json as one object a line, csv with a header.
func Write(w io.Writer, format string, r Result) (int, error) {
	types := make([]*sqlType, len(r.Types()))
	for i, s := range r.Types() {
		var err error
		if types[i], err = parseType(s); err != nil {
			return 0, fmt.Errorf("query: column %s: %w", r.Columns()[i], err)
		}
	}
	b := bufio.NewWriter(w)
	var n int
	var err error
	switch format {
	case "table":
		n, err = writeTable(b, r, types)
	case "json":
		n, err = writeJSON(b, r, types)
	case "csv":
		n, err = writeCSV(b, r, types)
	default:
		return 0, fmt.Errorf("no format %q: it is one of %s", format, strings.Join(Formats, ", "))
	}
	return n, errors.Join(err, b.Flush())
}

// each calls do with every row.
func each(r Result, do func([]any) error) (int, error) {
	for n := 0; ; n++ {
		row, err := r.Next()
		if err == io.EOF {
			return n, nil
		}
		if err == nil {
			err = do(row)
		}
		if err != nil {
			return n, err
		}
	}
}

func writeJSON(w io.Writer, r Result, types []*sqlType) (int, error) {
	var line []byte
	names := r.Columns()
	return each(r, func(row []any) error {
		line = append(line[:0], '{')
		for i, v := range row {
			if i > 0 {
				line = append(line, ',')
			}
			line = appendString(line, names[i])
			line = append(line, ':')
			line = appendJSON(line, v, types[i])
		}
		_, err := w.Write(append(line, "}\n"...))
		return err
	})
}

func writeCSV(w io.Writer, r Result, types []*sqlType) (int, error) {
	c := csv.NewWriter(w)
	record := make([]string, len(types))
	for i, name := range r.Columns() {
		record[i] = harmless(name)
	}
	if err := c.Write(record); err != nil {
		return 0, err
	}
	n, err := each(r, func(row []any) error {
		for i, v := range row {
			record[i] = format(v, types[i])
			if _, ok := v.(string); ok {
				record[i] = harmless(record[i])
			}
		}
		return c.Write(record)
	})
	c.Flush()
	return n, errors.Join(err, c.Error())
}

// harmless keeps a spreadsheet from running text of an event as a formula.
func harmless(s string) string {
	if s != "" && strings.ContainsRune("=+-@\t\r", rune(s[0])) {
		return "'" + s
	}
	return s
}

// What a table shows of long values. The first rows decide how wide the columns
// are; later ones are cut to fit, so that a table needs no memory.
const (
	maxCell  = 60
	measured = 500
)

func writeTable(w io.Writer, r Result, types []*sqlType) (int, error) {
	t := table{w: w}
	var head []string
	for i, name := range r.Columns() {
		head = append(head, cell(name))
		t.widths = append(t.widths, runewidth.StringWidth(head[i]))
		t.right = append(t.right, numeric(types[i].kind))
	}
	var first [][]string
	flush := func() error {
		var rule []string
		for _, width := range t.widths {
			rule = append(rule, strings.Repeat("-", width))
		}
		for _, line := range append([][]string{head, rule}, first...) {
			if err := t.line(line); err != nil {
				return err
			}
		}
		return nil
	}
	n, err := each(r, func(row []any) error {
		line := make([]string, len(row))
		for i, v := range row {
			line[i] = cell(format(v, types[i]))
		}
		if len(first) >= measured {
			return t.line(line)
		}
		for i, s := range line {
			t.widths[i] = max(t.widths[i], runewidth.StringWidth(s))
		}
		if first = append(first, line); len(first) == measured {
			return flush()
		}
		return nil
	})
	if err == nil && n < measured {
		err = flush()
	}
	if err != nil {
		return n, err
	}
	s := "s"
	if n == 1 {
		s = ""
	}
	_, err = fmt.Fprintf(w, "(%d row%s)\n", n, s)
	return n, err
}

// A table writes lines of cells.
type table struct {
	w      io.Writer
	widths []int
	right  []bool
}

func (t *table) line(cells []string) error {
	var b strings.Builder
	for i, s := range cells {
		if i > 0 {
			b.WriteString("  ")
		}
		if runewidth.StringWidth(s) > t.widths[i] {
			s = runewidth.Truncate(s, t.widths[i], "…")
		}
		pad := strings.Repeat(" ", t.widths[i]-runewidth.StringWidth(s))
		if t.right[i] {
			b.WriteString(pad + s)
		} else {
			b.WriteString(s + pad)
		}
	}
	_, err := io.WriteString(t.w, strings.TrimRight(b.String(), " ")+"\n")
	return err
}

// cell is one line of harmless text: what an event holds must not move the
// cursor.
func cell(s string) string {
	var b strings.Builder
	width := 0
	for _, c := range s {
		switch {
		case c == '\n' || c == '\t' || c == '\r':
			c = ' '
		case unicode.In(c, unicode.Cc, unicode.Cf, unicode.Zl, unicode.Zp):
			c = unicode.ReplacementChar
		}
		if width += runewidth.RuneWidth(c); width > maxCell {
			return runewidth.Truncate(b.String(), maxCell-1, "") + "…"
		}
		b.WriteRune(c)
	}
	return b.String()
}

func numeric(kind string) bool {
	switch kind {
	case "TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT", "UTINYINT", "USMALLINT", "UINTEGER", "UBIGINT", "UHUGEINT", "BIGNUM", "FLOAT", "DOUBLE", "DECIMAL":
		return true
	}
	return false
}
