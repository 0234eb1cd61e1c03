package compact

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/parquet-go/parquet-go"

	"nagare"
	"nagare/consumers"
	"nagare/internal/blob"
	"nagare/internal/coord"
	"nagare/internal/lake"
	"nagare/ocsf"
	"nagare/ocsf/mapping"
)

// rig is a lake in a folder, and the ledger in a file: as on a laptop.
type rig struct {
	t       testing.TB
	cfg     Config
	layouts *ocsf.Layouts
	shard   consumers.Shard
}

var start = time.Date(2026, 11, 25, 10, 10, 0, 0, time.UTC)

func newRig(t testing.TB) *rig {
	t.Helper()
	schema, err := ocsf.Load("1.3.0")
	if err != nil {
		t.Fatal(err)
	}
	r := &rig{t: t, layouts: ocsf.NewLayouts(schema), shard: consumers.Shard{App: "compact", Stream: "nagare@1764000000", ID: "shardId-000000000000", Epoch: 7}}
	for _, name := range []string{"base_event", "authentication"} {
		c, _ := schema.Class(name)
		l := r.layouts.Class(c)
		if name == "authentication" {
			for _, p := range []string{"user.name", "service.name"} {
				if _, err := l.Add(p); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	r.layouts.Freeze()
	dir := t.TempDir()
	open := func(name string) blob.Store {
		s, err := blob.Dir(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	store, err := coord.OpenSQLite(filepath.Join(dir, "coord.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { store.Close() })
	objects := open("objects")
	r.cfg = Config{
		Normalize: r.normalize, Coord: store, Stage: objects, Archive: objects, Lake: open("lake"),
		Tables: lake.NewTables(schema), TempDir: dir, Stats: &Stats{},
	}
	return r
}

// normalize is a mapping of bodies that are one word.
func (r *rig) normalize(ev *nagare.Event, out *ocsf.Event) error {
	name := "authentication"
	switch string(ev.Body) {
	case "no-event":
		return &mapping.Dead{Reason: mapping.NotAnEvent, Err: errors.New("not JSON")}
	case "odd":
		return errors.New("an odd thing")
	case "panic":
		panic("a bug")
	case "other":
		name = "base_event"
	}
	c, _ := r.layouts.Schema.Class(name)
	out.Reset(r.layouts.Class(c))
	out.Slots[out.Layout.Slot("time")] = ocsf.IntValue(ev.Received.UnixMilli())
	out.Slots[out.Layout.Slot("metadata.uid")] = ocsf.TextValue(ev.UID)
	if name == "authentication" {
		out.Slots[out.Layout.Slot("user.name")] = ocsf.TextValue("someone")
	}
	ocsf.Finish(out)
	return nil
}

// record makes the events of one record.
func record(seq int, bodies ...string) []nagare.Event {
	var events []nagare.Event
	for i, b := range bodies {
		at := start.Add(time.Duration(seq) * time.Second)
		events = append(events, nagare.Event{
			ID: fmt.Sprintf("id-%d-%d", seq, i), UID: fmt.Sprintf("uid-%d-%d", seq, i), Source: "test", Received: at, Body: []byte(b),
			Pos: nagare.Position{Stream: "nagare@1764000000", Shard: "shardId-000000000000", Seq: strconv.Itoa(seq), Index: i, Arrived: at},
		})
	}
	return events
}

func at(seq int) nagare.Position {
	return nagare.Position{Stream: "nagare@1764000000", Shard: "shardId-000000000000", Seq: strconv.Itoa(seq), Index: 9, Arrived: start.Add(time.Duration(seq) * time.Second)}
}

func (r *rig) open() (*stage, nagare.Position) {
	r.t.Helper()
	s, err := New(r.cfg)(r.shard)
	if err != nil {
		r.t.Fatal(err)
	}
	from, err := s.Open(r.t.Context(), r.shard)
	if err != nil {
		r.t.Fatal(err)
	}
	return s.(*stage), from
}

func (r *rig) process(s *stage, events ...[]nagare.Event) {
	r.t.Helper()
	for _, e := range events {
		if err := s.Process(r.t.Context(), e); err != nil {
			r.t.Fatal(err)
		}
	}
}

func (r *rig) flush(s *stage, to int, end bool) {
	r.t.Helper()
	if err := s.Flush(r.t.Context(), at(to), end); err != nil {
		r.t.Fatal(err)
	}
}

// rows are the uids in the lake, with how often.
func (r *rig) rows() map[string]int {
	r.t.Helper()
	got := map[string]int{}
	list, err := r.cfg.Lake.List(r.t.Context(), "ext/", "", 1000)
	if err != nil {
		r.t.Fatal(err)
	}
	for _, e := range list {
		b, err := blob.ReadAll(r.t.Context(), r.cfg.Lake, e.Key, 1<<30)
		if err != nil {
			r.t.Fatal(err)
		}
		f, err := parquet.OpenFile(bytes.NewReader(b), int64(len(b)))
		if err != nil {
			r.t.Fatal(err)
		}
		leaf, _ := f.Schema().Lookup("metadata", "uid")
		for _, g := range f.RowGroups() {
			rows := g.Rows()
			buf := make([]parquet.Row, 64)
			for {
				n, err := rows.ReadRows(buf)
				for _, row := range buf[:n] {
					row.Range(func(col int, v []parquet.Value) bool {
						if col == leaf.ColumnIndex {
							got[v[0].String()]++
						}
						return true
					})
				}
				if err == io.EOF {
					break
				}
				if err != nil {
					r.t.Fatal(err)
				}
			}
			rows.Close()
		}
	}
	return got
}

func (r *rig) dead() map[string]string {
	r.t.Helper()
	got := map[string]string{}
	for d, err := range lake.DeadLetters(r.t.Context(), r.cfg.Archive, lake.DeadFilter{}) {
		if err != nil {
			r.t.Fatal(err)
		}
		got[d.UID] = d.Reason + "|" + d.Mapping + "|" + d.Body
	}
	return got
}

// What a shard brings ends in the lake or in the dead letters, and the next
// worker goes on behind it.
func TestStage(t *testing.T) {
	r := newRig(t)
	s, from := r.open()
	if from.Seq != "0" {
		t.Errorf("a new shard is read from %q, want the oldest record", from.Seq)
	}
	refused := record(2, "whatever")
	refused[0].Reason, refused[0].Error = "bad-frame", "cut short"
	r.process(s, record(1, "login", "no-event", "other"), refused, record(3, "odd", "panic", "login"))
	if len(r.rows()) != 0 {
		t.Error("rows are visible before the flush")
	}
	r.flush(s, 3, false)
	r.flush(s, 3, false) // nothing new: no commit
	want := map[string]int{"uid-1-0": 1, "uid-1-2": 1, "uid-3-2": 1}
	if d := cmp.Diff(want, r.rows()); d != "" {
		t.Errorf("rows (-want +got):\n%s", d)
	}
	if d := cmp.Diff(map[string]string{
		"uid-1-1": "not-an-event|test|no-event", "uid-2-0": "bad-frame||whatever", "uid-3-0": "unmapped|test|odd", "uid-3-1": "panic|test|panic",
	}, r.dead()); d != "" {
		t.Errorf("dead letters (-want +got):\n%s", d)
	}
	if d := cmp.Diff(map[lake.DeadKind]int64{{Source: "test", Reason: "not-an-event"}: 1, {Source: "test", Reason: "bad-frame"}: 1, {Source: "test", Reason: "unmapped"}: 1, {Source: "test", Reason: "panic"}: 1}, r.cfg.Stats.Lake.DeadKinds()); d != "" {
		t.Errorf("counted (-want +got):\n%s", d)
	}
	r.process(s, record(4, "login")) // never flushed: lost with the worker
	s.Drop()

	s, from = r.open()
	if from.Seq != "3" {
		t.Errorf("the next worker reads after %q, want 3", from.Seq)
	}
	r.process(s, record(3, "login"), record(4, "login"), record(5, "login")) // 3 again: not wanted
	r.flush(s, 5, true)
	want["uid-4-0"], want["uid-5-0"] = 1, 1
	if d := cmp.Diff(want, r.rows()); d != "" {
		t.Errorf("rows (-want +got):\n%s", d)
	}
	it, _, err := lake.ReadItem(t.Context(), r.cfg.Coord, "compact", r.shard.Stream, r.shard.ID)
	if err != nil || it.N != 2 || it.To != "5" || !it.Closed || it.State != lake.Published || it.Epoch != 7 {
		t.Errorf("ledger %+v, %v", it, err)
	}
	if r.cfg.Stats.Skipped.Load() != 1 {
		t.Errorf("%d events skipped, want 1", r.cfg.Stats.Skipped.Load())
	}
}

// A shard without records is closed all the same, once.
func TestEmptyShard(t *testing.T) {
	r := newRig(t)
	s, _ := r.open()
	for range 2 {
		if err := s.Flush(t.Context(), nagare.Position{}, true); err != nil {
			t.Fatal(err)
		}
	}
	it, _, err := lake.ReadItem(t.Context(), r.cfg.Coord, "compact", r.shard.Stream, r.shard.ID)
	if err != nil || it.N != 1 || !it.Closed {
		t.Errorf("ledger %+v, %v", it, err)
	}
}

// A worker that lost its shard, does not know, and flushes: what the other one
// committed is forgotten, what lies behind is committed.
func TestZombie(t *testing.T) {
	r := newRig(t)
	zombie, _ := r.open()
	r.process(zombie, record(1, "login"), record(2, "login"), record(3, "login"))
	heir, _ := r.open()
	r.process(heir, record(1, "login"), record(2, "login"))
	r.flush(heir, 2, false)
	r.flush(zombie, 3, false)
	want := map[string]int{"uid-1-0": 1, "uid-2-0": 1, "uid-3-0": 1}
	if d := cmp.Diff(want, r.rows()); d != "" {
		t.Errorf("rows (-want +got):\n%s", d)
	}
	// The heir is behind now, and goes on, too.
	r.process(heir, record(3, "login"), record(4, "login"))
	r.flush(heir, 4, false)
	want["uid-4-0"] = 1
	// And the zombie has nothing to add.
	r.flush(zombie, 3, false)
	r.process(zombie, record(4, "login"))
	r.flush(zombie, 4, true)
	if d := cmp.Diff(want, r.rows()); d != "" {
		t.Errorf("rows (-want +got):\n%s", d)
	}
	if len(zombie.kept) != 0 || zombie.bytes != 0 {
		t.Errorf("the zombie keeps %d events, %d bytes", len(zombie.kept), zombie.bytes)
	}
}

// A flush up to a record in the middle leaves the rest in the buffer.
func TestFlushPart(t *testing.T) {
	r := newRig(t)
	s, _ := r.open()
	r.process(s, record(1, "login"), record(2, "login", "odd"))
	r.flush(s, 1, false)
	if d := cmp.Diff(map[string]int{"uid-1-0": 1}, r.rows()); d != "" {
		t.Errorf("rows (-want +got):\n%s", d)
	}
	if len(s.kept) != 2 || s.bytes == 0 || len(s.parts) != 1 {
		t.Errorf("%d events are kept, %d bytes, %d files; want 2 events", len(s.kept), s.bytes, len(s.parts))
	}
	r.flush(s, 2, false)
	if d := cmp.Diff(map[string]int{"uid-1-0": 1, "uid-2-0": 1}, r.rows()); d != "" {
		t.Errorf("rows (-want +got):\n%s", d)
	}
}

// An older ledger (a file brought back from a backup) is not taken for true.
func TestLedgerWentBack(t *testing.T) {
	r := newRig(t)
	s, _ := r.open()
	r.process(s, record(1, "login"))
	r.flush(s, 1, false)
	it, v, err := lake.ReadItem(t.Context(), r.cfg.Coord, "compact", r.shard.Stream, r.shard.ID)
	if err != nil {
		t.Fatal(err)
	}
	r.process(s, record(2, "login"))
	r.flush(s, 2, false)
	r.process(s, record(3, "login"))
	v += 2
	if _, err := coord.PutJSON(t.Context(), r.cfg.Coord, lake.LedgerPart("compact", r.shard.Stream), r.shard.ID, it, v); err != nil {
		t.Fatal(err)
	}
	if err := s.Flush(t.Context(), at(3), false); err == nil || !strings.Contains(err.Error(), "went back") {
		t.Errorf("Flush with an older ledger: %v", err)
	}
}

func TestWantFlush(t *testing.T) {
	r := newRig(t)
	r.cfg.MaxBytes = 10_000
	s, _ := r.open()
	if s.WantFlush() {
		t.Error("an empty buffer wants a flush")
	}
	r.process(s, record(1, "login"))
	if s.WantFlush() {
		t.Error("one event wants a flush")
	}
	r.process(s, record(2, strings.Repeat("x", 10_000)))
	if !s.WantFlush() {
		t.Error("a full buffer wants no flush")
	}
	r.flush(s, 2, false)
	r.process(s, record(3, "login"), record(3600, "login")) // the hour is over
	if !s.WantFlush() {
		t.Error("the end of the hour wants no flush")
	}
	r.flush(s, 3600, false)
	s.Drop()
	r.cfg.MaxBytes = 1 << 30 // it is the files that count now
	s, _ = r.open()
	for i := range maxPartitions {
		old := record(4000, "login")
		old[0].Received = old[0].Received.Add(-time.Duration(i) * 24 * time.Hour)
		old[0].Pos.Index = i
		r.process(s, old)
	}
	if !s.WantFlush() {
		t.Error("very many files want no flush")
	}
	s.Drop()
	if s.WantFlush() {
		t.Error("a dropped buffer wants a flush")
	}
}

// A flush under a context that is over does not begin.
func TestCancelled(t *testing.T) {
	r := newRig(t)
	s, _ := r.open()
	r.process(s, record(1, "login"))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.Flush(ctx, at(1), false); !errors.Is(err, context.Canceled) {
		t.Errorf("Flush: %v, want context.Canceled", err)
	}
	r.flush(s, 1, false)
	if d := cmp.Diff(map[string]int{"uid-1-0": 1}, r.rows()); d != "" {
		t.Errorf("rows (-want +got):\n%s", d)
	}
}
