package app

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"nagare"
	"nagare/consumers"
	"nagare/internal/config"
	"nagare/internal/coord"
	"nagare/internal/lake"
)

// CheckpointsFilter chooses checkpoints.
type CheckpointsFilter struct {
	App string
	// Count bounds the records that are counted in each shard.
	Count int
	// Saved lists the saved checkpoints instead.
	Saved bool
}

// A checkpointLine is one shard of one application.
type checkpointLine struct {
	App    string `json:"app"`
	Stream string `json:"stream"`
	Shard  string `json:"shard"`
	// Position is the sequence number of the last durable record, SHARD_END,
	// or "" before the first.
	Position string `json:"position"`
	// From is where the application begins in a shard without a position, as
	// checkpoints set takes it; "" is the oldest record.
	From    string    `json:"from,omitempty"`
	Arrived time.Time `json:"arrived,omitzero"`
	// State is reading (a worker has the lease), idle, waiting (for its
	// parents, or to be begun), finished, or ended (where a replay was to end).
	State string `json:"state"`
	// LagSeconds is how long the oldest record behind the position has been on
	// the stream; LagRecords counts them, and More says that there are more.
	LagSeconds float64 `json:"lag_seconds"`
	LagRecords int     `json:"lag_records"`
	More       bool    `json:"more,omitempty"`
	Owner      string  `json:"owner"`
	Epoch      int64   `json:"epoch"`
	// AgeSeconds is since the row was last written: by its owner every few
	// seconds.
	AgeSeconds float64 `json:"age_seconds"`
	// Ledger is what the lake holds of the shard, for who fills one: it reads
	// on from there.
	Ledger string `json:"ledger,omitempty"`
}

// withPlaces is withStreams for what is about places only: neither mappings nor
// secrets are needed for it, so what is wrong with those keeps nobody from it.
func withPlaces(ctx context.Context, o Options, f func(*core, *dataDir, coord.Store) error) error {
	c, err := plainConfig(o)
	if err != nil {
		return err
	}
	return withStreams(ctx, o, &core{config: c}, f)
}

// withStreams opens the streams and the rows.
func withStreams(ctx context.Context, o Options, c *core, f func(*core, *dataDir, coord.Store) error) (err error) {
	data, err := openRead(ctx, o, c.config)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, data.close()) }()
	store, err := openCoord(ctx, o, c.config.Coord)
	if err != nil {
		return err
	}
	return errors.Join(away(f(c, data, store)), store.Close())
}

// openRead is openData for commands that read what others made: it makes no
// folder. Where stream and rows are in services, none is needed.
func openRead(ctx context.Context, o Options, c config.Config) (*dataDir, error) {
	elsewhere := c.Stream.Endpoint != "" && c.Coord.Kind != "sqlite"
	if err := o.needData(elsewhere); err != nil {
		return nil, err
	}
	if _, err := os.Stat(o.Data); elsewhere && err != nil {
		cfg, err := streamAWS(ctx, c.Stream)
		return &dataDir{dir: o.Data, aws: cfg}, err
	}
	return openData(ctx, o, c, "127.0.0.1:0")
}

// CheckpointsList lists how far each application is on the configured streams.
func CheckpointsList(ctx context.Context, o Options, f CheckpointsFilter, format string, out io.Writer) error {
	if f.Saved {
		return listSaved(ctx, o, format, out)
	}
	return withPlaces(ctx, o, func(c *core, data *dataDir, store coord.Store) error {
		apps, err := knownApps(ctx, c, data, store, f.App)
		if err != nil {
			return err
		}
		l := listing{columns: []string{"app", "stream", "shard", "state", "position", "lag", "records", "owner", "age"}}
		for _, a := range apps {
			lines, err := checkpointLines(ctx, data, store, a, f.Count)
			if err != nil {
				return unreachablef("%w", err)
			}
			for _, v := range lines {
				records := fmt.Sprint(v.LagRecords)
				if v.More {
					records = ">" + records
				}
				age := ""
				if v.AgeSeconds > 0 {
					age = seconds(v.AgeSeconds)
				}
				at := cmp.Or(v.Position, "-")
				if v.Position == "" && v.From != "" {
					at = "from " + v.From
				}
				l.add(v, v.App, v.Stream, v.Shard, v.State, at, seconds(v.LagSeconds), records, cmp.Or(v.Owner, "-"), age)
			}
		}
		return l.print(out, format)
	})
}

func seconds(s float64) string {
	return time.Duration(s * float64(time.Second)).Round(100 * time.Millisecond).String()
}

