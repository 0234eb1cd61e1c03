package consumers

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"

	"nagare/internal/coord"
)

// savedPart holds the saved checkpoints, one row each, by name: so that saving
// one is a single write.
const savedPart = "checkpoints"

// appsPart lists the applications that ever began on a stream.
const appsPart = "lease-apps"

var validName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$`)

// ValidName says whether a checkpoint or a replay may be called so.
func ValidName(name string) bool { return validName.MatchString(name) }

// ErrUnknown means that nothing was saved under a name.
var ErrUnknown = errors.New("there is no such checkpoint")

// ErrTaken means that a checkpoint of this name exists.
var ErrTaken = errors.New("a checkpoint of this name exists")

// A Saved is the checkpoints of an application at one time, under a name.
type Saved struct {
	Name string    `json:"name"`
	App  string    `json:"app"`
	At   time.Time `json:"at"`
	// Streams has the checkpoints by stream, as StreamID names it, and shard.
	Streams map[string]map[string]Checkpoint `json:"streams"`
}

// seq is the checkpoint as a lease keeps it.
func (c Checkpoint) seq() string {
	if c.Finished {
		return shardEnd
	}
	return c.Seq
}

// SaveCheckpoint keeps where app is on the streams, under a name that
// Start.Checkpoint can name. An existing one is replaced only if that is asked
// for, or else is ErrTaken.
func SaveCheckpoint(ctx context.Context, store coord.Store, name, app string, streams []string, replace bool) (Saved, error) {
	if !ValidName(name) {
		return Saved{}, fmt.Errorf("checkpoint name %q: letters, digits and ._- only, at most 64", name)
	}
	s := Saved{Name: name, App: app, At: time.Now().UTC(), Streams: map[string]map[string]Checkpoint{}}
	for _, stream := range streams {
		list, err := Checkpoints(ctx, store, app, stream)
		if err != nil {
			return Saved{}, err
		}
		for _, c := range list {
			if s.Streams[stream] == nil {
				s.Streams[stream] = map[string]Checkpoint{}
			}
			c.Owner = ""
			s.Streams[stream][c.Shard] = c
		}
	}
	if len(s.Streams) == 0 {
		return Saved{}, fmt.Errorf("application %s has no checkpoints on %s", app, strings.Join(streams, ", "))
	}
	var before Saved
	version, err := coord.GetJSON(ctx, store, savedPart, name, &before)
	switch {
	case err == nil && !replace:
		return before, fmt.Errorf("%w: %s, of %s", ErrTaken, name, before.At.Format(time.RFC3339))
	case err != nil && !errors.Is(err, coord.ErrNotFound):
		return Saved{}, err
	}
	_, err = coord.PutJSON(ctx, store, savedPart, name, s, version)
	if errors.Is(err, coord.ErrConflict) {
		err = fmt.Errorf("%w: another process was faster", ErrTaken)
	}
	return s, err
}

// ListSaved lists the saved checkpoints by name.
func ListSaved(ctx context.Context, store coord.Store) ([]Saved, error) {
	rows, err := coord.All(ctx, store, savedPart)
	if err != nil {
		return nil, err
	}
	var out []Saved
	for _, r := range rows {
		s, err := readSaved(ctx, store, r.Sort)
		if errors.Is(err, ErrUnknown) {
			continue
		}
		if err != nil {
			return nil, err
		}
		out = append(out, s)
	}
	return out, nil
}

func readSaved(ctx context.Context, store coord.Store, name string) (Saved, error) {
	var s Saved
	_, err := coord.GetJSON(ctx, store, savedPart, name, &s)
	if errors.Is(err, coord.ErrNotFound) {
		err = permanent{fmt.Errorf("%w: %s; nagare checkpoints list --saved shows them", ErrUnknown, name)}
	}
	return s, err
}

// StartsOn says whether a Start means something on a stream: one that names
// another application, or a saved checkpoint, does where that has places.
func StartsOn(ctx context.Context, store coord.Store, s Start, stream string) (bool, error) {
	switch {
	case s.Checkpoint != "":
		saved, err := readSaved(ctx, store, s.Checkpoint)
		return len(saved.Streams[stream]) > 0, err
	case s.App != "":
		rows, err := leaseRows(ctx, store, leasePart(s.App, stream))
		return len(rows) > 0, err
	}
	return true, nil
}

// Places are the checkpoints, by shard, that a Start with an application or a
// saved checkpoint names; SHARD_END is that of a finished shard.
func Places(ctx context.Context, store coord.Store, s Start, stream string) (map[string]string, error) {
	rows, err := s.rows(ctx, store, stream)
	if err != nil {
		return nil, err
	}
	out := map[string]string{}
	for shard, row := range rows {
		out[shard] = row.Checkpoint
	}
	return out, nil
}

// Shards lists the ids of a stream's shards that an application reads which
// began at start, closed ones included.
func Shards(ctx context.Context, cfg aws.Config, stream string, start Start) ([]string, error) {
	t := &topology{client: kinesis.NewFromConfig(cfg), stream: stream, only: start.Shard}
	_, shards, err := t.get(ctx, 0)
	if err != nil {
		return nil, err
	}
	return slices.Sorted(maps.Keys(shards)), nil
}

// An App is an application that began on a stream.
type App struct {
	Name string `json:"name"`
	// Stream is name and creation time, as StreamID returns it.
	Stream string `json:"stream"`
}

// registerApp notes that an application began on a stream, so that it can be
// listed.
func registerApp(ctx context.Context, l *leases) error {
	name, stream, ok := strings.Cut(strings.TrimPrefix(l.part, "lease/"), "/")
	if !ok {
		return fmt.Errorf("leases at %q", l.part)
	}
	_, err := coord.PutJSON(ctx, l.store, appsPart, stream+"/"+name, App{name, stream}, 0)
	if errors.Is(err, coord.ErrConflict) {
		return nil
	}
	return err
}

// Apps lists the applications that ever began on a stream, by stream and name.
func Apps(ctx context.Context, store coord.Store) ([]App, error) {
	rows, err := coord.All(ctx, store, appsPart)
	if err != nil {
		return nil, err
	}
	var out []App
	for _, r := range rows {
		stream, name, ok := strings.Cut(r.Sort, "/")
		if ok {
			out = append(out, App{name, stream})
		}
	}
	return out, nil
}

// Running says whether some worker has a lease of the application and renews
// it. Leases that nobody gave back are watched for a whole lease time, as a
// worker would before it takes them.
func Running(ctx context.Context, store coord.Store, app, stream string, lease time.Duration) (bool, error) {
	part := leasePart(app, stream)
	owned := func() (map[string]int64, error) {
		rows, err := coord.All(ctx, store, part)
		if err != nil {
			return nil, err
		}
		held, err := leaseRows(ctx, store, part)
		if err != nil {
			return nil, err
		}
		versions := map[string]int64{}
		for _, r := range rows {
			if held[r.Sort].Owner != "" {
				versions[r.Sort] = r.Version
			}
		}
		return versions, nil
	}
	first, err := owned()
	if err != nil || len(first) == 0 {
		return false, err
	}
	for end := time.Now().Add(lease + lease/2); time.Now().Before(end); {
		select {
		case <-ctx.Done():
			return false, ctx.Err()
		case <-time.After(min(lease/4, time.Second)):
		}
		now, err := owned()
		if err != nil {
			return false, err
		}
		for shard, v := range now {
			if was, ok := first[shard]; !ok || was != v {
				return true, nil
			}
		}
	}
	return false, nil
}

// SetCheckpoints makes an application begin at a position when it next starts.
// Nobody may work for it meanwhile (see Running): who still has a lease loses
// it. It is the one way by which a checkpoint goes back.
func SetCheckpoints(ctx context.Context, store coord.Store, app, stream string, to Start) error {
	if err := to.check(); err != nil {
		return err
	}
	if !to.Archive.IsZero() {
		return errors.New("an application reads its stream, not the archive")
	}
	places := map[string]leaseRow{}
	if to.App != "" || to.Checkpoint != "" {
		var err error
		if places, err = to.rows(ctx, store, stream); err != nil {
			return err
		}
	}
	l := &leases{store: store, part: leasePart(app, stream)}
	rows, err := leaseRows(ctx, store, l.part)
	if err != nil {
		return err
	}
	// Every shard first, without a position of its own; then where those
	// begin; so what is cut short is finished by the same command again.
	for shard := range places {
		if _, ok := rows[shard]; !ok {
			rows[shard] = leaseRow{}
		}
	}
	for shard := range rows {
		row, version, err := l.read(ctx, shard)
		if err != nil {
			return err
		}
		place := places[shard]
		// The epoch grows, so that a worker that comes back finds that the
		// tenure is not its own.
		row = leaseRow{Epoch: row.Epoch + 1, Checkpoint: place.Checkpoint, Arrived: place.Arrived, Updated: time.Now().UTC()}
		if _, err := coord.PutJSON(ctx, store, l.part, shard, row, version); err != nil {
			return fmt.Errorf("checkpoint of %s: %w", shard, err)
		}
	}
	var kept Start
	version, err := coord.GetJSON(ctx, store, l.part, startRow, &kept)
	if err != nil && !errors.Is(err, coord.ErrNotFound) {
		return err
	}
	if _, err := coord.PutJSON(ctx, store, l.part, startRow, to, version); err != nil {
		return fmt.Errorf("start of %s: %w", app, err)
	}
	return registerApp(ctx, l)
}
