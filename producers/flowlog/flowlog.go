// Package flowlog reads the flow logs of VPCs and transit gateways, which are
// lines of fields that a header names. Each row becomes a JSON object of
// texts, under the names that the Parquet files of flow logs have: account_id
// for account-id. What is not available, "-", is left out, and so is the address
// of the packet where it is the interface's too.
//
// It takes files with a header in any order of columns, the default format
// without one, and rows wrapped in JSON: subscriptions of CloudWatch Logs,
// records of Firehose, and objects that are rows already. What a column means
// is the mapping's business.
//
// https://docs.aws.amazon.com/vpc/latest/userguide/flow-log-records.html
package flowlog

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"nagare/producers"
)

// Why a dead letter is made here and nowhere else.
const (
	ReasonNoHeader = "no-header" // a row in a format that nothing names
	ReasonParquet  = "parquet"   // a file in a form that we do not read
)

// Limits of a delivery.
const (
	maxColumns = 200     // there are some 60 fields
	maxLine    = 1 << 20 // a row has some hundred bytes
	maxValue   = 8 << 20 // a subscription's message has at most 1 MB
	// After so many bad rows in a row the rest is one dead letter.
	maxDead = 1000
	// After so many values that are no JSON it is one too.
	maxBroken = 100
)

// Config says what rows cannot say themselves.
type Config struct {
	// Format is the format of rows that come without a header, as AWS writes
	// it: "${version} ${vpc-id} …", or the names alone. Without it such rows
	// must have the default format.
	Format string
}

// Adapter is the line of flow logs in the table of adapters.
func Adapter(cfg Config) producers.Adapter {
	format := columns(bytes.Fields([]byte(strings.NewReplacer("${", " ", "}", " ").Replace(cfg.Format))))
	return producers.Adapter{
		Wants: func(producers.Input) bool { return true },
		Stream: func(_ context.Context, _ producers.Input, text *bufio.Reader, emit func(producers.Item) error) error {
			r := &reader{format: format, emit: emit}
			return r.delivery(text)
		},
	}
}

// columns are the keys, as JSON, of a format's fields.
func columns(names [][]byte) [][]byte {
	if len(names) == 0 || len(names) > maxColumns {
		return nil
	}
	keys := make([][]byte, len(names))
	taken := map[string]bool{}
	for i, n := range names {
		name := canonical(string(n))
		if taken[name] {
			name = fmt.Sprintf("%s_%d", name, i+1)
		}
		taken[name] = true
		keys[i] = append(appendText(nil, []byte(name)), ':')
	}
	return keys
}

var defaultFormat = columns(bytes.Fields([]byte(
	"version account-id interface-id srcaddr dstaddr srcport dstport protocol packets bytes start end action log-status")))

// A reader reads one delivery.
type reader struct {
	format [][]byte // of rows without a header
	header [][]byte // of the rows that follow
	fields [][]byte
	dead   int // in a row
	emit   func(producers.Item) error
}

func (r *reader) delivery(text *bufio.Reader) error {
	if head, _ := text.Peek(4); string(head) == "PAR1" {
		return &producers.Refusal{Reason: ReasonParquet, Err: errors.New("flow logs in Parquet are not read: let them be written as text")}
	}
	for {
		c, _, err := text.ReadRune()
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		case c == '\ufeff' || c == ' ' || c == '\t' || c == '\r' || c == '\n':
			continue
		}
		if err := text.UnreadRune(); err != nil {
			return err
		}
		if c == '{' || c == '[' {
			return r.values(text)
		}
		return r.lines(text)
	}
}

func (r *reader) lines(text *bufio.Reader) error {
	var long []byte // the beginning of a line that is longer than the buffer
	for n := 1; ; {
		line, err := text.ReadSlice('\n')
		if errors.Is(err, bufio.ErrBufferFull) {
			long = append(long, line[:min(len(line), maxLine+1-len(long))]...)
			continue
		}
		if err != nil && !errors.Is(err, io.EOF) {
			return err
		}
		if len(long) > 0 {
			line = append(long, line[:min(len(line), maxLine+1-len(long))]...)
			long = long[:0]
		}
		if err := r.line(line, "", n); err != nil {
			return err
		}
		if err != nil {
			return nil
		}
		n++
	}
}

