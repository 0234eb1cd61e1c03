package mail

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestFields(t *testing.T) {
	for _, tt := range []struct {
		text string
		want []Field
	}{
		{"User: sato@example.co.jp\nIP address: 203.0.113.9\n", []Field{{"user", "sato@example.co.jp"}, {"ip address", "203.0.113.9"}}},
		{"ユーザー：sato@example.co.jp\n■ご利用日時：2026年7月3日 10:02 JST", []Field{{"ユーザー", "sato@example.co.jp"}, {"ご利用日時", "2026年7月3日 10:02 JST"}}},
		{"■ご利用日時\n2026年7月3日 10:02\n■場所\n\n大阪", []Field{{"ご利用日時", "2026年7月3日 10:02"}, {"場所", "大阪"}}},
		{"【ＩＰアドレス】203.0.113.9\n【日時】 : 2026/7/3", []Field{{"ipアドレス", "203.0.113.9"}, {"日時", "2026/7/3"}}},
		{"*Device:* Chrome on Windows\n- Location: Osaka, Japan", []Field{{"device", "Chrome on Windows"}, {"location", "Osaka, Japan"}}},
		{"When: Fri, 3 Jul 2026 10:02:00 GMT", []Field{{"when", "Fri, 3 Jul 2026 10:02:00 GMT"}}},
		{"IP address | 203.0.113.9", []Field{{"ip address", "203.0.113.9"}}},
		{"日時\u3000\u30002026年7月3日", []Field{{"日時", "2026年7月3日"}}},
		{"Time:\n3 July 2026 01:02 UTC\nhttps://example.com/x", []Field{{"time", "3 July 2026 01:02 UTC"}}},
		{"https://example.com/a: b\nit was at 10:02 today\n2026-07-03 10:02:00\n" + strings.Repeat("very ", 20) + "long: x", nil},
	} {
		if diff := cmp.Diff(tt.want, fields(tt.text)); diff != "" {
			t.Errorf("%q (-want +got):\n%s", tt.text, diff)
		}
	}
	if n := len(fields(strings.Repeat("a: b\n", 10_000))); n != keepFields {
		t.Errorf("%d fields, want %d", n, keepFields)
	}
}

func TestFound(t *testing.T) {
	got := Read([]byte("Subject: CVE-2026-12345 from 203.0.113.9\r\n\r\nfrom 2001:db8::7, (198.51.100.4) and 203.0.113.9.\r\n" +
		"Chrome/120.0.0.0, Windows 10.0.22631.3880, v1.2.3.4, at 10:02:33, fe80::, a::b\r\nSato@Example.co.jp, sato@example.co.jp. cve-2026-12345 CVE-2025-1\r\n"))
	want := Mail{IPs: []string{"203.0.113.9", "2001:db8::7", "198.51.100.4"}, Emails: []string{"sato@example.co.jp"}, CVEs: []string{"CVE-2026-12345"}}
	if diff := cmp.Diff(want, Mail{IPs: got.IPs, Emails: got.Emails, CVEs: got.CVEs}); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestTimesInText(t *testing.T) {
	got := Read([]byte("Subject: x\r\n\r\n2026年7月3日 10:02 JST にサインインがありました。令和8年7月3日（金） 午後3時05分。We saw it on Friday, July 3, 2026 at 10:02 AM PDT, again 2026-07-03 01:02:03 UTC," +
		" and on 3 July 2026 10:02 (JST). Not on 7/3/2026 or in July 2026.")).Times
	want := []string{"2026年7月3日 10:02 JST", "令和8年7月3日（金） 午後3時05分", "Friday, July 3, 2026 at 10:02 AM PDT", "2026-07-03 01:02:03 UTC", "3 July 2026 10:02 (JST)"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
