package kinesisd

import (
	"database/sql"
	"fmt"
	"slices"
)

// rollIfDue starts a new file when the one in use has records of an earlier
// span of time.
func (w *writer) rollIfDue(at int64) error {
	span := w.s.cfg.FileSpan.Milliseconds()
	spanOver := w.hour.first != 0 && w.hour.first/max(span, 1) != at/max(span, 1)
	if !spanOver && w.place < startPlace {
		return nil
	}
	if err := w.file.end(); err != nil {
		return fmt.Errorf("close the records of hour %d: %w", w.hour.number, err)
	}
	last := w.hour.last
	if last == 0 {
		last = w.lastAt // of a file without records, so that times rise along the list
	}
	// The list first: a number on it is never given again, whatever becomes
	// of the file.
	h := &hour{}
	err := w.s.meta.change(func(tx *sql.Tx) error {
		if _, err := tx.Exec(`UPDATE hours SET first = ?, last = ?, closed = 1 WHERE number = ?`, w.hour.first, last, w.hour.number); err != nil {
			return err
		}
		return insertHour(tx, h)
	})
	if err != nil {
		return fmt.Errorf("begin a new hour: %w", err)
	}
	file, err := openHour(hourPath(w.s.cfg.Dir, h.number))
	if err != nil {
		return err
	}
	w.file = file
	w.s.mu.Lock()
	w.hour.closed, w.hour.last = true, last
	w.s.hours = append(w.s.hours, h)
	w.s.mu.Unlock()
	w.hour, w.place = h, 0
	return nil
}

func insertHour(tx *sql.Tx, h *hour) error {
	r, err := tx.Exec(`INSERT INTO hours (first, last, closed) VALUES (0, 0, 0)`)
	if err != nil {
		return err
	}
	if h.number, err = r.LastInsertId(); err == nil && h.number > maxHour {
		err = fmt.Errorf("the numbers of record files are used up")
	}
	return err
}

// housekeep removes the files and the closed shards that retention has passed.
func (w *writer) housekeep() error {
	if w.brokenBy != nil {
		return nil
	}
	now := w.s.cfg.now()
	if err := w.rollIfDue(max(w.lastAt, now.UnixMilli())); err != nil {
		return w.run1(func() error { return err }) // without a file nothing can be stored
	}
	if err := w.trimShards(); err != nil {
		return err
	}
	for len(w.s.hours) > 1 && w.pastRetention(w.s.hours[0]) {
		h := w.s.hours[0]
		err := w.s.meta.change(func(tx *sql.Tx) error {
			_, err := tx.Exec(`DELETE FROM hours WHERE number = ?`, h.number)
			return err
		})
		if err != nil {
			return err
		}
		w.s.mu.Lock()
		w.s.hours = slices.Clone(w.s.hours[1:])
		w.s.mu.Unlock()
		if err := w.s.files.remove(h.number); err != nil {
			return err
		}
		w.s.log.Info("removed records past retention", "hour", h.number)
	}
	return nil
}

// pastRetention says that no stream wants a file any more.
func (w *writer) pastRetention(h *hour) bool {
	if !h.closed {
		return false
	}
	now := w.s.cfg.now()
	for _, st := range w.s.streams {
		if h.last >= now.Add(-st.retention).UnixMilli() {
			return false
		}
	}
	return true
}

// trimShards forgets closed shards whose last record is past retention.
func (w *writer) trimShards() error {
	now := w.s.cfg.now()
	for _, st := range w.s.streams {
		horizon := now.Add(-st.retention - w.s.cfg.FileSpan).UnixMilli()
		gone := func(sh *shard) bool { return sh.end != 0 && sh.closed < horizon }
		if !slices.ContainsFunc(st.shards, gone) {
			continue
		}
		err := w.s.meta.change(func(tx *sql.Tx) error {
			_, err := tx.Exec(`DELETE FROM shards WHERE stream = ? AND "end" != 0 AND closed < ?`, st.id, horizon)
			return err
		})
		if err != nil {
			return err
		}
		w.s.mu.Lock()
		st.shards = slices.DeleteFunc(slices.Clone(st.shards), gone)
		w.s.mu.Unlock()
	}
	return nil
}
