package kinesisd

import (
	"crypto/md5"
	"encoding/binary"
	"math/big"
	"math/bits"
)

// hashKey is a point of the 128-bit ring that shards divide.
type hashKey struct{ high, low uint64 }

var maxHashKey = hashKey{1<<64 - 1, 1<<64 - 1}

// hashOf is where a partition key lies.
func hashOf(partitionKey string) hashKey {
	sum := md5.Sum([]byte(partitionKey))
	return hashKey{binary.BigEndian.Uint64(sum[:8]), binary.BigEndian.Uint64(sum[8:])}
}

// parseHashKey reads the decimal form: "0", or digits without a leading zero,
// below 2^128.
func parseHashKey(s string) (hashKey, bool) {
	if s == "" || len(s) > 39 || (s[0] == '0' && len(s) > 1) {
		return hashKey{}, false
	}
	var k hashKey
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return hashKey{}, false
		}
		// k = k*10 + digit, refused on overflow
		c1, low := bits.Mul64(k.low, 10)
		c2, high := bits.Mul64(k.high, 10)
		low, carry := bits.Add64(low, uint64(s[i]-'0'), 0)
		high, over := bits.Add64(high, c1, carry)
		if c2 != 0 || over != 0 {
			return hashKey{}, false
		}
		k = hashKey{high, low}
	}
	return k, true
}

func (k hashKey) big() *big.Int {
	b := new(big.Int).SetUint64(k.high)
	return b.Lsh(b, 64).Or(b, new(big.Int).SetUint64(k.low))
}

func fromBig(b *big.Int) hashKey {
	var buf [16]byte
	b.FillBytes(buf[:])
	return hashKey{binary.BigEndian.Uint64(buf[:8]), binary.BigEndian.Uint64(buf[8:])}
}

func (k hashKey) String() string { return k.big().String() }

func (k hashKey) less(o hashKey) bool {
	return k.high < o.high || k.high == o.high && k.low < o.low
}

func (k hashKey) next() hashKey {
	low, carry := bits.Add64(k.low, 1, 0)
	return hashKey{k.high + carry, low}
}

func (k hashKey) previous() hashKey {
	low, borrow := bits.Sub64(k.low, 1, 0)
	return hashKey{k.high - borrow, low}
}

// uniformStarts divides the ring into n ranges as CreateStream does and
// returns where each begins.
func uniformStarts(n int) []hashKey {
	width := new(big.Int).Lsh(big.NewInt(1), 128)
	width.Div(width, big.NewInt(int64(n)))
	starts := make([]hashKey, n)
	for i := range starts {
		starts[i] = fromBig(new(big.Int).Mul(width, big.NewInt(int64(i))))
	}
	return starts
}
