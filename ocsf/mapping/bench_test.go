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
	user := func() map[string]any {
		u := map[string]any{"uid": get("actor", "id"), "full_name": get("actor", "displayName"), "type": get("actor", "type")}
		u["type_id"] = map[string]int{"User": 1, "Admin": 2, "SystemPrincipal": 3}[get("actor", "type").(string)]
		if mail, ok := get("actor", "alternateId").(string); ok {
			u["name"] = mail
			if strings.Contains(mail, "@") {
				u["email_addr"] = mail
			}
		}
		return u
	}
	put(user(), "user")
	put(user(), "actor", "user")
	put(map[string]int{"DEBUG": 1, "INFO": 1, "WARN": 3, "ERROR": 4}[get("severity").(string)], "severity_id")
	put(true, "is_remote")
	put("Okta Identity Cloud", "metadata", "product", "name")
	put("Okta", "metadata", "product", "vendor_name")
	put(get("published"), "metadata", "original_time")
	_, second := get("debugContext", "debugData", "authMethodSecondType").(string)
	put(second, "session", "is_mfa")
	put(second, "is_mfa")
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
	resists := "unknown"
	for _, k := range []string{"authMethodFirstType", "authMethodSecondType"} {
		if s, ok := get("debugContext", "debugData", k).(string); ok {
			if parts := strings.Split(s, ":"); len(parts) > 1 {
				m := handMethods[strings.ToLower(parts[1])]
				factors = append(factors, map[string]any{"provider": parts[0], "factor_type": m.name, "factor_type_id": m.id})
				if resists != "true" && m.resists != "" {
					resists = m.resists
				}
			}
		}
	}
	put([]any{"interactive", "phishing_resistant:" + resists}, "metadata", "labels")
	enrichments := []any{map[string]any{"name": "auth.phishing_resistant", "type": "authenticator", "provider": "nagare", "value": resists, "data": map[string]any{
		"method": get("debugContext", "debugData", "authMethodFirstType"), "second": get("debugContext", "debugData", "authMethodSecondType")}}}
	for _, k := range []string{"behaviors", "risk"} {
		if s, ok := get("debugContext", "debugData", k).(string); ok {
			enrichments = append(enrichments, map[string]any{"name": k, "provider": "Okta", "value": s, "data": s})
		}
	}
	out["enrichments"] = enrichments
	out["auth_factors"] = factors
	return out
}

// handMethods are the authenticators of byHand.
var handMethods = map[string]struct {
	name    string
	id      int
	resists string
}{
	"password": {"Password", 11, "false"}, "webauthn": {"WebAuthn", 10, "true"}, "push": {"Push Notification", 5, "false"},
	"totp": {"OTP", 7, "false"}, "sms": {"SMS", 1, "false"}, "email": {"Email", 8, "false"},
}
