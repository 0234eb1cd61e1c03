package consumers

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"

	"nagare"
	"nagare/internal/coord"
)

// A Start says where an application begins in shards that it has no
// checkpoint for. The zero Start is the oldest record kept, and what every
// shard made later by resharding starts with in any case.
type Start struct {
	// Time starts at the records that arrived then or later.
	Time time.Time `json:"time,omitzero"`
	// Shard and Seq start one shard at a record, inclusive. Only that shard
	// and the shards made of it are read.
	Shard string `json:"shard,omitempty"`
	Seq   string `json:"seq,omitempty"`
	// App starts every shard where this application's checkpoint is.
	App string `json:"app,omitempty"`
	// Checkpoint starts every shard where the checkpoint saved under this name
	// is; see SaveCheckpoint.
	Checkpoint string `json:"checkpoint,omitempty"`
	// Archive reads the lake's archive instead of the stream, from this time
	// on. It is for RunArchive alone.
	Archive time.Time `json:"archive,omitzero"`
}

// IsZero says whether s is the oldest record kept.
func (s Start) IsZero() bool { return s == Start{} }

// String returns s as ParsePosition takes it.
func (s Start) String() string {
	switch {
	case s.Shard != "":
		return "seq:" + s.Shard + ":" + s.Seq
	case s.App != "":
		return "app:" + s.App
	case s.Checkpoint != "":
		return "checkpoint:" + s.Checkpoint
	case !s.Archive.IsZero():
		return "archive:" + s.Archive.Format(time.RFC3339Nano)
	case !s.Time.IsZero():
		return s.Time.Format(time.RFC3339Nano)
	}
	return "TRIM_HORIZON"
}

func (s Start) check() error {
	n := 0
	if !s.Time.IsZero() {
		n++
	}
	if s.Shard != "" || s.Seq != "" {
		n++
		if s.Shard == "" || !nagare.ValidSeq(s.Seq) {
			return fmt.Errorf("start at shard %q, sequence number %q: not a position", s.Shard, s.Seq)
		}
	}
	if s.App != "" {
		n++
		if !validApp.MatchString(s.App) {
			return fmt.Errorf("start where application %q is: not a name", s.App)
		}
	}
	if s.Checkpoint != "" {
		n++
		if !ValidName(s.Checkpoint) {
			return fmt.Errorf("start at checkpoint %q: not a name", s.Checkpoint)
		}
	}
	if !s.Archive.IsZero() {
		n++
	}
	if n > 1 {
		return errors.New("start: a time, a sequence number, an application, a checkpoint or the archive, not several")
	}
	return nil
}

// ParsePosition reads a position as the command line takes it: an RFC 3339
// time, -DURATION before now, TRIM_HORIZON, seq:SHARD:NUMBER, app:NAME,
// checkpoint:NAME or archive:RFC3339.
func ParsePosition(text string, now time.Time) (Start, error) {
	var s Start
	switch {
	case text == "TRIM_HORIZON":
		return s, nil
	case strings.HasPrefix(text, "seq:"):
		var ok bool
		if s.Shard, s.Seq, ok = strings.Cut(text[len("seq:"):], ":"); !ok || s.Shard == "" {
			return Start{}, fmt.Errorf("position %q: want seq:SHARD:NUMBER", text)
		}
	case strings.HasPrefix(text, "app:"):
		if s.App = text[len("app:"):]; s.App == "" {
			return Start{}, fmt.Errorf("position %q: want app:NAME", text)
		}
	case strings.HasPrefix(text, "checkpoint:"):
		if s.Checkpoint = text[len("checkpoint:"):]; s.Checkpoint == "" {
			return Start{}, fmt.Errorf("position %q: want checkpoint:NAME", text)
		}
	case strings.HasPrefix(text, "archive:"):
		t, err := parseTime(text[len("archive:"):], now)
		if err != nil {
			return Start{}, fmt.Errorf("position %q: want archive:TIME, as archive:2006-01-02T15:04:05Z or archive:-24h", text)
		}
		s.Archive = t
	default:
		t, err := parseTime(text, now)
		if err != nil {
			return Start{}, err
		}
		s.Time = t
	}
	if err := s.check(); err != nil {
		return Start{}, fmt.Errorf("position %q: %w", text, err)
	}
	return s, nil
}

// ParseEnd reads the end of a replay: an RFC 3339 time, -DURATION before now,
// or "tip" (also ""), which is now: what has arrived when the replay starts.
func ParseEnd(text string, now time.Time) (time.Time, error) {
	if text == "" || text == "tip" {
		return now, nil
	}
	return parseTime(text, now)
}

func parseTime(text string, now time.Time) (time.Time, error) {
	if strings.HasPrefix(text, "-") {
		if d, err := time.ParseDuration(text[1:]); err == nil && d >= 0 {
			return now.Add(-d), nil
		}
	} else if t, err := time.Parse(time.RFC3339, text); err == nil {
		return t, nil
	}
	return time.Time{}, fmt.Errorf("position %q: want a time as 2006-01-02T15:04:05Z, a duration as -1h30m, TRIM_HORIZON, seq:SHARD:NUMBER, app:NAME, checkpoint:NAME or archive:TIME", text)
}

