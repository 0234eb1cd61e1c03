package mapping

import (
	"net/netip"
	"strings"
)

// normalIP returns the address in a text in its canonical form. It takes
// ports, brackets, zones, white space and leading zeros away, and unwraps
// IPv4 in IPv6. What is no address is not ok.
func normalIP(s string) (string, bool) {
	s = strings.TrimSpace(s)
	if len(s) < 2 || len(s) > 80 {
		return "", false
	}
	if a, err := netip.ParseAddr(s); err == nil {
		return canonical(s, a)
	}
	host := s
	if s[0] == '[' {
		end := strings.IndexByte(s, ']')
		if end < 0 || end+1 < len(s) && s[end+1] != ':' {
			return "", false
		}
		host = s[1:end]
	} else if i := strings.IndexByte(s, ':'); i > 0 && strings.Count(s, ":") == 1 {
		if port, ok := number(s[i+1:]); !ok || port > 65535 {
			return "", false
		}
		host = s[:i]
	}
	if a, err := netip.ParseAddr(host); err == nil {
		return canonical(host, a)
	}
	// Leading zeros: some read 010 as ten, some as eight. Logs mean ten.
	parts := strings.Split(host, ".")
	if len(parts) != 4 {
		return "", false
	}
	var b [4]byte
	for i, p := range parts {
		n, ok := number(p)
		if !ok || n > 255 || len(p) > 3 {
			return "", false
		}
		b[i] = byte(n)
	}
	return netip.AddrFrom4(b).String(), true
}

func canonical(s string, a netip.Addr) (string, bool) {
	a = a.Unmap().WithZone("")
	var buf [64]byte
	if out := a.AppendTo(buf[:0]); string(out) == s {
		return s, true
	}
	return a.String(), true
}

// validHostname is what the schema's pattern of hostname_t accepts.
func validHostname(s string) bool {
	if s == "" {
		return false
	}
	label := 0
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9':
			label++
		case c == '-':
			if label == 0 || i+1 == len(s) || s[i+1] == '.' {
				return false
			}
			label++
		case c == '.':
			if label == 0 || i+1 == len(s) {
				return false
			}
			label = 0
		default:
			return false
		}
	}
	return label > 0
}

// validEmail is what the schema's pattern of email_t accepts.
func validEmail(s string) bool {
	at := strings.IndexByte(s, '@')
	if at <= 0 || strings.IndexByte(s[at+1:], '@') >= 0 {
		return false
	}
	for i := 0; i < at; i++ {
		c := s[i]
		if !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || strings.IndexByte("!#$%&'^_`{|}~=?", c) >= 0 || c >= '*' && c <= '9') {
			return false
		}
	}
	domain := s[at+1:]
	dot := -1
	for i := 0; i < len(domain); i++ {
		c := domain[i]
		switch {
		case c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9':
		case c == '.':
			if dot < 0 {
				dot = i
			}
		case c == '-' || c >= '-' && c <= '.':
		default:
			return false
		}
	}
	return dot > 0 && dot < len(domain)-1
}
