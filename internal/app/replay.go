package app

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"nagare/consumers"
	"nagare/consumers/live"
	"nagare/internal/alert"
	"nagare/internal/coord"
	"nagare/internal/lake"
)

// ReplayOptions are the flags of replay.
type ReplayOptions struct {
	// App is live or compact: what is done with the events.
	App      string
	From, To string
	// Name names the replay; "" makes a name of the other arguments.
	Name string
	// Into is the folder of the lake that compact fills.
	Into string
	// Stream is events, bulk or all; "" is events for live, all for compact.
	Stream string
	// Restart begins anew under the same name.
	Restart        bool
	DryRun, Notify bool
	// Flush is how long events wait for a lake file.
	Flush         time.Duration
	Format        string
	Out, Progress io.Writer
}

// Replay reads a part of the stream, or of the lake's archive, again: under a
// name of its own, with leases, a ledger and alert rows that are its own too.
// What runs live is neither joined, hidden nor moved. The same command goes on
// where it was, and says so when it is done.
func Replay(ctx context.Context, o Options, r ReplayOptions) (err error) {
	now := time.Now()
	start, end, err := r.check(now)
	if err != nil {
		return err
	}
	c, err := loadCore(o, selection{onlyMappings: r.App == compactApp, noSecrets: !r.Notify})
	if err != nil {
		return err
	}
	if err := c.err(); err != nil {
		return err
	}
	if r.Into != "" {
		if r.Into, err = c.checkInto(o, r.Into); err != nil {
			return err
		}
	}
	if err := o.needData(c.config.Stream.Endpoint != "" && start.Archive.IsZero()); err != nil {
		return err
	}
	data, err := openData(ctx, o, c.config, "127.0.0.1:0")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, data.close()) }()
	store, err := openCoord(ctx, o, c.config.Coord)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	w := &replay{opts: o, ReplayOptions: r, core: c, data: data, store: store}
	if r.DryRun {
		w.store = newOverlay(store)
	} else {
		unlock, err := lockReplay(o.Data, r.name())
		if err != nil {
			return err
		}
		defer unlock()
	}
	if err := w.row(ctx, start, end, now); err != nil {
		if ctx.Err() != nil {
			return stopped(ctx)
		}
		return away(err)
	}
	if w.kept.State == replayDone {
		fmt.Fprintf(r.Progress, "replay %s was done at %s: from %s to %s; --restart begins anew, --name NAME begins another\n",
			w.kept.Name, w.kept.Ended.Format(time.RFC3339), w.kept.Start, w.kept.End.Format(time.RFC3339))
		return w.answer(ctx)
	}
	return w.run(ctx)
}

// check reads the positions, and refuses what does not go together.
func (r *ReplayOptions) check(now time.Time) (start consumers.Start, end time.Time, err error) {
	if start, err = consumers.ParsePosition(r.From, now); err != nil {
		return start, end, usagef("--from: %w", err)
	}
	if end, err = consumers.ParseEnd(r.To, now); err != nil {
		return start, end, usagef("--to: %w", err)
	}
	// Rows keep no more, and a resumed replay must find what it put there.
	end, start.Time, start.Archive = end.UTC().Round(0), start.Time.UTC().Round(0), start.Archive.UTC().Round(0)
	if end.After(now) {
		return start, end, usagef("--to %s is yet to come", end.Format(time.RFC3339))
	}
	for _, from := range []time.Time{start.Time, start.Archive} {
		if !from.IsZero() && !from.Before(end) {
			return start, end, usagef("--to %s is not after --from %s", end.Format(time.RFC3339), from.Format(time.RFC3339))
		}
	}
	switch {
	case r.Name != "" && !consumers.ValidName(r.Name):
		err = usagef("--name %q: letters, digits and ._- only, at most 64", r.Name)
	case r.DryRun && r.Notify:
		err = usagef("--dry-run writes no alerts, so there is nothing for --notify to send")
	case r.App == liveApp && r.Into != "":
		err = usagef("--into is for --app compact: live writes no lake")
	case r.App == compactApp && r.Notify:
		err = usagef("--notify is for --app live: compact raises no alerts")
	case r.App == compactApp && r.Into == "" && !r.DryRun:
		err = usagef("--app compact needs --into FOLDER: an empty folder for the lake that is made")
	case r.DryRun && r.Restart:
		err = usagef("--dry-run keeps nothing, so there is nothing to --restart")
	case start.Shard != "" && r.Stream == "all":
		err = usagef("--from %s is a place on one stream: --stream events or --stream bulk", start)
	}
	return start, end, err
}

// A replay is one replay at work.
type replay struct {
	ReplayOptions
	opts  Options
	core  *core
	data  *dataDir
	store coord.Store
	kept  replayRow // as it is stored
	found replayMatches
	dry   dryCounts

	counts *replayCounts
}

// app is the name that the replay's rows are kept under, origin that of its
// alerts. Those of a replay that was begun anew are others.
func (w *replay) app() string    { return "replay-" + w.kept.generation() }
func (w *replay) origin() string { return "replay:" + w.kept.generation() }

