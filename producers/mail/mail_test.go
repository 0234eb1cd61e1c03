package mail

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/japanese"

	"nagare/producers"
)

const notice = "From: Example Cloud <No-Reply@cloud.example>\r\n" +
	"To: ops@example.co.jp, \"Sato, Hanako\" <sato@example.co.jp>\r\n" +
	"Cc: <Audit@example.co.jp>\r\n" +
	"Subject: =?UTF-8?B?5paw44GX44GE44OH44OQ44Kk44K5?=\r\n" +
	"Date: Fri, 3 Jul 2026 10:02:00 +0900\r\n" +
	"Message-ID: <abc@cloud.example>\r\n" +
	"Received: from a.example\r\n" +
	"Received: from b.example\r\n" +
	"Authentication-Results: mx.example; dkim=pass\r\n" +
	"Content-Type: multipart/mixed; boundary=b1\r\n\r\n" +
	"--b1\r\nContent-Type: multipart/alternative; boundary=b2\r\n\r\n" +
	"--b2\r\nContent-Type: text/plain; charset=utf-8\r\n\r\nユーザー: sato@example.co.jp\r\n" +
	"--b2\r\nContent-Type: text/html; charset=utf-8\r\n\r\n<style>x{}</style><p>ユーザー:&nbsp;<b>sato</b><a href=\"https://evil.example/x\">cloud.example</a></p>\r\n--b2--\r\n" +
	"--b1\r\nContent-Type: text/csv; name=\"list.csv\"\r\nContent-Disposition: attachment; filename=\"list.csv\"\r\n\r\na,b\r\n--b1--\r\n"

func TestRead(t *testing.T) {
	got := Read([]byte(notice))
	want := Mail{
		MessageID: "abc@cloud.example", From: "no-reply@cloud.example", FromName: "Example Cloud", FromDomain: "cloud.example",
		To: []string{"ops@example.co.jp", "sato@example.co.jp"}, CC: []string{"audit@example.co.jp"},
		Subject: "新しいデバイス", Date: "2026-07-03T10:02:00+09:00", Sent: "Fri, 3 Jul 2026 10:02:00 +0900",
		Text: "ユーザー: sato@example.co.jp", HTMLText: "ユーザー: sato [https://evil.example/x] cloud.example",
		Attachments: []Attachment{{Name: "list.csv", Type: "text/csv", Size: 3, SHA256: "eaf6a6d9dc0efb4fa3d8b73c4a2d5fdc8d0ef7a2d1d14f8fb1bd4f1c0f0dd6a1"}},
		Headers:     got.Headers, RawSHA256: got.RawSHA256, Size: len(notice),
		Fields: []Field{{"ユーザー", "sato@example.co.jp"}}, Emails: []string{"sato@example.co.jp"},
	}
	want.Attachments[0].SHA256 = got.Attachments[0].SHA256
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	for key, value := range map[string]string{"received": "from a.example\nfrom b.example", "authentication-results": "mx.example; dkim=pass"} {
		if got.Headers[key] != value {
			t.Errorf("header %s = %q, want %q", key, got.Headers[key], value)
		}
	}
	if len(got.RawSHA256) != 64 || len(got.Attachments[0].SHA256) != 64 {
		t.Error("hashes are missing")
	}
	out, err := json.Marshal(got)
	if err != nil || !strings.Contains(string(out), `"auth":{}`) {
		t.Errorf("the mail's own Authentication-Results became a verdict: %s", out)
	}
}

