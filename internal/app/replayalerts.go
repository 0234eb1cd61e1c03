package app

import (
	"context"
	"fmt"
	"io"
	"slices"
	"sync"
	"time"

	"nagare/internal/alert"
)

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

// alerts prints the alerts of the replay, those from before a crash too.
func (w *replay) alerts(ctx context.Context) error {
	entries, err := alert.NewStore(w.store, alert.Config{Log: w.opts.Log}).List(ctx, alert.Filter{Origin: w.origin()})
	if err != nil {
		return err
	}
	slices.SortStableFunc(entries, func(a, b *alert.Entry) int { return a.First.Compare(b.First) })
	var found replayMatches
	for _, e := range entries {
		found.order = append(found.order, &replayAlert{ID: e.ID, Rule: e.Rule, Key: e.Key, Severity: e.Severity, First: e.First, Count: e.Count, Text: e.Text})
	}
	return found.print(w.Out, w.Format)
}

// replayMatches gathers the alerts of a dry run for its answer, at most
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
