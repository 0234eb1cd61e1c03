package kinesisd

import (
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"os"
	"time"
)

// formatVersion is kept in the user_version of every file of records,
// metadataVersion in that of the metadata. A file of a later version is
// refused. Metadata of an earlier one is brought up to date, and so is the file
// that records go into; full ones are read as they are.
const (
	formatVersion   = 2
	metadataVersion = 2
)

// metadata is the small database of streams, shards, consumers and the list
// of record files. It stays locked while it is open, which also keeps a second
// server out of the folder.
type metadata struct{ db *sql.DB }

const metadataSchema = `
CREATE TABLE hours (number INTEGER PRIMARY KEY AUTOINCREMENT, first INTEGER NOT NULL, last INTEGER NOT NULL, closed INTEGER NOT NULL);
CREATE TABLE streams (id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL UNIQUE, created INTEGER NOT NULL,
	retention INTEGER NOT NULL, max_record INTEGER NOT NULL, on_demand INTEGER NOT NULL, next_index INTEGER NOT NULL);
CREATE TABLE shards (number INTEGER PRIMARY KEY AUTOINCREMENT, stream INTEGER NOT NULL, idx INTEGER NOT NULL,
	low TEXT NOT NULL, high TEXT NOT NULL, parent TEXT NOT NULL, adjacent TEXT NOT NULL,
	start INTEGER NOT NULL, "end" INTEGER NOT NULL, created INTEGER NOT NULL, closed INTEGER NOT NULL, UNIQUE (stream, idx));
CREATE TABLE consumers (stream INTEGER NOT NULL, name TEXT NOT NULL, created INTEGER NOT NULL, PRIMARY KEY (stream, name));
`

// metadataSince2 came with version 2: what is kept of a stream beside its
// shards, and what is attached to streams (consumer is empty) and consumers.
const metadataSince2 = `
ALTER TABLE streams ADD COLUMN settings TEXT NOT NULL DEFAULT '{}';
CREATE TABLE attached (stream INTEGER NOT NULL, consumer TEXT NOT NULL, value TEXT NOT NULL, PRIMARY KEY (stream, consumer));
PRAGMA user_version = 2;`

func openMetadata(path string) (*metadata, error) {
	if err := createPrivate(path); err != nil {
		return nil, fmt.Errorf("open %s: %w", path, err)
	}
	db, err := sql.Open("sqlite", dsn(path)+"?_pragma=busy_timeout(0)&_pragma=locking_mode(EXCLUSIVE)&_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)&_txlock=immediate")
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", path, err)
	}
	db.SetMaxOpenConns(1) // the lock belongs to a connection
	m := &metadata{db}
	err = m.change(func(tx *sql.Tx) error {
		v, err := version(tx)
		if err != nil {
			return err
		}
		if v > metadataVersion {
			return fmt.Errorf("format version %d, this program knows %d", v, metadataVersion)
		}
		if v == 0 {
			if _, err := tx.Exec(metadataSchema); err != nil {
				return err
			}
		}
		if v < 2 {
			_, err = tx.Exec(metadataSince2)
		}
		return err
	})
	if err != nil {
		_ = db.Close()
		return nil, fmt.Errorf("open %s (is another server using it?): %w", path, err)
	}
	return m, nil
}

func (m *metadata) close() error { return m.db.Close() }

// change runs f in a transaction that is on disk when change returns nil.
func (m *metadata) change(f func(tx *sql.Tx) error) error {
	tx, err := m.db.Begin()
	if err != nil {
		return err
	}
	if err := f(tx); err != nil {
		return errors.Join(err, tx.Rollback())
	}
	return tx.Commit()
}

// insertStream stores a new stream with its consumers and shards, and sets
// its id.
func insertStream(tx *sql.Tx, st *stream) error {
	text, err := json.Marshal(st.settings)
	if err != nil {
		return err
	}
	r, err := tx.Exec(`INSERT INTO streams (name, created, retention, max_record, on_demand, next_index, settings) VALUES (?,?,?,?,?,?,?)`,
		st.name, st.created, st.retention.Milliseconds(), st.maxRecord, st.onDemand, st.nextIndex, string(text))
	if err != nil {
		return err
	}
	if st.id, err = r.LastInsertId(); err != nil {
		return err
	}
	for _, sh := range st.shards {
		if err := insertShard(tx, sh); err != nil {
			return err
		}
	}
	return storeAttached(tx, st.id, "", st.attached)
}

// insertShard stores a new shard and sets its number.
func insertShard(tx *sql.Tx, sh *shard) error {
	r, err := tx.Exec(`INSERT INTO shards (stream, idx, low, high, parent, adjacent, start, "end", created, closed) VALUES (?,?,?,?,?,?,?,?,?,?)`,
		sh.stream.id, sh.index, sh.low.String(), sh.high.String(), sh.parent, sh.adjacent, int64(sh.start), int64(sh.end), sh.created, sh.closed)
	if err != nil {
		return err
	}
	if sh.number, err = r.LastInsertId(); err == nil && sh.number > maxHour {
		err = errors.New("the shards' numbers are used up; start with a new folder")
	}
	return err
}

