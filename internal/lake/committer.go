package lake

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"nagare"
	"nagare/internal/blob"
	"nagare/internal/coord"
)

// A Step is a moment of the protocol. Config.At is called when one is over.
type Step string

// The steps of the protocol.
const (
	StepRead     Step = "F0"      // the ledger row was read
	StepOpened   Step = "F1"      // the caller knows where to read from
	StepPart     Step = "F2.part" // one object is staged
	StepStaged   Step = "F2"      // all objects are staged
	StepCommit   Step = "F3"      // the row says COMMITTED
	StepPut      Step = "F4.part" // one object is published
	StepPublish  Step = "F4"      // all objects are published
	StepFinished Step = "F5"      // the row says PUBLISHED
)

// Config says where a Committer keeps things. App, Stream, Shard, Coord,
// Stage, Lake, Archive and Tables are needed; the other zero values are ready
// to use.
type Config struct {
	// App, Stream and Shard name the ledger row. Stream is name and creation
	// time, as "name@unix-seconds".
	App, Stream, Shard string
	// Parents are the shards that this one was made of.
	Parents []string
	// Epoch is the lease's, for the record.
	Epoch int64

	Coord coord.Store
	// Stage holds what is not decided yet, Lake the Parquet files, Archive raw
	// events and dead letters. They may be one store.
	Stage, Lake, Archive blob.Store
	Tables               *Tables

	// Region and Account are the partitions of the lake's layout. The defaults
	// are local and external.
	Region, Account string
	// Window is how far back repeats are found, by arrival. The default is
	// one hour.
	Window time.Duration
	// CacheBytes bounds the ids of earlier commits that are kept in memory;
	// beyond it they are read from the stage. The default is 16 MiB.
	CacheBytes int64
	// TempDir is for files that are being made; the default is the system's.
	TempDir string

	// At is called at each step, for tests that stop the process there.
	At func(Step)
	// Stats counts; nil is allowed.
	Stats *Stats
	// Log is where life events go. The default discards them.
	Log *slog.Logger
}

// Stats counts what all committers of an application did.
type Stats struct {
	Commits, Files, Bytes atomic.Int64
	Rows, Dead, Repeats   atomic.Int64
	// Cut rows lost the end of what was too long for the lake.
	Cut atomic.Int64
	// Recovered commits were left unpublished by somebody else, or by us
	// before an error. Lost ones were ours, and another worker was faster.
	Recovered, Lost atomic.Int64
	// Existing objects were published already when we came to do it.
	Existing atomic.Int64
	// MissingIDs counts commits whose ids are gone from the stage: repeats of
	// their events are not found.
	MissingIDs atomic.Int64

	mu      sync.Mutex
	kinds   map[DeadKind]int64
	stopped map[ShardID]bool
}

// A ShardID names a shard; the stream by name and creation time.
type ShardID struct{ Stream, Shard string }

// Stopped returns the shards that were not opened when it was tried last,
// because their ledger is lost or behind: nothing of them gets into the lake
// until a person has rebuilt it.
func (s *Stats) Stopped() []ShardID {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Collect(maps.Keys(s.stopped))
}

func (s *Stats) opened(id ShardID, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.stopped, id)
	if !errors.Is(err, ErrLedgerLost) && !errors.Is(err, ErrLedgerBehind) {
		return
	}
	if s.stopped == nil {
		s.stopped = map[ShardID]bool{}
	}
	s.stopped[id] = true
}

// DeadKinds returns how many dead letters were committed, by source and reason.
func (s *Stats) DeadKinds() map[DeadKind]int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return maps.Clone(s.kinds)
}

func (s *Stats) addDead(counts []DeadCount) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.kinds == nil {
		s.kinds = map[DeadKind]int64{}
	}
	for _, c := range counts {
		countKind(s.kinds, c.DeadKind, c.N)
	}
}

// A Committer brings the events of one shard into the lake, by the protocol in
// docs (steps F0 to F5): stage everything, decide by one conditional write of
// the ledger row, publish, mark. Whoever finds a decided commit unpublished
// finishes it, from what is staged. It is used by one goroutine.
type Committer struct {
	cfg Config

	known   bool // item and version are what the row said last
	item    Item
	version int64
	// manifest is that of item, if it is at hand.
	manifest *Manifest
	recent   *recent
}

