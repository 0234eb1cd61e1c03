// Package claim keeps the bodies of events that no record of a stream holds.
// The body is stored as an object, and the event travels without it, with the
// object's name in the CloudEvents extension dataref: the claim check of
// cloudevents/extensions/dataref.md.
//
// It does not decide which body is too large, and it moves no events.
package claim

import (
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"regexp"
	"time"

	"nagare"
	"nagare/internal/blob"
)

// Reasons of events whose body could not be had.
const (
	ReasonMissing  = "claim-missing"   // there is no such object
	ReasonDamaged  = "claim-damaged"   // it is not what its name says
	ReasonTooLarge = "claim-too-large" // it is larger than the limit
	ReasonBadRef   = "claim-bad-ref"   // dataref names nothing of ours
)

// Config says how a Store behaves. Blob must be set.
type Config struct {
	// Blob keeps the objects.
	Blob blob.Store
	// MaxBytes bounds a body. The default is 64 MiB, which is also the default
	// of what intake takes.
	MaxBytes int64
}

// A Store keeps bodies. It may be used from many goroutines and processes.
type Store struct{ cfg Config }

// New makes a Store.
func New(cfg Config) *Store {
	cfg.MaxBytes = cmp.Or(cfg.MaxBytes, 64<<20)
	return &Store{cfg}
}

// MaxBytes is the limit of a body.
func (s *Store) MaxBytes() int64 { return s.cfg.MaxBytes }

// A reference is "claims/DAY/SHA256": the day so that old ones can be removed
// together, and the hash so that a name has only one content, ever.
const prefix = "claims/"

var reference = regexp.MustCompile(`^claims/[0-9]{4}-[0-9]{2}-[0-9]{2}/[0-9a-f]{64}$`)

const day = "2006-01-02"

// Put stores the body of an event and returns the event that travels in its
// place. When it returns nil the object is durable.
func (s *Store) Put(ctx context.Context, ev nagare.Event) (nagare.Event, error) {
	if int64(len(ev.Body)) > s.cfg.MaxBytes {
		return ev, fmt.Errorf("claim: a body of %d bytes, the limit is %d", len(ev.Body), s.cfg.MaxBytes)
	}
	received := ev.Received
	if received.IsZero() {
		received = time.Now()
	}
	body := blob.Bytes(ev.Body)
	key := received.UTC().Format(day) + "/" + body.SHA256.String()
	if err := s.cfg.Blob.Put(ctx, key, body); err != nil && !errors.Is(err, blob.ErrExists) {
		return ev, fmt.Errorf("claim: %w", err)
	}
	ev.Body, ev.DataRef = nil, prefix+key
	return ev, nil
}

// Resolve gives an event its body back. An event whose body cannot be had for
// good becomes a dead letter: its Reason is set, and its Body is the reference.
// Another error is the store's, and passing: try again.
//
// The reference comes from whoever can write to the stream. Only names of the
// form that Put gives are looked up, and only what hashes to them is believed.
func (s *Store) Resolve(ctx context.Context, ev *nagare.Event) error {
	if ev.DataRef == "" {
		return nil
	}
	if !reference.MatchString(ev.DataRef) {
		dead(ev, ReasonBadRef, "not of the form claims/DAY/SHA256")
		return nil
	}
	key := ev.DataRef[len(prefix):]
	r, err := s.cfg.Blob.Get(ctx, key)
	if errors.Is(err, blob.ErrNotFound) {
		dead(ev, ReasonMissing, "no object "+key)
		return nil
	}
	if err != nil {
		return fmt.Errorf("claim: %w", err)
	}
	body, err := io.ReadAll(io.LimitReader(r, s.cfg.MaxBytes+1))
	if err = errors.Join(err, r.Close()); err != nil {
		return fmt.Errorf("claim: read %s: %w", key, err)
	}
	switch {
	case int64(len(body)) > s.cfg.MaxBytes:
		dead(ev, ReasonTooLarge, fmt.Sprintf("more than %d bytes", s.cfg.MaxBytes))
	case key[len(day)+1:] != blob.Sum(sha256.Sum256(body)).String():
		dead(ev, ReasonDamaged, fmt.Sprintf("%d bytes with another hash", len(body)))
	default:
		ev.Body, ev.DataRef = body, ""
	}
	return nil
}

// Refuse makes a dead letter of an event whose body will not be looked for.
func Refuse(ev *nagare.Event, reason, detail string) { dead(ev, reason, detail) }

func dead(ev *nagare.Event, reason, detail string) {
	ref := ev.DataRef[:min(len(ev.DataRef), 200)]
	ev.Reason, ev.Error = reason, fmt.Sprintf("the body of the event is in %q: %s", ref, detail)
	ev.Body, ev.ContentType, ev.DataRef = []byte(ref), "text/plain", ""
}

// Sweep removes the objects of days before the one of t, and returns how many.
// An object may go when no record that names it can be read any more.
func (s *Store) Sweep(ctx context.Context, t time.Time) (removed int, err error) {
	limit := t.UTC().Format(day)
	const page = 1000
	for after := ""; ; {
		list, err := s.cfg.Blob.List(ctx, "", after, page)
		if err != nil {
			return removed, fmt.Errorf("claim: %w", err)
		}
		for _, e := range list {
			after = e.Key
			if !reference.MatchString(prefix + e.Key) {
				continue // not ours
			}
			if e.Key[:len(day)] >= limit { // they are ordered by day
				return removed, nil
			}
			if err := s.cfg.Blob.Delete(ctx, e.Key); err != nil {
				return removed, fmt.Errorf("claim: %w", err)
			}
			removed++
		}
		if len(list) < page {
			return removed, nil
		}
	}
}
