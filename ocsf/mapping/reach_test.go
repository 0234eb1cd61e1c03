package mapping_test

import (
	"fmt"
	"strings"
	"testing"
)

// What the check says of two entries, one above the other; "" for nothing.
func TestReach(t *testing.T) {
	for _, c := range []struct{ above, below, said string }{
		{`raw.a == "x"`, `raw.a == "y"`, ""},
		{`raw.a == "x"`, `raw.a == "x"`, "takes all"},
		{`raw.a == "x"`, `"x" == raw.a`, "takes all"},
		{`raw.a == "x"`, `raw.a == "X"`, ""},
		{`raw.a == "1"`, `raw.a == 1`, ""},
		{`raw.a == "x" || raw.b == 1`, `raw.b == 1 && raw.c == 2`, "takes all"},
		{`raw.a == "x" && raw.b == 1`, `raw.a == "x"`, ""},
		{`has(raw.a)`, `raw.a.b == "x"`, "takes all"},
		{`has(raw.a)`, `raw.ab == "x"`, ""},
		{`has(raw.a)`, `raw.?a.orValue("x") == "x"`, ""},
		{`has(raw.a)`, `raw.a.startsWith("x")`, "takes all"},
		{`has(raw.a)`, `!has(raw.a)`, ""},
		{`raw.a != "x"`, `raw.a == "y"`, "takes all"},
		{`raw.a != "x"`, `raw.a in ["x", "y"]`, ""},
		{`raw.flag`, `raw.flag == true && raw.b == 1`, "takes all"},
		{`raw.flag`, `!raw.flag`, ""},
		{`tables.k[raw.a] == "one"`, `raw.a == "A"`, "takes all"},
		{`tables.k[raw.a] == "one"`, `raw.a == 5`, "takes all"},
		{`tables.k[raw.a] == "one"`, `raw.a == "c"`, ""},
		{`raw.a == "a"`, `tables.k[raw.a] == "one" && raw.z == 1`, ""}, // "A" and 5 are left
		{`tables.k[raw.a] in ["one", "two"]`, `tables.k[raw.a] == "two"`, "takes all"},
		{`raw.a.matches("^x")`, `raw.a.matches("^x") && raw.b == 1`, "takes all"},
		{`raw.l.exists(x, x.k == "b")`, `raw.l.exists(y, y.k == "b")`, "takes all"},
		{`raw.l.exists(x, x.k == "b")`, `raw.l.exists(x, x.k == "c")`, ""},
		{`raw.z == 0`, `raw.a == "x" && raw.a in ["y", "z"]`, "never true"},
		{`raw.z == 0`, `raw.a == "x" && raw.a in ["y", "x"]`, ""},
		{`raw.z == 0`, `raw.n == 5 && tables.k[raw.n] == "one"`, ""},
		{`raw.z == 0`, `raw.a == "zz" && tables.k[raw.a] == "one"`, "never true"},
		{`raw.z == 0`, `false && raw.a == "x"`, "never true"},
		{`raw.z == 0`, `raw.a == "x" && !(raw.a == "x")`, "never true"},
		{`raw.z == 0`, `raw.a == "x" && (raw.a == "y" || raw.a == "z")`, "never true"},
		{`raw.z == 0`, `raw.a == "x" && (raw.a == "y" || raw.b == "z")`, ""},
		{`raw.z == 0`, `tables.k[raw.a] == "three"`, "never says"},
		{`raw.z == 0`, `tables.k[raw.a] != ""`, ""},
	} {
		quote := func(s string) string { return "'" + strings.ReplaceAll(s, "'", "''") + "'" }
		_, problems := check(t, fmt.Sprintf(`
source: t
products: {p: {vendor_name: V, name: N}}
tables: {k: {a: one, "5": one, b: two}}
events:
  - {when: %s, class: base_event}
  - {when: %s, class: base_event, set: {message: "tables.k[raw.x]"}}
`, quote(c.above), quote(c.below)))
		var said []string
		for _, p := range problems {
			said = append(said, p.Message)
		}
		if got := strings.Join(said, "; "); c.said == "" && got != "" || !strings.Contains(got, c.said) {
			t.Errorf("%s, then %s: %q, want %q", c.above, c.below, got, c.said)
		}
	}
}
