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
		{`meta.tenant == "eu"`, true},
		{`meta.tenant != "eu"`, false},
		{`has(meta.tenant) && meta.tenant != "eu"`, true},
		// What a present object requires is absent with the object.
		{`event.device.type_id != SERVER`, false},
		{`event.metadata.version != "1.3.0"`, true},
		{`event.cloud.provider != "AWS"`, false},
		// Names for things do not hide them.
		{`cel.bind(u, event.user, u.name != "root")`, false},
		{`cel.bind(u, event.user, has(u.name) && u.name != "root")`, true},
		{`has(event.user.name) && cel.bind(u, event.user, u.name != "root")`, true},
		{`cel.bind(n, event.user.name, n != "root")`, false},
		{`cel.bind(n, event.user.name.lowerAscii(), n != "root")`, false},
		{`cel.bind(n, event.user.name.lowerAscii(), n == "root")`, true},
		{`has(event.user.name) && cel.bind(n, event.user.name.lowerAscii(), n != "root")`, true},
		{`event.auth_factors.filter(f, f.provider != "x").exists(f, f.factor_type_id == SMS)`, false},
		{`event.auth_factors.filter(f, f.factor_type_id == SMS).exists(f, f.provider != "x")`, false},
		{`event.auth_factors.filter(f, has(f.provider)).exists(f, f.factor_type_id == SMS)`, true},
		{`event.auth_factors.map(f, f.provider).exists(p, p != "x")`, false},
		{`event.auth_factors.exists_one(f, f.factor_type_id == SMS)`, true},
		{`event.metadata.labels.exists(l, l != "x")`, true},
		{`event.metadata.labels.all(l, l == "x")`, false},
		{`optional.ofNonZeroValue(event.user.name).orValue("z") != "root"`, false},
		{`has(event.unmapped['a.b']) && event.unmapped['a.b'] != "x"`, true},
		{`event.unmapped[event.user.name] != "x"`, false},
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
		`event.user.emial_addr == "x"`:                                     `1:12 unknown-attribute: user has no attribute "emial_addr"; did you mean "email_addr"?`,
		"event.is_mfa == true &&\n  event.usr.name == 'x'":                 `2:9 unknown-attribute: authentication has no attribute "usr"; did you mean "user"?`,
		`event.email_addr == "x"`:                                          `1:7 unknown-attribute: authentication has no attribute "email_addr"; did you mean "user.email_addr"?`,
		`has(event.user.emial)`:                                            `unknown-attribute: user has no attribute "emial"; did you mean "email_addr"?`,
		`event.user.name == 3`:                                             "1:1 wrong-type: user.name (text) is compared with a whole number; text stands in quotes; numbers, true and false do not",
		`event.is_mfa == "true"`:                                           "1:1 wrong-type: is_mfa (true or false) is compared with text; text stands in quotes; numbers, true and false do not",
		`event.time > timestamp("2025-01-01T00:00:00Z")`:                   "1:1 wrong-type: time (a whole number) is compared with a time; time is in milliseconds; time_dt is the time",
		`event.user.name.contains(3)`:                                      "1:25 wrong-type: contains of text does not take (a whole number)",
		`event.status_id == FAILUR`:                                        "1:20 unknown-enum: FAILUR is no caption of status_id; did you mean FAILURE?",
		`event.status_id == "Failure"`:                                     "1:20 wrong-type: status_id is a number and is compared with text; write FAILURE",
		`event.status_id in [SUCCESS, 7]`:                                  "1:30 unknown-enum: status_id has no value 7; its values are 0 UNKNOWN, 1 SUCCESS, 2 FAILURE, 99 OTHER",
		`event.status == FAILURE`:                                          "1:17 wrong-type: status is text: the caption belongs beside status_id; compare status_id with FAILURE",
		`event.http_request.http_method == GET`:                            `1:35 wrong-type: http_request.http_method is text, and has no numbers; write "GET"`,
		`event.user.type_id == HIGH`:                                       "1:23 unknown-enum: HIGH is no caption of user.type_id; its captions are ADMIN, OTHER, SYSTEM, UNKNOWN, USER",
		`event.severity_id >= HIGH`:                                        "1:22 caption: HIGH stands beside an order: captions are for ==, != and in; write 4",
		`HIGH == 4`:                                                        "1:1 caption: the caption HIGH has a meaning only beside an enum attribute, with ==, != or in; write the number: HIGH is 4 of severity_id",
		`event.user.risk_level_id > 0 && size([HIGH]) > 0`:                 "write the number: HIGH is 3 of user.risk_level_id, 4 of severity_id",
		`HIGH in [event.severity_id]`:                                      "1:1 caption: ",
		`event.unmapped["a"] == FAILURE`:                                   "1:24 caption: ",
		`event.status_id == FAILURE + 1`:                                   "1:20 caption: ",
		`event.auth_factors.exists(SMS, SMS.factor_type_id == 1)`:          "variable: the variable SMS is written as a caption is; call it sms",
		`cel.bind(SMS, event.status_id, SMS == 1)`:                         "variable: the variable SMS is written as a caption is; call it sms",
		`event.auth_factors.exists(f, f.factor_typ_id == 2)`:               `1:32 unknown-attribute: auth_factor has no attribute "factor_typ_id"; did you mean "factor_type_id"?`,
		`event.user.name`:                                                  "1:1 wrong-type: the expression is text and must be a condition (bool)",
		`event.user.name ==`:                                               "1:19 syntax: ",
		`meta.ath == "x"`:                                                  `1:6 unknown-attribute: meta has no attribute "ath"; did you mean "auth"?`,
		`nothing == 1`:                                                     `1:1 unknown-name: there is no "nothing"; rules see event and meta, and the functions of CEL`,
		`user.name == "x"`:                                                 `1:1 unknown-name: there is no "user"; did you mean event.user?`,
		`evnt.is_mfa == true`:                                              `1:1 unknown-name: there is no "evnt"; did you mean event?`,
		`event.?user.?name.orValue("x") != "root"`:                         "optional: a.?b and a[?b] are not for rules",
		`event.user == event.actor.user`:                                   "1:1 object: an object of OCSF stands here for itself",
		`[event.user].exists(u, u.name != "root")`:                         "1:1 object: ",
		`event.auth_factors.map(f, f).size() > 0`:                          "1:27 object: ",
		`dyn(event.user).name != "root"`:                                   "1:5 object: ",
		`(event.is_remote ? event.user : event.actor.user).name != "root"`: "object: ",
		`event.auth_factors.map(f, f).exists(g, g.provider != "x")`:        "object: ",
		strings.Repeat("(", 200) + "true" + strings.Repeat(")", 200):       "recursion",
		`event.observables.exists(a, event.observables.exists(b, event.observables.exists(c, event.observables.exists(d, a.value == b.value && c.value == d.value))))`: "1:1 too-costly: ",
	} {
		_, found := env.Compile(text, WantBool)
		var lines []string
		for _, i := range found {
			lines = append(lines, strings.TrimSuffix(fmt.Sprintf("%d:%d %s: %s; %s", i.Line, i.Column, i.Code, i.Message, i.Suggestion), "; "))
		}
		if got := strings.Join(lines, "\n"); !strings.Contains(got, want) {
			t.Errorf("%s\n got %q\nwant %q", text, got, want)
		}
	}
	// All that is wrong is said at once.
	if _, found := env.Compile(`event.usr.name == "x" && event.user.nam == "y" && event.status_id == FAILUR && event.is_mfa == 1`, WantBool); len(found) != 4 {
		t.Errorf("%d issues, want 4: %v", len(found), found)
	}
}

