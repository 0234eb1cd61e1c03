package ocsf

import (
	"net/netip"
	"regexp"
	"strings"
)

// formats are the formats of types that have a pattern in the schema, written
// by hand because they are checked in every event. Tests hold them to the
// schema's patterns. Only ip_t differs: the pattern takes any character for a
// dot.
var formats = map[string]func(string) bool{
	"ip_t":       isIP,
	"mac_t":      isMAC,
	"email_t":    isEmail,
	"hostname_t": isHostname,
	"uuid_t":     hasUUID,
}

// formatOf returns the check of a type's text; nil if it takes any.
func formatOf(t *Type) func(string) bool {
	if t.Base != BaseString || t.Regex == "" {
		return nil
	}
	if t.Name == "email_t" && !strings.Contains(t.Regex, "!") {
		return isPlainEmail // of 1.1.0
	}
	if f, ok := formats[t.Name]; ok {
		return f
	}
	return regexp.MustCompile(t.Regex).MatchString // facts are built in, and tested
}

// ValidFormat says whether text has the format of a type.
func ValidFormat(t *Type, text string) bool {
	if t == nil {
		return true
	}
	f := formatOf(t)
	return f == nil || f(text)
}

func isIP(s string) bool {
	s = strings.TrimSpace(s)
	if s, zone, ok := strings.Cut(s, "%"); ok {
		// The zone is cut off because netip keeps zones in a table for ever.
		return zone != "" && strings.Contains(s, ":") && isIP(s)
	}
	_, err := netip.ParseAddr(s)
	return err == nil
}

func isMAC(s string) bool {
	if len(s) != 17 {
		return false
	}
	for i := range len(s) {
		if i%3 == 2 {
			if s[i] != ':' && s[i] != '-' {
				return false
			}
		} else if !isHex(s[i]) {
			return false
		}
	}
	return true
}

// "+-/" is a range in the schema's pattern: it takes the comma too.
func isEmail(s string) bool { return isEmailOf(s, "!#$%&'*+,-./=?^_`{|}~") }

func isPlainEmail(s string) bool { return isEmailOf(s, "_.+-") }

// isEmailOf checks an address before whose @ letters, digits and others stand.
func isEmailOf(s, others string) bool {
	at := strings.IndexByte(s, '@')
	if at < 1 {
		return false
	}
	for i := range at {
		if c := s[i]; !isAlnum(c) && !strings.ContainsRune(others, rune(c)) {
			return false
		}
	}
	domain := s[at+1:]
	dot := strings.IndexByte(domain, '.')
	if dot < 1 || dot == len(domain)-1 {
		return false
	}
	for i := range len(domain) {
		if c := domain[i]; !isAlnum(c) && c != '-' && c != '.' {
			return false
		}
	}
	return true
}

func isHostname(s string) bool {
	for label := range strings.SplitSeq(s, ".") {
		n := len(label)
		if n == 0 || label[0] == '-' || label[n-1] == '-' {
			return false
		}
		for i := range n {
			if c := label[i]; !isAlnum(c) && c != '-' {
				return false
			}
		}
	}
	return true
}

// hasUUID looks for an UUID anywhere, as the schema's pattern does: sources
// write them in braces.
func hasUUID(s string) bool {
	for ; len(s) >= 36; s = s[1:] {
		if isUUID(s[:36]) {
			return true
		}
	}
	return false
}

func isUUID(s string) bool {
	for i := range len(s) {
		if i == 8 || i == 13 || i == 18 || i == 23 {
			if s[i] != '-' {
				return false
			}
		} else if !isHex(s[i]) {
			return false
		}
	}
	return true
}

func isHex(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'a' && c <= 'f' || c >= 'A' && c <= 'F'
}

func isAlnum(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
}
