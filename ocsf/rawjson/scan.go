package rawjson

import (
	"encoding/binary"
	"math/bits"
)

// space returns the first index from i on that is not white space.
func space(b []byte, i int) int {
	for i < len(b) && (b[i] == ' ' || b[i] == '\n' || b[i] == '\t' || b[i] == '\r') {
		i++
	}
	return i
}

func (d *Doc) word(i int, w string) int {
	if len(d.body)-i < len(w) || string(d.body[i:i+len(w)]) != w {
		return d.syntax(i, "no JSON value")
	}
	return i + len(w)
}

// string checks the text that begins at i, behind its quote, eight bytes at a
// time, and returns the index after the closing quote.
func (d *Doc) string(i int) (int, uint8) {
	const ones, tops = 0x0101010101010101, 0x8080808080808080
	b := d.body
	var flags uint8
	var seen uint64
	for {
		for i+8 <= len(b) {
			w := binary.LittleEndian.Uint64(b[i:])
			q := w ^ 0x2222222222222222
			s := w ^ 0x5c5c5c5c5c5c5c5c
			m := ((q - ones) &^ q) | ((s - ones) &^ s) | ((w - 0x2020202020202020) &^ w)
			if m &= tops; m != 0 {
				n := bits.TrailingZeros64(m) >> 3
				seen |= w & (1<<(8*n) - 1)
				i += n
				goto hit
			}
			seen |= w
			i += 8
		}
		for ; i < len(b) && b[i] != '"' && b[i] != '\\' && b[i] >= ' '; i++ {
			seen |= uint64(b[i])
		}
		if i >= len(b) {
			return d.syntax(i, "a text does not end"), 0
		}
	hit:
		switch b[i] {
		case '"':
			if seen&tops != 0 {
				flags |= high
			}
			return i + 1, flags
		case '\\':
			flags |= escaped
			if i+1 >= len(b) {
				return d.syntax(i, "a text does not end"), 0
			}
			switch b[i+1] {
			case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
				i += 2
			case 'u':
				r := hex4(b, i+2)
				if r < 0 {
					return d.syntax(i, "four hexadecimal digits must follow \\u"), 0
				}
				if r >= 0xD800 && r < 0xE000 {
					flags |= surrogate
				}
				i += 6
			default:
				return d.syntax(i, "no such escape"), 0
			}
		default:
			return d.syntax(i, "a control character in a text"), 0
		}
	}
}

// hex4 reads four hexadecimal digits at i; -1 if they are not there.
func hex4(b []byte, i int) rune {
	if i+4 > len(b) {
		return -1
	}
	var r rune
	for _, c := range b[i : i+4] {
		switch {
		case c >= '0' && c <= '9':
			c -= '0'
		case c >= 'a' && c <= 'f':
			c -= 'a' - 10
		case c >= 'A' && c <= 'F':
			c -= 'A' - 10
		default:
			return -1
		}
		r = r<<4 | rune(c)
	}
	return r
}

// number checks the number at i.
func (d *Doc) number(i int) int {
	b := d.body
	at := i
	if i < len(b) && b[i] == '-' {
		i++
	}
	switch {
	case i < len(b) && b[i] == '0':
		i++
	case i < len(b) && b[i] >= '1' && b[i] <= '9':
		i = digits(b, i)
	default:
		return d.syntax(at, "no JSON value")
	}
	if i < len(b) && b[i] == '.' {
		j := digits(b, i+1)
		if j == i+1 {
			return d.syntax(i, "a digit must follow the point")
		}
		i = j
	}
	if i < len(b) && (b[i] == 'e' || b[i] == 'E') {
		i++
		if i < len(b) && (b[i] == '+' || b[i] == '-') {
			i++
		}
		j := digits(b, i)
		if j == i {
			return d.syntax(i, "a digit must follow the exponent")
		}
		i = j
	}
	return i
}

func digits(b []byte, i int) int {
	for i < len(b) && b[i] >= '0' && b[i] <= '9' {
		i++
	}
	return i
}
