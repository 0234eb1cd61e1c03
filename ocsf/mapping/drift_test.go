package mapping_test

import (
	"bytes"
	"encoding/json"
	"io/fs"
	"slices"
	"strconv"
	"strings"
	"testing"

	"nagare"
	"nagare/ocsf"
	"nagare/ocsf/mapping"
	"nagare/ocsf/mappings"
)

// The marks that changed values carry, to be found again in what comes out.
const (
	driftText   = "zq7drift"
	driftNumber = "918273645"
)

// changes are what a field may turn into from one day to the next. mark is
// what must still be somewhere in the event; "" where nothing tells it apart.
var changes = []struct{ name, value, mark string }{
	{"a text", `"` + driftText + `"`, driftText},
	{"an empty text", `""`, ""},
	{"a number", driftNumber, driftNumber},
	{"a negative fraction", `-0.5`, ""},
	{"a number beyond 2^63", `98765432109876543210`, "98765432109876543210"},
	{"a boolean", `true`, ""},
	{"null", `null`, ""},
	{"an object", `{"` + driftText + `":{"a":` + driftNumber + `}}`, driftNumber},
	{"an empty object", `{}`, ""},
	{"a list", `["` + driftText + `",` + driftNumber + `]`, driftText},
	{"a list of objects", `[{"` + driftText + `":"` + driftText + `"},null,[]]`, driftText},
	{"an empty list", `[]`, ""},
	{"a huge text", `"` + strings.Repeat(driftText, 10_000) + `"`, driftText},
	{"JSON in a text", `"{\"` + driftText + `\":1}"`, driftText},
	{"a text of control characters", `"\u0000\u001b[2J\ud800\u202e` + driftText + `"`, driftText},
}

// deliveries are the JSON values one after another in a file of a case.
func deliveries(b []byte) [][]byte {
	b = bytes.TrimPrefix(b, []byte("\ufeff"))
	var out [][]byte
	dec := json.NewDecoder(bytes.NewReader(b))
	for {
		var raw json.RawMessage
		if dec.Decode(&raw) != nil {
			return out
		}
		out = append(out, raw)
	}
}

// A place is one value in a JSON text.
type place struct {
	path       string // without the numbers of elements
	start, end int
	leaf       bool
}

// placesOf lists every value below the top of a JSON text.
func placesOf(t testing.TB, body []byte) []place {
	t.Helper()
	var out []place
	dec := json.NewDecoder(bytes.NewReader(body))
	dec.UseNumber()
	start := func() int {
		at := int(dec.InputOffset())
		for bytes.IndexByte([]byte(" \t\r\n:,"), body[at]) >= 0 {
			at++
		}
		return at
	}
	var value func(path string)
	value = func(path string) {
		at := start()
		i := len(out)
		out = append(out, place{path: path, start: at})
		tok, err := dec.Token()
		if err != nil {
			t.Fatal(err)
		}
		switch tok {
		case json.Delim('{'):
			for dec.More() {
				key, err := dec.Token()
				if err != nil {
					t.Fatal(err)
				}
				value(path + "." + key.(string))
			}
			dec.Token()
		case json.Delim('['):
			for dec.More() {
				value(path + "[]")
			}
			dec.Token()
		default:
			out[i].leaf = true
		}
		out[i].end = int(dec.InputOffset())
	}
	value("")
	return out[1:]
}

// Every field of every event of every case, each changed in turn into every
// other type there is: the delivery still splits into as many events, each
// becomes a valid event, and the changed value is still in it, in an
// attribute or in unmapped. This is what happens when a source changes.
func TestFieldsThatChangeTheirType(t *testing.T) {
	set := builtin(t)
	for _, source := range set.Sources() {
		t.Run(source, func(t *testing.T) {
			t.Parallel()
			d := &drift{t: t, set: set, m: first(set.Source(source)), seen: map[string]int{}}
			d.head = set.Head(mapping.Options{HashKey: []byte("k")})
			for _, c := range d.m.Cases {
				input, err := fs.ReadFile(mappings.FS, c.File)
				if err != nil {
					t.Fatal(err)
				}
				for _, body := range deliveries(input) {
					d.delivery(body)
				}
			}
			t.Logf("%d changed events", d.n)
			if d.n == 0 {
				t.Error("nothing was changed")
			}
		})
	}
}

