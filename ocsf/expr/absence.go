package expr

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	"github.com/google/cel-go/cel"
	"github.com/google/cel-go/common/ast"
	"github.com/google/cel-go/common/operators"
	"github.com/google/cel-go/common/types"
	"github.com/google/cel-go/common/types/ref"
	"github.com/google/cel-go/common/types/traits"

	"nagare/ocsf"
)

// The absence check: an absent attribute must never make a condition hold.
//
// Negation is pushed inwards, and each condition that remains is looked at
// with its polarity: for every optional attribute p that it reads, it is
// evaluated twice with all else unknown, once with p reading as its typed zero
// and once with p absent and its value unknown. The condition is refused if
// the zero satisfies it or may, the unknown does not, and nothing beside it in
// the same conjunction says that p is there: has(p), or a condition that fails
// when p is absent. In a disjunction only !has(p) among the alternatives does.
//
// It is decided by evaluation, not by a table of operators, so it holds for
// every function of the library.

// An absence is one run of the check.
type absence struct {
	env     *EventEnv
	ast     *ast.AST
	program cel.Program
	states  map[stateKey]map[int64]ref.Val
	issues  []Issue
	flagged map[string]bool
}

// A read is an optional attribute that a condition reads.
type read struct {
	key   string // within its scope
	path  string // as it is written
	attr  *ocsf.Attr
	owner *record // of an attribute of a list element; else nil
}

// checkAbsence runs the check on a condition.
func (e *EventEnv) checkAbsence(checked *cel.Ast) []Issue {
	program, err := e.env.Program(checked, cel.EvalOptions(cel.OptExhaustiveEval, cel.OptPartialEval))
	if err != nil {
		return []Issue{{Line: 1, Column: 1, Code: "expression", Message: err.Error()}}
	}
	c := &absence{env: e, ast: checked.NativeRep(), program: program, states: map[stateKey]map[int64]ref.Val{}, flagged: map[string]bool{}}
	c.walk(checked.NativeRep().Expr(), true, nil, nil, false)
	return c.issues
}

// refuse reports a condition, once for each attribute.
func (c *absence) refuse(x ast.Expr, r read) {
	if c.flagged[r.key] {
		return
	}
	c.flagged[r.key] = true
	guard := "has(" + r.path + ")"
	if name, ok := strings.CutPrefix(r.key, unmappedKeys); ok {
		guard = fmt.Sprintf("%q in event.unmapped", name)
	}
	i := Issue{Code: "absence", Message: fmt.Sprintf("this can hold merely because %s is absent", r.path), Suggestion: fmt.Sprintf("put %s && before it", guard)}
	i.Line, i.Column = place(c.ast, x)
	c.issues = append(c.issues, i)
}

// unmappedKeys begins the key of a read of one unmapped field.
const unmappedKeys = "event.unmapped."

// guards are the keys of attributes known to be there.
type guards map[string]bool

func (g guards) with(more guards) guards {
	out := maps.Clone(more)
	if out == nil {
		out = guards{}
	}
	maps.Copy(out, g)
	return out
}

