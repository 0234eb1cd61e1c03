package producers

import (
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	sqlite3 "modernc.org/sqlite/lib"

	"nagare"
)

const (
	// A page of rows goes to the stream at once: enough to fill its frames,
	// and few enough for memory.
	spoolPageRows, spoolPageBytes = 2000, 2 << 20
	// markEvery is how often it is written down how far the stream is.
	markEvery = time.Second
)

// Run brings what is spooled to the stream, oldest first, until ctx ends, and
// then for up to Config.Drain longer. The next Run, in this process or another,
// goes on where it was, or a second's worth before. There is one at a time.
func (s *Spool) Run(ctx context.Context, to Putter) error {
	if !s.running.CompareAndSwap(false, true) {
		return errors.New("spool: two goroutines would drain it")
	}
	defer s.running.Store(false)
	work, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	defer context.AfterFunc(ctx, func() {
		t := time.NewTimer(s.cfg.Drain)
		defer t.Stop()
		select {
		case <-t.C:
		case <-work.Done():
		}
		stop()
	})()
	d := &drainer{s: s, to: to}
	defer d.close()
	for attempt := 0; ; {
		idle, err := d.step(work)
		switch {
		case errors.Is(err, ErrClosed), work.Err() != nil:
			return nil // what is left waits for the next start
		case err != nil:
			s.cfg.Log.Warn("the spool is not drained, trying again", "stream", s.cfg.Stream, "err", err)
			if pause(work, attempt) != nil {
				return nil
			}
			attempt++
			continue
		}
		attempt = 0
		if idle {
			if ctx.Err() != nil {
				return nil
			}
			d.mark(0)
			select {
			case <-s.changed:
			case <-ctx.Done():
			}
		}
	}
}

// A drainer reads the files and removes them. It belongs to Run.
type drainer struct {
	s      *Spool
	to     Putter
	file   *spoolFile // the one that reader reads
	reader *spoolReader
	marked time.Time
	failed int // reads that failed, in a row
}

func (d *drainer) close() {
	d.closeReader()
	d.s.writeMark()
}

func (d *drainer) closeReader() {
	if d.reader != nil {
		_ = d.reader.close() // nothing was written through it
	}
	d.reader, d.file = nil, nil
}

// mark writes down how far it is, if that is long ago.
func (d *drainer) mark(every time.Duration) {
	if time.Since(d.marked) >= every {
		d.s.writeMark()
		d.marked = time.Now()
	}
}

// step drains one page, or removes one file. idle says that there was neither.
func (d *drainer) step(ctx context.Context) (idle bool, err error) {
	s := d.s
	s.mu.Lock()
	if len(s.files) == 0 {
		s.mu.Unlock()
		return true, nil
	}
	f := s.files[0]
	// Looked at before the read: rows may come until the file is closed.
	sent, last, writing, damaged := f.sent, f.last, f.writing, f.damaged
	s.mu.Unlock()
	if damaged {
		return false, d.salvage(ctx, f)
	}
	if sent == last {
		if writing {
			return true, nil
		}
		return false, d.remove(f)
	}
	page, err := d.page(ctx, f, sent)
	if err == nil && len(page) == 0 {
		err = fmt.Errorf("%w: row %d of %d is not there", errRow, sent+1, last)
	}
	if err != nil {
		// A disk that cannot read a place today may do it tomorrow; the other
		// files shall not wait for that.
		if d.failed++; isDamage(err) || sqliteCode(err) == sqlite3.SQLITE_IOERR && d.failed > 5 {
			d.failed = 0
			s.damage(f, err)
			return false, nil
		}
		return false, fmt.Errorf("read %s: %w", f.path, err)
	}
	d.failed = 0
	return false, d.send(ctx, f, page)
}

func (d *drainer) page(ctx context.Context, f *spoolFile, after int64) ([]spoolRow, error) {
	if err := d.s.cfg.fault("read"); err != nil {
		return nil, err
	}
	if d.file != f {
		d.closeReader()
		r, err := openSpoolReader(f.path)
		if err != nil {
			return nil, err
		}
		d.file, d.reader = f, r
	}
	return d.reader.read(ctx, after, spoolPageRows, spoolPageBytes)
}

