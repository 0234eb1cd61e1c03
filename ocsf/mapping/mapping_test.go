package mapping_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"nagare"
	"nagare/ocsf"
	"nagare/ocsf/mapping"
)

var received = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// loadText loads one mapping file; it must have no problem.
func loadText(t testing.TB, text string, more ...mapping.File) *mapping.Set {
	t.Helper()
	set, problems := check(t, text, more...)
	for _, p := range problems {
		t.Errorf("%s", p)
	}
	if t.Failed() {
		t.FailNow()
	}
	return set
}

// schema is loaded once: it never changes.
var schema = sync.OnceValues(func() (*ocsf.Schema, error) { return ocsf.Load(ocsf.Version) })

func check(t testing.TB, text string, more ...mapping.File) (*mapping.Set, []mapping.Problem) {
	t.Helper()
	s, err := schema()
	if err != nil {
		t.Fatal(err)
	}
	layouts := ocsf.NewLayouts(s)
	set, problems := mapping.Load(layouts, append(more, mapping.File{Name: "a.yaml", Data: []byte(text)}))
	layouts.Freeze()
	return set, problems
}

// normalize maps one body and returns the event as a map, after checking that
// it is valid.
func normalize(t testing.TB, set *mapping.Set, body string) map[string]any {
	t.Helper()
	out, err := tryNormalize(t, set, body, nil)
	if err != nil {
		t.Fatalf("%s: %v", body, err)
	}
	return out
}

func tryNormalize(t testing.TB, set *mapping.Set, body string, sc *mapping.Scratch) (map[string]any, error) {
	t.Helper()
	if sc == nil {
		sc = &mapping.Scratch{}
	}
	m, ok := set.Source(set.Sources()[0])
	if !ok {
		t.Fatal("no mapping")
	}
	var e ocsf.Event
	ev := &nagare.Event{Source: m.Name, UID: "uid-1", Auth: "pass", Received: received, Body: []byte(body)}
	if err := m.Normalize(ev, &e, sc); err != nil {
		return nil, err
	}
	for _, p := range ocsf.Validate(&e, nil) {
		t.Errorf("%s: not valid: %s", body, p)
	}
	var out map[string]any
	text := e.AppendJSON(nil)
	if err := json.Unmarshal(text, &out); err != nil {
		t.Fatalf("%s became %s: %v", body, text, err)
	}
	return out, nil
}

// at is the value at a path, in JSON; "" if there is none.
func at(v any, path ...any) string {
	for _, p := range path {
		switch p := p.(type) {
		case string:
			m, _ := v.(map[string]any)
			v = m[p]
		case int:
			l, _ := v.([]any)
			if p >= len(l) {
				return ""
			}
			v = l[p]
		}
	}
	if v == nil {
		return ""
	}
	b, _ := json.Marshal(v)
	return string(b)
}

// file is a mapping of base events with these attributes.
func file(set string) string {
	return "source: t\nproducts: {p: {vendor_name: V, name: N}}\nuid: raw.id\ntime: raw.at\nevents:\n  - class: base_event\n    set:\n" + indent(set, 6)
}

func indent(s string, n int) string {
	pad := strings.Repeat(" ", n)
	return pad + strings.ReplaceAll(strings.TrimSpace(s), "\n", "\n"+pad) + "\n"
}