// TestSeveralClasses holds what rules on more than one class see.
func TestSeveralClasses(t *testing.T) {
	s := schema(t)
	both := eventEnv(t, s, "authentication", "process_activity")
	for text, want := range map[string]string{
		`event.process.pid == 1`:             `what authentication, process_activity have in common has no attribute "process"; only process_activity has it: write a rule for each class`,
		`event.activity_id == LOGON`:         "LOGON is not the same for activity_id: 1 in authentication, nothing in process_activity; write a rule for each class, or the numbers",
		`event.activity_id == 77`:            "activity_id has no value 77",
		`event.activity_id == 1`:             "",
		`event.activity_id == OTHER`:         "",
		`event.severity_id == HIGH`:          "",
		`event.metadata.product.name == "x"`: "",
		`event.class_uid == 3002`:            "",
		`event.device.hostname != "a"`:       "absent", // required of one class only
		`event.observables.exists(o, o.type_id == IP_ADDRESS && o.value == "192.0.2.1")`: "",
	} {
		_, found := both.Compile(text, WantBool)
		got := ""
		if len(found) > 0 {
			got = found[0].Message + "; " + found[0].Suggestion
		}
		if (want == "") != (got == "") || !strings.Contains(got, want) {
			t.Errorf("%s\n got %q\nwant %q", text, got, want)
		}
	}
	// Required of one class, and not of the other.
	if _, found := eventEnv(t, schema(t), "incident_finding").Compile(`event.status_id != NEW`, WantBool); len(found) > 0 {
		t.Errorf("required: %v", found)
	}
	for _, classes := range [][]string{{"incident_finding", "account_change"}, {"account_change", "incident_finding"}} {
		if _, found := eventEnv(t, schema(t), classes...).Compile(`event.status_id != OTHER`, WantBool); len(found) == 0 {
			t.Errorf("%v: what one class may lack is read unguarded", classes)
		}
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
		`cel.bind(s, event.status_id, s == FAILURE)`:                                     true,
		`event.auth_factors[0].factor_type == "Push Notification"`:                       true,
		`has(meta.tenant)`:                                                               false,
		`event.auth_factors.map(f, f.factor_type).join(",") == "Push Notification"`:      true,
		`"Push Notification" in event.auth_factors.map(f, f.factor_type)`:                true,
		`"datetime" in event.metadata.profiles && event.metadata.profiles.size() > 0`:    true,
		`event.unmapped.exists(k, k == "a.b")`:                                           true,
		`meta.source == "okta" && meta.auth == "pass"`:                                   true,
		`cidr("192.0.2.0/24").containsIP(event.src_endpoint.ip)`:                         true,
		`event.metadata.profiles.exists(p, p == "datetime")`:                             true,
		`event.observables.exists(o, o.value == "192.0.2.7" && o.type_id == IP_ADDRESS)`: true,
	} {
		x, found := env.Compile(text, WantBool)
		if len(found) > 0 && found[0].Code != "absence" {
			t.Errorf("%s: %v", text, found)
			continue
		}
		if x == nil {
			x, _ = env.Compile(text, WantAny) // evaluated all the same
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
	for text, want := range map[string]string{
		`event.status_id`: "2", `event.count`: "", `event.is_mfa`: "", `event.user.uid`: "", `event.device.os.name`: "",
		`event.time_dt`: "2025-10-09T08:53:20Z", `event.unmapped['a.b']`: "x", `event.unmapped['nothing']`: "", `event.auth_factors[7].provider`: "",
		`meta.tenant`: "", `meta.received`: "2025-10-09T08:53:21Z", `event.is_mfa ? "yes" : "no"`: "no",
	} {
		x, found := env.Compile(text, WantAny)
		if len(found) > 0 {
			t.Errorf("%s: %v", text, found)
			continue
		}
		if got, err := x.Text(&v); got != want || err != nil {
			t.Errorf("%s: %q, want %q (%v)", text, got, want, err)
		}
	}
	if x, _ := env.Compile(`event.unmapped['nothing'] == "x"`, WantBool); x != nil {
		if got, err := x.Bool(&v); got || err != nil {
			t.Errorf("an absent key: %v %v, want false and no failure", got, err)
		}
	}
	if x, _ := env.Compile(`meta.auth == "fail" && event.user.name == "x"`, WantBool); !x.ReadsAuth || strings.Join(x.Paths, " ") != "user.name" {
		t.Errorf("reads %v, auth %v", x.Paths, x.ReadsAuth)
	}
}

// TestCostLimit holds that a loop in a loop over a hostile event ends early,
// and that a single loop over it does not.
func TestCostLimit(t *testing.T) {
	s := schema(t)
	ls := ocsf.NewLayouts(s)
	c, _ := s.Class("authentication")
	l := ls.Class(c)
	l.AddDeep("auth_factors.provider")
	ls.Freeze()
	var e ocsf.Event
	e.Reset(l)
	slot := l.Slot("auth_factors")
	list := e.NewList(l.Info(slot).Rows)
	for range 3000 {
		list.AddRow()[list.Row.Slot("provider")] = ocsf.TextValue("p")
	}
	e.Slots[slot] = ocsf.ListValue(list)
	env := eventEnv(t, s, "authentication")
	var v Vars
	v.Bind(env, &e, &nagare.Event{})
	for text, fails := range map[string]bool{
		`event.auth_factors.exists(a, a.provider == "q")`:                                                               false,
		`event.auth_factors.exists(a, event.auth_factors.exists(b, has(a.provider) && b.provider == a.provider + "x"))`: true,
	} {
		x, found := env.Compile(text, WantBool)
		if len(found) > 0 {
			t.Fatal(text, found)
		}
		if got, err := x.Bool(&v); got || (err != nil) != fails {
			t.Errorf("%s: %v, %v", text, got, err)
		}
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
