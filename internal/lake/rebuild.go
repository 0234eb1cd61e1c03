package lake

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"maps"
	"slices"

	"nagare/internal/blob"
	"nagare/internal/coord"
)

// A RebuildConfig names the application whose ledger is to be rebuilt, and its
// stores. All but Seen are needed.
type RebuildConfig struct {
	App                  string
	Coord                coord.Store
	Stage, Lake, Archive blob.Store
	// DryRun writes nothing.
	DryRun bool
	// Seen is told now and then how many objects were looked at.
	Seen func(objects int)
}

// A Rebuild writes the rows of a lost ledger again, from what commits leave:
// the manifests in the stage, and the names of the published objects.
//
// A manifest is staged before its commit is decided, so the last one of a
// shard may be of an attempt that lost, or that nobody decided. Which it is
// follows from the protocol:
//   - Whoever stages for commit n+1 has seen commit n decided and published,
//     and its manifest names it. So only the last number is in doubt.
//   - A published object of the last number means that it is decided, and only
//     the winner's bytes were ever put there: the winner is the attempt that
//     has all of them.
//   - Without one nothing of it can be seen, and whole attempts are equally
//     good: one is taken, so that records which the stream may not have any
//     more are not lost.
//
// No worker may run meanwhile: the caller sees to that. Rows are written one
// by one, each only if it is still as it was read, so a rebuild that was
// stopped is run again.
type Rebuild struct {
	cfg    RebuildConfig
	shards map[shardName]*remains
	seen   int
}

// A shardName is a shard by the short name of its stream, which is all that
// names of published objects have.
type shardName struct{ short, shard string }

// remains are what is left of the commits of one shard.
type remains struct {
	stream, shard string // stream is "" if only published objects are known
	// staged is the highest number in the stage, -1 for none; last the highest
	// with a manifest, and attempts those manifests.
	staged, last int64
	attempts     []string
	// births are the manifests of the first commit, which name the parents'.
	births []string
	// n is the highest number of a published object, and published those that
	// have it.
	n         int64
	published []publishedObject
}

type publishedObject struct{ store, key string }

// maxAttempts bounds the attempts for one commit that are looked at.
const maxAttempts = 10_000

// NewRebuild looks at the names of all objects.
func NewRebuild(ctx context.Context, cfg RebuildConfig) (*Rebuild, error) {
	if cfg.App == "" || cfg.Coord == nil || cfg.Stage == nil || cfg.Lake == nil || cfg.Archive == nil {
		return nil, errors.New("lake: rebuild: the application or a store is missing")
	}
	r := &Rebuild{cfg: cfg, shards: map[shardName]*remains{}}
	for e, err := range r.objects(ctx, cfg.Stage, "stage/"+cfg.App+"/") {
		if err != nil {
			return nil, err
		}
		_, stream, shard, n, name, ok := stageOf(e.Key)
		if !ok {
			continue
		}
		s := r.at(stream8(stream), shard)
		s.stream = stream
		if err := s.stage(e.Key, n, name == "manifest.json"); err != nil {
			return nil, err
		}
	}
	for e, err := range r.objects(ctx, cfg.Archive, archiveRoot) {
		if err != nil {
			return nil, err
		}
		if stream, shard, n, ok := archiveOf(e.Key); ok {
			s := r.at(stream8(stream), shard)
			s.stream = stream
			s.publish(inArchive, e.Key, n)
		}
	}
	for _, at := range []struct {
		name, prefix string
		store        blob.Store
	}{{inArchive, deadPrefix, cfg.Archive}, {inLake, "ext/", cfg.Lake}} {
		for e, err := range r.objects(ctx, at.store, at.prefix) {
			if err != nil {
				return nil, err
			}
			if short, shard, n, ok := publishedOf(e.Key); ok {
				r.at(short, shard).publish(at.name, e.Key, n)
			}
		}
	}
	return r, nil
}

// objects yields what a store has under a prefix.
func (r *Rebuild) objects(ctx context.Context, s blob.Store, prefix string) iter.Seq2[blob.Entry, error] {
	return func(yield func(blob.Entry, error) bool) {
		const page = 10_000 // as many as a store gives at once
		for after := ""; ; {
			found, err := s.List(ctx, prefix, after, page)
			if err != nil {
				yield(blob.Entry{}, fmt.Errorf("lake: rebuild: %w", err))
				return
			}
			for _, e := range found {
				if !yield(e, nil) {
					return
				}
			}
			r.seen += len(found)
			if r.cfg.Seen != nil {
				r.cfg.Seen(r.seen)
			}
			if len(found) < page {
				return
			}
			after = found[len(found)-1].Key
		}
	}
}

func (r *Rebuild) at(short, shard string) *remains {
	name := shardName{short, shard}
	s := r.shards[name]
	if s == nil {
		s = &remains{shard: shard, staged: -1, last: -1}
		r.shards[name] = s
	}
	return s
}

// stage notes a staged object.
func (s *remains) stage(key string, n int64, manifest bool) error {
	s.staged = max(s.staged, n)
	if !manifest {
		return nil
	}
	if n == 0 {
		s.births = append(s.births, key)
	}
	if n > s.last {
		s.last, s.attempts = n, nil
	}
	if n == s.last {
		s.attempts = append(s.attempts, key)
	}
	if len(s.attempts) > maxAttempts || len(s.births) > maxAttempts {
		return fmt.Errorf("lake: rebuild: more than %d attempts for one commit of %s", maxAttempts, s.shard)
	}
	return nil
}

