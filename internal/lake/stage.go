package lake

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"

	"github.com/segmentio/ksuid"

	"nagare/internal/blob"
	"nagare/ocsf"
)

// rollBytes is where a file ends and the next of the same partition begins.
const rollBytes = 256 << 20

// impure is the reason of an event that could be filled when it was processed
// and cannot when it is written: the fault of a mapping, or of ours.
const impure = "not-repeatable"

func manifestKey(m *Manifest) string {
	return stageKey(m.App, m.Stream, m.Shard, m.N-1, m.Attempt) + "manifest.json"
}

// stage puts everything that a commit consists of under a new attempt (F2).
// Nothing of it counts until the ledger says so.
func (c *Committer) stage(ctx context.Context, b *Batch) (*Manifest, error) {
	first, last := b.arrivals()
	m := &Manifest{
		Version: 1, App: c.cfg.App, Stream: c.cfg.Stream, Shard: c.cfg.Shard,
		N: c.item.N + 1, From: c.item.To, To: b.To.Seq, Attempt: ksuid.New().String(),
		Closed: b.Closed, Epoch: c.cfg.Epoch, ReadUntil: b.To.Arrived.UTC(), First: first, Last: last,
		Previous: c.recent.heads(),
	}
	s := &stager{c: c, ctx: ctx, b: b, m: m, dead: b.Dead}
	m.Counts.Events = int64(len(b.Events))
	rows, err := s.dedupe()
	if err != nil {
		return nil, err
	}
	if err := s.rows(rows); err != nil {
		return nil, err
	}
	if err := s.ids(rows); err != nil {
		return nil, err
	}
	if err := s.deadLetters(); err != nil {
		return nil, err
	}
	if err := s.archive(); err != nil {
		return nil, err
	}
	rowsLast(m.Entries)
	body, err := json.Marshal(m)
	if err != nil {
		return nil, fmt.Errorf("lake: manifest: %w", err)
	}
	if len(body) > maxManifest {
		return nil, fmt.Errorf("lake: a manifest of %d bytes", len(body))
	}
	// Last: whoever can read it can trust that the rest is there.
	if _, err := putOnce(ctx, c.cfg.Stage, manifestKey(m), blob.Bytes(body)); err != nil {
		return nil, fmt.Errorf("lake: stage: %w", err)
	}
	return m, nil
}

// rowsLast orders the objects of a commit as they are published: dead letters
// and raw events before the rows that queries see. A commit whose dead letters
// cannot be written shows no rows, and who sees a row finds its raw event. They
// are staged the other way round, since writing rows may make dead letters.
func rowsLast(entries []Entry) {
	slices.SortStableFunc(entries, func(a, b Entry) int {
		return cmp.Compare(visible(a), visible(b))
	})
}

// visible is 1 for what queries see.
func visible(e Entry) int {
	if e.Store == inLake {
		return 1
	}
	return 0
}

// A stager makes the objects of one attempt.
type stager struct {
	c    *Committer
	ctx  context.Context
	b    *Batch
	m    *Manifest
	dead []DeadLetter
	gone map[ID]bool // rows that could not be filled again
	k    int
}

// put stages one object.
func (s *stager) put(name string, sp *spool) (string, blob.Info, error) {
	key := stageKey(s.m.App, s.m.Stream, s.m.Shard, s.m.N-1, s.m.Attempt) + name
	body := sp.body()
	if _, err := putOnce(s.ctx, s.c.cfg.Stage, key, body); err != nil {
		return "", blob.Info{}, fmt.Errorf("lake: stage: %w", err)
	}
	s.c.cfg.At(StepPart)
	return key, body.Info, nil
}

// entry stages one object that is to be published.
func (s *stager) entry(name, store, key string, rows int64, sp *spool) error {
	staged, info, err := s.put(name, sp)
	if err != nil {
		return err
	}
	s.m.Entries = append(s.m.Entries, Entry{Staged: staged, Store: store, Key: key, Size: info.Size, Rows: rows, SHA256: info.SHA256})
	return nil
}

// rows writes the files, one partition after the other.
func (s *stager) rows(rows []Row) error {
	byPlace(rows)
	for len(rows) > 0 {
		n := 1
		for n < len(rows) && rows[n].Partition() == rows[0].Partition() {
			n++
		}
		part := rows[:n]
		rows = rows[n:]
		for len(part) > 0 {
			written, err := s.file(part)
			if err != nil {
				return err
			}
			part = part[written:]
		}
	}
	return nil
}

// file writes one file from the first rows of a partition, and returns how
// many it took.
func (s *stager) file(rows []Row) (int, error) {
	t, err := s.c.cfg.Tables.of(rows[0].Class)
	if err != nil {
		return 0, err
	}
	sp := newSpool(s.c.cfg.TempDir)
	defer sp.drop()
	w := newWriter(sp, t, map[string]string{
		"stream": s.m.Stream, "shard": s.m.Shard, "n": strconv.FormatInt(s.m.N, 10),
		"from": s.m.From, "to": s.m.To, "attempt": s.m.Attempt,
	})
	var e ocsf.Event
	taken := 0
	for i := range rows {
		if w.size() >= rollBytes {
			break
		}
		if i%256 == 0 && s.ctx.Err() != nil {
			return 0, s.ctx.Err()
		}
		taken++
		r := &rows[i]
		err := s.b.Fill(r.Event, &e)
		if err == nil && e.Class().UID != r.Class.UID {
			err = fmt.Errorf("class %d became class %d", r.Class.UID, e.Class().UID)
		}
		if err != nil {
			s.c.cfg.Log.Error("mapping is not repeatable", "source", r.Event.Source, "seq", r.Event.Pos.Seq, "err", err)
			s.dead = append(s.dead, NewDeadLetter(r.Event, impure, err.Error()))
			if s.gone == nil {
				s.gone = map[ID]bool{}
			}
			s.gone[r.ID] = true
			continue
		}
		if err := w.add(&e, r.Event.Pos); err != nil {
			return 0, err
		}
	}
	if err := w.close(); err != nil {
		return 0, err
	}
	s.m.Counts.Rows += w.total
	s.m.Counts.Cut += w.cut
	if w.total == 0 {
		return taken, nil
	}
	key := lakeKey(t.class.UID, s.c.cfg.Region, s.c.cfg.Account, rows[0].day, s.m.Stream, s.m.Shard, s.m.N, s.k)
	err = s.entry(fmt.Sprintf("part-%03d.parquet", s.k), inLake, key, w.total, sp)
	s.k++
	return taken, err
}

// ids stages the hashes of the rows, sorted, for those who look for repeats.
func (s *stager) ids(rows []Row) error {
	sp := newSpool(s.c.cfg.TempDir)
	defer sp.drop()
	n := int64(0)
	for _, i := range byID(rows) {
		if id := rows[i].ID; !s.gone[id] {
			if _, err := sp.Write(id[:]); err != nil {
				return err
			}
			n++
		}
	}
	if n == 0 {
		return nil
	}
	key, info, err := s.put("ids.bin", sp)
	s.m.IDs = IDs{Key: key, Count: n, Info: info}
	return err
}
