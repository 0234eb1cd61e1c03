package producers

import (
	"context"
	"slices"

	"nagare"
	"nagare/internal/frame"
)

// claim stores the bodies of events that do not fit into a record, not even
// compressed and alone, and returns the events as they travel. It is the
// caller's goroutine that waits for the objects: a slow store of claims must
// not hold a shard's lane.
func (w *Writer) claim(ctx context.Context, events []nagare.Event) ([]nagare.Event, error) {
	if w.cfg.Claims == nil {
		return events, nil
	}
	cloned := false
	for i := range events {
		ev := &events[i]
		if len(ev.Body) < w.cfg.RecordBytes/2 || int64(len(ev.Body)) > w.cfg.Claims.MaxBytes() {
			continue // small, or for seal to cut
		}
		data, err := frame.Encode(nil, events[i:i+1])
		if err == nil && len(data)+len(partitionKey) <= w.cfg.RecordBytes {
			continue
		}
		if !cloned { // they belong to the caller
			events, cloned = slices.Clone(events), true
		}
		if events[i], err = w.cfg.Claims.Put(ctx, *ev); err != nil {
			return nil, err
		}
		w.cfg.Metrics.claimed.WithLabelValues(w.stream).Inc()
	}
	return events, nil
}
