package lake

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"nagare/internal/blob"
	"nagare/internal/coord"
	"nagare/internal/frame"
)

// EventID is the ID of an event with a uid.
func EventID(source, uid string) ID { return frame.HashKey(source, uid) }

// A Landing asks what became of events, by the commits of an application.
type Landing struct {
	// App and Streams name the ledgers to go by; the streams by name and
	// creation time.
	App     string
	Streams []string
	Coord   coord.Store
	Stage   blob.Store
	// Since leaves out commits whose last record arrived before.
	Since time.Time
}

// Landed returns those of ids that are rows of the lake, by the lists of ids
// that each commit left in the stage. missing counts the commits whose list is
// gone: of these nothing can be said.
func (l *Landing) Landed(ctx context.Context, ids map[ID]bool) (landed map[ID]bool, missing int, err error) {
	landed = map[ID]bool{}
	gone, err := l.walk(ctx, func(m *Manifest) error {
		if m.IDs.Count == 0 {
			return nil
		}
		err := l.look(ctx, m, ids, landed)
		if errors.Is(err, blob.ErrNotFound) {
			missing++
			return nil
		}
		if err != nil {
			return fmt.Errorf("lake: ids of commit %d of %s: %w", m.N, m.Shard, err)
		}
		return nil
	})
	return landed, missing + gone, err
}

// A Total is what all commits together hold.
type Total struct {
	Counts
	Commits, Files, Bytes int64
}

// Total adds up the commits.
func (l *Landing) Total(ctx context.Context) (t Total, missing int, err error) {
	missing, err = l.walk(ctx, func(m *Manifest) error {
		t.Commits++
		t.Events += m.Counts.Events
		t.Rows += m.Counts.Rows
		t.Dead += m.Counts.Dead
		t.Repeats += m.Counts.Repeats
		t.Cut += m.Counts.Cut
		for _, e := range m.Entries {
			if e.Store == inLake {
				t.Files++
				t.Bytes += e.Size
			}
		}
		return nil
	})
	return t, missing, err
}

// walk visits the commits from the ledgers on back, each once.
func (l *Landing) walk(ctx context.Context, visit func(*Manifest) error) (missing int, err error) {
	seen := map[string]bool{}
	for _, stream := range l.Streams {
		rows, err := coord.All(ctx, l.Coord, LedgerPart(l.App, stream))
		if err != nil {
			return missing, fmt.Errorf("lake: ledger of %s: %w", stream, err)
		}
		for _, r := range rows {
			it, _, err := ReadItem(ctx, l.Coord, l.App, stream, r.Sort)
			if err != nil {
				return missing, fmt.Errorf("lake: ledger of %s: %w", r.Sort, err)
			}
			for todo := []string{it.Manifest}; len(todo) > 0; {
				key := todo[len(todo)-1]
				todo = todo[:len(todo)-1]
				if key == "" || seen[key] {
					continue
				}
				seen[key] = true
				m, err := ReadManifest(ctx, l.Stage, key)
				if errors.Is(err, blob.ErrNotFound) {
					missing++
					continue
				}
				if err != nil {
					return missing, err
				}
				if !m.Last.IsZero() && m.Last.Before(l.Since) {
					continue // and what is before it arrived earlier
				}
				for _, p := range m.Previous {
					todo = append(todo, p.Manifest)
				}
				if err := visit(m); err != nil {
					return missing, err
				}
			}
		}
	}
	return missing, nil
}

func (l *Landing) look(ctx context.Context, m *Manifest, ids, landed map[ID]bool) error {
	f, err := l.Stage.Get(ctx, m.IDs.Key)
	if err != nil {
		return err
	}
	defer f.Close()
	r := bufio.NewReaderSize(io.LimitReader(f, m.IDs.Size), 64<<10)
	var id ID
	for range m.IDs.Count {
		if _, err := io.ReadFull(r, id[:]); err != nil {
			return err
		}
		if ids[id] {
			landed[id] = true
		}
	}
	return ctx.Err()
}
