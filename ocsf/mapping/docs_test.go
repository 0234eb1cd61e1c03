package mapping_test

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"

	"nagare"
	"nagare/ocsf"
	"nagare/ocsf/mapping"
)

// What docs/mappings.md shows works as it says: each "yaml mapping" is a whole
// file, each "yaml set" the set of an authentication entry; of each "json in"
// come the events of "json out", which may leave attributes out.
func TestDocs(t *testing.T) {
	b, err := os.ReadFile("../../docs/mappings.md")
	if err != nil {
		t.Fatal(err)
	}
	var file, in string
	examples := 0
	for _, part := range strings.Split(string(b), "\n```")[1:] {
		kind, text, _ := strings.Cut(part, "\n")
		switch kind {
		case "yaml mapping":
			file = text
		case "yaml set":
			file = "source: t\ntime: meta.received\nproducts: {t: {vendor_name: V, name: N}}\nevents:\n  - class: authentication\n    activity: Logon\n    set:\n      user.name: \"'u'\"\n" + indent(text, 6)
			if !strings.Contains(text, "service") {
				file += "      service.name: \"'s'\"\n"
			}
		case "json in":
			in = text
		case "json out":
			examples++
			t.Run(fmt.Sprint(examples), func(t *testing.T) { example(t, file, in, text) })
		}
	}
	if examples < 5 {
		t.Errorf("only %d examples found", examples)
	}
}

func example(t *testing.T, file, in, out string) {
	set := loadText(t, file)
	m, _ := set.Source(set.Sources()[0])
	h := set.Head(mapping.Options{})
	var got []map[string]any
	var sc mapping.Scratch
	var e ocsf.Event
	dec := json.NewDecoder(strings.NewReader(in))
	for dec.More() {
		var delivery json.RawMessage
		if err := dec.Decode(&delivery); err != nil {
			t.Fatal(err)
		}
		events, err := h.Split(m.Name, delivery, mapping.HeadMeta{Received: received})
		if err != nil {
			t.Fatal(err)
		}
		for _, he := range events {
			ev := &nagare.Event{Source: m.Name, UID: he.UID, Received: received, Body: he.Body}
			if err := m.Normalize(ev, &e, &sc); err != nil {
				t.Fatal(err)
			}
			for _, p := range ocsf.Validate(&e, nil) {
				t.Errorf("not valid: %s", p)
			}
			var v map[string]any
			if err := json.Unmarshal(e.AppendJSON(nil), &v); err != nil {
				t.Fatal(err)
			}
			got = append(got, v)
		}
	}
	dec = json.NewDecoder(strings.NewReader(out))
	for i := 0; dec.More(); i++ {
		var want map[string]any
		if err := dec.Decode(&want); err != nil {
			t.Fatal(err)
		}
		if i >= len(got) {
			t.Fatalf("%d events, the page shows more", len(got))
		}
		within(t, "", want, got[i])
	}
}

// within checks that everything in want is in got. unmapped must be equal.
func within(t *testing.T, at string, want, got any) {
	t.Helper()
	switch w := want.(type) {
	case map[string]any:
		g, _ := got.(map[string]any)
		for k, v := range w {
			within(t, at+"."+k, v, g[k])
		}
		if at == ".unmapped" && len(g) != len(w) {
			t.Errorf("unmapped is %v", g)
		}
	case []any:
		g, _ := got.([]any)
		if len(g) != len(w) {
			t.Errorf("%s: %d elements, the page shows %d", at, len(g), len(w))
			return
		}
		for i := range w {
			within(t, fmt.Sprintf("%s[%d]", at, i), w[i], g[i])
		}
	default:
		if fmt.Sprint(want) != fmt.Sprint(got) {
			t.Errorf("%s: got %v, the page shows %v", at, got, want)
		}
	}
}
