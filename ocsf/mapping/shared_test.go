package mapping_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"nagare"
	"nagare/ocsf"
	"nagare/ocsf/mapping"
)

// Real Okta events, if they are at hand: every one becomes a valid event of a
// class of its own.
func TestRealOktaEvents(t *testing.T) {
	files, _ := filepath.Glob("../../../shared/data/okta_system_log/*.jsonl")
	if len(files) == 0 {
		t.Skip("no sample data")
	}
	set := okta(t)
	m, _ := set.Source("okta")
	h := set.Head(mapping.Options{})
	var sc mapping.Scratch
	var out ocsf.Event
	for _, name := range files {
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for i, line := range bytes.Split(b, []byte("\n")) {
			if len(bytes.TrimSpace(line)) == 0 {
				continue
			}
			if source, _ := h.Detect(line); source != "okta" {
				t.Errorf("line %d looks like %q", i+1, source)
			}
			events, err := h.Split("okta", line, mapping.HeadMeta{Received: received})
			if err != nil {
				t.Errorf("line %d: %v", i+1, err)
			}
			for _, e := range events {
				ev := &nagare.Event{Source: "okta", UID: fmt.Sprintf("%s-%d", e.UID, i), Received: received, Body: e.Body}
				if err := m.Normalize(ev, &out, &sc); err != nil {
					t.Errorf("line %d: %v", i+1, err)
					continue
				}
				for _, p := range ocsf.Validate(&out, nil) {
					t.Errorf("line %d is not valid: %s", i+1, p)
				}
			}
		}
	}
	st := sc.Stats("okta")
	if st.Events == 0 || st.LastResort > 0 {
		t.Errorf("%d events, %d in the last resort", st.Events, st.LastResort)
	}
	t.Logf("%d events, classes %v, %d fields mapped, %d unmapped", st.Events, st.Classes, st.Mapped, st.Unmapped)
}
