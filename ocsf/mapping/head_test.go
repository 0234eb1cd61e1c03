package mapping_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"nagare"
	"nagare/ocsf"
	"nagare/ocsf/mapping"
)

// headFile is a mapping with this head.
func headFile(head string) string {
	return "source: t\nproducts: {p: {vendor_name: V, name: N}}\n" + head + "\nevents: [{class: base_event, set: {message: raw.m}}]\n"
}

func TestSplit(t *testing.T) {
	for _, c := range []struct {
		name, head, body string
		want             []string // body|uid|time
	}{
		{"default", "uid: raw.id", `{"id":"1"}`, []string{`{"id":"1"}|1|`}},
		{"default takes an array apart", "uid: raw.id", ` [{"id":1}, {"id": 2 }] `, []string{`{"id":1}|1|`, `{"id": 2 }|2|`}},
		{"byte for byte", "split: raw.records", "{\"x\":1,\"records\":[ {\"a\" : \"\\u00e9\"} ,\n[1, 2], \"s\"]}", []string{"{\"a\" : \"\\u00e9\"}||", "[1, 2]||", "\"s\"||"}},
		{"with orValue, there", "split: raw.?data.?events.orValue([raw])", `{"data":{"events":[{"a":1}]}}`, []string{`{"a":1}||`}},
		{"with orValue, not there", "split: raw.?data.?events.orValue([raw])", `{"data": {}}`, []string{`{"data": {}}||`}},
		{"two wrappings", "split: raw.?records.orValue(raw.?value.orValue([raw]))", `{"value":[{"a":1},{"b":2}]}`, []string{`{"a":1}||`, `{"b":2}||`}},
		{"condition", "split: 'has(raw.Records) ? raw.Records : [raw]'", `{"Records":[{"a":1}]}`, []string{`{"a":1}||`}},
		{"empty list", "split: raw.records", `{"records":[]}`, nil},
		{"computed", `split: 'raw.records.map(r, {"p": raw.p, "r": r})'`, `{"p":"x","records":[{"a":1},{"a":[2, null]}]}`, []string{`{"p":"x","r":{"a":1}}||`, `{"p":"x","r":{"a":[2,null]}}||`}},
		{"JSON in a text", "split: json(raw.Message).Records", `{"Message":"{\"Records\":[{\"a\":1}]}"}`, []string{`{"a":1}||`}},
		{"time", "time: raw.at", `{"at":"2026-01-02T03:04:05.678+09:00"}`, []string{`{"at":"2026-01-02T03:04:05.678+09:00"}||2026-01-01T18:04:05.678Z`}},
		{"time that is none", "time: raw.at", `{"at":"soon"}`, []string{`{"at":"soon"}||`}},
		{"uid of several", `uid: raw.d + "|" + string(raw.r)`, `{"d":"x","r":7}`, []string{`{"d":"x","r":7}|x|7|`}},
		{"uid absent", "uid: raw.id", `{"id":null}`, []string{`{"id":null}||`}},
		{"drop", "drop: [raw.a.secret, raw.b]", `{ "a" : {"secret":"x","k" : 1}, "b":[1],"c":2 }`, []string{`{"a" : {"k" : 1},"c":2}||`}},
		{"drop all", "drop: [raw.a]", `{"a":1}`, []string{`{}||`}},
		{"drop of duplicates", "drop: [raw.a]", `{"a":"old","x":1,"a":"new"}`, []string{`{"x":1}||`}},
		{"drop nothing", "drop: [raw.q.z]", `{ "a" : 1 }`, []string{`{ "a" : 1 }||`}},
		{"drop in lists", "drop: [raw.list.pw]", `{"list":[{"pw":1,"k" : 1}, {"k":2,"pw":2},[{"pw":3}],"pw", null ],"pw":4}`, []string{`{"list":[{"k" : 1},{"k":2},[{}],"pw",null],"pw":4}||`}},
		{"hash in lists", "hash: [raw.list.u]", `{"list":[{"u":"sato"},{"v":1},{"u":"sato"}]}`, []string{`{"list":[{"u":"hash:a0fd74e2757a561fab5252a98286baa8"},{"v":1},{"u":"hash:a0fd74e2757a561fab5252a98286baa8"}]}||`}},
		{"drop in a list of lists in objects", "drop: [raw.a.b.c]", `{"a":[{"b":[{"c":1},{"d":[ 1 ]}]},{"b":{"c":2,"e":3}}]}`, []string{`{"a":[{"b":[{},{"d":[ 1 ]}]},{"b":{"e":3}}]}||`}},
		{"drop what a later one replaced", "drop: [raw.a.pw]", `{"a":{"pw":1},"x": 1,"\u0061":{"k":2}}`, []string{`{"x": 1,"\u0061":{"k":2}}||`}},
		{"drop in what is replaced deeper", "drop: [raw.a.b.pw]", `{"a":{"b":{"pw":1},"b":2},"z": 0}`, []string{`{"a":{"b":2},"z": 0}||`}},
		{"drop goes before hash", "hash: [raw.u]\ndrop: [raw.u]", `{"u":"sato","v":1}`, []string{`{"v":1}||`}},
		{"names are exact", "drop: [raw.pw]", `{"PW":1,"pw ":2,"a":{"pw":3}}`, []string{`{"PW":1,"pw ":2,"a":{"pw":3}}||`}},
		{"a name with a dot", `drop: ['raw["a.b"]']`, `{"a":{"b":1},"a.b":2}`, []string{`{"a":{"b":1}}||`}},
		{"hash", "hash: [raw.u]", `{"u":"sato","v":1}`, []string{`{"u":"hash:a0fd74e2757a561fab5252a98286baa8","v":1}||`}},
	} {
		t.Run(c.name, func(t *testing.T) {
			set := loadText(t, headFile(c.head))
			h := set.Head(mapping.Options{HashKey: []byte("k")})
			for range 2 { // the second time it knows the names
				events, err := h.Split("t", []byte(c.body), mapping.HeadMeta{Source: "t", Received: received})
				if err != nil {
					t.Fatal(err)
				}
				var got []string
				for _, e := range events {
					at := ""
					if !e.Time.IsZero() {
						at = e.Time.Format(time.RFC3339Nano)
					}
					got = append(got, string(e.Body)+"|"+e.UID+"|"+at)
				}
				if diff := cmp.Diff(c.want, got); diff != "" {
					t.Error(diff)
				}
			}
		})
	}
}

