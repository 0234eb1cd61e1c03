package detect_test

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"nagare/detect"
)

var tableRow = regexp.MustCompile("(?m)^\\| `(.*)` \\| `(.*)` \\|$")

// TestDocsAbsence holds what docs/rules.md says does and does not load.
func TestDocsAbsence(t *testing.T) {
	text, err := os.ReadFile("../docs/rules.md")
	if err != nil {
		t.Fatal(err)
	}
	_, table, _ := strings.Cut(string(text), "does not load | loads")
	rows := tableRow.FindAllStringSubmatch(table, -1)
	if len(rows) < 4 {
		t.Fatalf("%d rows", len(rows))
	}
	for _, row := range rows {
		for i, good := range []bool{false, true} {
			where := "'" + strings.ReplaceAll(row[i+1], "'", "''") + "'"
			rules, problems := detect.Load(layouts(t), []detect.File{{Name: "r", Data: []byte("id: a.b\n" + head + "where: " + where)}}, detect.Options{})
			if (len(rules.All()) == 1) != good {
				t.Errorf("%s: loads %v: %v", row[i+1], !good, problems)
			}
		}
	}
}

// TestDocs holds that the rule of docs/rules.md loads without a word and that
// its cases hold.
func TestDocs(t *testing.T) {
	text, err := os.ReadFile("../docs/rules.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(text), "```yaml\n")
	rule, _, ok := strings.Cut(rest, "```")
	if !ok {
		t.Fatal("docs/rules.md has no rule")
	}
	ls := layouts(t)
	r, problems := detect.Load(ls, []detect.File{{Name: "docs/rules.md", Data: []byte(rule)}}, detect.Options{})
	for _, p := range problems {
		t.Errorf("%s", p)
	}
	ls.Freeze()
	results := r.Test(nil)
	if len(results) != 3 {
		t.Errorf("%d cases, want 3", len(results))
	}
	for _, res := range results {
		if !res.OK {
			t.Errorf("%s: %s", res.Case, res.Message)
		}
	}
}
