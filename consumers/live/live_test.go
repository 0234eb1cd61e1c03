package live

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"nagare"
	"nagare/consumers"
	"nagare/internal/alert"
	"nagare/ocsf"
	"nagare/ocsf/mapping"
)

const loops = `source: test
products: {t: {vendor_name: V, name: N}}
events:
- class: base_event
  set:
    message: 'raw.l.all(x, raw.l.exists(y, y == x)) ? "all" : "not all"'
`

// An event that cannot be normalized, whatever for, is counted; the others of
// its batch are evaluated.
func TestUnusable(t *testing.T) {
	schema, err := ocsf.Load("1.3.0")
	if err != nil {
		t.Fatal(err)
	}
	layouts := ocsf.NewLayouts(schema)
	set, problems := mapping.Load(layouts, []mapping.File{{Name: "test.yaml", Data: []byte(loops)}})
	m, ok := set.Source("test")
	if !ok {
		t.Fatal(problems)
	}
	layouts.Freeze()
	var sc mapping.Scratch
	var stats Stats
	var seen []string
	s, err := New(Config{
		Normalize: func(ev *nagare.Event, out *ocsf.Event) error {
			if string(ev.Body) == "panic" {
				panic("a bug")
			}
			return m.Normalize(ev, out, &sc)
		},
		Eval: func(_ *ocsf.Event, ev *nagare.Event, emit func(alert.Match)) {
			seen = append(seen, ev.UID)
			emit(alert.Match{EventUID: ev.UID})
		},
		Record: func(_ context.Context, matches ...alert.Match) error {
			if len(matches) != 2 {
				return fmt.Errorf("%d matches, want 2", len(matches))
			}
			return nil
		},
		Stats: &stats,
	})(consumers.Shard{})
	if err != nil {
		t.Fatal(err)
	}
	var long strings.Builder
	for n := range 50_000 {
		fmt.Fprintf(&long, "%d,", n)
	}
	var events []nagare.Event
	for i, body := range []string{`{"l":[1]}`, `{"l":[` + long.String() + `0]}`, "panic", "no JSON", `{"l":[1,2]}`} {
		events = append(events, nagare.Event{UID: fmt.Sprint("uid-", i), Source: "test", Received: time.Unix(1800000000, 0), Body: []byte(body)})
	}
	if err := s.Process(t.Context(), events); err != nil {
		t.Fatal(err)
	}
	if fmt.Sprint(seen) != "[uid-0 uid-4]" || stats.Events.Load() != 2 || stats.Unusable.Load() != 3 || stats.Matches.Load() != 2 {
		t.Errorf("evaluated %v; %d events, %d unusable, %d matches", seen, stats.Events.Load(), stats.Unusable.Load(), stats.Matches.Load())
	}
}
