package lake

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"slices"
	"strings"
	"time"

	"nagare"
	"nagare/internal/blob"
)

const archiveRoot = "archive/"

// ArchivedStreams lists the streams that have archive objects, named by name
// and creation time, in order of the bytes of these.
func ArchivedStreams(ctx context.Context, archive blob.Store) ([]string, error) {
	return folders(ctx, archive, archiveRoot)
}

// folders lists the names right under prefix, one list call for each.
func folders(ctx context.Context, s blob.Store, prefix string) ([]string, error) {
	var out []string
	for after := ""; ; {
		found, err := s.List(ctx, prefix, after, 1)
		if err != nil {
			return nil, err
		}
		if len(found) == 0 {
			return out, nil
		}
		name, _, ok := strings.Cut(found[0].Key[len(prefix):], "/")
		if ok {
			out = append(out, name)
		}
		after = prefix + name + "0" // behind all that begins with the name and a slash
	}
}

// An Archive is the archive objects of one stream: the raw events of its
// commits.
type Archive struct {
	store  blob.Store
	stream string
	watch  func(n int64)
}

// OpenArchive opens the archive of a stream, which is named by name and
// creation time.
func OpenArchive(archive blob.Store, stream string) *Archive {
	return &Archive{store: archive, stream: stream}
}

// Watch has f told how many more bytes of objects Events has read, by the
// goroutine that reads.
func (a *Archive) Watch(f func(n int64)) { a.watch = f }

// Size is how many bytes the objects have that Events would read.
func (a *Archive) Size(ctx context.Context, shard string, from, to time.Time) (n int64, err error) {
	objects, err := a.objects(ctx, shard)
	for _, o := range between(objects, from, to) {
		n += o.size
	}
	return n, err
}

// Stream is name and creation time of the stream.
func (a *Archive) Stream() string { return a.stream }

// Shards lists the shards that have archive objects, in order of birth: the
// ids of a stream's shards grow.
func (a *Archive) Shards(ctx context.Context) ([]string, error) {
	return folders(ctx, a.store, archiveRoot+a.stream+"/")
}

// An archiveObject is one archive object, by its name.
type archiveObject struct {
	key   string
	n     int64
	first time.Time
	size  int64
}

func (a *Archive) objects(ctx context.Context, shard string) ([]archiveObject, error) {
	const page = 1000
	prefix := archivePrefix(a.stream, shard)
	var out []archiveObject
	for after := ""; ; {
		found, err := a.store.List(ctx, prefix, after, page)
		if err != nil {
			return nil, err
		}
		for _, f := range found {
			o := archiveObject{key: f.Key, size: f.Size}
			var at string
			if _, err := fmt.Sscanf(f.Key[len(prefix):], "%012d-%16s", &o.n, &at); err != nil {
				return nil, fmt.Errorf("lake: archive: the name %s is not one of ours", f.Key)
			}
			if o.first, err = time.Parse("20060102T150405Z", at); err != nil {
				return nil, fmt.Errorf("lake: archive: the name %s is not one of ours", f.Key)
			}
			out = append(out, o)
		}
		if len(found) < page {
			return out, nil
		}
		after = found[len(found)-1].Key
	}
}

// Begins returns when the oldest object of a shard begins, and whether there
// were commits before it whose events, if they had any, are gone.
func (a *Archive) Begins(ctx context.Context, shard string) (first time.Time, cut bool, err error) {
	objects, err := a.objects(ctx, shard)
	if err != nil || len(objects) == 0 {
		return time.Time{}, false, err
	}
	return objects[0].first, objects[0].n > 1, nil
}

// spread is how far apart arrival times and names may be: those are of whole
// seconds, and arrivals of neighbouring records may be out of order a little.
const spread = time.Minute

// Events yields the events of a shard that arrived from from on and before to,
// in order; zero times are no bounds. An error ends it: what is behind a
// damaged object must not look like all there is.
func (a *Archive) Events(ctx context.Context, shard string, from, to time.Time) iter.Seq2[nagare.Event, error] {
	return func(yield func(nagare.Event, error) bool) {
		objects, err := a.objects(ctx, shard)
		if err != nil {
			yield(nagare.Event{}, err)
			return
		}
		for _, o := range between(objects, from, to) {
			if !a.read(ctx, o.key, from, to, yield) {
				return
			}
		}
	}
}

// between are the objects that may have events of a time.
func between(objects []archiveObject, from, to time.Time) []archiveObject {
	for len(objects) > 1 && !from.IsZero() && objects[1].first.Before(from.Add(-spread)) {
		objects = objects[1:] // all of it arrived before the next one began
	}
	for i, o := range objects {
		if !to.IsZero() && o.first.After(to.Add(spread)) {
			return objects[:i]
		}
	}
	return objects
}

// A watched reader tells how much was read.
type watched struct {
	io.Reader
	f func(n int64)
}

func (w watched) Read(p []byte) (int, error) {
	n, err := w.Reader.Read(p)
	w.f(int64(n))
	return n, err
}

func (a *Archive) read(ctx context.Context, key string, from, to time.Time, yield func(nagare.Event, error) bool) bool {
	r, err := a.store.Get(ctx, key)
	if errors.Is(err, blob.ErrNotFound) {
		err = fmt.Errorf("lake: archive: %s was removed meanwhile: %w", key, err)
	}
	if err != nil {
		yield(nagare.Event{}, err)
		return false
	}
	defer r.Close()
	in := io.Reader(r)
	if a.watch != nil {
		in = watched{r, a.watch}
	}
	for ev, err := range ReadArchive(in) {
		if err == nil {
			err = ctx.Err()
		}
		if err != nil {
			yield(nagare.Event{}, fmt.Errorf("%s: %w", key, err))
			return false
		}
		if !from.IsZero() && ev.Pos.Arrived.Before(from) || !to.IsZero() && !ev.Pos.Arrived.Before(to) {
			continue
		}
		if !yield(ev, nil) {
			return false
		}
	}
	return true
}

// Find returns the event at a position, from commit n of its shard.
func (a *Archive) Find(ctx context.Context, shard string, n int64, seq string, index int) (nagare.Event, error) {
	found, err := a.store.List(ctx, fmt.Sprintf("%s%012d-", archivePrefix(a.stream, shard), n), "", 1)
	if err != nil {
		return nagare.Event{}, err
	}
	if len(found) == 0 {
		return nagare.Event{}, fmt.Errorf("lake: archive: nothing of commit %d of %s: %w", n, shard, blob.ErrNotFound)
	}
	var event nagare.Event
	err = fmt.Errorf("lake: archive: %s has no event at %s/%d: %w", found[0].Key, seq, index, blob.ErrNotFound)
	a.read(ctx, found[0].Key, time.Time{}, time.Time{}, func(ev nagare.Event, e error) bool {
		if e != nil {
			err = e
			return false
		}
		if ev.Pos.Index == index && nagare.CompareSeq(ev.Pos.Seq, seq) == 0 {
			event, err = ev, nil
			event.Body = slices.Clone(ev.Body)
			return false
		}
		return true
	})
	return event, err
}
