package mapping

import (
	"testing"
	"time"
)

func TestWrittenTimes(t *testing.T) {
	tokyo := time.FixedZone("", 9*3600)
	for s, want := range map[string]string{
		"2026年7月3日 10:02 JST":                         "2026-07-03T01:02:00Z",
		"2026年7月3日（金） 10:02（日本時間）":                    "2026-07-03T01:02:00Z",
		"2026年07月03日 午後3時05分":                         "2026-07-03T06:05:00Z",
		"2026年7月3日 10時02分33秒":                         "2026-07-03T01:02:33Z",
		"２０２６年７月３日 10:02":                             "2026-07-03T01:02:00Z",
		"2026/7/3 10:02 JST":                          "2026-07-03T01:02:00Z",
		"2026/07/03 10:02:33":                         "2026-07-03T01:02:33Z",
		"2026-07-03 10:02:33 JST":                     "2026-07-03T01:02:33Z",
		"2026-07-03T10:02:33+02:00 JST":               "2026-07-03T08:02:33Z",
		"令和8年7月3日":                                    "2026-07-02T15:00:00Z",
		"令和元年5月1日 0:00 UTC":                           "2019-05-01T00:00:00Z",
		"平成31年4月30日":                                  "2019-04-29T15:00:00Z",
		"R8.7.3":                                      "2026-07-02T15:00:00Z",
		"R8/07/03 10:02":                              "2026-07-03T01:02:00Z",
		"July 3, 2026 at 10:02 AM PDT":                "2026-07-03T17:02:00Z",
		"Friday, July 3, 2026 at 1:02:03 AM UTC":      "2026-07-03T01:02:03Z",
		"Jul 3, 2026, 10:02:00 PM UTC":                "2026-07-03T22:02:00Z",
		"3 July 2026 01:02 (UTC)":                     "2026-07-03T01:02:00Z",
		"Fri, 3 Jul 2026 10:02:00 JST":                "2026-07-03T01:02:00Z",
		"Fri, 03 Jul 2026 10:02:00 JST":               "2026-07-03T01:02:00Z",
		"July 3, 2026 10:02 AM (Japan Standard Time)": "2026-07-03T01:02:00Z",
		"2026-07-03 10:02 (UTC+9)":                    "2026-07-03T01:02:00Z",
		"2026-07-03 10:02 GMT+05:30":                  "2026-07-03T04:32:00Z",
		"July 3, 2026 10:02 -0700":                    "2026-07-03T17:02:00Z",
	} {
		ms, ok := parseTime(s, tokyo)
		if got := time.UnixMilli(ms).UTC().Format(time.RFC3339); !ok || got != want {
			t.Errorf("%q is %s (%t), want %s", s, got, ok, want)
		}
	}
	for _, s := range []string{
		"未ログイン", "-", "なし", "Never logged in", "JST", "令和0年7月3日", "令和8年13月3日", "平成200年1月1日", "8年7月3日", "元年7月3日",
		"R8.2.30", "7/3/2026 10:02", "11/4/2020 21:11", "10:02", "July 3", "2026年7月", "1.2.3", "10.0.0.1", "1.2.3.4 JST", "2026-07-03 10:02 UTC+99",
	} {
		if ms, ok := parseTime(s, tokyo); ok {
			t.Errorf("%q is %s, want no time", s, time.UnixMilli(ms).UTC())
		}
	}
}

func FuzzWrittenTimes(f *testing.F) {
	for _, s := range []string{"令和8年7月3日 午後3時05分", "July 3, 2026 at 10:02 AM PDT", "2026/7/3 10:02 (UTC+9)", "R8.7.3", "２０２６年７月３日", "2026-07-03 JST JST JST"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		ms, ok := parseTime(s, time.UTC)
		if again, okAgain := inRange(ms); ok && (!okAgain || again != ms) {
			t.Errorf("%q is %d, which is no time", s, ms)
		}
	})
}
