package app

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"nagare/internal/coord"
)

func TestOverlap(t *testing.T) {
	dir := t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, "data", "lake"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(filepath.Join(dir, "data"), filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	lake := filepath.Join(dir, "data", "lake")
	for into, want := range map[string]bool{
		lake: true, lake + "/": true, lake + "/ext/x": true, filepath.Join(dir, "data"): true, "/": true, filepath.Join(dir, "link", "lake"): true,
		filepath.Join(dir, "link", "lake", "not", "made"): true, lake + "2": false, filepath.Join(dir, "data", "other"): false, filepath.Join(dir, "..lake"): false,
		filepath.Join(dir, "data", "lake", "..", "other"): false,
	} {
		if got := overlap(into, lake); got != want {
			t.Errorf("%s and the lake: %v, want %v", into, got, want)
		}
	}
}

func TestProgressLine(t *testing.T) {
	from := time.Date(2026, 11, 25, 10, 0, 0, 0, time.UTC)
	p := &progress{what: "replay x", from: from, to: from.Add(time.Hour), began: from}
	for _, c := range []struct {
		after time.Duration
		r     reading
		want  string
	}{
		{time.Second, reading{}, "replay x [--------------------]   ?% 0 events, 0.0 MB/s, 0 events/s"},
		{10 * time.Second, reading{100_000, 50_000_000, from.Add(15 * time.Minute)},
			"replay x [#####---------------]  25% 100000 events, 5.0 MB/s, 10000 events/s, at 2026-11-25T10:15:00Z, remaining 30s"},
		// A shard that was begun later does not set it back.
		{20 * time.Second, reading{200_000, 50_000_000, from.Add(5 * time.Minute)},
			"replay x [#####---------------]  25% 200000 events, 2.5 MB/s, 10000 events/s, at 2026-11-25T10:15:00Z, remaining 1m0s"},
		{40 * time.Second, reading{400_000, 80_000_000, from.Add(time.Hour)},
			"replay x [####################] 100% 400000 events, 2.0 MB/s, 10000 events/s, at 2026-11-25T11:00:00Z, remaining 0s"},
	} {
		if got := p.line(c.r, from.Add(c.after)); got != c.want {
			t.Errorf("after %s:\n%s\nwant\n%s", c.after, got, c.want)
		}
	}
}

// TestOverlay: what is written is seen there, and not below.
func TestOverlay(t *testing.T) {
	ctx := t.Context()
	below, err := coord.OpenSQLite(filepath.Join(t.TempDir(), "coord.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer below.Close()
	versions := map[string]int64{}
	for _, sort := range []string{"a", "b", "d"} {
		if versions[sort], err = below.Put(ctx, "p", sort, []byte("below "+sort), 0); err != nil {
			t.Fatal(err)
		}
	}
	o := newOverlay(below)
	for _, sort := range []string{"a", "c"} {
		if _, err := o.Put(ctx, "p", sort, []byte("x"), versions[sort]+1); !errors.Is(err, coord.ErrConflict) {
			t.Errorf("put %s on another version: %v", sort, err)
		}
		v, err := o.Put(ctx, "p", sort, []byte("above "+sort), versions[sort])
		if err != nil {
			t.Fatal(err)
		}
		if _, err := o.Put(ctx, "p", sort, []byte("x"), versions[sort]); !errors.Is(err, coord.ErrConflict) {
			t.Errorf("put %s on the old version: %v", sort, err)
		}
		if r, err := o.Get(ctx, "p", sort); err != nil || string(r.Value) != "above "+sort || r.Version != v {
			t.Errorf("%s is %+v, %v", sort, r, err)
		}
	}
	if err := o.Delete(ctx, "p", "b", versions["b"]); err != nil {
		t.Fatal(err)
	}
	if _, err := o.Get(ctx, "p", "b"); !errors.Is(err, coord.ErrNotFound) {
		t.Errorf("b was deleted: %v", err)
	}
	list := func(s coord.Store, after string, limit int) string {
		rows, err := s.List(ctx, "p", after, limit)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, r := range rows {
			got = append(got, string(r.Value))
		}
		return strings.Join(got, ", ")
	}
	for _, c := range []struct {
		s     coord.Store
		after string
		limit int
		want  string
	}{{o, "", 9, "above a, above c, below d"}, {o, "a", 1, "above c"}, {below, "", 9, "below a, below b, below d"}} {
		if got := list(c.s, c.after, c.limit); got != c.want {
			t.Errorf("after %q, %d: %s, want %s", c.after, c.limit, got, c.want)
		}
	}
}

func TestReplayName(t *testing.T) {
	a := ReplayOptions{App: "live", From: "-1h"}
	b := a
	if a.name() != b.name() || !strings.HasPrefix(a.name(), "live-") {
		t.Errorf("the same command has the names %s and %s", a.name(), b.name())
	}
	for _, other := range []ReplayOptions{{App: "compact", From: "-1h"}, {App: "live", From: "-2h"}, {App: "live", From: "-1h", To: "-5m"}, {App: "live", From: "-1h", Stream: "bulk"}, {App: "live", From: "-1h", Notify: true}} {
		if other.name() == a.name() {
			t.Errorf("%+v has the name of %+v", other, a)
		}
	}
}
