package expr

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/google/cel-go/cel"
	"github.com/google/cel-go/common/ast"
	"github.com/google/cel-go/common/types"
	"github.com/google/cel-go/common/types/ref"

	"nagare/ocsf"
)

// oracleRules are conditions of many shapes. Whether they may load is decided
// by trying every event there can be over a small domain; a mark says where the
// check knowingly differs.
var oracleRules = []string{
	`event.auth_factors.filter(f, has(f.factor_type_id) && f.factor_type_id == SMS).size() == 1`,
	`event.auth_factors.exists_one(f, has(f.factor_type_id) && f.factor_type_id == SMS)`,
	`event.auth_factors.exists(f, has(f.factor_type_id) && !(f.factor_type_id in [SMS]))`,
	`event.user.uid != "root"`,
	`has(event.user.uid) && event.user.uid != "root"`,
	`event.user.uid != "root" && has(event.user.uid)`,
	`has(event.user) && event.user.uid != "root"`,
	`has(event.user.name) && event.user.uid != "root"`,
	`event.user.uid == "root"`,
	`!event.is_mfa`,
	`has(event.is_mfa) && !event.is_mfa`,
	`event.is_mfa == false`,
	`event.is_mfa != true`,
	`event.is_mfa`,
	`event.count < 5`,
	`event.count <= 0`,
	`event.count < 0`,
	`event.count > 3 && event.count < 10`,
	`event.count >= 3 && event.count != 7`,
	`event.count == 0`,
	`event.count > -1`,
	`event.user.risk_level_id == INFO`,
	`event.status_id != SUCCESS`,
	`event.severity_id != HIGH`,
	`!(event.user.name.startsWith("adm"))`,
	`has(event.user.name) && !event.user.name.startsWith("adm")`,
	`event.user.name.startsWith("")`,
	`event.user.name.matches("^[a-z]*$")`,
	`event.user.name.contains("x")`,
	`event.user.uid != "" && event.user.uid != "root"`,
	`event.status_id in [SUCCESS, FAILURE]`,
	`event.status_id in [UNKNOWN, FAILURE]`,
	`!(event.status_id in [SUCCESS, FAILURE])`,
	`event.user.name in ["", "x"]`,
	`event.user.name == event.user.uid`,
	`has(event.user.name) && event.user.name == event.user.uid`, // both may be ""
	`has(event.user.name) && has(event.user.uid) && event.user.name == event.user.uid`,
	`event.user.name != event.user.uid`,
	`event.is_mfa || event.user.name == "x"`,
	`event.status_id == FAILURE || event.is_mfa == false`,
	`event.status_id == FAILURE && (event.is_mfa == false || event.count > 3)`,
	`!has(event.is_mfa) || event.is_mfa == false`,
	`event.is_mfa == false || !has(event.is_mfa)`,
	`!(has(event.user.uid) && event.user.uid == "root")`,
	`!has(event.user.uid)`,
	`has(event.user.uid) ? event.user.uid != "root" : false`,
	`has(event.user.uid) ? event.user.uid != "root" : true`,
	`event.is_mfa ? event.count > 3 : event.status_id == FAILURE`,
	`has(event.is_mfa) && (event.is_mfa ? event.count > 3 : event.status_id == FAILURE)`,
	`(has(event.count) ? event.count : 100) > 50`,
	`(has(event.count) ? event.count : 1) < 50`,
	`event.count != 1 || event.count != 2`,
	`(event.is_mfa == false) == (event.count > 3)`,
	`has(event.is_mfa) && has(event.count) && (event.is_mfa == false) == (event.count > 3)`,
	`event.count + 5 > 3`,
	`event.count * 2 > 3`,
	`size(event.user.name) < 3`,
	`size(event.user.name) > 3`,
	`event.auth_factors.exists(f, f.factor_type_id == SMS)`,
	`!event.auth_factors.exists(f, f.factor_type_id == SMS)`,
	`has(event.auth_factors) && !event.auth_factors.exists(f, f.is_totp)`,
	`has(event.auth_factors) && event.auth_factors.all(f, has(f.is_totp) && !f.is_totp)`,
	`event.auth_factors.all(f, f.factor_type_id == SMS)`,
	`has(event.auth_factors) && event.auth_factors.all(f, f.is_totp)`,
	`event.auth_factors.size() > 0 && event.auth_factors.all(f, f.is_totp)`,
	`event.auth_factors.exists(f, f.provider != "x")`,
	`event.auth_factors.exists(f, has(f.provider) && f.provider != "x")`,
	`event.auth_factors.exists(f, !f.is_totp)`,
	`event.auth_factors.exists(f, f.is_totp && event.is_mfa == false)`,
	`has(event.is_mfa) && event.auth_factors.exists(f, f.is_totp && event.is_mfa == false)`,
	`event.auth_factors.size() == 0`,
	`event.auth_factors.size() < 2`,
	`event.auth_factors.filter(f, f.is_totp).size() > 0`,
	`event.auth_factors.filter(f, f.provider != "x").size() > 0`,
	`event.auth_factors.filter(f, f.provider != "x").size() == 2`,
	`event.auth_factors.filter(f, f.is_totp).size() == 0`,
	`has(event.auth_factors) && event.auth_factors.filter(f, f.is_totp).size() == 1`,
	`event.auth_factors.exists_one(f, f.is_totp)`,
	`event.auth_factors.exists_one(f, f.provider != "x")`,
	`event.auth_factors.map(f, f.provider).exists(x, x == "")`,
	`"" in event.auth_factors.map(f, f.provider)`,
	`event.user.name == "x" && event.count == 0 || event.is_mfa && event.count == 0 && has(event.count)`,
	`(event.count > 3 || has(event.count)) && event.count < 10`,
	`(event.count > 3 || event.is_mfa) && event.count < 10`,
	`event.count < 5 || true`,
	`event.is_mfa == false || event.is_mfa == true`,
	`!(event.is_mfa && event.count > 3)`,
	`has(event.is_mfa) && has(event.count) && !(event.is_mfa && event.count > 3)`,
	`event.user.type_id != ADMIN && event.user.type_id == USER`,
	`string(event.count) == "0"`,
	`[event.count, 5].exists(c, c == 0)`,
	`{"a": event.count}["a"] == 0`,
	`dyn(event.count) == 0`,
	// with names for things
	`cel.bind(u, event.user, u.uid != "root")`,
	`cel.bind(u, event.user, has(u.uid) && u.uid != "root")`,
	`has(event.user.uid) && cel.bind(u, event.user, u.uid != "root")`,
	`cel.bind(n, event.user.name, n != "root")`,
	`cel.bind(n, event.user.name, n == "x" || n.startsWith("zz"))`,
	`cel.bind(b, event.is_mfa == false, b)`,
	`cel.bind(u, event.user, has(u.uid)) && event.user.uid != "root"`,
	`!cel.bind(u, event.user, has(u.uid)) || event.user.uid != "root"`,
	`cel.bind(n, event.user.name, n == "x") && event.user.name != "zz"`,
	`cel.bind(b, event.is_mfa == false, !b && event.count > 3)`,
	// what is required, and what is so only of what is there
	`event.device.type_id != SERVER`,
	`has(event.device.type_id) && event.device.type_id != SERVER`,
	`event.metadata.version != "x"`,
	`event.metadata.product.name != "x"`,
}

