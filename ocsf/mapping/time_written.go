package mapping

import (
	"regexp"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"golang.org/x/text/width"
)

// parseWritten reads times as people and mails write them: 2026年7月3日 10:02,
// 令和8年7月3日, R8.7.3, July 3, 2026 at 10:02 AM, and any layout with the name
// of its zone behind it. The time package knows the offset of no named zone:
// it takes "JST" for UTC.
func parseWritten(s string, zone *time.Location) (int64, bool) {
	if len(s) < 5 || len(s) > 100 || !utf8.ValidString(s) {
		return 0, false
	}
	s = strings.Join(strings.Fields(width.Fold.String(s)), " ")
	if s[len(s)-1] == ')' {
		// Mails say of an offset whose it is: +0200 (Central European Summer Time).
		if m := remarked.FindStringSubmatch(s); m != nil {
			return parseTime(m[1], zone)
		}
	}
	if rest, at, ok := namedZone(s); ok {
		// What is left may have an offset of its own, which counts.
		return parseTime(rest, at)
	}
	if m := japanese.FindStringSubmatch(s); m != nil {
		return fromJapanese(m, zone)
	}
	s = strings.Replace(weekday.ReplaceAllString(s, ""), " at ", " ", 1)
	if m := english.FindStringSubmatch(s); m != nil {
		s = m[1] + m[2] // without the comma between date and time
	}
	for _, layout := range written[formOf(s)] {
		if t, err := time.ParseInLocation(layout, s, zone); err == nil {
			return inRange(t.UnixMilli())
		}
	}
	return 0, false
}

// written are the layouts of parseWritten. Where the day stands before or
// behind a month that is a number, it is the one or the other by country:
// these are not here.
var written = byForm(func() (out []string) {
	for _, date := range []string{"Jan 2, 2006", "January 2, 2006", "2 Jan 2006", "2 January 2006", "2006/1/2"} {
		for _, clock := range []string{"", " 15:04:05", " 15:04", " 3:04:05 PM", " 3:04 PM"} {
			for _, offset := range []string{"", " -0700", " -07:00"} {
				out = append(out, date+clock+offset)
			}
		}
	}
	return out
}())

var (
	weekday  = regexp.MustCompile(`^(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun)[a-z]*,? `)
	remarked = regexp.MustCompile(`^(.+ [+-]\d{2}:?\d{2}) \([^()]*\)$`)
	english  = regexp.MustCompile(`^(.*\d{4}),( .*)$`)
	japanese = regexp.MustCompile(`^(令和|平成|昭和|大正|R|H|S|T)? ?(元|\d{1,4}) ?[年./] ?(\d{1,2}) ?[月./] ?(\d{1,2})日?` +
		` ?(?:\(?[月火水木金土日](?:曜日?)?\)?)? ?(?:(午前|午後|AM|PM)? ?(\d{1,2})(?:時|:)(?: ?(\d{1,2})(?:分|:)?)?(?: ?(\d{1,2})(?:\.\d+)?秒?)? ?(AM|PM)?頃?)?$`)
	zoneName = regexp.MustCompile(` ?\(?(UTC|GMT|JST|KST|HKT|SGT|EST|EDT|CDT|MST|MDT|PST|PDT|CET|CEST|AEST|AEDT|日本時間|日本標準時|協定世界時|世界標準時|Japan Standard Time|Coordinated Universal Time|Asia/Tokyo)` +
		`(?:([+-]\d{1,2})(?::?(\d{2}))?)?\)?$`)
)

// eras are the years before the first ones.
var eras = map[string]int{"令和": 2018, "R": 2018, "平成": 1988, "H": 1988, "昭和": 1925, "S": 1925, "大正": 1911, "T": 1911}

// offsets are those of zone names that mean one zone. CST does not: it is
// Chicago's, Shanghai's and Havana's.
var offsets = map[string]int{
	"JST": 9, "KST": 9, "日本時間": 9, "日本標準時": 9, "Japan Standard Time": 9, "Asia/Tokyo": 9, "HKT": 8, "SGT": 8,
	"EST": -5, "EDT": -4, "CDT": -5, "MST": -7, "MDT": -6, "PST": -8, "PDT": -7, "CET": 1, "CEST": 2, "AEST": 10, "AEDT": 11,
}

// ReadTime reads the text of a time as the language does, for readers that must
// know what it will make of one.
func ReadTime(s string, zone *time.Location) (time.Time, bool) {
	ms, ok := parseTime(s, zone)
	return time.UnixMilli(ms).UTC(), ok
}

// ZoneOffset returns how many seconds the zone of a name is ahead of UTC, for
// readers of texts that the language does not get to see. It knows the names
// that mean one zone, as the language does: JST, PDT, UTC, not CST.
func ZoneOffset(name string) (seconds int, ok bool) {
	switch name {
	case "UTC", "GMT", "UT", "Z":
		return 0, true
	}
	hours, ok := offsets[name]
	return hours * 3600, ok
}

// namedZone cuts the name of a zone off the end of s.
func namedZone(s string) (rest string, zone *time.Location, ok bool) {
	i := zoneName.FindStringSubmatchIndex(s)
	if i == nil || i[0] < 5 {
		return "", nil, false
	}
	seconds := offsets[s[i[2]:i[3]]] * 3600
	if i[4] >= 0 { // UTC+9, GMT+09:00
		h, _ := strconv.Atoi(s[i[4]:i[5]])
		m := 0
		if i[6] >= 0 {
			m, _ = strconv.Atoi(s[i[6]:i[7]])
		}
		if s[i[4]] == '-' {
			m = -m
		}
		if h < -14 || h > 14 || m < -59 || m > 59 {
			return "", nil, false
		}
		seconds = h*3600 + m*60
	}
	return strings.TrimRight(s[:i[0]], " "), time.FixedZone("", seconds), true
}

// fromJapanese makes a time of what japanese matched.
func fromJapanese(m []string, zone *time.Location) (int64, bool) {
	year := 1
	if m[2] != "元" {
		year, _ = strconv.Atoi(m[2])
	}
	switch {
	case m[1] != "" && year >= 1 && year < 100:
		year += eras[m[1]]
	case m[1] != "" || year < 1800 || m[2] == "元":
		return 0, false
	}
	n := func(i int) int { v, _ := strconv.Atoi(m[i]); return v }
	month, day, hour, minute, second := n(3), n(4), n(6), n(7), n(8)
	if half := m[5] + m[9]; half != "" && hour <= 12 {
		hour %= 12
		if strings.Contains(half, "午後") || strings.Contains(half, "PM") {
			hour += 12
		}
	}
	if month < 1 || month > 12 || day < 1 || day > daysIn(year, month) || hour > 24 || minute > 59 || second > 60 {
		return 0, false
	}
	ms := days(year, month, day)*86_400_000 + int64(hour*3600+minute*60+second)*1000
	return inRange(local(ms, zone))
}
