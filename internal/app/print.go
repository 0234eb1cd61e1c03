package app

import (
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"strings"

	"github.com/mattn/go-runewidth"
)

// A listing is rows of one kind, for people and for programs.
type listing struct {
	columns []string
	// rows hold what the columns show; objects what JSON lines show, one each.
	rows    [][]string
	objects []any
}

func (l *listing) add(object any, cells ...string) {
	l.rows, l.objects = append(l.rows, cells), append(l.objects, object)
}

// print writes the listing as table, json (JSON lines) or csv.
func (l *listing) print(w io.Writer, format string) error {
	switch format {
	case "json":
		enc := json.NewEncoder(w)
		enc.SetEscapeHTML(false)
		for _, o := range l.objects {
			if err := enc.Encode(o); err != nil {
				return err
			}
		}
		return nil
	case "csv":
		cw := csv.NewWriter(w)
		if err := cw.Write(l.columns); err != nil {
			return err
		}
		for _, r := range l.rows {
			if err := cw.Write(guarded(r)); err != nil {
				return err
			}
		}
		cw.Flush()
		return cw.Error()
	}
	return l.table(w)
}

// guarded keeps a spreadsheet from taking a cell for a formula.
func guarded(cells []string) []string {
	out := make([]string, len(cells))
	for i, c := range cells {
		if c != "" && strings.ContainsRune("=+-@\t\r", rune(c[0])) {
			c = "'" + c
		}
		out[i] = c
	}
	return out
}

// maxCell is how wide a column of a table may become.
const maxCell = 72

func (l *listing) table(w io.Writer) error {
	if len(l.rows) == 0 {
		_, err := fmt.Fprintln(w, "(none)")
		return err
	}
	widths := make([]int, len(l.columns))
	for i, c := range l.columns {
		widths[i] = runewidth.StringWidth(c)
	}
	shown := make([][]string, len(l.rows))
	for i, r := range l.rows {
		shown[i] = make([]string, len(r))
		for j, c := range r {
			c = runewidth.Truncate(printable(c), maxCell, "…")
			shown[i][j] = c
			widths[j] = max(widths[j], runewidth.StringWidth(c))
		}
	}
	line := func(cells []string) error {
		var b strings.Builder
		for i, c := range cells {
			b.WriteString(c)
			if i < len(cells)-1 {
				b.WriteString(strings.Repeat(" ", widths[i]-runewidth.StringWidth(c)+2))
			}
		}
		_, err := fmt.Fprintln(w, strings.TrimRight(b.String(), " "))
		return err
	}
	if err := line(l.columns); err != nil {
		return err
	}
	for _, r := range shown {
		if err := line(r); err != nil {
			return err
		}
	}
	return nil
}

// printable replaces what would move a terminal's cursor: events are hostile.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r < 0x20 || (r >= 0x7f && r < 0xa0) || (r >= 0x202a && r <= 0x202e) || (r >= 0x2066 && r <= 0x2069) {
			return ' '
		}
		return r
	}, s)
}
