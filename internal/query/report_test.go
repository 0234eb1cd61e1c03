//go:build cgo && !nosql

package query

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"
)

var now = time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)

// at is a time before now, in milliseconds.
func at(days float64) int64 { return now.UnixMilli() - int64(days*86400000) }

// A signin is an authentication event of a test.
type signin struct {
	user, app, session string
	days               float64
	resistant, method  string
	second             string
	activity, status   int
	label              string
	factor             string
	name               string
}

func (s signin) row() obj {
	if s.activity == 0 {
		s.activity = 1
	}
	if s.status == 0 {
		s.status = 1
	}
	r := obj{"time": at(s.days), "activity_id": s.activity, "status_id": s.status, "user": obj{"email_addr": s.user, "name": s.name},
		"service": obj{"name": s.app}, "metadata": obj{"product": obj{"name": "Example IdP"}}}
	if s.session != "" {
		r["session"] = obj{"uid": s.session}
	}
	if s.label != "" {
		r["metadata"].(obj)["labels"] = []string{s.label}
	}
	if s.factor != "" {
		r["auth_factors"] = []obj{{"factor_type": s.factor}}
	}
	if s.resistant != "" {
		data := fmt.Sprintf(`{"method":%q}`, s.method)
		if s.second != "" {
			data = fmt.Sprintf(`{"method":%q,"second":%q}`, s.method, s.second)
		}
		r["enrichments"] = []obj{{"name": "geo", "value": "x"}, {"name": "auth.phishing_resistant", "value": s.resistant, "data": data}}
	}
	return r
}