// TestJapanese: the three encodings of mails from Japan, in the text and in
// encoded and raw headers.
func TestJapanese(t *testing.T) {
	const subject, body = "重要：不正なサインインを検知しました", "ユーザー: 佐藤 花子\r\n場所: 大阪市北区\r\n"
	for name, e := range map[string]encoding.Encoding{
		"iso-2022-jp": japanese.ISO2022JP, "shift_jis": japanese.ShiftJIS, "cp932": japanese.ShiftJIS, "windows-31j": japanese.ShiftJIS, "euc-jp": japanese.EUCJP,
	} {
		s, err := e.NewEncoder().String(subject)
		if err != nil {
			t.Fatal(err)
		}
		b, err := e.NewEncoder().String(body)
		if err != nil {
			t.Fatal(err)
		}
		for how, raw := range map[string]string{
			"encoded": "From: a@example.co.jp\r\nSubject: =?" + name + "?B?" + base64.StdEncoding.EncodeToString([]byte(s)) + "?=\r\nContent-Type: text/plain; charset=" + name + "\r\n\r\n" + b,
			"base64":  "From: a@example.co.jp\r\nSubject: =?" + name + "?B?" + base64.StdEncoding.EncodeToString([]byte(s)) + "?=\r\nContent-Type: text/plain; charset=\"" + name + "\"\r\nContent-Transfer-Encoding: base64\r\n\r\n" + base64.StdEncoding.EncodeToString([]byte(b)),
			"raw":     "From: a@example.co.jp\r\nSubject: " + s + "\r\nContent-Type: text/plain; charset=" + name + "\r\n\r\n" + b,
		} {
			m := Read([]byte(raw))
			if m.Subject != subject {
				t.Errorf("%s, %s: subject %q", name, how, m.Subject)
			}
			if strings.TrimSpace(m.Text) != strings.TrimSpace(body) {
				t.Errorf("%s, %s: text %q", name, how, m.Text)
			}
		}
	}
}

func TestOddMails(t *testing.T) {
	for _, tt := range []struct {
		name, raw string
		check     func(m Mail) bool
	}{
		{"LF only", "Subject: a\n\nhello\n", func(m Mail) bool { return m.Subject == "a" && strings.TrimSpace(m.Text) == "hello" }},
		{"header only", "Subject: a", func(m Mail) bool { return m.Subject == "a" }},
		{"boundary not closed", "Subject: a\r\nContent-Type: multipart/mixed; boundary=x\r\n\r\n--x\r\nContent-Type: text/plain\r\n\r\nhello", func(m Mail) bool { return strings.Contains(m.Text, "hello") }},
		{"no boundary", "Subject: a\r\nContent-Type: multipart/mixed\r\n\r\nhello", func(m Mail) bool { return m.Subject == "a" }},
		{"unknown charset", "Subject: a\r\nContent-Type: text/plain; charset=us-askey\r\n\r\nhello", func(m Mail) bool { return strings.Contains(m.Text, "hello") }},
		{"unknown transfer encoding", "Subject: a\r\nContent-Transfer-Encoding: base9000\r\n\r\nhello", func(m Mail) bool { return strings.Contains(m.Text, "hello") }},
		{"two From", "From: a@example.com\r\nFrom: b@example.com\r\nSubject: a\r\n\r\n", func(m Mail) bool { return strings.Contains(strings.Join(m.Problems, " "), "more than one From") }},
		{"From without quotes", "From: Sato, Hanako <sato@example.com>\r\n\r\n", func(m Mail) bool { return m.From == "sato@example.com" || strings.Contains(m.From, "sato@") }},
		{"HTML only", "Content-Type: text/html\r\nSubject: a\r\n\r\n<p>a<br>b &amp; c</p><script>x</script>", func(m Mail) bool { return m.Text == "a\nb & c" }},
		{"NUL", "Subject: a\x00b\r\n\r\n\x00", func(m Mail) bool { return m.Subject == "a b" }},
		{"depth", "Subject: a\r\n" + nested(1000), func(m Mail) bool { return m.Subject == "a" && strings.Contains(m.Problems[0], "levels") }},
		{"parts", "Subject: a\r\nContent-Type: multipart/mixed; boundary=x\r\n\r\n" + strings.Repeat("--x\r\n\r\n\r\n", 10_000), func(m Mail) bool { return m.Subject == "a" && strings.Contains(m.Problems[0], "parts") }},
		{"long header", "Subject: a\r\nX: " + strings.Repeat("x", 1<<20) + "\r\n\r\nhello", func(m Mail) bool { return m.Subject == "a" && strings.Contains(m.Problems[0], "bytes") }},
		{"many headers", "Subject: a\r\n" + strings.Repeat("X: y\r\n", 100_000) + "\r\nhello", func(m Mail) bool { return m.Subject == "a" && strings.Contains(m.Problems[0], "fields") }},
		{"long text", "Subject: a\r\n\r\n" + strings.Repeat("日本語", 1<<18), func(m Mail) bool { return len(m.Text) > 60_000 && len(m.Text) <= keepText && utf8.ValidString(m.Text) }},
	} {
		start := time.Now()
		if m := Read([]byte(tt.raw)); !tt.check(m) {
			m.Text = clip(m.Text, 200)
			t.Errorf("%s: %+v", tt.name, m)
		}
		if d := time.Since(start); d > 3*time.Second {
			t.Errorf("%s took %v", tt.name, d)
		}
	}
}

