package kinesisd

import (
	"context"
	"net/http"
	"time"
)

// GetRecords reads from an iterator's position: up to 10,000 records or 10 MiB,
// always with MillisBehindLatest. At the end of a closed shard there is no
// NextShardIterator, but the shard's children.
//
// Heeded: ShardIterator, Limit. Not: StreamARN, since the iterator names its
// stream.
type getRecordsInput struct {
	ShardIterator string
	Limit         *int
}

func (s *Server) getRecords(ctx context.Context, w http.ResponseWriter, r *request) error {
	var in getRecordsInput
	if err := r.decode(&in); err != nil {
		return err
	}
	var v violations
	v.between(in.Limit, 1, maxReadRecords, "limit")
	if err := v.err(); err != nil {
		return err
	}
	limit := maxReadRecords
	if in.Limit != nil {
		limit = *in.Limit
	}
	sh, after, err := s.resolve(in.ShardIterator)
	if err != nil {
		return err
	}
	if s.cfg.Limits && !sh.out.take(s.cfg.now()) {
		return errorf(throughput, "Rate exceeded for Shard - 000000000000/%s/%s", sh.stream.name, sh.id())
	}
	p, err := s.read(ctx, sh, after, limit, maxReadBytes)
	if err != nil {
		return err
	}
	defer s.drop(p)
	if s.cfg.Limits {
		sh.out.spent(p.bytes())
	}
	return s.writePage(w, r.format, sh, p)
}

// javaTime is a time as AWS words it in messages.
func javaTime(ms int64) string {
	return time.UnixMilli(ms).UTC().Format("Mon Jan 02 15:04:05 MST 2006")
}

// resolve finds what an iterator stands for.
func (s *Server) resolve(iterator string) (*shard, sequence, error) {
	t, ok := parseToken(iterator, iteratorToken)
	if !ok {
		return nil, 0, errorf(invalidArgument, "Invalid ShardIterator.")
	}
	if now := s.cfg.now().UnixMilli(); now-t.issued > s.cfg.IteratorTTL.Milliseconds() {
		return nil, 0, errorf(expiredIterator, "Iterator expired. The iterator was created at time %s while right now it is %s which is further in the future than the tolerated delay of %d milliseconds.", javaTime(t.issued), javaTime(now), s.cfg.IteratorTTL.Milliseconds())
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	for _, st := range s.streams {
		if st.id == t.stream {
			sh, err := st.mustShard(shardID(int(t.shard)))
			return sh, t.after, err
		}
	}
	return nil, 0, errorf(resourceNotFound, "The stream of the iterator is gone.")
}

// writePage writes the answer as it is made, since all of it may be large.
func (s *Server) writePage(w http.ResponseWriter, f format, sh *shard, p *page) error {
	rest := struct {
		NextShardIterator  string `json:",omitempty"`
		MillisBehindLatest int64
		ChildShards        []childShape `json:",omitempty"`
	}{MillisBehindLatest: p.lag}
	if p.ended {
		rest.ChildShards = s.childShapes(sh)
	} else {
		rest.NextShardIterator = s.iterator(sh, p.next)
	}
	end, encryption := mustEncode(f, rest), s.recordEncryption(sh.stream)
	w.Header().Set("Content-Type", f.contentType())
	if p.held != nil {
		control := http.NewResponseController(w)
		p.held.moving(func() { _ = control.SetWriteDeadline(time.Unix(1, 0)) })
		defer p.held.settled()
	}
	const chunk = 64 << 10
	b := make([]byte, 0, min(2*chunk, 512+p.bytes()*3/2+len(p.records)*256))
	b = f.head(b, len(p.records), end)
	for i := range p.records {
		b = f.record(b, i, &p.records[i], encryption)
		if len(b) >= chunk {
			if _, err := w.Write(b); err != nil {
				return nil // the client is gone
			}
			if p.held != nil {
				p.held.move(len(b))
			}
			b = b[:0]
		}
	}
	_, _ = w.Write(f.foot(b, end))
	return nil
}

// cost is about what the page takes in memory.
func (p *page) cost() int {
	n := 0
	for i := range p.records {
		n += p.records[i].size()
	}
	return n
}

func (p *page) bytes() int {
	n := 0
	for i := range p.records {
		n += len(p.records[i].data)
	}
	return n
}