// send puts rows on the stream, and notes that they are there.
func (d *drainer) send(ctx context.Context, f *spoolFile, page []spoolRow) error {
	s := d.s
	var events []nagare.Event
	for _, row := range page {
		found, err := decodeRow(row.data)
		if err != nil { // its checksum is right, so it was written so
			s.damage(f, fmt.Errorf("row %d: %w", row.id, err))
			return nil
		}
		events = append(events, found...)
	}
	if err := s.cfg.fault("send"); err != nil {
		return err
	}
	if err := d.to.Put(ctx, events); err != nil {
		return err
	}
	s.cfg.Metrics.drained.WithLabelValues(s.cfg.Stream).Add(float64(len(events)))
	newest := page[len(page)-1]
	s.advance(f, newest.id, newest.t)
	d.mark(markEvery)
	return nil
}

// advance notes that a file's rows up to id are on the stream. What still
// waits came at t or later.
func (s *Spool) advance(f *spoolFile, id int64, t time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f.sent = max(f.sent, id)
	s.oldest = t
	if !slices.ContainsFunc(s.files, func(f *spoolFile) bool { return f.sent < f.last }) {
		s.oldest = time.Time{}
	}
	s.measure()
}

// remove removes a file whose rows are all on the stream.
func (d *drainer) remove(f *spoolFile) error {
	s := d.s
	if d.file == f {
		d.closeReader()
	}
	// First the mark: without it, a crash before the next one would find a
	// mark in a file that is gone, which is right too, but says less.
	d.mark(0)
	if err := s.cfg.fault("remove"); err != nil {
		return err
	}
	if err := removeSpoolFile(f.path); err != nil {
		return fmt.Errorf("remove %s: %w", f.path, err)
	}
	s.forget(f)
	return nil
}

// forget takes a file off the list and gives its room back.
func (s *Spool) forget(f *spoolFile) {
	s.mu.Lock()
	s.files = slices.DeleteFunc(s.files, func(g *spoolFile) bool { return g == f })
	s.mu.Unlock()
	s.release(f.bytes)
}

// The mark says which row was the last to reach the stream. It is written
// without a sync, for it is a hint: without it, or with one from yesterday,
// events go to the stream again. Only a wrong one would lose them, so it has a
// checksum.
func markPath(dir string) string { return filepath.Join(dir, "sent") }

func (s *Spool) writeMark() {
	s.mu.Lock()
	var number, id int64
	for _, f := range s.files {
		if f.sent > 0 || number == 0 {
			number, id = f.number, f.sent
		}
		if f.sent < f.last {
			break
		}
	}
	s.mu.Unlock()
	if number == 0 {
		return
	}
	text := fmt.Sprintf("%d %d %s", number, id, s.id)
	text = fmt.Sprintf("%s %08x\n", text, crc32.Checksum([]byte(text), castagnoli))
	err := s.cfg.fault("mark")
	if err == nil {
		tmp := markPath(s.cfg.Dir) + ".tmp"
		if err = os.WriteFile(tmp, []byte(text), 0o600); err == nil {
			err = os.Rename(tmp, markPath(s.cfg.Dir))
		}
	}
	if err != nil {
		s.cfg.Log.Warn("not written how far the spool is drained: a restart sends more again", "stream", s.cfg.Stream, "err", err)
	}
}

// readMark returns zeros if there is none, or a damaged one. One of another
// spool, which would have events removed that nobody has sent, is refused; one
// of an earlier version, which does not say whose it is, counts for the numbers
// of files only.
func readMark(dir, spool string) (next, number, row int64, err error) {
	text, err := os.ReadFile(markPath(dir))
	if err != nil || len(text) > 200 {
		return 1, 0, 0, nil
	}
	line := strings.TrimSuffix(string(text), "\n")
	at := strings.LastIndexByte(line, ' ')
	if at < 0 || fmt.Sprintf("%08x", crc32.Checksum([]byte(line[:at]), castagnoli)) != line[at+1:] {
		return 1, 0, 0, nil
	}
	var whose string
	switch n, _ := fmt.Sscanf(line[:at], "%d %d %s", &number, &row, &whose); {
	case n < 2:
		return 1, 0, 0, nil
	case n == 2:
		return number + 1, 0, 0, nil
	case whose != spool:
		return 0, 0, 0, fmt.Errorf("%s is of another spool: remove it, and what is here is sent, some of it perhaps again", markPath(dir))
	}
	return number + 1, number, row, nil
}
