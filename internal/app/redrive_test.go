package app

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/klauspost/compress/zstd"

	"nagare"
	"nagare/internal/coord"
	"nagare/internal/frame"
	"nagare/internal/lake"
)

// letters writes dead letters as compact does.
func letters(t *testing.T, dir string, list ...lake.DeadLetter) {
	t.Helper()
	file := filepath.Join(dir, "archive", "deadletters", "20261125", "95f5f44d-shardId-000000000000-000000000007.jsonl.zst")
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		t.Fatal(err)
	}
	f, err := os.Create(file)
	if err != nil {
		t.Fatal(err)
	}
	z, err := zstd.NewWriter(f)
	if err != nil {
		t.Fatal(err)
	}
	enc := json.NewEncoder(z)
	for _, d := range list {
		if err := enc.Encode(d); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(z.Close(), f.Close()); err != nil {
		t.Fatal(err)
	}
}

// letter is a dead letter with a body.
func letter(index int, source, reason, body string) lake.DeadLetter {
	return lake.NewDeadLetter(&nagare.Event{
		ID: "id-" + string(rune('a'+index)), UID: "uid-" + string(rune('a'+index)), Source: source, Auth: nagare.AuthPass, Received: time.Date(2026, 11, 25, 10, 0, 0, 0, time.UTC),
		Body: []byte(body), Pos: nagare.Position{Stream: "nagare@1764000000", Shard: "shardId-000000000000", Seq: "100", Index: index},
	}, reason, "said so")
}

// calls counts calls and fails one of them, before it is made or after.
type calls struct {
	n, fail int
	after   bool
	op      string // the one that failed
}

var errCall = errors.New("the call failed")

func (c *calls) do(op string, call func() error) error {
	c.n++
	mine := c.n == c.fail
	if mine && !c.after {
		c.op = op
		return errCall
	}
	err := call()
	if mine && errors.Is(err, coord.ErrNotFound) {
		c.fail++ // that call has nothing to lose: the next one
	} else if mine && err == nil {
		c.op = op
		return errCall
	}
	return err
}

type faultyRows struct {
	coord.Store
	c *calls
}

func (f faultyRows) Get(ctx context.Context, part, sort string) (r coord.Row, err error) {
	err = f.c.do("get", func() error { r, err = f.Store.Get(ctx, part, sort); return err })
	return r, err
}

func (f faultyRows) Put(ctx context.Context, part, sort string, value []byte, v int64) (n int64, err error) {
	op := "mark"
	if strings.Contains(string(value), `"done"`) {
		op = "mark done"
	}
	err = f.c.do(op, func() error { n, err = f.Store.Put(ctx, part, sort, value, v); return err })
	return n, err
}

