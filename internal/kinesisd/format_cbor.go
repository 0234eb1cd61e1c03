package kinesisd

import (
	"encoding/binary"
	"fmt"
	"math"

	"github.com/fxamacker/cbor/v2"
)

// cborFormat is CBOR 1.1 of AWS, which the SDKs for Java speak: the same
// shapes as in JSON, but bytes are bytes, and times are tag 1 with
// milliseconds, where RFC 8949 has seconds.
//
// The bounds are those of the API: the largest structure has a few dozen
// members, the longest list 500 records, nothing is deeper than a list of
// structures. Bodies are bounded before they get here.
type cborFormat struct{}

var (
	cborDecoder = working(cbor.DecOptions{
		DupMapKey:         cbor.DupMapKeyEnforcedAPF,
		FieldNameMatching: cbor.FieldNameMatchingCaseSensitive,
		MaxNestedLevels:   16,
		MaxArrayElements:  10_000,
		MaxMapPairs:       1_000,
		UTF8:              cbor.UTF8RejectInvalid,
	}.DecMode())
	cborEncoder = working(cbor.EncOptions{}.EncMode())
)

func working[T any](v T, err error) T {
	if err != nil {
		panic(err) // constants of ours
	}
	return v
}

func (cborFormat) contentType() string { return "application/x-amz-cbor-1.1" }

func (cborFormat) decode(body []byte, in any) error {
	if err := cborDecoder.Unmarshal(body, in); err != nil {
		return errorf(serialization, "The request is not the CBOR of this call: %s", clip(err.Error()))
	}
	return nil
}

func (cborFormat) encode(out any) ([]byte, error) { return cborEncoder.Marshal(out) }

// Major types of CBOR, as the upper bits of an item's first byte.
const (
	cborUint  = 0 << 5
	cborBytes = 2 << 5
	cborText  = 3 << 5
	cborArray = 4 << 5
	cborMap   = 5 << 5
	cborTag   = 6 << 5
)

// appendHead begins an item: its type, and its value, length or count.
func appendHead(b []byte, major byte, n uint64) []byte {
	switch {
	case n < 24:
		return append(b, major|byte(n))
	case n <= math.MaxUint8:
		return append(b, major|24, byte(n))
	case n <= math.MaxUint16:
		return binary.BigEndian.AppendUint16(append(b, major|25), uint16(n))
	case n <= math.MaxUint32:
		return binary.BigEndian.AppendUint32(append(b, major|26), uint32(n))
	}
	return binary.BigEndian.AppendUint64(append(b, major|27), n)
}

func appendText(b []byte, s string) []byte {
	return append(appendHead(b, cborText, uint64(len(s))), s...)
}

// head begins a structure with one member more than rest has; rest has few, so
// that its first byte is its whole head.
func (cborFormat) head(b []byte, records int, rest []byte) []byte {
	b = appendHead(b, cborMap, uint64(rest[0]&0x1f)+1)
	b = appendText(b, "Records")
	return appendHead(b, cborArray, uint64(records))
}

func (cborFormat) record(b []byte, _ int, r *record, encryption string) []byte {
	members := uint64(4)
	if encryption != "" {
		members++
	}
	b = appendHead(b, cborMap, members)
	b = appendText(b, "SequenceNumber")
	b = appendHead(b, cborText, sequenceDigits)
	b = r.seq.append(b)
	b = appendText(b, "ApproximateArrivalTimestamp")
	b = seconds(r.at).appendCBOR(b)
	b = appendText(b, "Data")
	b = append(appendHead(b, cborBytes, uint64(len(r.data))), r.data...)
	b = appendText(b, "PartitionKey")
	b = appendText(b, r.partitionKey)
	if encryption != "" {
		b = appendText(b, "EncryptionType")
		b = appendText(b, encryption)
	}
	return b
}

func (cborFormat) foot(b, rest []byte) []byte { return append(b, rest[1:]...) }

func (t seconds) appendCBOR(b []byte) []byte {
	return appendHead(appendHead(b, cborTag, 1), cborUint, uint64(max(t, 0)))
}

// MarshalCBOR writes milliseconds under tag 1.
func (t seconds) MarshalCBOR() ([]byte, error) { return t.appendCBOR(nil), nil }

// UnmarshalCBOR reads a time: whole milliseconds, as the SDKs for Java write
// them, or seconds with a fraction as RFC 8949 has them; tagged or not.
func (t *timestamp) UnmarshalCBOR(b []byte) error {
	if len(b) > 0 && b[0]>>5 == cborTag>>5 {
		var tag cbor.RawTag
		if err := cborDecoder.Unmarshal(b, &tag); err != nil {
			return err
		}
		return t.UnmarshalCBOR(tag.Content) // as deep as the decoder let it be
	}
	var v any
	if err := cborDecoder.Unmarshal(b, &v); err != nil {
		return err
	}
	switch v := v.(type) {
	case uint64:
		*t = timestamp(float64(v) / 1000)
	case int64:
		*t = timestamp(float64(v) / 1000)
	case float64:
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return fmt.Errorf("%v can not be converted to milliseconds since epoch", v)
		}
		*t = timestamp(v)
	default:
		return fmt.Errorf("%T can not be converted to milliseconds since epoch", v)
	}
	return nil
}
