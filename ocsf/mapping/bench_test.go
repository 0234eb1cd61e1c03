package mapping_test

import (
	"encoding/json"
	"os"
	"strings"
	"testing"
	"time"

	"nagare"
	"nagare/ocsf"
	"nagare/ocsf/mapping"
)

// signIn is an Okta sign-in of the usual size, about 2.5 kB.
func signIn(t testing.TB) []byte {
	b, err := os.ReadFile("testdata/sign_on_2500.json")
	if err != nil {
		t.Fatal(err)
	}
	return []byte(strings.TrimSpace(string(b)))
}

// BenchmarkNormalize is the whole of mapping one event: parse, dispatch, map,
// unmapped, Finish.
func BenchmarkNormalize(b *testing.B) {
	set := okta(b)
	m, _ := set.Source("okta")
	ev := &nagare.Event{Source: "okta", UID: "u", Received: time.Now(), Body: signIn(b)}
	var sc mapping.Scratch
	var out ocsf.Event
	b.ReportAllocs()
	b.SetBytes(int64(len(ev.Body)))
	for b.Loop() {
		if err := m.Normalize(ev, &out, &sc); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkNormalizeJSON is that, and writing the event as OCSF JSON.
func BenchmarkNormalizeJSON(b *testing.B) {
	set := okta(b)
	m, _ := set.Source("okta")
	ev := &nagare.Event{Source: "okta", UID: "u", Received: time.Now(), Body: signIn(b)}
	var sc mapping.Scratch
	var out ocsf.Event
	var dst []byte
	b.ReportAllocs()
	b.SetBytes(int64(len(ev.Body)))
	for b.Loop() {
		if err := m.Normalize(ev, &out, &sc); err != nil {
			b.Fatal(err)
		}
		dst = out.AppendJSON(dst[:0])
	}
}

// BenchmarkByHand is what one would write without nagare: encoding/json into
// maps, the attributes of the sign-in picked by hand, encoding/json again. It
// does less: no unmapped, no observables, no checks.
func BenchmarkByHand(b *testing.B) {
	body := signIn(b)
	b.ReportAllocs()
	b.SetBytes(int64(len(body)))
	for b.Loop() {
		if byHand(body) == nil {
			b.Fatal()
		}
	}
}

// BenchmarkByHandJSON is that, and writing the result.
func BenchmarkByHandJSON(b *testing.B) {
	body := signIn(b)
	b.ReportAllocs()
	b.SetBytes(int64(len(body)))
	for b.Loop() {
		if out, err := json.Marshal(byHand(body)); err != nil || len(out) == 0 {
			b.Fatal()
		}
	}
}

func byHand(body []byte) map[string]any {
	var raw map[string]any
	if json.Unmarshal(body, &raw) != nil {
		return nil
	}
	get := func(path ...string) any {
		var v any = raw
		for _, p := range path {
			m, _ := v.(map[string]any)
			v = m[p]
		}
		return v
	}
	out := map[string]any{}
	put := func(v any, path ...string) {
		if v == nil || v == "" {
			return
		}
		m := out
		for _, p := range path[:len(path)-1] {
			sub, ok := m[p].(map[string]any)
			if !ok {
				sub = map[string]any{}
				m[p] = sub
			}
			m = sub
		}
		m[path[len(path)-1]] = v
	}
	put(get("displayMessage"), "message")
	put(map[string]int{"SUCCESS": 1, "ALLOW": 1, "FAILURE": 2, "DENY": 2}[get("outcome", "result").(string)], "status_id")
	put(get("outcome", "result"), "status_code")
	put(get("outcome", "reason"), "status_detail")
	put(get("eventType"), "metadata", "event_code")
	put(get("transaction", "id"), "metadata", "correlation_uid")
	put(get("uuid"), "metadata", "uid")
	put(get("actor", "id"), "user", "uid")
	put(get("actor", "displayName"), "user", "name")
	put(get("actor", "alternateId"), "user", "email_addr")
	put(get("actor", "type"), "user", "type")
	put(get("authenticationContext", "externalSessionId"), "session", "uid")
	put(get("client", "ipAddress"), "src_endpoint", "ip")
	put(get("client", "device"), "src_endpoint", "type")
	for from, to := range map[string]string{"city": "city", "state": "region", "country": "country", "postalCode": "postal_code"} {
		put(get("client", "geographicalContext", from), "src_endpoint", "location", to)
	}
	put(get("client", "geographicalContext", "geolocation", "lat"), "src_endpoint", "location", "lat")
	put(get("client", "geographicalContext", "geolocation", "lon"), "src_endpoint", "location", "long")
	put(get("securityContext", "isp"), "src_endpoint", "location", "isp")
	put(get("securityContext", "asNumber"), "src_endpoint", "autonomous_system", "number")
	put(get("securityContext", "asOrg"), "src_endpoint", "autonomous_system", "name")
	put(get("securityContext", "domain"), "src_endpoint", "domain")
	put(get("client", "userAgent", "rawUserAgent"), "http_request", "user_agent")
	put(get("debugContext", "debugData", "requestId"), "http_request", "uid")
	put(get("debugContext", "debugData", "requestUri"), "http_request", "url", "path")
	put(get("device", "id"), "device", "uid")
	put(get("device", "name"), "device", "name")
	put(get("device", "os_platform"), "device", "os", "name")
	put(get("device", "os_version"), "device", "os", "version")
	put(get("device", "managed"), "device", "is_managed")
	if t, err := time.Parse(time.RFC3339Nano, get("published").(string)); err == nil {
		put(t.UnixMilli(), "time")
	}
	for _, t := range get("target").([]any) {
		if t := t.(map[string]any); t["type"] == "AppInstance" {
			put(t["displayName"], "service", "name")
			put(t["id"], "service", "uid")
		}
	}
	var factors []any
	for _, k := range []string{"authMethodFirstType", "authMethodSecondType"} {
		if s, ok := get("debugContext", "debugData", k).(string); ok {
			if parts := strings.Split(s, ":"); len(parts) > 1 {
				factors = append(factors, map[string]any{"provider": parts[0], "factor_type": parts[1]})
			}
		}
	}
	out["auth_factors"] = factors
	return out
}
