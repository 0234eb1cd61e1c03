package producers

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// load looks at what an earlier process left in the folder.
func (s *Spool) load() error {
	kept, err := filepath.Glob(filepath.Join(s.cfg.Dir, "damaged-*"))
	if err != nil {
		return err
	}
	for _, name := range kept {
		s.used += sizeOf(name)
	}
	names, err := filepath.Glob(filepath.Join(s.cfg.Dir, "spool-*.db"))
	if err != nil {
		return err
	}
	numbers := map[int64]string{}
	for _, name := range names {
		var n int64
		if _, err := fmt.Sscanf(filepath.Base(name), "spool-%d.db", &n); err != nil || n < 1 || name != spoolPath(s.cfg.Dir, n) {
			return fmt.Errorf("%s is no file of a spool: take it away", name)
		}
		numbers[n] = name
	}
	if s.id, err = spoolID(s.cfg.Dir); err != nil {
		return err
	}
	next, marked, id, err := readMark(s.cfg.Dir, s.id)
	if err != nil {
		return err
	}
	s.committer.next = next
	order := make([]int64, 0, len(numbers))
	for n := range numbers {
		order = append(order, n)
	}
	slices.Sort(order)
	for i, n := range order {
		path := numbers[n]
		s.committer.next = max(s.committer.next, n+1)
		if n < marked { // drained, and the crash came before the removal
			if err := removeSpoolFile(path); err != nil {
				return err
			}
			continue
		}
		f := &spoolFile{number: n, path: path, bytes: sizeOf(path) + sizeOf(path+"-wal"), born: s.cfg.now()}
		if n == marked {
			f.sent = id
		}
		empty, err := s.inspect(f)
		if err != nil {
			return err
		}
		if empty && i == len(order)-1 { // the crash came while it was made
			if err := removeSpoolFile(path); err != nil {
				return err
			}
			continue
		}
		if empty {
			s.damage(f, fmt.Errorf("%s is empty", path))
		}
		s.files = append(s.files, f)
		s.used += f.bytes
	}
	if len(s.files) > 0 {
		s.cfg.Log.Info("the spool holds events of an earlier process", "stream", s.cfg.Stream, "files", len(s.files), "bytes", s.used)
	}
	s.measure()
	return nil
}

func sizeOf(name string) int64 {
	info, err := os.Stat(name)
	if err != nil {
		return 0
	}
	return info.Size()
}

// inspect finishes what a crash interrupted in a file, and finds its last row.
// What is damaged is no error. empty says that nothing was ever written to it.
func (s *Spool) inspect(f *spoolFile) (empty bool, err error) {
	if bad, err := repairLog(f.path+"-wal", filepath.Join(s.cfg.Dir, fmt.Sprintf("damaged-%08d.wal", f.number))); err != nil {
		return false, err
	} else if bad > 0 {
		s.used += sizeOf(f.path + "-wal")
		s.cfg.Log.Error("a log of the spool is damaged; what it says is read nevertheless, checksum by checksum", "stream", s.cfg.Stream, "file", f.path, "pages", bad)
	}
	db, err := sql.Open("sqlite", sqliteURL(f.path)+"?_pragma=busy_timeout(10000)&_pragma=synchronous(FULL)")
	if err != nil {
		return false, err
	}
	defer db.Close()
	db.SetMaxOpenConns(1)
	var version int
	var last sql.NullInt64
	var oldest int64
	err = db.QueryRow(`PRAGMA user_version`).Scan(&version)
	switch {
	case err == nil && version != 1:
		var table string
		switch e := db.QueryRow(`SELECT sql FROM sqlite_master WHERE name = 'r'`).Scan(&table); {
		case version == 0 && errors.Is(e, sql.ErrNoRows):
			return true, nil
		case e == nil && table != spoolTable:
			return false, fmt.Errorf("%s has format version %d, this program knows 1: start the one that wrote it, to drain it", f.path, version)
		case e != nil && isPassing(e):
			return false, fmt.Errorf("read %s: %w", f.path, e)
		}
		s.damage(f, fmt.Errorf("%w: the format's version is %d", errRow, version)) // the table is ours
	}
	if err == nil {
		_, _ = db.Exec(`PRAGMA wal_checkpoint(TRUNCATE)`)
		err = db.QueryRow(`SELECT max(id) FROM r`).Scan(&last)
	}
	if err == nil && last.Int64 > f.sent {
		err = db.QueryRow(`SELECT t FROM r WHERE id > ? ORDER BY id LIMIT 1`, f.sent).Scan(&oldest)
	}
	f.last = last.Int64
	if err != nil {
		if isPassing(err) {
			return false, fmt.Errorf("read %s: %w", f.path, err)
		}
		s.damage(f, err)
	}
	if oldest > 0 && s.oldest.IsZero() {
		s.oldest = time.UnixMilli(oldest)
	}
	return false, nil
}

