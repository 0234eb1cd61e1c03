package ocsf

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// decodeTree reads JSON as people's files are read.
func decodeTree(t *testing.T, text string) Tree {
	t.Helper()
	d := json.NewDecoder(strings.NewReader(text))
	d.UseNumber()
	var tree Tree
	if err := d.Decode(&tree); err != nil {
		t.Fatal(err)
	}
	return tree
}

// TestTreeRoundTrip holds that the JSON of an event, read back as a tree, is
// the same event.
func TestTreeRoundTrip(t *testing.T) {
	s, err := Load(Version)
	if err != nil {
		t.Fatal(err)
	}
	c, _ := s.Class("authentication")
	tree := decodeTree(t, `{"activity_id":"Logon","status_id":2,"time":"2025-10-09T08:00:00Z","count":9007199254740993,
		"user":{"name":"sato","groups":[{"name":"a"},{"name":"b","privileges":["x","y"]}]},"metadata.labels":["l1"],"metadata":{"product":{"vendor_name":"V","name":"N"}},
		"is_mfa":false,"src_endpoint.ip":"192.0.2.1","auth_factors":[{"factor_type_id":5},{"factor_type_id":1,"provider":"p"}],"unmapped":{"a.b":"x","c":{"d":1}}}`)
	first := event(t, s, c, tree)
	want := first.AppendJSON(nil)
	second := event(t, s, c, decodeTree(t, string(want)))
	if got := second.AppendJSON(nil); !bytes.Equal(got, want) {
		t.Errorf("read back:\n%s", cmp.Diff(string(want), string(got)))
	}
	for _, part := range []string{`"activity_name":"Logon"`, `"count":9007199254740993`, `"privileges":["x","y"]`, `"factor_type":"SMS"`, `"c":"{\"d\":1}"`, `"is_mfa":false`, `"labels":["l1"]`} {
		if !bytes.Contains(want, []byte(part)) {
			t.Errorf("%s is not in %s", part, want)
		}
	}
}

func event(t *testing.T, s *Schema, c *Class, tree Tree) *Event {
	t.Helper()
	ls := NewLayouts(s)
	l := ls.Class(c)
	if wrong := l.AddTree(tree); len(wrong) > 0 {
		t.Fatal(wrong)
	}
	ls.Freeze()
	var e Event
	e.Reset(l)
	if wrong := e.FillTree(tree); len(wrong) > 0 {
		t.Fatal(wrong)
	}
	Finish(&e)
	return &e
}

// TestTreeMistakes holds that all mistakes of a tree are said, with their paths.
func TestTreeMistakes(t *testing.T) {
	s, err := Load(Version)
	if err != nil {
		t.Fatal(err)
	}
	c, _ := s.Class("authentication")
	tree := decodeTree(t, `{"usr":1,"status_id":"Failed","user":{"emial_addr":"x","name":3},"count":1.5,"time":"yesterday","device":"x",
		"auth_factors":[{"factor_typ_id":1},{"factor_type_id":true}],"is_mfa.x":true,"metadata":{"labels":"x"},"unmapped":3}`)
	var got []string
	for _, w := range NewLayouts(s).Class(c).AddTree(tree) {
		got = append(got, fmt.Sprint(w))
	}
	want := []string{
		`auth_factors.factor_typ_id: auth_factor has no attribute "factor_typ_id"; did you mean "factor_type_id"?`,
		`auth_factors.factor_type_id: true does not fit: a whole number must stand here`,
		`count: 1.5 does not fit: a whole number must stand here`,
		`device: "device" is an object (device): give it attributes`,
		`is_mfa.x: "is_mfa" has no attributes to name`,
		`metadata.labels: a list must stand here`,
		`status_id: "Failed" is not one of Unknown, Success, Failure, Other`,
		`time: "yesterday" is no time: write it as 2006-01-02T15:04:05Z`,
		`unmapped: unmapped is a map of text`,
		`user.emial_addr: user has no attribute "emial_addr"; did you mean "email_addr"?`,
		`user.name: 3 does not fit: a text must stand here`,
		`usr: authentication has no attribute "usr"; did you mean "user"?`,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}