// NewCommitter makes the committer of a shard.
func NewCommitter(cfg Config) (*Committer, error) {
	if cfg.Coord == nil || cfg.Stage == nil || cfg.Lake == nil || cfg.Archive == nil || cfg.Tables == nil {
		return nil, errors.New("lake: a store or the tables are missing")
	}
	if cfg.Region == "" {
		cfg.Region = "local"
	}
	if cfg.Account == "" {
		cfg.Account = "external"
	}
	if cfg.Window <= 0 {
		cfg.Window = time.Hour
	}
	if cfg.CacheBytes <= 0 {
		cfg.CacheBytes = 16 << 20
	}
	if cfg.At == nil {
		cfg.At = func(Step) {}
	}
	if cfg.Stats == nil {
		cfg.Stats = &Stats{}
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	for _, key := range []string{
		stageKey(cfg.App, cfg.Stream, cfg.Shard, 0, "attempt") + "manifest.json",
		lakeKey(0, cfg.Region, cfg.Account, 0, cfg.Stream, cfg.Shard, 0, 0),
	} {
		if err := blob.CheckKey(key); err != nil {
			return nil, fmt.Errorf("lake: names of application, stream, shard, region or account: %w", err)
		}
	}
	return &Committer{cfg: cfg, recent: newRecent(&cfg)}, nil
}

// Open finishes what is decided and not published, whoever decided it, and
// returns the ledger row: reading begins after its To.
func (c *Committer) Open(ctx context.Context) (Item, error) {
	c.known = false
	err := c.settle(ctx)
	if err == nil {
		err = c.ahead(ctx)
	}
	c.cfg.Stats.opened(ShardID{c.cfg.Stream, c.cfg.Shard}, err)
	if err != nil {
		return Item{}, err
	}
	c.cfg.At(StepOpened)
	return c.item, nil
}

// Item is the ledger row as it was when it was last read or written.
func (c *Committer) Item() Item { return c.item }

// settle makes item the ledger row, and sees that it is published (F0).
func (c *Committer) settle(ctx context.Context) error {
	for !c.known || c.item.State != Published {
		if !c.known {
			if err := c.read(ctx); err != nil {
				return err
			}
			c.cfg.At(StepRead)
		}
		if c.item.State == Published {
			break
		}
		c.cfg.Stats.Recovered.Add(1)
		c.cfg.Log.Info("unpublished commit found", "shard", c.cfg.Shard, "n", c.item.N, "attempt", c.item.Attempt)
		if err := c.publish(ctx); err != nil {
			return err
		}
	}
	return c.recent.load(ctx, &c.item)
}

// read gets the ledger row, or makes it when the shard is new.
func (c *Committer) read(ctx context.Context) error {
	item, version, err := ReadItem(ctx, c.cfg.Coord, c.cfg.App, c.cfg.Stream, c.cfg.Shard)
	if errors.Is(err, coord.ErrNotFound) {
		item, version, err = c.birth(ctx)
	}
	if err != nil {
		return fmt.Errorf("lake: ledger of %s: %w", c.cfg.Shard, err)
	}
	if c.manifest != nil && c.manifest.Attempt != item.Attempt {
		c.manifest = nil
	}
	c.item, c.version, c.known = item, version, true
	return nil
}

// birth writes the row of commit 0, before anything is staged: so objects
// without a row mean that the row was lost.
func (c *Committer) birth(ctx context.Context) (Item, int64, error) {
	for _, at := range []struct {
		store  blob.Store
		prefix string
	}{
		{c.cfg.Stage, stagePrefix(c.cfg.App, c.cfg.Stream, c.cfg.Shard)},
		{c.cfg.Archive, archivePrefix(c.cfg.Stream, c.cfg.Shard)},
	} {
		found, err := at.store.List(ctx, at.prefix, "", 1)
		if err != nil {
			return Item{}, 0, err
		}
		if len(found) > 0 {
			return Item{}, 0, fmt.Errorf("%w, as %s: %s", ErrLedgerLost, found[0].Key, howToRebuild)
		}
	}
	item := Item{State: Published, Epoch: c.cfg.Epoch}
	version, err := coord.PutJSON(ctx, c.cfg.Coord, LedgerPart(c.cfg.App, c.cfg.Stream), c.cfg.Shard, item, 0)
	if errors.Is(err, coord.ErrConflict) {
		return ReadItem(ctx, c.cfg.Coord, c.cfg.App, c.cfg.Stream, c.cfg.Shard)
	}
	return item, version, err
}

// Flush commits a batch and publishes it. When it returns nil everything up to
// b.To is in the lake, once. After any error the same batch may be given
// again; a *MovedError says to forget a part of it first.
func (c *Committer) Flush(ctx context.Context, b *Batch) error {
	for {
		if err := c.settle(ctx); err != nil {
			return err
		}
		if nagare.CompareSeq(b.From, c.item.To) != 0 {
			return &MovedError{To: c.item.To}
		}
		if nagare.CompareSeq(b.To.Seq, c.item.To) <= 0 && (!b.Closed || c.item.Closed) {
			return nil
		}
		// A worker that knows that it lost the shard does not begin.
		if err := ctx.Err(); err != nil {
			return err
		}
		m, err := c.stage(ctx, b)
		if err != nil {
			return err
		}
		c.cfg.At(StepStaged)
		won, err := c.commit(ctx, m)
		if err != nil {
			return err
		}
		if !won {
			c.cfg.Stats.Lost.Add(1)
			c.cfg.Log.Warn("another worker committed first", "shard", c.cfg.Shard, "n", m.N, "attempt", m.Attempt)
			continue
		}
		c.cfg.At(StepCommit)
		return c.publish(ctx)
	}
}

// sends is how often an identical commit is sent while nobody knows whether
// the last one arrived.
const sends = 3

// commit decides (F3). An error of the store, also a refusal, may hide that
// the write was applied (a client library may have sent it twice), so it is
// answered by reading the row.
func (c *Committer) commit(ctx context.Context, m *Manifest) (won bool, err error) {
	next := Item{
		N: m.N, From: m.From, To: m.To, Attempt: m.Attempt, Manifest: manifestKey(m),
		State: Committed, Closed: m.Closed, Epoch: m.Epoch, ReadUntil: m.ReadUntil,
	}
	before := c.version
	c.known = false
	for range sends {
		version, putErr := c.put(ctx, next, before)
		if putErr == nil {
			c.item, c.version, c.manifest, c.known = next, version, m, true
			return true, nil
		}
		if err := c.read(ctx); err != nil {
			return false, errors.Join(putErr, err)
		}
		switch {
		case c.item.Attempt == m.Attempt:
			c.manifest = m
			return true, nil
		case c.version != before:
			return false, nil
		}
		err = putErr // not applied, or not yet: the same once more
		c.known = false
	}
	return false, fmt.Errorf("lake: commit %d of %s: %w", m.N, c.cfg.Shard, err)
}

func (c *Committer) put(ctx context.Context, it Item, version int64) (int64, error) {
	b, err := json.Marshal(it)
	if err != nil {
		return 0, err
	}
	return c.cfg.Coord.Put(ctx, LedgerPart(c.cfg.App, c.cfg.Stream), c.cfg.Shard, b, version)
}