// differs are the rules on which the check and the oracle disagree, and why.
// The check refuses both.
var differs = map[string]string{
	`has(event.user) && event.user.uid != "root"`: "the oracle sees only attributes that the rule names: a user with a name alone is none",
	`event.count < 5 || true`:                     "a condition is judged alone; nobody needs this one",
}

// TestAbsenceOracle compares the check with the definition: a condition may
// not hold on an event where it would not if nobody knew the values of what
// the event lacks.
func TestAbsenceOracle(t *testing.T) {
	env := eventEnv(t, schema(t), "authentication")
	refused := 0
	for _, text := range oracleRules {
		_, found := env.Compile(text, WantBool)
		for _, i := range found {
			if i.Code != "absence" {
				t.Fatalf("%s: %v", text, i)
			}
		}
		witness := newOracle(t, env, text).witness()
		if len(found) > 0 {
			refused++
		}
		if (witness != "") != (len(found) > 0) {
			if differs[text] == "" {
				t.Errorf("%s\n check says %v\n oracle says %q", text, found, witness)
			}
		} else if differs[text] != "" {
			t.Errorf("%s: no longer differs", text)
		}
	}
	t.Logf("%d rules, %d refused", len(oracleRules), refused)
}

// An oracle tries all events over a small domain.
type oracle struct {
	program cel.Program
	env     *EventEnv
	leaves  []string // paths of values
	rows    []string // attributes of the elements of list
	list    string
	domain  map[*types.Type][]ref.Val
	attrs   map[string]*ocsf.Attr
}

