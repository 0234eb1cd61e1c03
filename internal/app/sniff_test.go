package app

import (
	"bytes"
	"io"
	"strings"
	"testing"

	"github.com/klauspost/compress/gzip"
)

// TestSniff holds that text files are told without a word from the user, and
// that nothing of them is lost by looking.
func TestSniff(t *testing.T) {
	zipped := func(s string) string {
		var b bytes.Buffer
		z := gzip.NewWriter(&b)
		io.WriteString(z, s)
		z.Close()
		return b.String()
	}
	flow := "version account-id interface-id srcaddr dstaddr srcport\n2 1 eni-1 192.0.2.1 192.0.2.2 1\n"
	for _, c := range []struct {
		name, text, source string
		guess              bool
	}{
		{"a.json", `{"a":1}`, "", false},
		{"a.json", " \ufeff[1]", "", false},
		{"flow.log", flow, "vpcflow", false},
		{"flow.log.gz", zipped(flow), "vpcflow", false},
		{"flow.log", "2 111122223333 eni-1 192.0.2.4 198.51.100.7 443 51312 6 10 840 1767312838 1767312898 ACCEPT OK\n", "vpcflow", false},
		{"x", "Received: from a by b\nSubject: s\n\nx", "mail", false},
		{"x.eml", "Subject: s\n\nx", "mail", false},
		{"users.csv", "user,status\na,b\n", "directory", true},
		{"users.txt", "\xff\xfeu\x00", "directory", true},
		{"x", "Feb  1 10:00:00 host github_audit[1]: {\"action\":\"x\"}\n", "github", false},
		{"x", "nothing known", "", false},
		{"x", "", "", false},
		{"x.gz", "\x1f\x8bbroken", "", false},
	} {
		source, guess, r := sniff(c.name, strings.NewReader(c.text))
		if source != c.source || guess != c.guess {
			t.Errorf("%s %.20q: %q (guess %t), want %q", c.name, c.text, source, guess, c.source)
		}
		if whole, err := io.ReadAll(r); err != nil || string(whole) != c.text {
			t.Errorf("%s: the reader gives %q, %v", c.name, whole, err)
		}
	}
}