// deleteStream forgets a stream. Its records stay in the files until those go.
func deleteStream(tx *sql.Tx, id int64) error {
	for _, q := range []string{`DELETE FROM attached WHERE stream = ?`, `DELETE FROM consumers WHERE stream = ?`, `DELETE FROM shards WHERE stream = ?`, `DELETE FROM streams WHERE id = ?`} {
		if _, err := tx.Exec(q, id); err != nil {
			return err
		}
	}
	return nil
}

// loadStreams reads every stream with its shards and consumers.
func (m *metadata) loadStreams() (map[string]*stream, error) {
	byID := map[int64]*stream{}
	err := m.each(`SELECT id, name, created, retention, max_record, on_demand, next_index, settings FROM streams`, func(rows *sql.Rows) error {
		st, retention, text := &stream{}, int64(0), ""
		if err := rows.Scan(&st.id, &st.name, &st.created, &retention, &st.maxRecord, &st.onDemand, &st.nextIndex, &text); err != nil {
			return err
		}
		st.retention = time.Duration(retention) * time.Millisecond
		byID[st.id] = st
		if err := json.Unmarshal([]byte(text), &st.settings); err != nil {
			return fmt.Errorf("settings of stream %s are damaged: %w", st.name, err)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	err = m.each(`SELECT number, stream, idx, low, high, parent, adjacent, start, "end", created, closed FROM shards ORDER BY stream, idx`, func(rows *sql.Rows) error {
		sh := &shard{changed: make(chan struct{})}
		var id int64
		var low, high string
		if err := rows.Scan(&sh.number, &id, &sh.index, &low, &high, &sh.parent, &sh.adjacent, &sh.start, &sh.end, &sh.created, &sh.closed); err != nil {
			return err
		}
		var ok1, ok2 bool
		sh.low, ok1 = parseHashKey(low)
		sh.high, ok2 = parseHashKey(high)
		st := byID[id]
		if st == nil || !ok1 || !ok2 {
			return fmt.Errorf("shard %d of stream %d is damaged", sh.number, id)
		}
		sh.stream = st
		st.shards = append(st.shards, sh)
		return nil
	})
	if err != nil {
		return nil, err
	}
	err = m.each(`SELECT stream, name, created FROM consumers ORDER BY name`, func(rows *sql.Rows) error {
		c, id := &consumer{}, int64(0)
		if err := rows.Scan(&id, &c.name, &c.created); err != nil {
			return err
		}
		if byID[id] == nil {
			return fmt.Errorf("consumer %q belongs to no stream", c.name)
		}
		byID[id].consumers = append(byID[id].consumers, c)
		return nil
	})
	if err != nil {
		return nil, err
	}
	if err := m.loadAttached(byID); err != nil {
		return nil, err
	}
	streams := map[string]*stream{}
	for _, st := range byID {
		st.reopen()
		streams[st.name] = st
	}
	return streams, nil
}

// loadAttached reads what hangs on streams and consumers.
func (m *metadata) loadAttached(byID map[int64]*stream) error {
	return m.each(`SELECT stream, consumer, value FROM attached`, func(rows *sql.Rows) error {
		var id int64
		var name, text string
		if err := rows.Scan(&id, &name, &text); err != nil {
			return err
		}
		st := byID[id]
		if st == nil {
			return fmt.Errorf("tags belong to no stream")
		}
		r := resource{stream: st}
		if name != "" {
			if r.consumer = st.consumer(name); r.consumer == nil {
				return fmt.Errorf("tags of stream %s belong to no consumer", st.name)
			}
		}
		if err := json.Unmarshal([]byte(text), r.attached()); err != nil {
			return fmt.Errorf("tags of stream %s are damaged: %w", st.name, err)
		}
		return nil
	})
}

// loadHours reads the list of record files.
func (m *metadata) loadHours() (hours []*hour, err error) {
	err = m.each(`SELECT number, first, last, closed FROM hours ORDER BY number`, func(rows *sql.Rows) error {
		h := &hour{}
		hours = append(hours, h)
		return rows.Scan(&h.number, &h.first, &h.last, &h.closed)
	})
	return hours, err
}

func (m *metadata) each(query string, f func(*sql.Rows) error) error {
	rows, err := m.db.Query(query)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		if err := f(rows); err != nil {
			return err
		}
	}
	return rows.Err()
}

func version(tx *sql.Tx) (v int, err error) {
	err = tx.QueryRow(`PRAGMA user_version`).Scan(&v)
	return v, err
}

// createPrivate makes an empty file for its owner alone, unless there is one:
// SQLite gives its side files the mode of the database.
func createPrivate(path string) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o600)
	if errors.Is(err, os.ErrExist) {
		return nil
	}
	if err != nil {
		return err
	}
	return f.Close()
}

// dsn names a database file; pragmas follow after a "?".
func dsn(path string) string { return "file:" + (&url.URL{Path: path}).EscapedPath() }
