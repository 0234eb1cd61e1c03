package lake

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"nagare"
	"nagare/internal/blob"
)

// A refusal says why the objects of a shard do not tell what its row should
// be. Nothing is guessed then.
type refusal struct{ why string }

func (e *refusal) Error() string { return e.why }

func refusef(format string, args ...any) error { return &refusal{fmt.Sprintf(format, args...)} }

// A verdict is what the objects of a shard say of its row.
type verdict struct {
	item Item
	// proven is the number below which no row can be right.
	proven int64
	// possible are the attempts that may have made commit item.N.
	possible map[string]bool
	note     string
}

// decide finds the last commit of a shard.
func (r *Rebuild) decide(ctx context.Context, s *remains, named map[string]bool) (verdict, error) {
	head := s.last + 1 // what the last manifests are for
	switch {
	case s.n > head:
		return verdict{}, refusef("there is %s, of commit %d, and the stage has no manifest of that commit: put the stage back as it was", s.published[0].key, s.n)
	case s.staged > head:
		return verdict{}, refusef("something was staged after commit %d, and the stage has no manifest of that commit: put the stage back as it was", s.staged)
	case head == 0: // something was staged for the first commit, and not all of it
		return verdict{item: Item{State: Published}, possible: map[string]bool{"": true}}, nil
	}
	attempts, err := r.attempts(ctx, s, head)
	if err != nil {
		return verdict{}, err
	}
	// Staging for the next commit began, or a child was opened: then this one
	// is published, all of it. Otherwise its objects tell.
	published := s.staged == head
	for _, a := range attempts {
		if named[a.key] {
			a.named, published = true, true
		}
	}
	var fit []*attempt
	for _, a := range attempts {
		if err := r.compare(ctx, s, a); err != nil {
			return verdict{}, err
		}
		if a.fits {
			fit = append(fit, a)
		}
	}
	if len(fit) == 0 {
		return verdict{}, refusef("%s is not what any attempt for commit %d made that is in the stage: somebody has to look", s.published[0].key, head)
	}
	best := slices.MaxFunc(fit, (*attempt).compare)
	v := verdict{item: best.item(), proven: head, possible: map[string]bool{}}
	for _, a := range fit {
		v.possible[a.m.Attempt] = true
	}
	last := len(best.m.Entries) == 0 || best.lastThere
	switch {
	case published || last && s.n == head:
		v.item.State = Published
		if best.absent > 0 {
			v.note = fmt.Sprintf("%d of %d objects of commit %d are gone", best.absent, len(best.m.Entries), head)
		}
	case s.n == head && best.lacking > 0: // begun to be published
		return verdict{}, refusef("commit %d was published in part, and %d of its objects are in the stage no more: put them back", head, best.lacking)
	case s.n == head:
		v.note = fmt.Sprintf("published in part: the next worker finishes it, %d of %d objects", best.absent, len(best.m.Entries))
	case best.lacking > 0: // nobody saw anything of it, and it is not whole: as if it had never been
		return r.before(ctx, s, attempts[0], head)
	default:
		v.proven = head - 1
		if v.item.State == Committed {
			v.note = "nothing of it was published: the next worker does it"
		}
	}
	return v, nil
}

// before is the verdict that the commit before is the last one. Attempts name
// what they follow.
func (r *Rebuild) before(ctx context.Context, s *remains, a *attempt, head int64) (verdict, error) {
	v := verdict{item: Item{State: Published}, proven: head - 1, possible: map[string]bool{"": true}}
	v.note = fmt.Sprintf("what was staged for commit %d is not whole, and nobody saw anything of it: it will be made again", head)
	if head == 1 {
		return v, nil
	}
	key := ""
	for _, ref := range a.m.Previous {
		if ref.Shard == s.shard && ref.N == head-1 {
			key = ref.Manifest
		}
	}
	m, err := ReadManifest(ctx, r.cfg.Stage, key)
	if err != nil {
		return v, unreadable(err)
	}
	if m.Shard != s.shard || m.N != head-1 || nagare.CompareSeq(m.To, a.m.From) != 0 {
		return v, refusef("manifest %s is not of what attempt %s follows", key, a.m.Attempt)
	}
	v.item = (&attempt{key: key, m: m}).item()
	v.item.State = Published
	v.possible = map[string]bool{m.Attempt: true}
	return v, nil
}

