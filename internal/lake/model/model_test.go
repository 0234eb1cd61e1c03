package model

import (
	"os"
	"strings"
	"testing"
)

// TestProtocol holds that with all guards no record is lost, doubled or seen
// early, and that the end stays within reach, in every state there is.
func TestProtocol(t *testing.T) {
	for _, c := range []struct {
		name            string
		rules           rules
		records, faults uint8
		goal, long      bool
	}{
		{name: "one record, two faults", records: 1, faults: 2, goal: true},
		{name: "two records, no fault", records: 2, goal: true},
		{name: "two records, a fault, fresh collector", rules: rules{freshCollector: true}, records: 2, faults: 1},
		{name: "two records, a fault", records: 2, faults: 1, goal: true, long: true},
		{name: "three records, no fault, fresh collector", rules: rules{freshCollector: true}, records: 3, long: true},
		// What does not matter: the content of a name is always the same, and a
		// wrong place to begin makes work that is refused.
		{name: "put overwrites", rules: rules{overwrite: true, freshCollector: true}, records: 2, faults: 1, long: true},
		{name: "begin at the checkpoint", rules: rules{beginAtCheckpoint: true, freshCollector: true}, records: 2, faults: 1, long: true},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			if c.long && os.Getenv("NAGARE_MODEL") == "" {
				t.Skip("NAGARE_MODEL is not set; make proof sets it")
			}
			f := c.rules.search(c.records, c.faults, 100_000_000, c.goal)
			if f.wrong != "" {
				t.Fatalf("%s:\n%s", f.wrong, f.trace)
			}
			if f.stuck != 0 || !f.whole {
				t.Errorf("from %d of %d states the end cannot be reached; whole: %v", f.stuck, f.states, f.whole)
			}
			t.Logf("%d states, %d steps: none wrong", f.states, f.steps)
		})
	}
}

// TestGuards holds that each guard is needed: without it the search finds how
// a record is lost, doubled or seen early.
func TestGuards(t *testing.T) {
	for _, c := range []struct {
		name            string
		rules           rules
		records, faults uint8
		want            string
	}{
		{"commit without a condition", rules{commitAlways: true}, 2, 1, "lost"},
		{"commit before the last is published", rules{commitUnpublished: true}, 3, 1, "lost"},
		{"commit compares n only, from the checkpoint on", rules{compareN: true}, 2, 1, "twice"},
		{"visible before the commit", rules{unstaged: true}, 2, 1, "twice"},
		{"named by the first record", rules{namedByStart: true}, 2, 1, "twice"},
		{"attempt used again", rules{sameAttempt: true}, 3, 1, "before it is committed"},
		{"collected by age", rules{collectByAge: true}, 2, 1, "lost"},
		{"collected before it is published", rules{collectWinner: true}, 2, 1, "lost"},
		{"rows before dead letters", rules{lastFirst: true}, 2, 0, "before its dead letters"},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := c.rules.search(c.records, c.faults, 3_000_000, false)
			if f.wrong == "" || !strings.Contains(f.wrong, c.want) {
				t.Fatalf("%d states, whole: %v; found %q, want that a record is %s", f.states, f.whole, f.wrong, c.want)
			}
			t.Logf("%s, after %d states:\n%s", f.wrong, f.states, f.trace)
		})
	}
}
