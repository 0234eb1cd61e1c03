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
	// events are those of all runs; run and bytes, of their bodies, those of
	// this one.
	events, run, bytes int64
	// share is how much is done, 0 to 1; known says whether that is known.
	share float64
	known bool
	// sized says that share is one of amounts, so that a rest of time follows
	// from it; else it is one of stretches of time that may hold much or little.
	sized bool
	// at is the arrival time that was reached; zero when nothing was read yet.
	at time.Time
}

// A progress shows how far some reading is: a line that changes on a terminal,
// and a line now and then elsewhere.
type progress struct {
	what  string
	began time.Time
	first reading // where this run begins
	seen  bool
	last  reading
}

// The times between two lines.
const (
	terminalLine = 200 * time.Millisecond
	plainLine    = 5 * time.Second
)

// show shows what read says until the returned function is called.
func (p *progress) show(ctx context.Context, w io.Writer, read func() reading) (stop func()) {
	p.began = time.Now()
	return showLines(ctx, w, func() string { return p.line(read(), time.Now()) })
}

// showLines shows what line says, now and then, until the returned function is
// called.
func showLines(ctx context.Context, w io.Writer, line func() string) (stop func()) {
	f, ok := w.(*os.File)
	tty := ok && term.IsTerminal(int(f.Fd()))
	every, format := plainLine, "%s\n"
	if tty {
		every, format = terminalLine, "\r\x1b[K%s"
	}
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
				fmt.Fprintf(w, format, line())
			}
		}
	}()
	return func() {
		cancel()
		<-done
	}
}

// Until so much was done in so long, it says nothing about the rest.
const (
	tellingShare   = 0.05
	tellingSeconds = 2
)

// line is what is shown at a time.
func (p *progress) line(r reading, now time.Time) string {
	if r.known && !p.seen {
		p.first, p.seen = r, true
	}
	if r.at.Before(p.last.at) { // another shard, begun later
		r.at = p.last.at
	}
	if r.known && p.last.known {
		r.share = max(r.share, p.last.share)
	}
	p.last = r
	seconds := max(now.Sub(p.began).Seconds(), 0.001)
	const width = 20
	full := int(min(max(r.share, 0), 1) * width)
	line := fmt.Sprintf("%s [%s%s] ", p.what, strings.Repeat("#", full), strings.Repeat("-", width-full))
	if r.known {
		line += fmt.Sprintf("%3d%%", int(r.share*100)) // 100% is all
	} else {
		line += "  ?%"
	}
	line += fmt.Sprintf(" %d events, %.1f MB/s, %.0f events/s", r.events, float64(r.bytes)/1e6/seconds, float64(r.run)/seconds)
	if !r.at.IsZero() {
		line += ", at " + r.at.UTC().Format(time.RFC3339)
	}
	if gained := r.share - p.first.share; r.sized && r.known && r.share < 1 && gained >= tellingShare && seconds >= tellingSeconds {
		line += ", remaining " + time.Duration(seconds/gained*(1-r.share)*float64(time.Second)).Round(time.Second).String()
	}
	return line
}
