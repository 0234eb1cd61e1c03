package lake

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"nagare/internal/blob"
	"nagare/internal/coord"
)

// dedupe returns the rows without those that are in the batch before, or in a
// commit whose records arrived within the window. Matches are exact: nothing
// is dropped on a guess.
func (s *stager) dedupe() ([]Row, error) {
	rows := s.b.Rows
	order := byID(rows)
	repeat := make([]bool, len(rows))
	unique := order[:0]
	for i, at := range order {
		if i > 0 && rows[at].ID == rows[unique[len(unique)-1]].ID {
			repeat[at] = true
			continue
		}
		unique = append(unique, at)
	}
	if err := s.c.recent.join(s.ctx, s.m.First, rows, unique, repeat); err != nil {
		return nil, err
	}
	kept := make([]Row, 0, len(rows))
	for i := range rows {
		if !repeat[i] {
			kept = append(kept, rows[i])
		}
	}
	s.m.Counts.Repeats = int64(len(rows) - len(kept))
	return kept, nil
}

// recent knows the commits of a shard, and of its parents, whose ids matter.
// The ids themselves are in the stage; some are kept in memory, as they are
// there: sorted, 16 bytes each.
type recent struct {
	cfg     *Config
	loaded  bool
	head    []Ref // the last commit, or those of the parents
	commits []pastCommit
	cached  int64
}

type pastCommit struct {
	ref  Ref
	last time.Time
	ids  IDs
	data []byte // nil if not cached
}

// maxPast bounds how many manifests are read when a shard is opened.
const maxPast = 20_000

func newRecent(cfg *Config) *recent { return &recent{cfg: cfg} }

// heads are the commits that the next one follows.
func (r *recent) heads() []Ref { return r.head }

// load sees that recent belongs to the ledger row: it walks from manifest to
// manifest, back until the records had arrived before the window.
func (r *recent) load(ctx context.Context, it *Item) error {
	if r.loaded && (it.N == 0 || len(r.head) == 1 && r.head[0].Manifest == it.Manifest) {
		return nil
	}
	r.loaded, r.commits, r.cached = false, nil, 0
	head := []Ref{{Shard: r.cfg.Shard, N: it.N, Manifest: it.Manifest}}
	if it.N == 0 {
		var err error
		if head, err = r.parents(ctx); err != nil {
			return err
		}
	}
	var newest time.Time
	seen := map[string]bool{}
	for todo := head; len(todo) > 0 && len(seen) < maxPast; {
		ref := todo[0]
		todo = todo[1:]
		if seen[ref.Manifest] {
			continue
		}
		seen[ref.Manifest] = true
		m, err := ReadManifest(ctx, r.cfg.Stage, ref.Manifest)
		if errors.Is(err, blob.ErrNotFound) {
			r.missing(ref, err)
			continue
		}
		if err != nil {
			return err
		}
		if m.Last.After(newest) {
			newest = m.Last
		}
		// A commit without events, as the one that closes a quiet shard often
		// is, says nothing of when what is before it arrived.
		if !m.Last.IsZero() && m.Last.Before(newest.Add(-r.cfg.Window)) {
			continue // and what is before it arrived earlier
		}
		if m.IDs.Count > 0 {
			r.commits = append(r.commits, pastCommit{ref: ref, last: m.Last, ids: m.IDs})
		}
		todo = append(todo, m.Previous...)
	}
	r.head, r.loaded = head, true
	return nil
}

// parents are the last commits of the shards that this one was made of. Those
// that this application never read, or that are gone for good, have none.
func (r *recent) parents(ctx context.Context) ([]Ref, error) {
	var refs []Ref
	for _, p := range r.cfg.Parents {
		it, _, err := ReadItem(ctx, r.cfg.Coord, r.cfg.App, r.cfg.Stream, p)
		switch {
		case errors.Is(err, coord.ErrNotFound):
			continue
		case err != nil:
			return nil, err
		case !it.Closed || it.State != Published:
			return nil, fmt.Errorf("lake: shard %s waits for its parent %s", r.cfg.Shard, p)
		case it.N > 0:
			refs = append(refs, Ref{Shard: p, N: it.N, Manifest: it.Manifest})
		}
	}
	return refs, nil
}

// add notes a commit that was just published.
func (r *recent) add(m *Manifest) {
	if !r.loaded {
		return
	}
	if !slices.Equal(r.head, m.Previous) {
		r.loaded = false // others have committed in between: walk again
		return
	}
	ref := Ref{Shard: m.Shard, N: m.N, Manifest: manifestKey(m)}
	r.head = []Ref{ref}
	if m.IDs.Count > 0 {
		r.commits = append(r.commits, pastCommit{ref: ref, last: m.Last, ids: m.IDs})
	}
}

func (r *recent) missing(ref Ref, err error) {
	r.cfg.Stats.MissingIDs.Add(1)
	r.cfg.Log.Error("repeats cannot be found: ids of a commit are gone", "shard", ref.Shard, "n", ref.N, "err", err)
}

// join marks the rows that are in a recent commit. order has their indexes by
// ID; first is when the batch began to arrive.
func (r *recent) join(ctx context.Context, first time.Time, rows []Row, order []int32, repeat []bool) error {
	kept := r.commits[:0]
	for _, p := range r.commits {
		if p.last.Before(first.Add(-r.cfg.Window)) {
			r.cached -= int64(len(p.data))
			continue
		}
		kept = append(kept, p)
	}
	clear(r.commits[len(kept):])
	r.commits = kept
	if len(order) == 0 {
		return nil
	}
	for i := range r.commits {
		p := &r.commits[i]
		if err := r.joinOne(ctx, p, rows, order, repeat); errors.Is(err, blob.ErrNotFound) {
			r.missing(p.ref, err)
		} else if err != nil {
			return fmt.Errorf("lake: ids of commit %d of %s: %w", p.ref.N, p.ref.Shard, err)
		}
	}
	return nil
}

// joinOne is a merge of two sorted lists.
func (r *recent) joinOne(ctx context.Context, p *pastCommit, rows []Row, order []int32, repeat []bool) error {
	var from io.Reader = bytes.NewReader(p.data)
	var keep *bytes.Buffer
	if p.data == nil {
		f, err := r.cfg.Stage.Get(ctx, p.ids.Key)
		if err != nil {
			return err
		}
		defer f.Close()
		from = bufio.NewReaderSize(io.LimitReader(f, p.ids.Size), 64<<10)
		if r.cached+p.ids.Size <= r.cfg.CacheBytes {
			keep = bytes.NewBuffer(make([]byte, 0, p.ids.Size))
			from = io.TeeReader(from, keep)
		}
	}
	var id ID
	at := 0
	for n := int64(0); n < p.ids.Count; n++ {
		if _, err := io.ReadFull(from, id[:]); err != nil {
			return err
		}
		for at < len(order) && bytes.Compare(rows[order[at]].ID[:], id[:]) < 0 {
			at++
		}
		if at == len(order) && keep == nil {
			break // with keep, read on: all of it is wanted
		}
		if at < len(order) && rows[order[at]].ID == id {
			repeat[order[at]] = true
		}
	}
	if keep != nil {
		p.data = keep.Bytes()
		r.cached += int64(len(p.data))
	}
	return nil
}
