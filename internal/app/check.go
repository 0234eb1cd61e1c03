package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"nagare"
	"nagare/ocsf/mapping"
	"nagare/ocsf/mappings"
)

// Check says everything that is wrong with configuration, mappings and rules,
// and starts nothing.
func Check(_ context.Context, o Options, format string, out io.Writer) error {
	c, err := loadCore(o, selection{})
	if err != nil {
		return err
	}
	return showProblems(c.problems, format, out, counted(len(c.mappings.Sources()), "mapping")+" and "+counted(len(c.rules.All()), "rule")+" without a mistake")
}

// MappingsCheck says what is wrong with mappings.
func MappingsCheck(_ context.Context, o Options, paths []string, format string, out io.Writer) error {
	c, err := loadCore(o, selection{mappings: paths, onlyMappings: true})
	if err != nil {
		return err
	}
	problems := c.ofFiles(c.mappingFiles)
	for _, source := range c.mappings.Sources() {
		m, _ := c.mappings.Source(source)
		for _, k := range m.Cases {
			for _, name := range []string{k.File, k.Golden} {
				f, err := caseFiles{named: len(paths) > 0}.Open(path.Join(path.Dir(m.File), name))
				if err != nil {
					problems = append(problems, nagare.Problem{File: m.File, Line: k.Line, Code: "case-file", Warning: true,
						Message: fmt.Sprintf("a case names %s, which cannot be read: %v", name, err), Suggestion: "mappings test --update writes golden files"})
					continue
				}
				f.Close()
			}
		}
	}
	return showProblems(problems, format, out, counted(len(c.mappings.Sources()), "mapping")+" without a mistake")
}

// RulesCheck says what is wrong with rules.
func RulesCheck(_ context.Context, o Options, paths []string, format string, out io.Writer) error {
	c, err := loadCore(o, selection{rules: paths})
	if err != nil {
		return err
	}
	return showProblems(c.ofFiles(c.ruleFiles), format, out, counted(len(c.rules.All()), "rule")+" without a mistake")
}

// ofFiles are the problems of some of the files.
func (c *core) ofFiles(files []namedFile) []nagare.Problem {
	return slices.DeleteFunc(slices.Clone(c.problems), func(p nagare.Problem) bool {
		return !slices.ContainsFunc(files, func(f namedFile) bool { return f.name == p.File })
	})
}

// showProblems prints problems; one that is no warning is Found.
func showProblems(problems []nagare.Problem, format string, out io.Writer, good string) error {
	wrong := 0
	l := listing{columns: []string{"file", "line", "column", "code", "message", "suggestion"}}
	for _, p := range problems {
		if !p.Warning {
			wrong++
		}
		l.add(p, p.File, fmt.Sprint(p.Line), fmt.Sprint(p.Column), p.Code, p.Message, p.Suggestion)
	}
	if format == "table" {
		for _, p := range problems {
			if _, err := fmt.Fprintln(out, p); err != nil {
				return err
			}
		}
		if wrong == 0 {
			_, err := fmt.Fprintln(out, good)
			return err
		}
	} else if err := l.print(out, format); err != nil {
		return err
	}
	if wrong > 0 {
		return &Found{fmt.Sprintf("%d mistakes", wrong)}
	}
	return nil
}

// caseResult is how a case of a mapping or rule went.
type caseResult struct {
	File    string `json:"file"`
	Line    int    `json:"line"`
	Subject string `json:"subject"`
	Case    string `json:"case"`
	OK      bool   `json:"ok"`
	Message string `json:"message,omitempty"`
}