// knownApps are the applications on the streams as these are now: rows of a
// stream that was deleted say nothing any more.
func knownApps(ctx context.Context, c *core, data *dataDir, store coord.Store, only string) ([]consumers.App, error) {
	known, err := consumers.Apps(ctx, store)
	if err != nil {
		return nil, err
	}
	var out []consumers.App
	for _, name := range streams(c.config) {
		id, err := consumers.StreamID(ctx, data.aws, name)
		if err != nil {
			if notFound(err) {
				continue
			}
			return nil, unreachablef("%w", err)
		}
		apps := []string{liveApp, compactApp}
		for _, a := range known {
			if a.Stream == id && !slices.Contains(apps, a.Name) {
				apps = append(apps, a.Name)
			}
		}
		for _, app := range apps {
			if only != "" && app != only {
				continue
			}
			list, err := consumers.Checkpoints(ctx, store, app, id)
			if err != nil {
				return nil, err
			}
			if len(list) > 0 {
				out = append(out, consumers.App{Name: app, Stream: id})
			}
		}
	}
	return out, nil
}

// checkpointLines are the shards of one application: those it has rows of, and
// those that it has not begun.
func checkpointLines(ctx context.Context, data *dataDir, store coord.Store, a consumers.App, count int) ([]checkpointLine, error) {
	list, err := consumers.Checkpoints(ctx, store, a.Name, a.Stream)
	if err != nil {
		return nil, err
	}
	name := streamName(a.Stream)
	start, err := consumers.StartOf(ctx, store, a.Name, a.Stream)
	if err != nil {
		return nil, err
	}
	shards, err := consumers.Shards(ctx, data.aws, name, start)
	if err != nil {
		return nil, err
	}
	ledger, err := ledgerOf(ctx, store, a.Name, a.Stream)
	if err != nil {
		return nil, err
	}
	ended := false
	for _, c := range list {
		ended = ended || !c.Reached.IsZero()
	}
	for _, id := range shards {
		if !ended && !slices.ContainsFunc(list, func(c consumers.Checkpoint) bool { return c.Shard == id }) {
			list = append(list, consumers.Checkpoint{Shard: id})
		}
	}
	slices.SortFunc(list, func(a, b consumers.Checkpoint) int { return cmp.Compare(a.Shard, b.Shard) })
	now := time.Now()
	var out []checkpointLine
	for _, c := range list {
		v := checkpointLine{App: a.Name, Stream: name, Shard: c.Shard, Position: c.Seq, Arrived: c.Arrived, State: "idle", Owner: c.Owner, Epoch: c.Epoch, Ledger: ledger[c.Shard].To}
		if !c.Updated.IsZero() {
			v.AgeSeconds = max(now.Sub(c.Updated).Seconds(), 0)
		}
		switch {
		case c.Finished:
			v.Position, v.State = "SHARD_END", "finished"
		case !c.Reached.IsZero():
			v.State = "ended"
		case c.Owner != "":
			v.State = "reading"
		case c.Epoch == 0 && c.Seq == "":
			v.State = "waiting"
		}
		// Shards that are born later are read whole, whatever the start.
		if v.Position == "" && (!start.Time.IsZero() || start.Shard == c.Shard) {
			v.From = start.String()
		}
		if !c.Finished && c.Reached.IsZero() && slices.Contains(shards, c.Shard) {
			lag, err := consumers.MeasureLag(ctx, data.aws, name, c.Shard, c.Seq, start, count)
			if err != nil {
				return nil, err
			}
			v.LagRecords, v.More = lag.Records, lag.More
			if !lag.Oldest.IsZero() {
				v.LagSeconds = max(now.Sub(lag.Oldest).Seconds(), 0)
			}
		}
		out = append(out, v)
	}
	return out, nil
}

// ledgerOf is the lake's ledger of an application, by shard.
func ledgerOf(ctx context.Context, store coord.Store, app, stream string) (map[string]lake.Item, error) {
	rows, err := coord.All(ctx, store, lake.LedgerPart(app, stream))
	if err != nil {
		return nil, err
	}
	out := map[string]lake.Item{}
	for _, r := range rows {
		it, _, err := lake.ReadItem(ctx, store, app, stream, r.Sort)
		if err != nil {
			return nil, err
		}
		out[r.Sort] = it
	}
	return out, nil
}

func listSaved(ctx context.Context, o Options, format string, out io.Writer) error {
	return withStore(ctx, o, func(store coord.Store) error {
		all, err := consumers.ListSaved(ctx, store)
		if err != nil {
			return err
		}
		l := listing{columns: []string{"name", "app", "saved", "streams", "shards"}}
		for _, s := range all {
			printSaved(&l, s)
		}
		return l.print(out, format)
	})
}

func printSaved(l *listing, s consumers.Saved) {
	var names []string
	shards := 0
	for id, m := range s.Streams {
		names = append(names, streamName(id))
		shards += len(m)
	}
	slices.Sort(names)
	l.add(struct {
		Name    string    `json:"name"`
		App     string    `json:"app"`
		Saved   time.Time `json:"saved"`
		Streams []string  `json:"streams"`
		Shards  int       `json:"shards"`
	}{s.Name, s.App, s.At.Truncate(time.Second), names, shards}, s.Name, s.App, s.At.UTC().Format(time.DateTime), strings.Join(names, " "), fmt.Sprint(shards))
}

