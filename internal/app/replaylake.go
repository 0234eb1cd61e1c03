package app

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"nagare"
	"nagare/consumers"
	"nagare/consumers/compact"
	"nagare/internal/blob"
	"nagare/internal/lake"
	"nagare/ocsf"
	"nagare/ocsf/mapping"
)

// checkInto refuses folders that a replay must not fill, by their place. What
// is in them is looked at later.
func (c *core) checkInto(o Options, into string) (string, error) {
	into, err := filepath.Abs(into)
	if err != nil {
		return "", usagef("--into: %w", err)
	}
	for what, dir := range map[string]string{
		"the lake of this pipeline": o.lakeDir(c.config.Lake.Dir), "its stage": filepath.Join(o.Data, "stage"),
		"its archive": filepath.Join(o.Data, "archive"), "its streams": filepath.Join(o.Data, "kinesis"),
		"a folder for large events": filepath.Join(o.Data, "claims"), "its spool": filepath.Join(o.Data, "spool"),
		"its folder for what is being written": filepath.Join(o.Data, "tmp"), "its lake folder": filepath.Join(o.Data, "lake"),
		"the folder of its large events": c.config.Objects.Claims,
	} {
		if dir != "" && overlap(into, dir) {
			return "", usagef("--into %s: %s is %s: name an empty folder elsewhere", into, dir, what)
		}
	}
	return into, nil
}

// overlap says whether one folder is, or lies in, the other.
func overlap(a, b string) bool {
	real := func(p string) string {
		p, err := filepath.Abs(p)
		if err != nil {
			return p
		}
		// The longest part that exists may be reached by links.
		for rest := ""; ; {
			if r, err := filepath.EvalSymlinks(p); err == nil {
				return filepath.Join(r, rest)
			}
			up := filepath.Dir(p)
			if up == p {
				return filepath.Join(p, rest)
			}
			rest = filepath.Join(filepath.Base(p), rest)
			p = up
		}
	}
	a, b = real(a), real(b)
	in := func(a, b string) bool {
		rel, err := filepath.Rel(b, a)
		return err == nil && rel != ".." && !strings.HasPrefix(rel, ".."+string(filepath.Separator))
	}
	return in(a, b) || in(b, a)
}

// compactStage claims the lake that is to be filled and returns what fills it;
// in a dry run it returns what counts.
func (w *replay) compactStage(ctx context.Context) (func(consumers.Shard) (consumers.Stage, error), error) {
	schema, downgrade, err := w.core.lakeTarget()
	if err != nil {
		return nil, err
	}
	normalize := w.core.normalizer()
	if w.DryRun {
		return func(consumers.Shard) (consumers.Stage, error) {
			return &dryStage{counts: &w.dry, normalize: normalize, downgrade: downgrade}, nil
		}, nil
	}
	root, err := w.claim(ctx)
	if err != nil {
		return nil, err
	}
	return compact.New(compact.Config{
		Normalize: normalize, Downgrade: downgrade, Coord: w.store, Tables: lake.NewTables(schema), Stage: root, Lake: root, Archive: root,
		FromStart: true, Version: w.core.mappingVersion, TempDir: w.opts.tempDir(), Log: w.opts.Log,
	}), nil
}

// claim makes the folder the replay's own. Everything that the replay writes
// is in it: the lake, what is staged for it, its archive and dead letters.
func (w *replay) claim(ctx context.Context) (blob.Store, error) {
	root, err := blob.Dir(w.Into)
	if err != nil {
		return nil, usagef("--into: %w", err)
	}
	owner := lake.Owner{App: w.app(), ID: w.kept.ID}
	if w.kept.Owned {
		// It had been claimed: if it no longer says so, what was committed is
		// gone too, and the ledger would go on behind it.
		has, err := lake.OwnerOf(ctx, root)
		if err != nil {
			return nil, err
		}
		if has != owner {
			return nil, usagef("--into %s is not what replay %s has filled so far: put it back, or --restart with an empty folder", w.Into, w.kept.Name)
		}
	}
	err = lake.Own(ctx, root, owner, true)
	var other *lake.OwnerError
	if errors.As(err, &other) {
		return nil, errors.Join(usagef("--into %s: %w", w.Into, err), w.forget(ctx))
	}
	if err != nil {
		return nil, err
	}
	if err := claimLake(ctx, objects{lake: root}, w.core.config.Lake.OCSF); err != nil {
		return nil, err
	}
	if w.kept.Owned {
		return root, nil
	}
	w.kept.Owned = true
	return root, w.keep(ctx)
}

