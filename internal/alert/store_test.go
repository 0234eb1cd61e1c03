package alert

import (
	"context"
	"errors"
	"fmt"
	"math"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"nagare/internal/coord"
)

var base = time.Date(2026, 11, 2, 10, 0, 0, 0, time.UTC)

func match(uid string) Match {
	return Match{Rule: "identity.mfa_fatigue", Title: "Push refusals followed by an approval", Text: "taro@example.com approved a push",
		Severity: "high", Key: "taro@example.com", Dedupe: time.Hour, EventUID: uid, EventTime: base}
}

func TestID(t *testing.T) {
	id := func(rule, key, uid string, at time.Duration, dedupe time.Duration) string {
		return ID(rule, key, uid, base.Add(at), dedupe)
	}
	first := id("r", "k", "u1", 0, time.Hour)
	for name, c := range map[string]struct {
		id   string
		same bool
	}{
		"another event of the hour": {id("r", "k", "u2", 59*time.Minute, time.Hour), true},
		"the next hour":             {id("r", "k", "u1", time.Hour, time.Hour), false},
		"the hour before":           {id("r", "k", "u1", -time.Second, time.Hour), false},
		"another key":               {id("r", "k2", "u1", 0, time.Hour), false},
		"another rule":              {id("r2", "k", "u1", 0, time.Hour), false},
		"parts moved":               {id("rk", "", "u1", 0, time.Hour), false},
	} {
		if (c.id == first) != c.same {
			t.Errorf("%s: same id = %v, want %v", name, c.id == first, c.same)
		}
	}
	for _, dedupe := range []time.Duration{0, time.Hour} {
		key := map[time.Duration]string{0: "k", time.Hour: ""}[dedupe]
		a, b := id("r", key, "u1", 0, dedupe), id("r", key, "u2", 0, dedupe)
		if a == b || a != id("r", key, "u1", 5*time.Hour, dedupe) {
			t.Errorf("dedupe %v, key %q: ids %s %s: want one per event, at whatever time", dedupe, key, a, b)
		}
	}
	// Before 1970 the floor is still the floor: one bucket must not be two hours long.
	old := time.Unix(-1800, 0)
	if ID("r", "k", "u", old, time.Hour) == ID("r", "k", "u", time.Unix(1800, 0), time.Hour) {
		t.Error("the hours before and after 1970 share an alert")
	}
	if len(first) != 32 || strings.ToLower(first) != first {
		t.Errorf("id %q is not 32 characters of lower-case hex", first)
	}
}

// newStore is a store that routes everything to "sec".
func newStore(c coord.Store) *Store {
	return NewStore(c, Config{Route: func(Alert) []string { return []string{"sec"} }})
}

