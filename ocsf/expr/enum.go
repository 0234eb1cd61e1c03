package expr

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/google/cel-go/common/ast"
	"github.com/google/cel-go/common/operators"
	"github.com/google/cel-go/common/types"

	"nagare/ocsf"
)

// A scope is what a comprehension calls its variable.
type scope struct {
	up   *scope
	name string
	elem *record // of a list of objects; nil for anything else
	path string  // of that list
	id   int64
}

func (s *scope) find(name string) *scope {
	for ; s != nil; s = s.up {
		if s.name == name {
			return s
		}
	}
	return nil
}

// A resolved is what an expression denotes: an object, and the attribute it
// was reached by.
type resolved struct {
	record *record
	attr   *ocsf.Attr
	path   string // dotted, from the event
	key    string // path within its scope: what guards it
	elem   bool   // inside an element of a list
}

// resolve follows a chain of selects from event or a variable.
func (e *EventEnv) resolve(x ast.Expr, s *scope) resolved {
	switch x.Kind() {
	case ast.IdentKind:
		name := x.AsIdent()
		if l := s.find(name); l != nil {
			return resolved{record: l.elem, path: l.path, key: fmt.Sprintf("%s#%d", name, l.id), elem: true}
		}
		if name == "event" {
			return resolved{record: e.root, key: "event"}
		}
	case ast.SelectKind:
		up := e.resolve(x.AsSelect().Operand(), s)
		if up.record == nil {
			return resolved{}
		}
		a := up.record.attr(x.AsSelect().FieldName())
		if a == nil {
			return resolved{}
		}
		r := resolved{attr: a, path: dotted(up.path, a.Name), key: up.key + "." + a.Name, elem: up.elem}
		if a.Base == ocsf.BaseObject && !a.Array {
			r.record = e.provider.record(a.Object)
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
		return e.provider.record(r.attr.Object), r.path
	}
	if x.Kind() == ast.ComprehensionKind {
		if kind, _ := macroOf(x.AsComprehension()); kind == macroFilter {
			return e.elementsOf(x.AsComprehension().IterRange(), s)
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

// constant is how the caption of an enum value is written.
var constant = regexp.MustCompile(`^[A-Z][A-Z0-9_]*$`)

// A rewriter replaces captions by the numbers of the attribute beside them,
// between parsing and checking.
type rewriter struct {
	env    *EventEnv
	ast    *ast.AST
	issues []Issue
}

func (r *rewriter) say(x ast.Expr, suggestion, format string, args ...any) {
	at := r.ast.SourceInfo().GetStartLocation(x.ID())
	r.issues = append(r.issues, Issue{at.Line(), at.Column() + 1, fmt.Sprintf(format, args...), suggestion})
}

// walk looks for captions in x. want is the enum attribute beside which x
// stands; nil if none.
func (r *rewriter) walk(x ast.Expr, s *scope, want *resolved) {
	switch x.Kind() {
	case ast.IdentKind:
		name := x.AsIdent()
		if s.find(name) == nil && constant.MatchString(name) {
			r.caption(x, name, want)
		}
		return
	case ast.CallKind:
		c := x.AsCall()
		switch c.FunctionName() {
		case operators.Equals, operators.NotEquals:
			left, right := c.Args()[0], c.Args()[1]
			r.walk(left, s, r.enumOf(right, s))
			r.walk(right, s, r.enumOf(left, s))
			return
		case operators.Less, operators.LessEquals, operators.Greater, operators.GreaterEquals:
			for i, a := range c.Args() {
				other := c.Args()[1-i]
				if name := a.AsIdent(); a.Kind() == ast.IdentKind && s.find(name) == nil && constant.MatchString(name) {
					if e := r.enumOf(other, s); e != nil {
						if id, ok := captionID(e.attr.Enum, name); ok {
							r.say(a, fmt.Sprintf("write %d", id), "%s stands beside an order: captions are for ==, != and in", name)
							continue
						}
					}
				}
				r.walk(a, s, nil)
			}
			return
		case operators.In:
			r.walk(c.Args()[0], s, nil)
			var e *resolved
			if c.Args()[1].Kind() == ast.ListKind {
				e = r.enumOf(c.Args()[0], s)
			}
			r.walk(c.Args()[1], s, e)
			return
		case operators.Conditional:
			r.walk(c.Args()[0], s, nil)
			r.walk(c.Args()[1], s, want)
			r.walk(c.Args()[2], s, want)
			return
		}
	case ast.ListKind:
		for _, a := range x.AsList().Elements() {
			r.walk(a, s, want)
		}
		return
	case ast.ComprehensionKind:
		c := x.AsComprehension()
		if constant.MatchString(c.IterVar()) {
			r.say(x, "call it "+strings.ToLower(c.IterVar()), "the variable %s is written as a caption is", c.IterVar())
		}
	}
	r.env.eachChild(x, s, func(a ast.Expr, in *scope) { r.walk(a, in, nil) })
}

// caption replaces a caption by its number.
func (r *rewriter) caption(x ast.Expr, name string, want *resolved) {
	zero := func() { x.SetKindCase(ast.NewExprFactory().NewLiteral(x.ID(), types.Int(0))) }
	if want == nil {
		r.say(x, "compare it with an attribute that has captions, as event.status_id == FAILURE, or write the number", "the caption %s stands alone", name)
		zero()
		return
	}
	id, ok := captionID(want.attr.Enum, name)
	if !ok {
		names := captionNames(want.attr.Enum)
		suggestion := "its captions are " + strings.Join(names, ", ")
		if n := ocsf.Nearest(name, names); n != "" {
			suggestion = fmt.Sprintf("did you mean %s?", n)
		}
		r.say(x, suggestion, "%s is no caption of %s", name, want.path)
		zero()
		return
	}
	x.SetKindCase(ast.NewExprFactory().NewLiteral(x.ID(), types.Int(id)))
}

// enumOf is the enum attribute that x reads; nil if it reads none.
func (r *rewriter) enumOf(x ast.Expr, s *scope) *resolved {
	if x.Kind() != ast.SelectKind || x.AsSelect().IsTestOnly() {
		return nil
	}
	if got := r.env.resolve(x, s); got.attr != nil && got.attr.Enum != nil && got.attr.Base != ocsf.BaseString && !got.attr.Array {
		return &got
	}
	return nil
}

func captionID(e *ocsf.Enum, name string) (int64, bool) {
	for _, i := range e.Items {
		if ocsf.ConstantName(i.Caption) == name {
			return i.ID, true
		}
	}
	return 0, false
}

func captionNames(e *ocsf.Enum) []string {
	var out []string
	for _, i := range e.Items {
		out = append(out, ocsf.ConstantName(i.Caption))
	}
	slices.Sort(out)
	return out
}
