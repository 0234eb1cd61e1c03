package mapping_test

import (
	"bytes"
	"fmt"
	"io/fs"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"nagare"
	"nagare/ocsf"
	"nagare/ocsf/mapping"
	"nagare/ocsf/mappings"
)

// get is the value at a dotted path, as JSON; a number is an element. Names
// with dots are found as they are.
func get(v any, path string) string {
	if m, ok := v.(map[string]any); ok {
		if _, ok := m[path]; ok {
			return at(v, path)
		}
		for i, c := range path {
			if c == '.' {
				if sub, ok := m[path[:i]]; ok {
					return get(sub, path[i+1:])
				}
			}
		}
		return ""
	}
	if l, ok := v.([]any); ok {
		first, rest, deeper := strings.Cut(path, ".")
		var n int
		if _, err := fmt.Sscan(first, &n); err != nil || n >= len(l) {
			return ""
		}
		if !deeper {
			return at(v, n)
		}
		return get(l[n], rest)
	}
	return ""
}

// What is hard about real sources, trap by trap: the shapes are those that
// they send, the contents are made up. want holds paths and what is there, ""
// for nothing.
func TestTraps(t *testing.T) {
	type want map[string]string
	for _, c := range []struct {
		trap, set string
		body      string
		want      want
	}{
		// JSON in a string.
		{"JSON in a string", `message: json(raw.AdditionalFields).Reason`, `{"AdditionalFields":"{\"Reason\":\"risk\",\"n\":1}"}`, want{"message": `"risk"`, "unmapped.AdditionalFields": `"{\"Reason\":\"risk\",\"n\":1}"`}},
		{"the same as an object", `message: json(raw.AdditionalFields).Reason`, `{"AdditionalFields":{"Reason":"risk","n":1}}`, want{"message": `"risk"`, "unmapped.AdditionalFields.n": `"1"`}},
		{"the same as null", `message: json(raw.AdditionalFields).Reason`, `{"AdditionalFields":null}`, want{"message": "", "unmapped": ""}},
		{"the same as the text null", `message: json(raw.AdditionalFields).Reason`, `{"AdditionalFields":"null"}`, want{"message": "", "unmapped.AdditionalFields": `"null"`}},
		{"the same empty", `message: json(raw.AdditionalFields).Reason`, `{"AdditionalFields":""}`, want{"message": ""}},
		{"a list in a string", `metadata.labels: json(raw.Categories)`, `{"Categories":"[\"InitialAccess\",\"CredentialAccess\"]"}`, want{"metadata.labels.0": `"InitialAccess"`, "metadata.labels.1": `"CredentialAccess"`}},
		{"old and new values, each JSON in a string", `enrichments: [{name: "'change'", value: 'json(raw.newValue)[0]', data: json(raw.newValue)}]`, `{"newValue":"[\"true\"]"}`, want{"enrichments.0.value": `"true"`, "enrichments.0.data": `["true"]`}},
		{"three layers of JSON", `message: json(json(raw.Body).Message).mail.messageId`, `{"Body":"{\"Message\":\"{\\\"mail\\\":{\\\"messageId\\\":\\\"m-1\\\"}}\"}"}`, want{"message": `"m-1"`}},
		{"JSON in a string, cut off", `message: json(raw.Data).a`, `{"Data":"{\"a\":1"}`, want{"message": "", "unmapped.Data": `"{\"a\":1"`}},
		{"JSON in a string that is no JSON, for a JSON attribute", `enrichments: [{name: "'x'", value: "'y'", data: json(raw.Data)}]`, `{"Data":"see below"}`, want{"enrichments.0.data": `"see below"`}},

		// Looks like JSON, is not.
		{"a map of Java", `message: json(raw.risk).level`, `{"risk":"{reasons=Anomalous Location, level=MEDIUM}"}`, want{"message": "", "unmapped.risk": `"{reasons=Anomalous Location, level=MEDIUM}"`}},
		{"brackets around a user agent", `message: raw.userAgent`, `{"userAgent":"[S3Console/0.4, aws-internal/3]"}`, want{"message": `"[S3Console/0.4, aws-internal/3]"`}},
		{"a dict of Python", `message: json(raw.d).a`, `{"d":"{'a': None}"}`, want{"message": "", "unmapped.d": `"{'a': None}"`}},
		{"brackets around a name", `message: raw.displayName`, `{"displayName":"[Ext] Sato"}`, want{"message": `"[Ext] Sato"`}},

		// The same field, two types.
		{"a number", `count: raw.pid`, `{"pid":4242}`, want{"count": "4242"}},
		{"the number as text", `count: raw.pid`, `{"pid":"4242"}`, want{"count": "4242", "unmapped": ""}},
		{"the number as a float", `count: raw.pid`, `{"pid":4242.0}`, want{"count": "4242"}},
		{"a float where a whole number goes", `count: raw.pid`, `{"pid":42.5}`, want{"count": "", "unmapped.pid": `"42.5"`}},
		{"an exponent", `count: raw.pid`, `{"pid":4.2e3}`, want{"count": "4200"}},
		{"a boolean as text", `end_time: raw.no` + "\n" + `message: 'raw.readOnly == "true" ? "read" : "write"'`, `{"readOnly":"true"}`, want{"message": `"read"`}},
		{"true as text", `src_endpoint.ip: raw.ip` + "\n" + `is_remote: raw.b`, `{"b":"True"}`, want{"is_remote": "true", "unmapped": ""}},
		{"true as a number", `src_endpoint.ip: raw.ip` + "\n" + `is_remote: raw.b`, `{"b":1}`, want{"is_remote": "true"}},
		{"false as a word", `src_endpoint.ip: raw.ip` + "\n" + `is_remote: raw.b`, `{"b":"no"}`, want{"is_remote": "false"}},
		{"neither true nor false", `src_endpoint.ip: raw.ip` + "\n" + `is_remote: raw.b`, `{"b":"maybe"}`, want{"is_remote": "", "unmapped.b": `"maybe"`}},
		{"a boolean where a text goes", `message: raw.b`, `{"b":true}`, want{"message": `"true"`}},
		{"a port as a float", `src_endpoint: {ip: raw.ip, port: raw.p}`, `{"ip":"192.0.2.1","p":443.0}`, want{"src_endpoint.port": "443"}},
		{"a port that is none", `src_endpoint: {ip: raw.ip, port: raw.p}`, `{"ip":"192.0.2.1","p":70000}`, want{"src_endpoint": `{"ip":"192.0.2.1"}`, "unmapped.p": `"70000"`}},
		{"latitude as text", `src_endpoint.ip: raw.ip` + "\n" + `src_endpoint.location: {city: raw.city, coordinates: [raw.lon, raw.lat], country: raw.cc}`, `{"ip":"192.0.2.1","city":"Osaka","lat":"34.7","lon":135,"cc":"JP"}`, want{"src_endpoint.location.coordinates": `[135,34.7]`}},
		{"a code as a number", `metadata.event_code: raw.RecordType`, `{"RecordType":15}`, want{"metadata.event_code": `"15"`}},
		{"a code as text", `metadata.event_code: raw.RecordType`, `{"RecordType":"AzureActiveDirectoryStsLogon"}`, want{"metadata.event_code": `"AzureActiveDirectoryStsLogon"`}},
		{"latitude as a whole number", `message: string(raw.lat)`, `{"lat":35}`, want{"message": `"35"`}},
		{"a list of one as its element", `metadata.labels: raw.tags`, `{"tags":"a"}`, want{"metadata.labels": `["a"]`}},
		{"an object where a text goes", `message: raw.m`, `{"m":{"text":"hi"}}`, want{"message": "", "unmapped.m.text": `"hi"`}},

		// Integers beyond 2^53.
		{"beyond 2^53 as text", `message: raw.id`, `{"id":9007199254740993}`, want{"message": `"9007199254740993"`}},
		{"beyond 2^63 as text", `message: raw.id`, `{"id":18446744073709551617}`, want{"message": `"18446744073709551617"`}},
		{"beyond 2^53 in unmapped", `message: raw.x`, `{"EmailClusterId":9007199254740993,"neg":-9007199254740993}`, want{"unmapped.EmailClusterId": `"9007199254740993"`, "unmapped.neg": `"-9007199254740993"`}},
		{"beyond 2^53 as text in the source", `message: raw.uniqueQualifier`, `{"uniqueQualifier":"-9007199254740993"}`, want{"message": `"-9007199254740993"`}},
		{"beyond 2^53 in a condition", `message: 'raw.id == 9007199254740993 ? "this" : "the one before"'`, `{"id":9007199254740992}`, want{"message": `"the one before"`}},
		{"beyond 2^31 where 31 bits go", `count: raw.n`, `{"n":2147483648}`, want{"count": "", "unmapped.n": `"2147483648"`}},

		// Time.
		{"no fraction", `start_time: raw.at2`, `{"at2":"2026-07-03T01:02:03Z"}`, want{"start_time": "1783040523000"}},
		{"nine digits", `start_time: raw.at2`, `{"at2":"2026-07-03T01:02:03.123456789+00:00"}`, want{"start_time": "1783040523123"}},
		{"seconds", `start_time: raw.date_create`, `{"date_create":1783040523}`, want{"start_time": "1783040523000"}},
		{"milliseconds", `start_time: raw["@timestamp"]`, `{"@timestamp":1783040523123}`, want{"start_time": "1783040523123"}},
		{"milliseconds as a float", `start_time: raw.created_at`, `{"created_at":1783040523123.0}`, want{"start_time": "1783040523123"}},
		{"seconds as text", `start_time: raw.t`, `{"t":"1783040523"}`, want{"start_time": "1783040523000"}},
		{"microseconds", `start_time: raw.t`, `{"t":1783040523123456}`, want{"start_time": "1783040523123"}},
		{"the zero time is none", `start_time: raw.t`, `{"t":"0001-01-01T00:00:00"}`, want{"start_time": "", "unmapped.t": `"0001-01-01T00:00:00"`}},
		{"a malformed example", `start_time: raw.t`, `{"t":"2017-03-16T19:20:177Z"}`, want{"start_time": "", "unmapped.t": `"2017-03-16T19:20:177Z"`}},
		{"day and month are anybody's guess", `start_time: raw.t`, `{"t":"6/4/2021, 4:00:37.371 PM"}`, want{"start_time": "", "unmapped.t": `"6/4/2021, 4:00:37.371 PM"`}},
		{"unless the mapping says", `start_time: 'timeAs(raw.t, "1/2/2006, 3:04:05 PM")'`, `{"t":"6/4/2021, 4:00:37.371 PM"}`, want{"start_time": "1622822437371"}},
		{"an era", `start_time: inZone(raw.t, "Asia/Tokyo")`, `{"t":"令和8年7月3日 10:02"}`, want{"start_time": "1783040520000"}},
		{"local time with its zone's name", `start_time: raw.t`, `{"t":"2026年7月3日 10:02 JST"}`, want{"start_time": "1783040520000"}},
		{"a mail's date", `start_time: raw.t`, `{"t":"Fri, 3 Jul 2026 10:02:00 +0900"}`, want{"start_time": "1783040520000"}},
		{"a zone nobody knows", `start_time: raw.t`, `{"t":"Fri, 03 Jul 2026 10:02:00 XYZ"}`, want{"start_time": "", "unmapped.t": `"Fri, 03 Jul 2026 10:02:00 XYZ"`}},

		// Nulls.
		{"null", `message: raw.target`, `{"target":null}`, want{"message": "", "unmapped": ""}},
		{"null where an object was", `message: raw.target.name`, `{"target":null}`, want{"message": ""}},
		{"null in a list", `metadata.labels: raw.l`, `{"l":["a",null,"b"]}`, want{"metadata.labels": `["a","b"]`}},
		{"null for orValue", `message: raw.?a.orValue(raw.b)`, `{"a":null,"b":"x"}`, want{"message": `"x"`}},
		{"null for has", `message: 'has(raw.a) ? "there" : "not"'`, `{"a":null}`, want{"message": `"not"`}},
		{"an empty text", `message: raw.a`, `{"a":""}`, want{"message": ""}},
		{"a dash for an address", `message: raw.m` + "\n" + `src_endpoint.ip: raw.ip`, `{"ip":"-","m":"x"}`, want{"src_endpoint.ip": "", "unmapped.ip": `"-"`}},
		{"unknown is a caption", `severity: raw.s`, `{"s":"unknown"}`, want{"severity_id": "0"}},

		// Text.
		{"a space of no width", `message: raw.title`, `{"title":"Suspicious\u200b sign-in"}`, want{"message": "\"Suspicious\u200b sign-in\""}},
		{"half-width kana", `message: raw.title`, `{"title":"ｻﾄｳ ﾀﾛｳ"}`, want{"message": `"ｻﾄｳ ﾀﾛｳ"`}},
		{"NUL and other control characters", `message: raw.title`, `{"title":"a\u0000b\u001b[2J"}`, want{"message": `"a\u0000b\u001b[2J"`}},
		{"half a surrogate pair", `message: raw.title`, `{"title":"a\ud83db"}`, want{"message": "\"a\ufffdb\""}},
		{"a surrogate pair", `message: raw.title`, `{"title":"\ud83d\ude00"}`, want{"message": `"😀"`}},
		{"bytes that are no UTF-8", `message: raw.title`, "{\"title\":\"a\xffb\"}", want{"message": "\"a\ufffdb\""}},
		{"names that look like paths", `message: raw["a.b"]`, `{"a.b":"dotted","a":{"b":"nested"}}`, want{"message": `"dotted"`, "unmapped.a.b": `"nested"`}},

		// Addresses.
		{"leading zeros", `src_endpoint.ip: raw.ip`, `{"ip":"075.050.255.067"}`, want{"src_endpoint.ip": `"75.50.255.67"`}},
		{"a port behind it", `src_endpoint.ip: raw.ip`, `{"ip":"192.0.2.7:51312"}`, want{"src_endpoint.ip": `"192.0.2.7"`}},
		{"brackets and a port", `src_endpoint.ip: raw.ip`, `{"ip":"[2001:DB8::1]:443"}`, want{"src_endpoint.ip": `"2001:db8::1"`}},
		{"loopback in brackets", `src_endpoint.ip: raw.ip`, `{"ip":"[::1]:443"}`, want{"src_endpoint.ip": `"::1"`}},
		{"a zone", `src_endpoint.ip: raw.ip`, `{"ip":"fe80::1%eth0"}`, want{"src_endpoint.ip": `"fe80::1"`}},
		{"IPv4 in IPv6", `src_endpoint.ip: raw.ip`, `{"ip":"::ffff:192.0.2.7"}`, want{"src_endpoint.ip": `"192.0.2.7"`}},
		{"the name of a service", `src_endpoint.ip: raw.ip`, `{"ip":"cloudformation.amazonaws.com"}`, want{"src_endpoint.ip": "", "unmapped.ip": `"cloudformation.amazonaws.com"`}},
		{"a host and a port", `src_endpoint.ip: raw.ip`, `{"ip":"host.example.com:443"}`, want{"src_endpoint.ip": "", "unmapped.ip": `"host.example.com:443"`}},
		{"a private address is one", `src_endpoint.ip: raw.ip`, `{"ip":"10.0.0.8"}`, want{"src_endpoint.ip": `"10.0.0.8"`}},

		// Trust: what was not proven is known, and no text is code.
		{"who sent it was not proven", `message: meta.auth`, `{}`, want{"message": `"pass"`}},
		{"a formula", `message: raw.name`, `{"name":"=HYPERLINK(\"http://192.0.2.1\")"}`, want{"message": `"=HYPERLINK(\"http://192.0.2.1\")"`}},
		{"an expression in the event", `message: raw.name`, `{"name":"raw.secret","secret":"s"}`, want{"message": `"raw.secret"`}},

		// Drift.
		{"a new value", `severity: raw.level`, `{"level":"URGENT"}`, want{"severity_id": "99", "severity": `"URGENT"`}},
		{"a value in another case", `severity: raw.level`, `{"level":"hIGH"}`, want{"severity_id": "4"}},
		{"new fields", `message: raw.m`, `{"m":"x","new":{"a":[1,{"b":2}],"c":true}}`, want{"unmapped.new.a": `"[1,{\"b\":2}]"`, "unmapped.new.c": `"true"`}},
		{"the same member twice", `message: raw.m`, `{"m":"first","m":"second"}`, want{"message": `"second"`, "unmapped": ""}},
		{"objects of the same name twice", `message: raw.o.a`, `{"o":{"a":"1","b":"2"},"o":{"a":"3"}}`, want{"message": `"3"`, "unmapped": ""}},
	} {
		t.Run(c.trap, func(t *testing.T) {
			text := strings.Replace(file(c.set), "time: raw.at\n", "time: meta.received\n", 1)
			if strings.Contains(c.set, "src_endpoint") {
				text = strings.Replace(text, "class: base_event\n    set:\n", "class: authentication\n    activity: Logon\n    set:\n      user.name: \"'u'\"\n      service.name: \"'s'\"\n", 1)
			}
			set := loadText(t, text)
			out := normalize(t, set, c.body)
			for path, want := range c.want {
				if got := get(out, path); got != unescaped(want) && got != want {
					t.Errorf("%s is %s, want %s", path, got, want)
				}
			}
		})
	}
}