// line reads one row, or takes it for the header of those below.
func (r *reader) line(line []byte, uid string, number int) error {
	line = bytes.TrimSpace(line)
	if len(line) == 0 {
		return nil
	}
	if len(line) > maxLine {
		return r.bad(line[:maxLine], producers.ReasonBadRow, fmt.Sprintf("line %d: more than %d bytes", number, maxLine))
	}
	if !r.split(line) {
		return r.bad(line, producers.ReasonBadRow, fmt.Sprintf("line %d: more than %d fields", number, maxColumns))
	}
	if isHeader(r.fields) {
		r.header = columns(r.fields)
		return nil
	}
	keys := r.header
	switch {
	case keys != nil:
	case r.format != nil:
		keys = r.format
	case isDefault(r.fields):
		keys = defaultFormat
	default:
		return r.bad(line, ReasonNoHeader, fmt.Sprintf("line %d: a row of %d fields without a header, and not in the default format of version 2", number, len(r.fields)))
	}
	if len(keys) != len(r.fields) {
		return r.bad(line, producers.ReasonBadRow, fmt.Sprintf("line %d: %d fields under %d names", number, len(r.fields), len(keys)))
	}
	r.dead = 0
	out := append(make([]byte, 0, len(line)+16*len(keys)), '{')
	for i, f := range r.fields {
		if len(f) == 0 || len(f) == 1 && f[0] == '-' || r.repeats(keys, i) {
			continue
		}
		if len(out) > 1 {
			out = append(out, ',')
		}
		out = appendText(append(out, keys[i]...), f)
	}
	return r.emit(producers.Item{Body: append(out, '}'), UID: uid})
}

// repeats says whether a field is an address that the row has already, as most
// addresses of packets are.
func (r *reader) repeats(keys [][]byte, i int) bool {
	var first string
	switch string(keys[i]) {
	case `"pkt_srcaddr":`:
		first = `"srcaddr":`
	case `"pkt_dstaddr":`:
		first = `"dstaddr":`
	default:
		return false
	}
	for n, k := range keys {
		if string(k) == first {
			return bytes.Equal(r.fields[n], r.fields[i])
		}
	}
	return false
}

// split cuts a row at spaces. Copies have tabs, or commas and perhaps quotes; no
// field of a flow log has any of these in it.
func (r *reader) split(line []byte) bool {
	r.fields = r.fields[:0]
	if bytes.IndexByte(line, ',') >= 0 && !bytes.ContainsAny(line, " \t") {
		for f := range bytes.SplitSeq(line, []byte{','}) {
			if len(r.fields) == maxColumns {
				return false
			}
			r.fields = append(r.fields, bytes.Trim(f, `"`))
		}
		return true
	}
	for start, i := 0, 0; i <= len(line); i++ {
		if i < len(line) && line[i] != ' ' && line[i] != '\t' {
			continue
		}
		if i > start {
			if len(r.fields) == maxColumns {
				return false
			}
			r.fields = append(r.fields, line[start:i])
		}
		start = i + 1
	}
	return true
}

// bad makes a dead letter of a row.
func (r *reader) bad(text []byte, reason, detail string) error {
	if r.dead++; r.dead > maxDead {
		return &producers.Refusal{Reason: reason, Err: fmt.Errorf("%s; and the %d before it", detail, maxDead)}
	}
	return r.emit(producers.Item{Body: text, Reason: reason, Error: detail})
}

// isHeader says whether fields are names. A value is never the name of a
// field, so two are enough: formats may have fields that we do not know.
func isHeader(fields [][]byte) bool {
	if len(fields) == 0 || !known(fields[0]) && (len(fields) == 1 || !known(fields[1])) {
		return false
	}
	n := 0
	for _, f := range fields {
		if known(f) {
			n++
		}
	}
	return n == len(fields) || n >= 2
}

// isDefault says whether a row has the default format, which is the only one
// that can be told by looking: https://docs.aws.amazon.com/vpc/latest/userguide/flow-log-records.html
func isDefault(f [][]byte) bool {
	if len(f) != 14 || string(f[0]) != "2" {
		return false
	}
	switch string(f[13]) {
	case "OK", "NODATA", "SKIPDATA":
	default:
		return false
	}
	switch string(f[12]) {
	case "ACCEPT", "REJECT", "-":
		return true
	}
	return false
}

// values reads rows that come as JSON. What is none costs its line.
func (r *reader) values(text *bufio.Reader) error {
	in := &bounded{r: text}
	d := json.NewDecoder(in)
	for n, broken := 1, 0; ; n++ {
		var v json.RawMessage
		in.left = maxValue
		err := d.Decode(&v)
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err == nil:
			if err := r.value(v, n); err != nil {
				return err
			}
			continue
		case in.err != nil:
			return in.err // not the sender's
		}
		// Each costs the reading of a value, so there are not many of them.
		if broken++; broken > maxBroken {
			return &producers.Refusal{Reason: producers.ReasonNotJSON, Err: fmt.Errorf("%w; and the %d before it", err, maxBroken)}
		}
		rest, err2 := io.ReadAll(d.Buffered())
		if err2 != nil {
			return err2
		}
		in.back = append(rest, in.back...)
		line, err2 := in.line()
		if err := r.bad(line, producers.ReasonNotJSON, err.Error()); err != nil {
			return err
		}
		if err2 != nil {
			return err2
		}
		d = json.NewDecoder(in)
	}
}

// A bounded reader lets a decoder take no value of more than maxValue bytes,
// and takes back what it has not used.
type bounded struct {
	r    *bufio.Reader
	back []byte
	left int
	err  error
}

