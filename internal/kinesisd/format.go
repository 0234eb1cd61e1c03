package kinesisd

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
)

// format is a way to write the API's shapes. A call is answered in the format
// it came in, its errors too.
type format interface {
	contentType() string
	decode(body []byte, in any) error
	encode(out any) ([]byte, error)

	// The answers that carry records are written piece by piece, since they
	// are large: head, each record, foot. rest is the encoded structure of
	// their other members.
	head(b []byte, records int, rest []byte) []byte
	record(b []byte, i int, r *record, encryption string) []byte
	foot(b, rest []byte) []byte
}

// formats are all that is spoken, by content type.
var formats = map[string]format{
	jsonFormat{}.contentType(): jsonFormat{},
	cborFormat{}.contentType(): cborFormat{},
}

// mustEncode is for shapes of texts and numbers, which any format can write.
func mustEncode(f format, out any) []byte {
	b, err := f.encode(out)
	if err != nil {
		panic(err)
	}
	return b
}

// jsonFormat is JSON 1.1 of AWS: bytes are base64, times are seconds with a
// fraction.
type jsonFormat struct{}

const contentType = "application/x-amz-json-1.1"

func (jsonFormat) contentType() string { return contentType }

func (jsonFormat) decode(body []byte, in any) error {
	if tooManyValues(body) {
		return errorf(serialization, "The request has more than %d values", maxBodyValues)
	}
	if err := json.Unmarshal(body, in); err != nil {
		return errorf(serialization, "The request is not the JSON of this call: %s", clip(err.Error()))
	}
	return nil
}

// tooManyValues says whether a body has more than maxBodyValues values, by
// what stands between them, without decoding any. A body that is not JSON may
// be told either.
func tooManyValues(body []byte) bool {
	n := 0
	for i := 0; i < len(body); i++ {
		switch body[i] {
		case ',', ':', '[', '{':
			if n++; n > maxBodyValues {
				return true
			}
		case '"':
			for i++; ; i++ {
				end := bytes.IndexByte(body[i:], '"')
				if end < 0 {
					return false // it does not end: no JSON
				}
				i += end
				slashes := 0
				for body[i-1-slashes] == '\\' { // a quote comes before them
					slashes++
				}
				if slashes%2 == 0 {
					break
				}
			}
		}
	}
	return false
}

func (jsonFormat) encode(out any) ([]byte, error) { return json.Marshal(out) }

func (jsonFormat) head(b []byte, _ int, _ []byte) []byte { return append(b, `{"Records":[`...) }

// record writes without reflection: reading is mostly this.
func (jsonFormat) record(b []byte, i int, r *record, encryption string) []byte {
	if i > 0 {
		b = append(b, ',')
	}
	b = append(b, `{"SequenceNumber":"`...)
	b = r.seq.append(b)
	b = append(b, `","ApproximateArrivalTimestamp":`...)
	b = seconds(r.at).append(b)
	b = append(b, `,"Data":"`...)
	b = base64.StdEncoding.AppendEncode(b, r.data)
	b = append(b, `","PartitionKey":`...)
	b = appendString(b, r.partitionKey)
	if encryption != "" {
		b = append(b, `,"EncryptionType":`...)
		b = appendString(b, encryption)
	}
	return append(b, '}')
}

func (jsonFormat) foot(b, rest []byte) []byte {
	b = append(b, "],"...)
	return append(b, rest[1:]...)
}

func appendString(b []byte, s string) []byte {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c > '~' || c == '"' || c == '\\' {
			quoted, err := json.Marshal(s)
			if err != nil {
				panic(err) // a string
			}
			return append(b, quoted...)
		}
	}
	b = append(b, '"')
	b = append(b, s...)
	return append(b, '"')
}
