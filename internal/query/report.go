package query

import (
	"bytes"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v4"
)

//go:embed reports/*.sql
var reportFiles embed.FS

// A Report is a prepared question: SQL behind a head in YAML.
//
// The SQL may use $NAME for each parameter and $now, the time of the question
// in milliseconds since 1970, and besides the views of the classes the view
// user_activity.
type Report struct {
	Name        string           `yaml:"-"`
	Title       string           `yaml:"title"`
	Description string           `yaml:"description"`
	Params      map[string]Param `yaml:"params"`
	// Engines can run the SQL; none named is any.
	Engines []string `yaml:"engines"`
	// Evidence are the views whose time range the answer rests on.
	Evidence []string `yaml:"evidence"`
	SQL      string   `yaml:"-"`
}

// A Param is a parameter of a report.
type Param struct {
	// Type is integer or text.
	Type        string `yaml:"type"`
	Default     string `yaml:"default"`
	Description string `yaml:"description"`
}

// engine is the name of ours in Report.Engines.
const engine = "duckdb"

// Reports returns the built-in reports, by name.
func Reports() ([]*Report, error) {
	entries, err := fs.ReadDir(reportFiles, "reports")
	if err != nil {
		return nil, err
	}
	var out []*Report
	for _, e := range entries {
		r, err := builtIn(strings.TrimSuffix(e.Name(), ".sql"))
		if err != nil {
			return nil, err
		}
		out = append(out, r)
	}
	return out, nil
}

func builtIn(name string) (*Report, error) {
	data, err := reportFiles.ReadFile(path.Join("reports", name+".sql"))
	if err != nil {
		return nil, err
	}
	return ParseReport(name, data)
}

// later are keys of the design that this version does not have.
var later = []string{"schedule", "chart", "alert"}

// placeholder is a parameter in SQL.
var placeholder = regexp.MustCompile(`\$([A-Za-z_][A-Za-z0-9_]*)`)

// ParseReport reads a report: a head between two lines of ---, then SQL. Its
// errors name lines of the file.
func ParseReport(name string, data []byte) (*Report, error) {
	fail := func(format string, args ...any) (*Report, error) {
		return nil, fmt.Errorf("report %s: %w", name, fmt.Errorf(format, args...))
	}
	data = bytes.ReplaceAll(data, []byte("\r\n"), []byte("\n"))
	rest, ok := bytes.CutPrefix(data, []byte("---\n"))
	if !ok {
		return fail("line 1: the first line must be ---, the head follows")
	}
	head, sql, ok := bytes.Cut(rest, []byte("\n---\n"))
	if !ok {
		return fail("a line --- must end the head")
	}
	// The head begins on line 2 of the file; an empty line makes yaml count so.
	head = append([]byte("\n"), head...)
	var keys map[string]any
	if yaml.Load(head, &keys) == nil {
		for _, key := range later {
			if _, ok := keys[key]; ok {
				return fail("line %d: %s is not in this version", lineOf(head, key), key)
			}
		}
	}
	r := &Report{Name: name, SQL: strings.TrimSpace(string(sql))}
	if err := yaml.Load(head, r, yaml.WithKnownFields()); err != nil {
		return fail("%w", err)
	}
	if r.Title == "" || r.SQL == "" {
		return fail("it needs a title and SQL")
	}
	used := map[string]bool{}
	for _, m := range placeholder.FindAllStringSubmatch(r.SQL, -1) {
		used[m[1]] = true
	}
	for _, p := range slices.Sorted(maps.Keys(r.Params)) {
		d := r.Params[p]
		switch {
		case p == "now":
			return fail("line %d: now is the time of the question: name the parameter otherwise", lineOf(head, p))
		case d.Type != "integer" && d.Type != "text":
			return fail("line %d: parameter %s has the type %q: use integer or text", lineOf(head, p), p, d.Type)
		case !used[p]:
			return fail("line %d: the SQL does not use $%s", lineOf(head, p), p)
		}
		if _, err := d.value(p, d.Default); err != nil {
			return fail("line %d: default: %w", lineOf(head, p), err)
		}
	}
	for _, p := range slices.Sorted(maps.Keys(used)) {
		if _, ok := r.Params[p]; !ok && p != "now" {
			return fail("the SQL uses $%s, which is no parameter", p)
		}
	}
	return r, nil
}

// lineOf is the line on which a key stands, or 1.
func lineOf(head []byte, key string) int {
	for i, line := range bytes.Split(head, []byte("\n")) {
		if bytes.HasPrefix(bytes.TrimSpace(line), []byte(key+":")) {
			return i + 1
		}
	}
	return 1
}

// maxInteger bounds an integer parameter: a hundred years of days.
const maxInteger = 36500

func (p Param) value(name, text string) (any, error) {
	if p.Type != "integer" {
		if len(text) > 1000 {
			return nil, fmt.Errorf("%s has %d bytes; 1000 are the limit", name, len(text))
		}
		return text, nil
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n < 0 || n > maxInteger {
		return nil, fmt.Errorf("%s=%q: want a whole number from 0 to %d", name, text, maxInteger)
	}
	return n, nil
}

// ErrParam is behind errors in a report's parameters.
var ErrParam = errors.New("wrong parameter")

// values are the values of all parameters.
func (r *Report) values(params map[string]string) (map[string]any, error) {
	values := map[string]any{}
	for name, p := range r.Params {
		values[name], _ = p.value(name, p.Default) // checked by ParseReport
	}
	for _, name := range slices.Sorted(maps.Keys(params)) {
		p, ok := r.Params[name]
		if !ok {
			return nil, fmt.Errorf("%w: report %s has no %q; it has %s", ErrParam, r.Name, name, strings.Join(slices.Sorted(maps.Keys(r.Params)), ", "))
		}
		v, err := p.value(name, params[name])
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ErrParam, err)
		}
		values[name] = v
	}
	return values, nil
}
