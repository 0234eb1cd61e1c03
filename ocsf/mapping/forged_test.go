package mapping_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"nagare"
	"nagare/ocsf"
	"nagare/ocsf/mapping"
)

// foreign maps an event that is OCSF already, of which these members are set
// beside what every one has.
func foreign(t *testing.T, sc *mapping.Scratch, members string) (map[string]any, *ocsf.Event) {
	t.Helper()
	body := `{"class_uid":3002,"activity_id":1,"user":{"name":"sato"},"service":{"name":"VPN"},"metadata":{"version":"1.3.0","uid":"a1","product":{"name":"VPN","vendor_name":"Example"}},"time":1767312838765}`
	var whole, more map[string]any
	for text, into := range map[string]*map[string]any{body: &whole, members: &more} {
		dec := json.NewDecoder(strings.NewReader(text))
		dec.UseNumber()
		if err := dec.Decode(into); err != nil {
			t.Fatal(err)
		}
	}
	for k, v := range more {
		if m, ok := v.(map[string]any); ok && k == "metadata" {
			for n, x := range m {
				whole[k].(map[string]any)[n] = x
			}
			continue
		}
		whole[k] = v
	}
	text, err := json.Marshal(whole)
	if err != nil {
		t.Fatal(err)
	}
	m, _ := builtin(t).Source("ocsf")
	out := &ocsf.Event{}
	if err := m.Normalize(&nagare.Event{Source: "ocsf", UID: "a1", Received: received, Body: text}, out, sc); err != nil {
		t.Fatal(err)
	}
	if problems := ocsf.Validate(out, nil); len(problems) > 0 {
		t.Errorf("%s: %v", members, problems)
	}
	got := map[string]any{}
	if err := json.Unmarshal(out.AppendJSON(nil), &got); err != nil {
		t.Fatal(err)
	}
	return got, out
}

