// Package datadog reads what Datadog's webhooks send when it is not quite
// JSON: bodies encoded as a form, and templates that break because a variable
// was empty.
//
// It checks no credentials (producers/webhook does) and knows no fields (the
// mapping does).
package datadog

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"mime"
	"net/url"
	"strings"

	"nagare/producers"
)

// maxFields bounds the fields of a form. Our template has 20.
const maxFields = 1000

// Adapter is Datadog's line in the table of adapters.
func Adapter() producers.Adapter {
	return producers.Adapter{Wants: isForm, Read: readForm, Repair: Repair}
}

// isForm recognises "Encode as form", by its content type, or, in a file, by
// its looks.
func isForm(in producers.Input) bool {
	kind, _, _ := mime.ParseMediaType(in.ContentType)
	body := bytes.TrimLeft(in.Body, " \t\r\n")
	if len(body) == 0 || body[0] == '{' || body[0] == '[' {
		return false // said to be a form by a proxy, perhaps
	}
	if kind == "application/x-www-form-urlencoded" {
		return true
	}
	name, _, ok := bytes.Cut(body, []byte{'='})
	if !ok || len(name) == 0 || len(name) > 100 {
		return false
	}
	for _, c := range name {
		if !(c == '_' || c == '-' || c == '.' || c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z') {
			return false
		}
	}
	return true
}

// readForm makes one JSON object of a form. A value that is a JSON object or
// list stays one, because the template had it so; everything else is text.
func readForm(_ context.Context, in producers.Input, emit func(producers.Item) error) error {
	body := strings.TrimSpace(string(in.Body))
	if strings.Count(body, "&") >= maxFields {
		return &producers.Refusal{Reason: producers.ReasonBadForm, Err: fmt.Errorf("more than %d fields", maxFields)}
	}
	var out bytes.Buffer
	seen := map[string]bool{}
	for field := range strings.SplitSeq(body, "&") {
		if field == "" {
			continue
		}
		name, value, _ := strings.Cut(field, "=")
		name, err1 := url.QueryUnescape(name)
		value, err2 := url.QueryUnescape(value)
		if err := errors.Join(err1, err2); err != nil {
			return &producers.Refusal{Reason: producers.ReasonBadForm, Err: err}
		}
		if seen[name] {
			continue // a template has each key once; the first one counts
		}
		seen[name] = true
		if out.Len() > 0 {
			out.WriteByte(',')
		}
		out.Write(quote(name))
		out.WriteByte(':')
		out.Write(formValue(value))
	}
	if len(seen) == 0 {
		return &producers.Refusal{Reason: producers.ReasonBadForm, Err: errors.New("no fields")}
	}
	object := append(append([]byte{'{'}, out.Bytes()...), '}')
	return emit(producers.Item{Body: object})
}

func formValue(s string) []byte {
	if t := strings.TrimSpace(s); strings.HasPrefix(t, "{") || strings.HasPrefix(t, "[") {
		// Nesting is bounded again when the mapping reads the whole object.
		if json.Valid([]byte(t)) && depth(t) < 60 {
			return []byte(t)
		}
	}
	return quote(s)
}

// depth is an upper bound of how deep s is nested.
func depth(s string) int {
	d, most := 0, 0
	for _, c := range []byte(s) {
		switch c {
		case '{', '[':
			d++
		case '}', ']':
			d--
		}
		most = max(most, d)
	}
	return most
}

func quote(s string) []byte {
	b, err := json.Marshal(s)
	if err != nil {
		panic(err) // a string always has a JSON form
	}
	return b
}

// Repair mends a template whose unset variables were left out: where a value
// should be and there is none (`"attributes":,`), and where an object variable
// was not replaced (`"attributes":$SECURITY_SIGNAL_ATTRIBUTES`), it writes
// null. Control characters inside of strings, which Datadog lets through in
// message texts, are escaped. It returns false when that changes nothing or
// does not help.
func Repair(text []byte) ([]byte, bool) {
	out := make([]byte, 0, len(text)+64)
	inString, afterColon := false, false
	for i := 0; i < len(text); i++ {
		c := text[i]
		switch {
		case inString && c == '\\' && i+1 < len(text):
			out = append(out, c, text[i+1])
			i++
			continue
		case inString && c < ' ':
			out = append(out, fmt.Sprintf(`\u%04x`, c)...)
			continue
		case c == '"':
			inString = !inString
			afterColon = false
		case inString, c == ' ', c == '\t', c == '\r', c == '\n':
		case c == ':':
			afterColon = true
		case afterColon && (c == ',' || c == '}' || c == ']'):
			out = append(out, "null"...)
			afterColon = false
		case afterColon && c == '$':
			n := 1
			for i+n < len(text) && (text[i+n] == '_' || text[i+n] >= 'A' && text[i+n] <= 'Z' || text[i+n] >= '0' && text[i+n] <= '9') {
				n++
			}
			out = append(out, "null"...)
			afterColon = false
			i += n - 1
			continue
		default:
			afterColon = false
		}
		out = append(out, c)
	}
	if bytes.Equal(out, text) || !json.Valid(out) {
		return nil, false
	}
	return out, true
}