// damage notes that a file cannot be read as a whole: its rows are then read
// one by one.
func (s *Spool) damage(f *spoolFile, err error) {
	s.cfg.Log.Error("a file of the spool is damaged; saving what can be read", "stream", s.cfg.Stream, "file", f.path, "err", err)
	s.mu.Lock()
	defer s.mu.Unlock()
	f.damaged = true
	if s.oldest.IsZero() {
		s.oldest = s.cfg.now()
	}
}

// salvage sends the rows of a damaged file that can be read, counts the
// others, and sets the file aside.
func (d *drainer) salvage(ctx context.Context, f *spoolFile) error {
	s := d.s
	s.mu.Lock()
	writing, next, last := f.writing, f.sent+1, f.last
	s.mu.Unlock()
	if writing { // the committer will see the damage and close it
		op := &spoolPut{done: make(chan error, 1)}
		select {
		case s.ops <- op:
			<-op.done
		case <-s.done:
		}
		return nil
	}
	known := last > 0
	if !known {
		last = f.bytes / rowOverhead // more rows than it can hold
	}
	d.closeReader()
	r, err := openSpoolReader(f.path)
	if err != nil && isPassing(err) {
		return err
	}
	var page []spoolRow
	size, missing := 0, int64(0) // missing since the last row that was found
	send := func() error {
		if len(page) == 0 {
			return nil
		}
		err := d.send(ctx, f, page)
		page, size = nil, 0
		return err
	}
	if r != nil {
		defer r.close()
	} else if known {
		next, missing = last+1, last-next+1
	}
	for id := next; r != nil && id <= last; id++ {
		row, err := r.get(ctx, id)
		if err == nil {
			_, err = decodeRow(row.data)
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil && isPassing(err) {
			return err
		}
		if err != nil {
			missing++
			continue
		}
		f.lost += missing
		missing = 0
		page = append(page, row)
		if size += len(row.data); size >= spoolPageBytes || len(page) == spoolPageRows {
			if err := send(); err != nil {
				return err
			}
		}
	}
	if err := send(); err != nil {
		return err
	}
	switch {
	case known:
		f.lost += missing
	case f.lost == 0:
		f.lost = 1 // nobody knows how many; it is not none
	}
	return d.setAside(f)
}

// setAside takes a damaged file out of the way and keeps it: there may be
// tools, and people, who read more of it. It counts for the spool's size until
// somebody removes it.
func (d *drainer) setAside(f *spoolFile) error {
	s := d.s
	aside := filepath.Join(s.cfg.Dir, fmt.Sprintf("damaged-%08d.db", f.number))
	for _, suffix := range []string{"-wal", "-shm", ""} {
		if err := os.Rename(f.path+suffix, aside+suffix); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
	}
	s.cfg.Metrics.spoolDamaged.WithLabelValues(s.cfg.Stream).Add(float64(f.lost))
	s.cfg.Log.Error("batches of acknowledged events could not be read back", "stream", s.cfg.Stream, "batches", f.lost, "kept", aside)
	s.mu.Lock()
	s.files = slices.DeleteFunc(s.files, func(g *spoolFile) bool { return g == f })
	s.mu.Unlock()
	s.advance(f, f.last, s.cfg.now())
	return nil
}
