package consumers

import (
	"bytes"
	"crypto/md5"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"
	"google.golang.org/protobuf/encoding/protowire"
)

// The Kinesis Producer Library packs many user records into one: 4 magic
// bytes, a protobuf message, the MD5 of that message. The KCL would unpack
// them, but drops a whole batch for one record with a bad message and lets one
// with a wild index kill the process, for ever. So we unpack, and never show
// it anything that begins with the magic.
//
// Unlike the Java library we keep user records whose key does not belong to
// the shard. It drops them, because the producer sends them again; but other
// aggregating producers do not, and a repeat is better than a loss.

const kplMagic = "\xf3\x89\x9a\xc2"

// maxUserRecords bounds what one record may expand to.
const maxUserRecords = 65536

// isKPL says whether data is an aggregate: by the format's own rule, a record
// whose digest does not match is a plain record that happens to begin so.
func isKPL(data []byte) bool {
	if len(data) <= len(kplMagic)+md5.Size || string(data[:len(kplMagic)]) != kplMagic {
		return false
	}
	sum := md5.Sum(data[len(kplMagic) : len(data)-md5.Size])
	return bytes.Equal(sum[:], data[len(data)-md5.Size:])
}

// deaggregate returns the data of the user records of an aggregate. They share
// the memory of data.
func deaggregate(data []byte) ([][]byte, error) {
	msg := data[len(kplMagic) : len(data)-md5.Size]
	keys := uint64(0)
	var recs [][]byte
	var indexes []uint64
	err := eachField(msg, func(num protowire.Number, typ protowire.Type, b []byte, _ uint64) error {
		switch {
		case num == 1 && typ == protowire.BytesType: // partition_key_table
			keys++
		case num == 3 && typ == protowire.BytesType: // records
			if len(recs) == maxUserRecords {
				return fmt.Errorf("more than %d user records", maxUserRecords)
			}
			rec, index, err := userRecord(b)
			if err != nil {
				return fmt.Errorf("user record %d: %w", len(recs), err)
			}
			recs, indexes = append(recs, rec), append(indexes, index)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	// The tables may stand behind the records.
	for i, index := range indexes {
		if index >= keys {
			return nil, fmt.Errorf("user record %d: partition key %d of %d", i, index, keys)
		}
	}
	return recs, nil
}

func userRecord(msg []byte) (data []byte, keyIndex uint64, err error) {
	hasData, hasKey := false, false
	err = eachField(msg, func(num protowire.Number, typ protowire.Type, b []byte, v uint64) error {
		switch {
		case num == 1 && typ == protowire.VarintType:
			keyIndex, hasKey = v, true
		case num == 3 && typ == protowire.BytesType:
			data, hasData = b, true
		}
		return nil
	})
	if err == nil && (!hasData || !hasKey) {
		err = errors.New("a required field is missing")
	}
	return data, keyIndex, err
}

// eachField calls f for each field of a message, with its bytes or its number.
func eachField(msg []byte, f func(protowire.Number, protowire.Type, []byte, uint64) error) error {
	for len(msg) > 0 {
		num, typ, n := protowire.ConsumeTag(msg)
		if n < 0 {
			return protowire.ParseError(n)
		}
		msg = msg[n:]
		var b []byte
		var v uint64
		switch typ {
		case protowire.BytesType:
			b, n = protowire.ConsumeBytes(msg)
		case protowire.VarintType:
			v, n = protowire.ConsumeVarint(msg)
		default:
			n = protowire.ConsumeFieldValue(num, typ, msg)
		}
		if n < 0 {
			return protowire.ParseError(n)
		}
		if err := f(num, typ, b, v); err != nil {
			return err
		}
		msg = msg[n:]
	}
	return nil
}

// A record passes through the KCL as it is, except that what begins with the
// magic is taken apart or wrapped. What was done stands behind the sequence
// number, which the KCL does not look at: "N/SUB" and then
const (
	carryUser    = ""  // a user record of an aggregate
	carryWrapped = "+" // data begins with one byte that is not part of it
	carryBadKPL  = "!" // the same, and it is an aggregate that cannot be read
)

// disarm returns records that the KCL will pass on unchanged.
func disarm(records []types.Record) []types.Record {
	for i := range records {
		if bytes.HasPrefix(records[i].Data, []byte(kplMagic)) {
			out := append(make([]types.Record, 0, len(records)+64), records[:i]...)
			for _, r := range records[i:] {
				out = appendDisarmed(out, r)
			}
			return out
		}
	}
	return records // nearly always
}

func appendDisarmed(out []types.Record, r types.Record) []types.Record {
	carry := func(sub int, kind string, data []byte) {
		if bytes.HasPrefix(data, []byte(kplMagic)) {
			if kind == carryUser {
				kind = carryWrapped
			}
			data = append([]byte{0}, data...)
		}
		c := r
		c.Data = data
		c.SequenceNumber = aws.String(aws.ToString(r.SequenceNumber) + "/" + strconv.Itoa(sub) + kind)
		out = append(out, c)
	}
	if !bytes.HasPrefix(r.Data, []byte(kplMagic)) {
		return append(out, r)
	}
	if !isKPL(r.Data) {
		carry(0, carryWrapped, r.Data)
		return out
	}
	users, err := deaggregate(r.Data)
	if err != nil {
		carry(0, carryBadKPL, r.Data)
		return out
	}
	for sub, data := range users {
		carry(sub, carryUser, data)
	}
	return out
}

// carried takes apart what disarm made of a record.
func carried(r *types.Record) (seq string, sub int, bad bool, data []byte) {
	seq, rest, ok := strings.Cut(aws.ToString(r.SequenceNumber), "/")
	data = r.Data
	if !ok {
		return seq, 0, false, data
	}
	if kind := rest[len(rest)-1:]; kind == carryWrapped || kind == carryBadKPL {
		rest, data, bad = rest[:len(rest)-1], data[1:], kind == carryBadKPL
	}
	sub, _ = strconv.Atoi(rest)
	return seq, sub, bad, data
}
