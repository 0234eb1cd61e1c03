package alert

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"nagare/internal/coord"
)

// What people may be told when they name an alert.
var (
	// ErrUnknown means that no alert has the id.
	ErrUnknown = errors.New("no such alert")
	// ErrAmbiguous means that a short id fits several alerts.
	ErrAmbiguous = errors.New("the id fits several alerts")
	// ErrState means that the alert is not in a state for this.
	ErrState = errors.New("wrong state")
	// ErrVerdict means that the verdict is not one of Verdicts.
	ErrVerdict = errors.New("unknown verdict")
)

// Verdicts are what a closed alert may have been.
var Verdicts = []string{"true_positive", "benign", "false_positive"}

// A Filter chooses alerts; the zero value of a field is any.
type Filter struct {
	State, Origin, Rule string
	// Suppressed includes entries that are findings only.
	Suppressed bool
	// Limit is the largest number returned, the latest first; 0 is all.
	Limit int
}

// List returns the alerts that f chooses, the latest first.
func (s *Store) List(ctx context.Context, f Filter) ([]*Entry, error) {
	switch f.State {
	case "", Open, Acknowledged, Closed:
	default:
		return nil, fmt.Errorf("%w %q: it is open, acknowledged or closed", ErrState, f.State)
	}
	origins, err := s.originsFor(ctx, f.Origin)
	if err != nil {
		return nil, err
	}
	out := []*Entry{}
	for _, origin := range origins {
		err := s.each(ctx, origin, func(r *row) {
			if (f.State == "" || r.State == f.State) && (f.Rule == "" || r.Rule == f.Rule) && (f.Suppressed || !r.Suppressed) {
				e := r.Entry
				out = append(out, &e)
			}
		})
		if err != nil {
			return nil, err
		}
	}
	slices.SortStableFunc(out, func(a, b *Entry) int {
		if c := b.Last.Compare(a.Last); c != 0 {
			return c
		}
		return strings.Compare(a.ID, b.ID)
	})
	if f.Limit > 0 && len(out) > f.Limit {
		out = out[:f.Limit]
	}
	return out, nil
}

// each calls do with every row of an origin.
func (s *Store) each(ctx context.Context, origin string, do func(*row)) error {
	const page = 500
	for after := ""; ; {
		rows, err := s.coord.List(ctx, rowPart+origin, after, page)
		if err != nil {
			return err
		}
		for _, stored := range rows {
			r := &row{}
			if err := json.Unmarshal(stored.Value, r); err != nil {
				return fmt.Errorf("alert %s of %s: %w", stored.Sort, origin, err)
			}
			do(r)
		}
		if len(rows) < page {
			return nil
		}
		after = rows[len(rows)-1].Sort
	}
}

// originsFor returns origin, or every one when it is "": live first.
func (s *Store) originsFor(ctx context.Context, origin string) ([]string, error) {
	if origin != "" {
		return []string{origin}, nil
	}
	rows, err := coord.All(ctx, s.coord, originPart)
	if err != nil {
		return nil, err
	}
	origins := []string{Live}
	for _, r := range rows {
		if r.Sort != Live {
			origins = append(origins, r.Sort)
		}
	}
	return origins, nil
}

// Get returns the alert with the id, of which the first characters are enough
// when they fit one alert only. An empty origin is any, and live before the
// others: a replay raises alerts with the ids of the live ones.
func (s *Store) Get(ctx context.Context, origin, id string) (*Entry, error) {
	at, err := s.find(ctx, origin, id)
	if err != nil {
		return nil, err
	}
	r, _, err := s.load(ctx, at)
	if err != nil {
		return nil, err
	}
	return &r.Entry, nil
}

// find resolves a short id.
func (s *Store) find(ctx context.Context, origin, id string) (ref, error) {
	id = strings.ToLower(strings.TrimSpace(id))
	if id == "" || len(id) > 64 {
		return ref{}, fmt.Errorf("%w: %q", ErrUnknown, cut(id, 64))
	}
	origins, err := s.originsFor(ctx, origin)
	if err != nil {
		return ref{}, err
	}
	for _, origin := range origins {
		if _, err := s.coord.Get(ctx, rowPart+origin, id); err == nil {
			return ref{origin, id}, nil
		} else if !errors.Is(err, coord.ErrNotFound) {
			return ref{}, err
		}
		rows, err := s.coord.List(ctx, rowPart+origin, id, 5)
		if err != nil {
			return ref{}, err
		}
		var fits []string
		for _, r := range rows {
			if strings.HasPrefix(r.Sort, id) {
				fits = append(fits, r.Sort)
			}
		}
		switch {
		case len(fits) == 1:
			return ref{origin, fits[0]}, nil
		case len(fits) > 1:
			return ref{}, fmt.Errorf("%w: %s fits %s; give more of it", ErrAmbiguous, id, strings.Join(fits, " "))
		}
	}
	return ref{}, fmt.Errorf("%w: %s; nagare alerts list shows them", ErrUnknown, id)
}

// Ack says that somebody looks at an open alert. Doing it twice is fine.
func (s *Store) Ack(ctx context.Context, origin, id, note string) (*Entry, error) {
	return s.decide(ctx, origin, id, func(r *row) error {
		if r.State == Closed {
			return fmt.Errorf("%w: alert %s is closed as %s already", ErrState, r.ID, r.Verdict)
		}
		r.State = Acknowledged
		r.note(note)
		return nil
	})
}

// Close ends an alert with a verdict. A closed alert may be closed again to
// correct the verdict.
func (s *Store) Close(ctx context.Context, origin, id, verdict, note string) (*Entry, error) {
	if !slices.Contains(Verdicts, verdict) {
		return nil, fmt.Errorf("%w %q: it is one of %s", ErrVerdict, verdict, strings.Join(Verdicts, ", "))
	}
	return s.decide(ctx, origin, id, func(r *row) error {
		r.State, r.Verdict = Closed, verdict
		r.note(note)
		return nil
	})
}

func (r *row) note(note string) {
	if note != "" {
		r.Note = valid(note, maxNote)
	}
}

func (s *Store) decide(ctx context.Context, origin, id string, change func(*row) error) (*Entry, error) {
	at, err := s.find(ctx, origin, id)
	if err != nil {
		return nil, err
	}
	var refused error
	r, err := s.update(ctx, at, false, func(r *row) bool {
		refused = change(r)
		return refused == nil
	})
	if err == nil {
		err = refused
	}
	if err != nil {
		return nil, err
	}
	if r.work() { // the message in the channel shows the state
		if err := s.mark(ctx, at); err != nil {
			return nil, err
		}
		s.tell(at)
	}
	return &r.Entry, nil
}
