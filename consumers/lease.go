package consumers

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"nagare"
	"nagare/internal/coord"
)

// shardEnd is the checkpoint of a finished shard. (It is also the KCL's.)
const shardEnd = "SHARD_END"

var (
	errLeaseLost = errors.New("the lease was lost")
	errNotFree   = errors.New("another worker has the lease")
	errFinished  = errors.New("the shard is finished")
	errBackwards = errors.New("the checkpoint is behind the one stored")
)

// leaseRow is what is stored of a shard.
type leaseRow struct {
	// Owner is the worker that has the lease; "" if it is free.
	Owner string `json:"owner,omitempty"`
	// Epoch counts how often the lease was taken. Owner and epoch together
	// name one tenure.
	Epoch int64 `json:"epoch"`
	// Checkpoint is the sequence number of the last record that is durable,
	// or shardEnd, or "".
	Checkpoint string `json:"checkpoint,omitempty"`
	// Arrived is when that record arrived at the stream.
	Arrived time.Time `json:"arrived,omitzero"`
	// Reached is the Config.End that was reached in this shard.
	Reached time.Time `json:"reached,omitzero"`
	// Updated is for people; no decision reads it, because clocks differ.
	Updated time.Time `json:"updated"`

	// opened is not stored: it keeps wasOpened when a view leaves out an owner
	// whose lease has lapsed.
	opened bool
}

// wasOpened says that the shard was taken before, so that its parents were
// finished. (A row that SetCheckpoints wrote has neither, unless it names a
// place, to which the same applies.)
func (row leaseRow) wasOpened() bool {
	return row.opened || row.Owner != "" || row.Checkpoint != ""
}

func leasePart(app, stream string) string { return "lease/" + app + "/" + stream }

// leases takes the leases of one application on one stream.
//
// A lease is a row; its version is the heartbeat. A worker that sees the same
// version for a whole LeaseTime, by its own monotonic clock, may take the row,
// on the condition that the version is still that one. The worker that had it
// stops believing in it LeaseTime after its last successful write began, which
// is earlier. No two clocks are compared.
type leases struct {
	store  coord.Store
	part   string
	worker string
	ttl    time.Duration
	sole   bool
	end    time.Time // Config.End
	start  Start     // what pinStart settled
	log    *slog.Logger

	mu    sync.Mutex
	seen  map[string]sighting // by shard
	known map[string]leaseRow // by shard: see recall.go
}

type sighting struct {
	version int64
	at      time.Time
}

// read returns the row of a shard; no row is a zero row of version 0.
func (l *leases) read(ctx context.Context, shard string) (leaseRow, int64, error) {
	var row leaseRow
	v, err := coord.GetJSON(ctx, l.store, l.part, shard, &row)
	if errors.Is(err, coord.ErrNotFound) {
		return leaseRow{}, 0, nil
	}
	return row, v, err
}

// take takes the lease of a shard, if it may.
func (l *leases) take(ctx context.Context, shard string) (*lease, error) {
	row, version, err := l.current(ctx, shard)
	if err != nil {
		return nil, fmt.Errorf("take lease of %s: %w", shard, err)
	}
	if row.Checkpoint == shardEnd || !l.end.IsZero() && row.Reached.Equal(l.end) {
		return nil, errFinished
	}
	if row.Owner != "" && row.Owner != l.worker && !l.sole && (version == 0 || !l.lapsed(shard, version)) {
		return nil, errNotFree
	}
	row.Owner = l.worker
	row.Epoch++
	row.Updated = time.Now().UTC()
	began := time.Now()
	version, err = coord.PutJSON(ctx, l.store, l.part, shard, row, version)
	if errors.Is(err, coord.ErrConflict) {
		return nil, errNotFree
	}
	if err != nil {
		// It may have been written. Then the row names us, and the next try
		// takes it again as a new tenure.
		return nil, fmt.Errorf("take lease of %s: %w", shard, err)
	}
	return &lease{l: l, shard: shard, epoch: row.Epoch, row: row, version: version, renewed: began, lost: make(chan struct{})}, nil
}

