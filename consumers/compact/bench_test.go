package compact

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"sync"
	"testing"
	"time"

	"nagare"
	"nagare/consumers"
	"nagare/internal/lake"
	"nagare/ocsf"
	"nagare/ocsf/mapping"
	"nagare/ocsf/mappings"
)

// BenchmarkFlush commits 20,000 events of four sources, made of the sample
// data, with the built-in mappings: once through Process, once through Flush.
func BenchmarkFlush(b *testing.B) {
	schema, err := ocsf.Load("1.3.0")
	if err != nil {
		b.Fatal(err)
	}
	var files []mapping.File
	names, _ := fs.Glob(mappings.FS, "*.yaml")
	for _, n := range names {
		data, _ := mappings.FS.ReadFile(n)
		files = append(files, mapping.File{Name: n, Data: data})
	}
	layouts := ocsf.NewLayouts(schema)
	set, _ := mapping.Load(layouts, files)
	layouts.Freeze()
	r := newRig(b)
	r.cfg.Tables = lake.NewTables(schema)
	pool := sync.Pool{New: func() any { return new(mapping.Scratch) }}
	r.cfg.Normalize = func(ev *nagare.Event, out *ocsf.Event) error {
		m, ok := set.Source(ev.Source)
		if !ok {
			return &mapping.Dead{Reason: mapping.NoMapping}
		}
		sc := pool.Get().(*mapping.Scratch)
		defer pool.Put(sc)
		err := m.Normalize(ev, out, sc)
		if err == nil { // the samples are of many days, a stream is mostly of one
			out.Slots[out.Layout.Slot("time")] = ocsf.IntValue(start.UnixMilli())
		}
		return err
	}
	events := sample(b, 20_000)
	raw := 0
	for i := range events {
		raw += len(events[i].Body)
	}
	next := 0
	var process, flush time.Duration
	var peak uint64
	var before, written int64
	for b.Loop() {
		b.StopTimer()
		r.shard.ID = fmt.Sprintf("shardId-%012d", next)
		next++
		for i := range events {
			events[i].Pos.Shard = r.shard.ID
		}
		st, err := New(r.cfg)(r.shard)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := st.Open(b.Context(), consumers.Shard{}); err != nil {
			b.Fatal(err)
		}
		runtime.GC()
		before = r.cfg.Stats.Lake.Bytes.Load()
		b.StartTimer()
		at := time.Now()
		if err := st.Process(b.Context(), events); err != nil {
			b.Fatal(err)
		}
		process += time.Since(at)
		at = time.Now()
		if err := st.Flush(b.Context(), events[len(events)-1].Pos, false); err != nil {
			b.Fatal(err)
		}
		flush += time.Since(at)
		written = r.cfg.Stats.Lake.Bytes.Load() - before
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		peak = max(peak, m.HeapSys-m.HeapReleased)
	}
	n := float64(b.N) * float64(len(events))
	rows := float64(r.cfg.Stats.Lake.Rows.Load())
	b.ReportMetric(n/process.Seconds(), "process-ev/s")
	b.ReportMetric(n/flush.Seconds(), "flush-ev/s")
	b.ReportMetric(float64(written)/float64(len(events)), "B/ev-all")
	b.ReportMetric(float64(raw)/float64(len(events)), "raw-B/ev")
	b.ReportMetric(rows/n*100, "rows-%")
	b.ReportMetric(float64(r.cfg.Stats.Lake.Files.Load())/float64(b.N), "files")
	b.ReportMetric(float64(peak>>20), "heap-MB")
	b.ReportMetric(0, "ns/op")
}

// sample makes n events of the lines of the sample data, each with an id of
// its own.
func sample(b *testing.B, n int) []nagare.Event {
	root := "../../../shared/data"
	var lines []nagare.Event
	for source, folder := range map[string]string{"okta": "okta_system_log", "entra": "entra_signin", "cloudtrail": "aws_cloudtrail", "defender": "microsoft_defender_xdr"} {
		names, _ := filepath.Glob(filepath.Join(root, folder, "*.jsonl"))
		for _, name := range names {
			data, err := os.ReadFile(name)
			if err != nil {
				b.Fatal(err)
			}
			sc := bufio.NewScanner(bytes.NewReader(data))
			sc.Buffer(nil, 1<<20)
			for sc.Scan() {
				if json.Valid(sc.Bytes()) {
					lines = append(lines, nagare.Event{Source: source, Auth: nagare.AuthPass, Body: bytes.Clone(sc.Bytes())})
				}
			}
		}
	}
	if len(lines) == 0 {
		b.Skip("no sample data here")
	}
	events := make([]nagare.Event, n)
	for i := range events {
		ev := lines[i%len(lines)]
		ev.ID, ev.UID = fmt.Sprintf("id-%d", i), fmt.Sprintf("uid-%d", i)
		ev.Received = start
		ev.Pos = nagare.Position{Stream: "nagare@1764000000", Shard: "s", Seq: strconv.Itoa(1000 + i/100), Index: i % 100, Arrived: start}
		events[i] = ev
	}
	return events
}
