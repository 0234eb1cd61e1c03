package rawjson

import (
	"encoding/json"
	"testing"
)

// TestAppendText puts every kind of byte at every place of texts of every
// short length, and holds that encoding/json reads what was written.
func TestAppendText(t *testing.T) {
	specials := []string{"\"", "\\", "\n", "\x00", "\x1f", "\x7f", "é", "\xff", "\u2028", "日本", "\xe2\x80"}
	for n := range 40 {
		plain := "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOP"[:n]
		for at := range n + 1 {
			for _, x := range specials {
				for _, y := range specials {
					s := plain[:at] + x + y + plain[at:]
					out := AppendText(nil, s)
					var got string
					if err := json.Unmarshal(out, &got); err != nil {
						t.Fatalf("%q: %s: %v", s, out, err)
					}
					want, _ := json.Marshal(s)
					var same string
					if json.Unmarshal(want, &same); got != same {
						t.Fatalf("%q: %s reads as %q, want %q", s, out, got, same)
					}
				}
			}
		}
	}
}
