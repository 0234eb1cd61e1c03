package producers

import (
	"bytes"
	"errors"
	"unicode/utf8"

	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/japanese"
	"golang.org/x/text/encoding/unicode"
)

// DecodeText returns as UTF-8 a text that does not say its encoding. It is
// told by its bytes: a byte order mark; else UTF-8 is hardly ever valid by
// accident; UTF-16 without a mark is full of zeros; then it is one of the two
// Japanese encodings, whichever makes more sense of it.
func DecodeText(b []byte) ([]byte, error) {
	b = bytes.TrimPrefix(b, []byte("\ufeff"))
	if order, ok := utf16Order(b); ok {
		return unicode.UTF16(order, unicode.UseBOM).NewDecoder().Bytes(b)
	}
	if bytes.Contains(b, []byte("\x1b$")) {
		return japanese.ISO2022JP.NewDecoder().Bytes(b)
	}
	if utf8.Valid(b) {
		return b, nil
	}
	best, bestBad := []byte(nil), len(b)
	for _, e := range []encoding.Encoding{japanese.ShiftJIS, japanese.EUCJP} { // ShiftJIS is CP932: the WHATWG's table
		text, err := e.NewDecoder().Bytes(b)
		if err != nil {
			continue
		}
		if bad := nonsense(text); bad < bestBad {
			best, bestBad = text, bad
		}
	}
	if best == nil || bestBad > len(best)/20 {
		return nil, errors.New("neither UTF-8 nor UTF-16, CP932 or EUC-JP")
	}
	return best, nil
}

// utf16Order recognises UTF-16: by its mark, or because of all ASCII every
// other byte is zero.
func utf16Order(b []byte) (unicode.Endianness, bool) {
	if len(b) < 4 {
		return unicode.LittleEndian, false
	}
	switch {
	case b[0] == 0xff && b[1] == 0xfe:
		return unicode.LittleEndian, true
	case b[0] == 0xfe && b[1] == 0xff:
		return unicode.BigEndian, true
	}
	zeros := [2]int{}
	sample := b[:min(len(b), 1000)]
	for i, c := range sample {
		if c == 0 {
			zeros[i%2]++
		}
	}
	switch {
	case zeros[1] > len(sample)/5 && zeros[0] == 0:
		return unicode.LittleEndian, true
	case zeros[0] > len(sample)/5 && zeros[1] == 0:
		return unicode.BigEndian, true
	}
	return unicode.LittleEndian, false
}

// nonsense rates a decoded text: what could not be decoded weighs most.
// Half-width katakana weigh a little, because text in EUC-JP turns into them
// when it is read as CP932; a real one has few.
func nonsense(text []byte) (n int) {
	for _, r := range string(text) {
		switch {
		case r == utf8.RuneError:
			n += 10
		case r >= 0xff61 && r <= 0xff9f:
			n++
		case r < ' ' && r != '\t' && r != '\r' && r != '\n':
			n += 5
		case r >= 0xe000 && r <= 0xf8ff: // private use
			n += 2
		}
	}
	return n
}
