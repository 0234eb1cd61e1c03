package alert

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"time"

	"github.com/segmentio/ksuid"
)

// send posts a pending alert.
func (w *worker) send(ctx context.Context, at ref) error {
	a, r, err := w.begin(ctx, at, func(d *Delivery) bool {
		d.Digest = ""
		return d.State == Pending
	})
	if err != nil || r == nil {
		return err
	}
	return w.post(ctx, at, a, r)
}

// post makes the request of an attempt.
func (w *worker) post(ctx context.Context, at ref, a attempt, r *row) error {
	if !w.mayRequest(a) {
		return w.outcome(ctx, at, a, r, w.judge(Receipt{}, &Refused{Err: errors.New("too little time was left; nothing was sent")}))
	}
	d := r.Deliveries[w.name]
	m := message(r)
	m.Channel, m.Thread, m.Repeat = d.Channel, d.Thread, d.Repeat
	var receipt Receipt
	err := w.request(ctx, func(ctx context.Context) (err error) {
		receipt, err = w.receiver.Post(ctx, m)
		return err
	})
	if err == nil {
		w.store.stats.Sent.Add(1)
		if m.Repeat {
			w.store.stats.Repeats.Add(1)
		}
	}
	return w.outcome(ctx, at, a, r, w.judge(receipt, err))
}

// takeOver finishes an attempt whose end nobody saw: its sender died, or the
// answer was lost. It looks for the message and posts it only if it is not
// there.
func (w *worker) takeOver(ctx context.Context, at ref) error {
	var owner, last string
	a, r, err := w.begin(ctx, at, func(d *Delivery) bool {
		owner, last = d.Owner, d.Attempt
		return d.State == Sending && !time.Now().Before(d.Due)
	})
	if err != nil || r == nil {
		return err
	}
	w.cfg.Log.Info("looking for an alert whose sending was interrupted", "alert", at.id, "receiver", w.name, "owner", owner, "attempt", last)
	d := r.Deliveries[w.name]
	m := message(r)
	m.Channel, m.Thread = d.Channel, d.Thread
	if d.Digest != "" {
		m.ID, m.Thread = d.Digest, ""
	}
	l := w.look(ctx, m, d)
	err = l.err
	var refused *Refused
	blind := errors.Is(err, ErrNoHistory)
	switch {
	case blind:
		w.cfg.Log.Warn("alert is sent again as a possible repeat", "alert", at.id, "receiver", w.name, "reason", err)
	case err != nil:
		// Not knowing whether it arrived is what brought us here: stay so.
		if errors.As(err, &refused) {
			w.refused(refused)
		}
		w.cfg.Log.Warn("alert cannot be looked for", "alert", at.id, "receiver", w.name, "err", err)
		due := laterOf(w.pause, time.Now().Add(answeredWait)).UTC()
		_, err := w.change(ctx, at, w.name, func(_ *row, d *Delivery) bool {
			if d.Attempt != a.id {
				return false
			}
			d.Due = due
			return true
		})
		return err
	case l.found:
		// What the message shows is not known, so it is edited.
		found := *r
		found.Count, found.State = 0, ""
		return w.outcome(ctx, at, a, &found, w.judge(l.receipt, nil))
	}
	// It is not there: back to the queue, from which it may go into a digest.
	_, err = w.change(ctx, at, w.name, func(_ *row, d *Delivery) bool {
		if d.Attempt != a.id || d.State != Sending {
			return false
		}
		d.State, d.NotBefore, d.Repeat = Pending, time.Time{}, d.Repeat || blind
		return true
	})
	return err
}

// look asks the receiver whether m is there. All rows of a digest have the
// same answer: each of them is past the life of the digest's one request.
func (w *worker) look(ctx context.Context, m Message, d *Delivery) look {
	if d.Digest != "" && d.Digest == w.looked.digest {
		return w.looked
	}
	l := look{digest: d.Digest}
	l.err = w.request(ctx, func(ctx context.Context) (err error) {
		l.receipt, l.found, err = w.receiver.Find(ctx, m, d.Since)
		return err
	})
	if l.err == nil || errors.Is(l.err, ErrNoHistory) {
		w.looked = l
	}
	return l
}

