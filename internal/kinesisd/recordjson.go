package kinesisd

import (
	"encoding/base64"
	"encoding/json"
)

// append writes the record as the API's JSON. Reading is mostly this, so it
// does without reflection.
func (r *record) append(b []byte) []byte {
	b = append(b, `{"SequenceNumber":"`...)
	b = r.seq.append(b)
	b = append(b, `","ApproximateArrivalTimestamp":`...)
	b = seconds(r.at).append(b)
	b = append(b, `,"Data":"`...)
	b = base64.StdEncoding.AppendEncode(b, r.data)
	b = append(b, `","PartitionKey":`...)
	b = appendString(b, r.partitionKey)
	return append(b, '}')
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
