package alert

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"time"

	"github.com/segmentio/ksuid"
)

// A worker sends to one receiver.
type worker struct {
	*Sender
	name     string
	receiver Receiver
	last     time.Time            // of the last request
	pause    time.Time            // until when the receiver wants to be left alone
	backoff  time.Duration        // after refusals that name no time
	digested map[string]time.Time // by rule; forgotten after DigestEvery
	looked   look                 // the last digest looked for, since all its rows ask the same
}

// A look is what came of looking for a message.
type look struct {
	digest  string
	receipt Receipt
	found   bool
	err     error
}

// A job is the next thing to do.
type job struct {
	refs   []ref // more than one for a digest
	digest bool
	edit   bool
	take   bool // finish what another attempt began
}

func (w *worker) run(ctx context.Context) error {
	for {
		now := time.Now()
		ready := w.last.Add(w.receiver.Pace())
		if w.pause.After(ready) {
			ready = w.pause
		}
		next, wait := w.next(now)
		if next == nil || ready.After(now) {
			if next != nil {
				wait = ready.Sub(now)
			}
			timer := time.NewTimer(wait)
			select {
			case <-ctx.Done():
				timer.Stop()
				return ctx.Err()
			case <-w.kicks[w.name]:
				// A kick while the pace holds us back changes only what is next.
			case <-timer.C:
			}
			timer.Stop()
			continue
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := w.do(ctx, next); err != nil {
			w.cfg.Log.Warn("alert row cannot be changed; trying again", "alert", next.refs[0].id, "receiver", w.name, "err", err)
			if err := sleep(ctx, time.Second); err != nil {
				return err
			}
			for _, at := range next.refs { // see what is there now
				if err := w.settle(ctx, at); err != nil {
					break
				}
			}
		}
	}
}

// idle is how long a worker without anything to wait for sleeps; a kick wakes
// it.
const idle = time.Minute

// next chooses the job to do now: what has waited longest among the most
// severe, edits last. Without one it says how long to wait.
func (w *worker) next(now time.Time) (*job, time.Duration) {
	type candidate struct {
		at       ref
		severity int
		since    time.Time
		job      job
	}
	var best *candidate
	wait := idle
	offer := func(c candidate, due time.Time) {
		if due.After(now) {
			wait = min(wait, due.Sub(now))
			return
		}
		if best == nil || cmp.Or(
			cmp.Compare(btoi(c.job.edit), btoi(best.job.edit)),
			cmp.Compare(best.severity, c.severity),
			cmp.Compare(btoi(best.job.take), btoi(c.job.take)), // so that what comes back can go into one digest
			c.since.Compare(best.since),
			cmp.Compare(c.at.id, best.at.id)) < 0 {
			best = &c
		}
	}
	pending := map[string][]ref{}
	w.mu.Lock()
	defer w.mu.Unlock()
	for at, r := range w.held {
		if d := r.Deliveries[w.name]; d != nil && d.State == Pending && !d.NotBefore.After(now) {
			same := at.origin + "/" + r.Rule
			pending[same] = append(pending[same], at)
		}
	}
	for at, r := range w.held {
		d := r.Deliveries[w.name]
		if d == nil {
			continue
		}
		c := candidate{at: at, severity: r.SeverityID, since: d.Since, job: job{refs: []ref{at}}}
		switch {
		case d.State == Pending:
			due := d.NotBefore
			if t, ok := w.digested[r.Rule]; ok { // a storm: its rest comes as a digest too
				if until := t.Add(w.cfg.DigestEvery); until.After(due) {
					due = until
				}
			}
			if same := pending[at.origin+"/"+r.Rule]; len(same) > w.cfg.DigestOver && !d.NotBefore.After(now) {
				c.job = job{refs: same, digest: true}
			}
			offer(c, due)
		case d.State == Sending:
			c.job.take = true
			offer(c, d.Due)
		case d.stale(&r.Alert):
			c.job.edit = true
			due := d.NotBefore
			if t := laterOf(d.At, d.Edited).Add(w.cfg.EditEvery); t.After(due) {
				due = t
			}
			offer(c, due)
		}
	}
	for rule, t := range w.digested {
		if now.Sub(t) >= w.cfg.DigestEvery {
			delete(w.digested, rule)
		}
	}
	if best == nil {
		return nil, wait
	}
	if best.job.digest {
		slices.SortFunc(best.job.refs, func(a, b ref) int { return cmp.Compare(a.origin+a.id, b.origin+b.id) })
	}
	return &best.job, 0
}

func laterOf(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}

func (w *worker) do(ctx context.Context, j *job) error {
	switch {
	case j.digest:
		return w.sendDigest(ctx, j.refs)
	case j.edit:
		return w.edit(ctx, j.refs[0])
	case j.take:
		return w.takeOver(ctx, j.refs[0])
	}
	return w.send(ctx, j.refs[0])
}

// An attempt is this sender's right to make one request.
type attempt struct {
	id    string
	start time.Time
}

// begin makes a delivery ours, if ok says so; ok may set its digest. The clock starts before the row
// is written, so our deadline is never later than the one others see.
func (w *worker) begin(ctx context.Context, at ref, ok func(*Delivery) bool) (a attempt, got *row, err error) {
	a = attempt{id: ksuid.New().String(), start: time.Now()}
	thread, channel := w.thread(ctx, at)
	done, err := w.change(ctx, at, w.name, func(r *row, d *Delivery) bool {
		if !ok(d) {
			return false
		}
		if d.State == Pending {
			d.Thread, d.Channel = thread, channel
		}
		d.State, d.Owner, d.Attempt = Sending, w.owner, a.id
		d.Due = a.start.Add(w.cfg.Lease + w.cfg.RequestLife).UTC()
		d.Tries++
		c := *r
		got = &c
		return true
	})
	if !done {
		got = nil
	}
	return a, got, err
}

// mayRequest says whether a request that starts now is answered before the
// deadline. Both clocks must agree: one stops when the machine sleeps, the
// other can be set.
func (w *worker) mayRequest(a attempt) bool {
	now := time.Now()
	left := w.cfg.Lease - w.cfg.RequestTimeout
	return now.Sub(a.start) < left && now.Round(0).Sub(a.start.Round(0)) < left
}

// request calls f with the time a request may take. It is not cut short when
// the program stops: then nobody would know whether it arrived.
func (w *worker) request(ctx context.Context, f func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), w.cfg.RequestTimeout)
	defer cancel()
	defer func() { w.last = time.Now() }()
	return f(ctx)
}