// walk checks x, which is to be polarity.
func (c *absence) walk(x ast.Expr, polarity bool, known guards, s *scope, loop bool) {
	switch x.Kind() {
	case ast.LiteralKind:
		return
	case ast.SelectKind:
		if x.AsSelect().IsTestOnly() {
			return
		}
	case ast.CallKind:
		call := x.AsCall()
		switch call.FunctionName() {
		case operators.LogicalNot:
			c.walk(call.Args()[0], !polarity, known, s, loop)
			return
		case operators.LogicalAnd, operators.LogicalOr:
			// A conjunction's other side holds; a disjunction's other side is
			// assumed not to, of which only has() says anything.
			and := (call.FunctionName() == operators.LogicalAnd) == polarity
			other := polarity == and
			a, b := call.Args()[0], call.Args()[1]
			c.walk(a, polarity, known.with(c.facts(b, other, s, !and, loop)), s, loop)
			c.walk(b, polarity, known.with(c.facts(a, other, s, !and, loop)), s, loop)
			return
		case operators.Conditional:
			c.conditional(call, polarity, known, s, loop)
			return
		}
	case ast.ComprehensionKind:
		comp := x.AsComprehension()
		switch l := loopOf(comp); l.kind {
		case macroExists, macroAll:
			c.eachRead(comp.IterRange(), s, func(r read) {
				if known[r.key] {
					return
				}
				if z := c.outcome(x, r, false, loop); z == want(polarity) || (z == outUnknown && r.owner != nil) {
					c.refuse(x, r)
				}
			})
			c.below(comp.IterRange(), known, s, loop)
			c.walk(l.predicate, polarity, known, c.env.inside(x, s), true)
			return
		case macroBind: // a name for something: what follows is the condition
			c.below(comp.AccuInit(), known, s, loop)
			c.walk(comp.Result(), polarity, known, c.env.inside(x, s), loop)
			return
		}
	}
	c.below(x, known, s, loop)
	c.eachRead(x, s, func(r read) {
		if known[r.key] {
			return
		}
		zero, strict := c.outcome(x, r, false, loop), c.outcome(x, r, true, loop)
		if (zero == want(polarity) || zero == outUnknown) && strict != want(polarity) {
			c.refuse(x, r)
		}
	})
}

// conditional checks cond ? a : b as (cond && a) || (!cond && b).
func (c *absence) conditional(call ast.CallExpr, polarity bool, known guards, s *scope, loop bool) {
	cond, a, b := call.Args()[0], call.Args()[1], call.Args()[2]
	for _, branch := range []struct {
		when bool
		then ast.Expr
	}{{true, a}, {false, b}} {
		if isConst(branch.then, !polarity) {
			continue
		}
		c.walk(cond, branch.when, known.with(c.facts(branch.then, polarity, s, false, loop)), s, loop)
		c.walk(branch.then, polarity, known.with(c.facts(cond, branch.when, s, false, loop)), s, loop)
	}
}

func isConst(x ast.Expr, b bool) bool {
	return x.Kind() == ast.LiteralKind && x.AsLiteral() == types.Bool(b)
}

// below checks what stands inside a condition: the predicates of filter,
// exists_one and map for both outcomes, since either may lead to a condition
// that holds. Indexing a list of objects is refused: which element it is
// depends on how many there are.
func (c *absence) below(x ast.Expr, known guards, s *scope, loop bool) {
	switch x.Kind() {
	case ast.CallKind:
		call := x.AsCall()
		if call.FunctionName() == operators.Index {
			if elem, path := c.env.elementsOf(call.Args()[0], s); elem != nil {
				i := Issue{Code: "absence", Message: fmt.Sprintf("an element of %s by its number: there may be none", path), Suggestion: "use exists(x, …)"}
				i.Line, i.Column = place(c.ast, x)
				c.issues = append(c.issues, i)
			}
		}
	case ast.ComprehensionKind:
		comp := x.AsComprehension()
		l, in := loopOf(comp), c.env.inside(x, s)
		switch l.kind {
		case macroFilter, macroExistsOne, macroMap:
			if l.predicate != nil {
				c.walk(l.predicate, true, known, in, true)
				c.walk(l.predicate, false, known, in, true)
			}
			if l.transform != nil {
				c.below(l.transform, known, in, true)
			}
			c.below(comp.IterRange(), known, s, loop)
			return
		}
	}
	c.env.eachChild(x, s, func(child ast.Expr, in *scope) { c.below(child, known, in, loop) })
}

