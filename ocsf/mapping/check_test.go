package mapping_test

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"nagare/ocsf/mapping"
)

// Each mistake is one line put in place of another in a file that is right.
// The check must find it, there, and know what was meant.
func TestMistakes(t *testing.T) {
	const good = `source: t
products: {p: {vendor_name: V, name: N}}
include: [shared.yaml]
zone: UTC
accepts: has(raw.id)
split: raw.?list.orValue([raw])
uid: raw.id
time: raw.at
drop: [raw.secret]
tables:
  outcome: {OK: Success, NG: Failure}
  rows: {a: {x: High, y: "1"}}
events:
  - when: raw.kind == "login"
    class: authentication
    activity: Logon
    set:
      user: {uid: raw.user, email_addr: raw.mail}
      service.name: "'App'"
      status: tables.outcome[raw.result]
      status_detail: tables.rows[raw.result].y
      severity: "'High'"
      is_remote: true
      src_endpoint.ip: raw.ip
      src_endpoint.port: raw.port
      auth_factors:
        - factor_type: tables.methods[raw.method].factor_type
    each: {path: enrichments, in: raw.notes, as: n, set: {name: n.name, value: n.value, data: n}}
  - class: base_event
    set: {message: raw.message}
`
	other := mapping.File{Name: "other.yaml", Data: []byte("tables: {more: {a: b}}\n")}
	shared := mapping.File{Name: "shared.yaml", Data: []byte("tables: {methods: {push: {factor_type: Push Notification}}}\n")}
	if _, problems := check(t, good, shared, other); len(problems) > 0 {
		t.Fatalf("the good file has problems: %v", problems)
	}
	page := mistakesPage{}
	for _, c := range []struct {
		name, old, new string
		at             string // where the problem is, in the new line: the column of this text
		code, message  string
		suggestion     string
	}{
		{"unknown key", "zone: UTC", "zon: UTC", "zon", "unknown-key", `no key "zon" here`, `did you mean "zone"?`},
		{"a whole table", "      status_detail: tables.rows[raw.result].y", "      status_detail: tables.outcome", ".outcome", "expression", "tables.outcome is a whole table", "name the row: tables.outcome[raw.…]"},
		{"unknown zone", "zone: UTC", "zone: Tokio", "Tokio", "wrong-value", `no time zone "Tokio"`, ""},
		{"unknown key of an entry", "    activity: Logon", "    activty: Logon", "activty", "unknown-key", "", `did you mean "activity"?`},
		{"unknown class", "    class: authentication", "    class: authentification", "authentification", "unknown-class", "", `did you mean "authentication"?`},
		{"unknown activity", "    activity: Logon", "    activity: Login", "Login", "unknown-activity", "", `did you mean "Logon"?`},
		{"unknown attribute", "      service.name: \"'App'\"", "      servise.name: \"'App'\"", "servise.name", "unknown-attribute", "", `did you mean "service"?`},
		{"unknown attribute of an object", "      user: {uid: raw.user, email_addr: raw.mail}", "      user: {uid: raw.user, email_adr: raw.mail}", "email_adr", "unknown-attribute", "", `did you mean "email_addr"?`},
		{"object for a value", "      src_endpoint.port: raw.port", "      src_endpoint.port: {a: raw.port}", "{a", "wrong-type", "it has no attributes", ""},
		{"value for an object", "      src_endpoint.port: raw.port", "      dst_endpoint: raw.port", "raw.port", "wrong-type", "dst_endpoint is an object", ""},
		{"list for a value", "      src_endpoint.port: raw.port", "      src_endpoint.port: [raw.port]", "[raw", "wrong-type", "not a list", ""},
		{"wrong constant", "      is_remote: true", "      is_remote: \"'maybe'\"", "\"'maybe", "wrong-value", "is_remote cannot be", "it is of type boolean_t"},
		{"number out of range", "      src_endpoint.port: raw.port", "      src_endpoint.port: 70000", "70000", "wrong-value", "cannot be", "port_t"},
		{"bad address", "      src_endpoint.port: raw.port", "      dst_endpoint.ip: \"'192.0.2.999'\"", "\"'192", "wrong-value", "cannot be", "ip_t"},
		{"wrong type of an expression", "      src_endpoint.port: raw.port", "      src_endpoint.port: raw.port > 3", "raw.port > 3", "wrong-type", "cannot be true or false", ""},
		{"wrong caption", "      severity: \"'High'\"", "      severity: \"'Hihg'\"", "\"'Hihg", "wrong-enum", `severity_id has no value "Hihg"`, `did you mean "High"?`},
		{"wrong id", "      severity: \"'High'\"", "      severity_id: 7", "7", "wrong-enum", "", "one of: "},
		{"wrong caption in a table", "      status: tables.outcome[raw.result]", "      severity_id: tables.outcome[raw.result]", "[raw", "wrong-enum", `table "outcome" says`, ""},
		{"wrong caption on one side of a condition", "      severity: \"'High'\"", "      severity: 'raw.a == 1 ? \"High\" : \"Hihg\"'", "\"Hihg", "wrong-enum", `severity_id has no value "Hihg"`, `did you mean "High"?`},
		{"wrong value where the first is absent", "      is_remote: true", "      is_remote: raw.?remote.orValue(\"maybe\")", "\"maybe", "wrong-value", "is_remote cannot be", ""},
		{"unknown table", "      status: tables.outcome[raw.result]", "      status: tables.outcomes[raw.result]", ".outcomes", "expression", `no table "outcomes"`, `did you mean "outcome"?`},
		{"unknown field of a table", "      status: tables.outcome[raw.result]", "      status_code: tables.rows[raw.result].z", ".z", "unknown-field", `no field "z"`, ""},
		{"field of a table not named", "      status: tables.outcome[raw.result]", "      status_code: tables.rows[raw.result]", "[raw", "unknown-field", "name one", ""},
		{"text without quotes of its own", "      service.name: \"'App'\"", "      service.name: App", "App", "expression", "undeclared reference", "\"'App'\""},
		{"expression that does not parse", "  - when: raw.kind == \"login\"", "  - when: raw.kind = \"login\"", "= ", "expression", "", "== compares"},
		{"condition that is no condition", "  - when: raw.kind == \"login\"", "  - when: \"'yes'\"", "\"'yes", "wrong-type", "must be true or false", ""},
		{"type error in an expression", "      src_endpoint.port: raw.port", "      src_endpoint.port: 1 + \"a\"", "+ ", "expression", "no matching overload", ""},
		{"unknown function", "uid: raw.id", "uid: jsn(raw.id)", "(raw", "expression", "undeclared reference to 'jsn'", `did you mean "json"?`},
		{"unknown field of meta", "uid: raw.id", "uid: meta.uuid", ".uuid", "expression", `meta has no field "uuid"`, `did you mean "uid"?`},
		{"required attribute not set", "      user: {uid: raw.user, email_addr: raw.mail}", "      message: raw.user", "", "missing-attribute", "authentication requires user", ""},
		{"constraint of the class", "      service.name: \"'App'\"", "      message: raw.app", "", "missing-attribute", "one of service, dst_endpoint", ""},
		{"constraint of an object", "      user: {uid: raw.user, email_addr: raw.mail}", "      user: {email_addr: raw.mail}", "", "missing-attribute", "requires one of account, name, uid", ""},
		{"required attribute of a row", "set: {name: n.name, value: n.value, data: n}", "set: {name: n.name, data: n}", "", "missing-attribute", "an object enrichment requires value", ""},
		{"each without in", "in: raw.notes, as: n,", "as: n,", "", "missing-key", `an each needs "in"`, ""},
		{"each of no list", "each: {path: enrichments,", "each: {path: message,", "message", "wrong-type", "no list of objects", ""},
		{"reserved attribute", "      is_remote: true", "      class_uid: 3002", "class_uid", "reserved", "follows from class", ""},
		{"attribute set twice", "      is_remote: true", "      severity_id: 4", "severity_id", "duplicate-key", "set twice", ""},
		{"key twice", "      is_remote: true", "      severity: 4", "severity", "duplicate-key", "here twice", ""},
		{"unreachable entry", "  - when: raw.kind == \"login\"", "  - when: true", "", "unreachable", "never reached", ""},
		{"no such file", "include: [shared.yaml]", "include: [shard.yaml]", "shard.yaml", "unknown-file", "", `did you mean "shared.yaml"?`},
		{"unknown product", "    activity: Logon", "    activity: Logon\n    product: q", "", "unknown-product", `no product "q"`, ""},
		{"product without vendor", "products: {p: {vendor_name: V, name: N}}", "products: {p: {name: N}}", "p: ", "missing-key", "has no vendor_name", ""},
		{"drop takes paths", "drop: [raw.secret]", "drop: [raw.a + raw.b]", "raw.a", "wrong-value", "drop takes paths", ""},
		{"the same condition twice", "  - class: base_event", "  - {when: 'raw.a == 1', class: base_event}\n  - {when: raw.a == 1, class: base_event, set: {count: raw.n}}\n  - class: base_event", "", "unreachable", "takes all that this one would", "move this one up"},
		{"a condition that another holds", "  - class: base_event", "  - {when: 'raw.a in [\"x\", \"y\"] || has(raw.b)', class: base_event}\n  - {when: 'raw.c == 1 && raw.a == \"y\"', class: base_event, set: {count: raw.n}}\n  - class: base_event", "", "unreachable", "takes all that this one would", ""},
		{"texts that entries above take one by one", "  - class: base_event", "  - {when: raw.a == \"x\", class: base_event}\n  - {when: raw.a == \"y\", class: base_event}\n  - {when: 'raw.a in [\"x\", \"y\"]', class: base_event, set: {count: raw.n}}\n  - class: base_event", "", "unreachable", "entries above, up to line", ""},
		{"a text that an entry above takes", "  - class: base_event", "  - {when: raw.a == \"x\", class: base_event}\n  - {when: 'raw.a in [\"x\", \"y\"]', class: base_event, set: {count: raw.n}}\n  - class: base_event", "", "unreachable", `entries above take "x" already`, "leave it out"},
		{"a condition for which only what is incomplete is left", "  - class: base_event", "  - {when: raw.kind == \"login\" && raw.x == 1, class: base_event}\n  - class: base_event", "", "unreachable", "but for events that lack user", ""},
		{"a path that must be two texts", "  - when: raw.kind == \"login\"", "  - when: raw.kind == \"login\" && raw.kind == \"logon\"", "raw.kind", "unreachable", `cannot be both "login" and "logon"`, ""},
		{"a path that must be there and absent", "  - when: raw.kind == \"login\"", "  - when: raw.kind == \"login\" && !has(raw.kind)", "raw.kind", "unreachable", "its opposite", ""},
		{"what a table never says", "  - when: raw.kind == \"login\"", "  - when: tables.outcome[raw.kind] == \"Sucess\"", "== ", "unreachable", `table "outcome" never says "Sucess"`, `did you mean "Success"?`},
		{"what meta never is", "  - when: raw.kind == \"login\"", "  - when: meta.auth == \"passed\"", "== ", "unreachable", `meta.auth is never "passed"`, `"pass"`},
		{"table nobody asks", "tables:", "tables:\n  spare: {a: b}", "", "unused", `no expression asks table "spare"`, ""},
		{"include nobody asks", "include: [shared.yaml]", "include: [shared.yaml, other.yaml]", "other.yaml", "unused", "no expression asks a table of other.yaml", ""},
		{"key of a table in another case", "  outcome: {OK: Success, NG: Failure}", "  outcome: {OK: Success, NG: Failure, ok: Failure}", "ok: F", "duplicate-key", `"ok" is "OK" of line`, ""},
		{"element outside of its each", "    set: {message: raw.message}", "    set: {message: n.name}", "n.name", "expression", "n is the element of an each, and there only", ""},
		{"name that is something else already", "    set: {message: raw.message}", "    set: {message: 'raw.list.filter(raw, raw.x == 1)[0].y'}", "(raw", "expression", `"raw" is something else around this`, ""},
		{"element by a reserved name", "in: raw.notes, as: n,", "in: raw.notes, as: raw,", "", "wrong-value", `"raw" cannot name an element`, ""},
		{"attribute set dotted and nested", "      src_endpoint.port: raw.port", "      src_endpoint: {ip: raw.other}", "ip", "duplicate-key", "src_endpoint.ip is set twice, first on line", ""},
		{"zone of an expression", "time: raw.at", "time: inZone(raw.at, \"Tokyo\")", "(raw", "expression", `no time zone "Tokyo"`, ""},
		{"layout without a day", "time: raw.at", "time: timeAs(raw.at, \"15:04\")", "(raw", "expression", `"15:04" is no layout`, ""},
		{"tables of a file that is not there", "      status: tables.outcome[raw.result]", "      status: tables.method[raw.result].factor_type", ".method", "expression", `no table "method"`, `did you mean "methods"?`},
		{"YAML", "zone: UTC", "zone: {", "", "syntax", "", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			if strings.Count(good, c.old) != 1 {
				t.Fatalf("%q is not once in the good file", c.old)
			}
			before, _, _ := strings.Cut(good, c.old)
			_, problems := check(t, strings.Replace(good, c.old, c.new, 1), shared, other)
			line := strings.Count(before, "\n") + 1
			for _, p := range problems {
				if p.Code != c.code || !strings.Contains(p.Message, c.message) || !strings.Contains(p.Suggestion, c.suggestion) {
					continue
				}
				page.add(c.name, c.new, p)
				if p.File != "a.yaml" || p.Line == 0 {
					t.Errorf("%s has no place", p)
				}
				if c.at != "" {
					start := before[strings.LastIndexByte(before, '\n')+1:]
					if want := len(start) + strings.Index(c.new, c.at) + 1; p.Line != line || p.Column != want {
						t.Errorf("%s: want %d:%d", p, line, want)
					}
				}
				return
			}
			t.Errorf("not found: %s %q %q; found:\n%v", c.code, c.message, c.suggestion, problems)
		})
	}
	page.check(t)
}

