package alert

import (
	"encoding/binary"
	"math"
	"math/bits"
)

// maxExact is how many events of an alert are told apart exactly.
const maxExact = 4096

// sketchBits gives 16,384 registers: a standard error of 0.8 %.
const sketchBits = 14

// A counter counts different uids, whatever their order and however often one
// comes: it keeps a hash of each, and past maxExact a HyperLogLog sketch
// instead, which a repeat cannot move either.
type counter struct {
	// Exact holds 8 bytes of hash for each uid.
	Exact []byte `json:"exact,omitempty"`
	// Sketch holds the registers.
	Sketch []byte `json:"sketch,omitempty"`

	seen map[uint64]struct{} // of Exact, made at the first add
}

// add counts uid and says whether that changed anything.
func (c *counter) add(uid string) bool {
	h := hash64(uid)
	if c.Sketch != nil {
		return c.register(h)
	}
	if c.seen == nil {
		c.seen = make(map[uint64]struct{}, len(c.Exact)/8+1)
		for b := c.Exact; len(b) >= 8; b = b[8:] {
			c.seen[binary.BigEndian.Uint64(b)] = struct{}{}
		}
	}
	if _, ok := c.seen[h]; ok {
		return false
	}
	if len(c.seen) < maxExact {
		c.seen[h] = struct{}{}
		c.Exact = binary.BigEndian.AppendUint64(c.Exact, h)
		return true
	}
	c.Sketch = make([]byte, 1<<sketchBits)
	for known := range c.seen {
		c.register(known)
	}
	c.register(h)
	c.Exact, c.seen = nil, nil
	return true
}

func (c *counter) register(h uint64) bool {
	i := h >> (64 - sketchBits)
	rank := byte(bits.LeadingZeros64(h<<sketchBits|1<<(sketchBits-1)) + 1)
	if len(c.Sketch) != 1<<sketchBits || c.Sketch[i] >= rank {
		return false
	}
	c.Sketch[i] = rank
	return true
}

// count is the number of different uids.
func (c *counter) count() int {
	if c.Sketch == nil {
		return len(c.Exact) / 8
	}
	const m = 1 << sketchBits
	var sum float64
	zeros := 0
	for _, r := range c.Sketch {
		sum += math.Ldexp(1, -int(r))
		if r == 0 {
			zeros++
		}
	}
	n := 0.7213 / (1 + 1.079/m) * m * m / sum
	if n <= 2.5*m && zeros > 0 {
		n = m * math.Log(m/float64(zeros))
	}
	return max(int(math.Round(n)), maxExact+1)
}
