package kinesisd

import (
	"encoding/base64"
	"encoding/binary"
	"hash/crc32"
	"time"
)

// token is what a shard iterator or a next token says. Both are opaque to
// clients, and checked here only against damage: whoever can reach the server
// may read every stream anyway.
type token struct {
	kind   byte
	filter byte     // ListShards: which shards
	stream int64    // a stream made again under its old name is another one
	shard  int64    // the shard's number; for next tokens the place to go on from
	after  sequence // an iterator's position, or the filter's argument
	issued int64    // milliseconds
}

const (
	iteratorToken = 'I'
	listToken     = 'L'
	tokenBytes    = 2 + 4*8 + 4
	nextTokenTTL  = 5 * time.Minute // AWS says 300 seconds
)

func (t token) String() string {
	b := make([]byte, 0, tokenBytes)
	b = append(b, t.kind, t.filter)
	for _, n := range []int64{t.stream, t.shard, int64(t.after), t.issued} {
		b = binary.BigEndian.AppendUint64(b, uint64(n))
	}
	b = binary.BigEndian.AppendUint32(b, crc32.ChecksumIEEE(b))
	return base64.RawURLEncoding.EncodeToString(b)
}

func parseToken(s string, kind byte) (token, bool) {
	if len(s) != base64.RawURLEncoding.EncodedLen(tokenBytes) {
		return token{}, false
	}
	b, err := base64.RawURLEncoding.Strict().DecodeString(s)
	if err != nil || len(b) != tokenBytes || b[0] != kind {
		return token{}, false
	}
	body, sum := b[:tokenBytes-4], binary.BigEndian.Uint32(b[tokenBytes-4:])
	if crc32.ChecksumIEEE(body) != sum {
		return token{}, false
	}
	n := func(i int) int64 { return int64(binary.BigEndian.Uint64(b[2+8*i:])) }
	t := token{kind: b[0], filter: b[1], stream: n(0), shard: n(1), after: sequence(n(2)), issued: n(3)}
	return t, t.stream >= 0 && t.shard >= 0 && t.after >= 0
}