// startRow is the sort of the row, among the leases of an application, that
// keeps its Start.
const startRow = "@start"

// pinStart settles where the application begins: at its very first start by
// the configuration, later by what was kept then. So "start where that
// application is" means one moment, not a new one after each restart.
func pinStart(ctx context.Context, l *leases, want Start, stream string) (Start, error) {
	var kept Start
	_, err := coord.GetJSON(ctx, l.store, l.part, startRow, &kept)
	switch {
	case err == nil && !want.IsZero() && kept.String() != want.String():
		return Start{}, permanent{fmt.Errorf("the application began at %s and cannot begin at %s: use another name for it", kept, want)}
	case err == nil:
		return kept, nil
	case !errors.Is(err, coord.ErrNotFound):
		return Start{}, err
	}
	if want.App != "" || want.Checkpoint != "" {
		if err := copyCheckpoints(ctx, l, want, stream); err != nil {
			return Start{}, fmt.Errorf("start at %s: %w", want, err)
		}
	}
	if err := registerApp(ctx, l); err != nil {
		return Start{}, err
	}
	// Last, so that a copy cut short is finished at the next start.
	_, err = coord.PutJSON(ctx, l.store, l.part, startRow, want, 0)
	if errors.Is(err, coord.ErrConflict) {
		return pinStart(ctx, l, want, stream) // another worker was faster
	}
	return want, err
}

// StartOf is where an application begins in shards that it has no checkpoint
// for, as its first start or SetCheckpoints settled it; the zero Start before.
func StartOf(ctx context.Context, store coord.Store, app, stream string) (Start, error) {
	var kept Start
	_, err := coord.GetJSON(ctx, store, leasePart(app, stream), startRow, &kept)
	if errors.Is(err, coord.ErrNotFound) {
		err = nil
	}
	return kept, err
}

// iterator asks for where s begins in a shard without a checkpoint.
func (s Start) iterator(stream, shard string) *kinesis.GetShardIteratorInput {
	in := &kinesis.GetShardIteratorInput{StreamName: &stream, ShardId: &shard, ShardIteratorType: types.ShardIteratorTypeTrimHorizon}
	switch {
	case s.Shard == shard:
		in.ShardIteratorType, in.StartingSequenceNumber = types.ShardIteratorTypeAtSequenceNumber, &s.Seq
	case !s.Time.IsZero():
		in.ShardIteratorType, in.Timestamp = types.ShardIteratorTypeAtTimestamp, &s.Time
	}
	return in
}

// copyCheckpoints gives the application the checkpoints of another one, or
// saved ones.
func copyCheckpoints(ctx context.Context, l *leases, want Start, stream string) error {
	rows, err := want.rows(ctx, l.store, stream)
	if err != nil {
		return err
	}
	for shard, row := range rows {
		if row.Checkpoint == "" {
			continue
		}
		row = leaseRow{Checkpoint: row.Checkpoint, Arrived: row.Arrived, Updated: time.Now().UTC()}
		if _, err := coord.PutJSON(ctx, l.store, l.part, shard, row, 0); err != nil && !errors.Is(err, coord.ErrConflict) {
			return err
		}
	}
	return nil
}

// rows are the checkpoints, by shard, that s names: those of another
// application, or saved ones.
func (s Start) rows(ctx context.Context, store coord.Store, stream string) (map[string]leaseRow, error) {
	if s.Checkpoint != "" {
		saved, err := readSaved(ctx, store, s.Checkpoint)
		if err != nil {
			return nil, err
		}
		if len(saved.Streams[stream]) == 0 {
			return nil, permanent{fmt.Errorf("checkpoint %s has nothing of this stream", s.Checkpoint)}
		}
		rows := map[string]leaseRow{}
		for shard, c := range saved.Streams[stream] {
			rows[shard] = leaseRow{Checkpoint: c.seq(), Arrived: c.Arrived, Updated: c.Updated}
		}
		return rows, nil
	}
	rows, err := leaseRows(ctx, store, leasePart(s.App, stream))
	if err == nil && len(rows) == 0 {
		err = permanent{errors.New("there is no such application on this stream")}
	}
	return rows, err
}

// leaseRows reads the rows of an application's shards.
func leaseRows(ctx context.Context, store coord.Store, part string) (map[string]leaseRow, error) {
	all, err := coord.All(ctx, store, part)
	if err != nil {
		return nil, err
	}
	rows := map[string]leaseRow{}
	for _, r := range all {
		if r.Sort == startRow {
			continue
		}
		var row leaseRow
		if err := json.Unmarshal(r.Value, &row); err != nil {
			return nil, fmt.Errorf("lease of %s: %w", r.Sort, err)
		}
		rows[r.Sort] = row
	}
	return rows, nil
}
