package mapping_test

import (
	"io/fs"
	"runtime"
	"testing"
	"time"

	"nagare"
	"nagare/ocsf"
	"nagare/ocsf/mapping"
	"nagare/ocsf/mappings"
)

// BenchmarkSources makes OCSF JSON of the events of the cases of each source:
// processor time and memory an event, and the rate. The cases are short odd
// events on purpose, so rates are below those of the usual ones.
func BenchmarkSources(b *testing.B) {
	set := builtin(b)
	head := set.Head(mapping.Options{})
	for _, source := range set.Sources() {
		m, _ := set.Source(source)
		var events []nagare.Event
		size := 0
		var out ocsf.Event
		var sc mapping.Scratch
		for _, c := range m.Cases {
			input, err := fs.ReadFile(mappings.FS, c.File)
			if err != nil {
				b.Fatal(err)
			}
			for _, body := range deliveries(input) {
				split, err := head.Split(source, body, mapping.HeadMeta{Received: received})
				if err != nil {
					continue
				}
				for _, e := range split {
					ev := nagare.Event{Source: source, UID: "u", Received: received, Body: e.Body}
					if m.Normalize(&ev, &out, &sc) == nil {
						events = append(events, ev)
						size += len(ev.Body)
					}
				}
			}
		}
		b.Run(source, func(b *testing.B) {
			var line []byte
			var before, after runtime.MemStats
			runtime.GC()
			runtime.ReadMemStats(&before)
			var spent time.Duration
			rounds := 0
			for b.Loop() {
				began := cpuTime(b)
				for range 1 + 2000/len(events) {
					for i := range events {
						if err := m.Normalize(&events[i], &out, &sc); err != nil {
							b.Fatal(err)
						}
						line = out.AppendJSON(line[:0])
					}
					rounds++
				}
				spent += cpuTime(b) - began
			}
			runtime.ReadMemStats(&after)
			n := float64(rounds * len(events))
			b.ReportMetric(0, "ns/op")
			b.ReportMetric(float64(size)/float64(len(events)), "bytes/event")
			b.ReportMetric(spent.Seconds()*1e6/n, "us/event")
			b.ReportMetric(float64(after.Mallocs-before.Mallocs)/n, "allocs/event")
			b.ReportMetric(float64(rounds*size)/1e6/spent.Seconds(), "MB/s")
		})
	}
}