// unescaped writes JSON as encoding/json does.
func unescaped(s string) string {
	return strings.NewReplacer("<", `\u003c`, ">", `\u003e`, "&", `\u0026`).Replace(s)
}

// What a field that changed counts as, so that the change is seen.
func TestTrapsAreCounted(t *testing.T) {
	set := loadText(t, `
source: t
products: {p: {vendor_name: V, name: N}}
time: raw.at
tables: {kind: {known: 1}}
events:
  - {when: raw.kind == "named", class: base_event, set: {message: raw.m}}
  - class: base_event
    set: {metadata.event_code: raw.kind, start_time: raw.start, count: raw.count, severity_id: 'tables.kind[raw.kind]'}
    each: {path: enrichments, in: raw.list, as: x, set: {name: x.n, value: x.v, data: x, created_time: x.t}}
`)
	sc := &mapping.Scratch{}
	for _, body := range []string{
		`{"kind":"new.one","at":"2026-07-03T00:00:00Z","start":"soon","count":"many"}`,
		`{"kind":"new.one","at":"2026-07-03T00:00:00Z","start":"2017-03-16T19:20:177Z"}`,
		`{"kind":"other","at":"0001-01-01T00:00:00Z","start":"0001-01-01T00:00:00Z"}`,
		`{"at":"2026-07-03T00:00:00Z","a":1,"a":2,"list":[{"n":"a","v":"b","t":"never"}]}`,
		`{"kind":"named","m":{"not":"a text"},"at":"2026-07-03T00:00:00Z"}`,
	} {
		if _, err := tryNormalize(t, set, body, sc); err != nil {
			t.Errorf("%s: %v", body, err)
		}
	}
	st := sc.Stats("t")
	for what, diff := range map[string]string{
		"unknown":      cmp.Diff(map[string]int64{"new.one": 2, "other": 1, mapping.Nameless: 1}, st.Unknown.Map()),
		"unconverted":  cmp.Diff(map[string]int64{"start_time": 2, "count": 1, "message": 1, "enrichments[].created_time": 1}, st.ByAttribute.Map()),
		"not in table": cmp.Diff(map[string]int64{"kind": 3}, st.ByTable.Map()),
	} {
		if diff != "" {
			t.Errorf("%s: %s", what, diff)
		}
	}
	if st.LastResort != 4 || st.Duplicates != 1 || st.Unconverted != 5 {
		t.Errorf("%+v", st)
	}
}

