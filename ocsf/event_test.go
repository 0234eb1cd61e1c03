package ocsf

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
)

// signIn is a layout with what a sign-in mapping fills, and an event of it.
func signIn(t testing.TB) *Event {
	t.Helper()
	ls := NewLayouts(load(t))
	c, _ := ls.Schema.Class("authentication")
	l := ls.Class(c)
	for _, p := range []string{"user.name", "user.email_addr", "user.uid", "service.name", "src_endpoint.ip", "auth_factors",
		"enrichments", "logon_type_id", "session.uid", "device.hostname", "cloud.provider", "message"} {
		if _, err := l.Add(p); err != nil {
			t.Fatal(err)
		}
	}
	factors := l.Info(l.Slot("auth_factors")).Rows
	for _, p := range []string{"factor_type_id", "provider"} {
		if _, err := factors.Add(p); err != nil {
			t.Fatal(err)
		}
	}
	ls.Freeze()
	e := &Event{}
	fillSignIn(e, l)
	return e
}

func fillSignIn(e *Event, l *Layout) {
	e.Reset(l)
	set := func(path string, v Value) { e.Slots[l.Slot(path)] = v }
	set("activity_id", IntValue(1))
	set("status_id", IntValue(1))
	set("severity_id", IntValue(1))
	set("time", IntValue(1_700_000_000_123))
	set("metadata.uid", TextValue("u-1"))
	set("metadata.product.vendor_name", TextValue("Example"))
	set("metadata.product.name", TextValue("Sign-in"))
	set("user.name", TextValue("sato"))
	set("user.email_addr", TextValue("sato@example.co.jp"))
	set("service.name", TextValue("Payroll"))
	set("src_endpoint.ip", TextValue("192.0.2.7"))
	list := e.NewList(l.Info(l.Slot("auth_factors")).Rows)
	row := list.AddRow()
	row[list.Row.Slot("factor_type_id")] = IntValue(10)
	row[list.Row.Slot("provider")] = TextValue("Example")
	set("auth_factors", ListValue(list))
	e.AddUnmapped("raw.x", "1\n")
	Finish(e)
}

func TestFinishAndJSON(t *testing.T) {
	e := signIn(t)
	var got map[string]any
	if err := json.Unmarshal(e.AppendJSON(nil), &got); err != nil {
		t.Fatal(err)
	}
	want := map[string]any{
		"activity_id": 1.0, "activity_name": "Logon", "category_uid": 3.0, "category_name": "Identity & Access Management",
		"class_uid": 3002.0, "class_name": "Authentication", "type_uid": 300201.0, "type_name": "Authentication: Logon",
		"status_id": 1.0, "status": "Success", "severity_id": 1.0, "severity": "Informational",
		"time": 1_700_000_000_123.0, "time_dt": "2023-11-14T22:13:20.123Z",
		"metadata": map[string]any{"uid": "u-1", "version": "1.3.0", "profiles": []any{"datetime"},
			"product": map[string]any{"vendor_name": "Example", "name": "Sign-in"}},
		"user":         map[string]any{"name": "sato", "email_addr": "sato@example.co.jp"},
		"service":      map[string]any{"name": "Payroll"},
		"src_endpoint": map[string]any{"ip": "192.0.2.7"},
		"auth_factors": []any{map[string]any{"factor_type_id": 10.0, "factor_type": "WebAuthn", "provider": "Example"}},
		"observables": []any{
			map[string]any{"name": "src_endpoint.ip", "type_id": 2.0, "type": "IP Address", "value": "192.0.2.7"},
			map[string]any{"name": "user.email_addr", "type_id": 5.0, "type": "Email Address", "value": "sato@example.co.jp"},
			map[string]any{"name": "user.name", "type_id": 4.0, "type": "User Name", "value": "sato"},
		},
		"unmapped": map[string]any{"raw.x": "1\n"},
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("(-want +got)\n%s", d)
	}
	if p := Validate(e, nil); len(p) != 0 {
		t.Errorf("problems: %v", p)
	}
}

// TestProfiles holds that attributes of a profile bring it.
func TestProfiles(t *testing.T) {
	e := signIn(t)
	l := e.Layout
	fillSignIn(e, l)
	e.Slots[l.Slot("device.hostname")] = TextValue("pc-1.example.com")
	e.Slots[l.Slot("cloud.provider")] = TextValue("AWS")
	Finish(e)
	var got []string
	for _, v := range e.Get("metadata.profiles").List().Items {
		got = append(got, v.Text())
	}
	if !slices.Equal(got, []string{"cloud", "datetime", "host"}) {
		t.Errorf("profiles %v", got)
	}
	// device requires type_id, which Finish makes Unknown.
	if v := e.Get("device.type_id"); !v.Has() || v.Int() != 0 {
		t.Errorf("device.type_id is %v", v)
	}
	if p := Validate(e, nil); len(p) != 0 {
		t.Errorf("problems: %v", p)
	}
}

