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
