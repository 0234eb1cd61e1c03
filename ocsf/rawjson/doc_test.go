package rawjson

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
)

// leaves lists what a Doc holds, as key → JSON text of the value.
func leaves(d *Doc, i int32, key string, into map[string]string) {
	n := d.Nodes[i]
	if !d.Live(i) {
		return
	}
	if n.Kind < Object || n.Next == i+1 {
		switch n.Kind {
		case String:
			into[key] = "s" + d.Text(i)
		case Object:
			into[key] = "{}"
		case Array:
			into[key] = "[]"
		default:
			into[key] = "w" + d.Literal(i)
		}
		return
	}
	index := 0
	for k := i + 1; k < n.Next; k = d.Nodes[k].Next {
		if n.Kind == Array {
			leaves(d, k, fmt.Sprintf("%s[%d]", key, index), into)
			index++
		} else if d.Live(k) {
			leaves(d, k, key+"\x00"+d.Name(k), into)
		}
	}
}

func stdLeaves(v any, key string, into map[string]string) {
	switch v := v.(type) {
	case map[string]any:
		if len(v) == 0 {
			into[key] = "{}"
		}
		for k, e := range v {
			stdLeaves(e, key+"\x00"+k, into)
		}
	case []any:
		if len(v) == 0 {
			into[key] = "[]"
		}
		for i, e := range v {
			stdLeaves(e, fmt.Sprintf("%s[%d]", key, i), into)
		}
	case string:
		into[key] = "s" + v
	case json.Number:
		into[key] = "w" + v.String()
	case nil:
		into[key] = "wnull"
	default:
		into[key] = fmt.Sprintf("w%v", v)
	}
}

func decodeStd(body []byte) (map[string]string, error) {
	var v any
	dec := json.NewDecoder(strings.NewReader(string(body)))
	dec.UseNumber()
	if err := dec.Decode(&v); err != nil {
		return nil, err
	}
	if dec.More() {
		return nil, fmt.Errorf("more")
	}
	if !json.Valid(body) {
		return nil, fmt.Errorf("not valid")
	}
	into := map[string]string{}
	stdLeaves(v, "", into)
	return into, nil
}

var seeds = []string{
	`{}`, `[]`, `""`, `0`, `-0.0e+5`, ` null `, `{"a":{"b":[1,2,{"c":"d"}]},"e":true}`,
	`{"a":1,"a":{"x":1},"a":{"y":2}}`, `{"a":{"x":1,"x":[1,2]},"b":3}`, `{"a":[{"k":1,"k":2},{"k":3}]}`,
	`"\u00e9\ud83d\ude00\ud800\udc00\ud800x\udc00\ud800"`, `"\ud800\ud83d\ude00"`, "\"\xff\xc3\x28 \xe3\x81\x82\"", "{\"\xff\":1,\"\ufffd\":2}",
	`{"\u0061":1,"a":2}`, `[1,]`, `{"a":1,}`, `{"a"}`, `{,}`, `01`, `1.`, `.5`, `1e`, `+1`, `tru`, "\"a\nb\"", `"\x"`, `"\u12g4"`, `"abc`, `{"a":1}x`, `{"a":1} {"b":2}`,
	`{"a b\"c\\":"\"\\\/\b\f\n\r\t"}`, `123456789012345678901234567890`, "\ufeff{}", ``, ` `, `{"":{"":[[],[[]],{}]}}`,
	`{"longer than eight bytes":"and the value is longer than that \\ with an escape"}`,
}

func TestSameAsEncodingJSON(t *testing.T) {
	d := NewPaths().NewDoc()
	for _, s := range seeds {
		check(t, d, []byte(s))
	}
}

func check(t *testing.T, d *Doc, body []byte) {
	t.Helper()
	want, stdErr := decodeStd(body)
	err := d.Parse(body)
	if err == ErrTooDeep || err == ErrTooMany {
		return
	}
	if (err == nil) != (stdErr == nil) {
		t.Fatalf("%q: we say %v, encoding/json says %v", body, err, stdErr)
	}
	if err != nil {
		return
	}
	got := map[string]string{}
	leaves(d, 0, "", got)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Fatalf("%q: (-encoding/json +ours)\n%s", body, diff)
	}
	// The JSON it gives is compact, valid and means the same.
	text := d.JSON(0)
	again, err := decodeStd([]byte(text))
	if err != nil {
		t.Fatalf("%q became %q: %v", body, text, err)
	}
	if diff := cmp.Diff(want, again); diff != "" {
		t.Fatalf("%q became %q\n%s", body, text, diff)
	}
}

