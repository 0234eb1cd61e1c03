package mapping_test

import (
	"encoding/json"
	"fmt"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"nagare"
	"nagare/ocsf"
	"nagare/ocsf/mapping"
)

// cpuTime is the processor time of the whole program, garbage collection
// included: other programs on the machine do not change it much.
func cpuTime(b *testing.B) time.Duration {
	var r syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &r); err != nil {
		b.Fatal(err)
	}
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}

// BenchmarkAgainstHand reports how much less processor time nagare takes than
// the same mapping by hand over encoding/json's maps, measured in turns in one
// run: hand/nagare is the ratio, MB/s nagare's rate. map stops at the OCSF
// event, json goes on to its JSON line. By hand there is less to do: no
// unmapped, no observables, no captions, no checks.
func BenchmarkAgainstHand(b *testing.B) {
	set := okta(b)
	m, _ := set.Source("okta")
	ev := &nagare.Event{Source: "okta", UID: "u", Received: time.Now(), Body: signIn(b)}
	var sc mapping.Scratch
	var out ocsf.Event
	var line []byte
	normalize := func() {
		if err := m.Normalize(ev, &out, &sc); err != nil {
			b.Fatal(err)
		}
	}
	for name, pair := range map[string]struct{ ours, hand func() }{
		"map": {normalize, func() {
			if byHand(ev.Body) == nil {
				b.Fatal("nothing")
			}
		}},
		"json": {func() { normalize(); line = out.AppendJSON(line[:0]) }, func() {
			if text, err := json.Marshal(byHand(ev.Body)); err != nil || len(text) == 0 {
				b.Fatal(err)
			}
		}},
	} {
		b.Run(name, func(b *testing.B) {
			// The turns are long, so that each pays for the garbage of its own.
			var ours, hand time.Duration
			turn := func(events int, f func()) time.Duration {
				runtime.GC()
				began := cpuTime(b)
				for range events {
					f()
				}
				return (cpuTime(b) - began) / time.Duration(events)
			}
			rounds := 0
			for b.Loop() {
				ours += turn(15_000, pair.ours)
				hand += turn(3_000, pair.hand)
				rounds++
			}
			b.ReportMetric(0, "ns/op") // of two turns: says nothing
			b.ReportMetric(float64(hand)/float64(ours), "hand/nagare")
			b.ReportMetric(ours.Seconds()*1e6/float64(rounds), "us/event")
			b.ReportMetric(float64(len(ev.Body)*rounds)/1e6/ours.Seconds(), "MB/s")
		})
	}
}

// fortyPaths maps 40 paths of the sign-in, as many as an event has that people
// read, and the constants that go with them.
const fortyPaths = `source: okta
products: {okta: {vendor_name: Okta, name: Okta Identity Cloud}}
uid: raw.uuid
time: raw.published
tables:
  outcome: {SUCCESS: Success, ALLOW: Success, FAILURE: Failure, DENY: Failure}
  severity: {INFO: Informational, WARN: Medium, ERROR: High}
  actor: {User: User, SystemPrincipal: System}
events:
  - when: raw.eventType == "policy.evaluate_sign_on"
    class: authentication
    activity: Logon
    set:
      message: raw.displayMessage
      severity: tables.severity[raw.severity]
      status: tables.outcome[raw.outcome.result]
      status_code: raw.outcome.result
      status_detail: raw.outcome.reason
      is_remote: true
      metadata: {event_code: raw.eventType, correlation_uid: raw.transaction.id, log_version: raw.version, log_name: "'System Log'"}
      user: {uid: raw.actor.id, name: raw.actor.alternateId, full_name: raw.actor.displayName, email_addr: raw.actor.alternateId, type: "tables.actor[raw.actor.type]"}
      actor.user: {uid: raw.actor.id, name: raw.actor.alternateId, full_name: raw.actor.displayName}
      service:
        name: raw.target[0].displayName
        uid: raw.target[0].id
      session: {uid: raw.authenticationContext.externalSessionId}
      src_endpoint:
        ip: raw.client.ipAddress
        type: raw.client.device
        domain: raw.securityContext.domain
        location:
          city: raw.client.geographicalContext.city
          region: raw.client.geographicalContext.state
          country: raw.client.geographicalContext.country
          postal_code: raw.client.geographicalContext.postalCode
          lat: raw.client.geographicalContext.geolocation.lat
          long: raw.client.geographicalContext.geolocation.lon
          isp: raw.securityContext.isp
        autonomous_system: {number: raw.securityContext.asNumber, name: raw.securityContext.asOrg}
      http_request: {user_agent: raw.client.userAgent.rawUserAgent, uid: raw.debugContext.debugData.requestId, url.path: raw.debugContext.debugData.requestUri}
      device: {uid: raw.device.id, name: raw.device.name, os: {name: raw.device.os_platform, version: raw.device.os_version}, is_managed: raw.device.managed}
      auth_factors:
        - {provider: raw.debugContext.debugData.authMethodFirstType, factor_type: "'Password'"}
        - {provider: raw.debugContext.debugData.authMethodSecondType, factor_type: "'WebAuthn'"}
`