func (b *bounded) Read(p []byte) (int, error) {
	if b.left <= 0 {
		return 0, fmt.Errorf("a value of more than %d bytes", maxValue)
	}
	p = p[:min(len(p), b.left)]
	if len(b.back) > 0 {
		n := copy(p, b.back)
		b.back = b.back[n:]
		b.left -= n
		return n, nil
	}
	n, err := b.r.Read(p)
	b.left -= n
	if err != nil && !errors.Is(err, io.EOF) {
		b.err = err
	}
	return n, err
}

// line takes a line, and the blank ones before it, and returns its beginning.
func (b *bounded) line() ([]byte, error) {
	b.back = bytes.TrimLeft(b.back, " \t\r\n")
	if i := bytes.IndexByte(b.back, '\n'); i >= 0 {
		line := b.back[:i]
		b.back = b.back[i+1:]
		return bytes.TrimSpace(line[:min(len(line), maxLine)]), nil
	}
	line := b.back[:min(len(b.back), maxLine)]
	b.back = nil
	for {
		part, err := b.r.ReadSlice('\n')
		line = append(line, part[:min(len(part), maxLine-len(line))]...)
		switch {
		case err == nil || errors.Is(err, io.EOF):
			return bytes.TrimSpace(line), nil
		case !errors.Is(err, bufio.ErrBufferFull):
			return bytes.TrimSpace(line), err
		}
	}
}

// A wrapper is what services put around rows.
type wrapper struct {
	MessageType string `json:"messageType"`
	LogEvents   []struct {
		ID      string `json:"id"`
		Message string `json:"message"`
	} `json:"logEvents"`
	Message *string `json:"message"`
}

func (r *reader) value(v json.RawMessage, number int) error {
	if v[0] == '[' {
		var list []json.RawMessage
		if err := json.Unmarshal(v, &list); err != nil {
			return &producers.Refusal{Reason: producers.ReasonNotJSON, Err: err}
		}
		for _, e := range list {
			if len(e) > 0 && e[0] == '[' { // not what anybody sends
				if err := r.bad(e, producers.ReasonNotObject, "an array in an array"); err != nil {
					return err
				}
			} else if err := r.value(e, number); err != nil {
				return err
			}
		}
		return nil
	}
	if v[0] != '{' {
		return r.bad(v, producers.ReasonNotObject, fmt.Sprintf("value %d is no object", number))
	}
	var w wrapper
	if bytes.Contains(v, []byte(`essage"`)) || bytes.Contains(v, []byte(`"logEvents"`)) {
		_ = json.Unmarshal(v, &w) // of another shape it is a row
	}
	switch {
	case w.MessageType == "CONTROL_MESSAGE":
		return nil // CloudWatch Logs asks whether somebody listens
	case w.LogEvents != nil:
		for _, e := range w.LogEvents {
			if err := r.text(e.Message, e.ID, number); err != nil {
				return err
			}
		}
		return nil
	case w.Message != nil && (looksLikeRow(*w.Message)):
		return r.text(*w.Message, "", number)
	}
	return r.row(v, "")
}

// text reads the message of a log group: a row as text, or as JSON.
func (r *reader) text(s, uid string, number int) error {
	if t := strings.TrimSpace(s); strings.HasPrefix(t, "{") && json.Valid([]byte(t)) {
		return r.row(json.RawMessage(t), uid)
	}
	return r.line([]byte(s), uid, number)
}

func looksLikeRow(s string) bool { return strings.Count(s, " ") >= 3 }

// row is a row that is an object already, under our names.
func (r *reader) row(v json.RawMessage, uid string) error {
	d := json.NewDecoder(bytes.NewReader(v))
	if _, err := d.Token(); err != nil {
		return r.bad(v, producers.ReasonNotJSON, err.Error())
	}
	out := []byte{'{'}
	taken := map[string]string{}
	for d.More() {
		t, err := d.Token()
		key, ok := t.(string)
		var value json.RawMessage
		if err == nil && ok {
			err = d.Decode(&value)
		}
		if err != nil || !ok {
			return r.bad(v, producers.ReasonNotJSON, fmt.Sprint(err))
		}
		if s := string(value); s == `"-"` || s == `""` || s == `null` || s == `"null"` {
			continue
		}
		name := canonical(key)
		if _, ok := taken[name]; ok {
			name = key
		}
		if addr, ok := strings.CutPrefix(name, "pkt_"); ok && taken[addr] == string(value) {
			continue
		}
		taken[name] = string(value)
		if len(out) > 1 {
			out = append(out, ',')
		}
		out = append(append(appendText(out, []byte(name)), ':'), value...)
	}
	r.dead = 0
	return r.emit(producers.Item{Body: append(out, '}'), UID: uid})
}

// appendText appends b as a JSON text.
func appendText(dst, b []byte) []byte {
	for _, c := range b {
		if c < 0x20 || c == '"' || c == '\\' || c >= utf8.RuneSelf {
			text, err := json.Marshal(string(b))
			if err != nil {
				panic(err) // a string always has a JSON form
			}
			return append(dst, text...)
		}
	}
	dst = append(dst, '"')
	dst = append(dst, b...)
	return append(dst, '"')
}