func showCases(results []caseResult, problems []nagare.Problem, format string, out io.Writer) error {
	l := listing{columns: []string{"ok", "subject", "case", "message"}}
	failed := 0
	for _, r := range results {
		mark := "ok"
		if !r.OK {
			failed++
			mark = "FAILED"
		}
		l.add(r, mark, r.Subject, r.Case, r.Message)
	}
	bad := slices.DeleteFunc(slices.Clone(problems), func(p nagare.Problem) bool { return p.Warning })
	if format == "table" {
		for _, r := range results {
			if !r.OK {
				fmt.Fprintf(out, "FAILED %s: %s (%s:%d)\n  %s\n", r.Subject, r.Case, r.File, r.Line, r.Message)
			}
		}
		for _, p := range bad {
			fmt.Fprintln(out, p)
		}
		if _, err := fmt.Fprintf(out, "%d passed, %d failed\n", len(results)-failed, failed); err != nil {
			return err
		}
	} else if err := l.print(out, format); err != nil {
		return err
	}
	if failed+len(bad) > 0 {
		return &Found{fmt.Sprintf("%d failed", failed+len(bad))}
	}
	return nil
}

// RulesTest runs the cases of rules.
func RulesTest(_ context.Context, o Options, paths []string, format string, out io.Writer) error {
	c, err := loadCore(o, selection{rules: paths})
	if err != nil {
		return err
	}
	var results []caseResult
	for _, r := range c.rules.Test(c.normalizer()) {
		results = append(results, caseResult{r.File, r.Line, r.Rule, r.Case, r.OK, r.Message})
	}
	return showCases(results, c.problems, format, out)
}

// RulesList lists rules.
func RulesList(_ context.Context, o Options, paths []string, format string, out io.Writer) error {
	c, err := loadCore(o, selection{rules: paths})
	if err != nil {
		return err
	}
	if err := problemsError("some rules do not load", c.ofFiles(c.ruleFiles)); err != nil {
		return err
	}
	l := listing{columns: []string{"id", "severity", "mode", "class", "title"}}
	for _, r := range c.rules.All() {
		severity, mode, class := r.Severity, "live", strings.Join(r.Classes, ",")
		if severity == "" {
			severity = "computed"
		}
		if r.Shadow {
			mode = "shadow"
		}
		if !r.Enabled {
			mode = "off"
		}
		if class == "" {
			class = "any"
		}
		l.add(map[string]any{"id": r.ID, "severity": severity, "mode": mode, "class": class, "title": r.Title, "file": r.File},
			r.ID, severity, mode, class, r.Title)
	}
	return l.print(out, format)
}

