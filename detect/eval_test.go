package detect_test

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"nagare"
	"nagare/detect"
	"nagare/ocsf"
)

// load loads rules, which must have no mistakes.
func load(t testing.TB, ls *ocsf.Layouts, rules ...string) *detect.Rules {
	t.Helper()
	var files []detect.File
	for i, text := range rules {
		files = append(files, detect.File{Name: fmt.Sprintf("rule%d.yaml", i+1), Data: []byte(text)})
	}
	r, problems := detect.Load(ls, files, detect.Options{Today: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)})
	for _, p := range problems {
		if !p.Warning {
			t.Fatal(p)
		}
	}
	return r
}

// signIn makes a sign-in; its slots are those of the rules.
func signIn(ls *ocsf.Layouts, set map[string]ocsf.Value) *ocsf.Event {
	c, _ := ls.Schema.Class("authentication")
	var e ocsf.Event
	e.Reset(ls.Class(c))
	for path, v := range set {
		e.Slots[e.Layout.Slot(path)] = v
	}
	e.Slots[e.Layout.Slot("time")] = ocsf.IntValue(1_760_000_000_000)
	ocsf.Finish(&e)
	return &e
}

func matches(r *detect.Rules, e *ocsf.Event, ev *nagare.Event) []string {
	var out []string
	r.Eval(e, ev, func(m detect.Match) {
		s := fmt.Sprintf("%s key=%s severity=%s text=%q", m.Rule.ID, m.Key, m.Severity, m.Text)
		if m.Suppressed {
			s += " suppressed"
		}
		out = append(out, s)
	})
	return out
}

const head = "title: T\nclass: authentication\nseverity: low\n"

// TestEval holds what a match carries, and what keeps a rule from matching.
func TestEval(t *testing.T) {
	ls := layouts(t)
	r := load(t, ls,
		"id: a.full\ntitle: T\nclass: authentication\n"+`
severity: 'event.severity_id == CRITICAL ? "critical" : "low"'
where: event.user.name == "sato"
key: event.user.uid
suppress: event.status_detail == "known"
except:
  - {when: event.src_endpoint.ip == "192.0.2.1", reason: the office}
  - {when: event.src_endpoint.ip == "192.0.2.2", reason: ended before, expires: 2025-10-08}
  - {when: event.src_endpoint.ip == "192.0.2.3", reason: ends that day, expires: 2025-10-09}
alert: {text: "{{event.user.name}} ({{event.user.uid}}) {{event.count}} {{event.unmapped['x']}} {{\"}}\"}}"}`,
		"id: b.broken\n"+head+`where: event.user.name == "sato" && 1 / (event.count - event.count) > 0`,
		"id: c.plain\n"+head+`where: event.user.name == "sato"`,
		"id: d.off\n"+head+"where: event.user.name == \"sato\"\nenabled: false",
		"id: e.any\ntitle: T\nclass: any\nseverity: high\nwhere: event.observables.exists(o, o.value == \"192.0.2.9\")",
		"id: f.auth\n"+head+`where: event.user.name == "sato" && meta.auth == "fail"`,
		"id: g.other\ntitle: T\nclass: process_activity\nseverity: high\nwhere: event.activity_id == LAUNCH",
	)
	ls.Freeze()
	sato := map[string]ocsf.Value{"user.name": ocsf.TextValue("sato"), "severity_id": ocsf.IntValue(1)}
	with := func(more map[string]ocsf.Value) map[string]ocsf.Value {
		out := map[string]ocsf.Value{}
		for _, m := range []map[string]ocsf.Value{sato, more} {
			for k, v := range m {
				out[k] = v
			}
		}
		return out
	}
	ip := func(s string) map[string]ocsf.Value {
		return map[string]ocsf.Value{"src_endpoint.ip": ocsf.TextValue(s)}
	}
	plain := `c.plain key= severity=low text="T"`
	full := func(rest string) string { return `a.full key= severity=low text="sato ()   }}"` + rest }
	for _, c := range []struct {
		name string
		set  map[string]ocsf.Value
		auth string
		want []string
	}{
		{"nobody", map[string]ocsf.Value{}, "pass", nil},
		{"what is absent is empty, not zero", sato, "pass", []string{full(""), plain}},
		{"all there", with(map[string]ocsf.Value{"user.uid": ocsf.TextValue("u1"), "count": ocsf.IntValue(3), "severity_id": ocsf.IntValue(5)}), "pass",
			[]string{`a.full key=u1 severity=critical text="sato (u1) 3  }}"`, plain}},
		{"suppressed", with(map[string]ocsf.Value{"status_detail": ocsf.TextValue("known")}), "pass", []string{full(" suppressed"), plain}},
		{"an exception", with(ip("192.0.2.1")), "pass", []string{plain}},
		{"an exception that had ended", with(ip("192.0.2.2")), "pass", []string{full(""), plain}},
		{"an exception on its last day", with(ip("192.0.2.3")), "pass", []string{plain}},
		{"any class", ip("192.0.2.9"), "pass", []string{`e.any key= severity=high text="T"`}},
		{"not authenticated", sato, "fail", []string{`f.auth key= severity=low text="T"`}},
		{"weakly authenticated", sato, "weak", []string{full(""), plain}},
	} {
		e := signIn(ls, c.set)
		if diff := cmp.Diff(c.want, matches(r, e, &nagare.Event{UID: "u", Auth: c.auth})); diff != "" {
			t.Errorf("%s: %s", c.name, diff)
		}
	}
	for _, rule := range r.All() {
		failed := rule.Stats().Failed.Load()
		if want := rule.ID == "b.broken"; (failed > 0) != want {
			t.Errorf("%s failed %d times", rule.ID, failed)
		}
	}
	// Rules are for many goroutines.
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 50 {
				if got := matches(r, signIn(ls, sato), &nagare.Event{Auth: "pass"}); len(got) != 2 {
					t.Errorf("%v", got)
				}
			}
		})
	}
	wg.Wait()
}