// Names are counted up to a bound, whatever a source sends, and do not hold
// on to the events they came from.
func TestNamesAreBounded(t *testing.T) {
	var n mapping.Names
	name := []byte("event-000000")
	for i := range 5000 {
		copy(name[6:], fmt.Sprintf("%06d", i))
		n.Add(string(name), 1)
	}
	n.Add(strings.Repeat("x", 1<<20), 1)
	m := n.Map()
	var odd mapping.Names
	for range 3 {
		odd.Add(strings.Repeat("é", 1<<10), 1)
		odd.Add("a\xffb", 1)
	}
	if diff := cmp.Diff(map[string]int64{strings.Repeat("é", 100): 3, "a\ufffdb": 3}, odd.Map()); diff != "" {
		t.Error(diff)
	}
	if len(m) != 1001 || m[mapping.Others] != 4001 || m["event-000999"] != 1 {
		t.Errorf("%d names, %d others", len(m), m[mapping.Others])
	}
}

// Batches come in every wrapper there is, and alone.
func TestBatches(t *testing.T) {
	set := loadText(t, `
source: t
products: {p: {vendor_name: V, name: N}}
split: >-
  raw.?records.orValue(raw.?Records.orValue(raw.?data.?events.orValue(raw.?value.orValue(raw.?entries.orValue(raw.?items.orValue(raw.?findings.orValue([raw])))))))
uid: raw.id
events:
  - {class: base_event, set: {message: raw.id}}
`)
	h := set.Head(mapping.Options{})
	for _, wrapper := range []string{`{"records":%s}`, `{"Records":%s}`, `{"data":{"events":%s},"eventId":"e"}`, `{"value":%s,"@odata.nextLink":"n"}`, `{"entries":%s}`, `{"items":%s,"kind":"k"}`, `{"findings":%s}`} {
		for events, want := range map[string]int{`[{"id":1},{"id":2}]`: 2, `[]`: 0, `{"id":1}`: 1, "[\r\n {\"id\":1}\r\n]": 1} {
			got, err := h.Split("t", []byte(fmt.Sprintf(wrapper, events)), mapping.HeadMeta{})
			if err != nil || len(got) != want {
				t.Errorf("%s of %s: %d events, %v", wrapper, events, len(got), err)
			}
			for i, e := range got {
				if e.UID != fmt.Sprint(i+1) {
					t.Errorf("%s: event %d has the uid %q", wrapper, i, e.UID)
				}
			}
		}
	}
	for body, want := range map[string]int{`{"id":1}`: 1, `[{"records":[{"id":1}]}]`: 1} {
		if got, err := h.Split("t", []byte(body), mapping.HeadMeta{}); err != nil || len(got) != want {
			t.Errorf("%s: %d events, %v", body, len(got), err)
		}
	}
}

