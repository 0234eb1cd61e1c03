package app

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"nagare/consumers"
	"nagare/internal/blob"
	"nagare/internal/claim"
	"nagare/internal/coord"
	"nagare/internal/lake"
	"nagare/ocsf/mapping"
	"nagare/producers"
)

// DeadLettersFilter chooses dead letters; zero fields choose all.
type DeadLettersFilter struct {
	Source, Reason string
	// Since is a time or -DURATION.
	Since string
	// IDs are ids, or the beginnings of them.
	IDs   []string
	Limit int
	// Root is the folder of a replay's lake; "" is the pipeline's own.
	Root string
}

func (f *DeadLettersFilter) lake() (lake.DeadFilter, error) {
	d := lake.DeadFilter{Source: f.Source, Reason: f.Reason}
	if f.Since == "" {
		return d, nil
	}
	since, err := consumers.ParseEnd(f.Since, time.Now())
	if err != nil {
		return d, usagef("--since: %w", err)
	}
	d.Since = since
	return d, nil
}

// has says whether the ids choose a letter.
func (f *DeadLettersFilter) has(d *lake.DeadLetter) bool {
	if len(f.IDs) == 0 {
		return true
	}
	for _, id := range f.IDs {
		if id != "" && strings.HasPrefix(d.ID, id) {
			return true
		}
	}
	return false
}

// each calls do with the dead letters that are chosen, until it returns false.
// An object that cannot be read is said to be, and the others follow.
func (f *DeadLettersFilter) each(ctx context.Context, o Options, do func(*lake.DeadLetter) (bool, error)) error {
	filter, err := f.lake()
	if err != nil {
		return err
	}
	root := f.Root
	if root == "" {
		root = filepath.Join(o.Data, "archive")
		if err := o.needData(false); err != nil {
			return err
		}
		if _, err := os.Stat(root); errors.Is(err, fs.ErrNotExist) {
			return nil // nothing was ever committed
		}
	} else if _, err := os.Stat(root); err != nil {
		return usagef("--root: %w", err)
	}
	archive, err := blob.Dir(root)
	if err != nil {
		return usagef("%w", err)
	}
	damaged := 0
	for d, err := range lake.DeadLetters(ctx, archive, filter) {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil {
			damaged++
			o.Log.Error("dead letters not read", "err", err)
			continue
		}
		if !f.has(&d) {
			continue
		}
		if more, err := do(&d); err != nil || !more {
			return err
		}
	}
	if damaged > 0 {
		return fmt.Errorf("%d objects with dead letters could not be read", damaged)
	}
	return nil
}

// A deadLine is a dead letter in a list.
type deadLine struct {
	ID       string    `json:"id"`
	Source   string    `json:"source"`
	UID      string    `json:"uid"`
	Reason   string    `json:"reason"`
	Error    string    `json:"error"`
	Received time.Time `json:"received"`
	Shard    string    `json:"shard"`
	Seq      string    `json:"seq"`
	Mapping  string    `json:"mapping"`
	// Redriven is when it was put on the stream again.
	Redriven time.Time `json:"redriven,omitzero"`
}

// DeadLettersList lists published dead letters. They are files that never
// change, so it needs no lock.
func DeadLettersList(ctx context.Context, o Options, f DeadLettersFilter, format string, out io.Writer) error {
	marks, err := redriveMarks(ctx, o)
	if err != nil {
		return err
	}
	l := listing{columns: []string{"received", "source", "reason", "error", "mapping", "shard", "seq", "redriven", "id"}}
	err = f.each(ctx, o, func(d *lake.DeadLetter) (bool, error) {
		at := marks[markKey(d)].Done
		shown := "-"
		if !at.IsZero() {
			shown = at.UTC().Format(time.DateTime)
		}
		l.add(deadLine{d.ID, d.Source, d.UID, d.Reason, d.Error, d.Received, d.Shard, d.Seq, d.Mapping, at},
			d.Received.UTC().Format(time.DateTime), d.Source, d.Reason, d.Error, d.Mapping, d.Shard, d.Seq, shown, d.ID)
		return len(l.rows) != f.Limit, nil
	})
	if err == nil && len(l.rows) == 0 {
		if err := f.knownReason(ctx, o); err != nil {
			return err
		}
	}
	return errors.Join(l.print(out, format), err)
}

// knownReason refuses a reason that neither a letter has nor this version
// gives: it is a slip, and "none" would be taken for the answer.
func (f *DeadLettersFilter) knownReason(ctx context.Context, o Options) error {
	if f.Reason == "" || slices.Contains(deadReasons(), f.Reason) {
		return nil
	}
	all := *f
	all.Source, all.Reason, all.Since, all.IDs, all.Limit = "", "", "", nil, 0
	here := map[string]bool{}
	err := all.each(ctx, o, func(d *lake.DeadLetter) (bool, error) {
		here[d.Reason] = true
		return true, nil
	})
	if err != nil || here[f.Reason] {
		return err
	}
	known := slices.Sorted(slices.Values(deadReasons()))
	if len(here) == 0 {
		return usagef("--reason: no dead letter has reason %q, and there are none at all here; known are %s", f.Reason, strings.Join(known, ", "))
	}
	return usagef("--reason: no dead letter has reason %q; here there are %s; known are %s", f.Reason,
		strings.Join(slices.Sorted(maps.Keys(here)), ", "), strings.Join(known, ", "))
}