// publish notes a published object.
func (s *remains) publish(store, key string, n int64) {
	if n > s.n {
		s.n, s.published = n, nil
	}
	if n == s.n {
		s.published = append(s.published, publishedObject{store, key})
	}
}

// Streams are the streams that the application has objects of, by name and
// creation time.
func (r *Rebuild) Streams() []string {
	all := map[string]bool{}
	for _, s := range r.shards {
		if s.stream != "" {
			all[s.stream] = true
		}
	}
	return slices.Sorted(maps.Keys(all))
}

// The outcomes of a shard.
const (
	Restored = "restored" // there was no row, and there is one now
	Advanced = "advanced" // the row was behind the objects, and is not now
	Kept     = "kept"     // the row agrees with the objects
	Refused  = "refused"  // the objects do not say what the row should be
)

// A Rebuilt is what became of the row of one shard.
type Rebuilt struct {
	// Stream is name and creation time; where only objects of the lake are
	// left, it is the short name that those have.
	Stream, Shard string
	Outcome       string
	// Item is the row as it is now, or would be; of a refused shard it is the
	// row that there is, if any.
	Item Item
	// Note says what a person should know. Of a refused shard it says why.
	Note string
}

// Run writes the rows that are missing or behind, shard by shard, and calls
// each for all. It goes on after a shard that is refused, and ends at an error
// of a store.
func (r *Rebuild) Run(ctx context.Context, each func(Rebuilt) error) error {
	named, err := r.parents(ctx)
	if err != nil {
		return err
	}
	names := slices.SortedFunc(maps.Keys(r.shards), func(a, b shardName) int { return cmpNames(r.shards[a], r.shards[b]) })
	for _, name := range names {
		s := r.shards[name]
		if s.stream == "" {
			s.stream = name.short
		}
		out, err := r.shard(ctx, s, named)
		if err != nil {
			return fmt.Errorf("lake: rebuild: ledger of %s: %w", s.shard, err)
		}
		if err := each(out); err != nil {
			return err
		}
	}
	return nil
}

func cmpNames(a, b *remains) int {
	return slices.Compare([]string{a.stream, a.shard}, []string{b.stream, b.shard})
}

// parents are the manifests that first commits name as those before them: the
// last commits of closed shards.
func (r *Rebuild) parents(ctx context.Context) (map[string]bool, error) {
	named := map[string]bool{}
	for _, s := range r.shards {
		for _, key := range s.births {
			m, err := ReadManifest(ctx, r.cfg.Stage, key)
			if errors.Is(err, errManifest) {
				continue // its own shard says so
			}
			if err != nil {
				return nil, err
			}
			for _, ref := range m.Previous {
				named[ref.Manifest] = true
			}
		}
	}
	return named, nil
}

// shard decides what the row of a shard should be, and writes it.
func (r *Rebuild) shard(ctx context.Context, s *remains, named map[string]bool) (Rebuilt, error) {
	out := Rebuilt{Stream: s.stream, Shard: s.shard}
	row, version, err := ReadItem(ctx, r.cfg.Coord, r.cfg.App, s.stream, s.shard)
	there := err == nil
	if err != nil && !errors.Is(err, coord.ErrNotFound) {
		return out, err
	}
	if there {
		out.Item = row
	}
	found, err := r.decide(ctx, s, named)
	var no *refusal
	switch {
	case errors.As(err, &no) && there && row.N >= max(s.n, s.staged):
		out.Outcome, out.Note = Kept, no.why // no row is missing here
		return out, nil
	case errors.As(err, &no):
		out.Outcome, out.Note = Refused, no.why
		return out, nil
	case err != nil:
		return out, err
	}
	if there && row.N >= found.proven {
		out.Outcome = Kept
		if row.N == found.item.N && !found.possible[row.Attempt] {
			out.Outcome = Refused
			out.Note = fmt.Sprintf("the row says that attempt %s made commit %d, and the objects are not that attempt's", row.Attempt, row.N)
		}
		return out, nil
	}
	out.Item, out.Outcome, out.Note = found.item, Restored, found.note
	if there {
		out.Outcome = Advanced
		out.Note = join(out.Note, fmt.Sprintf("the row was at commit %d", row.N))
	}
	if r.cfg.DryRun {
		return out, nil
	}
	return out, r.write(ctx, s, found.item, version)
}

// write puts a row in place of the one that was read. An error may hide that
// it was written, so it is answered by reading the row.
func (r *Rebuild) write(ctx context.Context, s *remains, it Item, version int64) (err error) {
	for range sends {
		if _, err = coord.PutJSON(ctx, r.cfg.Coord, LedgerPart(r.cfg.App, s.stream), s.shard, it, version); err == nil {
			return nil
		}
		now, v, e := ReadItem(ctx, r.cfg.Coord, r.cfg.App, s.stream, s.shard)
		switch {
		case errors.Is(e, coord.ErrNotFound) && version == 0:
			continue // not applied: the same once more
		case e != nil && !errors.Is(e, coord.ErrNotFound):
			return errors.Join(err, e)
		case e == nil && now.N == it.N && now.Attempt == it.Attempt:
			return nil
		case v != version:
			return errors.New("the row changed meanwhile: a worker runs; stop all of them and run this again")
		}
	}
	return err
}

func join(a, b string) string {
	if a == "" {
		return b
	}
	return a + "; " + b
}
