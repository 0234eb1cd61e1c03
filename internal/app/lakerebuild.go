package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"sync/atomic"
	"time"

	"nagare"
	"nagare/consumers"
	"nagare/internal/config"
	"nagare/internal/coord"
	"nagare/internal/lake"
)

// LakeRebuildOptions are the flags of lake rebuild.
type LakeRebuildOptions struct {
	DryRun bool
	// Lease is how long leases may be (serve --lease).
	Lease  time.Duration
	Format string
	// Out gets a line for each shard, Progress how far it is and the sum.
	Out, Progress io.Writer
}

// LakeRebuild writes the rows of the lake's ledger that are missing or behind,
// from what commits left. No worker may run meanwhile.
func LakeRebuild(ctx context.Context, o Options, r LakeRebuildOptions) (err error) {
	c, err := plainConfig(o)
	if err != nil {
		return err
	}
	for what, dir := range map[string]string{"stage": filepath.Join(o.Data, "stage"), "lake": o.lakeDir(c.Lake.Dir)} {
		if _, err := os.Stat(dir); err != nil {
			return usagef("there is no %s to rebuild the ledger from: %w; name the workers' folder with --data, and their configuration with --config", what, err)
		}
	}
	// Who fills the lake holds the folder, alone or with others.
	lock, held, err := lockDir(o)
	if err != nil {
		return err
	}
	if !held {
		return usagef("another process works on %s: stop up, and all workers of serve, before the ledger is rebuilt", o.Data)
	}
	defer func() { err = errors.Join(err, lock.Unlock()) }()
	objects, err := openObjects(o, c)
	if err != nil {
		return err
	}
	// What is published decides between attempts: an empty folder taken for
	// the lake would decide wrongly.
	owner, err := lake.OwnerOf(ctx, objects.lake)
	switch {
	case err != nil:
		return err
	case owner == lake.Owner{}:
		return usagef("%s is not the lake that %s filled, for it has no %s: name the workers' configuration with --config", o.lakeDir(c.Lake.Dir), compactApp, lake.OwnerKey)
	case owner != lake.Owner{App: compactApp}:
		return usagef("the lake in %s was filled by %s, and only the pipeline's own is rebuilt: begin that replay again, with an empty folder", o.lakeDir(c.Lake.Dir), owner.App)
	}
	store, err := openCoord(ctx, o, c.Coord)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, store.Close()) }()

	var seen atomic.Int64
	stop := showLines(ctx, r.Progress, func() string { return fmt.Sprintf("%d objects were looked at", seen.Load()) })
	ledger, err := lake.NewRebuild(ctx, lake.RebuildConfig{
		App: compactApp, Coord: store, Stage: objects.stage, Lake: objects.lake, Archive: objects.archive, DryRun: r.DryRun,
		Seen: func(n int) { seen.Store(int64(n)) },
	})
	stop()
	if err != nil {
		return again(err)
	}
	if c.Coord.Kind != "sqlite" { // the rows are not in the folder that we hold
		if err := noneRuns(ctx, store, ledger.Streams(), r.Lease); err != nil {
			return err
		}
	}
	return rebuildLedger(ctx, r, ledger, seen.Load())
}

// noneRuns refuses while a worker of the lake renews a lease.
func noneRuns(ctx context.Context, store coord.Store, streams []string, lease time.Duration) error {
	for _, stream := range streams {
		running, err := consumers.Running(ctx, store, compactApp, stream, lease)
		if err != nil {
			return again(err)
		}
		if running {
			return usagef("a worker of %s runs on %s: stop all of them before the ledger is rebuilt", compactApp, streamName(stream))
		}
	}
	return nil
}

// again says what to do after an error of a store.
func again(err error) error {
	return unreachablef("%w; what was written stays: run the same command again", err)
}

// rebuildLedger rebuilds, and prints what became of each shard, also of those
// before an error.
func rebuildLedger(ctx context.Context, r LakeRebuildOptions, ledger *lake.Rebuild, seen int64) error {
	type line struct {
		Stream  string `json:"stream"`
		Shard   string `json:"shard"`
		Outcome string `json:"outcome"`
		N       int64  `json:"n"`
		To      string `json:"to"`
		State   string `json:"state"`
		Closed  bool   `json:"closed"`
		Note    string `json:"note,omitempty"`
	}
	l := listing{columns: []string{"stream", "shard", "outcome", "commits", "to", "state", "note"}}
	count := map[string]int{}
	err := ledger.Run(ctx, func(s lake.Rebuilt) error {
		count[s.Outcome]++
		it := s.Item
		l.add(line{s.Stream, s.Shard, s.Outcome, it.N, it.To, it.State, it.Closed, s.Note},
			s.Stream, s.Shard, s.Outcome, fmt.Sprint(it.N), it.To, it.State, s.Note)
		return nil
	})
	if err != nil {
		err = again(err)
	}
	err = errors.Join(err, l.print(r.Out, r.Format))
	what := ""
	if r.DryRun {
		what = " (dry run: nothing was written)"
	}
	_, e := fmt.Fprintf(r.Progress, "%d shards: %d restored, %d advanced, %d kept, %d refused%s; %d objects were looked at\n",
		len(l.rows), count[lake.Restored], count[lake.Advanced], count[lake.Kept], count[lake.Refused], what, seen)
	if err = errors.Join(err, e); err != nil {
		return err
	}
	if n := count[lake.Refused]; n > 0 {
		return &Found{fmt.Sprintf("%d shards were refused", n)}
	}
	return nil
}

// plainConfig reads the configuration for commands that need no mapping to
// know the sources, and no secret.
func plainConfig(o Options) (config.Config, error) {
	name := o.configFile()
	if name == "" {
		return config.Default(), nil
	}
	c, problems := config.Load(name, nil)
	problems = slices.DeleteFunc(problems, func(p nagare.Problem) bool { return p.Code == "unknown-source" || p.Code == "secret" })
	return c, problemsError("nothing was opened", problems)
}
