package upload

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/japanese"
	"golang.org/x/text/encoding/unicode"

	"nagare/producers"
)

// rows reads a file; a dead row is reason:text.
func rows(t testing.TB, body string) []string {
	t.Helper()
	var out []string
	err := read(t.Context(), producers.Input{Body: []byte(body)}, func(item producers.Item) error {
		s := string(item.Body)
		if item.Reason != "" {
			s = item.Reason + ":" + s
			if item.Error == "" {
				t.Error("a dead row without an explanation")
			}
		} else if !json.Valid(item.Body) {
			t.Errorf("no JSON: %s", item.Body)
		}
		out = append(out, s)
		return nil
	})
	var refused *producers.Refusal
	if errors.As(err, &refused) {
		return append(out, refused.Reason)
	}
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestRows(t *testing.T) {
	for _, tt := range []struct {
		name, body string
		want       []string
	}{
		{"plain", "id,name\n1,Sato\n2,Ito\n", []string{`{"id":"1","name":"Sato"}`, `{"id":"2","name":"Ito"}`}},
		{"CRLF, no last break", "id,name\r\n1,Sato", []string{`{"id":"1","name":"Sato"}`}},
		{"CR only", "id,name\r1,Sato\r2,Ito\r", []string{`{"id":"1","name":"Sato"}`, `{"id":"2","name":"Ito"}`}},
		{"quotes", "id,note\n1,\"a, \"\"b\"\"\nc\"\n2,x\"y\n", []string{`{"id":"1","note":"a, \"b\"\nc"}`, `{"id":"2","note":"x\"y"}`}},
		{"semicolons", "id;amount\n1;2,50\n", []string{`{"id":"1","amount":"2,50"}`}},
		{"tabs", "id\tname\n1\ta b\n", []string{`{"id":"1","name":"a b"}`}},
		{"sep line", "sep=;\r\nid;x,y,z\r\n1;2\r\n", []string{`{"id":"1","x,y,z":"2"}`}},
		{"quoted commas in the header", "\"a,b,c\";d\n1;2\n", []string{`{"a,b,c":"1","d":"2"}`}},
		{"same names, no names", "id,id,,id_2\n1,2,3,4\n", []string{`{"id":"1","id_2":"2","column_3":"3","id_2_2":"4"}`}},
		{"spaces stay", "id, name \n 1 ,<a&b>\n", []string{`{"id":" 1 ","name":"<a&b>"}`}},
		{"formula guards stay", "id\n'=1+1\n=cmd()\n", []string{`{"id":"'=1+1"}`, `{"id":"=cmd()"}`}},
		{"ragged", "a,b\n1\n1,2,3\n1,2,\n3,4\n", []string{`bad-row:1`, `bad-row:1,2,3`, `{"a":"1","b":"2"}`, `{"a":"3","b":"4"}`}},
		{"empty lines", "\n\na,b\n\n1,2\n\n", []string{`{"a":"1","b":"2"}`}},
		{"open quote", "a,b\n1,\"x\n2,y\n3,z\n", []string{`bad-row:1,"x`, `{"a":"2","b":"y"}`, `{"a":"3","b":"z"}`}},
		{"text behind a quote", "a,b\n1,\"x\"y\n2,z\n", []string{`bad-row:1,"x"y`, `{"a":"2","b":"z"}`}},
		{"header only", "a,b\n", nil},
		{"no quote closed in the header", "\"a,b\n1,2\n", []string{"bad-row"}},
		{"too many columns", "a\n" + strings.Repeat(",", maxColumns) + "\n1\n", []string{"bad-row:" + strings.Repeat(",", maxColumns), `{"a":"1"}`}},
		{"binary", "\xff\xfa\x01\xf9\x02\xf8,\x80\x81\n\xff\xff", []string{"bad-charset"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if diff := cmp.Diff(tt.want, rows(t, tt.body)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// TestEncodings: one roster, as offices save it. It holds the letters that
// tell CP932 from Shift_JIS, and second bytes that look like a backslash.
func TestEncodings(t *testing.T) {
	const roster = "社員番号,氏名,部署,備考\r\n001,髙橋 表十,㈱ソース能,①～Ⅲ ｶﾅ\r\n002,山﨑 太郎,情報システム部,\"改行\nあり\"\r\n"
	want := []string{
		`{"社員番号":"001","氏名":"髙橋 表十","部署":"㈱ソース能","備考":"①～Ⅲ ｶﾅ"}`,
		`{"社員番号":"002","氏名":"山﨑 太郎","部署":"情報システム部","備考":"改行\nあり"}`,
	}
	encode := func(e encoding.Encoding, s string) string {
		out, err := e.NewEncoder().String(s)
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	for name, body := range map[string]string{
		"UTF-8":                 roster,
		"UTF-8, marked":         "\ufeff" + roster,
		"CP932":                 encode(japanese.ShiftJIS, roster),
		"UTF-16LE":              encode(unicode.UTF16(unicode.LittleEndian, unicode.UseBOM), roster),
		"UTF-16BE":              encode(unicode.UTF16(unicode.BigEndian, unicode.UseBOM), roster),
		"UTF-16LE with tabs":    encode(unicode.UTF16(unicode.LittleEndian, unicode.UseBOM), strings.ReplaceAll(roster, ",", "\t")),
		"UTF-16LE without mark": encode(unicode.UTF16(unicode.LittleEndian, unicode.IgnoreBOM), roster),
	} {
		if diff := cmp.Diff(want, rows(t, body)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
	// EUC-JP and ISO-2022-JP have no letters of NEC and IBM.
	const plain = "社員番号,氏名,部署\n001,高橋 表十,情報システム部\n002,佐藤 花子,総務部\n"
	wantPlain := rows(t, plain)
	for name, e := range map[string]encoding.Encoding{"EUC-JP": japanese.EUCJP, "ISO-2022-JP": japanese.ISO2022JP, "CP932": japanese.ShiftJIS} {
		if diff := cmp.Diff(wantPlain, rows(t, encode(e, plain))); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

func TestWants(t *testing.T) {
	for body, want := range map[string]bool{
		`{"id":1}`: false, "\ufeff [{}]": false, "id,name": true, `"id"`: true, " \n": false, "": false,
	} {
		if got := wants(producers.Input{Body: []byte(body)}); got != want {
			t.Errorf("wants(%q) = %v", body, got)
		}
	}
}

// TestSamples reads exports of real products and rosters in each encoding.
func TestSamples(t *testing.T) {
	const dir = "../../../shared/data/"
	want := map[string]int{"azure_sentinel_aad_user_info.csv": 4, "otrf_aws_s3_honeybucket.csv": 168, "splunk_m365_copilot_export_bom.csv": 110}
	files, _ := filepath.Glob(dir + "csv_*/*")
	if len(files) == 0 {
		t.Skip("the samples are not here")
	}
	rosters := map[string][]string{}
	for _, file := range files {
		base := filepath.Base(file)
		if base == "SOURCE.txt" {
			continue
		}
		body, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		got := rows(t, string(body))
		dead := 0
		for _, r := range got {
			if !strings.HasPrefix(r, "{") {
				dead++
				t.Logf("%s: %.200s", base, r)
			}
		}
		t.Logf("%s: %d rows, %d dead", base, len(got), dead)
		if n, ok := want[base]; ok && (len(got) != n || dead > 0) {
			t.Errorf("%s: %d rows, %d dead; want %d", base, len(got), dead, n)
		}
		if strings.HasPrefix(base, "hr_roster") {
			rosters[base] = got
		}
	}
	// The encodings differ in their wave dash, the dialects in a delimiter
	// that stands in a field.
	alike := func(rows []string) (out []string) {
		for _, s := range rows {
			out = append(out, strings.NewReplacer("〜", "～", `\t`, ",").Replace(s))
		}
		return out
	}
	for _, same := range []string{"hr_roster_utf8_bom.csv", "hr_roster_cp932.csv", "hr_roster_utf16le_bom_excel_unicode.txt"} {
		if diff := cmp.Diff(alike(rosters["hr_roster_utf8.csv"]), alike(rosters[same])); diff != "" {
			t.Errorf("%s differs from UTF-8:\n%s", same, diff)
		}
	}
}

// FuzzRead: bounded, no panic; every row is a JSON object or explained.
func FuzzRead(f *testing.F) {
	f.Add([]byte("a,b\n1,\"x\"\"y\"\n2\n"))
	f.Add([]byte("\xff\xfea\x00,\x00b\x00\n\x00"))
	f.Add([]byte("sep=;\n\"a\";b\n"))
	f.Add([]byte("\x8e\x91,b\n\x95\\,\x82\xa0\n"))
	f.Fuzz(func(t *testing.T, body []byte) {
		if got := rows(t, string(body)); len(got) > len(body)+1 {
			t.Fatalf("%d rows of %d bytes", len(got), len(body))
		}
	})
}

// TestNoRows holds that the header of an empty list is no event and no loss, and
// that one line of anything else is a dead letter.
func TestNoRows(t *testing.T) {
	for body, dead := range map[string]int{"user,status\n": 0, "null": 1, "\x00\x00": 1, "\x1e{\"a\":1}": 1, "": 0} {
		n := 0
		err := Adapter().Read(t.Context(), producers.Input{Source: "csv", Body: []byte(body)}, func(it producers.Item) error {
			if it.Reason != producers.ReasonBadRow {
				t.Errorf("%q: an event %s", body, it.Body)
			}
			n++
			return nil
		})
		if err != nil || n != dead {
			t.Errorf("%q: %d dead letters, want %d; %v", body, n, dead, err)
		}
	}
}