// A mistakesPage is docs/mappings-mistakes.md: what TestMistakes tries, for
// people.
type mistakesPage struct{ rows []string }

func (p *mistakesPage) add(name, written string, said mapping.Problem) {
	written = strings.TrimPrefix(written, "  - class: base_event")
	var lines []string
	for _, l := range strings.Split(written, "\n") {
		if l = strings.TrimSpace(l); l != "" && l != "- class: base_event" {
			lines = append(lines, "`"+strings.ReplaceAll(l, "|", "\\|")+"`")
		}
	}
	p.rows = append(p.rows, fmt.Sprintf("| %d | %s | %s | %s |", len(p.rows)+1, name, strings.Join(lines, "<br>"), strings.ReplaceAll(said.String(), "|", "\\|")))
}

func (p *mistakesPage) check(t *testing.T) {
	const name = "../../docs/mappings-mistakes.md"
	text := `# Mistakes in mappings, and what the check says

Each of these stands in place of a line of a file that is right, in ` + "`ocsf/mapping/check_test.go`" + `, and this is what ` + "`nagare mappings check`" + `
says of it: file, line, column, what is wrong, and what was meant where that can be told. All mistakes of all files are reported at once.
` + "`go test ./ocsf/mapping -run TestMistakes -update`" + ` writes this page.

| | mistake | written | said |
|---|---|---|---|
` + strings.Join(p.rows, "\n") + "\n"
	if *update {
		if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
			t.Error(err)
		}
		return
	}
	if old, err := os.ReadFile(name); err != nil || string(old) != text {
		t.Errorf("%s is not what the check says now: run with -update, and read the difference (%v)", name, err)
	}
}