func newOracle(t *testing.T, env *EventEnv, text string) *oracle {
	t.Helper()
	parsed, iss := env.env.Parse(text)
	if iss.Err() != nil {
		t.Fatal(iss.Err())
	}
	(&rewriter{env: env, ast: parsed.NativeRep()}).walk(parsed.NativeRep().Expr(), nil, nil)
	checked, iss := env.env.Check(parsed)
	if iss.Err() != nil {
		t.Fatal(text, iss.Err())
	}
	program, err := env.env.Program(checked, cel.EvalOptions(cel.OptPartialEval))
	if err != nil {
		t.Fatal(err)
	}
	o := &oracle{program: program, env: env, attrs: map[string]*ocsf.Attr{}}
	c, _ := env.classes[0].Attr("auth_factors")
	paths, _ := env.reads(checked.NativeRep().Expr())
	for _, p := range paths {
		if rest, ok := strings.CutPrefix(p, "auth_factors."); ok {
			o.list = "auth_factors"
			o.rows = append(o.rows, rest)
			o.attrs[rest], _ = c.Object.Attr(rest)
			continue
		}
		if p == "auth_factors" {
			o.list = p
			continue
		}
		r := env.root
		var a *ocsf.Attr
		for name := range strings.SplitSeq(p, ".") {
			i := r.index[name]
			a, r = r.attrs[i], r.below[i]
		}
		if a.Base != ocsf.BaseObject {
			o.leaves = append(o.leaves, p)
			o.attrs[p] = a
		}
	}
	ints, texts := map[int64]bool{0: true, 7: true}, map[string]bool{"": true, "zz": true}
	ast.PreOrderVisit(checked.NativeRep().Expr(), ast.NewExprVisitor(func(x ast.Expr) {
		if x.Kind() != ast.LiteralKind {
			return
		}
		switch v := x.AsLiteral().(type) {
		case types.Int:
			for d := int64(-1); d <= 1; d++ {
				ints[int64(v)+d] = true
			}
		case types.String:
			texts[string(v)] = true
		}
	}))
	o.domain = map[*types.Type][]ref.Val{types.BoolType: {types.False, types.True}}
	for i := range ints {
		o.domain[types.IntType] = append(o.domain[types.IntType], types.Int(i))
	}
	for s := range texts {
		o.domain[types.StringType] = append(o.domain[types.StringType], types.String(s))
	}
	return o
}

// values are what an attribute may be; nil is absent.
func (o *oracle) values(path string) []ref.Val {
	a := o.attrs[path]
	out := o.domain[celType(a)]
	if a.Requirement == ocsf.Required && (path == "severity_id" || strings.HasPrefix(path, "metadata.version")) {
		return out
	}
	return append([]ref.Val{nil}, out...)
}

// witness is an event on which the condition holds for what it lacks; "" if
// there is none.
func (o *oracle) witness() string {
	var worlds []*world
	var fill func(i int, w *world)
	fill = func(i int, w *world) {
		if i == len(o.leaves) {
			worlds = append(worlds, w)
			return
		}
		for _, v := range o.values(o.leaves[i]) {
			next := &world{values: map[string]ref.Val{}}
			for k, x := range w.values {
				next.values[k] = x
			}
			if v != nil {
				next.values[o.leaves[i]] = v
			}
			fill(i+1, next)
		}
	}
	fill(0, &world{})
	var elements []map[string]ref.Val
	if o.list != "" {
		elements = []map[string]ref.Val{{}}
		for _, p := range o.rows {
			var more []map[string]ref.Val
			for _, e := range elements {
				for _, v := range o.values(p) {
					next := map[string]ref.Val{}
					for k, x := range e {
						next[k] = x
					}
					if v != nil {
						next[p] = v
					}
					more = append(more, next)
				}
			}
			elements = more
		}
	}
	lists := [][]map[string]ref.Val{nil}
	for _, e := range elements {
		lists = append(lists, []map[string]ref.Val{e}, []map[string]ref.Val{e, elements[0]}, []map[string]ref.Val{e, elements[len(elements)-1]})
	}
	for _, w := range worlds {
		for _, l := range lists {
			w.list = l
			if o.holds(w, false) && !o.holds(w, true) {
				return fmt.Sprint(w.values, l)
			}
		}
	}
	return ""
}

