package query

import (
	"bufio"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"math/big"
	"strconv"
	"strings"
	"time"

	"github.com/mattn/go-runewidth"
)

// number is a decimal number as JSON has it, digit for digit.
type number string

// MarshalJSON implements json.Marshaler.
func (n number) MarshalJSON() ([]byte, error) { return []byte(n), nil }

func (n number) String() string { return string(n) }

// writeJSON writes one object a row, members in the order of the columns.
func writeJSON(w io.Writer, r Result) (int, error) {
	b := bufio.NewWriter(w)
	names := make([][]byte, len(r.Columns()))
	for i, n := range r.Columns() {
		names[i], _ = json.Marshal(n)
	}
	n := 0
	for {
		row, err := r.Next()
		if err == io.EOF {
			return n, b.Flush()
		}
		if err != nil {
			return n, err
		}
		n++
		for i, v := range row {
			b.WriteByte("{,"[min(i, 1)])
			b.Write(names[i])
			b.WriteByte(':')
			text, err := encode(v)
			if err != nil {
				return n, err
			}
			b.Write(text)
		}
		if len(row) == 0 {
			b.WriteByte('{')
		}
		b.WriteString("}\n")
	}
}

func encode(v any) ([]byte, error) {
	switch x := v.(type) {
	case *big.Int:
		return []byte(x.String()), nil
	case float64:
		if math.IsNaN(x) || math.IsInf(x, 0) {
			return []byte("null"), nil
		}
	case time.Time:
		return json.Marshal(x.Format("2006-01-02T15:04:05.999Z07:00"))
	}
	var b strings.Builder
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return nil, fmt.Errorf("query: %w", err)
	}
	return []byte(strings.TrimSuffix(b.String(), "\n")), nil
}

// text is a value for a table or CSV.
func text(v any) string {
	switch x := v.(type) {
	case nil:
		return ""
	case string:
		return x
	case []byte:
		return fmt.Sprintf("%x", x)
	case bool:
		return strconv.FormatBool(x)
	case float64:
		return strconv.FormatFloat(x, 'g', -1, 64)
	case time.Time:
		return x.Format("2006-01-02 15:04:05.999")
	case map[string]any, []any:
		out, err := encode(v)
		if err != nil {
			return fmt.Sprint(v)
		}
		return string(out)
	}
	return fmt.Sprint(v)
}

// writeCSV writes a header and the rows. A cell that a spreadsheet would take
// for a formula is guarded: values come from events.
func writeCSV(w io.Writer, r Result) (int, error) {
	cw := csv.NewWriter(w)
	if err := cw.Write(r.Columns()); err != nil {
		return 0, err
	}
	cells := make([]string, len(r.Columns()))
	n := 0
	for {
		row, err := r.Next()
		if err == io.EOF {
			cw.Flush()
			return n, cw.Error()
		}
		if err != nil {
			return n, err
		}
		n++
		for i, v := range row {
			cells[i] = text(v)
			if s, ok := v.(string); ok && s != "" && strings.ContainsRune("=+-@\t\r", rune(s[0])) {
				cells[i] = "'" + s
			}
		}
		if err := cw.Write(cells); err != nil {
			return n, err
		}
	}
}

// A table is measured on its first tableRows rows, and cells are cut at
// maxCell characters; json and csv cut nothing.
const (
	tableRows = 1000
	maxCell   = 60
)

func writeTable(w io.Writer, r Result) (int, error) {
	b := bufio.NewWriter(w)
	names := r.Columns()
	widths := make([]int, len(names))
	for i, n := range names {
		widths[i] = runewidth.StringWidth(n)
	}
	var rows [][]string
	n := 0
	flush := func() {
		for _, row := range rows {
			writeLine(b, row, widths)
		}
		rows = rows[:0]
	}
	headed := false
	head := func() {
		if !headed {
			writeLine(b, names, widths)
			rule := make([]string, len(names))
			for i := range rule {
				rule[i] = strings.Repeat("─", widths[i])
			}
			writeLine(b, rule, widths)
			headed = true
		}
	}
	for {
		row, err := r.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			return n, err
		}
		n++
		cells := make([]string, len(row))
		for i, v := range row {
			cells[i] = runewidth.Truncate(printable(text(v)), maxCell, "…")
			if n <= tableRows {
				widths[i] = max(widths[i], runewidth.StringWidth(cells[i]))
			}
		}
		rows = append(rows, cells)
		if n >= tableRows {
			head()
			flush()
		}
	}
	head()
	flush()
	if n == 0 {
		b.WriteString("(no rows)\n")
	}
	return n, b.Flush()
}

func writeLine(b *bufio.Writer, cells []string, widths []int) {
	var line strings.Builder
	for i, c := range cells {
		line.WriteString(c)
		if i < len(cells)-1 {
			line.WriteString(strings.Repeat(" ", max(0, widths[i]-runewidth.StringWidth(c))+2))
		}
	}
	b.WriteString(strings.TrimRight(line.String(), " "))
	b.WriteByte('\n')
}

// printable replaces what would move a terminal's cursor or turn its text
// around: values come from events.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r < 0x20 || (r >= 0x7f && r < 0xa0) || (r >= 0x202a && r <= 0x202e) || (r >= 0x2066 && r <= 0x2069) {
			return ' '
		}
		return r
	}, s)
}
