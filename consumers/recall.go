package consumers

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"nagare/internal/coord"
)

// Rows may be removed while workers are at work: somebody deletes the table, or
// puts its store back from a backup. Who has a lease writes its row again. The
// rows of shards that nobody reads any more, and of workers that are dead, are
// known to nobody but those who have seen them: so a worker remembers what it
// saw, and takes that for the row of a shard that has none. What is remembered
// was stored once, so a checkpoint of it is of what is durable: older than the
// truth perhaps, never beyond it.
//
// A worker that has seen nothing of a shard may still know that it is finished:
// a shard is only taken after its parents were, so one that has a checkpoint or
// a worker says that of all its ancestors.
//
// Where neither tells, nobody knows, and the parents are read first and from
// where the application begins: a stage with a ledger of its own knows better.

// remember keeps what a row says.
func (l *leases) remember(shard string, row leaseRow) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.known == nil {
		l.known = map[string]leaseRow{}
	}
	l.known[shard] = row
}

// recall is the row of a shard that has none, if it was seen before. Its owner
// has the LeaseTime that it had, to write it again; then it has lapsed.
func (l *leases) recall(shard string) (row leaseRow, lapsed, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	row, ok = l.known[shard]
	s, seen := l.seen[shard]
	return row, row.Owner != l.worker && (!seen || time.Since(s.at) >= l.ttl), ok
}

// current is read, with what is remembered in place of a row that is gone.
func (l *leases) current(ctx context.Context, shard string) (leaseRow, int64, error) {
	row, version, err := l.read(ctx, shard)
	if err == nil && version == 0 {
		var lapsed bool
		if row, lapsed, _ = l.recall(shard); lapsed {
			row.Owner = ""
		}
	}
	return row, version, err
}

// fill adds to rows those that the store lacks and that can be known, notes
// which of them have lapsed, and returns the ids of the finished shards among
// them.
func (l *leases) fill(rows map[string]leaseRow, lapsed map[string]bool, shards map[string]shardInfo) []string {
	stored := maps.Clone(rows)
	for id := range shards {
		if _, ok := rows[id]; !ok {
			if row, over, ok := l.recall(id); ok {
				rows[id], lapsed[id] = row, over
			}
		}
	}
	// With their ancestors, however far back: a finished shard tells of its own
	// parents.
	for more := true; more; {
		more = false
		for id, info := range shards {
			if !rows[id].wasOpened() {
				continue
			}
			for _, p := range info.existing {
				if _, ok := rows[p]; !ok {
					rows[p], more = leaseRow{Checkpoint: shardEnd}, true
				}
			}
		}
	}
	var finished []string
	for id := range shards {
		if _, ok := stored[id]; !ok && rows[id].Checkpoint == shardEnd {
			finished = append(finished, id)
		}
	}
	slices.Sort(finished)
	return finished
}

// restore writes the rows again that nobody else would: those of finished
// shards, and where the application began.
func (g *group) restore(ctx context.Context) error {
	g.mu.Lock()
	rows, finished, startGone := g.rows, g.finished, g.startGone
	g.mu.Unlock()
	put := func(sort string, value any) error {
		_, err := coord.PutJSON(ctx, g.leases.store, g.leases.part, sort, value, 0)
		if errors.Is(err, coord.ErrConflict) {
			return nil // another worker was faster
		}
		if err != nil {
			return fmt.Errorf("lease row %s: %w", sort, err)
		}
		g.leases.log.Warn("a row of the leases is gone; writing it again", "row", sort)
		return nil
	}
	for _, id := range finished {
		row := rows[id]
		row.Owner, row.Updated = "", time.Now().UTC()
		if err := put(id, row); err != nil {
			return err
		}
	}
	if startGone {
		if err := put(startRow, g.leases.start); err != nil {
			return err
		}
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.finished, g.startGone = nil, false
	return nil
}
