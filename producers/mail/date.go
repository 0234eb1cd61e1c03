package mail

import (
	"net/mail"
	"strings"
	"time"
	"unicode"

	"nagare/ocsf/mapping"
)

// date reads RFC 5322 dates, and what mailers write instead. A zone counts as
// it does in mappings: as an offset, or by a name that means one zone. A name
// that nobody knows makes the date unreadable: packages net/mail and time take
// it for UTC.
func date(s string) (time.Time, bool) {
	s, ok := offset(strings.TrimSpace(s))
	if !ok {
		return time.Time{}, false
	}
	t, err := mail.ParseDate(s)
	for _, layout := range []string{time.RFC3339, "2006-01-02 15:04:05 -0700", "Mon Jan _2 15:04:05 2006"} {
		if err != nil {
			t, err = time.Parse(layout, s)
		}
	}
	return t, err == nil && t.Year() >= 1970 && t.Year() < 10000
}

// asWritten is the text of a date for mappings: as it was written if they read
// it as t, in whatever zone they are; else as RFC 3339.
func asWritten(s string, t time.Time) string {
	for _, hours := range []int{0, 9} {
		if got, ok := mapping.ReadTime(s, time.FixedZone("", hours*3600)); !ok || got.Unix() != t.Unix() {
			return t.Format(time.RFC3339)
		}
	}
	return s
}

// offset writes the zone at the end of a date as an offset. Behind one that is
// there already, its name may stand in brackets: "+0900 (JST)"; without one,
// what is in brackets is the zone.
func offset(s string) (string, bool) {
	bare, comment := uncomment(s)
	last := bare[strings.LastIndexByte(bare, ' ')+1:]
	switch {
	case last == "":
		return s, true
	case strings.IndexFunc(last, func(r rune) bool { return !unicode.IsLetter(r) }) < 0:
		bare = strings.TrimSpace(strings.TrimSuffix(bare, last))
	case comment == "" || !strings.Contains(last, ":"): // ends in an offset, or a year
		return bare, true
	default: // ends in a time of day
		last = comment
	}
	seconds, ok := mapping.ZoneOffset(last)
	return bare + time.Unix(0, 0).In(time.FixedZone("", seconds)).Format(" -0700"), ok
}

// uncomment cuts the brackets off the end of a date and returns what is in them.
func uncomment(s string) (bare, comment string) {
	if i := strings.IndexByte(s, '('); i > 0 && strings.HasSuffix(s, ")") {
		return strings.TrimSpace(s[:i]), strings.TrimSpace(s[i+1 : len(s)-1])
	}
	return s, ""
}