// edit makes a message say what is so now.
func (w *worker) edit(ctx context.Context, at ref) error {
	r, _, err := w.store.load(ctx, at)
	if err != nil {
		return err
	}
	d := r.Deliveries[w.name]
	if d == nil || !d.stale(&r.Alert) {
		return w.settle(ctx, at)
	}
	m := message(r)
	m.Repeat = d.Repeat
	err = w.request(ctx, func(ctx context.Context) error {
		return w.receiver.Edit(ctx, Receipt{Channel: d.Channel, TS: d.TS}, m)
	})
	var permanent *Permanent
	var refused *Refused
	now := time.Now().UTC()
	if err != nil {
		w.cfg.Log.Warn("alert message cannot be edited", "alert", at.id, "receiver", w.name, "err", err)
	}
	_, changeErr := w.change(ctx, at, w.name, func(_ *row, d *Delivery) bool {
		switch {
		case err == nil:
			d.Edited, d.Shown, d.ShownState = now, r.Count, r.State
		case errors.As(err, &permanent):
			d.TS = "" // removed by hand, say: leave it
		default:
			d.NotBefore = now.Add(w.cfg.EditEvery)
		}
		return true
	})
	if err == nil {
		w.store.stats.Edited.Add(1)
	} else if errors.As(err, &refused) {
		w.refused(refused)
	}
	return changeErr
}

// maxDigest bounds the alerts of one digest; the rest wait for the next.
const maxDigest = 500

// sendDigest posts one message for many pending alerts of a rule. Each row is
// made ours first, so a crash in between leaves rows that can be looked for by
// the digest's id.
func (w *worker) sendDigest(ctx context.Context, refs []ref) error {
	type part struct {
		at ref
		a  attempt
		r  *row
	}
	var parts []part
	id := "digest-" + ksuid.New().String()
	whole := attempt{start: time.Now()}
	repeat := false
	for _, at := range refs[:min(len(refs), maxDigest)] {
		// Half of the time is left for the request.
		if time.Since(whole.start) > (w.cfg.Lease-w.cfg.RequestTimeout)/2 {
			break
		}
		a, r, err := w.begin(ctx, at, func(d *Delivery) bool {
			d.Digest = id
			return d.State == Pending
		})
		if err != nil {
			return err // what was begun is looked for later, and not found
		}
		if r != nil {
			parts = append(parts, part{at, a, r})
			repeat = repeat || r.Deliveries[w.name].Repeat
		}
	}
	if len(parts) == 0 {
		return nil
	}
	d := &Digest{First: parts[0].r.First, Last: parts[0].r.Last}
	slices.SortStableFunc(parts, func(a, b part) int { return cmp.Compare(b.r.Count, a.r.Count) })
	severity := 0
	for _, p := range parts {
		d.Rule, d.Title = p.r.Rule, p.r.Title
		d.Alerts++
		d.Events += p.r.Count
		if p.r.SeverityID > severity {
			severity, d.Severity = p.r.SeverityID, p.r.Severity
		}
		if p.r.First.Before(d.First) {
			d.First = p.r.First
		}
		d.Last = laterOf(d.Last, p.r.Last)
		if p.r.Key != "" && len(d.Keys) < 10 {
			d.Keys = append(d.Keys, p.r.Key)
		}
	}
	var receipt Receipt
	err := error(&Refused{Err: errors.New("too little time was left; nothing was sent")})
	if w.mayRequest(whole) {
		err = w.request(ctx, func(ctx context.Context) (err error) {
			receipt, err = w.receiver.Post(ctx, Message{ID: id, Origin: parts[0].r.Origin, Digest: d, Repeat: repeat})
			return err
		})
	}
	if err == nil {
		w.digested[d.Rule] = time.Now()
		w.store.stats.Sent.Add(1)
		w.store.stats.Digests.Add(1)
	}
	var failed error
	v := w.judge(receipt, err)
	for _, p := range parts {
		if err := w.outcome(ctx, p.at, p.a, p.r, v); err != nil {
			failed = err
		}
	}
	return failed
}
