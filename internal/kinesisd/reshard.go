package kinesisd

import (
	"database/sql"
	"slices"
)

// resharding gathers what happens to a stream's shards in one step: some end,
// others begin. Only the writer makes one, and nothing shows before apply.
type resharding struct {
	s     *Server
	st    *stream
	at    int64 // milliseconds, when all of it happens
	ended map[*shard]sequence
	made  []*shard
}

func (s *Server) reshard(st *stream) *resharding {
	return &resharding{s: s, st: st, at: s.writer.now(), ended: map[*shard]sequence{}}
}

// split ends a shard and makes two of its range; the second begins at key.
func (r *resharding) split(sh *shard, key hashKey) (low, high *shard) {
	r.ended[sh] = r.s.writer.next()
	low = r.make(sh.low, key.previous(), sh.id(), "")
	high = r.make(key, sh.high, sh.id(), "")
	return low, high
}

// merge ends two shards and makes one of their ranges, which must adjoin.
func (r *resharding) merge(sh, adjacent *shard) *shard {
	r.ended[sh] = r.s.writer.next()
	r.ended[adjacent] = r.s.writer.next()
	low, high := sh.low, adjacent.high
	if adjacent.low.less(sh.low) {
		low, high = adjacent.low, sh.high
	}
	return r.make(low, high, sh.id(), adjacent.id())
}

func (r *resharding) make(low, high hashKey, parent, adjacent string) *shard {
	sh := r.s.newShard(r.st, r.st.nextIndex+len(r.made), low, high, r.at)
	sh.parent, sh.adjacent = parent, adjacent
	r.made = append(r.made, sh)
	return sh
}

// apply stores the change, then shows it.
func (r *resharding) apply() error {
	for _, sh := range r.made { // those that were made only to be divided again
		if end, ok := r.ended[sh]; ok {
			sh.end, sh.last, sh.closed = end, end, r.at
		}
	}
	next := r.st.nextIndex + len(r.made)
	err := r.s.meta.change(func(tx *sql.Tx) error {
		for _, sh := range r.made {
			if err := insertShard(tx, sh); err != nil {
				return err
			}
		}
		for sh, end := range r.ended {
			if _, err := tx.Exec(`UPDATE shards SET "end" = ?, closed = ? WHERE number = ?`, int64(end), r.at, sh.number); err != nil {
				return err
			}
		}
		_, err := tx.Exec(`UPDATE streams SET next_index = ? WHERE id = ?`, next, r.st.id)
		return err
	})
	if err != nil {
		return err
	}
	r.s.mu.Lock()
	defer r.s.mu.Unlock()
	r.st.nextIndex = next
	r.st.shards = append(slices.Clone(r.st.shards), r.made...)
	for sh, end := range r.ended {
		sh.end, sh.last, sh.closed = end, end, r.at
		sh.wake()
	}
	r.st.reopen()
	return nil
}

// openShard finds a shard that can still be split or merged.
func (st *stream) openShard(id string) (*shard, error) {
	sh := st.shard(id)
	if sh == nil {
		return nil, errorf(resourceNotFound, "Could not find shard %s in stream %s under account 000000000000.", clip(id), st.name)
	}
	var err error
	if sh.end != 0 {
		err = errorf(invalidArgument, "Shard %s in stream %s under account 000000000000 has already been merged or split, and thus is not eligible for merging or splitting.", id, st.name)
	}
	return sh, err
}
