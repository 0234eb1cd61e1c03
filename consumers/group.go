package consumers

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"nagare/internal/coord"
)

// A group is one worker's view of all workers of an application: who is there,
// and who has which shard. From it follows which shards a worker may take and
// which it gives up, so that nobody has more than one shard more than another.
//
// The view is a moment old. That makes no shard unread and no shard read
// twice: the lease decides, and a shard that nobody takes may be taken by
// anybody. It may cost a hand-over that was not needed.
type group struct {
	leases *leases
	member string // the part of the workers' rows
	// listed are the shards of the stream.
	listed func(context.Context) (map[string]shardInfo, error)
	// pace is how often things are looked at; see paceOf.
	pace time.Duration

	mu      sync.Mutex // held while rows are read, so that one read serves all who wait
	at      time.Time  // of the rows
	rows    map[string]leaseRow
	pending bool // a shard is free, or will be soon
	// finished are the shards whose rows are to be written again, startGone says
	// that of the start's: see restore.
	finished  []string
	startGone bool
	free      map[string]time.Time // since when a shard that can be read has no worker
	workers   map[string]sighting  // the others', by id
	version   int64                // of our own row
	beat      time.Time            // when it was written
	uneven    time.Time            // since when this worker has too many; zero if it has not
}

// paceOf is how often a group looks at workers and leases: often enough that a
// tenth of the LeaseTime is lost by looking late.
func paceOf(ttl time.Duration) time.Duration { return max(ttl/10, 10*time.Millisecond) }

// eager is how old the view may be while a shard waits for a worker.
const eager = 100 * time.Millisecond

// memberRow is what a worker leaves of itself. Its version is its heartbeat.
type memberRow struct {
	// Updated is for people; no decision reads it, because clocks differ.
	Updated time.Time `json:"updated"`
}

func newGroup(l *leases, app, stream string, listed func(context.Context) (map[string]shardInfo, error)) *group {
	return &group{leases: l, member: "worker/" + app + "/" + stream, listed: listed, pace: paceOf(l.ttl),
		free: map[string]time.Time{}, workers: map[string]sighting{}}
}

// view returns the rows of all shards, as they were a moment ago.
func (g *group) view(ctx context.Context) (map[string]leaseRow, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.rows, g.refresh(ctx)
}

// refresh reads the rows again if they are too old; g.mu is held.
func (g *group) refresh(ctx context.Context) error {
	age := g.pace
	if g.pending {
		age = min(age, eager)
	}
	if g.rows != nil && time.Since(g.at) < age {
		return nil
	}
	shards, err := g.listed(ctx)
	if err != nil {
		return err
	}
	began := time.Now()
	list, err := coord.All(ctx, g.leases.store, g.leases.part)
	if err != nil {
		return fmt.Errorf("leases: %w", err)
	}
	rows := map[string]leaseRow{}
	lapsed := map[string]bool{}
	startGone := true
	for _, r := range list {
		if r.Sort == startRow {
			startGone = false
			continue
		}
		var row leaseRow
		if err := json.Unmarshal(r.Value, &row); err != nil {
			return fmt.Errorf("lease of %s: %w", r.Sort, err)
		}
		rows[r.Sort] = row
		g.leases.remember(r.Sort, row)
		lapsed[r.Sort] = g.leases.lapsed(r.Sort, r.Version) && row.Owner != g.leases.worker
	}
	g.finished, g.startGone = g.leases.fill(rows, lapsed, shards), startGone
	for id, row := range rows {
		row.opened = row.wasOpened()
		if lapsed[id] {
			row.Owner = "" // as good as free
		}
		rows[id] = row
	}
	g.rows, g.at, g.pending = rows, began, false
	for id := range g.free {
		if _, ok := shards[id]; !ok {
			delete(g.free, id)
		}
	}
	for id, info := range shards {
		row := rows[id]
		switch {
		case g.leases.done(row) || row.Owner != "":
			delete(g.free, id)
			continue
		case !readable(info, rows):
			delete(g.free, id)
		case g.free[id].IsZero():
			g.free[id] = began
		}
		g.pending = true
	}
	return nil
}

// done says that nothing is left to read in a shard.
func (l *leases) done(row leaseRow) bool {
	return row.Checkpoint == shardEnd || !l.end.IsZero() && row.Reached.Equal(l.end)
}

// readable says whether all parents of a shard that still exist are finished.
// They were when it was opened once, whatever became of their rows since: those
// may have been removed, and the parents be read a second time.
func readable(info shardInfo, rows map[string]leaseRow) bool {
	if rows[info.id].wasOpened() {
		return true
	}
	for _, p := range info.existing {
		if rows[p].Checkpoint != shardEnd {
			return false
		}
	}
	return true
}

// know puts a row that this worker wrote into the view.
func (g *group) know(shard string, row leaseRow) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.leases.remember(shard, row)
	if g.rows == nil {
		return
	}
	rows := make(map[string]leaseRow, len(g.rows)+1) // the old one may be in use
	for k, v := range g.rows {
		rows[k] = v
	}
	rows[shard] = row
	g.rows = rows
	delete(g.free, shard)
	if row.Owner == "" || row.Checkpoint == shardEnd {
		g.pending = true // its children, or itself, wait for somebody
	}
}

// share is how the readable shards are divided among the workers there are.
type share struct {
	least, extra int            // each has least shards, extra of them one more
	has          map[string]int // by worker, this one included
	free         int            // shards that nobody has
}