// lapsed says whether the row has not changed for a LeaseTime.
func (l *leases) lapsed(shard string, version int64) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	if s, ok := l.seen[shard]; ok && s.version == version {
		return now.Sub(s.at) >= l.ttl
	}
	if l.seen == nil {
		l.seen = map[string]sighting{}
	}
	l.seen[shard] = sighting{version, now}
	return false
}

// A lease is one tenure of this worker on a shard.
type lease struct {
	l     *leases
	shard string
	epoch int64
	// lost is closed when the tenure is over against our will.
	lost chan struct{}

	mu      sync.Mutex // held during a write, so that writes are one after the other
	row     leaseRow
	version int64
	renewed time.Time // when the last successful write began
	over    bool      // lost, or given back
}

// keep renews the lease until ctx is over or the lease is.
func (le *lease) keep(ctx context.Context) {
	tick := time.NewTicker(le.l.ttl / 3)
	defer tick.Stop()
	var again <-chan time.Time // a renewal that failed is tried again soon
	for try := 0; ; {
		select {
		case <-ctx.Done():
			return
		case <-le.lost:
			return
		case <-tick.C:
		case <-again:
		}
		// A renewal that hangs must not hide that the time is up.
		wctx, cancel := context.WithTimeout(ctx, le.l.ttl/3)
		err := le.write(wctx, func(*leaseRow) error { return nil })
		cancel()
		if again = nil; err == nil {
			try = 0
		} else if ctx.Err() == nil && !errors.Is(err, errLeaseLost) {
			if try == 0 {
				le.l.log.Warn("lease not renewed", "shard", le.shard, "err", err)
			}
			again = time.After(backoff(try, le.l.ttl/100, le.l.ttl/15))
			try++
		}
	}
}

// write changes the row, if the tenure still holds it.
func (le *lease) write(ctx context.Context, change func(*leaseRow) error) error {
	le.mu.Lock()
	defer le.mu.Unlock()
	for range 4 {
		if le.over {
			return errLeaseLost
		}
		if time.Since(le.renewed) >= le.l.ttl {
			// Somebody may have taken it by now. Belief ends here even if the
			// row is still ours: the condition would hold, but a stage that
			// was frozen as long as this one had better start afresh.
			le.lose("not renewed in time")
			return errLeaseLost
		}
		row := le.row
		if err := change(&row); err != nil {
			return err
		}
		row.Updated = time.Now().UTC()
		began := time.Now()
		v, err := coord.PutJSON(ctx, le.l.store, le.l.part, le.shard, row, le.version)
		if err == nil {
			le.row, le.version, le.renewed = row, v, began
			return nil
		}
		// Refused, or the outcome is unknown: the row itself tells.
		now, v, rerr := le.l.read(ctx, le.shard)
		if rerr != nil {
			return fmt.Errorf("lease of %s: %w", le.shard, errors.Join(err, rerr))
		}
		if v == 0 && le.version != 0 {
			// The row was removed, by somebody who removed the table, say. Nobody
			// has taken the shard since, and we know what was in the row.
			le.l.log.Warn("the row of a lease is gone; writing it again", "shard", le.shard, "epoch", le.epoch)
			le.version = 0
			continue
		}
		if now.Owner != le.l.worker || now.Epoch != le.epoch {
			le.lose("taken by " + now.Owner)
			return errLeaseLost
		}
		if v == le.version {
			return fmt.Errorf("lease of %s: %w", le.shard, err) // not applied; the caller tries again
		}
		le.row, le.version = now, v // an earlier write of ours was applied after all
	}
	return fmt.Errorf("lease of %s: %w", le.shard, coord.ErrConflict)
}

// lose ends the tenure; le.mu is held.
func (le *lease) lose(why string) {
	if !le.over {
		le.over = true
		close(le.lost)
		le.l.log.Warn("lease lost", "shard", le.shard, "epoch", le.epoch, "err", why)
	}
}