// run does the work and answers.
func (w *replay) run(ctx context.Context) error {
	claims, err := openClaims(w.opts, w.core.config)
	if err != nil {
		return err
	}
	// With rows in a file, the lock on the replay holds off everybody else, and
	// what a killed run held is free at once.
	base := consumers.Config{
		App: w.app(), Kinesis: w.data.aws, Coord: w.store, FanOut: true, Start: w.kept.Start, End: w.kept.End, LeaseTime: 10 * time.Second,
		Sole: w.core.config.Coord.Kind == "sqlite", FlushEvery: cmp.Or(w.Flush, time.Minute), DefaultSource: "unknown", Claims: claims, Log: w.opts.Log,
	}
	if w.counts, err = newReplayCounts(ctx, w.store, w.app()); err != nil {
		return err
	}
	var alerts *alert.Store
	var stages func(consumers.Shard, *live.Stats) (consumers.Stage, error)
	if w.App == compactApp {
		var fill func(consumers.Shard) (consumers.Stage, error)
		fill, err = w.compactStage(ctx)
		stages = func(s consumers.Shard, _ *live.Stats) (consumers.Stage, error) { return fill(s) }
	} else {
		alerts = alert.NewStore(w.store, alert.Config{Route: w.core.route, Log: w.opts.Log})
		record := alerts.Record
		if w.DryRun {
			record = func(_ context.Context, matches ...alert.Match) error {
				w.found.add(matches)
				return nil
			}
		}
		normalize, eval := w.core.normalizer(), w.core.eval(w.origin(), w.Notify)
		stages = func(s consumers.Shard, stats *live.Stats) (consumers.Stage, error) {
			return live.New(live.Config{Normalize: normalize, Eval: eval, Record: record, Stats: stats})(s)
		}
	}
	if err != nil {
		return err
	}
	base.NewStage = w.counts.count(stages)
	began := time.Now()
	complete, err := w.read(ctx, base)
	all, now := w.counts.all()
	var usage *Usage
	switch {
	case errors.As(err, &usage):
		return err
	case ctx.Err() != nil:
		complete = false // what failed then, failed because it was told to stop
	case err != nil:
		return away(unreachablef("replay: %w", err))
	}
	if !complete {
		if w.DryRun {
			return fmt.Errorf("the dry run was stopped after %d events, before its end", now.Events)
		}
		return fmt.Errorf("replay %s stopped after %d events, before its end; the same command goes on", w.kept.Name, all.Events)
	}
	if w.Notify {
		if err := deliverReplay(ctx, w.opts, w.core, alerts, w.Out, w.origin()); err != nil {
			return err
		}
	}
	if err := w.done(ctx); err != nil {
		return err
	}
	seconds := max(time.Since(began).Seconds(), 0.001)
	how := fmt.Sprintf("in %.1f s (%.0f events/s, %.1f MB/s)", seconds, float64(now.Events)/seconds, float64(now.Bytes)/1e6/seconds)
	if now.Events != all.Events {
		how = fmt.Sprintf("in several runs, the last %d %s", now.Events, how)
	}
	fmt.Fprintf(w.Progress, "%d events %s from %s to %s", all.Events, how, w.kept.Start, w.kept.End.Format(time.RFC3339))
	if w.App == liveApp {
		fmt.Fprintf(w.Progress, "; %d unusable, %d skipped, %d matches", all.Unusable, all.Skipped, all.Matches)
	}
	if w.DryRun {
		fmt.Fprintln(w.Progress, "; a dry run: nothing was kept")
	} else {
		fmt.Fprintf(w.Progress, "; replay %s\n", w.kept.generation())
	}
	return w.answer(ctx)
}

// read gives the events to the stages, from the stream or from the archive.
func (w *replay) read(ctx context.Context, base consumers.Config) (complete bool, err error) {
	p := &progress{what: "replay " + w.kept.Name}
	beside, cancel := context.WithCancel(ctx)
	look := func(share float64, known, sized bool, at time.Time) reading {
		all, now := w.counts.all()
		return reading{events: all.Events, run: now.Events, bytes: now.Bytes, share: share, known: known, sized: sized, at: at}
	}
	if !w.kept.Start.Archive.IsZero() {
		s := &archiveShare{counts: w.counts, sizes: map[string]int64{}}
		stop := p.show(ctx, w.Progress, func() reading {
			share, known := s.share()
			return look(share, known, true, w.counts.latest())
		})
		defer stop()
		defer cancel()
		return w.readArchive(ctx, base, s)
	}
	s := &streamShare{aws: w.data.aws, store: w.store, app: w.app(), counts: w.counts, shards: map[string]*shardShare{}}
	var measuring sync.WaitGroup
	stop := p.show(ctx, w.Progress, func() reading {
		share, known, at := s.share(beside)
		return look(share, known, false, at)
	})
	defer stop()
	defer measuring.Wait()
	defer cancel()
	streams, err := w.streams(ctx)
	if err != nil {
		return false, err
	}
	var runs []consumers.Config
	for _, name := range streams {
		cfg := base
		cfg.Stream, cfg.Monitor = name, &consumers.Monitor{}
		runs = append(runs, cfg)
		gaps, err := consumers.Gaps(ctx, cfg)
		if err != nil {
			return false, err
		}
		if err := w.gaps(ctx, gaps); err != nil {
			return false, err
		}
		id, err := consumers.StreamID(ctx, w.data.aws, name)
		if err != nil {
			return false, err
		}
		measuring.Go(func() { s.extents(beside, name, id, w.kept.Start, w.kept.End) })
	}
	group, together := errgroup.WithContext(ctx)
	for _, cfg := range runs {
		group.Go(func() error { return consume(together, cfg) })
	}
	err = group.Wait()
	for _, cfg := range runs {
		// Met while reading: a slow replay, or one of a place just trimmed.
		if n := cfg.Monitor.Health().Counts.Gaps; n > 0 && err == nil {
			err = w.gaps(ctx, []consumers.Gap{{Stream: cfg.Stream, From: w.kept.Begun, Why: fmt.Sprintf("the stream had trimmed what was to be read next, %d times: see the log", n)}})
		}
	}
	return err == nil && ctx.Err() == nil, err
}

