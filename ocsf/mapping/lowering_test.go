package mapping

import (
	"testing"

	"nagare/ocsf/expr"
	"nagare/ocsf/rawjson"
)

// What runs without CEL gives what cel-go gives for the same text. Where
// cel-go has no answer, for want of something in the event, a shape may have
// one: the first that is there, the elements that match.
func TestShapesAgreeWithCEL(t *testing.T) {
	tables := map[string]*expr.Table{
		"t": expr.NewTable("t", map[string]expr.Row{"a": {"": {Kind: expr.RawText, Text: "A"}}, "4": {"": {Kind: expr.RawInt, Num: 44}}}),
		"r": expr.NewTable("r", map[string]expr.Row{"a": {"x": {Kind: expr.RawText, Text: "X"}}}),
	}
	raw, err := expr.NewRaw(tables, "v")
	if err != nil {
		t.Fatal(err)
	}
	values := []string{
		`raw.m.filter(x, x.k.lowerAscii() == "b")[0].v`, `raw.hd.filter(h, h.n.lowerAscii() == "host")[0].v`, `raw.hd.filter(h, h.n.lowerAscii() == "host")[1].v`, `raw.hd.filter(h, h.n.lowerAscii() in ["via", "host"])[1].v`,
		`raw.hd.map(h, h.n)`, `raw.hd.map(h, h.v)`, `raw.hd.map(h, h.missing)`, `raw.l.map(h, h.k)`, `raw.missing.map(h, h.k)`, `raw.s.map(h, h.k)`, `raw.hd.map(h, h)`,
		`string(raw.?missing.orValue(raw.n))`, `string(raw.?missing.orValue("d"))`, `string(tables.t[raw.s])`,
		`json(raw.j)[0]`, `json(raw.j).l[0]`, `json(raw.j).l.filter(e, e.t == "a")[0].v`, `json(raw.jl)[0].t`, `json(raw.jl).filter(e, e.t == "a")[0].v`, `json(raw.jl)[?1].?v.orValue("none")`,
		`raw.s.lowerAscii()`, `raw.up.upperAscii()`, `raw.up.lowerAscii()`, `raw.up.trim()`, `raw.n.lowerAscii()`, `raw.missing.trim()`, `raw.c.trim()`, `(raw.s + raw.up).lowerAscii()`,
		`regex.extract(raw.c, "q")`, `regex.extract(raw.c, ":(.)")`, `regex.extract(raw.c, ":(x)?")`, `regex.extract(raw.n, "1")`, `regex.extract(raw.missing, "1")`, `regex.extract(raw.c, "nothing")`,
		`raw.o[raw.key]`, `raw.?o[?raw.key]`, `raw.?missing[?raw.key]`, `raw.o[raw.n]`, `raw.l[raw.zero]`, `raw.o[raw.missing]`,
		`raw.s + "|" + raw.c`, `raw.s + raw.n`, `raw.n + raw.n`, `raw.l + raw.l`, `raw.f + raw.f2`, `"a" + raw.s + string(raw.n)`, `raw.s + string(raw.f)`,
		`string(raw.n)`, `string(raw.f)`, `string(raw.f2)`, `string(raw.b)`, `string(raw.s)`, `string(raw.o)`, `string(raw.missing)`, `raw.s + raw.c.split(":")[1]`, `raw.s + meta.source`, `raw.s + v`, `raw.s + raw.missing`,
		`raw.s`, `raw.n`, `raw.f`, `raw.b`, `raw.o`, `raw.l`, `raw.o.s`, `raw.?o.?s.orValue("d")`, `raw.?q.?s.orValue("d")`, `raw.?z.orValue(raw.s)`, `raw.?o.?z.orValue(raw.?o.?s.orValue("e"))`,
		`raw["odd name"]`, `raw["odd name"].x`, `raw.l[0]`, `raw.l[1].k`, `raw.l[7].k`, `raw.l[0].k`, `raw.s.k`, `raw.z`, `raw.z.k`, `raw.q.k`,
		`raw.m.filter(x, x.k == "b")[0].v`, `raw.m.filter(x, x.k == "b")[1].v`, `raw.m.filter(x, x.k in ["c", "b"])[0].v`, `raw.m.filter(x, x.k == 3)[0].v`, `raw.m.filter(x, x.k == "no")[0].v`, `raw.m.filter(x, x.k == "b")[?0].?v.orValue("d")`, `raw.m.filter(x, x.k == "no")[?0].?v.orValue("d")`,
		`raw.s.split(":")[0]`, `raw.c.split(":")[1]`, `raw.c.split(":")[5]`, `raw.n.split(":")[0]`,
		`tables.t[raw.s]`, `tables.t[raw.o.s]`, `tables.t[raw.four]`, `tables.r[raw.s].x`, `tables.r[raw.s].?x.orValue("none")`, `tables.r[raw.o.s].x`, `tables.t[raw.q]`, `tables.t[raw.n]`, `tables.t[?raw.s].orValue("d")`, `tables.t[?raw.c].orValue("d")`,
		`raw.b ? raw.s : raw.n`, `raw.s == "a" ? "yes" : "no"`, `raw.q == "a" ? "yes" : "no"`, `has(raw.q) ? raw.q : raw.s`,
		`seconds(raw.n)`, `millis(raw.big)`, `micros(raw.big)`, `seconds(raw.s)`, `seconds("1700000000")`,
		`json(raw.j)`, `json(raw.j).a`, `json(raw.j).l[1]`, `json(raw.s)`, `json(raw.o).s`, `json(raw.q).a`,
		`{"a": raw.s, "n": raw.n}`, `[raw.s, raw.n]`, `meta.source`, `meta.tenant`, `meta.received`, `raw.s + "x"`, `raw.n + 1`, `string(raw.n)`, `raw.l.map(x, string(x))`, `raw.m.map(x, x.v)`,
		`true`, `1`, `1.5`, `"t"`, `raw.big`, `v`, `v.k`, `v.k.z`,
	}
	conditions := []string{
		`raw.s == raw.s`, `raw.s == raw.c`, `raw.s != raw.c`, `raw.s != raw.s`, `raw.s == raw.n`, `raw.n == raw.n`, `raw.f == raw.n`, `raw.missing == raw.s`, `raw.s == raw.missing`, `raw.o == raw.l`, `raw.z == raw.z`, `raw.?missing.orValue("a") == raw.s`,
		`raw.n >= 5`, `raw.n > 5`, `raw.n <= 5.0`, `raw.n < 5`, `raw.f >= 5.5`, `raw.s >= 5`, `raw.missing >= 5`, `double(raw.n) >= 5.0`, `double(raw.f) < 6.0`, `double(raw.s) < 6.0`, `double(raw.five) >= 5.0`, `raw.big > 5`, `raw.five >= 5`, `5 < raw.n`,
		`raw.hd.exists(h, h.n.lowerAscii() == "host")`, `raw.hd.exists(h, h.n.lowerAscii() == "no")`,
		`raw.c.matches("^p:.$")`, `raw.c.matches("nothing")`, `raw.n.matches("1")`, `raw.missing.matches("1")`, `json(raw.jl)[0].t == "a"`, `json(raw.jl).exists(e, e.t == "b")`,
		`raw.s == "a"`, `raw.s == "b"`, `"a" == raw.s`, `raw.s != "a"`, `raw.q == "a"`, `raw.q != "a"`, `!(raw.q == "a")`, `raw.n == 5`, `raw.n == 6`, `raw.f == 5`, `raw.f2 == 2`, `raw.n == "5"`, `raw.b == true`, `raw.b != true`, `raw.b`, `!raw.b`, `raw.s`,
		`raw.s in ["a", "b"]`, `raw.s in ["c"]`, `raw.q in ["a"]`, `raw.n in [4, 5]`, `raw.n in ["5"]`, `raw.s in ["b", 5]`,
		`has(raw.s)`, `has(raw.q)`, `has(raw.z)`, `has(raw.o.s)`, `has(raw.q.s)`, `!has(raw.q.s)`, `has(raw["odd name"].x)`, `"s" in raw`, `"q" in raw`, `"z" in raw`,
		`raw.s == "a" && raw.n == 5`, `raw.q == "a" && raw.n == 5`, `raw.q == "a" && raw.n == 6`, `raw.n == 6 && raw.q == "a"`, `raw.q == "a" || raw.n == 5`, `raw.n == 5 || raw.q == "a"`, `raw.q == "a" || raw.n == 6`, `!(raw.q == "a" && raw.n == 6)`,
		`raw.s.startsWith("a")`, `raw.s.endsWith("b")`, `raw.c.contains(":")`, `raw.q.startsWith("a")`, `raw.n.startsWith("5")`, `raw.m.exists(x, x.k == "b")`, `raw.m.exists(x, x.k == "no")`, `raw.q.exists(x, x.k == "b")`, `raw.m.exists(x, x.k == "b" && x.v == 1)`, `raw.m.all(x, has(x.k))`, `!raw.q.exists(x, x.k == "b")`, `!raw.s.exists(x, x.k == "b")`,
		`tables.t[raw.s] == "A"`, `tables.t[raw.c] == "A"`, `tables.r[raw.s].x in ["X"]`, `raw.?o.?s.orValue("") == "b"`, `raw.?q.orValue("none") == "none"`, `size(raw.l) == 3`, `raw.o == raw.o`, `raw.l == [1, {"k": "w"}, "t"]`, `v == "e"`, `has(v.k)`,
	}
	bodies := []string{
		`{"jl":"[{\"t\":\"a\",\"v\":1},{\"t\":\"b\"}]","key":"s","zero":0,"up":" AbC é ","hd":[{"n":"Via","v":"1"},{"n":"HOST","v":"2"},{"n":"host","v":3}],"five":"5.5","s":"a","n":5,"f":5.5,"f2":2.0,"b":true,"o":{"s":"b","k":1},"l":[1,{"k":"w"},"t"],"m":[{"k":"a","v":0},{"k":"b","v":1},{"k":"b","v":2},{"v":9},7,null,{"k":3,"v":"int"}],"odd name":{"x":"odd"},"z":null,"c":"p:q:r","four":4,"j":"{\"a\":1,\"l\":[1,\"two\"]}","big":1700000000123}`,
		`{}`, `{"s":1,"n":"5","b":"true","o":[],"l":{},"m":{"k":"b"},"c":5,"j":7}`, `{"s":"","o":{"s":null},"l":[],"m":[],"b":false}`,
	}
	c := &compiler{m: &Mapping{paths: rawjson.NewPaths(), raw: raw}}
	elements := []expr.RawValue{{Kind: expr.RawText, Text: "e"}, {Kind: expr.RawInt, Num: 3}}
	raw.Scope = "v"
	for _, text := range append(values, conditions...) {
		x, iss := raw.Compile(text)
		if len(iss) > 0 {
			t.Errorf("%s: %v", text, iss)
			continue
		}
		p, err := raw.Program(text)
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		value := c.value(x)
		var cond condFn
		if x.Type == expr.RawBool || x.Type == expr.RawAny {
			cond = c.cond(x)
		}
		for _, body := range bodies {
			for _, e := range elements {
				r := &run{m: c.m, doc: c.m.paths.NewDoc(), vars: raw.Vars(), stats: newStats()}
				if err := r.doc.Parse([]byte(body)); err != nil {
					t.Fatal(err)
				}
				r.vars.Doc, r.vars.VarName, r.vars.Var = r.doc, "v", e
				r.vars.Meta = expr.RawMeta{Source: "src"}
				got, want := value(r), p.Eval(r.vars)
				if g, w := string(got.AppendJSON(nil)), string(want.AppendJSON(nil)); g != w && want.Has() {
					t.Errorf("%s of %.30s: %s, cel-go says %s", text, body, g, w)
				}
				if cond != nil {
					holds, _ := p.EvalBool(r.vars)
					if g := cond(r) == yes; g != holds {
						t.Errorf("%s of %.30s holds: %v, cel-go says %v", text, body, g, holds)
					}
				}
			}
		}
	}
}