// An event that is sent again has the id it had, in whatever delivery, and
// nothing of the delivery is in it. An event is the same however late it is.
func TestRepeatsAreTheSame(t *testing.T) {
	set := builtin(t)
	var first, second ocsf.Event
	for _, source := range set.Sources() {
		m, _ := set.Source(source)
		h := set.Head(mapping.Options{})
		for _, c := range m.Cases {
			input, err := fs.ReadFile(mappings.FS, c.File)
			if err != nil {
				t.Fatal(err)
			}
			for _, body := range deliveries(input) {
				a, err := h.Split(source, body, mapping.HeadMeta{Received: received})
				if err != nil {
					continue
				}
				b, err := h.Split(source, append([]byte(" \n"), body...), mapping.HeadMeta{Received: received.AddDate(0, 0, 9)})
				if err != nil || len(a) != len(b) {
					t.Errorf("%s: %s splits into %d and %d events: %v", source, c.File, len(a), len(b), err)
					continue
				}
				for i := range a {
					if a[i].Time.Equal(received) {
						continue // the state of something when it was asked for, no event
					}
					if a[i].UID != b[i].UID || !a[i].Time.Equal(b[i].Time) {
						t.Errorf("%s: %s: event %d is %q of %s, and later %q of %s", source, c.File, i, a[i].UID, a[i].Time, b[i].UID, b[i].Time)
					}
					if a[i].Time.IsZero() || a[i].UID == "" {
						continue
					}
					var sc mapping.Scratch
					at := a[i].Time.Add(time.Minute)
					if at.Year() < 2001 {
						continue
					}
					one := m.Normalize(&nagare.Event{Source: source, UID: a[i].UID, Received: at, Body: a[i].Body}, &first, &sc)
					two := m.Normalize(&nagare.Event{Source: source, UID: b[i].UID, Received: at.AddDate(0, 0, 9), Body: b[i].Body}, &second, &sc)
					if one != nil || two != nil {
						continue
					}
					x, y := string(first.AppendJSON(nil)), string(second.AppendJSON(nil))
					logged := func(t time.Time) string { return fmt.Sprintf(`"logged_time":%d`, t.UnixMilli()) }
					if x != strings.ReplaceAll(y, logged(at.AddDate(0, 0, 9)), logged(at)) && !strings.Contains(x, "logged_time_dt") {
						t.Errorf("%s: %s: event %d is another nine days later:\n%s\n%s", source, c.File, i, x, y)
					}
				}
			}
		}
	}
}

