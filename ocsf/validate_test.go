package ocsf

import (
	"math"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestValidateOne breaks one thing of a valid event, and wants just that
// problem, at its place.
func TestValidateOne(t *testing.T) {
	list := func(v ...Value) Value { return ListValue(&List{Items: v}) }
	for name, c := range map[string]struct {
		path  string
		value Value
		want  []string // path and code
	}{
		"seconds":            {"time", IntValue(1_700_000_000), []string{"time time-unit"}},
		"microseconds":       {"time", IntValue(1_700_000_000_000_000), []string{"time time-unit"}},
		"before 1970":        {"time", IntValue(-11_644_473_600_000), nil},
		"no time":            {"time", Value{}, []string{"time required"}},
		"no product":         {"metadata.product.vendor_name", Value{}, []string{"metadata.product.vendor_name required"}},
		"text for a number":  {"severity_id", TextValue("4"), []string{"severity_id type"}},
		"number for text":    {"user.uid", IntValue(4), []string{"user.uid type"}},
		"list for text":      {"user.uid", list(TextValue("a")), []string{"user.uid type"}},
		"text for a list":    {"metadata.labels", TextValue("a"), []string{"metadata.labels type"}},
		"scalars for rows":   {"auth_factors", list(IntValue(1)), []string{"auth_factors type"}},
		"number in a list":   {"metadata.labels", list(TextValue("a"), IntValue(1)), []string{"metadata.labels[1] type"}},
		"unknown id":         {"status_id", IntValue(7), []string{"status_id enum"}},
		"33 bits":            {"logon_type_id", IntValue(1 << 32), []string{"logon_type_id range"}},
		"no port":            {"src_endpoint.port", IntValue(65_536), []string{"src_endpoint.port range"}},
		"a port":             {"src_endpoint.port", IntValue(65_535), nil},
		"address with port":  {"src_endpoint.ip", TextValue("192.0.2.1:5"), []string{"src_endpoint.ip format"}},
		"not UTF-8":          {"message", TextValue("a\xff"), []string{"message format"}},
		"long":               {"message", TextValue(strings.Repeat("x", 65_536)), []string{"message length"}},
		"long in bytes only": {"message", TextValue(strings.Repeat("é", 65_535)), nil},
		"unknown method":     {"http_request.http_method", TextValue("BREW"), []string{"http_request.http_method enum"}},
		"a method":           {"http_request.http_method", TextValue("GET"), nil},
		"number for a truth": {"is_mfa", IntValue(1), []string{"is_mfa type"}},
		"not a number":       {"src_endpoint.location.lat", FloatValue(math.NaN()), []string{"src_endpoint.location.lat range", "src_endpoint.location constraint"}},
		"profile not listed": {"cloud.provider", TextValue("AWS"), []string{"cloud.provider profile"}},
		"object without":     {"src_endpoint.type_id", IntValue(1), nil},
	} {
		l := layoutOf(t, "authentication", "user.name", "user.email_addr", "user.uid", "service.name", "src_endpoint.ip", "src_endpoint.port",
			"src_endpoint.type_id", "src_endpoint.location.lat", "auth_factors/factor_type_id", "auth_factors/provider", "message", "is_mfa", "http_request.http_method", "cloud.provider", "logon_type_id")
		e := &Event{}
		fillSignIn(e, l)
		e.Slots[l.Slot(c.path)] = c.value
		var got []string
		for _, p := range Validate(e, nil) {
			got = append(got, p.Path+" "+p.Code)
			if v := c.value.Text(); len(v) > 2 && strings.Contains(p.Message, v) {
				t.Errorf("%s: the message holds the value: %s", name, p.Message)
			}
		}
		if d := cmp.Diff(c.want, got); d != "" {
			t.Errorf("%s (-want +got)\n%s", name, d)
		}
	}
}

// TestValidateRows holds that problems in rows say which row.
func TestValidateRows(t *testing.T) {
	l := layoutOf(t, "detection_finding", "finding_info.title", "finding_info.uid", "evidences/file.name", "evidences/file.hashes/value", "evidences/src_endpoint.ip")
	e := &Event{}
	e.Reset(l)
	for path, v := range map[string]Value{"time": IntValue(1_700_000_000_123), "finding_info.title": TextValue("t"), "finding_info.uid": TextValue("u"),
		"metadata.product.name": TextValue("p"), "metadata.product.vendor_name": TextValue("v")} {
		e.Slots[l.Slot(path)] = v
	}
	addRow(e, "evidences", "src_endpoint.ip", TextValue("192.0.2.1"))
	row := addRow(e, "evidences", "file.name", TextValue("a"))
	rows := l.Info(l.Slot("evidences")).Rows
	hashes := e.NewList(rows.Info(rows.Slot("file.hashes")).Rows)
	hashes.AddRow()[hashes.Row.Slot("value")] = TextValue(strings.Repeat("0", 128)) // SHA-512 does not fit file_hash_t
	row[rows.Slot("file.hashes")] = ListValue(hashes)
	addRow(e, "evidences", "src_endpoint.ip", TextValue("x"))
	Finish(e)
	want := []Problem{
		{"evidences[1].file.hashes[0].value", CodeLength, "is longer than 64 characters"},
		{"evidences[2].src_endpoint.ip", CodeFormat, "is not ip_t"},
	}
	if d := cmp.Diff(want, Validate(e, nil)); d != "" {
		t.Errorf("(-want +got)\n%s", d)
	}
}

// TestValidateEmpty holds that an event without anything lacks what its class
// requires, and that required objects nobody fills are named.
func TestValidateEmpty(t *testing.T) {
	e := &Event{}
	e.Reset(layoutOf(t, "authentication"))
	Finish(e)
	var got []string
	for _, p := range Validate(e, nil) {
		got = append(got, p.Path+" "+p.Code)
	}
	want := []string{"time required", "user required", " constraint", "metadata.product required"}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("(-want +got)\n%s", d)
	}
}

func TestNoGarbage(t *testing.T) {
	e := signIn(t)
	dst := e.AppendJSON(nil)
	var problems []Problem
	for name, f := range map[string]func(){
		"Finish":     func() { fillSignIn(e, e.Layout) },
		"Validate":   func() { problems = Validate(e, problems[:0]) },
		"AppendJSON": func() { dst = e.AppendJSON(dst[:0]) },
	} {
		if n := testing.AllocsPerRun(100, f); n > 0 {
			t.Errorf("%s: %v allocations an event", name, n)
		}
	}
}
