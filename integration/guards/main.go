// Command guards takes out one guard after another and runs the test that must
// fail then. What it knows is also docs/faults.md, which -write makes.
//
// It changes no file: the compiler is told to read others (GOFLAGS=-overlay=FILE).
package main

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

func main() {
	only := flag.String("case", "", "only the cases whose number begins so")
	write := flag.Bool("write", false, "write docs/faults.md and try nothing")
	list := flag.Bool("list", false, "only look whether each guard and test is there")
	flag.Parse()
	bad := 0
	lines := make([]int, len(guards))
	for i, g := range guards {
		line, err := g.find()
		if err != nil {
			fmt.Println(err)
			bad++
		}
		lines[i] = line
	}
	switch {
	case bad > 0:
	case *list:
	case *write:
		if err := os.WriteFile("docs/faults.md", document(lines), 0o644); err != nil {
			fmt.Println(err)
			bad++
		}
	default:
		for i, g := range guards {
			if !strings.HasPrefix(g.number, *only) {
				continue
			}
			began := time.Now()
			err := g.try()
			fmt.Printf("%-4s %s:%d %s: %s (%s)\n", g.number, g.file, lines[i], g.test, said(err), time.Since(began).Round(time.Second))
			if err != nil {
				bad++
			}
		}
	}
	if bad > 0 {
		os.Exit(1)
	}
}

func said(err error) string {
	if err != nil {
		return err.Error()
	}
	return "fails without it, as it must"
}

// find returns the line of the guard, and sees that its test is there.
func (g *guard) find() (int, error) {
	text, err := os.ReadFile(g.file)
	if err != nil {
		return 0, err
	}
	if n := strings.Count(string(text), g.with); n != 1 {
		return 0, fmt.Errorf("case %s: %q is %d times in %s, want once", g.number, g.with, n, g.file)
	}
	name, _, _ := strings.Cut(g.test, "/")
	tests, err := filepath.Glob(filepath.Join(g.folder(), "*_test.go"))
	if err != nil {
		return 0, err
	}
	found := false
	for _, f := range tests {
		src, err := os.ReadFile(f)
		if err != nil {
			return 0, err
		}
		found = found || bytes.Contains(src, []byte("func "+name+"(t *testing.T)"))
	}
	if !found {
		return 0, fmt.Errorf("case %s: there is no %s in %s", g.number, name, g.folder())
	}
	before, _, _ := strings.Cut(string(text), g.with)
	return 1 + strings.Count(before, "\n"), nil
}

// folder is where the test is.
func (g *guard) folder() string {
	if g.in != "" {
		return g.in
	}
	return filepath.Dir(g.file)
}

// try runs the test without the guard, and wants it to fail.
func (g *guard) try() error {
	dir, err := os.MkdirTemp("", "nagare-guard-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	text, err := os.ReadFile(g.file)
	if err != nil {
		return err
	}
	changed := filepath.Join(dir, "changed.go")
	if err := os.WriteFile(changed, []byte(strings.Replace(string(text), g.with, g.without, 1)), 0o600); err != nil {
		return err
	}
	name, err := filepath.Abs(g.file)
	if err != nil {
		return err
	}
	overlay, err := json.Marshal(map[string]map[string]string{"Replace": {name: changed}})
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, "overlay.json"), overlay, 0o600); err != nil {
		return err
	}
	var run []string
	for part := range strings.SplitSeq(g.test, "/") {
		run = append(run, "^"+part+"$")
	}
	cmd := exec.Command("go", "test", "-vet=off", "-count=1", "-timeout", "100s", "-run", strings.Join(run, "/"), "./"+g.folder())
	// The flag goes to every go command, also to one that a test runs.
	cmd.Env = append(os.Environ(), "GOFLAGS=-overlay="+filepath.Join(dir, "overlay.json"))
	out, err := cmd.CombinedOutput()
	switch {
	case err == nil:
		return fmt.Errorf("THE TEST PASSES WITHOUT ITS GUARD")
	case bytes.Contains(out, []byte("[build failed]")), bytes.Contains(out, []byte("no tests to run")):
		return fmt.Errorf("it could not be tried: %s", out[:min(len(out), 600)])
	}
	return nil
}

// document is docs/faults.md.
func document(lines []int) []byte {
	var b bytes.Buffer
	b.WriteString(`# What may go wrong, and the test for each

Each line is a fault, what happens then, the line of code without which it would not, and the test that fails without that line. ` + "`go run ./integration/guards`" + ` takes the lines out one after another and runs the tests; ` + "`go run ./integration/guards -write`" + ` makes this page. A case may need several lines.

All of them together, and processes that are killed and stopped, are in ` + "`make crash`" + `: see TestCrash in integration.

| case | fault | what happens | guard | test |
|---|---|---|---|---|
`)
	for i, g := range guards {
		fmt.Fprintf(&b, "| %s | %s | %s | [%s:%d](../%s) | `%s` in %s |\n", g.number, g.fault, g.then, g.file, lines[i], g.file, g.test, g.folder())
	}
	return b.Bytes()
}
