package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"nagare/consumers"
	"nagare/consumers/live"
	"nagare/internal/alert"
	"nagare/internal/coord"
)

// ReplayOptions are the flags of replay.
type ReplayOptions struct {
	From, To       string
	DryRun, Notify bool
	Format         string
	Out, Progress  io.Writer
}

// Replay reads the events stream again, under a name of its own, and evaluates
// the rules on it. Live alerts are neither joined nor hidden: its rows have
// the origin replay:NAME.
func Replay(ctx context.Context, o Options, r ReplayOptions) error {
	now := time.Now()
	start, err := consumers.ParsePosition(r.From, now)
	if err != nil {
		return usagef("--from: %w", err)
	}
	end, err := consumers.ParseEnd(r.To, now)
	if err != nil {
		return usagef("--to: %w", err)
	}
	if !start.Time.IsZero() && !start.Time.Before(end) {
		return usagef("--to %s is not after --from %s", end.UTC().Format(time.RFC3339), start.Time.UTC().Format(time.RFC3339))
	}
	if r.DryRun && r.Notify {
		return usagef("--dry-run writes no alerts, so there is nothing for --notify to send")
	}
	c, err := loadCore(o, selection{})
	if err != nil {
		return err
	}
	if err := c.err(); err != nil {
		return err
	}
	data, err := openData(ctx, o, c.config, "127.0.0.1:0")
	if err != nil {
		return err
	}
	store, err := openCoord(ctx, o, c.config.Coord)
	if err != nil {
		return errors.Join(err, data.close())
	}
	err = replay(ctx, o, r, c, data, store, start, end)
	return errors.Join(err, store.Close(), data.close())
}

func replay(ctx context.Context, o Options, r ReplayOptions, c *core, data *dataDir, store coord.Store, start consumers.Start, end time.Time) error {
	name := "replay-" + time.Now().UTC().Format("20060102T150405.000")
	origin := "replay:" + name
	alerts := alert.NewStore(store, alert.Config{Route: c.route, Log: o.Log})
	found := &replayMatches{}
	record := func(ctx context.Context, matches ...alert.Match) error {
		found.add(matches)
		if r.DryRun {
			return nil
		}
		return alerts.Record(ctx, matches...)
	}
	stats, monitor := &live.Stats{}, &consumers.Monitor{}
	cfg := consumers.Config{
		App: name, Stream: c.config.Stream.Name, Kinesis: data.aws, Coord: store, FanOut: true, Start: start, End: end, LeaseTime: 10 * time.Second,
		DefaultSource: "unknown", Monitor: monitor, Log: o.Log,
		NewStage: live.New(live.Config{Normalize: c.normalizer(), Eval: c.eval(origin, r.Notify), Record: record, Stats: stats}),
	}
	began := time.Now()
	bar := newBar(r.Progress, -1, "replaying")
	running, stop := context.WithCancel(ctx)
	shown := make(chan struct{})
	go func() {
		defer close(shown)
		tick := time.NewTicker(200 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-running.Done():
				return
			case <-tick.C:
				_ = bar.Set64(int64(monitor.Health().Counts.Bytes))
			}
		}
	}()
	err := consumers.Run(ctx, cfg)
	stop()
	<-shown
	_ = bar.Finish()
	if err != nil {
		return unreachablef("replay: %w", err)
	}
	if ctx.Err() != nil {
		return fmt.Errorf("replay stopped after %d events, before its end", stats.Events.Load())
	}
	if r.Notify {
		if err := deliverReplay(ctx, o, c, alerts, r.Out, origin); err != nil {
			return err
		}
	}
	seconds := time.Since(began).Seconds()
	fmt.Fprintf(r.Progress, "%d events evaluated in %.1f s (%.0f events/s), %d unusable, %d skipped, %d matches; origin %s\n",
		stats.Events.Load(), seconds, float64(stats.Events.Load())/seconds, stats.Unusable.Load(), stats.Skipped.Load(), stats.Matches.Load(), origin)
	return found.print(r.Out, r.Format)
}

// deliverReplay sends the alerts of a replay and returns when nothing waits.
func deliverReplay(ctx context.Context, o Options, c *core, alerts *alert.Store, out io.Writer, origin string) error {
	receivers, err := receiversOf(c.config, out)
	if err != nil {
		return err
	}
	sender := alert.NewSender(alerts, alert.SenderConfig{Receivers: receivers, Second: alert.NewTerminal(out), Log: o.Log})
	sending, stop := context.WithCancel(ctx)
	done := make(chan error, 1)
	go func() { done <- sender.Run(sending) }()
	defer func() {
		stop()
		<-done
	}()
	for {
		entries, err := alerts.List(ctx, alert.Filter{Origin: origin})
		if err != nil {
			return err
		}
		waiting := 0
		for _, e := range entries {
			for _, d := range e.Deliveries {
				if d.State == alert.Pending || d.State == alert.Sending {
					waiting++
				}
			}
		}
		if waiting == 0 {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(200 * time.Millisecond):
		}
	}
}

// replayMatches gathers the alerts of a replay for its answer, at most
// maxReplayAlerts of them.
type replayMatches struct {
	mu    sync.Mutex
	seen  map[string]*replayAlert
	order []*replayAlert
}

const maxReplayAlerts = 10_000

type replayAlert struct {
	ID       string    `json:"id"`
	Rule     string    `json:"rule"`
	Key      string    `json:"key"`
	Severity string    `json:"severity"`
	First    time.Time `json:"first"`
	Count    int       `json:"count"`
	Text     string    `json:"text"`
}

func (f *replayMatches) add(matches []alert.Match) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.seen == nil {
		f.seen = map[string]*replayAlert{}
	}
	for _, m := range matches {
		id := alert.ID(m.Rule, m.Key, m.EventUID, m.EventTime, m.Dedupe)
		a := f.seen[id]
		if a == nil {
			if len(f.order) == maxReplayAlerts {
				continue
			}
			a = &replayAlert{ID: id, Rule: m.Rule, Key: m.Key, Severity: m.Severity, First: m.EventTime, Text: m.Text}
			f.seen[id], f.order = a, append(f.order, a)
		}
		a.Count++
		if m.EventTime.Before(a.First) {
			a.First = m.EventTime
		}
	}
}

func (f *replayMatches) print(out io.Writer, format string) error {
	l := listing{columns: []string{"id", "severity", "first", "count", "rule", "key", "text"}}
	for _, a := range f.order {
		l.add(a, a.ID[:min(12, len(a.ID))], a.Severity, a.First.UTC().Format(time.DateTime), fmt.Sprint(a.Count), a.Rule, a.Key, a.Text)
	}
	return l.print(out, format)
}
