package expr

import (
	"reflect"
	"strings"
	"testing"

	"nagare/ocsf/rawjson"
)

// evalRaw runs an expression as a cel-go program over one event.
func evalRaw(t *testing.T, raw *Raw, text, body string) string {
	t.Helper()
	p, err := raw.Program(text)
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	d := rawjson.NewPaths().NewDoc()
	if err := d.Parse([]byte(body)); err != nil {
		t.Fatal(err)
	}
	v := raw.Vars()
	v.Doc = d
	got := p.Eval(v)
	return string(got.AppendJSON(nil))
}

func TestRawPrograms(t *testing.T) {
	raw, err := NewRaw(nil)
	if err != nil {
		t.Fatal(err)
	}
	const body = `{"s":"a","n":9007199254740993,"u":18446744073709551615,"f":1.5,"z":null,"o":{"x":1,"y":null,"x":2},"l":[3,null,{"k":"v"}],"j":"[1,{\"a\":2}]"}`
	for text, want := range map[string]string{
		`raw.n + 1`:                           `9007199254740994`,
		`raw.u > raw.n`:                       `true`,
		`raw.f * 2.0`:                         `3`,
		`has(raw.z)`:                          `false`,
		`has(raw.q.r.s)`:                      `false`,
		`!has(raw.q.r.s)`:                     `true`,
		`raw.z`:                               `null`,
		`size(raw.o)`:                         `1`, // a null member is none, the last of two counts
		`raw.o.x`:                             `2`,
		`raw.o.map(k, k)`:                     `["x"]`,
		`raw.l[2].k`:                          `"v"`,
		`raw.l[9]`:                            `null`,
		`size(raw.l)`:                         `3`,
		`3 in raw.l`:                          `true`,
		`raw.l + [4]`:                         `[3,{"k":"v"},4]`, // what is absent is left out
		`json(raw.j)[1].a`:                    `2`,
		`json(raw.s)`:                         `"a"`, // which is no JSON
		`json(raw.o).x`:                       `2`,
		`raw.l.filter(x, type(x) == int)`:     `[3]`,
		`[1, 2].map(i, {"b": i, "a": raw.s})`: `[{"a":"a","b":1},{"a":"a","b":2}]`, // always in this order
		`sha256("a")`:                         `"ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb"`,
		`seconds(1.5)`:                        `"1970-01-01T00:00:01.5Z"`,
	} {
		for range 3 {
			if got := evalRaw(t, raw, text, body); got != want {
				t.Errorf("%s: %s, want %s", text, got, want)
			}
		}
	}
}

// One expression cannot hold up the shard.
func TestRawProgramsAreBounded(t *testing.T) {
	raw, err := NewRaw(nil)
	if err != nil {
		t.Fatal(err)
	}
	body := `{"l":[` + strings.Repeat("1,", 3000) + `1]}`
	if got := evalRaw(t, raw, `raw.l.map(a, raw.l.map(b, raw.l.exists(c, c == 2)))`, body); got != "null" {
		t.Errorf("%.40s", got)
	}
}

func TestRawIssuesHaveAPlace(t *testing.T) {
	raw, err := NewRaw(map[string]*Table{"outcome": NewTable("outcome", nil)})
	if err != nil {
		t.Fatal(err)
	}
	for text, want := range map[string]Issue{
		"raw.a ==\n  nope":      {Line: 2, Column: 3, Message: "undeclared reference", Suggestion: `a text has quotes: "nope"; a field of the event is raw.nope`},
		"tables.outcom[raw.a]":  {Line: 1, Column: 7, Message: `no table "outcom"`, Suggestion: `did you mean "outcome"?`},
		"meta.sorce":            {Line: 1, Column: 5, Message: `meta has no field "sorce"`, Suggestion: `did you mean "source"?`},
		"raw.a +":               {Line: 1, Column: 8, Message: "Syntax error"},
		"has(raw)":              {Line: 1, Column: 5, Message: "has() takes a path"},
		"raw.a.startsWith(1+1)": {Line: 1, Column: 17, Message: "no matching overload"},
	} {
		_, found := raw.Compile(text)
		if len(found) == 0 {
			t.Errorf("%s: no issue", text)
			continue
		}
		got := found[0]
		if got.Line != want.Line || got.Column != want.Column || !strings.Contains(got.Message, want.Message) || got.Suggestion != want.Suggestion {
			t.Errorf("%s: got %+v, want %+v", text, got, want)
		}
	}
}

// What is compiled without the parser is what the parser makes of it.
func TestPlainPaths(t *testing.T) {
	raw, err := NewRaw(nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{"raw.a", "raw.a.b_c.D9", "raw.a.in", "raw.for", "raw.a.", "raw.9", "raw.a[0]", "raw. a", "raw.a.?b", "raw"} {
		want, wantIssues := raw.compile(text)
		got, issues := raw.Compile(text)
		if len(issues) != len(wantIssues) {
			t.Errorf("%s: %v, the parser says %v", text, issues, wantIssues)
			continue
		}
		if len(issues) == 0 && !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %+v, the parser says %+v", text, got, want)
		}
	}
}
