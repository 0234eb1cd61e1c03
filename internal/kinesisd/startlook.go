package kinesisd

import (
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"nagare/internal/walcheck"
)

// No sequence number is given twice, whatever a crash or a bad disk did to the
// newest file: consumers would take a new record for one that they have had. So
// a start never goes on in a file whose end it would have to trust; the next
// record begins another one.
const startPlace = maxPlace - 1<<20

// passNumbers lets the list give no number that a file in the folder has, or had
// before it was set aside: a list that has lost its log has lost its count too.
func (s *Server) passNumbers() error {
	names, err := os.ReadDir(s.cfg.Dir)
	if err != nil {
		return err
	}
	var highest, n int64
	for _, e := range names {
		if _, err := fmt.Sscanf(strings.TrimPrefix(e.Name(), "damaged-"), "records-%d.db", &n); err == nil && n < maxHour/2 { // a name that is none of ours uses nothing up
			highest = max(highest, n)
		}
	}
	return s.meta.change(func(tx *sql.Tx) error {
		if _, err := tx.Exec(`INSERT INTO sqlite_sequence (name, seq) SELECT 'hours', 0 WHERE NOT EXISTS (SELECT 1 FROM sqlite_sequence WHERE name = 'hours')`); err != nil {
			return err
		}
		_, err := tx.Exec(`UPDATE sqlite_sequence SET seq = ? WHERE name = 'hours' AND seq < ?`, highest, highest)
		return err
	})
}

// lookAtNewest looks at the newest file of records before SQLite does, which
// takes a damaged log for one that a crash cut short, and leaves out every
// commit behind the damage. Those are read here, record by record, each with
// its checksum; what is lost is said.
func (s *Server) lookAtNewest(number int64) error {
	path := hourPath(s.cfg.Dir, number)
	if info, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) || err == nil && info.Size() == 0 {
		s.log.Error("the newest file of records is missing or empty: what it had is lost, unless a crash came just when it was made", "file", path, "number", number)
	}
	found, err := walcheck.Repair(path+"-wal", path+"-shm", filepath.Join(s.cfg.Dir, fmt.Sprintf("damaged-records-%08d.db-wal", number)))
	if err != nil {
		return err
	}
	if !found.Sound() {
		s.log.Error("the log of the newest records is damaged; what it still says is served", "file", path+"-wal", "damaged_pages", found.Bad, "missing_pages", found.Missing)
	}
	return nil
}

// removeStrays removes files that a crash left between being struck off the
// list and being removed. One that may still be wanted was not struck off: the
// list has lost it. It is set aside, and nothing takes its name.
func (s *Server) removeStrays(hours []*hour) error {
	names, err := filepath.Glob(filepath.Join(s.cfg.Dir, "records-*.db"))
	if err != nil {
		return err
	}
	for _, name := range names {
		if slices.ContainsFunc(hours, func(h *hour) bool { return hourPath(s.cfg.Dir, h.number) == name }) {
			continue
		}
		wanted, err := s.isWanted(name)
		switch {
		case !wanted:
			s.log.Info("removing records past retention", "file", name)
			err = removeHour(name)
		default:
			aside := filepath.Join(s.cfg.Dir, "damaged-"+filepath.Base(name))
			s.log.Error("a file of records is not on the list and not past retention; it is set aside and not served", "file", aside, "reason", err)
			err = setAside(name, aside)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// isWanted says whether a file may have records that are not past retention;
// an error says why that is not known.
func (s *Server) isWanted(path string) (bool, error) {
	if info, err := os.Stat(path); err == nil && info.Size() == 0 {
		return false, nil // a crash came while it was made
	}
	r, err := openHour(path)
	if err != nil {
		return true, err
	}
	_, _, last, err := r.highest()
	if err := errors.Join(err, r.close()); err != nil {
		return true, err
	}
	keep := s.cfg.Retention
	for _, st := range s.streams {
		keep = max(keep, st.retention)
	}
	return last >= s.cfg.now().Add(-keep).UnixMilli(), nil
}

func setAside(from, to string) error {
	for _, suffix := range []string{"-wal", "-shm", ""} {
		if err := os.Rename(from+suffix, to+suffix); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return syncDir(filepath.Dir(from))
}
