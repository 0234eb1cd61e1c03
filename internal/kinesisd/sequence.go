package kinesisd

import (
	"fmt"
	"strconv"
	"strings"
)

// sequence is the number of a record: the number of the hour file it lies in,
// then its place among all records of that file. File numbers are never given
// twice, so neither are sequences; and one counter serves all shards, so they
// rise from a parent to its children too. A shard's start and end take a
// number of their own, which no record bears.
type sequence int64

const (
	placeBits = 40
	maxPlace  = 1<<placeBits - 1
	maxHour   = 1<<23 - 1
	// Sequence numbers of AWS have 56 digits and begin like this. The fixed
	// width makes them comparable as text as well.
	sequencePrefix = "4966"
	sequenceDigits = 56
)

func newSequence(hour, place int64) sequence { return sequence(hour<<placeBits | place) }

func (q sequence) hour() int64  { return int64(q) >> placeBits }
func (q sequence) place() int64 { return int64(q) & maxPlace }

func (q sequence) String() string {
	return fmt.Sprintf("%s%0*d", sequencePrefix, sequenceDigits-len(sequencePrefix), int64(q))
}

func (q sequence) append(b []byte) []byte {
	const zeros = "00000000000000000000000000000000000000000000000000000000"
	n := strconv.FormatInt(int64(q), 10)
	b = append(b, sequencePrefix...)
	b = append(b, zeros[:sequenceDigits-len(sequencePrefix)-len(n)]...)
	return append(b, n...)
}

// parseSequence reads what String wrote, and "0", which clients send for "the
// very beginning".
func parseSequence(s string) (sequence, bool) {
	if s == "0" {
		return 0, true
	}
	digits, ok := strings.CutPrefix(s, sequencePrefix)
	if !ok || len(s) != sequenceDigits {
		return 0, false
	}
	for i := range len(digits) {
		if digits[i] < '0' || digits[i] > '9' {
			return 0, false
		}
	}
	n, err := strconv.ParseInt(strings.TrimLeft(digits, "0"), 10, 64)
	if err != nil {
		return 0, false
	}
	return sequence(n), true
}