func first[T any](v T, _ bool) T { return v }

type drift struct {
	t     *testing.T
	set   *mapping.Set
	m     *mapping.Mapping
	head  *mapping.Head
	sc    mapping.Scratch
	out   ocsf.Event
	seen  map[string]int
	n     int
	wrong int
}

// delivery changes the places of a delivery.
func (d *drift) delivery(body []byte) {
	before, err := d.head.Split(d.m.Name, body, mapping.HeadMeta{Received: received})
	if err != nil {
		return // a case of what cannot be split
	}
	plain := map[string]bool{}
	class := ""
	for _, e := range before {
		plain[string(e.Body)] = true
		if d.m.Normalize(d.event(e), &d.out, &d.sc) == nil {
			class += d.out.Class().Name
		}
	}
	whole := len(body) <= 32<<10
	for _, p := range placesOf(d.t, body) {
		// Every change once for every path; for a path in another class, and
		// once more in the same, some of them.
		key := class + p.path
		d.seen[p.path]++
		if d.seen[key]++; d.seen[key] > 2 || (testing.Short() || !whole) && d.seen[p.path] > 1 {
			continue
		}
		for i, c := range changes {
			if len(c.value) > 1000 && d.seen[p.path] > 1 {
				continue // a path is long in one class as in another
			}
			if d.seen[p.path] > 1 && (i+d.seen[p.path])%5 != 0 || testing.Short() && (i+p.start)%4 != 0 {
				continue
			}
			changed := slices.Concat(body[:p.start], []byte(c.value), body[p.end:])
			events, err := d.head.Split(d.m.Name, changed, mapping.HeadMeta{Received: received})
			// A split that knows its deliveries by a field takes one that it
			// does not know for one event, whole.
			whole := len(events) == 1 && bytes.Equal(events[0].Body, changed)
			if !whole && (err != nil || len(events) != len(before)) {
				// What holds the events is not theirs: it may go with them. A
				// delivery in which no events are found is a dead letter.
				if p.leaf && err == nil || err != nil && !strings.Contains(err.Error(), "split finds no events") {
					d.fail("%s made %s: %d events, not %d: %v", p.path, c.name, len(events), len(before), err)
				}
				continue
			}
			d.n++
			for _, e := range events {
				if !plain[string(e.Body)] {
					d.one(p, c.name, c.mark, e)
				}
			}
		}
	}
}

func (d *drift) event(e mapping.HeadEvent) *nagare.Event {
	uid := e.UID
	if uid == "" {
		uid = "u"
	}
	return &nagare.Event{Source: d.m.Name, UID: uid, Time: e.Time, Auth: nagare.AuthPass, Received: received, Body: e.Body}
}

func (d *drift) one(p place, name, mark string, e mapping.HeadEvent) {
	if err := d.m.Normalize(d.event(e), &d.out, &d.sc); err != nil {
		if e.Body[0] != '{' {
			return // the event itself became something else: that is a dead letter
		}
		d.fail("%s made %s: %v", p.path, name, err)
		return
	}
	for _, problem := range ocsf.Validate(&d.out, nil) {
		d.fail("%s made %s: not valid: %s", p.path, name, problem)
	}
	text := d.out.AppendJSON(nil)
	if !json.Valid(text) {
		d.fail("%s made %s: no JSON comes out", p.path, name)
	}
	if bytes.Contains(e.Body, []byte(mark)) && !slices.ContainsFunc(written(mark), func(s string) bool { return bytes.Contains(bytes.ToLower(text), []byte(s)) }) {
		d.fail("%s made %s: the value is nowhere in what came out: %.600s", p.path, name, text)
	}
}

// written are the ways a mark may be written: a number also as a float.
func written(mark string) []string {
	if f, err := strconv.ParseFloat(mark, 64); err == nil && mark != "" {
		return []string{mark, strconv.FormatFloat(f, 'g', -1, 64), strconv.FormatFloat(f, 'f', -1, 64)}
	}
	return []string{mark}
}

func (d *drift) fail(format string, args ...any) {
	if d.wrong++; d.wrong <= 30 {
		d.t.Errorf(format, args...)
	}
}