func FuzzSameAsEncodingJSON(f *testing.F) {
	for _, s := range seeds {
		f.Add([]byte(s))
	}
	d := NewPaths().NewDoc()
	f.Fuzz(func(t *testing.T, body []byte) { check(t, d, body) })
}

func TestPickFindsTheSame(t *testing.T) {
	p := NewPaths()
	a, b, list, el := p.Add("a"), p.Add("a", "b"), p.Add("list"), p.Add("list", Elem, "x")
	d := p.NewDoc()
	body := []byte(`{"junk":{"a":{"b":0}},"a":{"c":[1,{"b":5}],"b":"v"},"list":[{"x":1,"y":2},{"x":3}],"z":0}`)
	for _, parse := range []func([]byte) error{d.Parse, d.Pick, d.Parse} {
		if err := parse(body); err != nil {
			t.Fatal(err)
		}
		if i, ok := d.At(b); !ok || d.Text(i) != "v" {
			t.Errorf("a.b is %v %v", i, ok)
		}
		if i, ok := d.At(a); !ok || string(d.Bytes(i)) != `{"c":[1,{"b":5}],"b":"v"}` {
			t.Errorf("a is %v %v", i, ok)
		}
		i, _ := d.At(list)
		var xs []string
		for k := 0; ; k++ {
			e, ok := d.Index(i, k)
			if !ok {
				break
			}
			x, _ := d.Member(e, el)
			xs = append(xs, d.Literal(x))
		}
		if diff := cmp.Diff([]string{"1", "3"}, xs); diff != "" {
			t.Error(diff)
		}
	}
	if err := d.Pick([]byte(`{"junk":{"a":[1,}}`)); err == nil {
		t.Error("Pick accepts what is not JSON where it skips")
	}
}

func TestStalePathsAreNotFound(t *testing.T) {
	p := NewPaths()
	a := p.Add("a")
	d := p.NewDoc()
	for _, body := range []string{`{"x":1,"a":2}`, `{"x":1,"b":2}`, `{"a":null}`, `{}`} {
		if err := d.Parse([]byte(body)); err != nil {
			t.Fatal(err)
		}
		if _, ok := d.At(a); ok != strings.Contains(body, `"a"`) {
			t.Errorf("%s: At(a) = %v", body, ok)
		}
	}
}

func TestDuplicatesAreCounted(t *testing.T) {
	d := NewPaths().NewDoc()
	for body, want := range map[string]int{`{"a":1,"a":2,"a":3}`: 2, `{"a":{"b":1},"b":1}`: 0, `[{"a":1},{"a":2}]`: 0, `[{"a":1,"\u0061":2},{"a":2}]`: 1} {
		if err := d.Parse([]byte(body)); err != nil || d.Duplicates != want {
			t.Errorf("%s: %d duplicates, want %d (%v)", body, d.Duplicates, want, err)
		}
	}
}

