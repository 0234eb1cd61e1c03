package mapping_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"nagare/ocsf/mapping"
)

const boundsHead = "source: t\nproducts: {p: {vendor_name: V, name: N}}\n"

// inTime runs f and fails the test where it takes longer than any file may;
// the limit is far above what is usual, for machines that are busy.
func inTime(t testing.TB, f func()) {
	t.Helper()
	done := make(chan struct{})
	go func() { defer close(done); f() }()
	select {
	case <-done:
	case <-time.After(20 * time.Second):
		t.Fatal("a check of one file took longer than 20 s")
	}
}

func find(problems []mapping.Problem, code, message string) *mapping.Problem {
	for _, p := range problems {
		if p.Code == code && strings.Contains(p.Message, message) {
			return &p
		}
	}
	return nil
}

// mergeBomb is a few lines that merge to 8^24 keys; seqBomb lists as many.
func mergeBomb(open, end string) string {
	var b strings.Builder
	b.WriteString(boundsHead + "tables:\n  m0: &m0 {message: raw.a}\n")
	for i := 1; i <= 24; i++ {
		fmt.Fprintf(&b, "  m%d: &m%d %s%s%s\n", i, i, open, strings.Repeat(fmt.Sprintf("*m%d, ", i-1), 8), end)
	}
	b.WriteString("events: [{class: base_event, set: {<<: *m24}}]\n")
	return b.String()
}

func TestAliases(t *testing.T) {
	for _, c := range []struct {
		name, text    string
		line, column  int
		code, message string
	}{
		{"merges of merges", mergeBomb("{<<: [", "]}"), 9, 52, "too-large", "aliases repeat more than 100000"},
		{"lists of lists", mergeBomb("[", "]"), 9, 47, "too-large", "aliases repeat more than 100000"},
		{"a map that merges itself", boundsHead + "events:\n- class: base_event\n  set: &s\n    <<: *s\n    message: raw.m\n", 6, 9, "alias-cycle", "*s is inside of what it names"},
		{"a map below itself", boundsHead + "events:\n- class: base_event\n  set: &s\n    message: raw.m\n    user: *s\n", 7, 11, "alias-cycle", "*s is inside"},
		{"a list in itself", boundsHead + "events: &e\n  - *e\n", 4, 5, "alias-cycle", "*e is inside"},
		{"two that name each other", "a: &a\n  b: &b [*a]\n  c: *b\n", 2, 10, "alias-cycle", "*a is inside"},
	} {
		t.Run(c.name, func(t *testing.T) {
			inTime(t, func() {
				_, problems := check(t, c.text)
				p := find(problems, c.code, c.message)
				if p == nil {
					t.Errorf("got %v", problems)
				} else if p.Line != c.line || p.Column != c.column {
					t.Errorf("%s: want %d:%d", p, c.line, c.column)
				}
			})
		})
	}

	// What people write stays possible: an entry that many others merge.
	text := boundsHead + "events:\n- &e {when: raw.n == 0, class: base_event, set: &s {message: raw.m, count: raw.n}}\n"
	for i := 1; i < 300; i++ {
		text += fmt.Sprintf("- {<<: *e, when: raw.n == %d, set: {<<: *s, status_code: raw.c}}\n", i)
	}
	if _, problems := check(t, text); len(problems) > 0 {
		t.Errorf("%d problems: %v", len(problems), problems[0])
	}
}

func TestOneDocument(t *testing.T) {
	good := boundsHead + "events: [{class: base_event}]\n"
	_, problems := check(t, good+"---\nsource: u\n")
	if p := find(problems, "syntax", "second YAML document"); p == nil || p.Line != 4 {
		t.Errorf("got %v", problems)
	}
	if _, problems = check(t, "---\n"+good+"...\n"); len(problems) > 0 {
		t.Errorf("one document with its marks: %v", problems)
	}
}

// The files of a case are in the folder of the mapping or below it.
func TestCasesInside(t *testing.T) {
	for name, ok := range map[string]bool{
		"a.json": true, "testdata/a.json": true, "..a/b..json": true,
		"../a.json": false, "testdata/../../a.json": false, "/etc/hostname": false, "./../a": false, `..\a.json`: false, "C:/a.json": false,
	} {
		for _, files := range []string{"file: '%s', golden: b.json", "file: b.json, golden: '%s'"} {
			set, problems := check(t, boundsHead+"events: [{class: base_event}]\ncases: [{"+fmt.Sprintf(files, name)+"}]\n")
			p := find(problems, "wrong-value", "not in the folder of the mapping")
			if (p == nil) != ok {
				t.Errorf("%s: %v", name, problems)
			}
			if m, loaded := set.Source("t"); loaded != ok || loaded && len(m.Cases) != 1 {
				t.Errorf("%s: loaded is %v", name, loaded)
			}
		}
	}
}

