package producers

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"
)

// pieces splits text and describes each piece as its text, or reason:text.
func pieces(t testing.TB, r io.Reader, limit int, repair func([]byte) ([]byte, bool)) []string {
	t.Helper()
	s := &splitter{r: r, limit: limit, depth: 5, repair: repair}
	var out []string
	for p, ok := s.next(); ok; p, ok = s.next() {
		if p.number != len(out)+1 {
			t.Errorf("piece %d has number %d", len(out)+1, p.number)
		}
		text := string(p.text)
		if len(text) > 60 {
			text = text[:20] + "…"
		}
		if p.reason != "" {
			text = p.reason + ":" + text
		}
		out = append(out, text)
	}
	if s.err != io.EOF {
		t.Errorf("ended with %v", s.err)
	}
	return out
}

var splitCases = []struct {
	name, text string
	want       []string
}{
	{"nothing", " \r\n", nil},
	{"document", "{\n \"a\": [1, {\"b\": null}]\n}\n", []string{"{\n \"a\": [1, {\"b\": null}]\n}"}},
	{"lines", "{\"a\":1}\n\n{\"a\":2}\r\n{\"a\":3}", []string{`{"a":1}`, `{"a":2}`, `{"a":3}`}},
	{"one after the other", `{"a":1}{"a":2} {}`, []string{`{"a":1}`, `{"a":2}`, `{}`}},
	{"list", `[{"a":1}, {"a":2}]`, []string{`{"a":1}`, `{"a":2}`}},
	{"empty list", `[ ]`, nil},
	{"lists in lines", "[{\"a\":1}]\n[{\"a\":2},{}]", []string{`{"a":1}`, `{"a":2}`, `{}`}},
	{"escapes", `{"a":"\"}\\","b":"\ud800 \u00e9"}`, []string{`{"a":"\"}\\","b":"\ud800 \u00e9"}`}},
	{"numbers", `{"a":[0,-1.5e+10,1E2,-0,12345678901234567890]}`, []string{`{"a":[0,-1.5e+10,1E2,-0,12345678901234567890]}`}},
	{"not UTF-8", "{\"a\":\"\xff\"}", []string{"{\"a\":\"\xff\"}"}},

	{"not objects", `1 "two" null true [3,[4],{}]`, []string{"not-an-object:1", `not-an-object:"two"`, "not-an-object:null", "not-an-object:true", "not-an-object:3", "not-an-object:[4]", "{}"}},
	{"text", "Hello, this is\nno JSON", []string{"not-json:Hello, this is\nno JSON"}},
	{"truncated document", `{"records":[{"a":1},`, []string{`not-json:{"records":[{"a":1},`}},
	{"truncated last line", "{\"a\":1}\n{\"a\":2}\n{\"a\":", []string{`{"a":1}`, `{"a":2}`, `not-json:{"a":`}},
	{"damaged line", "{\"a\":1}\n{\"a\" 2}\n}}\n{\"a\":3}\n", []string{`{"a":1}`, `not-json:{"a" 2}`, `not-json:}}`, `{"a":3}`}},
	{"text behind a value, then too deep", "{\"a\":1}\n{\"a\":2} x\n{\"a\":[[[[[[[[3]]]]]]]]}\n{\"a\":4}\n{\"a\":5}\n",
		[]string{`{"a":1}`, `{"a":2}`, "not-json:x", `too-deep:{"a":[[[[[[[[3]]]]]]]]}`, `{"a":4}`, `{"a":5}`}},
	{"several damaged lines", "{\"a\":1}\n{\"a\":2} x\n{\"a\" 3}\n}}\nno\n{\"a\":4}\n", []string{`{"a":1}`, `{"a":2}`, "not-json:x", `not-json:{"a" 3}`, "not-json:}}", "not-json:no", `{"a":4}`}},
	{"damaged first line", "{\"a\" 1}\n{\"a\":2}\n", []string{`not-json:{"a" 1}`, `{"a":2}`}},
	{"unclosed line", "{\"a\":1}\n{\"a\":[2\n{\"a\":3}\n", []string{`{"a":1}`, `not-json:{"a":[2`, `{"a":3}`}},
	{"line with more behind", "{\"a\":1}\n{\"a\":2} x\n{\"a\":3}\n", []string{`{"a":1}`, `{"a":2}`, `not-json:x`, `{"a":3}`}},
	{"damaged document", "{\n\"a\": tru,\n\"b\": {\n\"c\": 1}}", []string{"not-json:{\n\"a\": tru,\n\"b\": {\n\"c\": 1}}"}},
	{"truncated list", `[{"a":1},{"a":2`, []string{`{"a":1}`, `not-json:{"a":2`}},
	{"unclosed list", `[{"a":1}`, []string{`{"a":1}`, `not-json:`}},
	{"damaged element", "[\n{\"a\":1},\n{\"a\" 2},\n{\"a\":3}\n]\n", []string{`{"a":1}`, `not-json:{"a" 2},`, `{"a":3}`}},
	{"list without comma", `[{"a":1} {"a":2}]`, []string{`{"a":1}`, `not-json:{"a":2}]`}},
	{"too deep", `{"a":[[[[[1]]]]]}{"b":1}`, []string{`too-deep:{"a":[[[[[1]]]]]}`, `{"b":1}`}},
	{"too deep in a list", `[{"a":[[[[1]]]]},{"b":[[[1]]]}]`, []string{`too-deep:{"a":[[[[1]]]]}`, `{"b":[[[1]]]}`}},
	{"control character", "{\"a\":\"x\ny\"}", []string{"not-json:{\"a\":\"x\ny\"}"}},
	{"leading zero", `{"a":01}`, []string{`not-json:{"a":01}`}},
	{"trailing comma", `{"a":1,}`, []string{`not-json:{"a":1,}`}},
	{"NaN", `{"a":NaN}`, []string{`not-json:{"a":NaN}`}},
}