// BenchmarkFortyPaths makes OCSF JSON lines with a mapping of 40 paths.
func BenchmarkFortyPaths(b *testing.B) {
	m, _ := loadText(b, fortyPaths).Source("okta")
	ev := &nagare.Event{Source: "okta", UID: "u", Received: time.Now(), Body: signIn(b)}
	var sc mapping.Scratch
	var out ocsf.Event
	var line []byte
	var spent time.Duration
	n := 0
	runtime.GC()
	b.ReportAllocs()
	for b.Loop() {
		began := cpuTime(b)
		for range 1000 {
			if err := m.Normalize(ev, &out, &sc); err != nil {
				b.Fatal(err)
			}
			line = out.AppendJSON(line[:0])
		}
		spent += cpuTime(b) - began
		n += 1000
	}
	b.ReportMetric(0, "ns/op") // of a thousand
	b.ReportMetric(spent.Seconds()*1e6/float64(n), "us/event")
	b.ReportMetric(float64(n*len(ev.Body))/1e6/spent.Seconds(), "MB/s")
}

// BenchmarkScale shows what an event costs when there is more that does not
// concern it, as a ratio to the least: all mappings loaded instead of one, and
// a table of 10,000 rows instead of 10.
func BenchmarkScale(b *testing.B) {
	table := func(rows int) *mapping.Set {
		var text strings.Builder
		text.WriteString(`source: okta
products: {okta: {vendor_name: Okta, name: Okta}}
uid: raw.uuid
time: raw.published
tables:
  kind:
    policy.evaluate_sign_on: sign_on
`)
		for i := range rows {
			fmt.Fprintf(&text, "    some.other.event_%d: sign_on\n", i)
		}
		text.WriteString(`events:
  - when: tables.kind[raw.eventType] == "sign_on"
    class: authentication
    activity: Logon
    set: {user: {uid: raw.actor.id, name: raw.actor.displayName}, service: {name: "'Okta'"}, status_detail: raw.outcome.reason}
`)
		return loadText(b, text.String())
	}
	for name, pair := range map[string][2]*mapping.Set{
		"mappings": {okta(b), builtin(b)},
		"rows":     {table(10), table(10_000)},
	} {
		b.Run(name, func(b *testing.B) {
			ev := &nagare.Event{Source: "okta", UID: "u", Received: time.Now(), Body: signIn(b)}
			var spent [2]time.Duration
			var sc [2]mapping.Scratch
			var out [2]ocsf.Event
			for b.Loop() {
				for i, set := range pair {
					m, _ := set.Source("okta")
					runtime.GC()
					began := cpuTime(b)
					for range 10_000 {
						if err := m.Normalize(ev, &out[i], &sc[i]); err != nil {
							b.Fatal(err)
						}
					}
					spent[i] += cpuTime(b) - began
				}
			}
			b.ReportMetric(0, "ns/op")
			b.ReportMetric(float64(spent[1])/float64(spent[0]), "more/least")
		})
	}
}