// What is listed of a file has an end, and says what it leaves out. A mistake
// among what is left out keeps the mapping from running too.
func TestManyProblems(t *testing.T) {
	var warnings, mistakes strings.Builder
	for i := range 3000 {
		fmt.Fprintf(&warnings, "  t%d: {a: b}\n", i)
		fmt.Fprintf(&mistakes, "    attr%d: raw.a\n", i)
	}
	set, problems := check(t, boundsHead+"tables:\n"+warnings.String()+"events: [{class: base_event}]\n")
	if last := problems[len(problems)-1]; len(problems) != 1001 || last.Message != "and 2000 more" || !last.Warning {
		t.Errorf("%d problems, the last is %v", len(problems), last)
	}
	if _, ok := set.Source("t"); !ok {
		t.Error("warnings keep a mapping from running")
	}
	set, problems = check(t, boundsHead+"events:\n- class: base_event\n  set:\n"+mistakes.String(), mapping.File{Name: "b.yaml", Data: []byte("source: u\n")})
	if p := problems[1000]; p.Message != "and 2000 more" || p.Warning || p.File != "a.yaml" || p.Line == 0 {
		t.Errorf("the one behind the listed is %v", p)
	}
	if p := problems[len(problems)-1]; p.File != "b.yaml" {
		t.Errorf("the other file's problems are gone: %v", p)
	}
	if _, ok := set.Source("t"); ok {
		t.Error("a mapping with mistakes runs")
	}
}

// A table of which no row fits is said in a few lines, and at once.
func TestManyWrongRows(t *testing.T) {
	var b strings.Builder
	b.WriteString(boundsHead + "tables:\n  t:\n")
	for i := range 20_000 {
		fmt.Fprintf(&b, "    k%05d: v%d\n", i, i)
	}
	b.WriteString("events: [{class: base_event, set: {severity_id: 'tables.t[raw.x]'}}]\n")
	start := time.Now()
	_, problems := check(t, b.String())
	if took := time.Since(start); took > 10*time.Second {
		t.Errorf("took %s", took)
	}
	if len(problems) != 21 || problems[0].Message != `table "t" says "v0" for "k00000", which severity_id cannot be` ||
		problems[20].Message != `table "t" says what severity_id cannot be for 19980 more` {
		t.Errorf("%d problems: %v", len(problems), problems)
	}
}

// clauseBomb is two entries whose conditions have 2^n combinations each.
func clauseBomb(n int) string {
	text := boundsHead + "events:\n"
	for _, b := range []string{"y", "z"} {
		var clauses []string
		for i := range n {
			clauses = append(clauses, fmt.Sprintf(`(raw.a%d == "x" || raw.b%d == "%s")`, i, i, b))
		}
		text += "- {when: '" + strings.Join(clauses, " && ") + "', class: base_event}\n"
	}
	return text
}

// The question which entries no event gets to is given up where it would take
// too long, and for that entry alone.
func TestReachIsBounded(t *testing.T) {
	for _, n := range []int{8, 12, 16, 40} {
		inTime(t, func() {
			_, problems := check(t, clauseBomb(n)+"- {when: 'raw.k == 1', class: base_event}\n- {when: 'raw.k == 1 && raw.l == 2', class: base_event}\n")
			if len(problems) != 1 || !strings.Contains(problems[0].Message, "takes all that this one would") {
				t.Errorf("%d clauses: %v", n, problems)
			}
		})
	}
	var b strings.Builder
	b.WriteString(boundsHead + "events:\n")
	for i := range 2000 {
		fmt.Fprintf(&b, "- {when: 'raw.k == \"v%d\" && raw.z == %d', class: base_event}\n", i, i)
	}
	b.WriteString("- {when: 'raw.k == \"v7\" && raw.z == 7 && raw.y == 1', class: base_event}\n")
	inTime(t, func() {
		if _, problems := check(t, b.String()); len(problems) != 1 || !strings.Contains(problems[0].Message, "takes all that this one would") {
			t.Errorf("%d problems", len(problems))
		}
	})
}
