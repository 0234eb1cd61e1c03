package lake

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"nagare"
	"nagare/internal/blob"
	"nagare/internal/blob/blobtest"
	"nagare/internal/coord"
	"nagare/ocsf"
)

// memCoord is a coord.Store in memory, which asks before and after each call.
type memCoord struct {
	mu            sync.Mutex
	rows          map[string]coord.Row
	before, after func(op, key string) error
}

func (m *memCoord) around(op, key string, call func() error) error {
	if m.before != nil {
		if err := m.before(op, key); err != nil {
			return err
		}
	}
	m.mu.Lock()
	err := call()
	m.mu.Unlock()
	if m.after != nil {
		if e := m.after(op, key); e != nil {
			return e
		}
	}
	return err
}

func (m *memCoord) Get(ctx context.Context, part, sort string) (r coord.Row, err error) {
	err = m.around("get", part+sort, func() error {
		var ok bool
		if r, ok = m.rows[part+"\x00"+sort]; !ok {
			return coord.ErrNotFound
		}
		return ctx.Err()
	})
	return r, err
}

func (m *memCoord) Put(ctx context.Context, part, sort string, value []byte, ifVersion int64) (v int64, err error) {
	err = m.around("put", part+sort, func() error {
		k := part + "\x00" + sort
		if m.rows[k].Version != ifVersion {
			return coord.ErrConflict
		}
		v = ifVersion + 1
		m.rows[k] = coord.Row{Part: part, Sort: sort, Version: v, Value: value}
		return ctx.Err()
	})
	return v, err
}

func (m *memCoord) Delete(_ context.Context, part, sort string, _ int64) error {
	return m.around("delete", part+sort, func() error { delete(m.rows, part+"\x00"+sort); return nil })
}
func (m *memCoord) List(context.Context, string, string, int) ([]coord.Row, error) { return nil, nil }
func (m *memCoord) Close() error                                                   { return nil }

// A world is one shard, the stores, and what must hold for them.
type world struct {
	t       testing.TB
	l       *testLayouts
	coord   *memCoord
	stage   *blobtest.Faults
	lake    *blobtest.Faults
	archive *blobtest.Faults
	stats   Stats
	// records are the events of the shard, two in each record.
	records [][]nagare.Event
	window  time.Duration
}

var start = time.Date(2026, 11, 25, 10, 0, 0, 0, time.UTC)

func newWorld(t testing.TB, l *testLayouts, records int) *world {
	w := &world{
		t: t, l: l, coord: &memCoord{rows: map[string]coord.Row{}},
		stage: &blobtest.Faults{Store: blobtest.Memory()}, lake: &blobtest.Faults{Store: blobtest.Memory()}, archive: &blobtest.Faults{Store: blobtest.Memory()},
	}
	for i := range records {
		w.add(start.Add(time.Duration(i)*time.Second), fmt.Sprintf("uid-%d-a", i), fmt.Sprintf("uid-%d-b", i))
	}
	return w
}

// add appends a record. A uid with "dead" in it cannot be mapped, one with
// "late" happened the day before.
func (w *world) add(arrived time.Time, uids ...string) {
	seq := strconv.Itoa(100 + 10*len(w.records))
	var events []nagare.Event
	for i, uid := range uids {
		events = append(events, nagare.Event{
			ID: "id-" + uid, UID: uid, Source: "test", Received: arrived.Add(-time.Second), Body: []byte(`{"uid":"` + uid + `"}`),
			Pos: nagare.Position{Stream: "nagare@1764000000", Shard: "shardId-000000000000", Seq: seq, Index: i, Arrived: arrived},
		})
	}
	w.records = append(w.records, events)
}

// faults sets what is asked around each storage call.
func (w *world) faults(before, after func(op, key string) error) {
	for _, f := range []*blobtest.Faults{w.stage, w.lake, w.archive} {
		f.Before, f.After = before, after
	}
	w.coord.before, w.coord.after = before, after
}

