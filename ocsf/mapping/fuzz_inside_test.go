package mapping

import (
	"net/netip"
	"testing"
	"time"

	"nagare/ocsf/expr"
	"nagare/ocsf/rawjson"
)

// An address that is taken is one, in canonical form, and stays itself.
func FuzzNormalIP(f *testing.F) {
	for _, s := range []string{"192.0.2.1", "075.050.255.067", "[::1]:443", "fe80::1%eth0", "::ffff:1.2.3.4", "host:443", "1.2.3.4:x", "[::1", "1.2.3.4.5", "::1]:1", " 10.0.0.1\t"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		ip, ok := normalIP(s)
		if !ok {
			if a, err := netip.ParseAddr(s); err == nil && len(s) <= 80 && len(s) >= 2 {
				t.Fatalf("%q is the address %s", s, a)
			}
			return
		}
		a, err := netip.ParseAddr(ip)
		if err != nil || a.Zone() != "" || a.String() != ip || a.Is4In6() {
			t.Fatalf("%q became %q: %v", s, ip, err)
		}
		if again, ok := normalIP(ip); !ok || again != ip {
			t.Fatalf("%q became %q, and that %q", s, ip, again)
		}
	})
}

// What is taken as an e-mail address or a host name has none of what would
// break a line or a list of them.
func FuzzTextFormats(f *testing.F) {
	for _, s := range []string{"a@example.com", "a@b@example.com", "host-1.example.com", "-x", "a..b", "é.example.com", "a@\n.com"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		for name, ok := range map[string]bool{"host name": validHostname(s), "e-mail address": validEmail(s)} {
			for i := 0; ok && i < len(s); i++ {
				if c := s[i]; c <= ' ' || c >= 0x7f {
					t.Fatalf("%q is no %s", s, name)
				}
			}
		}
	})
}

// A time is one whatever its text; in what zone it is read changes it by no
// more than a day and a half.
func FuzzZones(f *testing.F) {
	for _, s := range []string{"2026-07-03 10:02", "令和8年7月3日 10:02", "Fri, 03 Jul 2026 01:02:03 XYZ", "6/4/2021, 4:00:37.371 PM", "1783040523", "0001-01-01T00:00:00", "2017-03-16T19:20:177Z"} {
		f.Add(s, "1/2/2006, 3:04:05 PM")
	}
	tokyo := time.FixedZone("", 9*3600)
	m := &Mapping{zone: time.UTC}
	f.Fuzz(func(t *testing.T, s, layout string) {
		if len(layout) > 64 || len(s) > 200 {
			return
		}
		for _, l := range []string{"", layout} {
			utc, ok := m.parseTime(s, l, nil)
			there, ok2 := m.parseTime(s, l, tokyo)
			if ok && ok2 && (utc-there > 36*3600_000 || there-utc > 36*3600_000) {
				t.Fatalf("%q by %q is %d and %d", s, l, utc, there)
			}
			if _, good := inRange(utc); ok && !good {
				t.Fatalf("%q by %q is %d", s, l, utc)
			}
		}
	})
}

// Any expression of any text compiles or has an issue, and runs without harm;
// what runs without CEL gives what cel-go gives.
func FuzzExpressions(f *testing.F) {
	const body = `{"s":"a","n":5,"f":5.5,"b":true,"o":{"s":"b"},"l":[1,{"k":"w"},"t"],"m":[{"k":"a","v":0},{"k":"b","v":1}],"z":null,"c":"p:q:r","j":"{\"a\":1}","at":"2026-07-03 10:02"}`
	for _, s := range []string{`raw.s`, `raw.?o.?s.orValue("d")`, `raw.m.filter(x, x.k == "b")[0].v`, `raw.c.split(":")[1]`, `tables.t[raw.s]`, `raw.b ? raw.s : raw.n`, `json(raw.j).a`, `{"a": raw.s}`, `[raw.s]`, `raw.s == "a" && raw.n in [5]`, `!has(raw.q)`, `inZone(raw.at, "Asia/Tokyo")`, `timeAs(raw.at, "2006-01-02 15:04")`, `raw.l.map(x, x)`, `raw.s.startsWith("a")`, `raw.m.exists(x, x.k == "b")`, `sha256(raw)`, `cel.bind(x, raw.o, x.s)`} {
		f.Add(s, body)
	}
	tables := map[string]*expr.Table{"t": expr.NewTable("t", map[string]expr.Row{"a": {"": {Kind: expr.RawText, Text: "A"}}})}
	raw, err := expr.NewRaw(tables, "v")
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, text, body string) {
		if len(text) > 300 || len(body) > 1000 {
			return
		}
		x, issues := raw.Compile(text)
		if len(issues) > 0 {
			for _, i := range issues {
				if i.Message == "" {
					t.Fatalf("%q has an issue without a message", text)
				}
			}
			return
		}
		c := &compiler{m: &Mapping{paths: rawjson.NewPaths(), raw: raw, zone: time.UTC}}
		raw.ParseTime = c.m.parseTime
		value := c.value(x)
		r := &run{m: c.m, doc: c.m.paths.NewDoc(), vars: raw.Vars(), stats: newStats()}
		if r.doc.Parse([]byte(body)) != nil {
			return
		}
		r.vars.Doc = r.doc
		var dead *Dead
		defer r.caught(&dead) // what is too much has no answer
		got := value(r)
		p, err := raw.Program(text)
		if err != nil {
			t.Fatalf("%q: %v", text, err)
		}
		want := p.Eval(r.vars)
		if g, w := string(got.AppendJSON(nil)), string(want.AppendJSON(nil)); g != w && want.Has() {
			t.Fatalf("%q of %s: %s, cel-go says %s", text, body, g, w)
		}
	})
}
