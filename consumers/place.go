package consumers

import (
	"context"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"

	"nagare"
)

// begin turns what the stage wants, or else the checkpoint, or else the
// configured start, into a position of the stream.
func (s *session) begin(want string) (types.StartingPosition, string) {
	seq := want
	if seq == "" {
		seq = s.lease.stored()
	}
	start := s.run.start
	switch {
	case seq != "" && nagare.CompareSeq(seq, "0") > 0:
		return types.StartingPosition{Type: types.ShardIteratorTypeAfterSequenceNumber, SequenceNumber: &seq}, seq
	case seq != "": // "0": the stage wants all there is
	case start.Shard == s.shard.ID:
		return types.StartingPosition{Type: types.ShardIteratorTypeAtSequenceNumber, SequenceNumber: &start.Seq}, ""
	case !start.Time.IsZero():
		// Right for children too: one born later is read whole.
		return types.StartingPosition{Type: types.ShardIteratorTypeAtTimestamp, Timestamp: &start.Time}, ""
	}
	return types.StartingPosition{Type: types.ShardIteratorTypeTrimHorizon}, ""
}

// position is where the next read begins.
func (s *session) position() types.StartingPosition {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.after == "" {
		return s.start
	}
	after := s.after
	return types.StartingPosition{Type: types.ShardIteratorTypeAfterSequenceNumber, SequenceNumber: &after}
}

// received notes what the stream answered, and returns the records to pass on:
// cut at Config.End, disarmed for the KCL. continued is where the stream says
// that it would go on, or ""; closed, that these are the shard's last records.
func (s *session) received(records []types.Record, behind *int64, continued string, closed bool) []types.Record {
	lag := time.Duration(aws.ToInt64(behind)) * time.Millisecond
	reached := false
	if end := s.run.cfg.End; !end.IsZero() {
		for i := range records {
			if !aws.ToTime(records[i].ApproximateArrivalTimestamp).Before(end) {
				records, reached = records[:i], true
				break
			}
		}
		reached = reached || !closed && behind != nil && s.beyond(end, lag)
	}
	size := 0
	for i := range records {
		size += len(records[i].Data)
	}
	s.state.read(size, lag)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.reached = s.reached || reached
	if n := len(records); n > 0 {
		s.after = aws.ToString(records[n-1].SequenceNumber)
	}
	// A quiet shard moves on too: else what was read before could be trimmed
	// and the old place with it.
	if continued != "" && !reached && nagare.ValidSeq(continued) && nagare.CompareSeq(continued, s.after) > 0 {
		s.after = continued
	}
	return disarm(records)
}

// beyond says whether nothing more will come that arrived before end, here or
// in a child: what was read goes up to lag ago, and the shard was still open
// at end. (A closed shard is read to its last record, and then its children.)
func (s *session) beyond(end time.Time, lag time.Duration) bool {
	tip := time.Now().Add(-lag)
	if tip.Before(end) {
		return false
	}
	ctx, cancel := context.WithTimeout(s.ctx, 10*time.Second)
	defer cancel()
	_, shards, err := s.run.topology.get(ctx, time.Since(end))
	info, ok := shards[s.shard.ID]
	return err == nil && ok && !info.closed
}

// trimmed goes on at the oldest record there is, because the place to read from
// is there no more, and says so.
func (s *session) trimmed(why string) {
	s.mu.Lock()
	at := s.after
	if at == "" {
		at = aws.ToString(s.start.SequenceNumber)
	}
	if at == "" {
		s.mu.Unlock()
		return // it was not a place that was refused
	}
	s.after, s.start = "", types.StartingPosition{Type: types.ShardIteratorTypeTrimHorizon}
	s.mu.Unlock()
	s.poll.iterator, s.poll.stuck = nil, time.Time{}
	s.gap("reading on at the oldest record, after " + at + ": " + why)
}

// gap notes that records may be missing.
func (s *session) gap(why string) {
	s.state.gapped(why)
	s.run.log.Error("records may be missing", "shard", s.shard.ID, "err", why)
}
