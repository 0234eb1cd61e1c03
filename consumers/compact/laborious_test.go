package compact

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"nagare"
	"nagare/internal/lake"
	"nagare/ocsf"
	"nagare/ocsf/mapping"
)

// laborious is a mapping that works on a list with the square of its length,
// once in a program and once in rows.
const laborious = `source: test
products: {t: {vendor_name: V, name: N}}
events:
- when: raw.kind == "loop"
  class: base_event
  set:
    message: 'raw.l.all(x, raw.l.exists(y, y == x)) ? "all" : "not all"'
- class: base_event
  set: {message: raw.kind}
  each:
  - {path: enrichments, in: raw.l, as: x, set: {name: "'n'", value: string(x), data: 'raw.l.filter(y, y == -1)[0]'}}
  - {path: enrichments, in: raw.m, as: x, set: {name: "'n'", value: 'string(int(x) + 1)', data: x}}
`

// An event that its mapping would work on without end is a dead letter that
// says so. The shard moves on, and the rest of the batch is in the lake.
func TestTooMuchWork(t *testing.T) {
	r := newRig(t)
	layouts := ocsf.NewLayouts(r.layouts.Schema)
	set, problems := mapping.Load(layouts, []mapping.File{{Name: "test.yaml", Data: []byte(laborious)}})
	m, ok := set.Source("test")
	if !ok {
		t.Fatal(problems)
	}
	layouts.Freeze()
	var sc mapping.Scratch
	r.cfg.Normalize = func(ev *nagare.Event, out *ocsf.Event) error { return m.Normalize(ev, out, &sc) }
	event := func(kind, list string, n int) string {
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, ",%d", i)
		}
		return fmt.Sprintf(`{"kind":%q,%q:[%s]}`, kind, list, b.String()[min(1, n):])
	}
	s, _ := r.open()
	r.process(s,
		record(1, event("a", "l", 3), event("loop", "l", 100_000), event("b", "m", 3), event("c", "l", 100_000), event("loop", "l", 3)),
		record(2, event("d", "m", 100_000), event("e", "l", 0)))
	r.flush(s, 2, false)
	want := map[string]int{"uid-1-0": 1, "uid-1-2": 1, "uid-1-4": 1, "uid-2-0": 1, "uid-2-1": 1}
	if d := cmp.Diff(want, r.rows()); d != "" {
		t.Errorf("rows (-want +got):\n%s", d)
	}
	letters := map[string]string{}
	for d, err := range lake.DeadLetters(t.Context(), r.cfg.Archive, lake.DeadFilter{}) {
		if err != nil {
			t.Fatal(err)
		}
		line, _, _ := strings.Cut(d.Error, ":")
		letters[d.UID] = d.Reason + ": " + line
		if len(d.Body) < 100_000 {
			t.Errorf("%s has a body of %d bytes", d.UID, len(d.Body))
		}
	}
	if d := cmp.Diff(map[string]string{
		"uid-1-1": "too-costly: line 7 of test.yaml is too much work for this event", "uid-1-3": "too-costly: line 11 of test.yaml is too much work for this event",
	}, letters); d != "" {
		t.Errorf("dead letters (-want +got):\n%s", d)
	}
	if d := cmp.Diff(map[lake.DeadKind]int64{{Source: "test", Reason: mapping.TooCostly}: 2}, r.cfg.Stats.Lake.DeadKinds()); d != "" {
		t.Errorf("counted (-want +got):\n%s", d)
	}
	s.Drop()
	if _, from := r.open(); from.Seq != "2" {
		t.Errorf("the next worker reads after %q, want 2", from.Seq)
	}
}
