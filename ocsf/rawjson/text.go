package rawjson

import (
	"encoding/binary"
	"math"
	"math/bits"
	"strconv"
	"unicode/utf16"
	"unicode/utf8"
	"unsafe"
)

// An arena gives out bytes that are never used again, from large pieces, so
// that an escaped text does not cost an allocation of its own.
type arena struct{ free []byte }

const arenaPiece = 16 << 10

// room returns an empty slice with room for n bytes.
func (a *arena) room(n int) []byte {
	if n > cap(a.free)-len(a.free) {
		if n > arenaPiece/4 {
			return make([]byte, 0, n)
		}
		a.free = make([]byte, 0, arenaPiece)
	}
	at := len(a.free)
	a.free = a.free[:at+n]
	return a.free[at : at : at+n]
}

// Keep returns a copy of b that stays good, like the texts of d do.
func (d *Doc) Keep(b []byte) string { return bytesText(append(d.text.room(len(b)), b...)) }

// Text is the text of a String node; for other kinds see Literal.
func (d *Doc) Text(i int32) string {
	n := &d.Nodes[i]
	b := d.body[n.Start+1 : n.End-1]
	if n.flags&(escaped|high) == 0 || n.flags&escaped == 0 && utf8.Valid(b) {
		return bytesText(b)
	}
	room := len(b) // an escape is never shorter than what it stands for
	if n.flags&high != 0 && !utf8.Valid(b) {
		room *= 3 // U+FFFD for a byte
	}
	return bytesText(clean(d.text.room(room), b))
}

// Literal is what a scalar says: the text of a String, else the JSON word.
func (d *Doc) Literal(i int32) string {
	n := &d.Nodes[i]
	if n.Kind == String {
		return d.Text(i)
	}
	return bytesText(d.body[n.Start:n.End])
}

// Bytes are the node's own bytes.
func (d *Doc) Bytes(i int32) []byte { n := &d.Nodes[i]; return d.body[n.Start:n.End:n.End] }

// clean appends the text of b to dst: escapes are resolved, and what is not
// UTF-8 and lone surrogates become U+FFFD. What encoding/json does.
func clean(dst, b []byte) []byte {
	for i := 0; i < len(b); {
		c := b[i]
		switch {
		case c == '\\':
			i++
			switch b[i] {
			case 'b':
				dst = append(dst, '\b')
			case 'f':
				dst = append(dst, '\f')
			case 'n':
				dst = append(dst, '\n')
			case 'r':
				dst = append(dst, '\r')
			case 't':
				dst = append(dst, '\t')
			case 'u':
				r := hex4(b, i+1)
				i += 4
				if utf16.IsSurrogate(r) {
					r2 := rune(-1)
					if i+2 < len(b) && b[i+1] == '\\' && b[i+2] == 'u' {
						r2 = hex4(b, i+3)
					}
					if r = utf16.DecodeRune(r, r2); r != utf8.RuneError {
						i += 6
					}
				}
				dst = utf8.AppendRune(dst, r)
			default:
				dst = append(dst, b[i])
			}
			i++
		case c < utf8.RuneSelf:
			dst = append(dst, c)
			i++
		default:
			r, size := utf8.DecodeRune(b[i:])
			dst = utf8.AppendRune(dst, r)
			i += size
		}
	}
	return dst
}

// Int is the value of a number without a fraction; exact, or not ok.
func (d *Doc) Int(i int32) (int64, bool) {
	n := &d.Nodes[i]
	if n.Kind != Number {
		return 0, false
	}
	return ParseInt(bytesText(d.body[n.Start:n.End]))
}

// ParseInt reads a whole number, also one written as 12.0 or 1.2e3.
func ParseInt(s string) (int64, bool) {
	if v, err := strconv.ParseInt(s, 10, 64); err == nil {
		return v, true
	}
	digits := 0
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c >= '0' && c <= '9':
			digits++
		case c == '.' || c == 'e' || c == 'E' || c == '-' || c == '+':
		default:
			return 0, false
		}
	}
	f, err := strconv.ParseFloat(s, 64)
	// Beyond 2^53 a float names no single integer.
	if digits == len(s) || err != nil || f != math.Trunc(f) || math.Abs(f) > 1<<53 {
		return 0, false
	}
	return int64(f), true
}

