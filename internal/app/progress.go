package app

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"golang.org/x/term"
)

// A reading is how far some work is.
type reading struct {
	events, bytes uint64
	// at is the arrival time that was reached; zero when nothing was read yet.
	at time.Time
}

// A progress shows how far reading a stretch of time is: a line that changes
// on a terminal, and a line now and then elsewhere.
type progress struct {
	what     string
	from, to time.Time // from may be zero: then the first position stands for it
	began    time.Time
	last     reading
}

// The times between two lines.
const (
	terminalLine = 200 * time.Millisecond
	plainLine    = 5 * time.Second
)

// show shows what read says until the returned function is called.
func (p *progress) show(ctx context.Context, w io.Writer, read func() reading) (stop func()) {
	f, ok := w.(*os.File)
	tty := ok && term.IsTerminal(int(f.Fd()))
	every, format := plainLine, "%s\n"
	if tty {
		every, format = terminalLine, "\r\x1b[K%s"
	}
	p.began = time.Now()
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		tick := time.NewTicker(every)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				if tty {
					fmt.Fprint(w, "\r\x1b[K")
				}
				return
			case <-tick.C:
				fmt.Fprintf(w, format, p.line(read(), time.Now()))
			}
		}
	}()
	return func() {
		cancel()
		<-done
	}
}

// line is what is shown at a time.
func (p *progress) line(r reading, now time.Time) string {
	if r.at.Before(p.last.at) { // another shard, begun later
		r.at = p.last.at
	}
	p.last = r
	if p.from.IsZero() {
		p.from = r.at
	}
	seconds := max(now.Sub(p.began).Seconds(), 0.001)
	share, known := 0.0, false
	if !r.at.IsZero() && p.to.After(p.from) {
		share, known = min(max(float64(r.at.Sub(p.from))/float64(p.to.Sub(p.from)), 0), 1), true
	}
	const width = 20
	full := int(share * width)
	line := fmt.Sprintf("%s [%s%s] ", p.what, strings.Repeat("#", full), strings.Repeat("-", width-full))
	if known {
		line += fmt.Sprintf("%3.0f%%", share*100)
	} else {
		line += "  ?%"
	}
	line += fmt.Sprintf(" %d events, %.1f MB/s, %.0f events/s", r.events, float64(r.bytes)/1e6/seconds, float64(r.events)/seconds)
	if !r.at.IsZero() {
		line += ", at " + r.at.UTC().Format(time.RFC3339)
	}
	if known && share > 0.01 && seconds > 1 {
		line += ", remaining " + time.Duration(seconds/share*(1-share)*float64(time.Second)).Round(time.Second).String()
	}
	return line
}