func TestValues(t *testing.T) {
	const f = `
message: raw.message
severity: raw.severity
status_code: raw.code
count: raw.count
duration: raw.duration
start_time: raw.start
end_time: raw.end
raw_data: raw.list[1].x
metadata.labels: raw.labels
metadata.log_name: 'raw.?a.?b.orValue("none")'
metadata.log_version: 'raw.kind == "x" ? "is x" : "is not x"'
metadata.log_provider: raw.many.filter(m, m.k == "b")[0].v
metadata.sequence: raw.seq
metadata.event_code: meta.source + "/" + raw.kind`
	set := loadText(t, file(f))
	for _, c := range []struct {
		name, body string
		path       []any
		want       string
	}{
		{"text", `{"message":"hé \"x\" \u3042"}`, []any{"message"}, `"hé \"x\" あ"`},
		{"number as text, digit for digit", `{"code":12345678901234567890123}`, []any{"status_code"}, `"12345678901234567890123"`},
		{"float as text", `{"code":1.50}`, []any{"status_code"}, `"1.50"`},
		{"bool as text", `{"code":true}`, []any{"status_code"}, `"true"`},
		{"object is no text", `{"code":{"a":1}}`, []any{"status_code"}, ``},
		{"object is no text, and is kept", `{"code":{"a":1}}`, []any{"unmapped"}, `{"code.a":"1"}`},
		{"null is absent", `{"message":null}`, []any{"message"}, ``},
		{"null is not kept", `{"message":null}`, []any{"unmapped"}, ``},
		{"empty text is no value", `{"message":""}`, []any{"message"}, ``},
		{"empty text is kept", `{"message":""}`, []any{"unmapped"}, `{"message":""}`},
		{"text as int", `{"count":"17"}`, []any{"count"}, `17`},
		{"float that is whole", `{"count":17.0}`, []any{"count"}, `17`},
		{"fraction is no int", `{"count":17.5}`, []any{"unmapped"}, `{"count":"17.5"}`},
		{"too large for 32 bits", `{"count":4294967296}`, []any{"unmapped"}, `{"count":"4294967296"}`},
		{"64 bits exact", `{"duration":9007199254740993}`, []any{"duration"}, `9007199254740992`}, // as encoding/json reads it here
		{"word is no int", `{"count":"many"}`, []any{"unmapped"}, `{"count":"many"}`},
		{"enum by caption", `{"severity":"high"}`, []any{"severity_id"}, `4`},
		{"enum by id", `{"severity":2}`, []any{"severity"}, `"Low"`},
		{"enum unknown", `{"severity":"P1"}`, []any{"severity_id"}, `99`},
		{"enum unknown keeps its text", `{"severity":"P1"}`, []any{"severity"}, `"P1"`},
		{"coalesce: there", `{"a":{"b":"y"}}`, []any{"metadata", "log_name"}, `"y"`},
		{"coalesce: parent absent", `{}`, []any{"metadata", "log_name"}, `"none"`},
		{"coalesce: null", `{"a":{"b":null}}`, []any{"metadata", "log_name"}, `"none"`},
		{"if", `{"kind":"x"}`, []any{"metadata", "log_version"}, `"is x"`},
		{"if not", `{"kind":"y"}`, []any{"metadata", "log_version"}, `"is not x"`},
		{"if of what is absent", `{}`, []any{"metadata", "log_version"}, ``},
		{"index", `{"list":[{"x":1},{"x":"two"}]}`, []any{"raw_data"}, `"two"`},
		{"index out of bounds", `{"list":[{"x":1}]}`, []any{"raw_data"}, ``},
		{"filter", `{"many":[{"k":"a","v":1},{"k":"b","v":"found"}]}`, []any{"metadata", "log_provider"}, `"found"`},
		{"filter leaves the rest", `{"many":[{"k":"a","v":1},{"k":"b","v":"found"}]}`, []any{"unmapped"}, `{"many[0].k":"a","many[0].v":"1","many[1].k":"b"}`},
		{"list of texts", `{"labels":["a","b"]}`, []any{"metadata", "labels", 1}, `"b"`},
		{"one text for a list", `{"labels":"a"}`, []any{"metadata", "labels", 0}, `"a"`},
		{"program", `{"kind":"x"}`, []any{"metadata", "event_code"}, `"t/x"`},
		{"program with what is absent", `{}`, []any{"metadata", "event_code"}, ``},
		{"duplicate keys: last wins", `{"message":"a","message":"b"}`, []any{"message"}, `"b"`},
		{"duplicate objects: last wins", `{"a":{"b":"y"},"a":{"c":1}}`, []any{"metadata", "log_name"}, `"none"`},
		{"lone surrogate", `{"message":"a\ud800b"}`, []any{"message"}, `"a` + "\ufffd" + `b"`},
		{"not UTF-8", "{\"message\":\"a\xffb\"}", []any{"message"}, `"a` + "\ufffd" + `b"`},
		{"surrogate pair", `{"message":"\ud83d\ude00"}`, []any{"message"}, `"😀"`},
		{"NUL", `{"message":"a\u0000b"}`, []any{"message"}, `"a\u0000b"`},
	} {
		t.Run(c.name, func(t *testing.T) {
			out := normalize(t, set, c.body)
			if got := at(out, c.path...); got != c.want {
				t.Errorf("%s: got %s, want %s", c.body, got, c.want)
			}
		})
	}
}

