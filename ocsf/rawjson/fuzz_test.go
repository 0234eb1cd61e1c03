package rawjson

import (
	"bytes"
	"encoding/json"
	"math/big"
	"testing"
)

// Pick finds what Parse finds, and refuses what it refuses.
func FuzzPick(f *testing.F) {
	for _, s := range seeds {
		f.Add([]byte(s))
	}
	f.Add([]byte(`{"junk":{"a":[1,{"b":0}]},"a":{"c":[],"b":"v"},"list":[{"x":1,"y":2},{"x":3}],"a":{"b":"last"}}`))
	p := NewPaths()
	paths := []int32{p.Add("a"), p.Add("a", "b"), p.Add("list"), p.Add("junk", "deep", "er")}
	p.Add("list", Elem, "x")
	whole, picked := p.NewDoc(), p.NewDoc()
	f.Fuzz(func(t *testing.T, body []byte) {
		err, err2 := whole.Parse(body), picked.Pick(body)
		if (err == nil) != (err2 == nil) && err != ErrTooMany && err2 != ErrTooMany {
			t.Fatalf("%q: Parse says %v, Pick says %v", body, err, err2)
		}
		if err != nil || err2 != nil {
			return
		}
		for _, path := range paths {
			i, ok := whole.At(path)
			j, ok2 := picked.At(path)
			if ok != ok2 {
				t.Fatalf("%q: path %d is there: %v, by Pick %v", body, path, ok, ok2)
			}
			if ok && !bytes.Equal(whole.Bytes(i), picked.Bytes(j)) {
				t.Fatalf("%q: path %d is %q, by Pick %q", body, path, whole.Bytes(i), picked.Bytes(j))
			}
		}
	})
}

// A body that is too deep is: encoding/json finds more levels than there may be.
func FuzzDepth(f *testing.F) {
	f.Add([]byte(`[[[{"a":[1]}]]]`), uint16(70))
	f.Add([]byte(`{"a":"[[[[", "b":"\"[{"}`), uint16(3))
	d := NewPaths().NewDoc()
	f.Fuzz(func(t *testing.T, body []byte, more uint16) {
		n := int(more % 200)
		body = append(append(bytes.Repeat([]byte("["), n), body...), bytes.Repeat([]byte("]"), n)...)
		err := d.Parse(body)
		depth, most := 0, 0
		dec := json.NewDecoder(bytes.NewReader(body))
		for {
			tok, err := dec.Token()
			if err != nil {
				break
			}
			switch tok {
			case json.Delim('['), json.Delim('{'):
				depth++
				most = max(most, depth)
			case json.Delim(']'), json.Delim('}'):
				depth--
			}
		}
		if err == nil && most > MaxDepth {
			t.Fatalf("%d levels are read", most)
		}
		if err == ErrTooDeep && most <= MaxDepth && json.Valid(body) {
			t.Fatalf("%d levels are too deep: %q", most, body)
		}
	})
}

// A whole number is read exactly or not at all.
func FuzzParseInt(f *testing.F) {
	for _, s := range []string{"0", "-1", "9007199254740993", "12.0", "1.2e3", "9.2e18", "-9223372036854775808", "18446744073709551615", "1e-1", "0.1"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		n, ok := ParseInt(s)
		if !ok || len(s) > 30 {
			return
		}
		want, good := new(big.Rat).SetString(s)
		if good && want.IsInt() && want.Num().Cmp(big.NewInt(n)) != 0 {
			t.Fatalf("%q is %d", s, n)
		}
	})
}
