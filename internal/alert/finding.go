package alert

import (
	"cmp"
	"context"
	"encoding/json"
	"slices"
	"time"

	"github.com/segmentio/ksuid"

	"nagare"
)

// FindingSource is the source of the events that findings become.
const FindingSource = "nagare.finding"

// A finding is the body of such an event.
type finding struct {
	Alert
	Attack     []string `json:"attack,omitempty"`
	References []string `json:"references,omitempty"`
	Runbook    string   `json:"runbook,omitempty"`
	Suppressed bool     `json:"suppressed,omitempty"`
}

// findingEvent is the event of a row. Its uid is the alert's id, so a repeat
// is the same event.
func findingEvent(r *row, now time.Time) (nagare.Event, error) {
	body, err := json.Marshal(finding{r.Alert, r.Attack, r.References, r.Runbook, r.Suppressed})
	return nagare.Event{ID: ksuid.New().String(), UID: r.ID, Source: FindingSource, Auth: nagare.AuthPass,
		Time: r.Last, Received: now.UTC(), ContentType: "application/json", Body: body}, err
}

// putFindings puts the findings of rows onto the stream and marks the rows.
func (s *Sender) putFindings(ctx context.Context) error {
	const batch = 100
	wait, backoff := idle, time.Duration(0)
	for {
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			timer.Stop()
			return ctx.Err()
		case <-s.kicks[findings]:
		case <-timer.C:
		}
		timer.Stop()
		if backoff > 0 { // kicks must not make a failing stream busier
			if err := sleep(ctx, backoff); err != nil {
				return err
			}
		}
		wait = idle
		for due := s.dueFindings(); len(due) > 0; {
			n := min(len(due), batch)
			if err := s.putBatch(ctx, due[:n]); err != nil {
				if ctx.Err() != nil {
					return ctx.Err()
				}
				backoff = min(max(2*backoff, time.Second), time.Minute)
				wait = 0
				s.cfg.Log.Warn("findings cannot be put onto the stream; trying again", "findings", len(due), "err", err)
				break
			}
			backoff = 0
			due = due[n:]
		}
	}
}

// dueFindings are the held rows whose finding is not on the stream.
func (s *Sender) dueFindings() []ref {
	s.mu.Lock()
	defer s.mu.Unlock()
	var due []ref
	for at, r := range s.held {
		if r.Finding == findingDue {
			due = append(due, at)
		}
	}
	slices.SortFunc(due, func(a, b ref) int { return cmp.Compare(a.origin+a.id, b.origin+b.id) })
	return due
}

func (s *Sender) putBatch(ctx context.Context, refs []ref) error {
	var events []nagare.Event
	for _, at := range refs {
		r, _, err := s.store.load(ctx, at)
		if err != nil {
			return err
		}
		if r.Finding != findingDue {
			continue
		}
		e, err := findingEvent(r, time.Now())
		if err != nil {
			return err
		}
		events = append(events, e)
	}
	if len(events) > 0 {
		if err := s.cfg.PutFinding(ctx, events); err != nil {
			return err
		}
	}
	// They are on the stream: say so also when the program stops.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.cfg.RequestTimeout)
	defer cancel()
	for _, at := range refs {
		_, err := s.store.update(ctx, at, false, func(r *row) bool {
			if r.Finding != findingDue {
				return false
			}
			r.Finding = findingPut
			return true
		})
		if err == nil {
			err = s.settle(ctx, at)
		}
		if err != nil {
			return err
		}
	}
	s.store.stats.Findings.Add(int64(len(events)))
	return nil
}
