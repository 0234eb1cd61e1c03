package query

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
)

// Run asks the report's question.
func (r *Report) Run(ctx context.Context, db *DB, params map[string]string) (Result, error) {
	return r.runAt(ctx, db, params, time.Now())
}

// runAt is Run at a given time.
func (r *Report) runAt(ctx context.Context, db *DB, params map[string]string, now time.Time) (Result, error) {
	if len(r.Engines) > 0 && !slices.Contains(r.Engines, engine) {
		return nil, fmt.Errorf("report %s runs on %s, not on %s", r.Name, strings.Join(r.Engines, ", "), engine)
	}
	values, err := r.values(params)
	if err != nil {
		return nil, err
	}
	values["now"] = now.UnixMilli()
	var args []any
	bound := map[string]bool{}
	for _, m := range placeholder.FindAllStringSubmatch(r.SQL, -1) {
		if name := m[1]; !bound[name] {
			bound[name] = true
			args = append(args, sql.Named(name, values[name]))
		}
	}
	return db.Query(ctx, r.SQL, args...)
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
		parts = append(parts, `SELECT "time" FROM "`+strings.ReplaceAll(v, `"`, `""`)+`"`)
	}
	res, err := db.Query(ctx, `SELECT count(*), min("time"), max("time") FROM (`+strings.Join(parts, " UNION ALL ")+")")
	if err != nil {
		return c, err
	}
	row, err := res.Next()
	if err == nil {
		c.Events, _ = row[0].(int64)
		if first, ok := row[1].(int64); ok {
			c.First = time.UnixMilli(first).UTC()
		}
		if last, ok := row[2].(int64); ok {
			c.Last = time.UnixMilli(last).UTC()
		}
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
