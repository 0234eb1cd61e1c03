package expr

import (
	"fmt"

	"github.com/google/cel-go/common/ast"
	"github.com/google/cel-go/common/operators"
	"github.com/google/cel-go/common/types"

	"nagare/ocsf"
)

// macro is what a comprehension was written as.
type macro uint8

const (
	macroOther macro = iota
	macroExists
	macroAll
	macroExistsOne
	macroFilter
	macroMap
	macroBind
)

// A loop is a comprehension as it was written.
type loop struct {
	kind macro
	// predicate is nil for a bind, and for a map without one.
	predicate ast.Expr
	// transform is what map makes of an element.
	transform ast.Expr
}

// loopOf recognises the macros of CEL, and cel.bind.
func loopOf(c ast.ComprehensionExpr) loop {
	step := c.LoopStep()
	if isBind(c) {
		return loop{kind: macroBind}
	}
	if step.Kind() != ast.CallKind {
		return loop{}
	}
	call := step.AsCall()
	switch call.FunctionName() {
	case operators.LogicalOr:
		return loop{kind: macroExists, predicate: call.Args()[1]}
	case operators.LogicalAnd:
		return loop{kind: macroAll, predicate: call.Args()[1]}
	case operators.Add:
		if t := appended(step); t != nil {
			return loop{kind: macroMap, transform: t}
		}
	case operators.Conditional:
		l := loop{predicate: call.Args()[0]}
		switch t := appended(call.Args()[1]); {
		case t == nil:
			l.kind = macroExistsOne
		case t.Kind() == ast.IdentKind && t.AsIdent() == c.IterVar():
			l.kind = macroFilter
		default:
			l.kind, l.transform = macroMap, t
		}
		return l
	}
	return loop{}
}

// appended is t of result + [t]; nil for anything else.
func appended(x ast.Expr) ast.Expr {
	if isCall(x, operators.Add) {
		if l := x.AsCall().Args()[1]; l.Kind() == ast.ListKind && l.AsList().Size() == 1 {
			return l.AsList().Elements()[0]
		}
	}
	return nil
}

// isBind says whether c was written as cel.bind: a loop over nothing.
func isBind(c ast.ComprehensionExpr) bool {
	r := c.IterRange()
	return c.IterVar() == "#unused" && r.Kind() == ast.ListKind && r.AsList().Size() == 0
}

// A scope is a variable of a comprehension.
type scope struct {
	up   *scope
	name string
	elem *record // of a list of objects; nil for anything else
	path string  // of that list
	id   int64
	bind ast.Expr // what cel.bind calls name; it is read in up
}

func (s *scope) find(name string) *scope {
	for ; s != nil; s = s.up {
		if s.name == name {
			return s
		}
	}
	return nil
}

// A resolved is what an expression denotes: an object, or an attribute.
type resolved struct {
	record *record    // of an object
	attr   *ocsf.Attr // by which it was reached; nil for a variable
	owner  *record    // that attr belongs to
	path   string     // dotted, from the event or from meta
	key    string     // path within its scope: what guards it
	elem   bool       // inside an element of a list
	meta   bool       // of meta, not of event
	// optional says that it, or an object on the way to it, may be absent.
	optional bool
}

// resolve follows a chain of selects from event, meta or a variable.
func (e *EventEnv) resolve(x ast.Expr, s *scope) resolved {
	switch x.Kind() {
	case ast.IdentKind:
		name := x.AsIdent()
		if l := s.find(name); l != nil {
			if l.bind != nil {
				return e.resolve(l.bind, l.up)
			}
			return resolved{record: l.elem, path: l.path, key: fmt.Sprintf("%s#%d", name, l.id), elem: true}
		}
		switch name {
		case "event":
			return resolved{record: e.root, key: "event"}
		case "meta":
			return resolved{record: e.meta, key: "meta", meta: true}
		}
	case ast.SelectKind:
		up := e.resolve(x.AsSelect().Operand(), s)
		if up.record == nil {
			return resolved{}
		}
		i, ok := up.record.index[x.AsSelect().FieldName()]
		if !ok {
			return resolved{}
		}
		a := up.record.attrs[i]
		r := resolved{attr: a, owner: up.record, path: dotted(up.path, a.Name), key: up.key + "." + a.Name, elem: up.elem, meta: up.meta, optional: up.optional || optional(a)}
		if a.Base == ocsf.BaseObject && !a.Array {
			r.record = up.record.below[i]
		}
		return r
	}
	return resolved{}
}

func dotted(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}

// inside is the scope of a comprehension's body.
func (e *EventEnv) inside(x ast.Expr, s *scope) *scope {
	c := x.AsComprehension()
	if isBind(c) {
		return &scope{up: s, name: c.AccuVar(), id: x.ID(), bind: c.AccuInit()}
	}
	in := &scope{up: &scope{up: s, name: c.AccuVar(), id: x.ID()}, name: c.IterVar(), id: x.ID()}
	in.elem, in.path = e.elementsOf(c.IterRange(), s)
	if c.HasIterVar2() {
		in = &scope{up: in, name: c.IterVar2(), id: x.ID()}
	}
	return in
}

