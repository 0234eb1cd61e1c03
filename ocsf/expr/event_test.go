package expr

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"nagare"
	"nagare/ocsf"
)

func schema(t testing.TB) *ocsf.Schema {
	t.Helper()
	s, err := ocsf.Load(ocsf.Version)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func eventEnv(t testing.TB, s *ocsf.Schema, classes ...string) *EventEnv {
	t.Helper()
	var cs []*ocsf.Class
	for _, name := range classes {
		c, ok := s.Class(name)
		if !ok {
			t.Fatalf("no class %s", name)
		}
		cs = append(cs, c)
	}
	env, err := NewEventEnv(s, cs)
	if err != nil {
		t.Fatal(err)
	}
	return env
}

// TestAbsence holds the absence check: what may hold merely because an
// attribute is absent is refused, and nothing else is.
func TestAbsence(t *testing.T) {
	env := eventEnv(t, schema(t), "authentication")
	for _, c := range []struct {
		text string
		ok   bool
	}{
		{`event.user.name == "root"`, true},
		{`event.user.name != "root"`, false},
		{`has(event.user.name) && event.user.name != "root"`, true},
		{`event.user.name != "root" && has(event.user.name)`, true},
		{`has(event.user) && event.user.name != "root"`, false},
		{`!(event.user.name == "root")`, false},
		{`!(has(event.user.name) && event.user.name == "root")`, true}, // it asks for absence by name
		{`!has(event.user.name) || event.user.name != "root"`, true},
		{`has(event.user.name) || event.user.name != "root"`, false},
		{`event.is_mfa == false`, false},
		{`has(event.is_mfa) && event.is_mfa == false`, true},
		{`event.is_mfa`, true},
		{`!event.is_mfa`, false},
		{`has(event.is_mfa) && !event.is_mfa`, true},
		{`event.status_id == FAILURE`, true},
		{`event.status_id != SUCCESS`, false},
		{`event.status_id == UNKNOWN`, false},
		{`event.severity_id != HIGH`, true}, // required
		{`event.severity_id < 3`, true},
		{`event.count < 5`, false},
		{`event.count > 0 && event.count < 5`, true},
		{`event.count > 5`, true},
		{`event.user.name == ""`, false},
		{`event.user.name.startsWith("a")`, true},
		{`!event.user.name.startsWith("a")`, false},
		{`event.user.name.size() < 3`, false},
		{`size(event.user.name) == 0`, false},
		{`event.user.name in ["a", "b"]`, true},
		{`!(event.user.name in ["a", "b"])`, false},
		{`event.user.name != "" && !(event.user.name in ["a", "b"])`, true},
		{`event.auth_factors.exists(f, f.factor_type_id == PUSH_NOTIFICATION)`, true},
		{`event.auth_factors.exists(f, f.provider != "x")`, false},
		{`event.auth_factors.exists(f, has(f.provider) && f.provider != "x")`, true},
		{`event.auth_factors.all(f, f.factor_type_id == SMS)`, false},
		{`event.auth_factors.size() > 0 && event.auth_factors.all(f, f.factor_type_id == SMS)`, true},
		{`!event.auth_factors.exists(f, f.factor_type_id == SMS)`, false},
		{`has(event.auth_factors) && !event.auth_factors.exists(f, f.factor_type_id == SMS)`, true},
		{`event.auth_factors.filter(f, f.factor_type_id == SMS).size() == 0`, false},
		{`event.auth_factors[0].factor_type_id == SMS`, false},
		{`event.unmapped['a.b'] == "x"`, true},
		{`event.unmapped['a.b'] != "x"`, false},
		{`'a.b' in event.unmapped && event.unmapped['a.b'] != "x"`, true},
		{`!('a.b' in event.unmapped)`, true},
		{`has(event.is_mfa) ? !event.is_mfa : false`, true},
		{`event.is_mfa ? false : true`, false},
		{`meta.auth == "pass"`, true},
		{`meta.auth != "fail"`, true}, // always there
	} {
		_, found := env.Compile(c.text, WantBool)
		if ok := len(found) == 0; ok != c.ok {
			t.Errorf("%s: loads %v, want %v: %v", c.text, ok, c.ok, found)
		}
	}
}

// TestMistakes holds what is said of a wrong expression, and where.
func TestMistakes(t *testing.T) {
	s := schema(t)
	env := eventEnv(t, s, "authentication")
	for text, want := range map[string]string{
		`event.user.emial_addr == "x"`:                               `1:11 user has no attribute "emial_addr" did you mean "email_addr"?`,
		"event.is_mfa == true &&\n  event.usr.name == 'x'":           `2:8 authentication has no attribute "usr" did you mean "user"?`,
		`event.email_addr == "x"`:                                    `did you mean "user.email_addr"?`,
		`event.user.name == 3`:                                       "no matching overload",
		`event.status_id == FAILUR`:                                  "FAILUR is no caption of status_id did you mean FAILURE?",
		`event.user.type_id == HIGH`:                                 "HIGH is no caption of user.type_id its captions are ADMIN",
		`event.severity_id >= HIGH`:                                  "write 4",
		`HIGH == 4`:                                                  "the caption HIGH stands alone",
		`size([HIGH]) > 0`:                                           "stands alone",
		`event.auth_factors.exists(SMS, SMS.factor_type_id == 1)`:    "call it sms",
		`event.auth_factors.exists(f, f.factor_typ_id == 2)`:         `did you mean "factor_type_id"?`,
		`event.user.name`:                                            "must be bool",
		`event.user.name ==`:                                         "Syntax error",
		`meta.ath == "x"`:                                            `meta has no attribute "ath" did you mean "auth"?`,
		`nothing == 1`:                                               "undeclared reference",
		strings.Repeat("(", 200) + "true" + strings.Repeat(")", 200): "recursion",
		`event.observables.exists(a, event.observables.exists(b, event.observables.exists(c, event.observables.exists(d, event.observables.exists(e, a.value == b.value && c.value == d.value && e.value == a.value)))))`: "may cost",
	} {
		_, found := env.Compile(text, WantBool)
		var lines []string
		for _, i := range found {
			lines = append(lines, strings.TrimSpace(fmt.Sprintf("%d:%d %s %s", i.Line, i.Column, i.Message, i.Suggestion)))
		}
		if got := strings.Join(lines, "\n"); !strings.Contains(got, want) {
			t.Errorf("%s\n got %q\nwant %q", text, got, want)
		}
	}
	both := eventEnv(t, s, "authentication", "process_activity")
	if _, found := both.Compile(`event.process.pid == 1`, WantBool); len(found) == 0 {
		t.Error("an attribute that one class lacks compiled for both")
	}
	if _, found := both.Compile(`event.metadata.product.name == "x"`, WantBool); len(found) != 0 {
		t.Errorf("a common attribute: %v", found)
	}
}

// TestEval holds what expressions see of an event.
func TestEval(t *testing.T) {
	s := schema(t)
	ls := ocsf.NewLayouts(s)
	c, _ := s.Class("authentication")
	l := ls.Class(c)
	for _, p := range []string{"user.name", "src_endpoint.ip", "auth_factors", "is_mfa", "count", "status_code"} {
		if _, err := l.Add(p); err != nil {
			t.Fatal(err)
		}
	}
	factors := l.Info(l.Slot("auth_factors")).Rows
	if _, err := factors.Add("factor_type_id"); err != nil {
		t.Fatal(err)
	}
	ls.Freeze()
	var e ocsf.Event
	e.Reset(l)
	e.Slots[l.Slot("user.name")] = ocsf.TextValue("sato")
	e.Slots[l.Slot("status_id")] = ocsf.IntValue(2)
	e.Slots[l.Slot("time")] = ocsf.IntValue(1_760_000_000_000)
	e.Slots[l.Slot("src_endpoint.ip")] = ocsf.TextValue("192.0.2.7")
	list := e.NewList(factors)
	list.AddRow()[factors.Slot("factor_type_id")] = ocsf.IntValue(5)
	e.Slots[l.Slot("auth_factors")] = ocsf.ListValue(list)
	e.AddUnmapped("a.b", "x")
	ocsf.Finish(&e)
	ev := &nagare.Event{Source: "okta", UID: "u-1", Auth: "pass", Received: time.UnixMilli(1_760_000_001_000)}
	env := eventEnv(t, s, "authentication")
	var v Vars
	v.Bind(env, &e, ev)
	for text, want := range map[string]bool{
		`event.user.name == "sato"`:           true,
		`event.user.uid == "x"`:               false,
		`has(event.user)`:                     true,
		`has(event.user.uid)`:                 false,
		`has(event.device)`:                   false,
		`has(event.device.os.name)`:           false,
		`event.status_id == FAILURE`:          true,
		`event.status_id in [SUCCESS, OTHER]`: false,
		`event.auth_factors.exists(f, f.factor_type_id == PUSH_NOTIFICATION && f.factor_type == "Push Notification")`: true,
		`event.auth_factors.exists(f, f.factor_type_id == SMS)`:                                                       false,
		`event.unmapped['a.b'] == "x"`:                                                   true,
		`'c' in event.unmapped`:                                                          false,
		`has(event.unmapped)`:                                                            true,
		`event.time > 1760000000 * 999`:                                                  true,
		`event.time_dt > timestamp("2025-01-01T00:00:00Z")`:                              true,
		`meta.source == "okta" && meta.auth == "pass"`:                                   true,
		`cidr("192.0.2.0/24").containsIP(event.src_endpoint.ip)`:                         true,
		`event.metadata.profiles.exists(p, p == "datetime")`:                             true,
		`event.observables.exists(o, o.value == "192.0.2.7" && o.type_id == IP_ADDRESS)`: true,
	} {
		x, found := env.Compile(text, WantBool)
		if len(found) > 0 {
			t.Errorf("%s: %v", text, found)
			continue
		}
		if got, err := x.Bool(&v); err != nil || got != want {
			t.Errorf("%s: %v %v, want %v", text, got, err, want)
		}
	}
	x, found := env.Compile(`event.user.uid + event.user.name`, WantText)
	if len(found) > 0 {
		t.Fatal(found)
	}
	if got, err := x.Text(&v); got != "sato" || err != nil {
		t.Errorf("text %q, %v", got, err)
	}
	if x, _ := env.Compile(`event.unmapped['nothing'] == "x"`, WantBool); x != nil {
		if got, err := x.Bool(&v); got {
			t.Errorf("an absent key holds (%v)", err)
		}
	}
	if x, _ := env.Compile(`meta.auth == "fail" && event.user.name == "x"`, WantBool); !x.ReadsAuth || strings.Join(x.Paths, " ") != "user.name" {
		t.Errorf("reads %v, auth %v", x.Paths, x.ReadsAuth)
	}
}

func FuzzCompile(f *testing.F) {
	s, err := ocsf.Load(ocsf.Version)
	if err != nil {
		f.Fatal(err)
	}
	c, _ := s.Class("authentication")
	env, err := NewEventEnv(s, []*ocsf.Class{c})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(`event.user.name != "x" && [1].exists(A, A == HIGH)`)
	f.Add(`event.unmapped['a'].matches("(")`)
	f.Fuzz(func(t *testing.T, text string) {
		if len(text) < 2000 {
			env.Compile(text, WantBool) // must not panic
		}
	})
}