func (w *world) committer(at func(Step)) *Committer {
	c, err := NewCommitter(Config{
		App: "compact", Stream: "nagare@1764000000", Shard: "shardId-000000000000",
		Coord: w.coord, Stage: w.stage, Lake: w.lake, Archive: w.archive, Tables: w.l.tables,
		Window: w.window, Stats: &w.stats, At: at, TempDir: w.t.TempDir(),
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return c
}

// fill is a mapping.
func (w *world) fill(ev *nagare.Event, out *ocsf.Event) error {
	if strings.Contains(ev.UID, "dead") {
		return errors.New("no such thing")
	}
	name := "base_event"
	if strings.Contains(ev.UID, "auth") {
		name = "authentication"
	}
	out.Reset(w.l.layouts.Class(w.l.classOf(name)))
	at := ev.Received
	if strings.Contains(ev.UID, "late") {
		at = at.Add(-24 * time.Hour)
	}
	out.Slots[out.Layout.Slot("time")] = ocsf.IntValue(at.UnixMilli())
	out.Slots[out.Layout.Slot("metadata.uid")] = ocsf.TextValue(ev.UID)
	return nil
}

// batch holds the records after from, up to n of them.
func (w *world) batch(from string, n int) *Batch {
	b := &Batch{From: from, Fill: w.fill}
	for _, events := range w.records {
		if nagare.CompareSeq(events[0].Pos.Seq, from) <= 0 {
			continue
		}
		if n--; n < 0 {
			break
		}
		for i := range events {
			b.Events = append(b.Events, &events[i])
		}
		b.To = events[len(events)-1].Pos
	}
	var e ocsf.Event
	for _, ev := range b.Events {
		if err := w.fill(ev, &e); err != nil {
			b.Dead = append(b.Dead, NewDeadLetter(ev, "test", err.Error()))
			continue
		}
		b.Rows = append(b.Rows, NewRow(ev, &e))
	}
	return b
}

func (w *world) end() string { return w.records[len(w.records)-1][0].Pos.Seq }

// work does what a worker does until everything is committed, or something
// fails: then it is gone, with all it knew.
func (w *world) work(ctx context.Context, each int) error {
	c := w.committer(nil)
	it, err := c.Open(ctx)
	if err != nil {
		return err
	}
	for from := it.To; nagare.CompareSeq(from, w.end()) < 0; {
		b := w.batch(from, each)
		err := c.Flush(ctx, b)
		var moved *MovedError
		switch {
		case errors.As(err, &moved):
			from = moved.To
		case err != nil:
			return err
		default:
			from = b.To.Seq
		}
	}
	return nil
}

// item is the ledger row, past all faults.
func (w *world) item() Item {
	w.coord.mu.Lock()
	defer w.coord.mu.Unlock()
	var it Item
	for _, r := range w.coord.rows {
		if err := jsonInto(r.Value, &it); err != nil {
			w.t.Fatal(err)
		}
	}
	return it
}

// visible checks what may be seen at any moment: no object of a commit that is
// not decided, and no row of one whose dead letters and raw events are not all
// there.
func (w *world) visible() {
	w.t.Helper()
	item := w.item()
	n := item.N
	if item.State == Committed {
		w.rowsAreLast(item)
	}
	for _, s := range []blob.Store{w.lake.Store, w.archive.Store} {
		list, err := s.List(context.Background(), "", "", 10000)
		if err != nil {
			w.t.Fatal(err)
		}
		for _, e := range list {
			if got := commitOf(e.Key); got > n || got < 1 {
				w.t.Fatalf("%s is visible, the ledger is at %d", e.Key, n)
			}
		}
	}
}

// rowsAreLast looks at a commit that is being published.
func (w *world) rowsAreLast(item Item) {
	w.t.Helper()
	m, err := ReadManifest(context.Background(), w.stage.Store, item.Manifest)
	if err != nil {
		w.t.Fatal(err)
	}
	row, lacks := "", ""
	for _, e := range m.Entries {
		s := w.lake.Store
		if e.Store == inArchive {
			s = w.archive.Store
		}
		_, err := s.Head(context.Background(), e.Key)
		switch {
		case err == nil && e.Store == inLake:
			row = e.Key
		case errors.Is(err, blob.ErrNotFound) && e.Store == inArchive:
			lacks = e.Key
		case err != nil && !errors.Is(err, blob.ErrNotFound):
			w.t.Fatal(err)
		}
	}
	// What was lacking may have come since, but rows come after it.
	if row != "" && lacks != "" {
		w.t.Fatalf("%s is visible, and %s is not there", row, lacks)
	}
}

// commitOf finds the commit number, of twelve digits, in a key.
func commitOf(key string) int64 {
	name := key[strings.LastIndexByte(key, '/')+1:]
	for part := range strings.FieldsFuncSeq(name, func(r rune) bool { return r == '-' || r == '.' }) {
		if n, err := strconv.ParseInt(part, 10, 64); err == nil && len(part) == 12 && part != "000000000000" {
			return n
		}
	}
	return -1
}

// found is where each event, as "seq/index", came to lie.
type found struct {
	rows     map[string]int // in the lake
	uids     map[string]int
	dead     map[string]int
	archived []string
	files    []string
}

func (w *world) look() found {
	w.t.Helper()
	ctx := context.Background()
	f := found{rows: map[string]int{}, uids: map[string]int{}, dead: map[string]int{}}
	list, err := w.lake.Store.List(ctx, "", "", 10000)
	if err != nil {
		w.t.Fatal(err)
	}
	for _, e := range list {
		f.files = append(f.files, e.Key)
		b, err := blob.ReadAll(ctx, w.lake.Store, e.Key, 1<<30)
		if err != nil {
			w.t.Fatal(err)
		}
		for _, r := range readFile(w.t, b) {
			un := r["unmapped"].(map[string]any)
			f.rows[fmt.Sprintf("%s/%s", text(un[keySeq]), text(un[keyIndex]))]++
			f.uids[text(r["metadata"].(map[string]any)["uid"])]++
		}
	}
	for d, err := range DeadLetters(ctx, w.archive.Store, DeadFilter{}) {
		if err != nil {
			w.t.Fatal(err)
		}
		f.dead[fmt.Sprintf("%s/%d", d.Seq, d.Index)]++
	}
	list, err = w.archive.Store.List(ctx, "archive/", "", 10000)
	if err != nil {
		w.t.Fatal(err)
	}
	for _, e := range list {
		b, err := blob.ReadAll(ctx, w.archive.Store, e.Key, 1<<30)
		if err != nil {
			w.t.Fatal(err)
		}
		for ev, err := range ReadArchive(bytes.NewReader(b)) {
			if err != nil {
				w.t.Fatal(err)
			}
			f.archived = append(f.archived, fmt.Sprintf("%s/%d", ev.Pos.Seq, ev.Pos.Index))
		}
	}
	return f
}

func text(v any) string {
	if b, ok := v.([]byte); ok {
		return string(b)
	}
	return fmt.Sprint(v)
}

// complete checks the end: each event once, in the lake or in the dead
// letters, and once in the archive, in order. Repeats, by uid, are one row.
func (w *world) complete() {
	w.t.Helper()
	f := w.look()
	wantRows, wantUIDs, wantDead := map[string]int{}, map[string]int{}, map[string]int{}
	var all []string
	for _, events := range w.records {
		for _, ev := range events {
			at := fmt.Sprintf("%s/%d", ev.Pos.Seq, ev.Pos.Index)
			all = append(all, at)
			switch {
			case strings.Contains(ev.UID, "dead"):
				wantDead[at] = 1
			case wantUIDs[ev.UID] == 0:
				wantUIDs[ev.UID], wantRows[at] = 1, 1
			}
		}
	}
	for name, d := range map[string]string{
		"rows": cmp.Diff(wantRows, f.rows), "uids": cmp.Diff(wantUIDs, f.uids),
		"dead letters": cmp.Diff(wantDead, f.dead), "archive": cmp.Diff(all, f.archived),
	} {
		if d != "" {
			w.t.Fatalf("%s (-want +got):\n%s\nfiles: %v", name, d, slices.Sorted(maps.Keys(f.rows)))
		}
	}
	if it := w.item(); it.State != Published || it.To != w.end() {
		w.t.Fatalf("the ledger is at %+v, want %s published", it, w.end())
	}
}

type event = nagare.Event

var blobNotFound = blob.ErrNotFound

func blobBytes(s string) blob.Body { return blob.Bytes([]byte(s)) }
