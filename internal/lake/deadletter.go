package lake

import (
	"bufio"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/klauspost/compress/zstd"

	"nagare"
	"nagare/internal/blob"
)

// maxDeadBody bounds the body that is kept with a dead letter. All of it is in
// the archive.
const maxDeadBody = 256 << 10

// A DeadLetter is an event that could not be used, and why.
type DeadLetter struct {
	ID       string    `json:"id"`
	Source   string    `json:"source"`
	UID      string    `json:"uid"`
	Reason   string    `json:"reason"`
	Error    string    `json:"error"`
	Received time.Time `json:"received"`
	Shard    string    `json:"shard"`
	Seq      string    `json:"seq"`
	// Mapping is the source and the version of the mapping that refused it, as
	// "okta@1f3a9c02"; "" if it came to none.
	Mapping string `json:"mapping"`

	Stream      string `json:"stream,omitempty"`
	Index       int    `json:"index,omitempty"`
	Tenant      string `json:"tenant,omitempty"`
	Auth        string `json:"auth,omitempty"`
	ContentType string `json:"content_type,omitempty"`
	// Time is when intake believed that it happened.
	Time time.Time `json:"time,omitzero"`
	// Body is the body, or its beginning; Binary has it if it is no text.
	Body   string `json:"body,omitempty"`
	Binary []byte `json:"binary,omitempty"`
	// Size is that of the whole body.
	Size int `json:"size"`

	// Commit is the number of the commit that it belongs to. It is in the
	// name of the object, not in the object.
	Commit int64 `json:"-"`
}

// Content is the body as far as it was kept, and whether that is all of it.
func (d *DeadLetter) Content() (body []byte, whole bool) {
	body = d.Binary
	if len(body) == 0 {
		body = []byte(d.Body)
	}
	return body, len(body) == d.Size
}

// NewDeadLetter makes the dead letter of an event.
func NewDeadLetter(ev *nagare.Event, reason, text string) DeadLetter {
	d := DeadLetter{
		ID: ev.ID, Source: ev.Source, UID: ev.UID, Reason: reason, Error: clip(text, 4<<10), Received: ev.Received,
		Shard: ev.Pos.Shard, Seq: ev.Pos.Seq, Stream: ev.Pos.Stream, Index: ev.Pos.Index,
		Tenant: ev.Tenant, Auth: ev.Auth, ContentType: ev.ContentType, Time: ev.Time, Size: len(ev.Body),
	}
	// A whole character is kept whole, so that text stays text.
	if body := ev.Body; utf8.Valid(body) {
		d.Body = clip(string(body[:min(len(body), maxDeadBody+utf8.UTFMax)]), maxDeadBody)
	} else {
		d.Binary = body[:min(len(body), maxDeadBody)]
	}
	return d
}

// A DeadKind is what dead letters are counted by.
type DeadKind struct {
	Source string `json:"source"`
	Reason string `json:"reason"`
}

// A DeadCount is how many dead letters there are of a kind.
type DeadCount struct {
	DeadKind
	N int64 `json:"n"`
}

// maxKinds bounds the kinds that are counted apart: sources and reasons come
// with events.
const maxKinds = 1000

var otherKind = DeadKind{"other", "other"}

// countKind adds to the count of a kind, or of all others when there are many.
func countKind(counts map[DeadKind]int64, k DeadKind, n int64) {
	if _, ok := counts[k]; !ok && len(counts) >= maxKinds {
		k = otherKind
	}
	counts[k] += n
}

// kinds counts dead letters, in order of source and reason.
func kinds(dead []DeadLetter) []DeadCount {
	counts := map[DeadKind]int64{}
	for i := range dead {
		countKind(counts, DeadKind{dead[i].Source, dead[i].Reason}, 1)
	}
	var out []DeadCount
	for k, n := range counts {
		out = append(out, DeadCount{k, n})
	}
	slices.SortFunc(out, func(a, b DeadCount) int {
		return cmp.Or(cmp.Compare(a.Source, b.Source), cmp.Compare(a.Reason, b.Reason))
	})
	return out
}