// confirm asks the store whether the tenure still holds the row. It returns
// errLeaseLost if not, and another error if that cannot be said.
func (le *lease) confirm(ctx context.Context) error {
	le.mu.Lock()
	defer le.mu.Unlock()
	if le.over {
		return errLeaseLost
	}
	row, v, err := le.l.read(ctx, le.shard)
	if err != nil {
		return fmt.Errorf("confirm lease of %s: %w", le.shard, err)
	}
	if v == 0 {
		return nil // removed, and not taken: the next renewal writes it again
	}
	if row.Owner != le.l.worker || row.Epoch != le.epoch {
		le.lose("taken by " + row.Owner)
		return errLeaseLost
	}
	return nil
}

// checkpoint stores that everything up to seq is durable. It never goes back.
func (le *lease) checkpoint(ctx context.Context, seq string, arrived time.Time) error {
	return le.write(ctx, func(row *leaseRow) error {
		if seq == shardEnd {
			row.Checkpoint = seq
			return nil
		}
		if !nagare.ValidSeq(seq) {
			return fmt.Errorf("checkpoint of %s: %q is no sequence number", le.shard, seq)
		}
		if row.Checkpoint == shardEnd || nagare.CompareSeq(seq, row.Checkpoint) < 0 {
			return fmt.Errorf("checkpoint of %s at %s: %w (%s)", le.shard, seq, errBackwards, row.Checkpoint)
		}
		row.Checkpoint, row.Arrived = seq, arrived.UTC()
		return nil
	})
}

// reached stores that the shard was read up to end.
func (le *lease) reached(ctx context.Context, end time.Time) error {
	return le.write(ctx, func(row *leaseRow) error {
		row.Reached = end.UTC()
		return nil
	})
}

// last is the row as last read or written; of a lease that is over, as others
// may take it.
func (le *lease) last() leaseRow {
	le.mu.Lock()
	defer le.mu.Unlock()
	row := le.row
	if le.over {
		row.Owner = ""
	}
	return row
}

// stored is the checkpoint as last read or written.
func (le *lease) stored() string {
	le.mu.Lock()
	defer le.mu.Unlock()
	return le.row.Checkpoint
}

// release gives the lease back, so that another need not wait for it to lapse.
func (le *lease) release(ctx context.Context) error {
	err := le.write(ctx, func(row *leaseRow) error {
		row.Owner = ""
		return nil
	})
	le.mu.Lock()
	defer le.mu.Unlock()
	if !le.over {
		le.over = true // not lost: nobody waits for the channel any more
	}
	return err
}

// A Checkpoint is how far an application got in one shard.
type Checkpoint struct {
	Shard string `json:"shard"`
	// Seq is the last durable record; "" if there is none yet.
	Seq string `json:"seq,omitempty"`
	// Finished says that the shard was closed and read to its end.
	Finished bool `json:"finished,omitempty"`
	// Arrived is when the record at Seq arrived at the stream.
	Arrived time.Time `json:"arrived,omitzero"`
	// Owner is the worker that reads the shard, or "".
	Owner string `json:"owner,omitempty"`
	Epoch int64  `json:"epoch"`
	// Reached is the Config.End that was reached in the shard.
	Reached time.Time `json:"reached,omitzero"`
	// Updated is when the row was last written, by the writer's clock.
	Updated time.Time `json:"updated"`
}

// Checkpoints lists how far app got on a stream, which is named by name and
// creation time as StreamID returns it.
func Checkpoints(ctx context.Context, store coord.Store, app, stream string) ([]Checkpoint, error) {
	rows, err := coord.All(ctx, store, leasePart(app, stream))
	if err != nil {
		return nil, err
	}
	var out []Checkpoint
	for _, r := range rows {
		if r.Sort == startRow {
			continue
		}
		var row leaseRow
		if err := json.Unmarshal(r.Value, &row); err != nil {
			return nil, fmt.Errorf("lease %s of %s: %w", r.Sort, app, err)
		}
		c := Checkpoint{Shard: r.Sort, Seq: row.Checkpoint, Arrived: row.Arrived, Owner: row.Owner, Epoch: row.Epoch, Reached: row.Reached, Updated: row.Updated}
		if row.Checkpoint == shardEnd {
			c.Seq, c.Finished = "", true
		}
		out = append(out, c)
	}
	return out, nil
}
