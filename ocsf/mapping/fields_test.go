package mapping_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"nagare"
	"nagare/ocsf"
	"nagare/ocsf/mapping"
)

// TestFieldsHold normalizes the inputs of all cases one after the other into
// one event, twice, and holds that each comes out as in an event of its own:
// nothing is left of the one before, so an entry fills only what it said.
func TestFieldsHold(t *testing.T) {
	set := builtin(t)
	files, err := filepath.Glob("../mappings/testdata/*/*.json*")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	type one struct {
		ev   nagare.Event
		want string
	}
	var all []one
	var out ocsf.Event
	var sc mapping.Scratch
	head := set.Head(mapping.Options{})
	for _, f := range files {
		if strings.Contains(f, ".ocsf.") {
			continue
		}
		source := filepath.Base(filepath.Dir(f))
		m, ok := set.Source(source)
		if !ok {
			t.Fatalf("%s: no source %s", f, source)
		}
		data, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		bodies := []string{string(data)}
		if strings.HasSuffix(f, "l") {
			bodies = strings.Split(strings.TrimSpace(string(data)), "\n")
		}
		for _, body := range bodies {
			events, err := head.Split(source, []byte(body), mapping.HeadMeta{Source: source})
			if err != nil {
				continue
			}
			for _, h := range events {
				ev := nagare.Event{Source: source, UID: h.UID, Received: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), Body: h.Body}
				var fresh ocsf.Event
				var freshScratch mapping.Scratch
				if m.Normalize(&ev, &fresh, &freshScratch) == nil {
					all = append(all, one{ev, string(fresh.AppendJSON(nil))})
				}
			}
		}
	}
	if len(all) < 100 {
		t.Fatalf("only %d events", len(all))
	}
	for round := range 2 {
		for i := range all {
			x := &all[i*7919%len(all)]
			m, _ := set.Source(x.ev.Source)
			if err := m.Normalize(&x.ev, &out, &sc); err != nil {
				t.Fatal(err)
			}
			if got := string(out.AppendJSON(nil)); got != x.want {
				t.Fatalf("round %d, after other events:\n%s\nalone:\n%s", round, got, x.want)
			}
		}
	}
}
