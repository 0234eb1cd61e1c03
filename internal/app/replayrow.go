package app

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"
	"github.com/gofrs/flock"
	"github.com/segmentio/ksuid"

	"nagare/consumers"
	"nagare/internal/coord"
)

// replayPart holds a row for each replay, by name.
const replayPart = "replays"

// The states of a replay.
const (
	replayRunning = "running"
	replayDone    = "done"
)

// A replayRow is what is kept of a replay: what it is to do, so that the same
// command later does the same, and how it went.
type replayRow struct {
	Name string `json:"name"`
	// Generation is 1, and one more each time it is begun anew.
	Generation int `json:"generation"`
	// ID is new for each generation: it marks the lake that is filled.
	ID   string `json:"id"`
	App  string `json:"app"`
	From string `json:"from"`
	To   string `json:"to"`
	Into string `json:"into,omitempty"`
	// Start and End are what From and To meant when it began.
	Start   consumers.Start `json:"start"`
	End     time.Time       `json:"end"`
	Streams []string        `json:"streams"`
	State   string          `json:"state"`
	// Owned says that the lake was claimed.
	Owned bool            `json:"owned,omitempty"`
	Begun time.Time       `json:"begun"`
	Ended time.Time       `json:"ended,omitzero"`
	Gaps  []consumers.Gap `json:"gaps,omitempty"`

	version int64
}

// generation is the name, with the number of the generation from the second on.
func (r *replayRow) generation() string {
	if r.Generation > 1 {
		return fmt.Sprintf("%s.%d", r.Name, r.Generation)
	}
	return r.Name
}

// name is the name that was given, or one that follows from the arguments: so
// the same command means the same replay.
func (r *ReplayOptions) name() string {
	if r.Name != "" {
		return r.Name
	}
	sum := sha256.Sum256([]byte(strings.Join([]string{r.App, r.From, r.To, r.Into, r.Stream, fmt.Sprint(r.Notify)}, "\x00")))
	return r.App + "-" + hex.EncodeToString(sum[:4])
}

// lockReplay sees that nobody else works on the replay.
func lockReplay(dir, name string) (unlock func(), err error) {
	if err := os.MkdirAll(filepath.Join(dir, "replays"), 0o700); err != nil {
		return nil, usagef("data folder: %w", err)
	}
	lock := flock.New(filepath.Join(dir, "replays", name+".lock"), flock.SetPermissions(0o600))
	held, err := lock.TryLock()
	if err != nil {
		return nil, usagef("lock of replay %s: %w", name, err)
	}
	if !held {
		return nil, usagef("replay %s is running already, in another process; --name NAME begins another", name)
	}
	return func() { _ = lock.Unlock() }, nil
}

// row finds the row of the replay, or makes it.
func (w *replay) row(ctx context.Context, start consumers.Start, end, now time.Time) error {
	var old replayRow
	version, err := coord.GetJSON(ctx, w.store, replayPart, w.name(), &old)
	if err != nil && !errors.Is(err, coord.ErrNotFound) {
		return err
	}
	streams := w.chosen(start)
	if version != 0 && !w.Restart && !w.DryRun {
		if old.App != w.App || old.From != w.From || old.To != w.To || old.Into != w.Into || !slices.Equal(old.Streams, streams) {
			return usagef("replay %s was begun with --app %s --from %s%s%s; use another --name, or --restart", old.Name, old.App, old.From, flag("--to", old.To), flag("--into", old.Into))
		}
		w.kept, w.kept.version = old, version
		if old.State != replayDone {
			fmt.Fprintf(w.Progress, "replay %s goes on: from %s to %s, begun at %s\n", old.Name, old.Start, old.End.Format(time.RFC3339), old.Begun.Format(time.RFC3339))
		}
		return nil
	}
	for _, name := range streams {
		if err := onStream(ctx, w.data, name, "--from", start); err != nil {
			return err
		}
	}
	w.kept = replayRow{
		Name: w.name(), Generation: old.Generation + 1, ID: ksuid.New().String(), App: w.App, From: w.From, To: w.To, Into: w.Into,
		Start: start, End: end, Streams: streams, State: replayRunning, Begun: now.UTC().Truncate(time.Second), version: version,
	}
	return w.keep(ctx)
}

func flag(name, value string) string {
	if value == "" {
		return ""
	}
	return " " + name + " " + value
}

// keep writes the row.
func (w *replay) keep(ctx context.Context) (err error) {
	w.kept.version, err = coord.PutJSON(ctx, w.store, replayPart, w.kept.Name, w.kept, w.kept.version)
	if err != nil {
		return fmt.Errorf("row of replay %s: %w", w.kept.Name, err)
	}
	return nil
}

// forget removes the row of a replay that could not even begin, so that the
// name is free for another.
func (w *replay) forget(ctx context.Context) error {
	if w.kept.Generation > 1 || w.DryRun {
		return nil
	}
	return w.store.Delete(ctx, replayPart, w.kept.Name, w.kept.version)
}

// done notes that it is.
func (w *replay) done(ctx context.Context) error {
	w.kept.State, w.kept.Ended = replayDone, time.Now().UTC().Truncate(time.Second)
	return w.keep(ctx)
}

// chosen are the names of the streams that are read.
func (w *replay) chosen(start consumers.Start) []string {
	names := streams(w.core.config)
	switch {
	case w.Stream == "bulk":
		return names[1:]
	case w.Stream == "all", w.Stream == "" && w.App == compactApp && start.Shard == "":
		return names
	}
	return names[:1]
}

// streamName is the name of a stream that is named by name and creation time.
func streamName(id string) string {
	name, _, _ := strings.Cut(id, "@")
	return name
}

// notFound says that a stream does not exist.
func notFound(err error) bool {
	var gone *types.ResourceNotFoundException
	return errors.As(err, &gone)
}

// streams are those that can be read: they exist, and where the start is
// another application's place, that application is on them.
func (w *replay) streams(ctx context.Context) ([]string, error) {
	var out []string
	for _, name := range w.kept.Streams {
		id, err := consumers.StreamID(ctx, w.data.aws, name)
		if notFound(err) {
			continue
		}
		if err != nil {
			return nil, err
		}
		there, err := consumers.StartsOn(ctx, w.store, w.kept.Start, id)
		if err != nil {
			return nil, &Usage{err}
		}
		if there {
			out = append(out, name)
		}
	}
	if len(out) == 0 {
		return nil, usagef("there is nothing to read: no stream of %s has %s", strings.Join(w.kept.Streams, ", "), w.kept.Start)
	}
	return out, nil
}