// Float is the value of a Number.
func (d *Doc) Float(i int32) (float64, bool) {
	n := &d.Nodes[i]
	if n.Kind != Number {
		return 0, false
	}
	f, err := strconv.ParseFloat(bytesText(d.body[n.Start:n.End]), 64)
	return f, err == nil
}

// JSON is the node as compact, valid JSON text: its own bytes when they are
// that already. Of duplicate members the last stays.
func (d *Doc) JSON(i int32) string {
	n := &d.Nodes[i]
	b := d.body[n.Start:n.End]
	simple := n.flags&(surrogate|doubled) == 0 && (n.flags&spaced == 0 || n.Kind < Object)
	if simple && (n.flags&high == 0 || utf8.Valid(b)) {
		return bytesText(b)
	}
	return bytesText(d.appendJSON(nil, i))
}

func (d *Doc) appendJSON(dst []byte, i int32) []byte {
	n := &d.Nodes[i]
	switch n.Kind {
	case String:
		if n.flags&(surrogate|high) != 0 {
			return AppendText(dst, d.Text(i))
		}
	case Object, Array:
		open, end := byte('{'), byte('}')
		if n.Kind == Array {
			open, end = '[', ']'
		}
		dst = append(dst, open)
		any := false
		for k := i + 1; k < n.Next; k = d.Nodes[k].Next {
			if d.Nodes[k].Path == dead {
				continue
			}
			if any {
				dst = append(dst, ',')
			}
			any = true
			if n.Kind == Object {
				dst = append(AppendText(dst, d.names.all[d.Nodes[k].Path].key), ':')
			}
			dst = d.appendJSON(dst, k)
		}
		return append(dst, end)
	}
	return append(dst, d.body[n.Start:n.End]...)
}

// AppendText appends s as a JSON string. What is not UTF-8 becomes U+FFFD, and
// U+2028 and U+2029 are escaped for readers that are JavaScript.
func AppendText(dst []byte, s string) []byte {
	dst = append(dst, '"')
	from := 0
	for i := plainText(s, 0); i < len(s); i = plainText(s, i) {
		c := s[i]
		if c >= utf8.RuneSelf {
			r, size := utf8.DecodeRuneInString(s[i:])
			switch {
			case r == utf8.RuneError && size == 1:
				dst = append(append(dst, s[from:i]...), `\ufffd`...)
				from = i + 1
			case r == 0x2028 || r == 0x2029:
				dst = append(append(dst, s[from:i]...), `\u202`...)
				dst = append(dst, hex[r&15])
				from = i + size
			}
			i += size
			continue
		}
		dst = append(dst, s[from:i]...)
		switch c {
		case '"', '\\':
			dst = append(dst, '\\', c)
		case '\n':
			dst = append(dst, '\\', 'n')
		case '\r':
			dst = append(dst, '\\', 'r')
		case '\t':
			dst = append(dst, '\\', 't')
		default:
			dst = append(dst, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
		}
		i++
		from = i
	}
	return append(append(dst, s[from:]...), '"')
}

const hex = "0123456789abcdef"

// plainText returns the first index from i on of a byte that a JSON text
// cannot hold as it is, or that is not ASCII, eight bytes at a time.
func plainText(s string, i int) int {
	b := unsafe.Slice(unsafe.StringData(s), len(s))
	for ; i+8 <= len(b); i += 8 {
		if m := special(binary.LittleEndian.Uint64(b[i:])); m != 0 {
			return i + bits.TrailingZeros64(m)>>3
		}
	}
	if i < len(b) && len(b) >= 8 {
		// The last eight bytes, some of which were looked at before.
		m := special(binary.LittleEndian.Uint64(b[len(b)-8:]))
		if m == 0 {
			return len(b)
		}
		if at := len(b) - 8 + bits.TrailingZeros64(m)>>3; at >= i {
			return at
		}
	}
	for ; i < len(b) && b[i] >= ' ' && b[i] != '"' && b[i] != '\\' && b[i] < utf8.RuneSelf; i++ {
	}
	return i
}

// special has the top bit of each byte of w set that is a quote, a backslash, a
// control character or not ASCII. Above the lowest of them it may have others.
func special(w uint64) uint64 {
	const ones, tops = 0x0101010101010101, 0x8080808080808080
	q := w ^ 0x2222222222222222
	e := w ^ 0x5c5c5c5c5c5c5c5c
	return (((q - ones) &^ q) | ((e - ones) &^ e) | ((w - 0x2020202020202020) &^ w) | w) & tops
}
