package consumers

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"

	"nagare"
	"nagare/internal/blob"
	"nagare/internal/claim"
	"nagare/internal/frame"
)

func claims(t *testing.T, maxBytes int64) (*claim.Store, string) {
	t.Helper()
	dir := t.TempDir()
	objects, err := blob.Dir(dir)
	if err != nil {
		t.Fatal(err)
	}
	return claim.New(claim.Config{Blob: objects, MaxBytes: maxBytes}), dir
}

// TestDecodeResolvesClaims: the body is back, a missing one is a dead letter,
// the events around it are as they were, and a frame gets no more bodies than
// one may have.
func TestDecodeResolvesClaims(t *testing.T) {
	store, dir := claims(t, 10_000)
	claimed := func(uid string, size int) nagare.Event {
		ev, err := store.Put(t.Context(), nagare.Event{ID: uid, UID: uid, Source: "test", Body: bytes.Repeat([]byte(uid[:1]), size)})
		if err != nil {
			t.Fatal(err)
		}
		return ev
	}
	gone := claimed("gone", 10)
	if err := os.Remove(filepath.Join(dir, filepath.FromSlash(strings.TrimPrefix(gone.DataRef, "claims/")))); err != nil {
		t.Fatal(err)
	}
	foreign := nagare.Event{UID: "foreign", Source: "test", DataRef: "http://169.254.169.254/"}
	plain := nagare.Event{UID: "plain", Source: "test", Body: []byte("{}")}
	data, err := frame.Encode(nil, []nagare.Event{plain, claimed("a", 9000), gone, foreign, claimed("b", 9000), claimed("c", 9000)})
	if err != nil {
		t.Fatal(err)
	}
	decode := func(resolve func(*nagare.Event) error) (map[string]nagare.Event, *counters, error) {
		n := &counters{}
		d := decoder{shard: wholeShard(), counter: n, resolve: resolve, maxClaim: 10_000}
		got := map[string]nagare.Event{}
		err := d.decode([]types.Record{record("8", data)}, func(c chunk) error {
			for _, ev := range c.events {
				got[ev.UID] = ev
			}
			return nil
		})
		return got, n, err
	}
	got, n, err := decode(func(ev *nagare.Event) error { return store.Resolve(t.Context(), ev) })
	if err != nil {
		t.Fatal(err)
	}
	for uid, want := range map[string]struct {
		reason string
		size   int
	}{
		"plain": {"", 2}, "a": {"", 9000}, "b": {"", 9000}, "gone": {claim.ReasonMissing, len(gone.DataRef)},
		"foreign": {claim.ReasonBadRef, len(foreign.DataRef)}, "c": {claim.ReasonTooLarge, len(gone.DataRef)},
	} {
		if ev := got[uid]; ev.Reason != want.reason || len(ev.Body) != want.size || ev.DataRef != "" || ev.Pos.Seq != "8" {
			t.Errorf("%s: reason %q, %d bytes, reference %q; want %+v", uid, ev.Reason, len(ev.Body), ev.DataRef, want)
		}
	}
	if n.bad.Load() != 3 || n.events.Load() != 6 {
		t.Errorf("%d of %d events are counted as bad", n.bad.Load(), n.events.Load())
	}
	if got, _, err = decode(nil); err != nil || got["a"].Reason != claim.ReasonMissing || got["plain"].Reason != "" {
		t.Errorf("without a store: reason %q, %v", got["a"].Reason, err)
	}
	if got, _, err = decode(func(*nagare.Event) error { return context.Canceled }); !errors.Is(err, context.Canceled) || len(got) > 0 {
		t.Errorf("a shard that was taken meanwhile: %d events, %v", len(got), err)
	}
}
