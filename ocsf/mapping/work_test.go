package mapping_test

import (
	"errors"
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"

	"nagare"
	"nagare/ocsf"
	"nagare/ocsf/mapping"
)

// list is a JSON list of n elements; %d in one is its number.
func elements(n int, element string) string {
	var b strings.Builder
	b.WriteByte('[')
	for i := range n {
		if i > 0 {
			b.WriteByte(',')
		}
		if strings.Contains(element, "%d") {
			fmt.Fprintf(&b, element, i)
		} else {
			b.WriteString(element)
		}
	}
	return b.String() + "]"
}

// laborious are mappings, each one line of set or each, and events that are
// more work the larger they are: most of them with the square of their size.
var laborious = []struct {
	name, line string
	body       func(n int) string
}{
	{"a program for every element", `each: {path: enrichments, in: raw.l, as: t, set: {name: "'n'", data: t, value: 't.a.replace("1", "2") + string(size(t.a))'}}`,
		func(n int) string { return `{"l":` + elements(n, `{"a":"v%d"}`) + `}` }},
	{"a loop in a loop", `set: {message: 'raw.l.all(x, raw.l.exists(y, y.a == x.a)) ? "a" : "b"'}`,
		func(n int) string { return `{"l":` + elements(n, `{"a":"v%d"}`) + `}` }},
	{"a loop that finds nothing", `each: {path: enrichments, in: raw.l, as: t, set: {name: "'n'", data: t, value: 'raw.l.filter(y, y == -1)[0]'}}`,
		func(n int) string { return `{"l":` + elements(n, `%d`) + `}` }},
	{"a search for every element", `each: {path: enrichments, in: raw.l, as: t, set: {name: t.a, data: t, value: 'raw.l.filter(x, x.a == "none")[0].b'}}`,
		func(n int) string { return `{"l":` + elements(n, `{"a":"v%d"}`) + `}` }},
	{"a search by condition", `each: {path: enrichments, in: raw.l, as: t, when: '!raw.l.exists(x, x.a == "none")', set: {name: t.a, data: t, value: t.a}}`,
		func(n int) string { return `{"l":` + elements(n, `{"a":"v%d"}`) + `}` }},
	{"a long text in every row", `each: {path: enrichments, in: raw.l, as: t, set: {name: "'n'", data: t, value: raw.big + t}}`,
		func(n int) string {
			return `{"big":"` + strings.Repeat("x", 8*n) + `","l":` + elements(n, `"v"`) + `}`
		}},
	{"a long text looked through for every row", `each: {path: enrichments, in: raw.l, as: t, when: 'raw.big.contains("y") || true', set: {name: "'n'", data: t, value: t}}`,
		func(n int) string {
			return `{"big":"` + strings.Repeat("x", 8*n) + `","l":` + elements(n, `"v"`) + `}`
		}},
	{"an object in every row", `each: {path: enrichments, in: raw.l, as: t, set: {name: "'n'", value: "'v'", data: raw.o}}`,
		func(n int) string { return `{"o":` + elements(n, "10") + `,"l":` + elements(n, `"v"`) + `}` }},
	{"an object for every element", `set: {enrichments: [{name: "'n'", value: "'v'", data: 'raw.l.map(x, {"x": x, "who": raw.o})'}]}`,
		func(n int) string { return `{"o":` + elements(n, "10") + `,"l":` + elements(n, `"v"`) + `}` }},
	{"JSON in a text, for every element", `set: {message: 'string(size(raw.l.filter(x, json(raw.j).a == x)))'}`,
		func(n int) string {
			return `{"j":"{\"a\":[` + strings.Repeat("1,", 4*n) + `1]}","l":` + elements(n, `"v"`) + `}`
		}},
	{"many texts joined", `set: {message: 'raw.l.map(x, x.a + "").join(",")'}`,
		func(n int) string { return `{"l":` + elements(n, `{"a":"some longer text, number %d"}`) + `}` }},
	{"unfold", `set: {message: 'string(size(unfold(raw, "l", "p")))'}`,
		func(n int) string { return `{"o":` + elements(n, "10") + `,"l":` + elements(n, `{"a":1}`) + `}` }},
	{"a pattern", `set: {message: 'raw.big.matches("(x+x+)+y|(.*.*=.*){20}z") ? "a" : "b"'}`,
		func(n int) string { return `{"big":"` + strings.Repeat("x", 8*n) + `"}` }},
	{"rows that are not complete", `each: {path: enrichments, in: raw.l, as: t, set: {name: t.a, data: t.c, value: t.b}}`,
		func(n int) string { return `{"l":` + elements(n, `{"a":"v","b":"w","c":1},{"a":"v%d"}`) + `}` }},
	{"many rows", `each: {path: enrichments, in: raw.l, as: t, set: {name: t, data: t, value: t}}`,
		func(n int) string { return `{"l":` + elements(n, `"v"`) + `}` }},
}

