package config

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

var sources = []string{"datadog", "defender", "okta"}

func TestParse(t *testing.T) {
	t.Setenv("DD_TOKEN", "s3cret-value")
	c, problems := Parse("conf/nagare.yaml", []byte(`
stream: {name: sec, endpoint: "http://127.0.0.1:4567", shards: 4, retention: 48h}
sources:
  datadog: {auth: {kind: header, name: X-Nagare-Token, secret: "env:DD_TOKEN"}, ack: kinesis-or-spool}
  okta: {auth: {kind: basic, user: okta, secret: in-place}}
rules: {dirs: [rules]}
receivers: {identity: {slack: {webhook: "http://127.0.0.1:1/hook"}}}
routes: [{when: "alert.severity_id >= 4", to: [identity]}]
coord: {kind: dynamodb, table: leases, endpoint: "http://127.0.0.1:8000"}
lake: {flush: 5m, ocsf: 1.1.0}
limits: {body: 1MiB, depth: 32}
`), sources)
	if len(problems) != 0 {
		t.Fatalf("problems: %v", problems)
	}
	if c.Stream.Shards != 4 || c.Lake.Flush != 5*time.Minute || c.Lake.OCSF != "1.1.0" || c.Limits.Body != 1<<20 || c.Limits.Decompressed != 64<<20 {
		t.Errorf("got %+v", c)
	}
	if c.Coord != (Coord{Kind: "dynamodb", Table: "leases", Endpoint: "http://127.0.0.1:8000"}) {
		t.Errorf("coord is %+v", c.Coord)
	}
	if got := c.Sources["datadog"].Auth.Secret.Reveal(); got != "s3cret-value" {
		t.Errorf("secret is %q", got)
	}
	if c.Rules.Dirs[0] != "conf/rules" {
		t.Errorf("rules dir is %q, want it beside the file", c.Rules.Dirs[0])
	}
	if s := fmt.Sprintf("%v %+v %#v", c, c, c); strings.Contains(s, "s3cret-value") {
		t.Error("the secret prints")
	}
}

// TestMistyped holds that what YAML cannot read says which key it is, what
// stands there, and how it is written.
func TestMistyped(t *testing.T) {
	for text, want := range map[string]string{
		"lake: {flush: 1parsec}":              `nagare.yaml:1:15: lake.flush is "1parsec", which is no duration; write it as 30s, 5m or 24h`,
		"stream:\n  shards: many":             `nagare.yaml:2:11: stream.shards is "many", which is no whole number; write it as 4`,
		"limits: {body: huge}":                `limits.body: "huge" is not a size: write it as 10MiB`,
		"mappings: {dirs: 3}":                 `mappings.dirs is "3", which is no list; write it as [first, second]`,
		"routes: [{to: [a]}, {when: [x, y]}]": `routes[1].when is a list, which is no text; write it as "text"`,
		"sources: {okta: {auth: 7}}":          `sources.okta.auth is "7", which is no mapping of keys; write it as {key: value}`,
	} {
		_, problems := Parse("nagare.yaml", []byte(text), sources)
		var got []string
		for _, p := range problems {
			got = append(got, p.String())
		}
		if all := strings.Join(got, "\n"); !strings.Contains(all, want) {
			t.Errorf("%s:\n%s\nwant\n%s", text, all, want)
		}
	}
}

// TestMistakes holds that every mistake of one file is reported at once, each
// with its line.
func TestMistakes(t *testing.T) {
	_, problems := Parse("nagare.yaml", []byte(`stream: {nam: x, retention: 3h, endpoint: "127.0.0.1:4567"}
sources:
  dtadog: {}
  okta: {zone: Asia/Tokio, ack: disk, auth: {kind: header, name: "a b", secret: "env:NAGARE_NO_SUCH"}}
heartbeat: {url: "x"}
lake: {flush: soon, ocsf: 1.2.0}
receivers: {a: {slack: {token: x}}, b: {}}
routes: [{when: "true", to: [c]}, {to: []}]
coord: {kind: dynamo, table: "a b", endpoint: "127.0.0.1:8000"}
limits: {body: 10 potatoes, spool: 1KiB}
objects: {claims: "s3://b/claims"}
`), sources)
	var all []string
	for _, p := range problems {
		all = append(all, p.String())
		if p.Line == 0 {
			t.Errorf("no line: %s", p)
		}
	}
	text := strings.Join(all, "\n")
	for _, want := range []string{
		`nagare.yaml:1:10: unknown key "stream.nam"; did you mean "name"?`,
		"stream.retention is 3h0m0s; use whole hours",
		`nagare.yaml:1:43: stream.endpoint is no URL of http or https; use http://127.0.0.1:4567`,
		`no mapping is for source "dtadog"; did you mean "datadog"?`,
		`sources.okta.ack "disk" is unknown; use "kinesis", "spool", "kinesis-or-spool"`,
		"limits.spool is too small; use at least 16MiB",
		`objects.claims "s3://b/claims" is no folder`,
		`"a b" is no header's name`,
		"the environment has no NAGARE_NO_SUCH",
		`sources.okta.zone: no time zone "Asia/Tokio"; zones are named as`,
		`nagare.yaml:5:1: unknown key "heartbeat"; this version does not have it yet`,
		"soon",
		`lake.ocsf "1.2.0" is unknown; this version knows "1.3.0" and "1.1.0"`,
		"has a token and no channel",
		`receiver "b" says nothing`,
		`route 1 goes to "c", which is no receiver`,
		"route 2 goes nowhere",
		`coord.kind "dynamo" is unknown; this version knows "sqlite" and "dynamodb"`,
		`coord.table "a b" is not a table's name`,
		"coord.endpoint is no URL of http or https; use http://127.0.0.1:8000",
		"10 potatoes",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("no problem says %q", want)
		}
	}
	if t.Failed() {
		t.Logf("all problems:\n%s", text)
	}
}

func TestBroken(t *testing.T) {
	for _, data := range []string{"a: [", "- x", "stream: 3", "\x00"} {
		if _, problems := Parse("x.yaml", []byte(data), sources); len(problems) == 0 {
			t.Errorf("%q has no problem", data)
		}
	}
	if _, problems := Load(t.TempDir()+"/none.yaml", sources); len(problems) != 1 {
		t.Errorf("missing file: %v", problems)
	}
	if c, problems := Parse("x.yaml", nil, sources); len(problems) != 0 || c.Stream.Name != "nagare" {
		t.Errorf("empty file: %v %v", c, problems)
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte("stream: {name: x}\nsources: {okta: {ack: kinesis}}"))
	f.Add([]byte("routes: [{to: [a]}]"))
	f.Fuzz(func(t *testing.T, data []byte) {
		Parse("fuzz.yaml", data, sources) // must not panic
	})
}