// divide says how things should be and are; g.mu is held. mine is how many
// shards this worker reads.
func (g *group) divide(shards map[string]shardInfo, mine int) share {
	s := share{has: map[string]int{g.leases.worker: mine}}
	now := time.Now()
	for w, seen := range g.workers {
		if now.Sub(seen.at) < g.leases.ttl {
			s.has[w] = 0
		}
	}
	all := 0
	for id, info := range shards {
		row := g.rows[id]
		if g.leases.done(row) || !readable(info, g.rows) {
			continue
		}
		all++
		if row.Owner == "" {
			s.free++
		}
		if _, ok := s.has[row.Owner]; ok && row.Owner != g.leases.worker {
			s.has[row.Owner]++
		}
	}
	s.least, s.extra = all/len(s.has), all%len(s.has)
	return s
}

// full are the workers with more than least shards, in the order of their ids.
func (s share) full() []string {
	var out []string
	for w, n := range s.has {
		if n > s.least {
			out = append(out, w)
		}
	}
	slices.Sort(out)
	return out
}

// mayTake says whether this worker, which reads mine shards, should take one
// more. A shard that has been free for half a LeaseTime is anybody's: whoever
// should have it does not come.
func (g *group) mayTake(shard string, shards map[string]shardInfo, mine int) bool {
	if g.leases.sole {
		return true
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if since := g.free[shard]; !since.IsZero() && time.Since(since) >= g.leases.ttl/2 {
		return true
	}
	s := g.divide(shards, mine)
	return mine < s.least || mine == s.least && len(s.full()) < s.extra
}

// excess says how many shards this worker should give up now. It waits for
// the view to be the same for a while, and for every shard to be read by
// somebody: workers come and go in groups.
func (g *group) excess(shards map[string]shardInfo, mine int) int {
	g.mu.Lock()
	defer g.mu.Unlock()
	s := g.divide(shards, mine)
	n := 0
	most := s.least
	if s.extra > 0 {
		most++
	}
	switch {
	case s.free > 0:
	case mine > most:
		n = (mine - most + 1) / 2 // and then we will see
	case mine > s.least && len(s.full()) > s.extra:
		// As many as may have one more keep it: the first by their ids.
		if slices.Index(s.full(), g.leases.worker) >= s.extra {
			n = 1
		}
	}
	if n == 0 {
		g.uneven = time.Time{}
		return 0
	}
	if g.uneven.IsZero() {
		g.uneven = time.Now()
	}
	if time.Since(g.uneven) < 3*g.pace {
		return 0
	}
	g.uneven = time.Time{}
	return n
}

// meet writes this worker's heartbeat, if it is time, and looks who else is
// there. Workers that have not been heard of for long are forgotten.
func (g *group) meet(ctx context.Context) error {
	if g.leases.sole {
		return nil
	}
	if time.Since(g.beat) >= g.leases.ttl/3 {
		if err := g.heartbeat(ctx); err != nil {
			return fmt.Errorf("heartbeat: %w", err)
		}
	}
	list, err := coord.All(ctx, g.leases.store, g.member)
	if err != nil {
		return fmt.Errorf("workers: %w", err)
	}
	now := time.Now()
	var gone []coord.Row
	g.mu.Lock()
	workers := map[string]sighting{}
	for _, r := range list {
		seen, ok := g.workers[r.Sort]
		switch {
		case r.Sort == g.leases.worker:
			continue
		case !ok || seen.version != r.Version:
			seen = sighting{r.Version, now}
		case now.Sub(seen.at) >= max(10*g.leases.ttl, time.Minute):
			gone = append(gone, r)
		}
		workers[r.Sort] = seen
	}
	g.workers = workers
	g.mu.Unlock()
	for _, r := range gone {
		if err := g.leases.store.Delete(ctx, g.member, r.Sort, r.Version); err != nil && !errors.Is(err, coord.ErrConflict) {
			return fmt.Errorf("forget worker %s: %w", r.Sort, err)
		}
	}
	return nil
}

func (g *group) heartbeat(ctx context.Context) error {
	began := time.Now()
	v, err := coord.PutJSON(ctx, g.leases.store, g.member, g.leases.worker, memberRow{began.UTC()}, g.version)
	if errors.Is(err, coord.ErrConflict) {
		// An earlier write was applied though it failed, or we were forgotten.
		row, rerr := g.leases.store.Get(ctx, g.member, g.leases.worker)
		if rerr != nil && !errors.Is(rerr, coord.ErrNotFound) {
			return rerr
		}
		v, err = coord.PutJSON(ctx, g.leases.store, g.member, g.leases.worker, memberRow{began.UTC()}, row.Version)
	}
	if err != nil {
		return err
	}
	g.version, g.beat = v, began
	return nil
}

// leave tells the others that this worker is going.
func (g *group) leave(ctx context.Context) error {
	if g.leases.sole || g.version == 0 {
		return nil
	}
	err := g.leases.store.Delete(ctx, g.member, g.leases.worker, g.version)
	if errors.Is(err, coord.ErrConflict) {
		return nil // we were forgotten
	}
	return err
}

// unread are shards that can be read and that nobody has taken for a LeaseTime.
func (g *group) unread() map[string]time.Time {
	g.mu.Lock()
	defer g.mu.Unlock()
	out := map[string]time.Time{}
	for id, since := range g.free {
		if time.Since(since) >= g.leases.ttl {
			out[id] = since
		}
	}
	return out
}
