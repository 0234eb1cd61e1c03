package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"github.com/gofrs/flock"
	"github.com/segmentio/ksuid"

	"nagare"
	"nagare/consumers"
	"nagare/internal/coord"
	"nagare/internal/frame"
	"nagare/internal/lake"
	"nagare/ocsf/mapping"
	"nagare/producers"
)

// redrivePart holds a mark for each dead letter that was put on the stream
// again, by its position, which no two letters share.
const redrivePart = "redriven"

// A redriveMark says what was done with a dead letter. It is written before
// the event is put, and once more after: of a letter with the first alone it
// is not known whether the event is on the stream.
type redriveMark struct {
	ID    string    `json:"id"`
	Begun time.Time `json:"begun"`
	Done  time.Time `json:"done,omitzero"`
}

func markKey(d *lake.DeadLetter) string {
	return d.Stream + "/" + d.Shard + "/" + d.Seq + "/" + strconv.Itoa(d.Index)
}

// RedriveOptions are the flags of deadletters redrive.
type RedriveOptions struct {
	DeadLettersFilter
	// Again puts what was put once already.
	Again, DryRun bool
	Format        string
	Out, Progress io.Writer
}

// What becomes of a letter.
const (
	driven       = "redriven"
	drivenBefore = "redriven-before" // by an earlier command
	landedMeant  = "in-lake"         // the occurrence is in the lake: it came again, and could be used
	stillRefused = "still-refused"   // intake could not read it, and still cannot
	notWhole     = "not-whole"       // what was kept is a part of what came
)

// A redriven letter is one line of the answer.
type redrivenLine struct {
	ID      string `json:"id"`
	Source  string `json:"source"`
	UID     string `json:"uid"`
	Reason  string `json:"reason"`
	Outcome string `json:"outcome"`
	Error   string `json:"error,omitempty"`
}

// redriveBatch is how many letters are marked and put at once.
const redriveBatch = 200

// Redrive puts dead letters on the stream again, each once, with the uid that
// it had: so what is in the lake already, or comes a second time, is not
// doubled. It returns nil when what it put is durable.
func Redrive(ctx context.Context, o Options, r RedriveOptions) error {
	if err := o.needData(false); err != nil { // the letters are there, wherever the stream is
		return err
	}
	c, err := loadCore(o, selection{onlyMappings: true, noSecrets: true})
	if err != nil {
		return err
	}
	if err := c.err(); err != nil {
		return err
	}
	return withStreams(ctx, o, c, func(c *core, data *dataDir, store coord.Store) error {
		lock := flock.New(filepath.Join(o.Data, "redrive.lock"), flock.SetPermissions(0o600))
		held, err := lock.TryLock()
		if err != nil {
			return usagef("lock of redrive: %w", err)
		}
		if !held {
			return usagef("another redrive is at work; wait for it")
		}
		defer func() { _ = lock.Unlock() }()
		d := &redrive{opts: o, RedriveOptions: r, core: c, data: data, store: store, chosen: map[string]lake.ID{}}
		err = d.run(ctx)
		if perr := d.out.print(r.Out, r.Format); err == nil {
			err = perr
		}
		put := "put on the stream again"
		if r.DryRun {
			put = "would be put on the stream again (a dry run: nothing was)"
		}
		if err != nil && len(d.out.rows) == 0 {
			return err
		}
		fmt.Fprintf(r.Progress, "%d %s, %d were before (--again repeats them), %d are in the lake, %d cannot be\n",
			d.counts[driven], put, d.counts[drivenBefore], d.counts[landedMeant], d.counts[stillRefused]+d.counts[notWhole])
		if err == nil && d.counts[stillRefused]+d.counts[notWhole] > 0 {
			err = &Found{"some letters cannot be redriven"}
		}
		return err
	})
}

type redrive struct {
	RedriveOptions
	opts  Options
	core  *core
	data  *dataDir
	store coord.Store

	objects objects
	chosen  map[string]lake.ID // by the letters' keys: those there are when it begins
	landed  map[lake.ID]bool
	intake  *producers.Intake
	caught  catcher
	put     func(ctx context.Context, stream string, events []nagare.Event) error

	out    listing
	counts map[string]int
}