// Bytes that are no UTF-8 become U+FFFD: the event says so, and is counted. An
// event does not say so itself.
func TestNotUTF8(t *testing.T) {
	set := loadText(t, strings.Replace(file("message: raw.m\nmetadata.labels: raw.labels"), "time: raw.at", "time: meta.received", 1))
	for body, want := range map[string]string{
		"{\"m\":\"\x82\xb1\"}":                  `["not_utf8"]`,
		"{\"m\":\"a\",\"\xff\":1}":              `["not_utf8"]`,
		`{"m":"日本語\ufffd"}`:                     ``,
		`{"m":"a","labels":["not_utf8","own"]}`: `["own"]`,
	} {
		sc := &mapping.Scratch{}
		out, err := tryNormalize(t, set, body, sc)
		if err != nil {
			t.Fatal(err)
		}
		if got := get(out, "metadata.labels"); got != want {
			t.Errorf("%q: labels %s, want %s", body, got, want)
		}
		if n := sc.Stats("t").NotUTF8; (n == 1) != (want == `["not_utf8"]`) {
			t.Errorf("%q: counted %d", body, n)
		}
	}
}

// An event of a megabyte is one: what does not fit is cut, and said so.
func TestHugeEvents(t *testing.T) {
	set := loadText(t, file("message: raw.m"))
	sc := &mapping.Scratch{}
	out, err := tryNormalize(t, set, `{"m":"x","blob":"`+strings.Repeat("é", 1<<19)+`"}`, sc)
	if err != nil {
		t.Fatal(err)
	}
	if n := len(get(out, "unmapped.blob")); n > 64<<10+2 || n < 60<<10 {
		t.Errorf("%d bytes are kept", n)
	}
	if got := get(out, "unmapped.nagare.truncated"); got != `"1 cut at 64 KiB"` {
		t.Errorf("truncated: %s", got)
	}
	var b strings.Builder
	for i := range 5000 {
		fmt.Fprintf(&b, `,"f%d":%d`, i, i)
	}
	if out, err = tryNormalize(t, set, `{"m":"x"`+b.String()+`}`, sc); err != nil {
		t.Fatal(err)
	}
	if got := get(out, "unmapped.nagare.truncated"); got != `"4000 more fields"` {
		t.Errorf("truncated: %s", got)
	}
	if st := sc.Stats("t"); st.Truncated != 4001 {
		t.Errorf("counted %d", st.Truncated)
	}
}