func TestSiblings(t *testing.T) {
	e := signIn(t)
	l := e.Layout
	fillSignIn(e, l)
	for _, path := range []string{"status_id", "status", "severity_id", "severity", "activity_id", "activity_name", "type_uid"} {
		e.Slots[l.Slot(path)] = Value{}
	}
	e.Slots[l.Slot("status")] = TextValue("FAILURE")
	e.Slots[l.Slot("severity")] = TextValue("P2, rather bad")
	Finish(e)
	if got := e.Get("status_id").Int(); got != 2 {
		t.Errorf("status_id %d", got)
	}
	if got := e.Get("status").Text(); got != "Failure" {
		t.Errorf("status %q", got)
	}
	if got := e.Get("severity_id").Int(); got != 99 {
		t.Errorf("severity_id %d", got)
	}
	if got := e.Get("severity").Text(); got != "P2, rather bad" {
		t.Errorf("severity %q", got)
	}
	if got := e.Get("type_uid").Int(); got != 300200 {
		t.Errorf("type_uid %d", got)
	}
}

// TestValidate breaks one thing at a time.
func TestValidate(t *testing.T) {
	for path, c := range map[string]struct {
		value Value
		code  string
	}{
		"time":                         {IntValue(1_700_000_000), "time-unit"},
		"metadata.product.vendor_name": {Value{}, "required"},
		"user.email_addr":              {TextValue("not a mail"), "format"},
		"src_endpoint.ip":              {TextValue("1.2.3.4:5"), "format"},
		"service.name":                 {Value{}, "constraint"},
		"status_id":                    {IntValue(7), "enum"},
		"severity_id":                  {TextValue("high"), "type"},
		"device.hostname":              {TextValue("-x_"), "format"},
		"auth_factors":                 {TextValue("x"), "type"},
		"activity_id":                  {IntValue(1 << 40), "range"},
		"user.uid":                     {TextValue(strings.Repeat("x", 70_000)), "length"},
	} {
		e := signIn(t)
		e.Slots[e.Layout.Slot(path)] = c.value
		problems := Validate(e, nil)
		if !slices.ContainsFunc(problems, func(p Problem) bool { return p.Code == c.code }) {
			t.Errorf("%s: want code %s, got %v", path, c.code, problems)
		}
	}
	e := signIn(t)
	for _, p := range []string{"user.name", "user.email_addr"} {
		e.Slots[e.Layout.Slot(p)] = Value{}
	}
	if p := Validate(e, nil); len(p) != 1 || p[0].Path != "user" || p[0].Code != "required" {
		t.Errorf("without user: %v", p)
	}
	e = signIn(t)
	factors := e.Get("auth_factors").List()
	factors.At(0)[factors.Row.Slot("factor_type_id")] = Value{}
	if p := Validate(e, nil); len(p) != 1 || p[0].Path != "auth_factors[0].factor_type_id" {
		t.Errorf("row without type: %v", p)
	}
}

func TestPaths(t *testing.T) {
	ls := NewLayouts(load(t))
	c, _ := ls.Schema.Class("authentication")
	l := ls.Class(c)
	for path, want := range map[string]string{
		"user.emial_addr":             `did you mean "email_addr"?`,
		"user":                        "name one of its attributes",
		"time.x":                      "has no attributes",
		"auth_factors.factor_type_id": "is a list of objects",
		"unmapped":                    "takes what has no attribute",
		"":                            "no attribute",
	} {
		if _, err := l.Add(path); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", path, err, want)
		}
	}
}

func TestReuse(t *testing.T) {
	e := signIn(t)
	first := e.AppendJSON(nil)
	kept := e.Clone()
	for range 3 {
		fillSignIn(e, e.Layout)
	}
	if got := e.AppendJSON(nil); !bytes.Equal(got, first) {
		t.Errorf("reused event differs:\n%s\n%s", got, first)
	}
	e.Reset(e.Layout)
	if got := kept.AppendJSON(nil); !bytes.Equal(got, first) {
		t.Errorf("clone changed with its original:\n%s\n%s", got, first)
	}
}

func FuzzJSONString(f *testing.F) {
	f.Add("a\"\\\x00\u2028\xff", "é\n")
	f.Fuzz(func(t *testing.T, key, text string) {
		e := signIn(t)
		e.Slots[e.Layout.Slot("message")] = TextValue(text)
		e.AddUnmapped(key, text)
		var got struct {
			Message  string
			Unmapped map[string]string
		}
		if err := json.Unmarshal(e.AppendJSON(nil), &got); err != nil {
			t.Fatal(err)
		}
		if utf8.ValidString(text) && got.Message != text {
			t.Errorf("message %q became %q", text, got.Message)
		}
	})
}

func BenchmarkFinish(b *testing.B) {
	e := signIn(b)
	b.ReportAllocs()
	for b.Loop() {
		fillSignIn(e, e.Layout)
	}
}

func BenchmarkValidate(b *testing.B) {
	e := signIn(b)
	b.ReportAllocs()
	var problems []Problem
	for b.Loop() {
		problems = Validate(e, problems[:0])
	}
}

func BenchmarkAppendJSON(b *testing.B) {
	e := signIn(b)
	dst := e.AppendJSON(nil)
	b.SetBytes(int64(len(dst)))
	b.ReportAllocs()
	for b.Loop() {
		dst = e.AppendJSON(dst[:0])
	}
}