// One pass names every mistake of every file.
func TestAllMistakesAtOnce(t *testing.T) {
	_, problems := check(t, `source: t
products: {p: {vendor_name: V, name: N}}
tim: raw.at
events:
  - when: raw.kind == nope
    class: authentication
    activity: Login
    set:
      usr: {uid: raw.user}
      severity: "'Hi'"
      time: raw.at +
`, mapping.File{Name: "b.yaml", Data: []byte("source: u\nevents: [{class: nothing}]\n")})
	var got []string
	for _, p := range problems {
		got = append(got, fmt.Sprintf("%s:%d %s", p.File, p.Line, p.Code))
	}
	want := []string{
		"a.yaml:3 unknown-key", "a.yaml:5 expression", "a.yaml:6 missing-attribute", "a.yaml:6 missing-attribute", "a.yaml:7 unknown-activity",
		"a.yaml:9 unknown-attribute", "a.yaml:10 wrong-enum", "a.yaml:11 expression", "b.yaml:1 missing-key", "b.yaml:2 unknown-class",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s\n%v", diff, problems)
	}
}

func FuzzLoad(f *testing.F) {
	f.Add("source: t\nproducts: {p: {vendor_name: V, name: N}}\nevents: [{class: base_event, set: {message: raw.a}}]\n")
	f.Add("tables: {a: {b: 1, c: [1, x], d: {e: f}}}\n")
	f.Add("source: t\nevents:\n  - {when: 'has(raw.a[\"b\"])', class: 3002, activity: 1, each: [{path: x, in: raw, as: t, set: {}}]}\n")
	f.Add("a: &a {b: *a}\n<<: *a")
	f.Add("source: t\nevents: &e\n  - *e")
	f.Add(mergeBomb("{<<: [", "]}"))
	f.Add(clauseBomb(16))
	f.Add(boundsHead + "events:\n- class: base_event\n  set: &s\n    <<: *s\n    message: raw.m\n")
	f.Add(boundsHead + "events: [{class: base_event}]\n---\nsource: u\n")
	f.Fuzz(func(t *testing.T, text string) {
		if len(text) > 4096 {
			return
		}
		inTime(t, func() { check(t, text) })
	})
}