// CheckpointsSave keeps where an application is under a name.
func CheckpointsSave(ctx context.Context, o Options, name, app string, replace bool, format string, out io.Writer) error {
	return withPlaces(ctx, o, func(c *core, data *dataDir, store coord.Store) error {
		apps, err := knownApps(ctx, c, data, store, app)
		if err != nil {
			return err
		}
		var ids []string
		for _, a := range apps {
			ids = append(ids, a.Stream)
		}
		if len(ids) == 0 {
			return usagef("application %s has no checkpoints on %s; nagare checkpoints list shows who has", app, strings.Join(streams(c.config), ", "))
		}
		saved, err := consumers.SaveCheckpoint(ctx, store, name, app, ids, replace)
		if errors.Is(err, consumers.ErrTaken) {
			return usagef("%w; --replace puts this one in its place", err)
		}
		if err != nil {
			return &Usage{err}
		}
		l := listing{columns: []string{"name", "app", "saved", "streams", "shards"}}
		printSaved(&l, saved)
		return l.print(out, format)
	})
}

// CheckpointsSet makes an application begin elsewhere at its next start. lease
// is how long leases of it may be (serve --lease).
func CheckpointsSet(ctx context.Context, o Options, app, to, stream string, lease time.Duration, out io.Writer) error {
	start, err := consumers.ParsePosition(to, time.Now())
	if err != nil {
		return usagef("--to: %w", err)
	}
	if !start.Archive.IsZero() {
		return usagef("--to %s: an application reads its stream; replay reads the archive", to)
	}
	if strings.HasPrefix(app, "replay-") {
		return usagef("%s is a replay, and begins where its command says: use replay --restart, or another --name", app)
	}
	return withPlaces(ctx, o, func(c *core, data *dataDir, store coord.Store) error {
		apps, err := knownApps(ctx, c, data, store, app)
		if err != nil {
			return err
		}
		names := streams(c.config)
		var chosen []consumers.App
		for _, a := range apps {
			bulk := streamName(a.Stream) == names[1]
			there, err := consumers.StartsOn(ctx, store, start, a.Stream)
			if err != nil {
				return &Usage{err}
			}
			if there && (stream == "" && !(bulk && start.Shard != "") || stream == "all" || stream == "bulk" == bulk && stream != "") {
				chosen = append(chosen, a)
			}
		}
		if len(chosen) == 0 {
			return usagef("application %s has no checkpoints to set to %s; nagare checkpoints list shows who has", app, to)
		}
		for _, a := range chosen {
			if err := onStream(ctx, data, streamName(a.Stream), "--to", start); err != nil {
				return err
			}
			if err := keepsLedger(ctx, store, a, start); err != nil {
				return err
			}
			if data.ours() {
				continue // nobody else can be at work: we hold the folder
			}
			running, err := consumers.Running(ctx, store, a.Name, a.Stream, lease)
			if err != nil {
				return err
			}
			if running {
				return usagef("%s is running on %s: stop it first, or it would go on from where it is", a.Name, streamName(a.Stream))
			}
		}
		for _, a := range chosen {
			if err := consumers.SetCheckpoints(ctx, store, a.Name, a.Stream, start); err != nil {
				return err
			}
			fmt.Fprintf(out, "%s begins on %s at %s when it next starts\n", a.Name, streamName(a.Stream), start)
		}
		return nil
	})
}

// onStream refuses a place, given by a flag, that never was on a stream.
func onStream(ctx context.Context, data *dataDir, stream, flag string, start consumers.Start) error {
	err := consumers.CheckStart(ctx, data.aws, stream, start)
	switch {
	case errors.Is(err, consumers.ErrNoPlace):
		return usagef("%s: %w", flag, err)
	case err != nil && !notFound(err):
		return unreachablef("%w", err)
	}
	return nil
}

// keepsLedger refuses what an application with a lake would not heed. Its
// place is the ledger, which never goes back, for the lake holds each event
// once; and forward would leave a hole. Only a checkpoint that says what the
// ledger says is as good as any.
func keepsLedger(ctx context.Context, store coord.Store, a consumers.App, start consumers.Start) error {
	ledger, err := ledgerOf(ctx, store, a.Name, a.Stream)
	if err != nil {
		return err
	}
	places := map[string]string{}
	if start.App != "" || start.Checkpoint != "" {
		if places, err = consumers.Places(ctx, store, start, a.Stream); err != nil {
			return err
		}
	}
	if start.Shard != "" {
		places[start.Shard] = start.Seq
	}
	for shard, it := range ledger {
		if it.N == 0 {
			continue
		}
		if to := places[shard]; nagare.CompareSeq(to, it.To) == 0 && to != "" || to == "SHARD_END" && it.Closed {
			continue
		}
		return usagef("%s fills a lake, and reads on from its ledger, not from the checkpoint: %s is committed up to %s. "+
			"The ledger is not moved back, or the lake would hold events twice, nor on, or it would lack some. "+
			"To have events in a lake again: nagare replay --app compact --from %s --into FOLDER", a.Name, shard, it.To, start)
	}
	return nil
}
