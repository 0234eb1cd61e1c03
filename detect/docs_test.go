package detect_test

import (
	"os"
	"strings"
	"testing"

	"nagare/detect"
	"nagare/ocsf"
)

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
	schema, err := ocsf.Load(ocsf.Version)
	if err != nil {
		t.Fatal(err)
	}
	layouts := ocsf.NewLayouts(schema)
	r, problems := detect.Load(layouts, []detect.File{{Name: "docs/rules.md", Data: []byte(rule)}}, detect.Options{})
	for _, p := range problems {
		t.Errorf("%s", p)
	}
	layouts.Freeze()
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
