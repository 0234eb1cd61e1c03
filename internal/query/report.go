package query

import (
	"bytes"
	"context"
	"embed"
	"errors"
	"fmt"
	"io"
	"maps"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v4"
)

//go:embed reports/*.sql
var reportFiles embed.FS

// A Report is a prepared question: SQL behind a head in YAML.
type Report struct {
	Name        string           `yaml:"-"`
	Title       string           `yaml:"title"`
	Description string           `yaml:"description"`
	Params      map[string]Param `yaml:"params"`
	// Evidence are the views whose time range the answer rests on.
	Evidence []string `yaml:"evidence"`
	SQL      string   `yaml:"-"`
}

// A Param is a parameter of a report, $name in its SQL.
type Param struct {
	// Type is integer or text.
	Type        string `yaml:"type"`
	Default     string `yaml:"default"`
	Description string `yaml:"description"`
}

// Reports returns the built-in reports, by name.
func Reports() ([]*Report, error) {
	entries, err := reportFiles.ReadDir("reports")
	if err != nil {
		return nil, err
	}
	var out []*Report
	for _, e := range entries {
		data, err := reportFiles.ReadFile(path.Join("reports", e.Name()))
		if err != nil {
			return nil, err
		}
		r, err := ParseReport(strings.TrimSuffix(e.Name(), ".sql"), data)
		if err != nil {
			return nil, err
		}
		out = append(out, r)
	}
	return out, nil
}

// ParseReport reads a report: a head between two lines of ---, then SQL.
func ParseReport(name string, data []byte) (*Report, error) {
	fail := func(format string, args ...any) (*Report, error) {
		return nil, fmt.Errorf("report %s: %w", name, fmt.Errorf(format, args...))
	}
	rest, ok := bytes.CutPrefix(data, []byte("---\n"))
	if !ok {
		return fail("the first line must be ---, the head follows")
	}
	head, sql, ok := bytes.Cut(rest, []byte("\n---\n"))
	if !ok {
		return fail("a line --- must end the head")
	}
	r := &Report{Name: name, SQL: strings.TrimSpace(string(sql))}
	if err := yaml.Load(head, r, yaml.WithKnownFields()); err != nil {
		return fail("head: %w", err)
	}
	if r.Title == "" || r.SQL == "" {
		return fail("it needs a title and SQL")
	}
	for p, d := range r.Params {
		if d.Type != "integer" && d.Type != "text" {
			return fail("parameter %s has the type %q: use integer or text", p, d.Type)
		}
		if !strings.Contains(r.SQL, "$"+p) {
			return fail("the SQL does not use $%s", p)
		}
		if _, err := d.value(p, d.Default); err != nil {
			return fail("default: %w", err)
		}
	}
	return r, nil
}

func (p Param) value(name, text string) (any, error) {
	if p.Type != "integer" {
		return text, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 0 || n > 36500 {
		return nil, fmt.Errorf("%s=%q: want a whole number from 0 to 36500", name, text)
	}
	return n, nil
}

// ErrParam is behind errors in a report's parameters.
var ErrParam = errors.New("wrong parameter")

// Run asks the report's question.
func (r *Report) Run(ctx context.Context, db *DB, params map[string]string) (Result, error) {
	values := map[string]any{}
	for name, p := range r.Params {
		v, _ := p.value(name, p.Default)
		values[name] = v
	}
	for name, text := range params {
		p, ok := r.Params[name]
		if !ok {
			return nil, fmt.Errorf("%w: report %s has no %q; it has %s", ErrParam, r.Name, name, strings.Join(slices.Sorted(maps.Keys(r.Params)), ", "))
		}
		v, err := p.value(name, text)
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ErrParam, err)
		}
		values[name] = v
	}
	return db.Query(ctx, r.SQL, namedArgs(values)...)
}

// A Coverage says what an answer rests on.
type Coverage struct {
	Events      int64
	First, Last time.Time
}

// Coverage looks at the time range of the report's evidence.
func (r *Report) Coverage(ctx context.Context, db *DB) (Coverage, error) {
	var c Coverage
	if len(r.Evidence) == 0 {
		return c, nil
	}
	var parts []string
	for _, v := range r.Evidence {
		parts = append(parts, fmt.Sprintf("SELECT time_dt FROM %q", v))
	}
	res, err := db.Query(ctx, "SELECT count(*), min(time_dt), max(time_dt) FROM ("+strings.Join(parts, " UNION ALL ")+")")
	if err != nil {
		return c, err
	}
	row, err := res.Next()
	if err == nil {
		c.Events, _ = row[0].(int64)
		c.First, _ = row[1].(time.Time)
		c.Last, _ = row[2].(time.Time)
	}
	if errors.Is(err, io.EOF) {
		err = nil
	}
	return c, errors.Join(err, res.Close())
}

// String is the line that stands below an answer.
func (c Coverage) String() string {
	if c.Events == 0 {
		return "evidence: none, the lake has no such events"
	}
	return fmt.Sprintf("evidence: %d events from %s to %s", c.Events, c.First.UTC().Format(time.RFC3339), c.Last.UTC().Format(time.RFC3339))
}