func TestUnmappedOfNothing(t *testing.T) {
	set := loadText(t, file("message: raw.message"))
	if out := normalize(t, set, `{"message":"x","id":"uid-1","at":"2026-01-02T03:04:05Z"}`); out["unmapped"] != nil {
		t.Errorf("unmapped is %v", out["unmapped"])
	}
}

func TestEach(t *testing.T) {
	set := loadText(t, `
source: t
products: {p: {vendor_name: V, name: N}}
tables: {kind: {u: User, g: Group}}
events:
  - class: detection_finding
    activity: Create
    set:
      finding_info: {uid: raw.id, title: "'t'"}
      evidences:
        - data: raw.e
        - actor: {user: {name: raw.who}}
    each:
      - {path: resources, in: raw.list, as: t, when: t.type != "skip", set: {uid: t.id, type: 'tables.kind[t.type]', owner: {name: t.by.name}, data: t.more}}
      - {path: resources, in: 'json(raw.text).list', as: x, set: {uid: x.id}}
`)
	out := normalize(t, set, `{"id":"f","who":"sato","e":{"a": 1},"text":"{\"list\":[{\"id\":\"j1\"},{\"id\":\"j2\"}]}",
	 "list":[{"id":1,"type":"u","by":{"name":"n1","x":2},"more":[1, 2]},{"id":2,"type":"skip"},null,{"id":3,"type":"?"},{"by":{}}]}`)
	want := `[{"data":[1,2],"owner":{"name":"n1"},"type":"User","uid":"1"},{"uid":"3"},{"uid":"j1"},{"uid":"j2"}]`
	if diff := cmp.Diff(want, at(out, "resources")); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(`[{"data":{"a":1}},{"actor":{"user":{"name":"sato"}}}]`, at(out, "evidences")); diff != "" {
		t.Error(diff)
	}
	want = `{"list[0].by.x":"2","list[1].id":"2","list[1].type":"skip","list[3].type":"?","list[4].by":"{}","text":"{\"list\":[{\"id\":\"j1\"},{\"id\":\"j2\"}]}"}`
	if diff := cmp.Diff(want, at(out, "unmapped")); diff != "" {
		t.Error(diff)
	}
}

// An object that lacks what the schema requires of it is left out, its fields
// go to unmapped; an entry that lacks what its class requires gives way.
func TestIncompleteObjects(t *testing.T) {
	set := loadText(t, `
source: t
products: {p: {vendor_name: V, name: N}}
events:
  - when: raw.kind == "login"
    class: authentication
    activity: Logon
    set:
      user: {uid: raw.user.id, email_addr: raw.user.mail}
      service: {name: raw.app}
      src_endpoint: {location: {lat: raw.lat, city: raw.city}, ip: raw.ip}
  - class: base_event
    set: {message: raw.kind}
`)
	sc := &mapping.Scratch{}
	for _, c := range []struct{ body, class, user, unmapped string }{
		{`{"kind":"login","user":{"id":"1","mail":"a@example.com"},"app":"x"}`, `"Authentication"`, `{"email_addr":"a@example.com","type_id":0}`, `{"kind":"login"}`},
		{`{"kind":"login","user":{"mail":"a@example.com"},"app":"x"}`, `"Base Event"`, ``, `{"app":"x","user.mail":"a@example.com"}`},
		{`{"kind":"login","user":{"id":"1"},"app":"x","lat":1.5,"ip":"192.0.2.1"}`, `"Authentication"`, ``, `{"kind":"login","lat":"1.5"}`},
	} {
		out, err := tryNormalize(t, set, c.body, sc)
		if err != nil {
			t.Fatal(err)
		}
		if got := at(out, "class_name"); got != c.class {
			t.Errorf("%s: class %s, want %s", c.body, got, c.class)
		}
		if got := at(out, "unmapped"); got != c.unmapped {
			t.Errorf("%s: unmapped %s, want %s", c.body, got, c.unmapped)
		}
	}
	st := sc.Stats("t")
	if st.FellThrough != 1 || st.Dropped < 1 || st.LastResort != 1 {
		t.Errorf("fell through %d, dropped %d, last resort %d", st.FellThrough, st.Dropped, st.LastResort)
	}
}