func TestSplitErrors(t *testing.T) {
	set := loadText(t, headFile("split: raw.records"))
	h := set.Head(mapping.Options{})
	for _, body := range []string{`{"records":`, `{"other":[]}`, ``, `not JSON`, `{"records":[1]} x`} {
		if events, err := h.Split("t", []byte(body), mapping.HeadMeta{}); err == nil {
			t.Errorf("%q: %d events and no error", body, len(events))
		}
	}
	if _, err := h.Split("nobody", []byte(`{}`), mapping.HeadMeta{}); err == nil {
		t.Error("no error for an unknown source")
	}
}

// A delivery of many events is split without a node for each of their values.
func TestSplitLarge(t *testing.T) {
	set := loadText(t, headFile("split: raw.records\nuid: raw.id"))
	var b bytes.Buffer
	b.WriteString(`{"records":[`)
	const n = 20_000
	for i := range n {
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, `{"id":%d,"v":[%s0]}`, i, strings.Repeat("0,", 100))
	}
	b.WriteString(`]}`) // more values than a single event may have
	events, err := set.Head(mapping.Options{}).Split("t", b.Bytes(), mapping.HeadMeta{})
	if err != nil || len(events) != n || events[n-1].UID != fmt.Sprint(n-1) {
		t.Fatalf("%d events, %v", len(events), err)
	}
}

func TestDetect(t *testing.T) {
	h := okta(t).Head(mapping.Options{})
	for body, want := range map[string]string{
		string(signIn(t)): "okta", `{"data":{"events":[` + string(signIn(t)) + `]}}`: "okta", `{"x":1}`: "", `[]`: "", `nonsense`: "",
	} {
		if got, ok := h.Detect([]byte(body)); got != want || ok != (want != "") {
			t.Errorf("%.60s: %q %v, want %q", body, got, ok, want)
		}
	}
}

