package mapping

import (
	"strings"
	"time"

	"nagare/ocsf/expr"
)

// parseTime reads the text of a time into milliseconds: RFC 3339 with any
// fraction and with or without a zone, a number of seconds, milliseconds,
// microseconds or nanoseconds since 1970 (told apart by magnitude), and the
// layouts below. Without a zone of its own it is in zone.
func parseTime(s string, zone *time.Location) (int64, bool) {
	s = strings.TrimSpace(s)
	if ms, ok := parseStamp(s, zone); ok {
		return ms, true
	}
	if ms, ok := parseEpoch(s); ok {
		return inRange(ms)
	}
	if ms, ok := parseWritten(s, zone); ok {
		return ms, true
	}
	if len(s) < 8 || len(s) > 64 {
		return 0, false
	}
	for _, layout := range layouts[formOf(s)] {
		if ms, ok := parseLayout(layout, s, zone); ok {
			return ms, true
		}
	}
	return 0, false
}

// parseLayout reads a time by a layout of package time.
func parseLayout(layout, s string, zone *time.Location) (int64, bool) {
	t, err := time.ParseInLocation(layout, s, zone)
	if err != nil {
		return 0, false
	}
	// A zone name that the time package does not know it takes for UTC.
	if name, offset := t.Zone(); strings.Contains(layout, "MST") && offset == 0 && name != "UTC" && name != "GMT" {
		return 0, false
	}
	return inRange(t.UnixMilli())
}

// parseTime reads a time for inZone and timeAs.
func (m *Mapping) parseTime(s, layout string, zone *time.Location) (int64, bool) {
	if zone == nil {
		zone = m.zone
	}
	if layout == "" {
		return parseTime(s, zone)
	}
	return parseLayout(layout, strings.TrimSpace(s), zone)
}

// never says whether a text is how a program writes that there is no time: 0,
// the zero time of .NET and Go, and that of Unix.
func never(s string) bool {
	return s == "0" || strings.HasPrefix(s, "0001-01-01") || strings.HasPrefix(s, "1970-01-01T00:00:00")
}

// layouts are tried in turn, so the unambiguous ones alone are here: 3/4/2021
// is March in one country and April in another.
var layouts = byForm([]string{
	time.RFC1123Z, time.RFC1123, "Mon, 2 Jan 2006 15:04:05 -0700", "2 Jan 2006 15:04:05 -0700",
	time.UnixDate, time.ANSIC, time.RubyDate, time.RFC850,
	"02/Jan/2006:15:04:05 -0700", "2006/01/02 15:04:05", "2006/1/2 15:04:05", "2006/1/2 15:04", "2006/1/2",
	"20060102T150405Z0700", "20060102150405", "Jan 2, 2006 3:04:05 PM", "January 2, 2006 3:04:05 PM", "Jan 2, 2006", "2006年1月2日 15時04分05秒", "2006年1月2日",
})

// A form is what tells at a glance which layouts a text cannot have: a try that
// fails costs more than one that fits.
type form int

const (
	dashes  form = iota // 2006-…: what parseStamp refused
	slashes             // digits and slashes
	digital             // begins with another digit
	words               // begins with a letter
	forms
)

func formOf(s string) form {
	switch {
	case s == "" || s[0] < '0' || s[0] > '9':
		return words
	case len(s) > 4 && s[4] == '-':
		return dashes
	case strings.IndexByte(s, '/') >= 0:
		return slashes
	}
	return digital
}

// byForm sorts layouts by their form.
func byForm(layouts []string) (out [forms][]string) {
	for _, l := range layouts {
		f := formOf(l)
		out[f] = append(out[f], l)
	}
	return out
}

