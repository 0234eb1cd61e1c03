package kinesisd

import (
	"context"
	"fmt"
	"unicode/utf8"
)

// PutRecord stores one record; the answer means that it is on disk.
//
// Heeded: StreamName, StreamARN, Data, PartitionKey, ExplicitHashKey.
// Not: SequenceNumberForOrdering, since a shard's numbers always rise.
type putRecordInput struct {
	streamRef
	recordInput
}

type recordInput struct {
	Data            []byte
	PartitionKey    string
	ExplicitHashKey *string
}

type putRecordOutput struct {
	ShardId        string
	SequenceNumber string
	EncryptionType string
}

func (s *Server) putRecord(ctx context.Context, in *putRecordInput) (*putRecordOutput, error) {
	st, maxRecord, err := s.putTarget(in.streamRef)
	if err != nil {
		return nil, err
	}
	b := &putBatch{stream: st, entries: make([]putEntry, 1)}
	if err := b.set(0, &in.recordInput, maxRecord, ""); err != nil {
		return nil, err
	}
	if err := s.writer.put(ctx, b); err != nil {
		return nil, err
	}
	e := &b.entries[0]
	if e.err != nil {
		return nil, e.err
	}
	return &putRecordOutput{e.shard.id(), e.seq.String(), s.encryption(st)}, nil
}

func (s *Server) putTarget(ref streamRef) (*stream, int, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	st, err := s.find(ref)
	if err != nil {
		return nil, 0, err
	}
	return st, st.maxRecord, nil
}

// set checks one record and makes it the i-th of the batch. where is the
// record's place in the input, for messages.
func (b *putBatch) set(i int, in *recordInput, maxRecord int, where string) error {
	var v violations
	n := utf8.RuneCountInString(in.PartitionKey)
	v.must(n >= 1, in.PartitionKey, where+"partitionKey", "have length greater than or equal to 1")
	v.must(n <= maxPartitionKey, in.PartitionKey, where+"partitionKey", "have length less than or equal to %d", maxPartitionKey)
	size := len(in.Data) + len(in.PartitionKey)
	v.must(size <= maxRecord, fmt.Sprintf("java.nio.HeapByteBuffer[pos=0 lim=%d cap=%[1]d]", len(in.Data)), where+"data", "have length less than or equal to %d", maxRecord)
	if err := v.err(); err != nil {
		return err
	}
	e := &b.entries[i]
	e.partitionKey, e.data = in.PartitionKey, in.Data
	if in.ExplicitHashKey == nil {
		e.key = hashOf(in.PartitionKey)
	} else {
		var ok bool
		if e.key, ok = parseHashKey(*in.ExplicitHashKey); !ok {
			return errorf(invalidArgument, "Invalid ExplicitHashKey. ExplicitHashKey must be in the range: [0, 2^128-1]. Specified value was %s", clip(*in.ExplicitHashKey))
		}
	}
	b.size += size
	return nil
}
