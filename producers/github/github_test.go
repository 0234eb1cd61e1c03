package github

import (
	"bytes"
	"context"
	"encoding/json"
	"strings"
	"testing"

	"nagare/producers"
)

func items(t testing.TB, body string) []producers.Item {
	t.Helper()
	var out []producers.Item
	err := read(context.Background(), producers.Input{Body: []byte(body)}, func(i producers.Item) error {
		out = append(out, i)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestLines(t *testing.T) {
	for _, tt := range []struct{ name, line, want string }{
		{"RFC 3164", `<190>Jul  3 10:00:00 git-01 github_audit: {"action":"repo.create","actor":"sato"}`, `{"syslog":"<190>Jul  3 10:00:00 git-01 github_audit","action":"repo.create","actor":"sato"}`},
		{"with a process id", `Jul 3 10:00:00 git-01 github_audit[12]: { "a":1}`, `{"syslog":"Jul 3 10:00:00 git-01 github_audit[12]","a":1}`},
		{"RFC 5424 with a brace", `<190>1 2026-07-03T01:00:00Z git-01 github_audit - - [x@1 a="{"] {"a":1}`, `{"syslog":"<190>1 2026-07-03T01:00:00Z git-01 github_audit - - [x@1 a=\"{\"]","a":1}`},
		{"an empty object", `x: {}`, `{"syslog":"x"}`},
		{"JSON alone", `{"a":1}`, `{"a":1}`},
		{"half a line", `<190>Jul 3 10:00:00 git-01 github_audit: {"a":`, producers.ReasonNotJSON},
		{"no JSON", `<190>Jul 3 10:00:00 git-01 sshd: hello`, producers.ReasonNotJSON},
		{"too late", strings.Repeat("x", 3000) + `{"a":1}`, producers.ReasonNotJSON},
		{"a payload", "payload=%7B%22zen%22%3A%22a+b%22%7D&x=1", `{"zen":"a b"}`},
		{"a broken payload", "payload=%7B", producers.ReasonBadForm},
		{"a payload that is none", "payload=", producers.ReasonBadForm},
	} {
		got := items(t, tt.line+"\r\n\r\n")
		if len(got) != 1 || got[0].Reason != tt.want && string(got[0].Body) != tt.want {
			t.Errorf("%s: %d, %s %s; want %s", tt.name, len(got), got[0].Reason, got[0].Body, tt.want)
		}
	}
}

// TestMark: the header's name stands in the body, and one that is there already
// counts.
func TestMark(t *testing.T) {
	for in, want := range map[string]string{
		`{"action":"deleted"}`:      `{"x_github_event":"star","action":"deleted"}`,
		" { }":                      `{"x_github_event":"star"}`,
		`{"x_github_event":"fork"}`: `{"x_github_event":"star","x_github_event":"fork"}`,
		`[1]`:                       `[1]`,
		"":                          "",
	} {
		if got := string(mark("star", []byte(in))); got != want {
			t.Errorf("%s became %s, want %s", in, got, want)
		}
	}
}

func TestWants(t *testing.T) {
	for body, want := range map[string]bool{"<190>x {}": true, "payload=%7B%7D": true, "\ufeff {": false, "[": false, "": false} {
		if got := wants(producers.Input{Body: []byte(body)}); got != want {
			t.Errorf("%q: %t", body, got)
		}
	}
}

// FuzzRead: an item is an object or has a reason, and no line is lost.
func FuzzRead(f *testing.F) {
	f.Add([]byte("<190>Jul 3 10:00:00 git-01 github_audit: {\"a\":1}\r\n{}\n{{{{"))
	f.Add([]byte("payload=%7B%7D"))
	f.Fuzz(func(t *testing.T, body []byte) {
		got := items(t, string(body))
		for _, i := range got {
			if i.Reason == "" && (!json.Valid(i.Body) || i.Body[0] != '{') {
				t.Fatalf("%q became %q", body, i.Body)
			}
		}
		if want := len(bytes.Fields(body)) > 0; want && len(bytes.Trim(body, " \t\r\n\v\f\x00\u0085\u00a0\ufeff")) > 0 && len(got) == 0 {
			t.Fatalf("nothing came of %q", body)
		}
	})
}