func TestDead(t *testing.T) {
	set := loadText(t, `
source: t
products: {p: {vendor_name: V, name: N}}
events:
  - {when: raw.kind == "x", class: base_event}
  - {when: raw.kind == "y", class: authentication, activity: Logon, set: {user.name: raw.user, service.name: "'s'"}}
`)
	sc := &mapping.Scratch{}
	for body, want := range map[string]string{
		`[1]`: mapping.NotAnEvent, `"x"`: mapping.NotAnEvent, `null`: mapping.NotAnEvent, ``: mapping.NotAnEvent, `{"kind":`: mapping.NotAnEvent,
		strings.Repeat(`{"a":`, 70) + "1" + strings.Repeat("}", 70): mapping.NotAnEvent,
		`{"kind":"z"}`: mapping.NoMapping, `{}`: mapping.NoMapping,
	} {
		_, err := tryNormalize(t, set, body, sc)
		var dead *mapping.Dead
		if !errors.As(err, &dead) || dead.Reason != want {
			t.Errorf("%.40s: got %v, want %s", body, err, want)
		}
	}
	if diff := cmp.Diff(map[string]int64{mapping.NotAnEvent: 6, mapping.NoMapping: 2}, sc.Stats("t").Dead); diff != "" {
		t.Error(diff)
	}
}

// An event that entries match and none can take becomes a base event, with
// what the first of them made of its type, message and severity.
func TestIncomplete(t *testing.T) {
	set := loadText(t, `
source: t
products: {p: {vendor_name: V, name: N}, q: {vendor_name: V, name: Q}}
events:
  - when: raw.kind == "y" && has(raw.text)
    product: q
    class: authentication
    activity: Logon
    set: {user.name: raw.user, service.name: "'s'", metadata.event_code: raw.kind, message: raw.text, severity: "'High'"}
  - {when: raw.kind == "y", product: p, class: account_change, activity: Create, set: {user.name: raw.user}}
`)
	sc := &mapping.Scratch{}
	out, err := tryNormalize(t, set, `{"kind":"y","text":"in","user":{"name":"sato"},"n":1}`, sc)
	if err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		"class_name": `"Base Event"`, "metadata.event_code": `"y"`, "message": `"in"`, "severity_id": `4`, "metadata.product.name": `"Q"`,
		"metadata.labels": `["time_suspect","incomplete"]`, "unmapped": `{"kind":"y","n":"1","text":"in","user.name":"sato"}`,
	} {
		var steps []any
		for _, p := range strings.Split(path, ".") {
			steps = append(steps, p)
		}
		if got := at(out, steps...); got != want {
			t.Errorf("%s is %s, want %s", path, got, want)
		}
	}
	if st := sc.Stats("t"); st.Incomplete != 1 || st.FellThrough != 0 || st.LastResort != 0 || len(st.Dead) != 0 {
		t.Errorf("%+v", st)
	}
}

