package kinesisd

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"sync"
)

// maxOpenHours bounds the files kept open for reading while nobody reads them.
const maxOpenHours = 8

// fileCache opens record files for reading, and closes those not used for the
// longest time. It also removes files, since only it knows who reads them.
type fileCache struct {
	dir string

	mu    sync.Mutex
	open  map[int64]*hourReader
	clock int64 // counts acquisitions
	floor int64 // files below it are removed
}

// hourReader is the reading side of a file.
type hourReader struct {
	number                 int64
	db                     *sql.DB
	page, firstIn, highest *sql.Stmt
	users                  int   // fileCache.mu
	used                   int64 // fileCache.mu
	doomed                 bool  // fileCache.mu: remove the file after the last user
}

func newFileCache(dir string) *fileCache { return &fileCache{dir: dir, open: map[int64]*hourReader{}} }

// acquire opens a file; the caller must release it. It returns nil when
// retention has removed the file meanwhile.
func (c *fileCache) acquire(number int64) (*hourReader, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if number < c.floor {
		return nil, nil
	}
	r := c.open[number]
	if r == nil {
		var err error
		if r, err = openHourReader(hourPath(c.dir, number)); err != nil {
			return nil, err
		}
		r.number = number
		c.open[number] = r
		c.closeIdle()
	}
	c.clock++
	r.users, r.used = r.users+1, c.clock
	return r, nil
}

// closeIdle brings the number of open files down as far as it can.
func (c *fileCache) closeIdle() {
	for len(c.open) > maxOpenHours {
		var oldest *hourReader
		for _, r := range c.open {
			if r.users == 0 && r.used > 0 && (oldest == nil || r.used < oldest.used) {
				oldest = r
			}
		}
		if oldest == nil {
			return
		}
		delete(c.open, oldest.number)
		_ = oldest.close() // nothing was written through it
	}
}

func (c *fileCache) release(r *hourReader) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if r.users--; r.users > 0 || !r.doomed {
		return nil
	}
	delete(c.open, r.number)
	return errors.Join(r.close(), removeHour(hourPath(c.dir, r.number)))
}

// remove removes a file, and every file before it must be gone already. When
// somebody reads it, it goes after that.
func (c *fileCache) remove(number int64) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.floor = max(c.floor, number+1)
	r := c.open[number]
	if r != nil && r.users > 0 {
		r.doomed = true
		return nil
	}
	var err error
	if r != nil {
		delete(c.open, number)
		err = r.close()
	}
	return errors.Join(err, removeHour(hourPath(c.dir, number)))
}

func (c *fileCache) close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	var errs []error
	for _, r := range c.open {
		errs = append(errs, r.close())
	}
	clear(c.open)
	return errors.Join(errs...)
}

func openHourReader(path string) (*hourReader, error) {
	db, err := sql.Open("sqlite", dsn(path)+"?mode=ro&_pragma=busy_timeout(10000)&_pragma=query_only(1)&_pragma=cache_size(-2048)")
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(4)
	db.SetMaxIdleConns(4)
	r := &hourReader{db: db}
	var version int
	if err := db.QueryRow(`PRAGMA user_version`).Scan(&version); err != nil {
		return nil, errors.Join(fmt.Errorf("open %s: %w", path, err), db.Close())
	}
	sum := "sum"
	if version < 2 {
		sum = "NULL"
	}
	if r.page, err = db.Prepare(`SELECT id, t, pk, data, ` + sum + ` FROM r WHERE id > ? AND id <= ? ORDER BY id LIMIT ?`); err == nil {
		if r.firstIn, err = db.Prepare(`SELECT id, t FROM r WHERE id >= ? AND id <= ? ORDER BY id LIMIT 1`); err == nil {
			r.highest, err = db.Prepare(`SELECT id, t FROM r WHERE id >= ? AND id <= ? ORDER BY id DESC LIMIT 1`)
		}
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open %s: %w", path, err), r.close())
	}
	return r, nil
}

func (r *hourReader) close() error {
	for _, st := range []*sql.Stmt{r.page, r.firstIn, r.highest} {
		if st != nil {
			_ = st.Close() // the database's Close ends it in any case
		}
	}
	return r.db.Close()
}

// read returns a shard's records after one place and up to another, as far as
// they fit; with atLeastOne the first may be larger than that. full says that
// some did not fit. It has read everything when it returns: an open statement
// would keep the log from starting over.
func (r *hourReader) read(ctx context.Context, shard, after, to int64, maxRecords, maxBytes int, atLeastOne bool) (found []record, full bool, err error) {
	rows, err := r.page.QueryContext(ctx, rowID(shard, after), rowID(shard, to), maxRecords+1)
	if err != nil {
		return nil, false, err
	}
	defer rows.Close()
	size := 0
	for rows.Next() {
		if len(found) == maxRecords {
			return found, true, nil
		}
		var id int64
		var rec record
		var sum sql.NullInt64
		if err := rows.Scan(&id, &rec.at, &rec.partitionKey, &rec.data, &sum); err != nil {
			return nil, false, err
		}
		if sum.Valid && sum.Int64 != checksum(id, rec.at, rec.partitionKey, rec.data) {
			if len(found) > 0 {
				return found, true, nil // what comes before it is good
			}
			return nil, false, fmt.Errorf("record %s is damaged: its checksum is not what was stored with it", newSequence(r.number, id&maxPlace))
		}
		if size += len(rec.data); size > maxBytes && (len(found) > 0 || !atLeastOne) {
			return found, true, nil
		}
		rec.seq = newSequence(r.number, id&maxPlace)
		found = append(found, rec)
	}
	return found, false, rows.Err()
}

// firstSince finds the place of a shard's first record that arrived at a time
// or later. Arrival times never fall along a shard, so it can halve the range
// instead of reading every record.
func (r *hourReader) firstSince(ctx context.Context, shard, at int64) (place int64, found bool, err error) {
	top := rowID(shard, maxPlace)
	var id, t int64
	if err := r.highest.QueryRowContext(ctx, rowID(shard, 0), top).Scan(&id, &t); errors.Is(err, sql.ErrNoRows) || err == nil && t < at {
		return 0, false, nil
	} else if err != nil {
		return 0, false, err
	}
	low, high := int64(0), id&maxPlace // the record at high is late enough
	for low < high {
		middle := low + (high-low)/2
		if err := r.firstIn.QueryRowContext(ctx, rowID(shard, middle), top).Scan(&id, &t); err != nil {
			return 0, false, err
		}
		if t >= at {
			high = middle // no record lies between middle and id
		} else {
			low = id&maxPlace + 1
		}
	}
	// low may lie before the record it stands for; as a position both are equal
	return low, true, nil
}