// labor loads one of laborious.
func labor(t testing.TB, line string) *mapping.Mapping {
	t.Helper()
	text := "source: t\nproducts: {t: {vendor_name: V, name: N}}\nevents:\n- class: base_event\n  " + line + "\n"
	set, problems := check(t, text)
	m, ok := set.Source("t")
	if !ok {
		t.Fatalf("%s: %v", line, problems)
	}
	return m
}

// An event that a mapping would work on for too long is given up, always at the
// same step, and says where. The next one is mapped.
func TestTooMuchWork(t *testing.T) {
	for _, c := range laborious {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			m := labor(t, c.line)
			var sc mapping.Scratch
			var out ocsf.Event
			map1 := func(n int) error {
				return m.Normalize(&nagare.Event{Source: "t", UID: "u", Received: time.Unix(1800000000, 0), Body: []byte(c.body(n))}, &out, &sc)
			}
			if err := map1(20); err != nil {
				t.Fatalf("a small one: %v", err)
			}
			n := 8_000
			switch c.name {
			case "a long text in every row", "a long text looked through for every row", "an object in every row", "rows that are not complete":
				n = 20_000 // the square of less is not too much
			case "many rows":
				n = 200_000 // it is not more than its size: this passes
			case "a pattern":
				n = 900_000
			}
			err := map1(n)
			var dead *mapping.Dead
			switch {
			case c.name == "many rows" || c.name == "a program for every element":
				if err != nil {
					t.Errorf("%d: %v", n, err)
				}
			case !errors.As(err, &dead) || dead.Reason != mapping.TooCostly:
				t.Errorf("%d: got %v, want %s", n, err, mapping.TooCostly)
			case !strings.HasPrefix(dead.Err.Error(), "line 5 of a.yaml is too much work for this event:"):
				t.Errorf("%v", dead.Err)
			}
			if err := map1(20); err != nil {
				t.Errorf("a small one after it: %v", err)
			}
		})
	}
}

// processorTime is what the process has used of processors, which other work on
// the machine does not change.
func processorTime(t testing.TB) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		t.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkMostWork says how long the most laborious events take that pass.
func BenchmarkMostWork(b *testing.B) {
	for _, c := range laborious {
		b.Run(strings.ReplaceAll(c.name, " ", "-"), func(b *testing.B) {
			m := labor(b, c.line)
			var sc mapping.Scratch
			var out ocsf.Event
			passes := func(body string) bool {
				return m.Normalize(&nagare.Event{Source: "t", UID: "u", Received: time.Unix(1800000000, 0), Body: []byte(body)}, &out, &sc) == nil
			}
			low, high := 1, 0
			for high == 0 && low < 500_000 {
				if body := c.body(2 * low); len(body) < 10<<20 && passes(body) {
					low *= 2
				} else {
					high = 2 * low
				}
			}
			for high-low > low/8 {
				if mid := (low + high) / 2; len(c.body(mid)) < 10<<20 && passes(c.body(mid)) {
					low = mid
				} else {
					high = mid
				}
			}
			body := c.body(low)
			began := processorTime(b)
			for b.Loop() {
				passes(body)
			}
			b.ReportMetric((processorTime(b)-began).Seconds()/float64(b.N), "core-s/event")
			b.ReportMetric(float64(low), "elements")
			b.ReportMetric(float64(len(body))/1e6, "MB")
		})
	}
}