// facts are the attributes certainly there when x is polarity.
func (c *absence) facts(x ast.Expr, polarity bool, s *scope, hasOnly, loop bool) guards {
	out := guards{}
	switch x.Kind() {
	case ast.SelectKind:
		if sel := x.AsSelect(); sel.IsTestOnly() {
			if !polarity {
				return out
			}
			if up := c.env.resolve(sel.Operand(), s); up.record != nil {
				out[up.key+"."+sel.FieldName()] = true
			} else if up.attr != nil { // has(event.unmapped.k)
				out[up.key+"."+sel.FieldName()] = true
				out[up.key] = true
			}
			return out
		}
	case ast.CallKind:
		call := x.AsCall()
		switch call.FunctionName() {
		case operators.LogicalNot:
			return c.facts(call.Args()[0], !polarity, s, hasOnly, loop)
		case operators.In:
			// 'k' in event.unmapped says that the key is there.
			if r := c.env.resolve(call.Args()[1], s); polarity && c.isUnmapped(r) && call.Args()[0].Kind() == ast.LiteralKind {
				out[r.key+"."+fmt.Sprint(call.Args()[0].AsLiteral().Value())] = true
				out[r.key] = true
				return out
			}
		case operators.LogicalAnd, operators.LogicalOr:
			a, b := c.facts(call.Args()[0], polarity, s, hasOnly, loop), c.facts(call.Args()[1], polarity, s, hasOnly, loop)
			if (call.FunctionName() == operators.LogicalAnd) == polarity {
				return a.with(b)
			}
			for k := range a {
				if b[k] {
					out[k] = true
				}
			}
			return out
		}
	}
	if x.Kind() == ast.ComprehensionKind && isBind(x.AsComprehension()) {
		return c.facts(x.AsComprehension().Result(), polarity, c.env.inside(x, s), hasOnly, loop)
	}
	if hasOnly {
		return out
	}
	c.eachRead(x, s, func(r read) {
		if z := c.outcome(x, r, false, loop); z == want(!polarity) || z == outError {
			out[r.key] = true
		}
	})
	return out
}

// isUnmapped says whether r is event.unmapped.
func (c *absence) isUnmapped(r resolved) bool {
	return r.attr != nil && r.owner == c.env.root && isUnmapped(r.attr)
}

// eachRead calls f for each attribute that x reads outside has() and that an
// event may lack.
func (c *absence) eachRead(x ast.Expr, s *scope, f func(read)) {
	found := map[string]read{}
	var visit func(ast.Expr, *scope)
	visit = func(x ast.Expr, s *scope) {
		if x.Kind() == ast.SelectKind && x.AsSelect().IsTestOnly() {
			return
		}
		if x.Kind() == ast.IdentKind {
			if l := s.find(x.AsIdent()); l != nil && l.bind != nil {
				visit(l.bind, l.up)
			}
			return
		}
		if key, ok := c.unmappedKey(x, s); ok {
			found[unmappedKeys+key] = read{key: unmappedKeys + key, path: fmt.Sprintf("event.unmapped[%q]", key), attr: c.env.root.attr("unmapped")}
			return
		}
		if isCall(x, operators.In) {
			// 'k' in event.unmapped is a test, as has() is.
			if c.isUnmapped(c.env.resolve(x.AsCall().Args()[1], s)) {
				visit(x.AsCall().Args()[0], s)
				return
			}
		}
		if x.Kind() == ast.SelectKind {
			if r := c.env.resolve(x, s); r.attr != nil {
				if r.record == nil && r.optional {
					found[r.key] = c.readOf(r)
				}
				return
			}
		}
		c.env.eachChild(x, s, visit)
	}
	visit(x, s)
	for _, key := range slices.Sorted(maps.Keys(found)) {
		f(found[key])
	}
}

func (c *absence) readOf(r resolved) read {
	rd := read{key: r.key, path: r.key, attr: r.attr}
	if r.elem {
		rd.owner = r.owner
		// The key of a variable is name#loop.path.
		name, rest, _ := strings.Cut(r.key, "#")
		rd.path = name + rest[strings.IndexByte(rest, '.'):]
	}
	return rd
}

// unmappedKey recognises event.unmapped['k'] and event.unmapped.k.
func (c *absence) unmappedKey(x ast.Expr, s *scope) (string, bool) {
	operand, key, ok := member(x)
	if !ok || !c.isUnmapped(c.env.resolve(operand, s)) {
		return "", false
	}
	return key, true
}

// out is what a condition came to.
type out byte