// Log pipelines turn keys into lower case; the built-in mappings of sources
// that come that way know both.
func TestKeysInLowerCase(t *testing.T) {
	set := builtin(t)
	h := set.Head(mapping.Options{})
	for source, body := range map[string]string{
		"okta": `{"eventtype":"user.session.start","uuid":"u-1","published":"2026-07-03T01:02:03Z","actor":{"id":"a","type":"User","alternateid":"sato@example.com"}}`,
	} {
		if got, ok := h.Detect([]byte(body)); got != source {
			t.Errorf("%s is recognised as %q (%t)", source, got, ok)
		}
		events, err := h.Split(source, []byte(body), mapping.HeadMeta{Received: received})
		if err != nil || len(events) != 1 || events[0].UID == "" {
			t.Errorf("%s: %v %v", source, events, err)
		}
	}
}

// The events of every case are recognised as those of their source, also when
// they come alone, without the wrapper they are delivered in.
func TestEverySourceKnowsItsOwn(t *testing.T) {
	set := builtin(t)
	h := set.Head(mapping.Options{})
	for _, source := range set.Sources() {
		m, _ := set.Source(source)
		all, other, none := 0, map[string]int{}, 0
		var example string
		for _, c := range m.Cases {
			input, err := fs.ReadFile(mappings.FS, c.File)
			if err != nil {
				t.Fatal(err)
			}
			for _, body := range deliveries(input) {
				events, err := h.Split(source, body, mapping.HeadMeta{Received: received})
				if err != nil {
					continue
				}
				for _, e := range events {
					all++
					switch got, _ := h.Detect(e.Body); got {
					case source:
					case "ocsf":
						// Security Lake's copies of a source's events are OCSF.
						if !strings.Contains(string(e.Body), `"class_uid"`) {
							other[got]++
						}
					case "devices":
						// A case of users may have a row of devices.
						if source != "directory" {
							other[got]++
						}
					case "":
						none++
						example = string(e.Body)
					default:
						other[got]++
						example = string(e.Body)
					}
				}
			}
		}
		t.Logf("%s: %d events, %d not recognised, taken for others: %v %.300s", source, all, none, other, example)
		if len(other) > 0 {
			t.Errorf("%s: events are taken for those of others: %v", source, other)
		}
	}
}

