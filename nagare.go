// Package nagare holds what every room shares: the Event, its Position on a
// stream, and nothing else.
package nagare

import (
	"math/big"
	"strings"
	"time"
)

// An Event is one thing a source reported, raw, with its envelope.
type Event struct {
	// ID is new for each receipt: a KSUID in text form.
	ID string
	// UID is the stable id of this occurrence. Repeats of one occurrence have
	// equal UIDs, and (Source, UID) decides the shard an event goes to.
	UID string
	// Source is the kind of sender: the name in /v1/{source}.
	Source string
	// Tenant is the instance label of the path /v1/{source}/{name}; "" without one.
	Tenant string
	// Auth is the verdict of authentication: pass, weak, none or fail.
	Auth string
	// Time is when intake believes it happened (the mapping head's time), UTC.
	// Zero when the head could not tell.
	Time time.Time
	// Received is when intake took the delivery in, UTC.
	Received time.Time
	// ContentType says what Body is; "" means application/json.
	ContentType string
	// Reason is set when intake or a consumer could not read the event. Such
	// an event is no input for mappings or rules: compact writes it as a dead
	// letter with this reason.
	Reason string
	// Error is the detail behind Reason, for people.
	Error string
	// Body is what the source sent, byte for byte. It must not be changed.
	Body []byte
	// DataRef, when set, says where Body is, which no record could hold. It is
	// only so while the event travels; consumers get Body.
	DataRef string
	// Pos is where the event lies on its stream; zero before it is put.
	Pos Position
}

// The values of Event.Auth.
const (
	AuthPass = "pass"
	AuthWeak = "weak"
	AuthNone = "none"
	AuthFail = "fail"
)

// A Position names one event on a stream.
type Position struct {
	// Stream is name and creation time of the stream, as "name@unix-seconds".
	Stream string
	// Shard is the shard id.
	Shard string
	// Seq is the sequence number of the record, a decimal number of up to 129
	// digits; "" means before the first record.
	Seq string
	// Index is the place of the event in the record's frame, from 0.
	Index int
	// Arrived is the record's approximate arrival time at the stream.
	Arrived time.Time
}

// CompareSeq compares two sequence numbers as the integers they are.
// "" is before every number.
func CompareSeq(a, b string) int {
	a, b = strings.TrimLeft(a, "0"), strings.TrimLeft(b, "0")
	if len(a) != len(b) {
		if len(a) < len(b) {
			return -1
		}
		return 1
	}
	return strings.Compare(a, b)
}

// Less says whether p lies before q on the same shard.
func (p Position) Less(q Position) bool {
	if c := CompareSeq(p.Seq, q.Seq); c != 0 {
		return c < 0
	}
	return p.Index < q.Index
}

// ValidSeq says whether s is a sequence number.
func ValidSeq(s string) bool {
	_, ok := new(big.Int).SetString(s, 10)
	return ok && len(s) <= 129
}