// deadReasons are the reasons that this version gives, with those of compact
// and of the lake, which name theirs for themselves.
func deadReasons() []string {
	return []string{
		producers.ReasonNotJSON, producers.ReasonNotObject, producers.ReasonTooDeep, producers.ReasonTooLarge, producers.ReasonBomb, producers.ReasonBadGzip,
		producers.ReasonBadZstd, producers.ReasonBadEncoding, producers.ReasonBadCharset, producers.ReasonBadRow, producers.ReasonBadMail, producers.ReasonBadForm,
		producers.ReasonEmpty, consumers.ReasonBadFrame, consumers.ReasonBadKPL, claim.ReasonMissing, claim.ReasonDamaged, claim.ReasonTooLarge, claim.ReasonBadRef,
		mapping.NotAnEvent, mapping.NoMapping, mapping.Invalid, mapping.TooCostly, "panic", "not-repeatable",
	}
}

// DeadLettersShow prints dead letters with their bodies.
func DeadLettersShow(ctx context.Context, o Options, f DeadLettersFilter, format string, out io.Writer) error {
	marks, err := redriveMarks(ctx, o)
	if err != nil {
		return err
	}
	found := 0
	err = f.each(ctx, o, func(d *lake.DeadLetter) (bool, error) {
		found++
		at := marks[markKey(d)].Done
		if format == "json" {
			enc := json.NewEncoder(out)
			enc.SetEscapeHTML(false)
			return true, enc.Encode(struct {
				*lake.DeadLetter
				Redriven time.Time `json:"redriven,omitzero"`
			}{d, at})
		}
		return true, showDead(out, d, at)
	})
	if err == nil && found == 0 {
		return usagef("no dead letter has an id that begins with %s; nagare deadletters list shows them", strings.Join(f.IDs, ", "))
	}
	return err
}

func showDead(out io.Writer, d *lake.DeadLetter, redriven time.Time) error {
	body, whole := d.Content()
	for _, line := range [][2]string{
		{"id", d.ID}, {"source", d.Source}, {"tenant", d.Tenant}, {"uid", d.UID}, {"reason", d.Reason}, {"error", d.Error}, {"mapping", d.Mapping},
		{"received", d.Received.UTC().Format(time.RFC3339)}, {"auth", d.Auth}, {"content type", d.ContentType},
		{"position", fmt.Sprintf("%s %s %s/%d", d.Stream, d.Shard, d.Seq, d.Index)},
	} {
		if line[1] == "" {
			continue
		}
		if _, err := fmt.Fprintf(out, "%-13s %s\n", line[0], printable(line[1])); err != nil {
			return err
		}
	}
	if !redriven.IsZero() {
		fmt.Fprintf(out, "%-13s %s\n", "redriven", redriven.UTC().Format(time.RFC3339))
	}
	size := fmt.Sprintf("%d bytes", d.Size)
	if !whole {
		size += fmt.Sprintf(", the first %d are kept here and all in the archive", len(body))
	}
	if len(d.Binary) > 0 {
		_, err := fmt.Fprintf(out, "%-13s %s\n%q\n", "body", size, body)
		return err
	}
	lines := strings.Split(string(body), "\n")
	for i := range lines {
		lines[i] = printable(lines[i])
	}
	_, err := fmt.Fprintf(out, "%-13s %s\n%s\n", "body", size, strings.Join(lines, "\n"))
	return err
}

// redriveMarks reads the marks, by the letters' keys.
func redriveMarks(ctx context.Context, o Options) (map[string]redriveMark, error) {
	c, err := coordConfig(o)
	if err != nil {
		return nil, err
	}
	if c.Kind == "sqlite" {
		if _, err := os.Stat(filepath.Join(o.Data, "coord.db")); err != nil {
			return nil, nil // nothing was ever marked
		}
	}
	store, err := openCoord(ctx, o, c)
	if err != nil {
		return nil, err
	}
	rows, err := coord.All(ctx, store, redrivePart)
	if err = errors.Join(err, store.Close()); err != nil {
		return nil, err
	}
	marks := map[string]redriveMark{}
	for _, r := range rows {
		var m redriveMark
		if err := json.Unmarshal(r.Value, &m); err != nil {
			return nil, fmt.Errorf("mark of dead letter %s: %w", r.Sort, err)
		}
		marks[r.Sort] = m
	}
	return marks, nil
}