// elementsOf is the record of the elements of a range: a list of objects, or
// what filter leaves of one.
func (e *EventEnv) elementsOf(x ast.Expr, s *scope) (*record, string) {
	if r := e.resolve(x, s); r.attr != nil && r.attr.Array && r.attr.Base == ocsf.BaseObject {
		return r.owner.below[r.owner.index[r.attr.Name]], r.path
	}
	if x.Kind() == ast.ComprehensionKind {
		if c := x.AsComprehension(); loopOf(c).kind == macroFilter {
			return e.elementsOf(c.IterRange(), s)
		}
	}
	return nil, ""
}

// eachChild calls f for each expression below x, with its scope.
func (e *EventEnv) eachChild(x ast.Expr, s *scope, f func(ast.Expr, *scope)) {
	switch x.Kind() {
	case ast.SelectKind:
		f(x.AsSelect().Operand(), s)
	case ast.CallKind:
		c := x.AsCall()
		if c.IsMemberFunction() {
			f(c.Target(), s)
		}
		for _, a := range c.Args() {
			f(a, s)
		}
	case ast.ListKind:
		for _, a := range x.AsList().Elements() {
			f(a, s)
		}
	case ast.MapKind:
		for _, a := range x.AsMap().Entries() {
			f(a.AsMapEntry().Key(), s)
			f(a.AsMapEntry().Value(), s)
		}
	case ast.StructKind:
		for _, a := range x.AsStruct().Fields() {
			f(a.AsStructField().Value(), s)
		}
	case ast.ComprehensionKind:
		c := x.AsComprehension()
		f(c.IterRange(), s)
		f(c.AccuInit(), s)
		in := e.inside(x, s)
		f(c.LoopCondition(), in)
		f(c.LoopStep(), in)
		f(c.Result(), in)
	}
}

// place is where x begins in the text, from 1: the leftmost of its parts.
func place(rep *ast.AST, x ast.Expr) (line, column int) {
	first := int32(-1)
	id := x.ID()
	ast.PreOrderVisit(x, ast.NewExprVisitor(func(part ast.Expr) {
		if r, ok := rep.SourceInfo().GetOffsetRange(part.ID()); ok && (first < 0 || r.Start < first) {
			first, id = r.Start, part.ID()
		}
	}))
	at := rep.SourceInfo().GetStartLocation(id)
	return at.Line(), at.Column() + 1
}

// objectUses refuses objects that stand for themselves: in a comparison, in a
// list, as what a function takes. None of it has a meaning, and attributes
// read of them by a detour would pass the absence check unseen.
func (e *EventEnv) objectUses(rep *ast.AST) []Issue {
	var found []Issue
	var visit func(x ast.Expr, s *scope, allowed bool)
	visit = func(x ast.Expr, s *scope, allowed bool) {
		if t := rep.GetType(x.ID()); !allowed && t != nil && hasObject(t) {
			i := Issue{Code: "object", Message: "an object of OCSF stands here for itself", Suggestion: "name one of its attributes; loop over a list of objects with exists, all or filter"}
			i.Line, i.Column = place(rep, x)
			found = append(found, i)
			return
		}
		switch x.Kind() {
		case ast.SelectKind:
			visit(x.AsSelect().Operand(), s, e.chain(x.AsSelect().Operand()))
			return
		case ast.CallKind:
			c := x.AsCall()
			switch {
			case c.FunctionName() == operators.Index, c.FunctionName() == "size" && len(c.Args()) == 1:
				for _, a := range c.Args() {
					visit(a, s, true)
				}
				return
			case c.FunctionName() == "size" && c.IsMemberFunction():
				visit(c.Target(), s, true)
				return
			}
		case ast.ComprehensionKind:
			c, in := x.AsComprehension(), e.inside(x, s)
			l := loopOf(c)
			if l.kind == macroOther {
				break
			}
			if l.kind == macroBind {
				visit(c.AccuInit(), s, e.resolve(c.AccuInit(), s).attr != nil)
				visit(c.Result(), in, false)
				return
			}
			range_, _ := e.elementsOf(c.IterRange(), s)
			visit(c.IterRange(), s, range_ != nil)
			if l.predicate != nil {
				visit(l.predicate, in, false)
			}
			if l.transform != nil {
				visit(l.transform, in, false)
			}
			return
		}
		e.eachChild(x, s, func(child ast.Expr, in *scope) { visit(child, in, false) })
	}
	visit(rep.Expr(), nil, false)
	return found
}

// chain says whether x is a path, or an element of a list at the end of one:
// what an attribute may be selected from.
func (e *EventEnv) chain(x ast.Expr) bool {
	switch {
	case x.Kind() == ast.IdentKind:
		return true
	case x.Kind() == ast.SelectKind:
		return e.chain(x.AsSelect().Operand())
	case isCall(x, operators.Index):
		return e.chain(x.AsCall().Args()[0])
	}
	return false
}

// hasObject says whether t is an object of OCSF, or holds some.
func hasObject(t *types.Type) bool {
	if t.Kind() == types.StructKind {
		return true
	}
	for _, p := range t.Parameters() {
		if hasObject(p) {
			return true
		}
	}
	return false
}