// deadLetters stages the dead letters of the batch: JSON lines, compressed.
func (s *stager) deadLetters() error {
	s.m.Counts.Dead, s.m.Dead = int64(len(s.dead)), kinds(s.dead)
	if len(s.dead) == 0 {
		return nil
	}
	sp := newSpool(s.c.cfg.TempDir)
	defer sp.drop()
	z, err := zstd.NewWriter(sp, zstd.WithEncoderConcurrency(1))
	if err != nil {
		return fmt.Errorf("lake: dead letters: %w", err)
	}
	enc := json.NewEncoder(z)
	enc.SetEscapeHTML(false)
	for i := range s.dead {
		if err := enc.Encode(&s.dead[i]); err != nil {
			z.Close()
			return fmt.Errorf("lake: dead letters: %w", err)
		}
	}
	if err := z.Close(); err != nil {
		return fmt.Errorf("lake: dead letters: %w", err)
	}
	return s.entry("dead-000.jsonl.zst", inArchive, deadKey(s.m.Stream, s.m.Shard, s.m.N, s.m.Last), int64(len(s.dead)), sp)
}

// A DeadFilter says which dead letters are wanted; zero fields want all.
type DeadFilter struct {
	ID, Source, Reason string
	// Since and Until bound when it was received: from Since, before Until.
	Since, Until time.Time
}

func (f *DeadFilter) match(d *DeadLetter) bool {
	return (f.ID == "" || f.ID == d.ID) && (f.Source == "" || f.Source == d.Source) && (f.Reason == "" || f.Reason == d.Reason) &&
		(f.Since.IsZero() || !d.Received.Before(f.Since)) && (f.Until.IsZero() || d.Received.Before(f.Until))
}

// maxDeadLine bounds a line of a dead-letter object when it is read: escapes
// may make a body six times as long.
const maxDeadLine = 8 << 20

// DeadLetters yields the published dead letters, days in order, in each day by
// shard and commit. An object that cannot be read yields an error, and the
// next ones follow.
func DeadLetters(ctx context.Context, archive blob.Store, f DeadFilter) iter.Seq2[DeadLetter, error] {
	return func(yield func(DeadLetter, error) bool) {
		const page = 1000
		after := ""
		if !f.Since.IsZero() {
			// Objects lie under the day of their last arrival, which is never
			// before what is in them was received (but for clocks that differ).
			after = deadPrefix + f.Since.UTC().Add(-time.Hour).Format("20060102")
		}
		for {
			entries, err := archive.List(ctx, deadPrefix, after, page)
			if err != nil {
				yield(DeadLetter{}, err)
				return
			}
			for _, e := range entries {
				if !readDead(ctx, archive, e.Key, &f, yield) {
					return
				}
			}
			if len(entries) < page {
				return
			}
			after = entries[len(entries)-1].Key
		}
	}
}

func readDead(ctx context.Context, s blob.Store, key string, f *DeadFilter, yield func(DeadLetter, error) bool) bool {
	fail := func(err error) bool { return yield(DeadLetter{}, fmt.Errorf("lake: dead letters %s: %w", key, err)) }
	r, err := s.Get(ctx, key)
	if errors.Is(err, blob.ErrNotFound) {
		return true // its time was up
	}
	if err != nil {
		return fail(err)
	}
	defer r.Close()
	z, err := zstd.NewReader(r, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(16<<20))
	if err != nil {
		return fail(err)
	}
	defer z.Close()
	commit := commitNumber(key)
	lines := bufio.NewScanner(io.Reader(z))
	lines.Buffer(make([]byte, 64<<10), maxDeadLine)
	for lines.Scan() {
		var d DeadLetter
		if err := json.Unmarshal(lines.Bytes(), &d); err != nil {
			return fail(err)
		}
		d.Commit = commit
		if f.match(&d) && !yield(d, nil) {
			return false
		}
	}
	if err := lines.Err(); err != nil {
		return fail(err)
	}
	return true
}

// commitNumber reads the number of the commit from the name of a dead-letter
// object; 0 if it is none of ours.
func commitNumber(key string) int64 {
	name := strings.TrimSuffix(key, ".jsonl.zst")
	n, err := strconv.ParseInt(name[strings.LastIndexByte(name, '-')+1:], 10, 64)
	if err != nil {
		return 0
	}
	return n
}
