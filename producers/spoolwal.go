package producers

import "nagare/internal/walcheck"

// repairLog looks at a log before SQLite does; see package walcheck. What is
// wrong in the pages themselves the rows' own checksums tell. It returns how
// many pages are damaged.
func repairLog(path, aside string) (bad int, err error) {
	found, err := walcheck.Repair(path, "", aside)
	return found.Bad, err
}
