package ocsf

import (
	"net/netip"
	"regexp"
	"testing"
)

// FuzzFormats holds the checks written by hand to the patterns of the schema.
func FuzzFormats(f *testing.F) {
	for _, s := range []string{
		"", "a", ".", "-", "192.0.2.7", " 192.0.2.7 ", "192.0.2", "2001:db8::1", "fe80::1%eth0", "::ffff:192.0.2.1", "1%2", "%",
		"00:00:5e:00:53:01", "00-00-5E-00-53-0g", "sato@example.co.jp", "a@b", "a@b.", "@b.c", "a,b@c.d", "a@b@c.d", "a b@c.d", "ä@b.c",
		"host", "host.", "-host", "a..b", "a-.b", "HOST_1", "xn--a.example.com",
		"123e4567-e89b-12d3-a456-426614174000", "{123e4567-e89b-12d3-a456-426614174000}", "123e4567-e89b-12d3-a456-42661417400",
	} {
		f.Add(s)
	}
	s := load(f)
	patterns := map[string]*regexp.Regexp{}
	for name := range formats {
		patterns[name] = regexp.MustCompile(s.Types[name].Regex)
	}
	old := regexp.MustCompile(loadVersion(f, "1.1.0").Types["email_t"].Regex)
	f.Fuzz(func(t *testing.T, text string) {
		if got, want := isPlainEmail(text), old.MatchString(text); got != want {
			t.Errorf("email_t of 1.1.0 %q: got %t, the schema's pattern says %t", text, got, want)
		}
		for name, check := range formats {
			got, want := check(text), patterns[name].MatchString(text)
			if name == "ip_t" {
				// The pattern takes any character for a dot, and numbers with
				// a zone of any kind; netip is stricter. What netip takes, the
				// pattern must take.
				if _, err := netip.ParseAddr(text); err == nil && !got {
					t.Errorf("ip_t %q: refused", text)
				}
				if got && !want {
					t.Errorf("ip_t %q: taken, and the schema's pattern does not", text)
				}
				continue
			}
			if got != want {
				t.Errorf("%s %q: got %t, the schema's pattern says %t", name, text, got, want)
			}
		}
	})
}

func TestIP(t *testing.T) {
	for text, want := range map[string]bool{
		"192.0.2.7": true, " 192.0.2.7\n": true, "2001:db8::1": true, "fe80::1%eth0": true, "::ffff:192.0.2.1": true,
		"": false, "192.0.2": false, "192.0.2.256": false, "192.0.2.7:443": false, "192x0x2x7": false, "192.0.2.7%eth0": false,
		"fe80::1%": false, "[2001:db8::1]": false, "192.0.2.0/24": false, "host": false, "::1%a%b": true,
	} {
		if got := isIP(text); got != want {
			t.Errorf("%q: got %t", text, got)
		}
	}
}

// TestFormatsCovered holds that no type with a pattern goes unchecked.
func TestFormatsCovered(t *testing.T) {
	for _, version := range Versions {
		for name, typ := range loadVersion(t, version).Types {
			if typ.Regex == "" || typ.Base != BaseString {
				continue
			}
			if formatOf(typ) == nil {
				t.Errorf("%s: %s has a pattern and no check", version, name)
			}
			// The checks written by hand are of these patterns.
			if old := load(t).Types[name]; old.Regex != typ.Regex && name != "email_t" {
				t.Errorf("%s: %s has another pattern", version, name)
			}
		}
	}
}