// readArchive reads every archived stream of a chosen name: one that was made
// anew is another stream.
func (w *replay) readArchive(ctx context.Context, base consumers.Config, share *archiveShare) (bool, error) {
	objects, err := openObjects(w.opts, w.core.config)
	if err != nil {
		return false, err
	}
	archived, err := lake.ArchivedStreams(ctx, objects.archive)
	if err != nil {
		return false, err
	}
	var chosen []*lake.Archive
	for _, id := range archived {
		if !slices.Contains(w.kept.Streams, streamName(id)) {
			continue
		}
		a := lake.OpenArchive(objects.archive, id)
		a.Watch(share.more)
		chosen = append(chosen, a)
		if err := share.plan(ctx, a, w.kept.Start.Archive, w.kept.End); err != nil {
			return false, err
		}
	}
	for _, a := range chosen {
		gaps, err := archiveGaps(ctx, a, w.kept.Start.Archive)
		if err != nil {
			return false, err
		}
		if err := w.gaps(ctx, gaps); err != nil {
			return false, err
		}
		cfg := base
		cfg.Monitor = &consumers.Monitor{}
		complete, err := consumers.RunArchive(ctx, cfg, watchedArchive{a, share})
		if err != nil || !complete {
			return false, err
		}
	}
	if len(chosen) == 0 {
		return false, usagef("%s holds nothing of %v", filepath.Join(w.opts.Data, "archive"), w.kept.Streams)
	}
	return true, nil
}

// archiveGaps says whether the archive lacks what there was after from.
func archiveGaps(ctx context.Context, a *lake.Archive, from time.Time) ([]consumers.Gap, error) {
	shards, err := a.Shards(ctx)
	if err != nil {
		return nil, err
	}
	var gaps []consumers.Gap
	for _, shard := range shards {
		first, cut, err := a.Begins(ctx, shard)
		if err != nil {
			return nil, err
		}
		if cut && from.Before(first) {
			gaps = append(gaps, consumers.Gap{Stream: streamName(a.Stream()), Shard: shard, From: from, Until: first,
				Why: fmt.Sprintf("the archive begins at %s, and there were commits before", first.Format(time.RFC3339))})
		}
	}
	return gaps, nil
}

// gaps shows what cannot be read, once, and keeps it for the answer.
func (w *replay) gaps(ctx context.Context, gaps []consumers.Gap) error {
	added := false
	for _, g := range gaps {
		if slices.ContainsFunc(w.kept.Gaps, func(k consumers.Gap) bool { return k.Stream == g.Stream && k.Shard == g.Shard && k.From.Equal(g.From) }) {
			continue
		}
		added = true
		w.kept.Gaps = append(w.kept.Gaps, g)
		fmt.Fprintf(w.Progress, "GAP %s\n", g)
	}
	if !added {
		return nil
	}
	if w.kept.Start.Archive.IsZero() {
		fmt.Fprintln(w.Progress, "The stream has trimmed it. What was committed to the lake is in its archive: --from archive:TIME reads that.")
	}
	return w.keep(ctx)
}

// answer prints the result. A gap is something found wrong.
func (w *replay) answer(ctx context.Context) (err error) {
	switch {
	case w.App == liveApp && w.DryRun:
		err = w.found.print(w.Out, w.Format)
	case w.App == liveApp:
		err = w.alerts(ctx)
	case w.DryRun:
		err = w.dry.print(w.Out, w.Format)
	default:
		err = w.lakeAnswer(ctx)
	}
	if err == nil && len(w.kept.Gaps) > 0 {
		fmt.Fprintf(w.Progress, "replay %s is not whole: %d gaps\n", w.kept.Name, len(w.kept.Gaps))
		for _, g := range w.kept.Gaps {
			fmt.Fprintf(w.Progress, "GAP %s\n", g)
		}
		err = &Found{"the replay has gaps"}
	}
	return err
}
