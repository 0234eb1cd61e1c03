//go:build cgo && !nosql

package query

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"github.com/mattn/go-runewidth"
)

func TestValues(t *testing.T) {
	db := opened(t, Config{LakeDir: t.TempDir()})
	for _, c := range []struct{ sql, json, csv string }{
		{"NULL", `null`, ``},
		{"true", `true`, `true`},
		{"9223372036854775807", `9223372036854775807`, `9223372036854775807`},
		{"18446744073709551615::UBIGINT", `18446744073709551615`, `18446744073709551615`},
		{"170141183460469231731687303715884105727::HUGEINT", `170141183460469231731687303715884105727`, `170141183460469231731687303715884105727`},
		{"12345678901234567890123.45::DECIMAL(38,2)", `12345678901234567890123.45`, `12345678901234567890123.45`},
		{"-0.05::DECIMAL(4,2)", `-0.05`, `-0.05`},
		{"0.1::DOUBLE", `0.1`, `0.1`},
		{"1e300::DOUBLE", `1e+300`, `1e+300`},
		{"0.1::FLOAT", `0.1`, `0.1`},
		{"'nan'::DOUBLE", `"NaN"`, `NaN`},
		{"'-inf'::DOUBLE", `"-Inf"`, `-Inf`},
		{"'a<b>&\"\n'", `"a<b>&\"\n"`, "\"a<b>&\"\"\n\""},
		{"'ログイン'", `"ログイン"`, `ログイン`},
		{"DATE '2026-01-02'", `"2026-01-02"`, `2026-01-02`},
		{"TIME '01:02:03.5'", `"01:02:03.5"`, `01:02:03.5`},
		{"TIMESTAMP '2026-01-02 03:04:05.123456'", `"2026-01-02T03:04:05.123456"`, `2026-01-02T03:04:05.123456`},
		{"TIMESTAMPTZ '2026-01-02 03:04:05+09'", `"2026-01-01T18:04:05Z"`, `2026-01-01T18:04:05Z`},
		{"INTERVAL '1 month 3 days 2 hours'", `"1 month 3 days 2h0m0s"`, `1 month 3 days 2h0m0s`},
		{"'01234567-89ab-cdef-0123-456789abcdef'::UUID", `"01234567-89ab-cdef-0123-456789abcdef"`, `01234567-89ab-cdef-0123-456789abcdef`},
		{"'\\x01\\xFFa'::BLOB", `"01ff61"`, `01ff61`},
		{"'b)'::ENUM('a', 'b)')", `"b)"`, `b)`},
		{"{'z': 1, 'a': DATE '2026-01-02', 'l': [{'x': NULL}]}", `{"z":1,"a":"2026-01-02","l":[{"x":null}]}`, `"{""z"":1,""a"":""2026-01-02"",""l"":[{""x"":null}]}"`},
		{"[1.5::DECIMAL(3,1), NULL]", `[1.5,null]`, `"[1.5,null]"`},
		{"[]::INTEGER[]", `[]`, `[]`},
		{"MAP {'k\"': 1, 'a': 2}", `{"k\"":1,"a":2}`, `"{""k\"""":1,""a"":2}"`},
		{"MAP {DATE '2026-01-02': [TIMESTAMPTZ '2026-01-02 00:00:00Z']}", `{"2026-01-02":["2026-01-02T00:00:00Z"]}`, `"{""2026-01-02"":[""2026-01-02T00:00:00Z""]}"`},
		{"MAP {}::MAP(VARCHAR, VARCHAR)", `{}`, `{}`},
		{"json('{\"n\": 12345678901234567890, \"f\": 1.1}')", `{"n":12345678901234567890,"f":1.1}`, `"{""n"":12345678901234567890,""f"":1.1}"`},
		{"[5::HUGEINT, 6]", `[5,6]`, `"[5,6]"`},
		{"array_value(1, 2, 3)", `[1,2,3]`, `"[1,2,3]"`},
		{"'=HYPERLINK(\"x\")'", `"=HYPERLINK(\"x\")"`, `"'=HYPERLINK(""x"")"`},
		{"-5", `-5`, `-5`},
	} {
		got := ask(t, db, "SELECT "+c.sql+" AS v", "json")
		if want := `{"v":` + c.json + "}\n"; got != want {
			t.Errorf("%s: json %s want %s", c.sql, got, want)
		}
		if !json.Valid([]byte(got)) {
			t.Errorf("%s: %s is not JSON", c.sql, got)
		}
		got = ask(t, db, "SELECT "+c.sql+" AS v, 1 AS one", "csv")
		if want := "v,one\n" + c.csv + ",1\n"; got != want {
			t.Errorf("%s: csv %q want %q", c.sql, got, want)
		}
	}
}

func TestTable(t *testing.T) {
	db := opened(t, Config{LakeDir: t.TempDir()})
	got := ask(t, db, `SELECT * FROM (VALUES ('山田太郎', 5, 'x'), ('a', 1234, NULL)) v("利用者", n, last)`, "table")
	want := `利用者       n  last
--------  ----  ----
山田太郎     5  x
a         1234
(2 rows)
`
	if got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
	got = ask(t, db, `SELECT repeat('長い', 100) AS v, chr(27) || '[2J' || chr(10) || 'x' AS nasty`, "table")
	line := strings.Split(got, "\n")[2]
	if width := runewidth.StringWidth(strings.SplitN(line, "  ", 2)[0]); width > maxCell || !strings.Contains(line, "…") {
		t.Errorf("a long value is %d wide: %s", width, line)
	}
	if strings.Contains(got, "\x1b") || strings.Count(got, "\n") != 4 {
		t.Errorf("a value moves the cursor: %q", got)
	}
	// More rows than are measured: the later ones are cut to fit.
	got = ask(t, db, `SELECT CASE WHEN range < 600 THEN 'short' ELSE 'very very long' END AS v FROM range(601)`, "table")
	lines := strings.Split(strings.TrimSpace(got), "\n")
	if len(lines) != 604 || lines[602] != "ver…" && lines[602] != "very…" || lines[603] != "(601 rows)" {
		t.Errorf("%d lines, the last ones %q", len(lines), lines[len(lines)-2:])
	}
	if got := ask(t, db, `SELECT 1 AS n WHERE false`, "table"); got != "n\n-\n(0 rows)\n" {
		t.Errorf("no rows: %q", got)
	}
	r, err := db.Query(t.Context(), "SELECT 1")
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if _, err := Write(&bytes.Buffer{}, "xml", r); err == nil || !strings.Contains(err.Error(), "table, json, csv") {
		t.Errorf("format xml: %v", err)
	}
}

func FuzzParseType(f *testing.F) {
	for _, s := range []string{"VARCHAR", "DECIMAL(18,3)", `STRUCT("a ""b" INTEGER, "c" VARCHAR[])[]`, "MAP(VARCHAR, STRUCT(x DATE))[3]", "TIMESTAMP WITH TIME ZONE", "ENUM('a)', 'b')", "UNION(a INTEGER)", "STRUCT(", "MAP(a)", "[]"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		typ, err := parseType(s)
		if err == nil && typ.kind == "" {
			t.Errorf("%q is a type without a name", s)
		}
	})
}