// TestHostileText holds that a text is bounded and stays text.
func TestHostileText(t *testing.T) {
	ls := layouts(t)
	r := load(t, ls, "id: a.text\n"+head+`
where: event.user.name != ""
key: event.user.name
alert: {text: "x {{event.user.name}} {{event.user.name}}"}`)
	ls.Freeze()
	r.Eval(signIn(ls, map[string]ocsf.Value{"user.name": ocsf.TextValue(strings.Repeat("あ{{event.user.uid}}", 1000))}), &nagare.Event{}, func(m detect.Match) {
		if len(m.Text) > 2010 || len(m.Key) > 1000 || !strings.HasSuffix(m.Text, "…") || !strings.HasPrefix(m.Text, "x あ{{event.user.uid}}あ") || strings.ContainsRune(m.Text, '\uFFFD') || strings.ContainsRune(m.Key, '\uFFFD') {
			t.Errorf("text of %d bytes, key of %d", len(m.Text), len(m.Key))
		}
	})
}

// TestCases holds what cases say when they fail.
func TestCases(t *testing.T) {
	ls := layouts(t)
	r := load(t, ls, "id: a.cases\n"+head+`
where: event.user.name == "sato"
key: event.user.uid
dedupe: 1h
cases:
  - name: later matches of a key join within the period
    events:
      - {at: "2025-10-09T08:10:00Z", ocsf: &sato {user: {name: sato, uid: u1}}}
      - {at: "2025-10-09T08:50:00Z", ocsf: *sato}
      - {at: "2025-10-09T09:01:00Z", ocsf: *sato}
    expect: [{key: u1}, {key: u1, severity: low}]
  - {name: raw, source: okta, events: [{at: "2025-10-09T08:10:00Z", raw: {who: sato}}], expect: [{key: raw-sato}]}
  - {name: a mapping that fails, source: okta, events: [{raw: {}}], expect: []}
  - {name: silent, events: [{ocsf: {user: {name: ito}}}], expect: [{key: u2}]}
  - {name: loud, events: [{ocsf: *sato}], expect: []}
  - {name: other, events: [{ocsf: *sato}], expect: [{key: u1, severity: high}]}
`)
	ls.Freeze()
	got := r.Test(func(ev *nagare.Event, out *ocsf.Event) error {
		who, ok := strings.CutPrefix(string(ev.Body), `{"who":"`)
		if !ok || ev.Source != "okta" {
			return fmt.Errorf("no event of %s: %s", ev.Source, ev.Body)
		}
		who = strings.TrimSuffix(who, `"}`)
		*out = *signIn(ls, map[string]ocsf.Value{"user.name": ocsf.TextValue(who), "user.uid": ocsf.TextValue("raw-" + who)})
		return nil
	})
	var lines []string
	for _, c := range got {
		lines = append(lines, fmt.Sprintf("%s %v %s", c.Case, c.OK, c.Message))
	}
	want := []string{
		"later matches of a key join within the period true ",
		"raw true ",
		"a mapping that fails false event 1 cannot be normalized: no event of okta: {}",
		`silent false did not fire: expected an alert for "u2"`,
		`loud false fired and must not: got an alert for "u1 low"`,
		`other false expected an alert for "u1 high", got one for "u1 low"`,
	}
	if diff := cmp.Diff(want, lines); diff != "" {
		t.Error(diff)
	}
	if !slices.ContainsFunc(r.Test(nil), func(c detect.CaseResult) bool { return strings.Contains(c.Message, "no mappings") }) {
		t.Error("a raw case without mappings passed")
	}
}

// BenchmarkEval is the cost of fifty rules on one event.
func BenchmarkEval(b *testing.B) {
	ls := layouts(b)
	var rules []string
	for i := range 50 {
		where := []string{
			`event.status_id == FAILURE && event.user.name == "user%d" && event.src_endpoint.ip == "203.0.113.7"`,
			`has(event.user.name) && event.user.name != "x%d" && event.activity_id == LOGOFF`,
			`event.auth_factors.exists(f, f.factor_type_id == SMS) && event.user.uid == "u%d"`,
			`event.status_detail.matches("(?i)declined .*%d") && event.status_id == FAILURE`,
			`event.service.name in ["a", "b%d"] && event.metadata.product.name == "Okta"`,
		}[i%5]
		rules = append(rules, fmt.Sprintf("id: bench.r%d\n%swhere: '%s'\nkey: event.user.uid", i, head, fmt.Sprintf(where, i)))
	}
	r := load(b, ls, rules...)
	ls.Freeze()
	e := signIn(ls, map[string]ocsf.Value{
		"user.name": ocsf.TextValue("sato"), "user.uid": ocsf.TextValue("u"), "status_id": ocsf.IntValue(2), "activity_id": ocsf.IntValue(1),
		"status_detail": ocsf.TextValue("INVALID_CREDENTIALS"), "service.name": ocsf.TextValue("mail"), "src_endpoint.ip": ocsf.TextValue("192.0.2.1"),
	})
	ev := &nagare.Event{UID: "u", Auth: "pass"}
	b.ReportAllocs()
	for b.Loop() {
		r.Eval(e, ev, func(detect.Match) { b.Fatal("a match") })
	}
}
