package mapping

import (
	"fmt"
	"net/netip"
	"regexp"
	"testing"
	"time"

	"nagare/ocsf"
)

func TestParseTime(t *testing.T) {
	tokyo, err := time.LoadLocation("Asia/Tokyo")
	if err != nil {
		t.Skip(err)
	}
	for _, c := range []struct{ in, want string }{
		{"2026-07-03T01:02:03Z", "2026-07-03T01:02:03Z"},
		{"2026-07-03T01:02:03.1Z", "2026-07-03T01:02:03.1Z"},
		{"2026-07-03T01:02:03.1234567Z", "2026-07-03T01:02:03.123Z"},
		{"2026-07-03T01:02:03.123456789Z", "2026-07-03T01:02:03.123Z"},
		{"2026-07-03T01:02:03,123Z", "2026-07-03T01:02:03.123Z"},
		{"2026-07-03T01:02:03+09:00", "2026-07-02T16:02:03Z"},
		{"2026-07-03T01:02:03+0900", "2026-07-02T16:02:03Z"},
		{"2026-07-03T01:02:03-05", "2026-07-03T06:02:03Z"},
		{"2026-07-03 01:02:03 UTC", "2026-07-03T01:02:03Z"},
		{"2026-07-03T01:02:03", "2026-07-02T16:02:03Z"}, // in the file's zone
		{"2026-07-03 01:02", "2026-07-02T16:02:00Z"},
		{"2026-07-03", "2026-07-02T15:00:00Z"},
		{" 2026-07-03T01:02:03Z ", "2026-07-03T01:02:03Z"},
		{"2024-02-29T00:00:00Z", "2024-02-29T00:00:00Z"},
		{"2026-12-31T24:00:00Z", "2027-01-01T00:00:00Z"},
		{"1783040523", "2026-07-03T01:02:03Z"},
		{"1783040523123", "2026-07-03T01:02:03.123Z"},
		{"1783040523123456", "2026-07-03T01:02:03.123Z"},
		{"1783040523123456789", "2026-07-03T01:02:03.123Z"},
		{"1783040523.123", "2026-07-03T01:02:03.123Z"},
		{"1.783040523e9", "2026-07-03T01:02:03Z"},
		{"Fri, 03 Jul 2026 01:02:03 GMT", "2026-07-03T01:02:03Z"},
		{"Fri, 3 Jul 2026 01:02:03 +0900", "2026-07-02T16:02:03Z"},
		{"Fri Jul  3 01:02:03 UTC 2026", "2026-07-03T01:02:03Z"},
		{"03/Jul/2026:01:02:03 +0000", "2026-07-03T01:02:03Z"},
		{"2026/07/03 01:02:03", "2026-07-02T16:02:03Z"},
		{"2026/7/3 1:02", "2026-07-02T16:02:00Z"},
		{"2026年7月3日", "2026-07-02T15:00:00Z"},
		{"20260703T010203Z", "2026-07-03T01:02:03Z"},
		{"Jul 3, 2026 1:02:03 AM", "2026-07-02T16:02:03Z"},
		{"1601-01-01T00:00:00Z", ""},
		{"2023-02-29T00:00:00Z", ""}, {"2026-13-01T00:00:00Z", ""}, {"2026-00-10", ""}, {"2026-07-03T25:00:00Z", ""},
		{"0001-01-01T00:00:00", ""}, {"0001-01-01T00:00:00Z", ""}, {"2026-07-03T01:02:03+99:00", ""}, {"2026-07-03T01:02:03.Z", ""},
		{"", ""}, {"-", ""}, {"soon", ""}, {"12", ""}, {"3/7/2026", ""}, {"20260703", ""}, {"99999999999999999999999", ""}, {"2026-07-03T01:02:03Zjunk", ""},
		{"NaN", ""}, {"1e999", ""}, {"-1e999", ""},
	} {
		ms, ok := parseTime(c.in, tokyo)
		got := ""
		if ok {
			got = time.UnixMilli(ms).UTC().Format("2006-01-02T15:04:05.999Z07:00")
		}
		if got != c.want {
			t.Errorf("%q: %q, want %q", c.in, got, c.want)
		}
	}
}