// counted is a number of things.
func counted(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// MappingsTest runs the cases of mappings. With update it writes their golden
// files anew: the difference is what a person reviews.
func MappingsTest(_ context.Context, o Options, paths []string, update bool, format string, out io.Writer) error {
	if update && len(paths) == 0 {
		return usagef("--update writes the golden files of mappings that you name")
	}
	c, err := loadCore(o, selection{mappings: paths, onlyMappings: true})
	if err != nil {
		return err
	}
	if update && !mapping.Failed(c.problems) {
		for _, source := range c.mappings.Sources() {
			m, _ := c.mappings.Source(source)
			for _, r := range c.mappings.Test(caseFiles{named: len(paths) > 0}, source) {
				if len(r.Got) == 0 {
					continue
				}
				name := filepath.Join(filepath.Dir(filepath.FromSlash(m.File)), filepath.FromSlash(r.Case.Golden))
				if err := os.WriteFile(name, r.Got, 0o644); err != nil {
					return fmt.Errorf("write the golden file of a case: %w", err)
				}
			}
		}
	}
	var results []caseResult
	for _, source := range c.mappings.Sources() {
		m, _ := c.mappings.Source(source)
		for _, r := range c.mappings.Test(caseFiles{named: len(paths) > 0}, source) {
			results = append(results, caseResult{m.File, r.Case.Line, source, r.Case.File, len(r.Failures) == 0, strings.Join(r.Failures, "; ")})
		}
	}
	return showCases(results, c.problems, format, out)
}

// MappingsList lists sources.
func MappingsList(_ context.Context, o Options, paths []string, format string, out io.Writer) error {
	c, err := loadCore(o, selection{mappings: paths, onlyMappings: true})
	if err != nil {
		return err
	}
	l := listing{columns: []string{"source", "classes", "entries", "cases", "file"}}
	for _, source := range c.mappings.Sources() {
		m, _ := c.mappings.Source(source)
		var classes []string
		entries := 0
		for _, cov := range c.mappings.Coverage(source) {
			classes = append(classes, cov.Class)
			entries += len(cov.Entries)
		}
		l.add(map[string]any{"source": source, "file": m.File, "classes": classes, "entries": entries, "cases": len(m.Cases)},
			source, strings.Join(classes, ","), fmt.Sprint(entries), fmt.Sprint(len(m.Cases)), m.File)
	}
	return l.print(out, format)
}

// coveredRow is one attribute that a source can, or cannot, fill.
type coveredRow struct {
	Source      string `json:"source"`
	Class       string `json:"class"`
	Attribute   string `json:"attribute"`
	Requirement string `json:"requirement"`
	Filled      bool   `json:"filled"`
	By          string `json:"by"`
	Lines       []int  `json:"lines"`
}

// MappingsCoverage says which attributes of each class sources can ever fill.
// names are sources; what is none is a file or folder.
func MappingsCoverage(_ context.Context, o Options, names []string, format string, out io.Writer) error {
	all, err := loadCore(o, selection{onlyMappings: true})
	if err != nil {
		return err
	}
	var sources, paths []string
	for _, n := range names {
		if _, ok := all.mappings.Source(n); ok {
			sources = append(sources, n)
		} else if strings.ContainsAny(n, "./\\") {
			paths = append(paths, n)
		} else {
			return unknownSource(all, n)
		}
	}
	c := all
	if len(paths) > 0 {
		if c, err = loadCore(o, selection{mappings: paths, onlyMappings: true}); err != nil {
			return err
		}
		if err := problemsError("some mappings do not load", c.ofFiles(c.mappingFiles)); err != nil {
			return err
		}
		sources = append(sources, c.mappings.Sources()...)
	} else if len(sources) == 0 {
		sources = all.mappings.Sources()
	}
	l := listing{columns: []string{"source", "class", "attribute", "requirement", "", "filled by"}}
	sums := listing{columns: []string{"source", "class", "entries", "required", "recommended", "optional"}}
	for _, source := range sources {
		set := c.mappings
		if _, ok := set.Source(source); !ok {
			set = all.mappings
		}
		for _, cov := range set.Coverage(source) {
			filled, of := map[string]int{}, map[string]int{}
			for _, a := range cov.Attributes {
				of[a.Requirement]++
				if a.Filled() {
					filled[a.Requirement]++
				}
				row := coveredRow{source, cov.Class, a.Attribute, a.Requirement, a.Filled(), "mapping", a.Lines}
				mark, shown := "", "line "+joinInts(a.Lines)
				switch {
				case !a.Filled():
					row.By, shown = "", "never"
				case len(a.Lines) == 0:
					row.By, shown = "nagare", "nagare"
				}
				if a.Missed() {
					mark = "!"
				}
				if row.Lines == nil {
					row.Lines = []int{}
				}
				l.add(row, source, cov.Class, a.Attribute, a.Requirement, mark, shown)
			}
			share := func(r string) string { return fmt.Sprintf("%d of %d", filled[r], of[r]) }
			sums.add(nil, source, cov.Class, joinInts(cov.Entries), share("required"), share("recommended"), share("optional"))
		}
	}
	if err := l.print(out, format); err != nil || format != "table" {
		return err
	}
	fmt.Fprintln(out)
	return sums.print(out, format)
}

func joinInts(ns []int) string {
	var parts []string
	for _, n := range ns {
		parts = append(parts, fmt.Sprint(n))
	}
	return strings.Join(parts, ", ")
}

// caseFiles opens the files of cases by the names that mappings have: those
// beside the files that a person named, else the embedded ones.
type caseFiles struct{ named bool }

// Open implements fs.FS.
func (c caseFiles) Open(name string) (fs.File, error) {
	if c.named {
		return os.Open(filepath.FromSlash(name))
	}
	if inside, ok := strings.CutPrefix(name, "ocsf/mappings/"); ok {
		if f, err := mappings.FS.Open(inside); err == nil || !errors.Is(err, fs.ErrNotExist) {
			return f, err
		}
	}
	return os.Open(filepath.FromSlash(name))
}
