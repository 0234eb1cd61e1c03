package integration

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// command spans in the docs: `nagare verb …` or `bin/nagare verb …`.
var docCommand = regexp.MustCompile("`(?:bin/)?nagare ([a-z][^`]*)`")

// TestDocs holds that every nagare command and flag named in the docs exists,
// and that every make target does.
func TestDocs(t *testing.T) {
	binary := build(t)
	files, err := filepath.Glob("../docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	files = append(files, "../README.md", "../CONTRIBUTING.md")
	makefile, err := os.ReadFile("../Makefile")
	if err != nil {
		t.Fatal(err)
	}
	seen := 0
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range docCommand.FindAllStringSubmatch(string(text), -1) {
			seen++
			var verbs, flags []string
			for _, w := range strings.Fields(m[1]) {
				switch {
				case strings.HasPrefix(w, "--"):
					flag, _, _ := strings.Cut(w, "=")
					flags = append(flags, strings.TrimRight(flag, ".,;"))
				case len(flags) == 0 && regexp.MustCompile(`^[a-z]+$`).MatchString(w) && len(verbs) < 2:
					verbs = append(verbs, w)
				}
			}
			code, help, stderr := run(binary, append(verbs, "--help")...)
			if code != 0 && len(verbs) == 2 { // the second word was an argument
				code, help, stderr = run(binary, verbs[0], "--help")
			}
			if code != 0 {
				t.Errorf("%s: `nagare %s`: exit %d: %s", filepath.Base(file), m[1], code, stderr)
				continue
			}
			for _, f := range flags {
				if !strings.Contains(string(help), f) {
					t.Errorf("%s: `nagare %s`: there is no flag %s", filepath.Base(file), m[1], f)
				}
			}
		}
		for _, m := range regexp.MustCompile("(?m)(?:^|`)make ([a-z]+)").FindAllStringSubmatch(string(text), -1) {
			if !strings.Contains("\n"+string(makefile), "\n"+m[1]+":") {
				t.Errorf("%s: there is no make target %q", filepath.Base(file), m[1])
			}
		}
		for _, m := range regexp.MustCompile(`\]\(([^)#:]+)\)`).FindAllStringSubmatch(string(text), -1) {
			if _, err := os.Stat(filepath.Join(filepath.Dir(file), m[1])); err != nil {
				t.Errorf("%s links to %s, which is not there", filepath.Base(file), m[1])
			}
		}
	}
	if seen < 10 {
		t.Errorf("only %d commands were found in the docs", seen)
	}
}