// lakeAnswer says what is in the lake that was made.
func (w *replay) lakeAnswer(ctx context.Context) error {
	root, err := blob.Dir(w.Into)
	if err != nil {
		return usagef("--into: %w", err)
	}
	ids, err := w.streamIDs(ctx)
	if err != nil {
		return err
	}
	sum, missing, err := (&lake.Landing{App: w.app(), Streams: ids, Coord: w.store, Stage: root}).Total(ctx)
	if err != nil {
		return err
	}
	if missing > 0 {
		return fmt.Errorf("%d commits of replay %s have no manifest in %s any more", missing, w.kept.Name, w.Into)
	}
	answer := struct {
		Name    string          `json:"name"`
		Into    string          `json:"into"`
		Events  int64           `json:"events"`
		Rows    int64           `json:"rows"`
		Dead    int64           `json:"dead"`
		Repeats int64           `json:"repeats"`
		Commits int64           `json:"commits"`
		Files   int64           `json:"files"`
		Bytes   int64           `json:"bytes"`
		Gaps    []consumers.Gap `json:"gaps,omitempty"`
	}{w.kept.Name, w.Into, sum.Events, sum.Rows, sum.Dead, sum.Repeats, sum.Commits, sum.Files, sum.Bytes, w.kept.Gaps}
	l := listing{columns: []string{"name", "into", "events", "rows", "dead", "repeats", "commits", "files", "bytes"}}
	n := func(v int64) string { return fmt.Sprint(v) }
	l.add(answer, w.kept.Name, w.Into, n(sum.Events), n(sum.Rows), n(sum.Dead), n(sum.Repeats), n(sum.Commits), n(sum.Files), n(sum.Bytes))
	return l.print(w.Out, w.Format)
}

// streamIDs are the streams, by name and creation time, that the replay has
// worked on.
func (w *replay) streamIDs(ctx context.Context) ([]string, error) {
	apps, err := consumers.Apps(ctx, w.store)
	if err != nil {
		return nil, err
	}
	var ids []string
	for _, a := range apps {
		if a.Name == w.app() {
			ids = append(ids, a.Stream)
		}
	}
	return ids, nil
}

// dryCounts is what a lake would hold.
type dryCounts struct {
	mu      sync.Mutex
	classes map[string]int64
	dead    map[lake.DeadKind]int64
}

// print lists the rows by class, then the dead letters by source and reason.
func (d *dryCounts) print(out io.Writer, format string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	type line struct {
		Class  string `json:"class,omitempty"`
		Dead   string `json:"dead,omitempty"`
		Source string `json:"source,omitempty"`
		Events int64  `json:"events"`
	}
	l := listing{columns: []string{"class", "dead", "source", "events"}}
	for _, c := range slices.Sorted(maps.Keys(d.classes)) {
		l.add(line{Class: c, Events: d.classes[c]}, c, "", "", fmt.Sprint(d.classes[c]))
	}
	kinds := slices.SortedFunc(maps.Keys(d.dead), func(a, b lake.DeadKind) int {
		return cmp.Or(cmp.Compare(a.Reason, b.Reason), cmp.Compare(a.Source, b.Source))
	})
	for _, k := range kinds {
		l.add(line{Dead: k.Reason, Source: k.Source, Events: d.dead[k]}, "", k.Reason, k.Source, fmt.Sprint(d.dead[k]))
	}
	return l.print(out, format)
}

// A dryStage normalizes events and counts. Repeats are counted too: what the
// lake leaves out, only its commits know.
type dryStage struct {
	counts      *dryCounts
	normalize   func(*nagare.Event, *ocsf.Event) error
	downgrade   *ocsf.Downgrade
	event, down ocsf.Event
}

// Open implements consumers.Stage.
func (s *dryStage) Open(context.Context, consumers.Shard) (nagare.Position, error) {
	return nagare.Position{}, nil
}

// Process implements consumers.Stage.
func (s *dryStage) Process(_ context.Context, events []nagare.Event) error {
	for i := range events {
		class, reason := s.one(&events[i])
		s.counts.mu.Lock()
		if s.counts.classes == nil {
			s.counts.classes, s.counts.dead = map[string]int64{}, map[lake.DeadKind]int64{}
		}
		if reason != "" {
			s.counts.dead[lake.DeadKind{Source: events[i].Source, Reason: reason}]++
		} else {
			s.counts.classes[class]++
		}
		s.counts.mu.Unlock()
	}
	return nil
}

func (s *dryStage) one(ev *nagare.Event) (class, reason string) {
	if ev.Reason != "" {
		return "", ev.Reason
	}
	err := s.normalize(ev, &s.event)
	var dead *mapping.Dead
	switch {
	case errors.As(err, &dead):
		return "", dead.Reason
	case err != nil:
		return "", "unmapped"
	case s.downgrade != nil && len(s.downgrade.Convert(&s.event, &s.down, nil)) > 0:
		return "", mapping.Invalid
	}
	return s.event.Class().Name, ""
}

// Flush implements consumers.Stage.
func (s *dryStage) Flush(context.Context, nagare.Position, bool) error { return nil }

// Drop implements consumers.Stage.
func (s *dryStage) Drop() {}