func (o *oracle) holds(w *world, strict bool) bool {
	w.strict = strict
	out, _, err := o.program.Eval(map[string]any{"event": &part{w: w, rec: o.env.root}, "meta": &part{w: w, rec: o.env.meta}})
	return err == nil && out == types.True
}

// A world is one event of the oracle. In a strict one nobody knows the value
// of what is absent.
type world struct {
	values map[string]ref.Val
	list   []map[string]ref.Val // auth_factors
	strict bool
}

// A part is an object of a world.
type part struct {
	w      *world
	rec    *record
	prefix string
	row    map[string]ref.Val // of an element
}

func (p *part) hasField(i int) bool {
	a := p.rec.attrs[i]
	values := p.w.values
	if p.row != nil {
		values = p.row
	}
	if a.Name == "auth_factors" {
		return len(p.w.list) > 0
	}
	if a.Base != ocsf.BaseObject {
		return values[p.prefix+a.Name] != nil
	}
	for k := range values {
		if strings.HasPrefix(k, p.prefix+a.Name+".") {
			return true
		}
	}
	return false
}

func (p *part) field(i int) ref.Val {
	a := p.rec.attrs[i]
	switch {
	case a.Base == ocsf.BaseObject && !a.Array:
		return &part{w: p.w, rec: p.rec.below[i], prefix: p.prefix + a.Name + ".", row: p.row}
	case !p.hasField(i) && p.w.strict:
		return unknown
	case !p.hasField(i):
		return zeroOf(a)
	case a.Name == "auth_factors":
		var items []ref.Val
		for _, row := range p.w.list {
			items = append(items, &part{w: p.w, rec: p.rec.below[i], row: row})
		}
		return types.NewRefValList(types.DefaultTypeAdapter, items)
	case p.row != nil:
		return p.row[p.prefix+a.Name]
	}
	return p.w.values[p.prefix+a.Name]
}

func (p *part) ConvertToNative(reflect.Type) (any, error) { return nil, errNoConversion }
func (p *part) ConvertToType(ref.Type) ref.Val            { return unknown }
func (p *part) Equal(o ref.Val) ref.Val                   { return types.Bool(p == o) }
func (p *part) Type() ref.Type                            { return types.NewObjectType(p.rec.name) }
func (p *part) Value() any                                { return p }

// TestAbsenceMessage holds where a refusal points, and what it says to do.
func TestAbsenceMessage(t *testing.T) {
	env := eventEnv(t, schema(t), "authentication")
	for text, want := range map[string][]string{
		"event.is_mfa &&\n  event.user.uid != 'x' && event.count < 3": {
			"2:3 this can hold merely because event.user.uid is absent; put has(event.user.uid) && before it",
			"2:28 this can hold merely because event.count is absent; put has(event.count) && before it",
		},
		`event.auth_factors.exists(f, f.provider != "x")`: {"1:30 this can hold merely because f.provider is absent; put has(f.provider) && before it"},
		`event.unmapped["a.b"] != "x"`:                    {`1:1 this can hold merely because event.unmapped["a.b"] is absent; put "a.b" in event.unmapped && before it`},
		`meta.tenant != "x"`:                              {"1:1 this can hold merely because meta.tenant is absent; put has(meta.tenant) && before it"},
		`event.auth_factors[0].provider == "x"`:           {"1:1 an element of auth_factors by its number: there may be none; use exists(x, …)"},
	} {
		_, found := env.Compile(text, WantBool)
		var got []string
		for _, i := range found {
			got = append(got, fmt.Sprintf("%d:%d %s; %s", i.Line, i.Column, i.Message, i.Suggestion))
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s\n got %q\nwant %q", text, got, want)
		}
	}
}