func TestUnused(t *testing.T) {
	p := NewPaths()
	used := []int32{p.Add("a", "b"), p.Add("o")}
	el := p.Add("l", Elem, "id")
	d := p.NewDoc()
	body := `{"a":{"b":1,"c":"x"},"n":null,"o":{"p":1},"l":[{"id":1,"k":{"z":true}},{"id":2}],"m":[1, {"q":2}],"e":{},"s":"\u0041","d":1,"d":2}`
	if err := d.Parse([]byte(body)); err != nil {
		t.Fatal(err)
	}
	for _, u := range used {
		i, _ := d.At(u)
		d.Use(i)
	}
	for i := range d.Nodes {
		if d.Nodes[i].Path == el {
			d.Use(int32(i))
		}
	}
	got := map[string]string{}
	d.Unused(func(key string, i int32) bool {
		got[key] = d.JSON(i)
		return true
	})
	want := map[string]string{"a.c": `"x"`, "l[0].k.z": "true", "m": `[1,{"q":2}]`, "e": "{}", "s": `"\u0041"`, "d": "2"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestBounds(t *testing.T) {
	d := NewPaths().NewDoc()
	if err := d.Parse([]byte(strings.Repeat("[", MaxDepth) + strings.Repeat("]", MaxDepth))); err != nil {
		t.Errorf("depth %d: %v", MaxDepth, err)
	}
	if err := d.Parse([]byte(strings.Repeat("[", MaxDepth+1) + strings.Repeat("]", MaxDepth+1))); err != ErrTooDeep {
		t.Errorf("depth %d: %v", MaxDepth+1, err)
	}
	if err := d.Parse([]byte("[" + strings.Repeat("0,", MaxValues) + "0]")); err != ErrTooMany {
		t.Errorf("%d values: %v", MaxValues+1, err)
	}
}

// A sender that makes up new names all the time must not grow the Doc.
func TestForgets(t *testing.T) {
	d := NewPaths().NewDoc()
	for i := range 50 {
		var b strings.Builder
		b.WriteString(`{"":0`)
		for k := range 1000 {
			fmt.Fprintf(&b, `,"k%d":%d`, i*1000+k, k)
		}
		b.WriteString("}")
		if err := d.Parse([]byte(b.String())); err != nil {
			t.Fatal(err)
		}
		if n := d.Count(0); n != 1001 {
			t.Fatalf("%d members", n)
		}
	}
	if len(d.names.all) > maxLearned+2000 {
		t.Errorf("knows %d names", len(d.names.all))
	}
}

// Random documents, so that what is learned from one is right for the next.
func TestRandomDocuments(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	p := NewPaths()
	p.Add("a", "b")
	p.Add("c", Elem, "a")
	d := p.NewDoc()
	for range 2000 {
		check(t, d, []byte(random(r, 0)))
	}
}

func random(r *rand.Rand, depth int) string {
	names := []string{"a", "b", "c", "", `\u0061`, "long name of a member"}
	switch n := r.IntN(8); {
	case depth < 4 && n < 3 || depth == 0:
		var parts []string
		for range r.IntN(5) {
			parts = append(parts, fmt.Sprintf(`"%s":%s`, names[r.IntN(len(names))], random(r, depth+1)))
		}
		return "{" + strings.Join(parts, ", ") + "}"
	case depth < 4 && n == 3:
		var parts []string
		for range r.IntN(4) {
			parts = append(parts, random(r, depth+1))
		}
		return "[" + strings.Join(parts, ",") + "]"
	case n == 4:
		return `"text \n é"`
	case n == 5:
		return "null"
	case n == 6:
		return "true"
	}
	return fmt.Sprint(r.IntN(1000))
}

// What JSON gives is valid UTF-8, compact and means the same, however deep the
// bytes lie that are not UTF-8, alone surrogates or white space.
func TestJSONOfDeepNodes(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	for _, bad := range []string{"\xff", "\xc0\xaf", "\xed\xa0\x80", "\xe3\x81", `\ud800`, ""} {
		for _, space := range []string{"", " ", "\n"} {
			for range 200 {
				var where string
				text := fmt.Sprintf("%s\"a%s\"", space, bad)
				for range 1 + r.IntN(5) {
					switch r.IntN(4) {
					case 0:
						text = "[1," + text + "]"
					case 1:
						text = `{"k":` + text + `,"z":0}`
					case 2:
						text = fmt.Sprintf(`{"k%s":%s}`, bad, text)
					default:
						text = `[{"x":1},{"y":` + text + `}]`
					}
				}
				where = text
				d := NewPaths().NewDoc()
				if err := d.Parse([]byte(text)); err != nil {
					t.Fatal(err)
				}
				for i := range d.Nodes {
					got := d.JSON(int32(i))
					if !utf8.ValidString(got) || !json.Valid([]byte(got)) {
						t.Fatalf("%q: node %d is %q", where, i, got)
					}
					if strings.ContainsAny(got, " \n") {
						t.Fatalf("%q: node %d is not compact: %q", where, i, got)
					}
					var lone any
					if bad != "" && bad[0] == '\\' && json.Unmarshal([]byte(got), &lone) == nil && strings.Contains(got, `\ud800`) {
						t.Fatalf("%q: node %d has half a character: %q", where, i, got)
					}
				}
			}
		}
	}
}
