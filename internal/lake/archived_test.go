package lake

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"nagare/internal/blob"
	"nagare/internal/blob/blobtest"
	"nagare/internal/coord"
)

// TestArchiveOfStream lists what is there, and reads a part of it.
func TestArchiveOfStream(t *testing.T) {
	w := newWorld(t, newLayouts(t), 0)
	for i := range 6 { // ten minutes apart, in three commits
		w.add(start.Add(time.Duration(i)*10*time.Minute), fmt.Sprint("u", i), fmt.Sprint("v", i))
	}
	if err := w.work(t.Context(), 2); err != nil {
		t.Fatal(err)
	}
	ctx := t.Context()
	for _, key := range []string{"archive/nagare-bulk@7/shardId-000000000000/000000000001-20261125T100000Z.frames", "archive/nagare@1764000000/shardId-000000000001/000000000003-20261125T100000Z.frames"} {
		if err := w.archive.Put(ctx, key, blob.Bytes([]byte(archiveMagic))); err != nil {
			t.Fatal(err)
		}
	}
	streams, err := ArchivedStreams(ctx, w.archive)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff([]string{"nagare-bulk@7", "nagare@1764000000"}, streams); d != "" {
		t.Errorf("streams: %s", d)
	}
	a := OpenArchive(w.archive, "nagare@1764000000")
	shards, err := a.Shards(ctx)
	if d := cmp.Diff([]string{"shardId-000000000000", "shardId-000000000001"}, shards); d != "" || err != nil {
		t.Errorf("shards: %s, %v", d, err)
	}
	for shard, want := range map[string]bool{shards[0]: false, shards[1]: true, "none": false} {
		if _, cut, err := a.Begins(ctx, shard); cut != want || err != nil {
			t.Errorf("%s begins after others: %v, %v", shard, cut, err)
		}
	}
	minute := func(n int) time.Time { return start.Add(time.Duration(n) * time.Minute) }
	for _, c := range []struct {
		from, to time.Time
		want     string
	}{
		{time.Time{}, time.Time{}, "u0 v0 u1 v1 u2 v2 u3 v3 u4 v4 u5 v5"},
		{minute(10), minute(40), "u1 v1 u2 v2 u3 v3"},
		{minute(11), time.Time{}, "u2 v2 u3 v3 u4 v4 u5 v5"},
		{minute(50), minute(51), "u5 v5"},
		{minute(51), time.Time{}, ""},
		{time.Time{}, start, ""},
	} {
		var got []string
		for ev, err := range a.Events(ctx, shards[0], c.from, c.to) {
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, ev.UID)
		}
		if s := strings.Join(got, " "); s != c.want {
			t.Errorf("from %s to %s: %s, want %s", c.from, c.to, s, c.want)
		}
	}
	// What will be read is known before, and told while it is.
	var read int64
	watched := OpenArchive(w.archive, "nagare@1764000000")
	watched.Watch(func(n int64) { read += n })
	var last int64
	for _, from := range []time.Time{{}, minute(10), minute(45)} {
		size, err := watched.Size(ctx, shards[0], from, time.Time{})
		if err != nil {
			t.Fatal(err)
		}
		read = 0
		for _, err := range watched.Events(ctx, shards[0], from, time.Time{}) {
			if err != nil {
				t.Fatal(err)
			}
		}
		if size == 0 || read != size || last != 0 && size > last {
			t.Errorf("from %s: %d bytes were read, %d announced, and %d from earlier on", from, read, size, last)
		}
		last = size
	}
	// Objects outside of the time are not even opened.
	opened := 0
	w.archive.Before = func(op, key string) error {
		if op == "get" {
			opened++
		}
		return nil
	}
	for range a.Events(ctx, shards[0], minute(45), time.Time{}) {
	}
	if opened != 1 {
		t.Errorf("%d objects were opened for the last ten minutes, want 1", opened)
	}
	w.archive.Before = nil
	ev, err := a.Find(ctx, shards[0], 2, "120", 1)
	if err != nil || ev.UID != "v2" || string(ev.Body) != `{"uid":"v2"}` {
		t.Errorf("found %+v, %v", ev, err)
	}
	for _, c := range []struct {
		n   int64
		seq string
	}{{2, "999"}, {9, "120"}} {
		if _, err := a.Find(ctx, shards[0], c.n, c.seq, 1); !errors.Is(err, blob.ErrNotFound) {
			t.Errorf("commit %d, record %s: %v", c.n, c.seq, err)
		}
	}
	if err := w.archive.Put(ctx, "archive/nagare@1764000000/shardId-000000000000/readme.txt", blob.Bytes(nil)); err != nil {
		t.Fatal(err)
	}
	if _, _, err := a.Begins(ctx, shards[0]); err == nil {
		t.Error("a foreign name: no error")
	}
}