// thread is where the previous alert of the same rule and key was told, if it
// is not closed.
func (w *worker) thread(ctx context.Context, at ref) (thread, channel string) {
	w.mu.Lock()
	r := w.held[at]
	w.mu.Unlock()
	if r == nil || r.Previous == "" {
		return "", ""
	}
	previous, _, err := w.store.load(ctx, ref{at.origin, r.Previous})
	if err != nil || previous.State == Closed {
		return "", "" // at worst the alert has no thread
	}
	d := previous.Deliveries[w.name]
	if d == nil || d.State != Sent || d.TS == "" {
		return "", ""
	}
	return cmp.Or(d.Thread, d.TS), d.Channel
}

// refused pauses the receiver and says until when.
func (w *worker) refused(e *Refused) time.Time {
	wait := e.Wait
	if wait > 0 {
		w.store.stats.Throttled.Add(1)
	} else {
		w.backoff = min(max(2*w.backoff, time.Second), time.Minute)
		wait = w.backoff
	}
	w.pause = time.Now().Add(wait)
	return w.pause
}

// answeredWait is how long after an answer that tells nothing we look whether
// the message is there.
const answeredWait = 10 * time.Second

// A verdict is what the end of one request means for every delivery that it was
// about: all alerts of a digest share one, and so come back together.
type verdict struct {
	receipt Receipt
	err     error
	at      time.Time // when the request was over
	until   time.Time // when to send again after a refusal, or else to look
}

// judge says what the end of a request means. It is called once a request: a
// refusal makes the receiver's pause longer.
func (w *worker) judge(receipt Receipt, err error) verdict {
	v := verdict{receipt: receipt, err: err, at: time.Now()}
	var refused *Refused
	var permanent *Permanent
	var answered *Answered
	switch {
	case err == nil:
		w.backoff = 0
	case errors.As(err, &permanent):
	case errors.As(err, &refused):
		v.until = w.refused(refused)
		w.cfg.Log.Warn("receiver refused", "receiver", w.name, "until", v.until, "err", err)
	default:
		// It may have arrived. Once no request can be on its way we look for it.
		v.until = v.at.Add(w.cfg.RequestLife)
		if errors.As(err, &answered) {
			v.until = v.at.Add(min(answeredWait, w.cfg.RequestLife))
		}
		w.cfg.Log.Warn("message may or may not have arrived", "receiver", w.name, "look_at", v.until, "err", err)
	}
	return v
}

// outcome writes a verdict down for one delivery. It returns an error only when
// that could not be done.
func (w *worker) outcome(ctx context.Context, at ref, a attempt, r *row, v verdict) error {
	var permanent *Permanent
	if errors.As(v.err, &permanent) {
		return w.giveUp(ctx, at, w.name, a.id, permanent.Error())
	}
	var refused *Refused
	_, err := w.change(ctx, at, w.name, func(_ *row, d *Delivery) bool {
		switch {
		case d.State != Sending || d.Owner != w.owner || d.Attempt != a.id:
			return false // another's by now
		case v.err == nil:
			d.State, d.Channel, d.TS, d.At, d.Reason = Sent, v.receipt.Channel, v.receipt.TS, v.at.UTC(), ""
			d.Shown, d.ShownState = r.Count, r.State
			if d.Digest != "" {
				d.TS = "" // the digest is not edited for one of its alerts
			}
		case errors.As(v.err, &refused):
			d.State, d.NotBefore, d.Reason = Pending, v.until.UTC(), cut(refused.Error(), 300)
		default:
			d.Due, d.Reason = v.until.UTC(), cut(v.err.Error(), 300)
		}
		return true
	})
	return err
}