func TestSplit(t *testing.T) {
	for _, tt := range splitCases {
		t.Run(tt.name, func(t *testing.T) {
			for how, r := range map[string]io.Reader{
				"at once":      strings.NewReader(tt.text),
				"byte by byte": iotest.OneByteReader(strings.NewReader(tt.text)),
			} {
				if diff := cmp.Diff(tt.want, pieces(t, r, 1<<20, nil)); diff != "" {
					t.Errorf("%s (-want +got):\n%s", how, diff)
				}
			}
		})
	}
}

func TestSplitLimit(t *testing.T) {
	big := `{"a":"` + strings.Repeat("x", 3<<20) + `"}`
	for _, tt := range []struct {
		name, text string
		want       []string
	}{
		{"in lines", "{\"a\":1}\n" + big + "\n{\"a\":2}\n", []string{`{"a":1}`, `too-large:{"a":"xxxxxxxxxxxxxx…`, `{"a":2}`}},
		{"at the end", "{\"a\":1}\n" + big, []string{`{"a":1}`, `too-large:{"a":"xxxxxxxxxxxxxx…`}},
		{"alone", big + big, []string{`too-large:{"a":"xxxxxxxxxxxxxx…`}},
		{"text", strings.Repeat("no JSON ", 1<<20), []string{"not-json:no JSON no JSON no J…"}},
		{"spaces", "{\"a\":1}" + strings.Repeat(" ", 5<<20) + "{\"a\":2}", []string{`{"a":1}`, `{"a":2}`}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := strings.NewReader(tt.text)
			if diff := cmp.Diff(tt.want, pieces(t, s, 1<<20, nil)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if s.Len() > 0 {
				t.Errorf("%d bytes were not read", s.Len())
			}
		})
	}
}

func TestSplitRepair(t *testing.T) {
	repair := func(b []byte) ([]byte, bool) {
		return bytes.ReplaceAll(b, []byte(":,"), []byte(":null,")), true
	}
	text := "{\"a\":,\"b\":1}\n{\"b\":2}\n{\"a\":,\"b\":3}\n{\"a\" :}\n{\"b\":4}"
	want := []string{`{"a":null,"b":1}`, `{"b":2}`, `{"a":null,"b":3}`, `not-json:{"a" :}`, `{"b":4}`}
	if diff := cmp.Diff(want, pieces(t, strings.NewReader(text), 1<<20, repair)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestSplitLines(t *testing.T) {
	s := &splitter{r: strings.NewReader("\n{}\n\n[{},\n{\n}, {}]\nx"), limit: 100, depth: 5}
	var lines []int
	for p, ok := s.next(); ok; p, ok = s.next() {
		lines = append(lines, p.line)
	}
	if diff := cmp.Diff([]int{2, 4, 5, 6, 7}, lines); diff != "" {
		t.Errorf("lines (-want +got):\n%s", diff)
	}
}

// FuzzScan holds the scanner equal to encoding/json.
func FuzzScan(f *testing.F) {
	for _, tt := range splitCases {
		f.Add([]byte(tt.text))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		n, err := scanValue(b, 1000)
		if errors.Is(err, errTooDeep) {
			return
		}
		valid := json.Valid(b)
		whole := err == nil && skipSpace(b, n) == len(b)
		if valid != whole {
			t.Fatalf("encoding/json says %v, we %v (%d of %d bytes, %v)", valid, whole, n, len(b), err)
		}
	})
}

// FuzzSplit: no panic, no loop; whatever is called an object is one; the cuts
// do not depend on how the text arrives.
func FuzzSplit(f *testing.F) {
	for _, tt := range splitCases {
		f.Add([]byte(tt.text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		run := func(r io.Reader) []string {
			s := &splitter{r: r, limit: 200, depth: 5}
			var out []string
			for p, ok := s.next(); ok; p, ok = s.next() {
				if p.reason == "" && (!json.Valid(p.text) || p.text[0] != '{') {
					t.Fatalf("%q is no object", p.text)
				}
				if len(out) > len(text)+1 {
					t.Fatal("more pieces than bytes")
				}
				out = append(out, fmt.Sprintf("%s:%s", p.reason, p.text))
			}
			return out
		}
		whole := run(bytes.NewReader(text))
		if len(text) <= 200 { // beyond, what a large value takes with it depends on the buffer
			if diff := cmp.Diff(whole, run(iotest.OneByteReader(bytes.NewReader(text)))); diff != "" {
				t.Fatalf("byte by byte (-whole +bytes):\n%s", diff)
			}
		}
	})
}

func BenchmarkSplit(b *testing.B) {
	line := []byte(`{"uuid":"0123456789","published":"2026-07-03T01:00:00.000Z","actor":{"id":"00u","displayName":"User Number"},"client":{"ip":"198.51.100.1","ua":[1,2,3]}}` + "\n")
	text := bytes.Repeat(line, 10_000)
	b.SetBytes(int64(len(text)))
	for b.Loop() {
		s := &splitter{r: bytes.NewReader(text), limit: 1 << 20, depth: 64}
		for _, ok := s.next(); ok; _, ok = s.next() {
		}
	}
}