func (d *redrive) run(ctx context.Context) (err error) {
	d.out.columns = []string{"id", "source", "reason", "outcome", "error"}
	d.counts = map[string]int{}
	if d.objects, err = openObjects(d.opts, d.core.config); err != nil {
		return err
	}
	if err := d.choose(ctx); err != nil {
		return err
	}
	if len(d.chosen) == 0 {
		return d.knownReason(ctx, d.opts)
	}
	key, err := d.data.hashKey()
	if err != nil {
		return fmt.Errorf("key of hashed fields: %w", err)
	}
	d.intake = producers.NewIntake(producers.Config{
		Head:   func() producers.Head { return d.core.mappings.Head(mapping.Options{HashKey: key}) },
		Events: &d.caught, Adapters: adapters, InOrder: true, Decompressed: int(d.core.config.Limits.Decompressed), Depth: d.core.config.Limits.Depth, Log: d.opts.Log,
	})
	if d.put != nil || d.DryRun { // a test's own, or none
		return d.drive(ctx)
	}
	claims, err := openClaims(d.opts, d.core.config)
	if err != nil {
		return err
	}
	writers := map[string]*producers.Writer{}
	writing, stop := context.WithCancel(context.WithoutCancel(ctx))
	done := make(chan error, 2)
	for _, name := range streams(d.core.config) {
		w := producers.NewWriter(d.data.client(), name, producers.WriterConfig{Claims: claims, Log: d.opts.Log})
		writers[name] = w
		go func() { done <- w.Run(writing) }()
	}
	d.put = func(ctx context.Context, stream string, events []nagare.Event) error {
		return writers[stream].Put(ctx, events)
	}
	err = d.drive(ctx)
	stop()
	for range writers {
		err = errors.Join(err, <-done)
	}
	return err
}

// choose notes the letters that there are, and asks the lake which of their
// occurrences it has. What becomes a dead letter while this runs waits for
// another command.
func (d *redrive) choose(ctx context.Context) error {
	marked, err := redriveMarks(ctx, d.opts)
	if err != nil {
		return err
	}
	oldest, left := time.Now(), d.Limit // to be redriven; those that were before do not count
	ids := map[lake.ID]bool{}
	err = d.each(ctx, d.opts, func(l *lake.DeadLetter) (bool, error) {
		id := lake.EventID(l.Source, l.UID)
		d.chosen[markKey(l)] = id
		if l.UID != "" {
			ids[id] = true
		}
		if l.Received.Before(oldest) {
			oldest = l.Received
		}
		if d.Again || marked[markKey(l)].Done.IsZero() {
			left--
		}
		return d.Limit <= 0 || left > 0, nil
	})
	if err != nil || len(d.chosen) == 0 {
		return err
	}
	apps, err := consumers.Apps(ctx, d.store)
	if err != nil {
		return err
	}
	var ids2 []string
	for _, a := range apps {
		if a.Name == compactApp {
			ids2 = append(ids2, a.Stream)
		}
	}
	// The occurrence may have come earlier too, and been used.
	landing := lake.Landing{App: compactApp, Streams: ids2, Coord: d.store, Stage: d.objects.stage, Since: oldest.Add(-24 * time.Hour)}
	landed, missing, err := landing.Landed(ctx, ids)
	if err != nil {
		return err
	}
	if missing > 0 {
		d.opts.Log.Warn("the ids of some commits are gone: what they hold cannot be told apart", "commits", missing)
	}
	d.landed = landed
	return nil
}

// drive works through the letters.
func (d *redrive) drive(ctx context.Context) error {
	var batch []*lake.DeadLetter
	flush := func() error {
		err := d.batch(ctx, batch)
		batch = batch[:0]
		return err
	}
	err := d.each(ctx, d.opts, func(l *lake.DeadLetter) (bool, error) {
		if _, ok := d.chosen[markKey(l)]; !ok {
			return true, nil
		}
		letter := *l
		if batch = append(batch, &letter); len(batch) < redriveBatch {
			return true, nil
		}
		return true, flush()
	})
	if err != nil {
		return err
	}
	return flush()
}

func (d *redrive) say(l *lake.DeadLetter, outcome string, err error) {
	line := redrivenLine{ID: l.ID, Source: l.Source, UID: l.UID, Reason: l.Reason, Outcome: outcome}
	if err != nil {
		line.Error = err.Error()
	}
	d.counts[outcome]++
	d.out.add(line, l.ID, l.Source, l.Reason, outcome, line.Error)
}