func get(t *testing.T, s *Store, id string) *Entry {
	t.Helper()
	e, err := s.Get(t.Context(), "", id)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func TestRecordJoins(t *testing.T) {
	c := newMemory()
	s := newStore(c)
	var batch []Match
	for i := range 150 {
		m := match(fmt.Sprintf("u%03d", i))
		m.EventTime = base.Add(time.Duration(149-i) * time.Second) // the newest first
		batch = append(batch, m)
	}
	batch[70].Severity = "critical"
	if err := s.Record(t.Context(), batch...); err != nil {
		t.Fatal(err)
	}
	// Again, by a process that remembers nothing, one by one and in another order.
	again := newStore(c)
	for _, i := range []int{149, 3, 0, 120, 3} {
		if err := again.Record(t.Context(), batch[i]); err != nil {
			t.Fatal(err)
		}
	}
	e := get(t, s, batch[0].id())
	if e.Count != 150 || len(e.Events) != 100 || e.Events[0] != "u000" || e.Events[99] != "u099" {
		t.Errorf("count %d, %d events %v…: want 150 counted and the first 100 kept", e.Count, len(e.Events), e.Events[:min(2, len(e.Events))])
	}
	want := Alert{ID: batch[0].id(), Rule: "identity.mfa_fatigue", Title: batch[0].Title, Text: batch[0].Text, Key: "taro@example.com",
		Severity: "critical", SeverityID: 5, State: Open, Origin: Live, First: base, Last: base.Add(149 * time.Second), Count: 150, Events: e.Events}
	if diff := cmp.Diff(want, e.Alert); diff != "" {
		t.Errorf("alert (-want +got):\n%s", diff)
	}
	if got := s.Stats().Raised.Load() + again.Stats().Raised.Load(); got != 1 {
		t.Errorf("raised %d alerts, want 1", got)
	}
}

func TestRecordRepeatsCostNothing(t *testing.T) {
	c := newMemory()
	s := newStore(c)
	for range 3 {
		if err := s.Record(t.Context(), match("u1"), match("u2")); err != nil {
			t.Fatal(err)
		}
	}
	if c.puts != 3 { // the origin, the row, the marker
		t.Errorf("%d writes, want 3", c.puts)
	}
}

func TestCounterPastItsBound(t *testing.T) {
	var c counter
	for n := 1; n <= 50000; n++ {
		c.add(fmt.Sprintf("event-%d", n))
		if n <= maxExact && c.count() != n {
			t.Fatalf("after %d uids the count is %d", n, c.count())
		}
	}
	got := c.count()
	if math.Abs(float64(got)-50000) > 50000*0.03 {
		t.Errorf("50000 uids are counted as %d", got)
	}
	for n := 1; n <= 50000; n++ {
		if c.add(fmt.Sprintf("event-%d", n)) {
			t.Fatalf("the repeat of event %d changed the sketch", n)
		}
	}
	if c.count() != got {
		t.Errorf("repeats moved the count from %d to %d", got, c.count())
	}
	if len(c.Exact)+len(c.Sketch) > 33<<10 {
		t.Errorf("the counter takes %d bytes", len(c.Exact)+len(c.Sketch))
	}
}

func TestRecordHugeMatchFits(t *testing.T) {
	big := strings.Repeat("あ\xff\x00", 1<<14)
	s := newStore(newMemory())
	for i := range 101 {
		m := match(fmt.Sprint(i) + big)
		m.Title, m.Text, m.Key, m.Runbook, m.References = big, big, big, big, slices.Repeat([]string{big}, 50)
		if err := s.Record(t.Context(), m); err != nil {
			t.Fatal(err)
		}
	}
	rows, err := s.coord.List(t.Context(), "alert/live", "", 10)
	if err != nil || len(rows) != 1 {
		t.Fatalf("%d rows, %v", len(rows), err)
	}
	if n := len(rows[0].Value); n > coord.MaxValue {
		t.Errorf("the row has %d bytes, more than the store takes (%d)", n, coord.MaxValue)
	}
}

func TestRecordRefusesNonsense(t *testing.T) {
	s := newStore(newMemory())
	for name, change := range map[string]func(*Match){
		"no rule": func(m *Match) { m.Rule = "" }, "no event": func(m *Match) { m.EventUID = "" },
		"severity": func(m *Match) { m.Severity = "urgent" }, "no severity": func(m *Match) { m.Severity = "" },
		"origin": func(m *Match) { m.Origin = strings.Repeat("x", 300) },
	} {
		m := match("u")
		change(&m)
		if err := s.Record(t.Context(), m); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

// TestRecordFailsAnywhere fails every write once, with and without effect, and
// records again as a consumer does: the row and its marker are there, and the
// events counted once.
func TestRecordFailsAnywhere(t *testing.T) {
	first := match("u1")
	for _, applied := range []bool{false, true} {
		for n := 0; ; n++ {
			c := newMemory()
			op := 0
			c.before = func(string, string, string) (error, bool) {
				op++
				if op-1 == n {
					return errFault, applied
				}
				return nil, false
			}
			err := newStore(c).Record(t.Context(), match("u1"), match("u2"))
			if err != nil {
				if !errors.Is(err, errFault) {
					t.Fatalf("operation %d: %v", n, err)
				}
				// Another process reads the same events again.
				if err := newStore(c).Record(t.Context(), match("u2"), match("u1")); err != nil {
					t.Fatalf("operation %d: again: %v", n, err)
				}
			}
			e := get(t, newStore(c), first.id())
			if e.Count != 2 {
				t.Errorf("operation %d: count %d, want 2", n, e.Count)
			}
			if got := c.part(t, workPart); len(got) != 1 {
				t.Errorf("operation %d: markers %v, want one", n, got)
			}
			if err == nil {
				break
			}
		}
	}
}

func TestRecordConcurrently(t *testing.T) {
	c, err := coord.OpenSQLite(filepath.Join(t.TempDir(), "coord.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	stores := []*Store{newStore(c), newStore(c)}
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			for i := range 10 {
				a, b := match(fmt.Sprintf("g%d-%d", g, i)), match(fmt.Sprintf("all-%d", i))
				b.Key = "hanako@example.com"
				if err := stores[g%2].Record(t.Context(), a, b); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	list, err := stores[0].List(t.Context(), Filter{})
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]int{}
	for _, e := range list {
		got[e.Key] = e.Count
	}
	if diff := cmp.Diff(map[string]int{"taro@example.com": 80, "hanako@example.com": 10}, got); diff != "" {
		t.Errorf("counts (-want +got):\n%s", diff)
	}
}

func TestOriginsAndQuietMatches(t *testing.T) {
	ctx := t.Context()
	type seen struct {
		Deliveries int
		Finding    string
		Suppressed bool
	}
	look := func(s *Store, m Match) seen {
		t.Helper()
		e, err := s.Get(ctx, m.origin(), m.id())
		if err != nil {
			t.Fatal(err)
		}
		return seen{len(e.Deliveries), e.Finding, e.Suppressed}
	}
	for name, c := range map[string]struct {
		change func(*Match)
		want   seen
	}{
		"live":             {func(*Match) {}, seen{1, findingDue, false}},
		"shadow":           {func(m *Match) { m.Quiet = true }, seen{0, findingDue, false}},
		"suppressed":       {func(m *Match) { m.Suppressed = true }, seen{0, findingDue, true}},
		"replay":           {func(m *Match) { m.Origin = "replay:x" }, seen{0, "", false}},
		"replay, notify":   {func(m *Match) { m.Origin, m.Notify = "replay:x", true }, seen{1, "", false}},
		"replay, publish":  {func(m *Match) { m.Origin, m.Publish = "replay:x", true }, seen{0, findingDue, false}},
		"rule's receivers": {func(m *Match) { m.To = []string{"identity", "sec"} }, seen{2, findingDue, false}},
	} {
		t.Run(name, func(t *testing.T) {
			s := newStore(newMemory())
			m := match("u1")
			c.change(&m)
			if err := s.Record(ctx, m); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.want, look(s, m)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}

	// The same event again, now to be told: the row follows.
	s := newStore(newMemory())
	m := match("u1")
	m.Origin = "replay:x"
	notify := m
	notify.Notify = true
	if err := errors.Join(s.Record(ctx, m), s.Record(ctx, notify)); err != nil {
		t.Fatal(err)
	}
	if got := look(s, m); got.Deliveries != 1 {
		t.Errorf("after a replay with notify: %+v, want a delivery", got)
	}
	if e := get(t, s, m.id()); e.Count != 1 {
		t.Errorf("count %d, want 1", e.Count)
	}

	// A match that is not suppressed makes the finding an alert.
	suppressed := match("u1")
	suppressed.Suppressed = true
	if err := s.Record(ctx, suppressed); err != nil {
		t.Fatal(err)
	}
	if list, err := s.List(ctx, Filter{Origin: Live}); err != nil || len(list) != 0 {
		t.Errorf("suppressed: listed %d, %v; want none", len(list), err)
	}
	if err := s.Record(ctx, match("u2")); err != nil {
		t.Fatal(err)
	}
	if got := look(s, suppressed); got.Suppressed || got.Deliveries != 1 {
		t.Errorf("after a match in the open: %+v", got)
	}
}

func TestPeople(t *testing.T) {
	ctx := t.Context()
	s := newStore(newMemory())
	ids := map[string]string{}
	for i, key := range []string{"a", "b", "c"} {
		m := match("u-" + key)
		m.Key, m.EventTime = key, base.Add(time.Duration(i)*time.Minute)
		if key == "c" {
			m.Rule = "endpoint.other"
		}
		ids[key] = m.id()
		if err := s.Record(ctx, m); err != nil {
			t.Fatal(err)
		}
	}
	replayed := match("u-a")
	replayed.Key, replayed.Origin = "a", "replay:x"
	if err := s.Record(ctx, replayed); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Ack(ctx, "", ids["a"][:10], "looking"); err != nil {
		t.Fatal(err)
	}
	e, err := s.Close(ctx, "", ids["b"], "benign", "a test")
	if err != nil || e.State != Closed || e.Verdict != "benign" || e.Note != "a test" {
		t.Errorf("Close = %+v, %v", e, err)
	}
	if e, err := s.Close(ctx, "", ids["b"], "true_positive", ""); err != nil || e.Verdict != "true_positive" || e.Note != "a test" {
		t.Errorf("Close again = %+v, %v; want the corrected verdict and the old note", e, err)
	}
	if _, err := s.Ack(ctx, "", ids["b"], ""); !errors.Is(err, ErrState) {
		t.Errorf("Ack of a closed alert: %v, want ErrState", err)
	}
	if _, err := s.Close(ctx, "", ids["a"], "fine", ""); !errors.Is(err, ErrVerdict) || !strings.Contains(err.Error(), "false_positive") {
		t.Errorf("Close with verdict fine: %v, want ErrVerdict with the list", err)
	}
	for _, id := range []string{"zz", "", " ", strings.Repeat("a", 100)} {
		if _, err := s.Get(ctx, "", id); !errors.Is(err, ErrUnknown) {
			t.Errorf("Get %q: %v, want ErrUnknown", id, err)
		}
	}
	// The replay has the same id: live is meant unless said otherwise.
	if e, err := s.Get(ctx, "", ids["a"]); err != nil || e.Origin != Live || e.State != Acknowledged {
		t.Errorf("Get = %+v, %v", e, err)
	}
	if e, err := s.Get(ctx, "replay:x", ids["a"][:6]); err != nil || e.Origin != "replay:x" || e.State != Open {
		t.Errorf("Get of the replay = %+v, %v", e, err)
	}
	for _, c := range []struct {
		f    Filter
		want string
	}{
		{Filter{}, "c b a a"}, {Filter{Origin: Live}, "c b a"}, {Filter{Origin: "replay:x"}, "a"}, {Filter{State: Open}, "c a"},
		{Filter{State: Closed}, "b"}, {Filter{Rule: "endpoint.other"}, "c"}, {Filter{Limit: 2}, "c b"}, {Filter{Origin: "nobody"}, ""},
	} {
		list, err := s.List(ctx, c.f)
		if err != nil {
			t.Fatal(err)
		}
		var keys []string
		for _, e := range list {
			keys = append(keys, e.Key)
		}
		if got := strings.Join(keys, " "); got != c.want {
			t.Errorf("List %+v = %q, want %q", c.f, got, c.want)
		}
	}
	if _, err := s.List(ctx, Filter{State: "opne"}); !errors.Is(err, ErrState) {
		t.Errorf("List of state opne: %v, want ErrState", err)
	}
	// Ids that begin alike.
	var many []string
	for i := 0; len(many) == 0; i++ {
		m := match(fmt.Sprintf("more-%d", i))
		m.Dedupe = 0
		if err := s.Record(ctx, m); err != nil {
			t.Fatal(err)
		}
		for _, id := range s.coord.(*memory).part(t, "alert/live") {
			if id != m.id() && id[:1] == m.id()[:1] {
				many = []string{id, m.id()}
			}
		}
	}
	if _, err := s.Get(ctx, Live, many[0][:1]); !errors.Is(err, ErrAmbiguous) || !strings.Contains(err.Error(), many[0]) || !strings.Contains(err.Error(), many[1]) {
		t.Errorf("Get %s: %v, want ErrAmbiguous with both ids", many[0][:1], err)
	}
}

func BenchmarkRecordJoin(b *testing.B) {
	c, err := coord.OpenSQLite(filepath.Join(b.TempDir(), "coord.db"))
	if err != nil {
		b.Fatal(err)
	}
	defer c.Close()
	s := newStore(c)
	const batch = 200
	n := 0
	for b.Loop() {
		var ms []Match
		for range batch {
			ms = append(ms, match(fmt.Sprint("u", n)))
			n++
		}
		if err := s.Record(context.Background(), ms...); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "matches/s")
}