// parseStamp reads YYYY-MM-DD, or that with T or a space and hh:mm[:ss], a
// fraction after a point or comma, and Z, ±hh:mm, ±hhmm, " UTC" or nothing.
func parseStamp(s string, zone *time.Location) (int64, bool) {
	if len(s) < 10 || s[4] != '-' || s[7] != '-' {
		return 0, false
	}
	year, ok1 := number(s[0:4])
	month, ok2 := number(s[5:7])
	day, ok3 := number(s[8:10])
	if !ok1 || !ok2 || !ok3 || month < 1 || month > 12 || day < 1 || day > daysIn(year, month) {
		return 0, false
	}
	var hour, minute, second, milli int
	rest := s[10:]
	if rest != "" {
		if len(rest) < 6 || rest[0] != 'T' && rest[0] != 't' && rest[0] != ' ' || rest[3] != ':' {
			return 0, false
		}
		if hour, ok1 = number(rest[1:3]); !ok1 || hour > 24 {
			return 0, false
		}
		if minute, ok1 = number(rest[4:6]); !ok1 || minute > 59 {
			return 0, false
		}
		rest = rest[6:]
		if len(rest) >= 3 && rest[0] == ':' {
			if second, ok1 = number(rest[1:3]); !ok1 || second > 60 {
				return 0, false
			}
			rest = rest[3:]
			if len(rest) > 1 && (rest[0] == '.' || rest[0] == ',') {
				n, scale := 1, 100
				for ; n < len(rest) && rest[n] >= '0' && rest[n] <= '9'; n++ {
					milli += int(rest[n]-'0') * scale
					scale /= 10
				}
				if n == 1 {
					return 0, false
				}
				rest = rest[n:]
			}
		}
		if hour == 24 && (minute > 0 || second > 0 || milli > 0) {
			return 0, false
		}
	}
	ms := days(year, month, day)*86_400_000 + int64(hour)*3_600_000 + int64(minute)*60_000 + int64(second)*1000 + int64(milli)
	switch rest = strings.TrimLeft(rest, " "); {
	case rest == "":
		return inRange(local(ms, zone))
	case rest == "Z" || rest == "z" || rest == "UTC" || rest == "GMT":
		return inRange(ms)
	case rest[0] == '+' || rest[0] == '-':
		hh, ok := number(rest[1:min(3, len(rest))])
		mm, okm := 0, true
		switch {
		case len(rest) == 6 && rest[3] == ':':
			mm, okm = number(rest[4:6])
		case len(rest) == 5:
			mm, okm = number(rest[3:5])
		case len(rest) != 3:
			return 0, false
		}
		if !ok || !okm || hh > 18 || mm > 59 {
			return 0, false
		}
		offset := int64(hh*60+mm) * 60_000
		if rest[0] == '-' {
			offset = -offset
		}
		return inRange(ms - offset)
	}
	return 0, false
}

// local turns a wall clock reading, taken as if it were UTC, into UTC.
func local(ms int64, zone *time.Location) int64 {
	if zone == nil || zone == time.UTC {
		return ms
	}
	t := time.UnixMilli(ms).UTC()
	return time.Date(t.Year(), t.Month(), t.Day(), t.Hour(), t.Minute(), t.Second(), t.Nanosecond(), zone).UnixMilli()
}

// parseEpoch tells the unit of a number by its magnitude: seconds reach year
// 5138 before they look like milliseconds of 1973.
func parseEpoch(s string) (int64, bool) {
	if s == "" || len(s) > 24 || s[0] != '-' && (s[0] < '0' || s[0] > '9') {
		return 0, false
	}
	whole := s
	if i := strings.IndexAny(s, ".eE"); i >= 0 {
		whole = s[:i]
	}
	digits := len(strings.TrimLeft(strings.TrimPrefix(whole, "-"), "0"))
	if whole != s && strings.ContainsAny(s, "eE") {
		digits = 0
		if ms, ok := expr.EpochMillis(s, 1, 1); ok {
			for n := ms; n != 0; n /= 10 {
				digits++
			}
		}
	}
	switch {
	case digits <= 11:
		return expr.EpochMillis(s, 1, 1000)
	case digits <= 14:
		return expr.EpochMillis(s, 1, 1)
	case digits <= 17:
		return expr.EpochMillis(s, 1000, 1)
	case digits <= 19: // an int64 of nanoseconds ends in 2262
		return expr.EpochMillis(s, 1_000_000, 1)
	}
	return 0, false
}

// inRange says whether a time can be one. 1970 and what is before it is how some
// say "never" (0, 0001-01-01, 1601-01-01), or a number that is none; the years
// to 1973 are numbers in the wrong unit, as the schema's own checks have it, and
// so is what is past the year 5138.
func inRange(ms int64) (int64, bool) {
	const march1973, year5138 = 100_000_000_000, 100_000_000_000_000
	return ms, ms >= march1973 && ms <= year5138
}

func number(s string) (int, bool) {
	n := 0
	for i := 0; i < len(s); i++ {
		if s[i] < '0' || s[i] > '9' {
			return 0, false
		}
		n = n*10 + int(s[i]-'0')
	}
	return n, len(s) > 0
}

func daysIn(year, month int) int {
	switch month {
	case 2:
		if year%4 == 0 && (year%100 != 0 || year%400 == 0) {
			return 29
		}
		return 28
	case 4, 6, 9, 11:
		return 30
	}
	return 31
}

// days counts days from 1970-01-01 in the Gregorian calendar.
func days(y, m, d int) int64 {
	if m <= 2 {
		y--
		m += 9
	} else {
		m -= 3
	}
	era := y / 400
	yoe := y - era*400
	doy := (153*m+2)/5 + d - 1
	doe := yoe*365 + yoe/4 - yoe/100 + doy
	return int64(era*146097 + doe - 719468)
}