func report(t *testing.T, name string) *Report {
	t.Helper()
	r, err := builtIn(name)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func run(t *testing.T, db *DB, name string, params map[string]string) string {
	t.Helper()
	r, err := report(t, name).runAt(t.Context(), db, params, now)
	return answer(t, r, err, "csv")
}

func TestWeakAuthenticators(t *testing.T) {
	views := classes(t)
	lake := t.TempDir()
	var rows []obj
	for _, s := range []signin{
		// Weak, in two spellings of one address.
		{user: "taro@example.com", app: "Mail", days: 3, resistant: "false", method: "Password"},
		{user: " Taro@Example.com", app: "Mail", days: 1, resistant: "false", method: "Password"},
		{user: "taro@example.com", app: "CRM", days: 2, resistant: "false", method: "okta_password:password:laeb1", second: "okta_verify:push:opf2"},
		// Not weak, failed, not interactive, no sign-in, too old.
		{user: "taro@example.com", app: "Mail", days: 1, resistant: "true", method: "FIDO2 security key"},
		{user: "taro@example.com", app: "Mail", days: 1, resistant: "false", method: "Password", status: 2},
		{user: "taro@example.com", app: "Mail", days: 1, resistant: "false", method: "Password", label: "non-interactive"},
		{user: "taro@example.com", app: "Mail", days: 1, resistant: "false", method: "Password", activity: 2},
		{user: "taro@example.com", app: "Mail", days: 31, resistant: "false", method: "SMS"},
		{user: "taro@example.com", app: "Mail", days: 1, resistant: "false", method: "SMS", label: "interactive"},
		// A session that began with a password: what follows is that.
		{user: "hanako@example.com", app: "Portal", session: "s1", days: 5, resistant: "false", method: "Text message"},
		{user: "hanako@example.com", app: "Wiki", session: "s1", days: 4.9, resistant: "unknown", method: "Previously satisfied"},
		// … and one with a passkey, shown by a step only.
		{user: "hanako@example.com", app: "Wiki", session: "s2", days: 3, resistant: "true", method: "webauthn", activity: 6},
		{user: "hanako@example.com", app: "Wiki", session: "s2", days: 2.9, resistant: "unknown", method: "Previously satisfied"},
		// A later method says nothing about an earlier sign-in.
		{user: "hanako@example.com", app: "CRM", session: "s3", days: 2, resistant: "unknown", method: "Previously satisfied"},
		{user: "hanako@example.com", app: "Portal", session: "s3", days: 1.9, resistant: "true", method: "webauthn"},
		// The last explicit method counts, not the first.
		{user: "jiro@example.com", app: "Portal", session: "s4", days: 2, resistant: "false", method: "Password"},
		{user: "jiro@example.com", app: "Portal", session: "s4", days: 1.9, resistant: "true", method: "webauthn"},
		{user: "jiro@example.com", app: "Wiki", session: "s4", days: 1.8, resistant: "unknown", method: "Previously satisfied"},
		// Somebody else's session, failed methods, methods without a session.
		{user: "saburo@example.com", app: "Wiki", session: "s4", days: 1.7, resistant: "unknown", method: "none"},
		{user: "shiro@example.com", app: "Wiki", session: "s5", days: 2, resistant: "false", method: "Password", status: 2},
		{user: "shiro@example.com", app: "Wiki", session: "s5", days: 1, resistant: "unknown", method: "none"},
		{user: "goro@example.com", app: "Wiki", days: 2, resistant: "false", method: "Password"},
		{user: "goro@example.com", app: "Wiki", days: 1, resistant: "unknown", method: ""},
		// No verdict at all; a name for want of an address; a method from the factors.
		{user: "rokuro@example.com", app: "", days: 1},
		{name: "local\\admin", app: "Console", days: 1, resistant: "false", method: "none", factor: "Push Notification"},
	} {
		rows = append(rows, s.row())
	}
	broken := signin{user: "nanao@example.com", app: "Wiki", days: 1, resistant: "false", method: "x"}.row()
	broken["enrichments"].([]obj)[1]["data"] = "{cut off"
	write(t, lake, view(t, views, "authentication"), day("20261119", "a"), append(rows, broken)...)
	db := opened(t, Config{LakeDir: lake, Views: views})

	got := run(t, db, "weak-authenticators", nil)
	want := `user,app,method,signins,last
taro@example.com,Mail,Password,2,2026-11-19T12:00:00Z
goro@example.com,Wiki,Password,1,2026-11-18T12:00:00Z
hanako@example.com,Portal,Text message,1,2026-11-15T12:00:00Z
hanako@example.com,Wiki,Text message,1,2026-11-15T14:24:00Z
jiro@example.com,Portal,Password,1,2026-11-18T12:00:00Z
local\admin,Console,Push Notification,1,2026-11-19T12:00:00Z
nanao@example.com,Wiki,unnamed,1,2026-11-19T12:00:00Z
taro@example.com,CRM,password + push,1,2026-11-18T12:00:00Z
taro@example.com,Mail,SMS,1,2026-11-19T12:00:00Z
goro@example.com,Wiki,unknown,1,2026-11-19T12:00:00Z
hanako@example.com,CRM,unknown,1,2026-11-18T12:00:00Z
rokuro@example.com,unnamed,unknown,1,2026-11-19T12:00:00Z
saburo@example.com,Wiki,unknown,1,2026-11-18T19:12:00Z
shiro@example.com,Wiki,unknown,1,2026-11-19T12:00:00Z
`
	if got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
	if got := run(t, db, "weak-authenticators", map[string]string{"days": "60"}); !strings.Contains(got, "taro@example.com,Mail,SMS,2,") {
		t.Errorf("60 days do not show the old sign-in:\n%s", got)
	}
	// The session began before the days that are asked for.
	if got := run(t, db, "weak-authenticators", map[string]string{"days": "0"}); got != "user,app,method,signins,last\n" {
		t.Errorf("0 days: %s", got)
	}
}

// A person is a row of a directory.
type person struct {
	email, name string
	seen        float64 // days ago
	last        float64 // last sign-in, days ago; 0 is none
	created     float64
	labels      []string
	kind        string
}

func (p person) row() obj {
	ldap := obj{}
	if p.last > 0 {
		ldap["last_login_time"] = at(p.last)
	}
	if p.created > 0 {
		ldap["created_time"] = at(p.created)
	}
	u := obj{"email_addr": p.email, "name": p.name, "ldap_person": ldap, "account": obj{"labels": p.labels}}
	if p.kind != "" {
		u["type"] = p.kind
	}
	return obj{"time": at(p.seen), "activity_id": 2, "user": u}
}

func people(t *testing.T, lake string, views []View, list ...person) {
	t.Helper()
	var rows []obj
	for _, p := range list {
		rows = append(rows, p.row())
	}
	write(t, lake, view(t, views, "user_inventory"), day("20261120", "people"), rows...)
}

func TestDormantAccounts(t *testing.T) {
	views := classes(t)
	lake := t.TempDir()
	people(t, lake, views,
		person{email: "active@example.com", last: 3},
		person{email: "dormant@example.com", last: 120, labels: []string{"enabled", "mfa:none"}},
		person{email: "Only.Events@Example.com ", name: "only"},
		person{email: "stale-events@example.com"},
		person{email: "attacked@example.com", last: 200},
		person{email: "admin-acted@example.com", last: 300},
		person{email: "never@example.com"},
		person{email: "new@example.com", created: 5},
		person{email: "old-never@example.com", created: 400},
		person{email: "backup@example.com", last: 150, kind: "Service"},
		person{email: "busy-backup@example.com", last: 1, kind: "Service"},
		person{email: "left@example.com", last: 365, labels: []string{"disabled"}},
		person{email: "left-never@example.com", labels: []string{"disabled"}},
		// Two lists: the newer one counts.
		person{email: "back@example.com", last: 300, seen: 30, labels: []string{"disabled"}},
		person{email: "back@example.com", last: 2},
		person{name: "nomail", last: 100},
	)
	write(t, lake, view(t, views, "authentication"), day("20260501", "a"),
		signin{user: "somebody@example.com", days: 200}.row(),
		signin{user: "only.events@example.com", days: 10}.row(),
		signin{user: "stale-events@example.com", days: 95.5}.row(),
		signin{user: "attacked@example.com", days: 1, status: 2}.row(),
	)
	write(t, lake, view(t, views, "account_change"), day("20261110", "b"),
		obj{"time": at(4), "actor": obj{"user": obj{"email_addr": "ADMIN-acted@example.com"}}, "user": obj{"email_addr": "dormant@example.com"}})
	db := opened(t, Config{LakeDir: lake, Views: views})
	want := `user,last_activity,days,kind,evidence
attacked@example.com,2026-05-04T12:00:00Z,200,dormant,last sign-in of the directory
dormant@example.com,2026-07-23T12:00:00Z,120,dormant,last sign-in of the directory
nomail,2026-08-12T12:00:00Z,100,dormant,last sign-in of the directory
stale-events@example.com,2026-08-17T00:00:00Z,95,dormant,last event in the lake
never@example.com,,,never-used,"no sign-in in the directory, no event in the lake"
old-never@example.com,,,never-used,"no sign-in in the directory, no event in the lake"
backup@example.com,2026-06-23T12:00:00Z,150,service,last sign-in of the directory
left-never@example.com,,,disabled,"no sign-in in the directory, no event in the lake"
left@example.com,2025-11-20T12:00:00Z,365,disabled,last sign-in of the directory
`
	if got := run(t, db, "dormant-accounts", nil); got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
	if got := run(t, db, "dormant-accounts", map[string]string{"days": "250"}); strings.Contains(got, "dormant@") || !strings.Contains(got, "left@") {
		t.Errorf("250 days:\n%s", got)
	}
}

func TestDormantAccountsWithoutHistory(t *testing.T) {
	views := classes(t)
	lake := t.TempDir()
	people(t, lake, views, person{email: "never@example.com"}, person{email: "dormant@example.com", last: 120})
	write(t, lake, view(t, views, "authentication"), day("20261115", "a"), signin{user: "somebody@example.com", days: 5}.row())
	db := opened(t, Config{LakeDir: lake, Views: views})
	want := `user,last_activity,days,kind,evidence
dormant@example.com,2026-07-23T12:00:00Z,120,dormant,last sign-in of the directory
never@example.com,,,never-used,not enough history
`
	if got := run(t, db, "dormant-accounts", nil); got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
	c, err := report(t, "dormant-accounts").Coverage(t.Context(), db)
	if err != nil || c.Events != 1 || !c.First.Equal(time.UnixMilli(at(5))) || !c.Last.Equal(c.First) {
		t.Errorf("coverage %+v, %v", c, err)
	}
	empty := opened(t, Config{LakeDir: t.TempDir(), Views: views})
	for _, name := range []string{"dormant-accounts", "weak-authenticators"} {
		if got := run(t, empty, name, nil); strings.Count(got, "\n") != 1 {
			t.Errorf("%s of an empty lake: %s", name, got)
		}
		if c, err := report(t, name).Coverage(t.Context(), empty); err != nil || !strings.Contains(c.String(), "none") {
			t.Errorf("%s: coverage of an empty lake %v, %v", name, c, err)
		}
	}
}

func TestReportParameters(t *testing.T) {
	db := opened(t, Config{LakeDir: t.TempDir(), Views: classes(t)})
	for _, params := range []map[string]string{{"day": "3"}, {"days": "x"}, {"days": "-1"}, {"days": "1.5"}, {"days": "99999999999999999999"}, {"now": "1"}} {
		if _, err := report(t, "dormant-accounts").Run(t.Context(), db, params); !errors.Is(err, ErrParam) {
			t.Errorf("%v: %v, want ErrParam", params, err)
		}
	}
	r, err := report(t, "dormant-accounts").Run(t.Context(), db, nil)
	if err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(r.Columns(), " "); got != "user last_activity days kind evidence" {
		t.Errorf("columns %s", got)
	}
	r.Close()
	other := &Report{Name: "x", Engines: []string{"athena"}, SQL: "SELECT 1"}
	if _, err := other.Run(t.Context(), db, nil); err == nil || !strings.Contains(err.Error(), "athena") {
		t.Errorf("a report for athena: %v", err)
	}
}

func TestParseReport(t *testing.T) {
	reports, err := Reports()
	if err != nil || len(reports) != 2 {
		t.Fatalf("%d reports, %v", len(reports), err)
	}
	const good = "---\ntitle: T\nparams:\n  days: {type: integer, default: \"3\"}\n---\nSELECT $days, $now\n"
	if _, err := ParseReport("good", []byte(good)); err != nil {
		t.Errorf("good: %v", err)
	}
	if _, err := ParseReport("good", []byte(strings.ReplaceAll(good, "\n", "\r\n"))); err != nil {
		t.Errorf("good, with CRLF: %v", err)
	}
	for name, c := range map[string]struct{ old, new, want string }{
		"no head":        {"---\ntitle", "title", "line 1"},
		"no end":         {"---\nSELECT", "SELECT", "must end the head"},
		"unknown key":    {"title: T", "title: T\ntitel: U", "line 3"},
		"later key":      {"title: T", "title: T\nschedule: daily", "line 3: schedule is not in this version"},
		"no title":       {"title: T", "description: D", "title"},
		"type":           {"integer", "int", "line 4"},
		"default":        {`"3"`, `"x"`, "line 4"},
		"unused":         {"$days, ", "", "does not use $days"},
		"undeclared":     {"$days, ", "$days, $hours, ", "$hours"},
		"now":            {"days: {", "now: {", "line 4"},
		"twice":          {"title: T", "title: T\ntitle: U", "line 3"},
		"unknown in map": {"type: integer,", "type: integer, min: 3,", "line 4"},
	} {
		text := strings.Replace(good, c.old, c.new, 1)
		if _, err := ParseReport("r", []byte(text)); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want an error with %q", name, err, c.want)
		}
	}
}

func FuzzParseReport(f *testing.F) {
	f.Add([]byte("---\ntitle: T\nparams:\n  days: {type: integer, default: \"3\"}\n---\nSELECT $days, $now\n"))
	f.Add([]byte("---\n- a\n---\nx"))
	f.Add([]byte("---\ntitle: &a [*a]\n---\nx"))
	f.Fuzz(func(t *testing.T, data []byte) {
		if r, err := ParseReport("r", data); err == nil && (r.Title == "" || r.SQL == "") {
			t.Errorf("accepted a report without title or SQL: %q", data)
		}
	})
}