// TestDate: the name of a zone is not UTC.
func TestDate(t *testing.T) {
	for in, want := range map[string]string{
		"Fri, 3 Jul 2026 10:02:00 +0900":                         "2026-07-03T01:02:00Z",
		"Fri, 3 Jul 2026 10:02:00 +0900 (JST)":                   "2026-07-03T01:02:00Z",
		"Fri, 3 Jul 2026 10:02:00 -0700 (Pacific Daylight Time)": "2026-07-03T17:02:00Z",
		"Fri, 3 Jul 2026 10:02:00 JST":                           "2026-07-03T01:02:00Z",
		"Fri, 3 Jul 2026 10:02:00 (JST)":                         "2026-07-03T01:02:00Z",
		"3 Jul 2026 10:02 PDT":                                   "2026-07-03T17:02:00Z",
		"Fri, 3 Jul 2026 10:02:00 EST":                           "2026-07-03T15:02:00Z",
		"Fri, 3 Jul 2026 10:02:00 CEST":                          "2026-07-03T08:02:00Z",
		"Fri, 3 Jul 2026 10:02:00 GMT":                           "2026-07-03T10:02:00Z",
		"Fri, 3 Jul 2026 10:02:00 UT":                            "2026-07-03T10:02:00Z",
		"Fri, 3 Jul 2026 10:02:00 UTC":                           "2026-07-03T10:02:00Z",
		"2026-07-03T10:02:00+09:00":                              "2026-07-03T01:02:00Z",
		"2026-07-03 10:02:00 +0900":                              "2026-07-03T01:02:00Z",
		"Fri Jul  3 10:02:00 2026":                               "2026-07-03T10:02:00Z",
		"Fri, 3 Jul 2026 10:02:00 CST":                           "",
		"Fri, 3 Jul 2026 10:02:00 XYZ":                           "",
		"Fri, 3 Jul 2026 10:02:00 (somewhere)":                   "",
		"3 Jul 0001 10:02:00 +0000":                              "",
		"JST":                                                    "",
		"(":                                                      "",
	} {
		got := ""
		if d, ok := date(in); ok {
			got = d.UTC().Format(time.RFC3339)
		}
		if got != want {
			t.Errorf("date(%q) = %q, want %q", in, got, want)
		}
	}
	for header, want := range map[string][2]string{
		"Fri, 3 Jul 2026 10:02:00 JST":                           {"2026-07-03T10:02:00+09:00", "Fri, 3 Jul 2026 10:02:00 JST"},
		"Fri, 3 Jul 2026 10:02:00 -0700 (Pacific Daylight Time)": {"2026-07-03T10:02:00-07:00", "Fri, 3 Jul 2026 10:02:00 -0700 (Pacific Daylight Time)"},
		"Fri, 3 Jul 2026 10:02:00 CST":                           {"", "Fri, 3 Jul 2026 10:02:00 CST"},
		"Fri Jul  3 10:02:00 2026":                               {"2026-07-03T10:02:00Z", "2026-07-03T10:02:00Z"}, // in the zone of the mapping it would be another
	} {
		m := Read([]byte("From: a@example.com\r\nDate: " + header + "\r\n\r\n"))
		if m.Date != want[0] || m.Sent != want[1] {
			t.Errorf("%s: date %q, sent %q", header, m.Date, m.Sent)
		}
	}
}