// Times of which neither form nor zone can be told say so in the mapping.
func TestTimeFunctions(t *testing.T) {
	text := strings.Replace(file(`start_time: inZone(raw.s, "Asia/Tokyo")
end_time: 'timeAs(raw.us, "1/2/2006, 3:04:05 PM")'
metadata.processed_time: timeAs(raw.eu, "2/1/2006 15:04", "Europe/Berlin")
metadata.modified_time: '[raw.list].map(x, inZone(x, "Asia/Tokyo"))[0]'`), "source: t", "source: t\nzone: America/New_York", 1)
	set := loadText(t, text)
	sc := &mapping.Scratch{}
	one := func(body string) map[string]any {
		t.Helper()
		out, err := tryNormalize(t, set, body, sc)
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	out := one(`{"s":"2026-07-03 10:02","us":"6/4/2021, 4:00:37.371 PM","eu":"4.6.2021 16:00","list":"2026/7/3 10:02"}`)
	for path, want := range map[string]string{"start_time": "1783040520000", "end_time": "1622836837371", "metadata.modified_time": "1783040520000", "unmapped.eu": `"4.6.2021 16:00"`} {
		var steps []any
		for _, p := range strings.Split(path, ".") {
			steps = append(steps, p)
		}
		if got := at(out, steps...); got != want {
			t.Errorf("%s is %s, want %s", path, got, want)
		}
	}
	if st := sc.Stats("t"); st.ByAttribute.Map()["metadata.processed_time"] != 1 {
		t.Errorf("unconverted: %v", st.ByAttribute.Map())
	}
	// The configuration may know better than the file.
	tokyo, err := time.LoadLocation("Asia/Tokyo")
	if err != nil {
		t.Fatal(err)
	}
	set.SetZone("t", tokyo)
	if got := at(one(`{"us":"7/3/2026, 10:02:00 AM"}`), "end_time"); got != "1783040520000" {
		t.Errorf("with another zone it is %s", got)
	}
	for _, text := range []string{`inZone(raw.a, raw.zone)`, `inZone(raw.a, "Tokyo")`, `inZone(raw.a, "Local")`, `timeAs(raw.a, "soon")`, `timeAs(raw.a, "15:04")`, `timeAs(raw.a, "2006-01-02", "here")`} {
		if _, problems := check(t, file("start_time: '"+text+"'")); len(problems) == 0 {
			t.Errorf("%s has no problem", text)
		}
	}
}

func TestTime(t *testing.T) {
	set := loadText(t, strings.Replace(file("start_time: raw.s\nend_time: seconds(raw.sec)"), "source: t", "source: t\nzone: Asia/Tokyo", 1))
	for _, c := range []struct {
		body, time, original string
		suspect              bool
	}{
		{`{"at":"2026-01-02T03:00:00Z"}`, `1767322800000`, `"2026-01-02T03:00:00Z"`, false},
		{`{"at":"2026-01-02T03:00:00.123456789+00:00"}`, `1767322800123`, `"2026-01-02T03:00:00.123456789+00:00"`, false},
		{`{"at":"2026-01-02 12:00:00"}`, `1767322800000`, `"2026-01-02 12:00:00"`, false}, // Tokyo
		{`{"at":1767322800}`, `1767322800000`, `"1767322800"`, false},
		{`{"at":1767322800123}`, `1767322800123`, `"1767322800123"`, false},
		{`{"at":"1767322800123456"}`, `1767322800123`, `"1767322800123456"`, false},
		{`{"at":"soon"}`, `1767323045000`, `"soon"`, true},
		{`{}`, `1767323045000`, ``, true},
		{`{"at":null}`, `1767323045000`, ``, true},
		{`{"at":"0001-01-01T00:00:00"}`, `1767323045000`, `"0001-01-01T00:00:00"`, true},
		{`{"at":"1999-12-31T23:59:59Z"}`, `946684799000`, `"1999-12-31T23:59:59Z"`, true},
		{`{"at":"2026-01-02T04:04:05Z"}`, `1767326645000`, `"2026-01-02T04:04:05Z"`, false}, // just an hour ahead
		{`{"at":"2026-01-02T04:04:06Z"}`, `1767326646000`, `"2026-01-02T04:04:06Z"`, true},
		{`{"at":"2021-01-01T00:00:00Z"}`, `1609459200000`, `"2021-01-01T00:00:00Z"`, false}, // late is not suspect
	} {
		out := normalize(t, set, c.body)
		if got := fmt.Sprintf("%.0f", out["time"]); got != c.time {
			t.Errorf("%s: time %s, want %s", c.body, got, c.time)
		}
		if got := at(out, "metadata", "original_time"); got != c.original {
			t.Errorf("%s: original_time %s, want %s", c.body, got, c.original)
		}
		if got := strings.Contains(at(out, "metadata", "labels"), "time_suspect"); got != c.suspect {
			t.Errorf("%s: suspect %v, want %v", c.body, got, c.suspect)
		}
	}
}

func TestUnmappedIsBounded(t *testing.T) {
	set := loadText(t, file("message: raw.message"))
	var b strings.Builder
	fmt.Fprintf(&b, `{"big":%q`, strings.Repeat("é", 60_000))
	for i := range 3000 {
		fmt.Fprintf(&b, `,"k%d":%d`, i, i)
	}
	b.WriteString("}")
	out := normalize(t, set, b.String())
	u := out["unmapped"].(map[string]any)
	if len(u) != 1001 || u["nagare.truncated"] != "2001 more fields, 1 cut at 64 KiB" {
		t.Errorf("%d pairs, truncated says %v", len(u), u["nagare.truncated"])
	}
	if n := len(u["big"].(string)); n > 64<<10 || n < 64<<10-4 {
		t.Errorf("a value of %d bytes was kept", n)
	}
}

// What a mapping makes of one event must not depend on the events before it.
func TestScratchKeepsNothing(t *testing.T) {
	set := okta(t)
	m, _ := set.Source("okta")
	var used mapping.Scratch
	var out ocsf.Event
	bodies := [][]byte{signIn(t), []byte(`{"eventType":"user.session.start","actor":{"id":"1"}}`), []byte(`{"eventType":"x"}`), []byte(`[]`)}
	for i := range 12 {
		body := bodies[i%len(bodies)]
		ev := &nagare.Event{Source: "okta", UID: "u", Received: received, Body: body}
		var fresh mapping.Scratch
		var want ocsf.Event
		wantErr := m.Normalize(ev, &want, &fresh)
		err := m.Normalize(ev, &out, &used)
		if (err == nil) != (wantErr == nil) {
			t.Fatalf("%d: %v, with a fresh scratch %v", i, err, wantErr)
		}
		if err != nil {
			continue
		}
		if diff := cmp.Diff(string(want.AppendJSON(nil)), string(out.AppendJSON(nil))); diff != "" {
			t.Errorf("%d: %s", i, diff)
		}
	}
}

// An object that is left out gives all of its fields back, those of the rows
// in it too.
func TestRowsOfAnObjectThatIsLeftOut(t *testing.T) {
	set := loadText(t, `
source: t
products: {p: {vendor_name: V, name: N}}
time: raw.at
events:
  - class: detection_finding
    activity: Create
    set:
      finding_info: {uid: "'u'", title: "'t'"}
    each:
      path: evidences
      in: raw.list
      as: x
      set:
        file:
          name: x.name
          type: "'Regular File'"
          signature:
            algorithm: "'Authenticode'"
            certificate: {subject: x.subject, issuer: x.issuer, serial_number: x.serial, fingerprints: [{algorithm: "'SHA-1'", value: x.print}]}
`)
	out := normalize(t, set, `{"at":"2026-07-03T00:00:00Z","list":[{"name":"a","subject":"s","issuer":"i","serial":"1","print":"p1"},{"name":"b","subject":"s","print":"p2"}]}`)
	if got := get(out, "unmapped"); got != `{"list[1].print":"p2","list[1].subject":"s"}` {
		t.Errorf("unmapped is %s", got)
	}
	if got := get(out, "evidences.0.file.signature.certificate.fingerprints.0.value"); got != `"p1"` {
		t.Errorf("the fingerprint is %s", got)
	}
}

// What stands in a set itself goes before what << brings in, path by path,
// dotted or nested, and of several merges the first goes first.
func TestMerges(t *testing.T) {
	set := loadText(t, `
source: t
products: {p: {vendor_name: V, name: N}}
time: raw.at
events:
  - when: raw.kind == "one"
    class: authentication
    activity: Logon
    set: &common
      user: {name: raw.a, uid: raw.b}
      service.name: "'common'"
      status: "'Success'"
      auth_factors: [{factor_type: "'Password'"}]
  - class: authentication
    activity: Logon
    set:
      <<: [{service: {name: "'first'"}, message: "'first'"}, *common]
      user.name: raw.c
      status_id: 2
      auth_factors: [{factor_type: "'OTP'"}]
`)
	out := normalize(t, set, `{"at":"2026-07-03T00:00:00Z","a":"a","b":"b","c":"c"}`)
	for path, want := range map[string]string{
		"user": `{"name":"c","uid":"b"}`, "service.name": `"first"`, "message": `"first"`, "status": `"Failure"`, "auth_factors.0.factor_type": `"OTP"`, "auth_factors.1": "",
	} {
		if got := get(out, path); got != want {
			t.Errorf("%s is %s, want %s", path, got, want)
		}
	}
}

// TestEachOverOne holds that a single object is a list of one, and that a list
// found by orValue has the same elements.
func TestEachOverOne(t *testing.T) {
	set := loadText(t, `
source: a
products: {a: {vendor_name: V, name: N}}
events:
  - class: detection_finding
    activity: Create
    set: {finding_info: {uid: raw.id, title: raw.id}}
    each: {path: resources, in: raw.?things.orValue(raw.others), as: x, set: {uid: x.id, name: x.by.name}}
`)
	for _, body := range []string{
		`{"id":"f","things":{"id":"r","by":{"name":"sato"}}}`, `{"id":"f","things":[{"id":"r","by":{"name":"sato"}}]}`,
		`{"id":"f","others":{"id":"r","by":{"name":"sato"}}}`, `{"id":"f","others":[{"id":"r","by":{"name":"sato"}}]}`,
	} {
		got := normalize(t, set, body)
		if r, _ := json.Marshal(got["resources"]); string(r) != `[{"name":"sato","uid":"r"}]` {
			t.Errorf("%s: resources %s, unmapped %v", body, r, got["unmapped"])
		}
	}
}

// TestUsedTwice holds that a field that one attribute has does not go to
// unmapped because an object that had it too was left out.
func TestUsedTwice(t *testing.T) {
	set := loadText(t, `
source: a
products: {a: {vendor_name: V, name: N}}
events:
  - class: detection_finding
    activity: Create
    set:
      finding_info: {uid: raw.id, title: raw.id}
      message: raw.region
      cloud: {region: raw.region, provider: raw.provider}
      resources: [{region: raw.region, uid: raw.uid}]
`)
	got := normalize(t, set, `{"id":"f","region":"ap-northeast-1"}`)
	if got["unmapped"] != nil || got["message"] != "ap-northeast-1" || got["cloud"] != nil {
		t.Errorf("%v", got)
	}
}

// TestUnknown holds that an entry that takes every type says which it does not
// know, and that what an entry counted that gave way does not count.
func TestUnknown(t *testing.T) {
	set := loadText(t, `
source: t
products: {t: {vendor_name: V, name: N}}
time: raw.at
include: [more.yaml]
tables: {kind: {login: known, logout: known}}
events:
  - when: raw.who == "nobody"
    class: authentication
    activity: Logon
    set: {user: {uid: raw.user}, service.name: "'T'", src_endpoint: {ip: raw.ip, port: raw.port}}
  - class: api_activity
    activity: tables.verb[raw.type].orValue("Other")
    unknown: tables.kind[raw.type].orValue("") == ""
    set:
      metadata.event_code: raw.type
      api.operation: raw.type
      actor.invoked_by: "'T'"
      src_endpoint.name: "'T'"
`, mapping.File{Name: "more.yaml", Data: []byte("tables: {verb: {login: Read}}\n")})
	var sc mapping.Scratch
	for _, body := range []string{
		`{"type":"login","at":"2026-01-01T00:00:00Z"}`, `{"type":"brand_new","at":"2026-01-01T00:00:00Z"}`, `{"type":"login","who":"nobody","port":"none"}`,
	} {
		if _, err := tryNormalize(t, set, body, &sc); err != nil {
			t.Errorf("%s: %v", body, err)
		}
	}
	st := sc.Stats("t")
	if st.LastResort != 0 || st.Unknown.Map()["brand_new"] != 1 {
		t.Errorf("last resort %d, unknown %v", st.LastResort, st.Unknown.Map())
	}
	if st.Unconverted != 0 || st.TimeSuspect != 1 {
		t.Errorf("unconverted %d, time suspect %d: of an entry that gave way", st.Unconverted, st.TimeSuspect)
	}
}

// TestNullInSplit holds that a null among the events of a delivery is not lost.
func TestNullInSplit(t *testing.T) {
	set := loadText(t, `
source: t
products: {t: {vendor_name: V, name: N}}
split: raw.list
events: [{class: base_event, set: {message: raw.m}}]
`)
	events, err := set.Head(mapping.Options{}).Split("t", []byte(`{"list":[{"m":1},null,5]}`), mapping.HeadMeta{})
	if err != nil || len(events) != 3 || string(events[1].Body) != "null" {
		t.Errorf("%v %v", events, err)
	}
}
