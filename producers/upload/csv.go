package upload

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
)

var errEnd = errors.New("end of the file")

// A reader reads rows of CSV. encoding/csv is not it: with one quote left open
// it takes the rest of a file for a single field, and a stray quote is an
// error that ends the file. Here such a row is lost, and the next line is
// read.
type reader struct {
	text  []byte
	comma byte
	line  int // lines read
	began int // the line at which the last row began, from 1
}

// row returns the fields of the next row and its text. After an error other
// than errEnd the next row can be read.
func (r *reader) row() (fields []string, raw []byte, err error) {
	if len(r.text) == 0 {
		return nil, nil, errEnd
	}
	r.began = r.line + 1
	i := 0
	for {
		field, n, err := r.field(i)
		if err != nil {
			return nil, r.take(lineEnd(r.text)), err
		}
		fields = append(fields, field)
		i = n
		if i < len(r.text) && r.text[i] == r.comma {
			if len(fields) == maxColumns {
				return nil, r.take(i + lineEnd(r.text[i:])), fmt.Errorf("more than %d fields", maxColumns)
			}
			i++
			continue
		}
		return fields, r.take(i + lineEnd(r.text[i:])), nil
	}
}

// take moves on by n bytes and returns them without the line break.
func (r *reader) take(n int) []byte {
	raw := r.text[:n]
	r.text = r.text[n:]
	r.line += max(1, bytes.Count(raw, []byte{'\n'}))
	return bytes.TrimRight(raw, "\r\n")
}

// lineEnd is the length of the line at the start of b, with its break: LF,
// CRLF, or the lone CR of old spreadsheets.
func lineEnd(b []byte) int {
	i := bytes.IndexAny(b, "\r\n")
	switch {
	case i < 0:
		return len(b)
	case b[i] == '\r' && i+1 < len(b) && b[i+1] == '\n':
		return i + 2
	}
	return i + 1
}

// field reads the field at i, up to the delimiter, the end of the line or of
// the text. An open quote is followed for maxRow bytes and then only its line
// is given up; that stays linear, because to get there the bytes that follow
// must hold no quote that opens another field.
func (r *reader) field(i int) (string, int, error) {
	b := r.text
	if i == len(b) || b[i] != '"' {
		for n := i; ; n++ {
			if n == len(b) || b[n] == r.comma || b[n] == '\n' || b[n] == '\r' {
				return string(b[i:n]), n, nil // a quote inside is just a quote
			}
			if n-i > maxRow {
				return "", n, fmt.Errorf("a field of more than %d bytes", maxRow)
			}
		}
	}
	var field strings.Builder
	for n := i + 1; ; {
		q := bytes.IndexByte(b[n:min(len(b), n+maxRow+1)], '"')
		if q < 0 || field.Len()+q > maxRow {
			return "", n, errors.New("a quote is not closed, or too late")
		}
		field.Write(b[n : n+q])
		n += q + 1
		switch {
		case n == len(b) || b[n] == r.comma || b[n] == '\n' || b[n] == '\r':
			return field.String(), n, nil
		case b[n] == '"':
			field.WriteByte('"')
			n++
		default:
			return "", n, fmt.Errorf("%q behind a closing quote", b[n])
		}
	}
}

// dialect finds the delimiter: what Excel's "sep=" line says, or the most
// frequent of comma, semicolon and tab in the first line, outside of quotes.
func dialect(text []byte) ([]byte, byte) {
	if rest, ok := bytes.CutPrefix(text, []byte("sep=")); ok && len(rest) > 1 && (rest[1] == '\r' || rest[1] == '\n') {
		return rest[lineEnd(rest):], rest[0]
	}
	text = bytes.TrimLeft(text, "\r\n")
	count := map[byte]int{}
	quoted := false
	for _, c := range text[:min(len(text), maxRow)] {
		switch {
		case c == '"':
			quoted = !quoted
		case quoted:
		case c == '\n' || c == '\r':
			quoted = true // done: nothing more counts
			goto done
		default:
			count[c]++
		}
	}
done:
	comma := byte(',')
	for _, c := range []byte{';', '\t'} {
		if count[c] > count[comma] {
			comma = c
		}
	}
	return text, comma
}
