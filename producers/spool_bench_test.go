package producers

import (
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"nagare"
)

// loneSync measures what one writer gets who appends 1500 bytes and syncs.
func loneSync(b *testing.B) float64 {
	f, err := os.Create(filepath.Join(b.TempDir(), "lone"))
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	data := make([]byte, 1500)
	n, began := 0, time.Now()
	for ; time.Since(began) < time.Second; n++ {
		if _, err := f.Write(data); err != nil {
			b.Fatal(err)
		}
		if err := f.Sync(); err != nil {
			b.Fatal(err)
		}
	}
	return float64(n) / time.Since(began).Seconds()
}

// BenchmarkSpool measures records of 1.5 KB, one a call, and sets them against
// a lone fsync right before and after. The figure to hold: with 64 writers, 8
// times the lone fsync or 30,000 a second, whichever is lower.
func BenchmarkSpool(b *testing.B) {
	for _, writers := range []int{1, 16, 64} {
		b.Run(fmt.Sprintf("writers=%d", writers), func(b *testing.B) {
			before := loneSync(b)
			s := openSpool(b, SpoolConfig{MaxBytes: 64 << 30})
			ev := numbered(0, 1)[0]
			ev.Body = make([]byte, 1350)
			for i := range ev.Body {
				ev.Body[i] = byte(' ' + i*7%90)
			}
			var left atomic.Int64
			left.Store(int64(b.N))
			var group sync.WaitGroup
			b.ResetTimer()
			for range writers {
				group.Go(func() {
					for left.Add(-1) >= 0 {
						if err := s.Put(b.Context(), []nagare.Event{ev}); err != nil {
							b.Error(err)
							return
						}
					}
				})
			}
			group.Wait()
			rate := float64(b.N) / b.Elapsed().Seconds()
			b.StopTimer()
			if err := s.Close(); err != nil {
				b.Error(err)
			}
			lone := (before + loneSync(b)) / 2
			b.ReportMetric(rate, "records/s")
			b.ReportMetric(lone, "lone-fsync/s")
			b.ReportMetric(rate/lone, "x-lone-fsync")
		})
	}
}
