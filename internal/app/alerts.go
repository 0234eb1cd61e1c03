package app

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"nagare/internal/alert"
	"nagare/internal/coord"
)

// AlertsFilter chooses alerts.
type AlertsFilter struct{ State, Rule, Origin string }

// withAlerts opens the alerts of the data folder, beside a running up or
// without one.
func withAlerts(ctx context.Context, o Options, f func(*alert.Store) error) error {
	return withStore(ctx, o, func(s coord.Store) error { return f(alert.NewStore(s, alert.Config{Log: o.Log})) })
}

// withStore opens the rows: those of the data folder under its lock, or beside
// the process that holds it and answers; those elsewhere as they are.
func withStore(ctx context.Context, o Options, f func(coord.Store) error) error {
	c, err := coordConfig(o)
	if err != nil {
		return err
	}
	if c.Kind != "sqlite" {
		store, err := openCoord(ctx, o, c)
		if err != nil {
			return err
		}
		return errors.Join(f(store), store.Close())
	}
	if err := o.needData(false); err != nil {
		return err
	}
	lock, held, err := lockDir(o)
	if err != nil {
		return err
	}
	if !held { // nor does anybody else, if it is shared
		if held, err = lock.TryRLock(); err != nil {
			return usagef("lock of the data folder: %w", err)
		}
	}
	if held {
		defer lock.Unlock()
	} else if _, err := readRunInfo(ctx, o.Data); err != nil {
		return err
	}
	store, err := openCoord(ctx, o, c)
	if err != nil {
		return err
	}
	return errors.Join(f(store), store.Close())
}

// AlertsList lists alerts, the latest first.
func AlertsList(ctx context.Context, o Options, f AlertsFilter, format string, out io.Writer) error {
	return withAlerts(ctx, o, func(s *alert.Store) error {
		entries, err := s.List(ctx, alert.Filter{State: f.State, Origin: f.Origin, Rule: f.Rule})
		if err != nil {
			return &Usage{err}
		}
		l := listing{columns: []string{"id", "severity", "state", "last", "count", "rule", "key", "text"}}
		for _, e := range entries {
			l.add(e.Alert, e.ID[:min(12, len(e.ID))], e.Severity, e.State, e.Last.UTC().Format(time.DateTime), fmt.Sprint(e.Count), e.Rule, e.Key, e.Text)
		}
		return l.print(out, format)
	})
}

// AlertsShow shows one alert with all that is kept about it.
func AlertsShow(ctx context.Context, o Options, origin, id, format string, out io.Writer) error {
	return withAlerts(ctx, o, func(s *alert.Store) error {
		e, err := s.Get(ctx, origin, id)
		if err != nil {
			return alertError(err)
		}
		return showAlert(e, format, out)
	})
}

func showAlert(e *alert.Entry, format string, out io.Writer) error {
	if format != "table" {
		enc := json.NewEncoder(out)
		enc.SetEscapeHTML(false)
		return enc.Encode(e)
	}
	for _, f := range [][2]string{
		{"id", e.ID}, {"rule", e.Rule}, {"title", e.Title}, {"severity", e.Severity}, {"state", e.State}, {"verdict", e.Verdict}, {"note", e.Note},
		{"key", e.Key}, {"origin", e.Origin}, {"first", e.First.UTC().Format(time.RFC3339)}, {"last", e.Last.UTC().Format(time.RFC3339)},
		{"count", fmt.Sprint(e.Count)}, {"attack", strings.Join(e.Attack, ", ")}, {"runbook", e.Runbook}, {"text", e.Text}, {"events", strings.Join(e.Events, ", ")},
	} {
		if f[1] == "" {
			continue
		}
		if _, err := fmt.Fprintf(out, "%-9s %s\n", f[0], printable(f[1])); err != nil {
			return err
		}
	}
	return nil
}

// AlertsAck says that somebody looks at an alert.
func AlertsAck(ctx context.Context, o Options, origin, id, note string, out io.Writer) error {
	return withAlerts(ctx, o, func(s *alert.Store) error {
		e, err := s.Ack(ctx, origin, id, note)
		return said(e, err, out)
	})
}

// AlertsClose closes an alert with a verdict.
func AlertsClose(ctx context.Context, o Options, origin, id, verdict, note string, out io.Writer) error {
	return withAlerts(ctx, o, func(s *alert.Store) error {
		e, err := s.Close(ctx, origin, id, verdict, note)
		return said(e, err, out)
	})
}

func said(e *alert.Entry, err error, out io.Writer) error {
	if err != nil {
		return alertError(err)
	}
	line := fmt.Sprintf("%s is %s", e.ID, e.State)
	if e.Verdict != "" {
		line += " as " + e.Verdict
	}
	_, err = fmt.Fprintln(out, line)
	return err
}

// alertError tells a wrong name from trouble.
func alertError(err error) error {
	for _, known := range []error{alert.ErrUnknown, alert.ErrAmbiguous, alert.ErrState, alert.ErrVerdict} {
		if errors.Is(err, known) {
			return &Usage{err}
		}
	}
	return err
}
