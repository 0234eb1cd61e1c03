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

func (s *Server) putRecords(ctx context.Context, w http.ResponseWriter, body []byte, f Fault) error {
	var in putRecordsInput
	if err := decode(body, &in); err != nil {
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
		if f.Record != nil {
			if kind := f.Record(i); kind != "" {
				b.entries[i].err = errorf(kind, "injected fault")
			}
		}
	}
	if b.size > maxPutBytes {
		return errorf(invalidArgument, "Records size exceeds 10 MB limit")
	}
	if err := s.writer.put(ctx, b); err != nil {
		return err
	}
	return reply(w, b.answer())
}

// answer writes the result of each record, in the order of the input.
func (b *putBatch) answer() []byte {
	failed := 0
	out := make([]byte, 0, 64+128*len(b.entries))
	out = append(out, `{"EncryptionType":"NONE","Records":[`...)
	for i := range b.entries {
		if i > 0 {
			out = append(out, ',')
		}
		e := &b.entries[i]
		if e.err != nil {
			failed++
			out = append(out, `{"ErrorCode":`...)
			out = appendString(out, e.err.Type)
			out = append(out, `,"ErrorMessage":`...)
			out = appendString(out, e.err.Message)
			out = append(out, '}')
			continue
		}
		out = append(out, `{"ShardId":"`...)
		out = append(out, e.shard.id()...)
		out = append(out, `","SequenceNumber":"`...)
		out = e.seq.append(out)
		out = append(out, `"}`...)
	}
	out = append(out, `],"FailedRecordCount":`...)
	out = strconv.AppendInt(out, int64(failed), 10)
	return append(out, '}')
}