// TestLanded finds what became a row, in any commit, and counts what cannot be
// known.
func TestLanded(t *testing.T) {
	w := newWorld(t, newLayouts(t), 3)
	w.add(start.Add(time.Hour), "dead-x", "late-y")
	if err := w.work(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	rows := rowLister{w.coord}
	l := &Landing{App: "compact", Streams: []string{"nagare@1764000000", "other@1"}, Coord: rows, Stage: w.stage}
	ids := map[ID]bool{}
	for _, uid := range []string{"uid-0-a", "uid-2-b", "dead-x", "late-y", "nobody"} {
		ids[EventID("test", uid)] = true
	}
	want := map[ID]bool{EventID("test", "uid-0-a"): true, EventID("test", "uid-2-b"): true, EventID("test", "late-y"): true}
	got, missing, err := l.Landed(t.Context(), ids)
	if d := cmp.Diff(want, got); d != "" || missing != 0 || err != nil {
		t.Errorf("landed (-want +got): %s, %d missing, %v", d, missing, err)
	}
	sum, missing, err := l.Total(t.Context())
	if err != nil || missing != 0 || sum.Rows != 7 || sum.Dead != 1 || sum.Events != 8 || sum.Commits != 4 || sum.Files < 4 {
		t.Errorf("total %+v, %d missing, %v", sum, missing, err)
	}
	l.Since = start.Add(30 * time.Minute)
	if got, _, err := l.Landed(t.Context(), ids); err != nil || len(got) != 1 {
		t.Errorf("since half past: %d, %v; want late-y alone", len(got), err)
	}
	l.Since = time.Time{}
	// The ids of the last commit are gone, and the manifests of those before.
	it := w.item()
	m, err := ReadManifest(t.Context(), w.stage, it.Manifest)
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{m.IDs.Key, m.Previous[0].Manifest} {
		if err := w.stage.Delete(t.Context(), key); err != nil {
			t.Fatal(err)
		}
	}
	if got, missing, err := l.Landed(t.Context(), ids); err != nil || missing != 2 || len(got) != 0 {
		t.Errorf("without ids: %d landed, %d missing, %v", len(got), missing, err)
	}
}

// TestOwn: a lake has one owner.
func TestOwn(t *testing.T) {
	ctx := t.Context()
	a, b := Owner{App: "compact"}, Owner{App: "replay-x", ID: "1"}
	var other *OwnerError
	s := blobtest.Memory()
	for range 2 {
		if err := Own(ctx, s, b, true); err != nil {
			t.Fatal(err)
		}
		if err := s.Put(ctx, "ext/x", blob.Bytes(nil)); err != nil && !errors.Is(err, blob.ErrExists) {
			t.Fatal(err)
		}
	}
	for _, o := range []Owner{a, {App: "replay-x", ID: "2"}} {
		for _, empty := range []bool{true, false} {
			if err := Own(ctx, s, o, empty); !errors.As(err, &other) || other.Has != b {
				t.Errorf("%+v takes the lake of %+v: %v", o, b, err)
			}
		}
	}
	old := blobtest.Memory() // of before owners were noted
	if err := old.Put(ctx, "ext/x", blob.Bytes(nil)); err != nil {
		t.Fatal(err)
	}
	if err := Own(ctx, old, b, true); !errors.As(err, &other) || !strings.Contains(err.Error(), "not empty") {
		t.Errorf("a replay takes a lake with objects: %v", err)
	}
	if err := Own(ctx, old, a, false); err != nil {
		t.Errorf("the pipeline and its own lake: %v", err)
	}
	if err := Own(ctx, old, b, true); !errors.As(err, &other) {
		t.Errorf("then a replay: %v", err)
	}
	broken := blobtest.Memory()
	if err := broken.Put(ctx, OwnerKey, blob.Bytes([]byte("{"))); err != nil {
		t.Fatal(err)
	}
	if err := Own(ctx, broken, a, false); err == nil {
		t.Error("an owner that cannot be read: no error")
	}
	// Of two at once, one wins.
	raced := blobtest.Memory()
	wins := make(chan bool, 8)
	for i := range cap(wins) {
		go func() { wins <- Own(ctx, raced, Owner{App: fmt.Sprint("r", i)}, true) == nil }()
	}
	won := 0
	for range cap(wins) {
		if <-wins {
			won++
		}
	}
	if won != 1 {
		t.Errorf("%d of %d own the lake", won, cap(wins))
	}
}

// rowLister is memCoord that can list.
type rowLister struct{ *memCoord }

func (l rowLister) List(_ context.Context, part, after string, limit int) (out []coord.Row, err error) {
	for _, r := range l.rows {
		if r.Part == part && r.Sort > after {
			out = append(out, r)
		}
	}
	slices.SortFunc(out, func(a, b coord.Row) int { return strings.Compare(a.Sort, b.Sort) })
	return out[:min(len(out), limit)], nil
}