// An attempt is a manifest for the last commit, held against the objects.
type attempt struct {
	key string
	m   *Manifest
	// named says that a child's first commit follows this one.
	named bool
	// fits says that all published objects of the number are this attempt's.
	fits bool
	// absent of its objects are not published, and lacking of those are not in
	// the stage either.
	absent, lacking int
	// lastThere says that the object that is published last is there.
	lastThere bool
}

// compare orders attempts by how much speaks for them.
func (a *attempt) compare(b *attempt) int {
	rank := func(yes bool) int {
		if yes {
			return 1
		}
		return 0
	}
	return cmp.Or(cmp.Compare(rank(a.named), rank(b.named)), cmp.Compare(rank(a.lacking == 0), rank(b.lacking == 0)),
		cmp.Compare(b.absent, a.absent), cmp.Compare(rank(a.m.Closed), rank(b.m.Closed)),
		nagare.CompareSeq(a.m.To, b.m.To), cmp.Compare(a.key, b.key))
}

// item is the row that says that the attempt has won.
func (a *attempt) item() Item {
	m := a.m
	it := Item{
		N: m.N, From: m.From, To: m.To, Attempt: m.Attempt, Manifest: a.key,
		State: Committed, Closed: m.Closed, Epoch: m.Epoch, ReadUntil: m.ReadUntil,
	}
	if len(m.Entries) == 0 { // nothing to publish
		it.State = Published
	}
	return it
}

// attempts reads the manifests for the last commit. They were all staged when
// the row said the same, so they begin at one place.
func (r *Rebuild) attempts(ctx context.Context, s *remains, head int64) ([]*attempt, error) {
	var out []*attempt
	for _, key := range s.attempts {
		m, err := ReadManifest(ctx, r.cfg.Stage, key)
		if err != nil {
			return nil, unreadable(err)
		}
		if m.App != r.cfg.App || m.Stream != s.stream || m.Shard != s.shard || m.N != head || manifestKey(m) != key {
			return nil, refusef("manifest %s is of another commit than its name says", key)
		}
		if len(out) > 0 && nagare.CompareSeq(m.From, out[0].m.From) != 0 {
			return nil, refusef("manifests %s and %s are for the same commit and do not begin at the same place", out[0].key, key)
		}
		out = append(out, &attempt{key: key, m: m})
	}
	return out, nil
}

// unreadable tells a manifest that is damaged or gone from a store that does
// not answer.
func unreadable(err error) error {
	if errors.Is(err, errManifest) || errors.Is(err, blob.ErrNotFound) {
		return refusef("%v: put the stage back as it was", err)
	}
	return err
}

// compare holds an attempt against the published objects.
func (r *Rebuild) compare(ctx context.Context, s *remains, a *attempt) error {
	there := map[publishedObject]bool{}
	if s.n == a.m.N {
		for _, p := range s.published {
			there[p] = true
		}
	}
	a.fits = true
	for i := range a.m.Entries {
		e := &a.m.Entries[i]
		at := publishedObject{e.Store, e.Key}
		if !there[at] {
			a.absent++
			if _, err := r.cfg.Stage.Head(ctx, e.Staged); errors.Is(err, blob.ErrNotFound) {
				a.lacking++
			} else if err != nil {
				return err
			}
			continue
		}
		delete(there, at)
		store := r.cfg.Lake
		if e.Store == inArchive {
			store = r.cfg.Archive
		}
		info, err := store.Head(ctx, e.Key)
		if err != nil {
			return err
		}
		a.fits = a.fits && info == e.info()
		a.lastThere = i == len(a.m.Entries)-1
	}
	a.fits = a.fits && len(there) == 0
	return nil
}
