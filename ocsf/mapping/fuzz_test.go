package mapping_test

import (
	"encoding/json"
	"io/fs"
	"testing"

	"nagare"
	"nagare/ocsf"
	"nagare/ocsf/mapping"
	"nagare/ocsf/mappings"
)

// Whatever comes in the name of whatever source: it is recognised or not, it
// splits into JSON, and each event becomes a valid OCSF event or a dead letter.
func FuzzSources(f *testing.F) {
	set := builtin(f)
	sources := set.Sources()
	for i, source := range sources {
		m, _ := set.Source(source)
		for _, c := range m.Cases {
			input, err := fs.ReadFile(mappings.FS, c.File)
			if err != nil {
				f.Fatal(err)
			}
			for k, body := range deliveries(input) {
				if k < 4 && len(body) < 16<<10 {
					f.Add(uint8(i), []byte(body))
				}
			}
		}
	}
	h := set.Head(mapping.Options{HashKey: []byte("k")})
	var sc mapping.Scratch
	var out ocsf.Event
	f.Fuzz(func(t *testing.T, n uint8, body []byte) {
		source := sources[int(n)%len(sources)]
		h.Detect(body)
		m, _ := set.Source(source)
		events, err := h.Split(source, body, mapping.HeadMeta{Received: received})
		if err != nil {
			return
		}
		for _, e := range events {
			if !json.Valid(e.Body) {
				t.Fatalf("%s: %q splits into %q", source, body, e.Body)
			}
			if len(e.UID) > 1100 {
				t.Fatalf("%s: the uid has %d bytes", source, len(e.UID))
			}
			ev := &nagare.Event{Source: source, UID: e.UID + "u", Time: e.Time, Received: received, Body: e.Body}
			if m.Normalize(ev, &out, &sc) != nil {
				continue
			}
			if problems := ocsf.Validate(&out, nil); len(problems) > 0 {
				t.Fatalf("%s: %q is not valid: %v", source, e.Body, problems)
			}
			if text := out.AppendJSON(nil); !json.Valid(text) {
				t.Fatalf("%s: %q became %q", source, e.Body, text)
			}
		}
	})
}
