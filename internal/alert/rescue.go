package alert

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"
)

// rescue shows on the second sink what its receiver may not get: what goes to
// a receiver that is not configured (any more), and critical alerts that have
// waited for too long.
func (s *Sender) rescue(ctx context.Context) error {
	type stuck struct {
		at     ref
		name   string
		orphan bool
	}
	var found []stuck
	now := time.Now()
	s.mu.Lock()
	for at, r := range s.held {
		for name, d := range r.Deliveries {
			switch {
			case d.State == Dead || d.State == Sent:
			case s.cfg.Receivers[name] == nil && (d.State == Pending || now.After(d.Due)):
				found = append(found, stuck{at, name, true})
			case r.SeverityID >= 5 && d.Second.IsZero() && now.Sub(d.Since) >= s.cfg.SecondAfter:
				found = append(found, stuck{at, name, false})
			}
		}
	}
	s.mu.Unlock()
	slices.SortFunc(found, func(a, b stuck) int { return cmp.Compare(a.at.id+a.name, b.at.id+b.name) })
	for _, f := range found {
		var err error
		if f.orphan {
			err = s.giveUp(ctx, f.at, f.name, "", fmt.Sprintf("no receiver %q is configured", f.name))
		} else {
			err = s.second(ctx, f.at, f.name, "")
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// second shows an alert on the second sink. It is shown first and written
// down after, so that a crash between repeats it.
func (s *Sender) second(ctx context.Context, at ref, name, reason string) error {
	r, _, err := s.store.load(ctx, at)
	if err != nil {
		return err
	}
	d := r.Deliveries[name]
	if d == nil || d.State == Sent || d.State == Dead {
		return s.settle(ctx, at)
	}
	m := message(r)
	m.Undelivered = cmp.Or(reason, fmt.Sprintf("%s has not taken it for %s: %s", name, time.Since(d.Since).Round(time.Minute), cmp.Or(d.Reason, "no answer yet")))
	if _, err := s.cfg.Second.Post(ctx, m); err != nil {
		s.cfg.Log.Error("alert could not be shown on the second sink", "alert", at.id, "err", err)
	}
	_, err = s.change(ctx, at, name, func(_ *row, d *Delivery) bool {
		d.Second = time.Now().UTC()
		return true
	})
	return err
}

// giveUp makes a delivery dead: the alert is shown on the second sink and
// logged, never dropped. attempt is the sender's own; "" for a pending one.
func (s *Sender) giveUp(ctx context.Context, at ref, name, attempt, reason string) error {
	if err := s.second(ctx, at, name, reason); err != nil {
		return err
	}
	done, err := s.change(ctx, at, name, func(r *row, d *Delivery) bool {
		if d.State == Sent || d.State == Dead || attempt != "" && d.Attempt != attempt {
			return false
		}
		d.State, d.Reason = Dead, reason
		return true
	})
	if done && err == nil {
		s.store.stats.Dead.Add(1)
		s.cfg.Log.Error("alert could not be delivered", "alert", at.id, "receiver", name, "reason", reason)
	}
	return err
}
