package lake

import (
	"io"
	"testing"

	"nagare/ocsf"
)

// BenchmarkWriter writes files of 20,000 rows of a class with some 550 columns.
func BenchmarkWriter(b *testing.B) {
	l := newLayouts(b)
	tab := l.table(b, "authentication")
	const n = 20_000
	events := make([]*ocsf.Event, n)
	for i := range events {
		events[i] = l.authEvent(b, i)
	}
	b.ReportAllocs()
	var size int64
	for b.Loop() {
		w := newWriter(io.Discard, tab, nil)
		for i, e := range events {
			if err := w.add(e, pos(i)); err != nil {
				b.Fatal(err)
			}
		}
		if err := w.close(); err != nil {
			b.Fatal(err)
		}
		size = w.size()
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/n, "ns/row")
	b.ReportMetric(float64(size)/n, "B/row")
	b.ReportMetric(float64(len(tab.schema.Columns())), "columns")
	b.ReportMetric(0, "ns/op")
}

// BenchmarkSmallFile is the price of a file with one row.
func BenchmarkSmallFile(b *testing.B) {
	l := newLayouts(b)
	tab := l.table(b, "authentication")
	e := l.authEvent(b, 1)
	b.ReportAllocs()
	for b.Loop() {
		w := newWriter(io.Discard, tab, nil)
		if err := w.add(e, pos(1)); err != nil {
			b.Fatal(err)
		}
		if err := w.close(); err != nil {
			b.Fatal(err)
		}
		b.ReportMetric(float64(w.size()), "B/file")
	}
}