const (
	outUnknown out = iota
	outTrue
	outFalse
	outError
)

func want(polarity bool) out {
	if polarity {
		return outTrue
	}
	return outFalse
}

type stateKey struct {
	key          string
	strict, loop bool
}

// outcome is what x comes to with one attribute absent and all else unknown.
func (c *absence) outcome(x ast.Expr, r read, strict, loop bool) out {
	v := c.state(r, strict, loop || r.owner != nil)[x.ID()]
	switch {
	case v == nil || types.IsUnknown(v):
		return outUnknown
	case types.IsError(v):
		return outError
	case v == types.True:
		return outTrue
	case v == types.False:
		return outFalse
	}
	return outUnknown
}

// state evaluates the whole expression and returns each part's value.
func (c *absence) state(r read, strict, elements bool) map[int64]ref.Val {
	key := stateKey{r.key, strict, elements}
	if m, ok := c.states[key]; ok {
		return m
	}
	p := &probe{record: c.env.root, read: r, strict: strict, elements: elements, key: "event"}
	m := map[int64]ref.Val{}
	_, details, _ := c.program.Eval(map[string]any{"event": p, "meta": &probe{record: c.env.meta, read: r, strict: strict, key: "meta"}})
	if details != nil && details.State() != nil {
		for _, id := range details.State().IDs() {
			if v, ok := details.State().Value(id); ok {
				m[id] = v
			}
		}
	}
	c.states[key] = m
	return m
}

// A probe is an event in which one attribute is absent and the rest unknown.
type probe struct {
	record   *record
	read     read
	strict   bool // the absent attribute's value is unknown, and only has() tells
	elements bool // lists of objects have one element
	key      string
	inList   bool
}

// absent says whether attribute i is the one under test.
func (p *probe) absent(i int) bool {
	a := p.record.attrs[i]
	if p.read.owner != nil {
		return p.inList && a == p.read.attr && p.record == p.read.owner
	}
	return !p.inList && p.key+"."+a.Name == p.read.key
}

func (p *probe) hasField(i int) bool { return !p.absent(i) }

func (p *probe) field(i int) ref.Val {
	a := p.record.attrs[i]
	if p.absent(i) {
		if p.strict {
			return unknown
		}
		return zeroOf(a)
	}
	switch {
	case isUnmapped(a) && strings.HasPrefix(p.read.key, unmappedKeys):
		if p.strict {
			return unknown
		}
		key := strings.TrimPrefix(p.read.key, unmappedKeys)
		return absentKey{types.NewStringStringMap(types.DefaultTypeAdapter, map[string]string{key: ""})}
	case a.Base == ocsf.BaseObject && !a.Array:
		return &probe{record: p.record.below[i], read: p.read, strict: p.strict, elements: p.elements, key: p.key + "." + a.Name, inList: p.inList}
	case a.Base == ocsf.BaseObject && p.elements:
		one := &probe{record: p.record.below[i], read: p.read, strict: p.strict, elements: p.elements, inList: true}
		return types.NewRefValList(types.DefaultTypeAdapter, []ref.Val{one})
	}
	return unknown
}

// absentKey is unmapped without a key that yet reads as empty text. At run
// time reading it is no value at all; here it must not satisfy a condition.
type absentKey struct{ traits.Mapper }

// Contains implements traits.Container.
func (absentKey) Contains(ref.Val) ref.Val { return types.False }

// unknown is a value that nobody knows.
var unknown = types.NewUnknown(1, nil)

// ConvertToNative implements ref.Val.
func (p *probe) ConvertToNative(reflect.Type) (any, error) { return nil, errNoConversion }

// ConvertToType implements ref.Val.
func (p *probe) ConvertToType(ref.Type) ref.Val { return unknown }

// Equal implements ref.Val.
func (p *probe) Equal(ref.Val) ref.Val { return unknown }

// Type implements ref.Val.
func (p *probe) Type() ref.Type { return types.NewObjectType(p.record.name) }

// Value implements ref.Val.
func (p *probe) Value() any { return p }