// What changes while it lasts, an alert or a finding, has an id for each state
// it was in: else its end would be taken for a repeat of its beginning.
func TestWhatChangesHasAnIDForEachState(t *testing.T) {
	set := builtin(t)
	h := set.Head(mapping.Options{})
	for source, field := range map[string]string{
		"defender": "lastUpdateDateTime", "guardduty": "updatedAt", "securityhub": "UpdatedAt", "datadog": "last_updated", "entra": "lastUpdatedDateTime",
	} {
		m, ok := set.Source(source)
		if !ok {
			t.Errorf("no source %s", source)
			continue
		}
		n := 0
		for _, c := range m.Cases {
			input, err := fs.ReadFile(mappings.FS, c.File)
			if err != nil {
				t.Fatal(err)
			}
			for _, body := range deliveries(input) {
				events, err := h.Split(source, body, mapping.HeadMeta{Received: received})
				if err != nil {
					continue
				}
				for _, e := range events {
					at := bytes.Index(e.Body, []byte(`"`+field+`"`))
					if at < 0 || e.UID == "" {
						continue
					}
					later := bytes.Clone(e.Body)
					digit := bytes.IndexAny(later[at+len(field)+2:], "0123456789")
					if digit < 0 {
						continue
					}
					end := at + len(field) + 2 + digit
					for end+1 < len(later) && later[end+1] != '"' && later[end+1] != ',' && later[end+1] != '}' {
						end++
					}
					for later[end] < '0' || later[end] > '9' {
						end--
					}
					later[end] = '0' + (later[end]-'0'+1)%10
					changed, err := h.Split(source, later, mapping.HeadMeta{Received: received})
					if err != nil || len(changed) != 1 {
						t.Errorf("%s: %s: %d events, %v", source, c.File, len(changed), err)
						continue
					}
					n++
					if changed[0].UID == e.UID {
						t.Errorf("%s: %s: another %s, and the same id %q", source, c.File, field, e.UID)
					}
				}
			}
		}
		if n == 0 {
			t.Errorf("%s: no case has %s", source, field)
		}
	}
}
