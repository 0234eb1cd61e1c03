package lake

import (
	"errors"
	"strings"
	"testing"
	"time"
)

// TestDeadLettersFirst has a store that does not take dead letters, or no raw
// events: the good rows of the commit are not seen either, by whomever and as
// often as it is tried. Afterwards each is there once, also if the worker dies
// on the way.
func TestDeadLettersFirst(t *testing.T) {
	l := newLayouts(t)
	full := errors.New("operation not permitted")
	dies := errors.New("the worker dies")
	for _, refused := range []string{deadPrefix, "archive/"} {
		w := newWorld(t, l, 0)
		w.add(start, "one", "auth-1", "dead-1", "late-1")
		w.add(start.Add(time.Minute), "two", "dead-2")
		hits := 0
		w.archive.Before = func(op, key string) error {
			if op == "put" && strings.HasPrefix(key, refused) {
				hits++
				return full
			}
			return nil
		}
		for range 3 { // another worker each time
			if err := w.work(t.Context(), 1); !errors.Is(err, full) {
				t.Fatalf("%s is refused: %v", refused, err)
			}
			w.visible()
			if f := w.look(); len(f.rows) > 0 {
				t.Fatalf("%s is refused: rows are visible: %v", refused, f.files)
			}
		}
		if hits != 3 {
			t.Errorf("%s was tried %d times, want 3", refused, hits)
		}
		// It is taken again, and a worker dies after each object.
		w.archive.Before = nil
		put := map[string]bool{}
		for try := 0; ; try++ {
			w.faults(nil, func(op, key string) error {
				w.visible()
				if op == "put" && commitOf(key) > 0 && !strings.HasPrefix(key, "stage/") && !put[key] {
					put[key] = true
					return dies
				}
				return nil
			})
			err := w.work(t.Context(), 1)
			if err == nil {
				break
			}
			if !errors.Is(err, dies) || try == 20 {
				t.Fatal(err)
			}
		}
		w.faults(nil, nil)
		w.complete()
		if len(put) < 6 {
			t.Errorf("a worker died after %d objects only: %v", len(put), put)
		}
	}
}