// TestLongHeader: what a mail is stands where it likes, and what is left out is
// counted.
func TestLongHeader(t *testing.T) {
	const late = "From: a@example.com\r\nSubject: last\r\n of all\r\nX-Last: 1\r\nDate: Fri, 3 Jul 2026 10:02:00 +0900\r\n\r\nhello"
	var b strings.Builder
	for i := range 30_000 {
		fmt.Fprintf(&b, "X-%d: %d\r\n", i, i)
	}
	for name, tt := range map[string]struct {
		before string
		left   int
	}{
		"many":  {b.String(), 30_000 - maxHeaders + 1},
		"large": {"X: " + strings.Repeat("x", 300<<10) + "\r\n", 2},
	} {
		m := Read([]byte(tt.before + late))
		if m.From != "a@example.com" || m.Subject != "last of all" || m.Date != "2026-07-03T10:02:00+09:00" || m.HeadersLeftOut != tt.left {
			t.Errorf("%s: %q, %q, %q, %d left out, want %d: %v", name, m.From, m.Subject, m.Date, m.HeadersLeftOut, tt.left, m.Problems)
		}
	}
	m := Read([]byte("X-Long: " + strings.Repeat("x", keepHeader+1) + "\r\n\r\n" + strings.Repeat("y", keepText+1)))
	if len(m.Problems) != 2 || !strings.Contains(m.Problems[0], "x-long") || !strings.Contains(m.Problems[1], "text") {
		t.Errorf("problems: %q", m.Problems)
	}
}

func nested(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "Content-Type: multipart/mixed; boundary=b%d\r\n\r\n--b%d\r\n", i, i)
	}
	return b.String() + "\r\nhello"
}

func TestAdapter(t *testing.T) {
	a := Adapter()
	if a.Wants(producers.Input{Body: []byte(` {"raw_sha256":"…"}`)}) || !a.Wants(producers.Input{Body: []byte(notice)}) {
		t.Error("Wants takes JSON, or no mail")
	}
	var items []producers.Item
	emit := func(i producers.Item) error {
		items = append(items, i)
		return nil
	}
	if err := a.Read(t.Context(), producers.Input{Body: []byte(notice)}, emit); err != nil {
		t.Fatal(err)
	}
	if len(items) != 1 || !json.Valid(items[0].Body) || items[0].UID != Read([]byte(notice)).RawSHA256 {
		t.Errorf("items = %+v", items)
	}
	var refused *producers.Refusal
	if err := a.Read(t.Context(), producers.Input{Body: []byte("\r\n\r\nno header at all")}, emit); !errors.As(err, &refused) {
		t.Errorf("err = %v", err)
	}
}

// TestSamples reads odd mails from the tests of other parsers.
func TestSamples(t *testing.T) {
	files, _ := filepath.Glob("../../../shared/data/mail_mime/*")
	if len(files) == 0 {
		t.Skip("the samples are not here")
	}
	mails, withFrom, withText := 0, 0, 0
	for _, file := range files {
		raw, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if filepath.Base(file) == "SOURCE.txt" {
			continue
		}
		m := Read(raw)
		if out, err := json.Marshal(m); err != nil || !utf8.Valid(out) {
			t.Errorf("%s: %v", file, err)
		}
		if len(m.Headers) == 0 {
			t.Logf("%s: nothing could be read: %v", filepath.Base(file), m.Problems)
			continue
		}
		mails++
		if m.From != "" {
			withFrom++
		}
		if m.Text != "" {
			withText++
		}
	}
	t.Logf("%d of %d files read, %d with From, %d with text", mails, len(files)-1, withFrom, withText)
	if mails < (len(files)-1)*95/100 {
		t.Errorf("%d of %d files read", mails, len(files)-1)
	}
}

// FuzzRead: no panic, valid UTF-8, bounded.
func FuzzRead(f *testing.F) {
	f.Add([]byte(notice))
	f.Add([]byte("Subject: =?iso-2022-jp?B?GyRCJUYbKEI=?=\r\nContent-Type: text/html; charset=euc-jp\r\n\r\n<a href=\xa4\xa2>x"))
	f.Add([]byte(nested(5)))
	f.Fuzz(func(t *testing.T, raw []byte) {
		m := Read(raw)
		out, err := json.Marshal(m)
		if err != nil || !utf8.Valid(out) {
			t.Fatalf("%v: %+v", err, m)
		}
		if len(m.Text) > keepText || len(m.HTMLText) > keepText || len(m.Problems) > keepProblems {
			t.Fatal("over a limit")
		}
	})
}
