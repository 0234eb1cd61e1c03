package claim

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"nagare"
	"nagare/internal/blob"
)

func open(t testing.TB, max int64) (*Store, string) {
	t.Helper()
	dir := t.TempDir()
	b, err := blob.Dir(dir)
	if err != nil {
		t.Fatal(err)
	}
	return New(Config{Blob: b, MaxBytes: max}), dir
}

var event = nagare.Event{ID: "2x", UID: "u", Source: "okta", ContentType: "application/json",
	Received: time.Date(2026, 3, 1, 23, 59, 0, 0, time.FixedZone("east", 3600)), Body: []byte(`{"large":1}`)}

func TestPutAndResolve(t *testing.T) {
	s, dir := open(t, 100)
	travels, err := s.Put(t.Context(), event)
	if err != nil {
		t.Fatal(err)
	}
	again, err := s.Put(t.Context(), event)
	if err != nil || again.DataRef != travels.DataRef {
		t.Errorf("a second Put: %q, %v", again.DataRef, err)
	}
	sum := sha256.Sum256(event.Body)
	if want := "claims/2026-03-01/" + hex.EncodeToString(sum[:]); travels.DataRef != want || travels.Body != nil {
		t.Errorf("travels as %q with a body of %d bytes, want %q", travels.DataRef, len(travels.Body), want)
	}
	got := travels
	if err := s.Resolve(t.Context(), &got); err != nil || !bytes.Equal(got.Body, event.Body) || got.DataRef != "" || got.Reason != "" || got.UID != "u" {
		t.Errorf("resolved to %+v, %v", got, err)
	}
	large := event
	large.Body = make([]byte, 101)
	if _, err := s.Put(t.Context(), large); err == nil {
		t.Error("a body over the limit was stored")
	}
	file := filepath.Join(dir, filepath.FromSlash(strings.TrimPrefix(travels.DataRef, "claims/")))
	for _, tt := range []struct {
		reason string
		spoil  func()
	}{
		{ReasonDamaged, func() { os.WriteFile(file, []byte(`{"large":2}`), 0o600) }},
		{ReasonTooLarge, func() { os.WriteFile(file, make([]byte, 200), 0o600) }},
		{ReasonMissing, func() { os.Remove(file) }},
	} {
		tt.spoil()
		got := travels
		if err := s.Resolve(t.Context(), &got); err != nil || got.Reason != tt.reason || got.Error == "" || string(got.Body) != travels.DataRef || got.UID != "u" {
			t.Errorf("%s: resolved to %+v, %v", tt.reason, got, err)
		}
	}
}

// TestResolveRefusesForeignNames: a name leads to no other file.
func TestResolveRefusesForeignNames(t *testing.T) {
	s, dir := open(t, 1000)
	if err := os.WriteFile(filepath.Join(dir, "secret"), []byte("secret"), 0o600); err != nil {
		t.Fatal(err)
	}
	zeros := strings.Repeat("0", 64)
	for _, ref := range []string{"secret", "claims/secret", "claims/../../etc/passwd", "file:///etc/passwd", "http://169.254.169.254/", "claims/2026-03-01/../" + zeros,
		"claims/2026-03-01/" + zeros[1:], "claims/2026-03-01/" + zeros + "\n", strings.Repeat("a", 1<<20)} {
		ev := nagare.Event{DataRef: ref}
		if err := s.Resolve(t.Context(), &ev); err != nil || ev.Reason != ReasonBadRef || bytes.Equal(ev.Body, []byte("secret")) && ref != "secret" || len(ev.Error) > 1500 {
			t.Errorf("%.50q: reason %q, %v", ref, ev.Reason, err)
		}
	}
}

// failing is a store that does not answer.
type failing struct{ blob.Store }

func (failing) Get(context.Context, string) (io.ReadCloser, error) {
	return nil, io.ErrUnexpectedEOF
}
func (failing) Put(context.Context, string, blob.Body) error { return io.ErrUnexpectedEOF }

func TestStoreErrorsArePassing(t *testing.T) {
	s := New(Config{Blob: failing{}})
	if _, err := s.Put(t.Context(), event); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("Put = %v", err)
	}
	ev := nagare.Event{DataRef: "claims/2026-03-01/" + strings.Repeat("0", 64)}
	if err := s.Resolve(t.Context(), &ev); !errors.Is(err, io.ErrUnexpectedEOF) || ev.Reason != "" || ev.DataRef == "" {
		t.Errorf("Resolve = %v, %+v", err, ev)
	}
}

func TestSweep(t *testing.T) {
	s, dir := open(t, 1000)
	var refs []string
	for d := range 4 {
		ev := event
		ev.Received = time.Date(2026, 3, 1+d, 12, 0, 0, 0, time.UTC)
		travels, err := s.Put(t.Context(), ev)
		if err != nil {
			t.Fatal(err)
		}
		refs = append(refs, travels.DataRef)
	}
	for _, name := range []string{"00-not-ours", "zz-not-ours"} {
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	n, err := s.Sweep(t.Context(), time.Date(2026, 3, 3, 1, 0, 0, 0, time.UTC))
	if n != 2 || err != nil {
		t.Errorf("Sweep = %d, %v", n, err)
	}
	for i, ref := range refs {
		ev := nagare.Event{DataRef: ref}
		if err := s.Resolve(t.Context(), &ev); err != nil || (ev.Reason == ReasonMissing) != (i < 2) {
			t.Errorf("day %d: reason %q, %v", i+1, ev.Reason, err)
		}
	}
	if _, err := os.Stat(filepath.Join(dir, "zz-not-ours")); err != nil {
		t.Error(err)
	}
}

func FuzzResolve(f *testing.F) {
	f.Add("claims/2026-03-01/" + strings.Repeat("0", 64))
	f.Add("claims/../x")
	s, _ := open(f, 1000)
	f.Fuzz(func(t *testing.T, ref string) {
		ev := nagare.Event{DataRef: ref}
		if err := s.Resolve(t.Context(), &ev); err != nil {
			t.Errorf("%q: %v", ref, err)
		}
		if ev.DataRef != "" {
			t.Errorf("%q is still to be resolved", ref)
		}
	})
}
