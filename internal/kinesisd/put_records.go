package kinesisd

import (
	"context"
	"fmt"
	"net/http"
	"strconv"
)

// PutRecords stores up to 500 records and 10 MiB; the answer means that those
// without an ErrorCode are on disk. A record fails alone when its shard's
// throughput is used up, and all fail together when one breaks a rule.
//
// Heeded: StreamName, StreamARN, Records with Data, PartitionKey and
// ExplicitHashKey.
type putRecordsInput struct {
	streamRef
	Records []recordInput
}

func (s *Server) putRecords(ctx context.Context, w http.ResponseWriter, r *request) error {
	var in putRecordsInput
	if err := r.decode(&in); err != nil {
		return err
	}
	var v violations
	v.must(len(in.Records) >= 1, in.Records, "records", "have length greater than or equal to 1")
	v.must(len(in.Records) <= maxPutRecords, fmt.Sprintf("%d records", len(in.Records)), "records", "have length less than or equal to %d", maxPutRecords)
	if err := v.err(); err != nil {
		return err
	}
	st, maxRecord, err := s.putTarget(in.streamRef)
	if err != nil {
		return err
	}
	b := &putBatch{stream: st, entries: make([]putEntry, len(in.Records))}
	for i := range in.Records {
		if err := b.set(i, &in.Records[i], maxRecord, "records."+strconv.Itoa(i+1)+".member."); err != nil {
			return err
		}
		b.entries[i].err = s.recordFault(r, st, i, b.entries[i].key)
	}
	if b.size > maxPutBytes {
		return errorf(invalidArgument, "Records size exceeds 10 MB limit")
	}
	if err := s.writer.put(ctx, b); err != nil {
		return err
	}
	answer, err := r.format.encode(b.answer(s.encryption(st)))
	if err != nil {
		return err
	}
	return reply(w, r.format, answer)
}

type putRecordsOutput struct {
	EncryptionType    string
	FailedRecordCount int
	Records           []putRecordsEntry
}

type putRecordsEntry struct {
	ShardId        string `json:",omitempty"`
	SequenceNumber string `json:",omitempty"`
	ErrorCode      string `json:",omitempty"`
	ErrorMessage   string `json:",omitempty"`
}

// answer is the result of each record, in the order of the input.
func (b *putBatch) answer(encryption string) *putRecordsOutput {
	out := &putRecordsOutput{EncryptionType: encryption, Records: make([]putRecordsEntry, len(b.entries))}
	for i := range b.entries {
		if e := &b.entries[i]; e.err != nil {
			out.FailedRecordCount++
			out.Records[i] = putRecordsEntry{ErrorCode: e.err.Type, ErrorMessage: e.err.Message}
		} else {
			out.Records[i] = putRecordsEntry{ShardId: e.shard.id(), SequenceNumber: e.seq.String()}
		}
	}
	return out
}
