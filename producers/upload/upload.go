// Package upload reads files that people export by hand: CSV in the encodings
// and dialects that offices use. Each row becomes a JSON object with the
// header's names as keys and texts as values, nothing added and nothing
// interpreted: what a column means is the mapping's business.
//
// It does not read spreadsheets, and it neither keeps nor compares files.
package upload

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"nagare/producers"
)

// Limits of a file.
const (
	maxColumns = 10_000
	maxRow     = 1 << 20
)

// Adapter is the line of hand-made exports in the table of adapters. It leaves
// JSON, JSON lines included, to intake.
func Adapter() producers.Adapter {
	return producers.Adapter{Wants: wants, Read: read}
}

// wants says whether the file is CSV, which is everything that does not start
// like JSON.
func wants(in producers.Input) bool {
	text := bytes.TrimLeft(in.Body, " \t\r\n\ufeff")
	return len(text) > 0 && text[0] != '{' && text[0] != '['
}

func read(_ context.Context, in producers.Input, emit func(producers.Item) error) error {
	text, err := producers.DecodeText(in.Body)
	if err != nil {
		return &producers.Refusal{Reason: producers.ReasonBadCharset, Err: err}
	}
	text, comma := dialect(text)
	r := &reader{text: text, comma: comma}
	header, _, err := r.row()
	for err == nil && blank(header) { // empty lines above the header
		header, _, err = r.row()
	}
	if errors.Is(err, errEnd) {
		return nil
	}
	if err != nil {
		return &producers.Refusal{Reason: producers.ReasonBadRow, Err: fmt.Errorf("header: %w", err)}
	}
	keys := keysOf(header)
	for rows := 0; ; rows++ {
		fields, raw, err := r.row()
		if errors.Is(err, errEnd) {
			if rows == 0 && !isHeader(header) {
				return emit(producers.Item{Body: in.Body, Reason: producers.ReasonBadRow, Error: "one line that is no header, and no row"})
			}
			return nil
		}
		if err == nil && len(fields) == 1 && fields[0] == "" && len(keys) > 1 {
			continue // an empty line
		}
		item := producers.Item{Body: raw, Reason: producers.ReasonBadRow}
		switch {
		case err != nil:
			item.Error = fmt.Sprintf("line %d: %v", r.began, err)
		case len(fields) < len(keys), len(fields) > len(keys) && !blank(fields[len(keys):]):
			item.Error = fmt.Sprintf("line %d: %d fields under %d names", r.began, len(fields), len(keys))
		default:
			item = producers.Item{Body: object(keys, fields)}
		}
		if err := emit(item); err != nil {
			return err
		}
	}
}

// isHeader says whether the only line of a file is the header of an empty list:
// several names, without control characters.
func isHeader(fields []string) bool {
	for _, f := range fields {
		if strings.ContainsFunc(f, func(r rune) bool { return r < ' ' && r != '\t' }) {
			return false
		}
	}
	return len(fields) > 1
}

func blank(fields []string) bool {
	for _, f := range fields {
		if strings.TrimSpace(f) != "" {
			return false
		}
	}
	return true
}

// keysOf makes the keys, as JSON, of a header. A column without a name is
// called column_N; of columns with the same name the second is name_2.
func keysOf(header []string) [][]byte {
	for len(header) > 1 && strings.TrimSpace(header[len(header)-1]) == "" {
		header = header[:len(header)-1] // commas at the line's end
	}
	taken := map[string]bool{}
	keys := make([][]byte, len(header))
	for i, name := range header {
		name = strings.TrimSpace(name)
		if name == "" {
			name = "column_" + strconv.Itoa(i+1)
		}
		unique := name
		for n := 2; taken[unique]; n++ {
			unique = name + "_" + strconv.Itoa(n)
		}
		taken[unique] = true
		keys[i] = text(unique)
	}
	return keys
}

func object(keys [][]byte, fields []string) []byte {
	out := []byte{'{'}
	for i, k := range keys {
		if i > 0 {
			out = append(out, ',')
		}
		out = append(append(out, k...), ':')
		out = append(out, text(fields[i])...)
	}
	return append(out, '}')
}

// text is s as JSON. Nothing is escaped for HTML: the row shall read as it did.
func text(s string) []byte {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(s); err != nil {
		panic(err) // a string always has a JSON form
	}
	return bytes.TrimSuffix(b.Bytes(), []byte{'\n'})
}
