package expr

import (
	"strings"
	"testing"
)

func TestPatternsAreBounded(t *testing.T) {
	r, err := NewRaw(nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ text, said string }{
		{`raw.a.matches("^[A-Z][a-z]{1,60}[0-9]{4}$")`, ""},
		{`regex.extract(raw.a, "([0-9]+)x{100}").orValue("")`, ""},
		{`raw.a.matches("` + strings.Repeat("x", 1001) + `")`, "a pattern of 1001 bytes; at most 1000"},
		{`raw.a.matches("(((.{10}){10}){10}){1}` + strings.Repeat("(.{1000})", 12) + `")`, "larger than 10000"},
		{`matches(raw.a, "` + strings.Repeat("(.{1000})", 12) + `")`, "larger than 10000"},
		{`regex.extract(raw.a, "` + strings.Repeat("(?:.{1000})", 12) + `").orValue("")`, "larger than 10000"},
		{`regex.replace(raw.a, "` + strings.Repeat("(?:.{1000})", 12) + `", "")`, "larger than 10000"},
		{`raw.l.filter(x, x.matches("` + strings.Repeat("(.{1000})", 12) + `"))`, "larger than 10000"},
		{`raw.a.matches("a{1001}")`, "invalid repeat"},
		{strings.Repeat("(", 200) + "raw.a" + strings.Repeat(")", 200), "recursion"},
		{`raw.a == "` + strings.Repeat("x", 10_000) + `"`, "size exceeds limit"},
	} {
		_, issues := r.Compile(c.text)
		var said []string
		for _, i := range issues {
			said = append(said, i.Message)
		}
		if got := strings.Join(said, "; "); c.said == "" && got != "" || !strings.Contains(got, c.said) {
			t.Errorf("%.60s: said %q, want %q", c.text, got, c.said)
		}
	}
}