func newRedrive(t *testing.T, dir string, c *calls) (d *redrive, put map[string]int) {
	t.Helper()
	opts := Options{Data: dir, Log: slog.New(slog.DiscardHandler)}
	core, err := loadCore(opts, selection{onlyMappings: true, mappings: []string{filepath.Join("..", "..", "ocsf", "mappings", "okta.yaml")}})
	if err != nil {
		t.Fatal(err)
	}
	store, err := coord.OpenSQLite(filepath.Join(dir, "coord.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { store.Close() })
	put = map[string]int{}
	d = &redrive{opts: opts, core: core, data: &dataDir{dir: dir}, store: faultyRows{store, c}, chosen: map[string]lake.ID{},
		RedriveOptions: RedriveOptions{Out: io.Discard, Progress: io.Discard}}
	d.put = func(_ context.Context, stream string, events []nagare.Event) error {
		return c.do("put", func() error {
			for _, ev := range events {
				if ev.ID == "" || strings.HasPrefix(ev.ID, "id-") || ev.Reason != "" {
					t.Errorf("event %+v: want a new id and no reason", ev)
				}
				put[stream+" "+ev.UID]++
			}
			return nil
		})
	}
	return d, put
}

// TestRedriveOutcomes: each kind of letter.
func TestRedriveOutcomes(t *testing.T) {
	dir := t.TempDir()
	good, err := frame.Encode(nil, []nagare.Event{{ID: "new", UID: "uid-framed", Source: "okta", Received: time.Now(), Body: []byte("{}")}})
	if err != nil {
		t.Fatal(err)
	}
	cut := letter(6, "okta", "no-mapping", "{}")
	cut.Size = 1 << 20 // and no archive has it
	bulk := letter(8, "okta", "no-mapping", "{}")
	bulk.Stream = "nagare-bulk@1764000001"
	letters(t, dir, letter(0, "okta", "no-mapping", "{}"), letter(1, "okta", "not-json", "still none"), letter(2, "okta", "not-json", `{"uuid":"uid-mended","eventType":"x"}`),
		letter(3, "okta", "too-large", "{"), letter(4, "unknown", "bad-kpl", "x"), letter(5, "unknown", "bad-frame", string(good)), cut, letter(7, "unknown", "bad-frame", "NGR1x"), bulk)
	d, put := newRedrive(t, dir, &calls{})
	d.landed = nil
	// A dry run says the same of each, and does nothing.
	dry := *d
	dry.DryRun, dry.chosen = true, map[string]lake.ID{}
	if err := dry.run(t.Context()); err != nil || len(put) > 0 {
		t.Fatalf("a dry run: %v, put %v", err, put)
	}
	if err := d.run(t.Context()); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(dry.counts, d.counts); diff != "" {
		t.Errorf("outcomes (-dry run +run): %s", diff)
	}
	got := map[string]string{}
	for _, o := range d.out.objects {
		got[o.(redrivenLine).ID] = o.(redrivenLine).Outcome
	}
	want := map[string]string{"id-a": driven, "id-b": stillRefused, "id-c": driven, "id-d": notWhole, "id-e": stillRefused, "id-f": driven, "id-g": notWhole, "id-h": stillRefused, "id-i": driven}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("outcomes (-want +got): %s", d)
	}
	if d := cmp.Diff(map[string]int{"nagare uid-a": 1, "nagare uid-mended": 1, "nagare uid-framed": 1, "nagare-bulk uid-i": 1}, put); d != "" {
		t.Errorf("put (-want +got): %s", d)
	}
}

// TestRedriveEveryCallFails fails each call once, before it is made or after.
// The same command again finishes the work: no letter is left out, none is put
// twice whose first put was known, and a third one has nothing to do.
func TestRedriveEveryCallFails(t *testing.T) {
	for _, after := range []bool{false, true} {
		for n := 1; ; n++ {
			dir := t.TempDir()
			letters(t, dir, letter(0, "okta", "no-mapping", "{}"), letter(1, "okta", "no-mapping", "{}"), letter(2, "okta", "invalid", "{}"))
			c := &calls{fail: n, after: after}
			d, put := newRedrive(t, dir, c)
			failed := d.run(t.Context())
			if (failed != nil) != (c.op != "") {
				t.Fatalf("call %d, after %v: %q failed, and so the command with %v", n, after, c.op, failed)
			}
			c.fail = 0
			again := *d
			again.chosen, again.out = map[string]lake.ID{}, listing{}
			if err := again.run(t.Context()); err != nil {
				t.Fatalf("call %d, after %v: again: %v", n, after, err)
			}
			for _, uid := range []string{"uid-a", "uid-b", "uid-c"} {
				times := put["nagare "+uid]
				// What was put and not marked as done is put again, with its uid.
				unsure := c.op == "mark done" || c.op == "put" && after
				if times == 0 || times > 1 && !unsure {
					t.Errorf("call %d (%s), after %v: %s was put %d times", n, c.op, after, uid, times)
				}
			}
			third := *d
			third.chosen, third.out = map[string]lake.ID{}, listing{}
			if err := third.run(t.Context()); err != nil || third.counts[drivenBefore] != 3 {
				t.Errorf("call %d, after %v: a third time: %v, %v", n, after, third.counts, err)
			}
			if c.op == "" {
				if n < 10 {
					t.Errorf("only %d calls were tried", n)
				}
				break
			}
		}
	}
}