// What an OCSF event says of itself is believed where it can be checked, or is
// its own to say; else ours stands and its own is in unmapped.
func TestForeignWordsAreNotBelieved(t *testing.T) {
	many := make([]string, 100_000)
	for i := range many {
		many[i] = fmt.Sprintf(`{"name":"x","type_id":2,"value":"198.51.100.%d"}`, i)
	}
	for _, c := range []struct{ name, members, path, want string }{
		{"observables", `{"observables":[{"name":"src_endpoint.ip","type_id":2,"value":"198.51.100.9"}]}`, "observables", "[]"},
		{"observables stay", `{"observables":[{"name":"src_endpoint.ip","type_id":2,"value":"198.51.100.9"}]}`, "unmapped.observables", `[{"name":"src_endpoint.ip","type_id":2,"value":"198.51.100.9"}]`},
		{"100,000 observables", `{"observables":[` + strings.Join(many, ",") + `]}`, "observables", "[]"},
		{"labels", `{"metadata":{"labels":["vip","time_suspect","incomplete","vip"]}}`, "metadata.labels", "[vip]"},
		{"labels stay", `{"metadata":{"labels":["vip","time_suspect"]}}`, "unmapped.metadata.labels", `["vip","time_suspect"]`},
		{"labels with ours", `{"time":-1,"metadata":{"labels":["time_suspect","vip"]}}`, "metadata.labels", "[vip time_suspect]"},
		{"a text that is empty", `{"time":""}`, "metadata.original_time", ""},
		{"seconds", `{"time":1767312838}`, "metadata.original_time", "1767312838"},
		{"seconds are read", `{"time":1767312838}`, "time", "1767312838000"},
		{"milliseconds", `{"time":1767312838765}`, "metadata.original_time", ""},
		{"1677", `{"time":-9223372036855000}`, "time_dt", "2026-01-02T03:04:05.000Z"},
		{"1677 stays", `{"time":-9223372036855000}`, "metadata.original_time", "-9223372036855000"},
		{"1969", `{"time":-1767312838765}`, "metadata.labels", "[time_suspect]"},
		{"0", `{"time":0}`, "metadata.original_time", "0"},
		{"another twin", `{"start_time":1767312838765,"start_time_dt":"2020-01-01T00:00:00Z"}`, "start_time_dt", "2026-01-02T00:13:58.765Z"},
		{"another twin stays", `{"start_time":1767312838765,"start_time_dt":"2020-01-01T00:00:00Z"}`, "unmapped.start_time_dt", "2020-01-01T00:00:00Z"},
		{"other captions", `{"http_request":{"url":{"url_string":"https://example.com/","category_ids":[1,99],"categories":["Shopping","Zoo"]}}}`, "http_request.url.categories", "[Adult/Mature Content Other]"},
		{"other captions stay", `{"http_request":{"url":{"url_string":"https://example.com/","category_ids":[1,99],"categories":["Shopping","Zoo"]}}}`, "unmapped.http_request.url.categories", `["Shopping","Zoo"]`},
		{"captions of their own for Other", `{"http_request":{"url":{"url_string":"https://example.com/","category_ids":[1,99],"categories":["Adult/Mature Content","Zoo"]}}}`, "http_request.url.categories", "[Adult/Mature Content Zoo]"},
		{"no other time", `{"start_time":-9223372036855000}`, "start_time", ""},
		{"no other time stays", `{"start_time":-9223372036855000}`, "unmapped.start_time", "-9223372036855000"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, _ := foreign(t, &mapping.Scratch{}, c.members)
			var v any = got
			if m, ok := got["unmapped"].(map[string]any); ok && strings.HasPrefix(c.path, "unmapped.") {
				v = m[strings.TrimPrefix(c.path, "unmapped.")]
			} else {
				for name := range strings.SplitSeq(c.path, ".") {
					m, _ := v.(map[string]any)
					v = m[name]
				}
			}
			if f, ok := v.(float64); ok {
				v = int64(f)
			}
			if list, ok := v.([]any); ok && c.path == "observables" {
				for _, o := range list {
					if strings.HasPrefix(o.(map[string]any)["value"].(string), "198.51.100.") {
						t.Errorf("%v is not found in the event", o)
					}
				}
				return
			}
			text := fmt.Sprint(v)
			if v == nil {
				text = ""
			}
			if c.path == "observables" && v == nil {
				text = "[]"
			}
			if text != c.want {
				t.Errorf("%s is %q, want %q", c.path, text, c.want)
			}
		})
	}
	var sc mapping.Scratch
	foreign(t, &sc, `{"time":1767312838}`)
	foreign(t, &sc, `{"time":1767312838765}`)
	foreign(t, &sc, `{"time":-5}`)
	if st := sc.Stats("ocsf"); st.TimeUnit != 1 || st.TimeSuspect != 1 {
		t.Errorf("%d in another unit, %d suspect", st.TimeUnit, st.TimeSuspect)
	}
}

// A time that can be none is not the event's: intake does not know it, and it
// arrived when it arrived.
func TestImpossibleTimes(t *testing.T) {
	for _, head := range []string{"time: raw.at", "time: seconds(raw.at)", "time: millis(raw.at)"} {
		set := loadText(t, headFile(head))
		for _, at := range []string{"-9223372036855000", "-1", "0", `"1601-01-01T00:00:00Z"`, `"1969-12-31T23:59:59Z"`, `""`} {
			body := `{"at":` + at + `}`
			events, err := set.Head(mapping.Options{}).Split("t", []byte(body), mapping.HeadMeta{Received: received})
			if err != nil || !events[0].Time.IsZero() {
				t.Errorf("%s: %s is %v at intake (%v)", head, body, events[0].Time, err)
			}
			got := normalize(t, set, body)
			if got["time"] != float64(received.UnixMilli()) {
				t.Errorf("%s: %s is at %v", head, body, got["time"])
			}
			meta := got["metadata"].(map[string]any)
			if fmt.Sprint(meta["labels"]) != "[time_suspect]" {
				t.Errorf("%s: %s has the labels %v", head, body, meta["labels"])
			}
			if original, ok := meta["original_time"]; ok && original == "" {
				t.Errorf("%s: %s has an original time that is empty", head, body)
			}
			if original := meta["original_time"]; head == "time: raw.at" && at != `""` && original != strings.Trim(at, `"`) {
				t.Errorf("%s: %s has the original time %v", head, body, original)
			}
		}
	}
}