// batch marks some letters, puts their events, and marks them again.
func (d *redrive) batch(ctx context.Context, letters []*lake.DeadLetter) error {
	type work struct {
		letter  *lake.DeadLetter
		version int64
		mark    redriveMark
	}
	var todo []work
	byStream := map[string][]nagare.Event{}
	for _, l := range letters {
		var mark redriveMark
		version, err := coord.GetJSON(ctx, d.store, redrivePart, markKey(l), &mark)
		if err != nil && !errors.Is(err, coord.ErrNotFound) {
			return err
		}
		if !mark.Done.IsZero() && !d.Again {
			d.say(l, drivenBefore, nil)
			continue
		}
		if d.landed[d.chosen[markKey(l)]] {
			d.say(l, landedMeant, nil)
			continue
		}
		events, outcome, err := d.events(ctx, l)
		if err != nil && outcome == "" {
			return err
		}
		if outcome != "" {
			d.say(l, outcome, err)
			continue
		}
		if d.DryRun {
			d.say(l, driven, nil)
			continue
		}
		mark = redriveMark{ID: l.ID, Begun: time.Now().UTC()}
		if version, err = coord.PutJSON(ctx, d.store, redrivePart, markKey(l), mark, version); err != nil {
			return fmt.Errorf("mark dead letter %s: %w", l.ID, err)
		}
		todo = append(todo, work{l, version, mark})
		stream := d.stream(l)
		byStream[stream] = append(byStream[stream], events...)
	}
	for stream, events := range byStream {
		if err := d.put(ctx, stream, events); err != nil {
			return unreachablef("not everything is durable: %w; the same command again goes on, and repeats are found", err)
		}
	}
	for _, w := range todo {
		w.mark.Done = time.Now().UTC()
		if _, err := coord.PutJSON(ctx, d.store, redrivePart, markKey(w.letter), w.mark, w.version); err != nil {
			return fmt.Errorf("mark dead letter %s: %w", w.letter.ID, err)
		}
		d.say(w.letter, driven, nil)
	}
	return nil
}

// stream is where a letter's events go: where it came from, for repeats of an
// occurrence are found on one stream.
func (d *redrive) stream(l *lake.DeadLetter) string {
	names := streams(d.core.config)
	if name := streamName(l.Stream); slices.Contains(names, name) {
		return name
	}
	return names[0]
}

// events makes the events of a letter anew, or says why that cannot be.
func (d *redrive) events(ctx context.Context, l *lake.DeadLetter) (events []nagare.Event, outcome string, err error) {
	body, whole := l.Content()
	ev := nagare.Event{UID: l.UID, Source: l.Source, Tenant: l.Tenant, Auth: l.Auth, Time: l.Time, Received: l.Received, ContentType: l.ContentType, Body: body}
	if !whole {
		full, err := lake.OpenArchive(d.objects.archive, l.Stream).Find(ctx, l.Shard, l.Commit, l.Seq, l.Index)
		if ctx.Err() != nil {
			return nil, "", ctx.Err()
		}
		if err == nil && len(full.Body) != l.Size {
			err = fmt.Errorf("the archive has %d of %d bytes", len(full.Body), l.Size)
		}
		if err != nil {
			return nil, notWhole, err
		}
		ev.Body = full.Body
	}
	switch l.Reason {
	case consumers.ReasonBadKPL:
		return nil, stillRefused, errors.New("a record of the stream, not an event: replay the stream with a version that reads it")
	case consumers.ReasonBadFrame:
		events, err := frame.Decode(ev.Body)
		if err != nil {
			return nil, stillRefused, err
		}
		return events, "", nil
	case producers.ReasonTooLarge, producers.ReasonBomb:
		return nil, notWhole, errors.New("intake kept the beginning only: have it sent again, under the limits")
	case producers.ReasonNotJSON, producers.ReasonNotObject, producers.ReasonTooDeep, producers.ReasonBadGzip, producers.ReasonBadZstd,
		producers.ReasonBadEncoding, producers.ReasonBadCharset, producers.ReasonBadRow, producers.ReasonBadMail, producers.ReasonBadForm, producers.ReasonEmpty:
		return d.again(ctx, &ev)
	}
	// The new id tells it from the letter, should it become one again.
	if ev.ID, err = newID(); err != nil {
		return nil, "", err
	}
	return []nagare.Event{ev}, "", nil
}

// again lets intake read what it could not: mappings and limits change.
func (d *redrive) again(ctx context.Context, ev *nagare.Event) ([]nagare.Event, string, error) {
	d.caught.events = nil
	_, err := d.intake.Accept(ctx, producers.Delivery{Source: ev.Source, Tenant: ev.Tenant, Auth: ev.Auth, ContentType: ev.ContentType, Received: ev.Received, Body: ev.Body})
	if err != nil {
		return nil, "", err
	}
	var refused error
	good := 0
	for i := range d.caught.events {
		if e := &d.caught.events[i]; e.Reason != "" {
			refused = fmt.Errorf("%s: %s", e.Reason, e.Error)
		} else {
			good++
		}
	}
	if good == 0 {
		if refused == nil {
			refused = errors.New("there is nothing in it")
		}
		return nil, stillRefused, refused
	}
	return d.caught.events, "", nil
}

func newID() (string, error) {
	id, err := ksuid.NewRandom()
	return id.String(), err
}

// A catcher is a stream that keeps what it is given.
type catcher struct{ events []nagare.Event }

// Put implements producers.Putter.
func (c *catcher) Put(_ context.Context, events []nagare.Event) error {
	c.events = append(c.events, events...)
	return nil
}

var _ producers.Putter = (*catcher)(nil)