// Whatever is sent: the head gives JSON back, and its undropped events are
// bytes of the delivery.
// What the head computes of an event is of that event.
func TestHeadForgetsTheEventBefore(t *testing.T) {
	set := loadText(t, headFile("split: raw.list\nuid: raw.id.split(\":\")[1]\ntime: json(raw.j).at"))
	h := set.Head(mapping.Options{})
	events, err := h.Split("t", []byte(`{"list":[{"id":"a:1","j":"{\"at\":1783040523}"},{"id":"a:2","j":"{\"at\":1783040524}"}]}`), mapping.HeadMeta{})
	if err != nil || len(events) != 2 {
		t.Fatal(events, err)
	}
	for i, e := range events {
		if e.UID != fmt.Sprint(i+1) || e.Time.Unix() != int64(1783040523+i) {
			t.Errorf("event %d has the uid %q and the time %s", i, e.UID, e.Time)
		}
	}
}

func FuzzSplit(f *testing.F) {
	f.Add([]byte(`{"records":[{"id":1,"a":{"secret":"s","x":"y"}},2,null,[3]]}`))
	f.Add([]byte(`[{"id":"x"}]`))
	f.Add([]byte(`{"records":{"a":1,"a":2},"records":[{"a":{"secret":1,"secret":2}}]}`))
	set := loadText(f, headFile("split: raw.?records.orValue([raw])\nuid: raw.id\ntime: raw.at\ndrop: [raw.a.secret]\nhash: [raw.h]"))
	plain := loadText(f, headFile("split: raw.?records.orValue([raw])\nuid: raw.id\ntime: raw.at"))
	h, p := set.Head(mapping.Options{HashKey: []byte("k")}), plain.Head(mapping.Options{})
	f.Fuzz(func(t *testing.T, body []byte) {
		events, err := h.Split("t", body, mapping.HeadMeta{})
		if err == nil && !json.Valid(body) {
			t.Fatalf("%q is split, but no JSON", body)
		}
		for _, e := range events {
			if !json.Valid(e.Body) {
				t.Fatalf("%q became %q", body, e.Body)
			}
			var v struct{ A map[string]any }
			if json.Unmarshal(e.Body, &v) == nil && bytes.Contains(e.Body, []byte(`"a":`)) {
				if _, ok := v.A["secret"]; ok && !bytes.Contains(e.Body, []byte(`"A"`)) {
					t.Fatalf("%q kept the secret: %q", body, e.Body)
				}
			}
		}
		events, _ = p.Split("t", body, mapping.HeadMeta{})
		for _, e := range events {
			if !bytes.Contains(body, e.Body) || !json.Valid(e.Body) {
				t.Fatalf("%q became %q", body, e.Body)
			}
		}
	})
}

// Whatever an event says: it becomes a valid OCSF event or a dead letter.
func FuzzNormalize(f *testing.F) {
	set := okta(f)
	f.Add(signIn(f))
	for _, s := range []string{
		`{"eventType":"user.session.start","actor":{"id":1,"alternateId":"a@b"},"published":1e9}`,
		`{"eventType":"policy.evaluate_sign_on","outcome":{"result":"ALLOW"},"target":[{"type":"AppInstance"}],"actor":{"displayName":"\ud800"},"debugContext":{"debugData":{"authMethodFirstType":":::"}}}`,
		`{"eventType":"user.account.lock","client":{"ipAddress":"[::1%eth0]:99999","geographicalContext":{"geolocation":{"lat":"x","lon":1e400}}},"actor":null,"target":{}}`,
		`{"eventType":"group.user_membership.add","target":[{"type":"UserGroup","id":{}},{"type":"User","id":[]}]}`,
	} {
		f.Add([]byte(s))
	}
	m, _ := set.Source("okta")
	var sc mapping.Scratch
	var out ocsf.Event
	f.Fuzz(func(t *testing.T, body []byte) {
		ev := &nagare.Event{Source: "okta", UID: "u", Received: received, Body: body}
		if m.Normalize(ev, &out, &sc) != nil {
			return
		}
		if problems := ocsf.Validate(&out, nil); len(problems) > 0 {
			t.Fatalf("%s is not valid: %v", body, problems)
		}
		if text := out.AppendJSON(nil); !json.Valid(text) {
			t.Fatalf("%s became %s", body, text)
		}
	})
}