// Every day of four centuries is the day the time package says.
func TestDays(t *testing.T) {
	for d := time.Date(1800, 1, 1, 0, 0, 0, 0, time.UTC); d.Year() < 2200; d = d.AddDate(0, 0, 1) {
		if got := days(d.Year(), int(d.Month()), d.Day()); got != d.Unix()/86400 {
			t.Fatalf("%v: day %d, want %d", d, got, d.Unix()/86400)
		}
	}
}

func FuzzParseTime(f *testing.F) {
	for _, s := range []string{"2026-07-03T01:02:03.1Z", "1783040523.5", "Fri, 03 Jul 2026 01:02:03 GMT", "2026-07-03T01:02:03+09:00"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		ms, ok := parseTime(s, time.UTC)
		want, err := time.Parse(time.RFC3339Nano, s)
		if err != nil || len(s) > 40 {
			return
		}
		if _, good := inRange(want.UnixMilli()); good != ok || ok && ms != want.UnixMilli() {
			t.Errorf("%q: %d %v, package time says %d", s, ms, ok, want.UnixMilli())
		}
	})
}

func TestNormalIP(t *testing.T) {
	for in, want := range map[string]string{
		"192.0.2.1": "192.0.2.1", " 192.0.2.1 ": "192.0.2.1", "192.0.2.1:443": "192.0.2.1", "192.000.002.010": "192.0.2.10",
		"2001:DB8::1": "2001:db8::1", "2001:db8:0:0:0:0:0:1": "2001:db8::1", "[2001:db8::1]:443": "2001:db8::1", "[2001:db8::1]": "2001:db8::1",
		"fe80::1%eth0": "fe80::1", "::ffff:192.0.2.1": "192.0.2.1", "[::ffff:192.0.2.1]:80": "192.0.2.1",
		"": "", "-": "", "unknown": "", "192.0.2": "", "192.0.2.256": "", "192.0.2.1:99999": "", "192.0.2.1:x": "", "1.2.3.4.5": "",
		"ec2.amazonaws.com": "", "[2001:db8::1]x": "", "192.0.2.1/24": "", "10": "", "0x7f.1.1.1": "", "192.0.2.1, 192.0.2.2": "",
	} {
		got, ok := normalIP(in)
		if got != want || ok != (want != "") {
			t.Errorf("%q: %q %v, want %q", in, got, ok, want)
		}
		if ok {
			if _, err := netip.ParseAddr(got); err != nil {
				t.Errorf("%q became %q", in, got)
			}
		}
	}
}

// The quick checks accept what the schema's own patterns accept.
func TestFormatsAreThoseOfTheSchema(t *testing.T) {
	s, err := ocsf.Load(ocsf.Version)
	if err != nil {
		t.Fatal(err)
	}
	alphabet := []string{"a", "Z", "7", "-", ".", "@", "_", "é", " ", "+", "/", "'", "!", ":", "\n"}
	for name, check := range map[string]func(string) bool{"hostname_t": validHostname, "email_t": validEmail} {
		re := regexp.MustCompile(s.Types[name].Regex)
		n := 0
		var try func(prefix string, depth int)
		try = func(prefix string, depth int) {
			n++
			if got, want := check(prefix), re.MatchString(prefix); got != want {
				t.Errorf("%s: %q is %v, by the pattern %v", name, prefix, got, want)
			}
			if depth > 0 {
				for _, a := range alphabet {
					try(prefix+a, depth-1)
				}
			}
		}
		for _, start := range []string{"", "a@b", "a.b", "x-1.", "a@b.c"} {
			try(start, 3)
		}
		if n < 10_000 {
			t.Errorf("%s: only %d texts tried", name, n)
		}
	}
	re := regexp.MustCompile(s.Types["ip_t"].Regex)
	for i := range 256 {
		for _, ip := range []string{fmt.Sprintf("%d.%d.0.%d", i, 255-i, i/2), fmt.Sprintf("2001:db8::%x:%x", i*256, i), fmt.Sprintf("%x::", i+1)} {
			if got, ok := normalIP(ip); !ok || !re.MatchString(got) {
				t.Errorf("%s became %q, which the schema's pattern refuses", ip, got)
			}
		}
	}
}
