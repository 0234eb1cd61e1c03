package mapping_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"strings"
	"testing"
	"unicode/utf8"

	"nagare"
	"nagare/ocsf"
	"nagare/ocsf/mapping"
	"nagare/ocsf/mappings"
)

// sound says what is wrong with the text of an event: it must be UTF-8, one
// JSON value, and no object in it may have a name twice.
func sound(text []byte) error {
	if !utf8.Valid(text) {
		return fmt.Errorf("not UTF-8: %q", text)
	}
	if !json.Valid(text) {
		return fmt.Errorf("not JSON: %q", text)
	}
	type frame struct {
		seen map[string]bool // nil in an array
		key  bool
	}
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.UseNumber()
	var open []*frame
	for {
		tok, err := dec.Token()
		if err == io.EOF {
			return nil
		} else if err != nil {
			return err
		}
		if d, ok := tok.(json.Delim); ok && (d == '}' || d == ']') {
			open = open[:len(open)-1]
			continue
		}
		if len(open) > 0 {
			if f := open[len(open)-1]; f.seen != nil {
				if f.key = !f.key; f.key {
					if name := tok.(string); f.seen[name] {
						return fmt.Errorf("%q is there twice: %s", name, text)
					} else {
						f.seen[name] = true
					}
				}
			}
		}
		switch tok {
		case json.Delim('{'):
			open = append(open, &frame{seen: map[string]bool{}})
		case json.Delim('['):
			open = append(open, &frame{})
		}
	}
}

// Bytes that are not UTF-8, wherever they are in the texts and names of an
// event of whatever source, come out as valid JSON.
func TestOutputIsUTF8(t *testing.T) {
	set := builtin(t)
	r := rand.New(rand.NewPCG(5, 6))
	bad := []string{"\xed\xa0\x80", "\xc0\xaf", "\xff", "\xe3\x81", "\xf4\x90\x80\x80", `\ud800`, `\udc00x`}
	var sc mapping.Scratch
	var out ocsf.Event
	h := set.Head(mapping.Options{HashKey: []byte("k")})
	for _, source := range set.Sources() {
		m, _ := set.Source(source)
		for _, c := range m.Cases {
			input, err := fs.ReadFile(mappings.FS, c.File)
			if err != nil {
				t.Fatal(err)
			}
			for _, body := range deliveries(input) {
				events, err := h.Split(source, []byte(body), mapping.HeadMeta{Source: source, Received: received})
				if err != nil {
					continue
				}
				for _, e := range events {
					for range 6 {
						var dirty []byte
						inText := false
						for i := 0; i < len(e.Body); i++ {
							b := e.Body[i]
							dirty = append(dirty, b)
							switch {
							case b == '\\' && inText:
								i++
								dirty = append(dirty, e.Body[i])
								if e.Body[i] == 'u' {
									dirty = append(dirty, e.Body[i+1:i+5]...)
									i += 4
								}
								continue
							case b == '"':
								inText = !inText
							}
							if inText && r.IntN(25) == 0 {
								dirty = append(dirty, bad[r.IntN(len(bad))]...)
							}
						}
						ev := &nagare.Event{Source: source, UID: "u", Received: received, Body: dirty}
						if m.Normalize(ev, &out, &sc) != nil {
							continue
						}
						if err := sound(out.AppendJSON(nil)); err != nil {
							t.Fatalf("%s: %q: %v", c.File, dirty, err)
						}
					}
				}
			}
		}
	}
}

// Keys of unmapped differ, by the rule of the lake.
func TestUnmappedKeysDiffer(t *testing.T) {
	set := loadText(t, headFile(""))
	for body, want := range map[string]string{
		`{"a":{"b":1},"a.b":2}`:                                    `{"a.b":"1","a.b#2":"2"}`,
		`{"a":{"b":1},"a.b":1}`:                                    `{"a.b":"1"}`,
		`{"a":{"b":1},"a.b":2,"a.b#2":3}`:                          `{"a.b":"1","a.b#2":"2","a.b#2#2":"3"}`,
		`{"nagare":{"stream":1},"nagare.stream":"zz"}`:             `{"source.nagare.stream":"1","source.nagare.stream#2":"zz"}`,
		`{"nagare":{"x":1},"source":{"nagare":{"x":2}}}`:           `{"source.nagare.x":"1","source.nagare.x#2":"2"}`,
		`{"nagare.truncated":"forged"}`:                            `{"source.nagare.truncated":"forged"}`,
		`{"k[0]":{"z":1},"k":[{"z":2,"y":{"a.b":3,"a":{"b":4}}}]}`: `{"k[0].z":"1","k":"[{\"z\":2,\"y\":{\"a.b\":3,\"a\":{\"b\":4}}}]"}`,
		`{"` + strings.Repeat("é", 600) + `":{"a":1,"b":2}}`:       `{"` + strings.Repeat("é", 512) + `":"1","` + strings.Repeat("é", 512) + `#2":"2","nagare.truncated":"2 with names cut at 1 KiB"}`,
	} {
		var out ocsf.Event
		var sc mapping.Scratch
		m, _ := set.Source("t")
		for range 2 {
			if err := m.Normalize(&nagare.Event{Source: "t", UID: "u", Received: received, Body: []byte(body)}, &out, &sc); err != nil {
				t.Fatal(err)
			}
			text := string(out.AppendJSON(nil))
			if err := sound([]byte(text)); err != nil {
				t.Errorf("%s: %v", body, err)
			}
			if _, got, _ := strings.Cut(text, `"unmapped":`); got != want+"}" {
				t.Errorf("%s\nunmapped is %s\nmust be     %s}", body, got, want)
			}
		}
	}
	m, _ := builtin(t).Source("ocsf")
	var out ocsf.Event
	var sc mapping.Scratch
	body := `{"class_uid":3002,"activity_id":1,"time":1767312838765,"metadata":{"version":"1.7.0"},"metadata.version":"1.6.0","cloud.zone":"own","user":{"name":"sato"},"unmapped":{"metadata.version":"1.5.0","nagare.seq":"1","nagare":{"seq":"2"}}}`
	if err := m.Normalize(&nagare.Event{Source: "ocsf", UID: "u", Received: received, Body: []byte(body)}, &out, &sc); err != nil {
		t.Fatal(err)
	}
	text := string(out.AppendJSON(nil))
	if err := sound([]byte(text)); err != nil {
		t.Error(err)
	}
	if want := `"metadata.version":"1.7.0","metadata.version#2":"1.6.0"`; !strings.Contains(text, want) {
		t.Errorf("%s\nhas no %s", text, want)
	}
}
