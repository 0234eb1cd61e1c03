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

// constant is how the caption of an enum value is written.
var constant = regexp.MustCompile(`^[A-Z][A-Z0-9_]*$`)

// A rewriter replaces captions by the numbers of the attribute beside them,
// between parsing and checking, and says which names are none.
type rewriter struct {
	env    *EventEnv
	ast    *ast.AST
	issues []Issue
	// skipCheck: what was found leaves nothing for a check to say.
	skipCheck bool
}

func (r *rewriter) say(x ast.Expr, code, suggestion, format string, args ...any) {
	i := Issue{Code: code, Message: fmt.Sprintf(format, args...), Suggestion: suggestion}
	i.Line, i.Column = place(r.ast, x)
	r.issues = append(r.issues, i)
}

// walk looks for captions and unknown attributes in x. beside is the attribute
// that x is compared with; nil if there is none.
func (r *rewriter) walk(x ast.Expr, s *scope, beside *resolved) {
	switch x.Kind() {
	case ast.IdentKind:
		if name := x.AsIdent(); s.find(name) == nil && constant.MatchString(name) {
			r.caption(x, name, beside)
		}
		return
	case ast.LiteralKind:
		r.literal(x, beside)
		return
	case ast.SelectKind:
		up := r.env.resolve(x.AsSelect().Operand(), s)
		if up.record != nil && up.record.attr(x.AsSelect().FieldName()) == nil {
			r.unknown(x, up)
			return
		}
	case ast.CallKind:
		if r.call(x.AsCall(), x, s, beside) {
			return
		}
	case ast.ListKind:
		for _, a := range x.AsList().Elements() {
			r.walk(a, s, beside)
		}
		return
	case ast.ComprehensionKind:
		c := x.AsComprehension()
		for _, name := range []string{c.IterVar(), c.IterVar2(), c.AccuVar()} {
			if constant.MatchString(name) {
				r.say(x, "variable", "call it "+strings.ToLower(name), "the variable %s is written as a caption is", name)
			}
		}
	}
	r.env.eachChild(x, s, func(a ast.Expr, in *scope) { r.walk(a, in, nil) })
}

// call walks the calls that put captions beside an attribute.
func (r *rewriter) call(c ast.CallExpr, x ast.Expr, s *scope, beside *resolved) bool {
	args := c.Args()
	switch c.FunctionName() {
	case operators.Equals, operators.NotEquals:
		r.walk(args[0], s, r.attrOf(args[1], s))
		r.walk(args[1], s, r.attrOf(args[0], s))
	case operators.Less, operators.LessEquals, operators.Greater, operators.GreaterEquals:
		for i, a := range args {
			if !r.ordered(a, args[1-i], s) {
				r.walk(a, s, nil)
			}
		}
	case operators.In:
		var left, right *resolved
		if args[1].Kind() == ast.ListKind {
			right = r.attrOf(args[0], s)
		} else if of := r.attrOf(args[1], s); of != nil && of.attr.Array {
			left = of
		}
		r.walk(args[0], s, left)
		r.walk(args[1], s, right)
	case operators.Conditional:
		r.walk(args[0], s, nil)
		r.walk(args[1], s, beside)
		r.walk(args[2], s, beside)
	case operators.OptSelect, operators.OptIndex:
		r.say(x, "optional", "write a.b and ask has(a.b)", "a.?b and a[?b] are not for rules: what is absent reads as its typed zero")
	default:
		return false
	}
	return true
}

// ordered refuses a caption beside an order, and says its number.
func (r *rewriter) ordered(x, other ast.Expr, s *scope) bool {
	if x.Kind() != ast.IdentKind || s.find(x.AsIdent()) != nil || !constant.MatchString(x.AsIdent()) {
		return false
	}
	of := r.attrOf(other, s)
	if of == nil || of.attr.Enum == nil {
		return false
	}
	id, ok := captionID(of.attr.Enum, x.AsIdent())
	if !ok {
		return false
	}
	r.say(x, "caption", fmt.Sprintf("write %d", id), "%s stands beside an order: captions are for ==, != and in", x.AsIdent())
	r.put(x, id)
	return true
}

// put replaces x by a number; its place stays.
func (r *rewriter) put(x ast.Expr, id int64) {
	x.SetKindCase(ast.NewExprFactory().NewLiteral(x.ID(), types.Int(id)))
}

// attrOf is the attribute that x reads; nil if it reads none.
func (r *rewriter) attrOf(x ast.Expr, s *scope) *resolved {
	if x.Kind() == ast.SelectKind && x.AsSelect().IsTestOnly() {
		return nil
	}
	if got := r.env.resolve(x, s); got.attr != nil && got.record == nil {
		return &got
	}
	return nil
}

// numbered says whether an attribute holds the number of an enum.
func numbered(a *ocsf.Attr) bool {
	return a.Enum != nil && (a.Base == ocsf.BaseInt || a.Base == ocsf.BaseLong)
}

// caption replaces a caption by its number.
func (r *rewriter) caption(x ast.Expr, name string, beside *resolved) {
	if beside == nil || beside.meta || !numbered(beside.attr) {
		r.skipCheck = true
		r.misplaced(x, name, beside)
		return
	}
	id, ok := captionID(beside.attr.Enum, name)
	if !ok {
		if where := r.env.differs(*beside, name); where != "" {
			r.say(x, "unknown-enum", "write a rule for each class, or the numbers", "%s is not the same for %s: %s", name, beside.path, where)
		} else {
			r.say(x, "unknown-enum", r.instead(beside.attr, name), "%s is no caption of %s", name, beside.path)
		}
	}
	r.put(x, id)
}

// misplaced reports a caption that stands beside no number of an enum.
func (r *rewriter) misplaced(x ast.Expr, name string, beside *resolved) {
	if beside != nil && beside.attr.Base == ocsf.BaseString {
		a := beside.attr
		if a.Enum != nil {
			for _, i := range a.Enum.Items {
				if ocsf.ConstantName(i.Caption) == name || ocsf.ConstantName(i.Key) == name {
					r.say(x, "wrong-type", fmt.Sprintf("write %q", i.Key), "%s is text, and has no numbers", beside.path)
					return
				}
			}
		}
		for _, b := range beside.owner.attrs {
			if b.Sibling == a.Name && b.Enum != nil {
				if _, ok := captionID(b.Enum, name); ok {
					r.say(x, "wrong-type", fmt.Sprintf("compare %s with %s", b.Name, name), "%s is text: the caption belongs beside %s", beside.path, b.Name)
					return
				}
			}
		}
	}
	suggestion := "compare it with an attribute that has captions, as event.status_id == FAILURE"
	if n := r.env.numbersOf(r.ast, name); n != "" {
		suggestion = "write the number: " + name + " is " + n
	}
	r.say(x, "caption", suggestion, "the caption %s has a meaning only beside an enum attribute, with ==, != or in", name)
}

// literal checks a text or a number beside an enum attribute.
func (r *rewriter) literal(x ast.Expr, beside *resolved) {
	if beside == nil || beside.meta || !numbered(beside.attr) {
		return
	}
	switch v := x.AsLiteral().(type) {
	case types.String:
		suggestion := r.instead(beside.attr, ocsf.ConstantName(string(v)))
		if item, ok := beside.attr.Enum.ByCaption(string(v)); ok {
			suggestion = "write " + ocsf.ConstantName(item.Caption)
		}
		r.say(x, "wrong-type", suggestion, "%s is a number and is compared with text", beside.path)
		r.put(x, 0)
	case types.Int:
		enums := r.env.enumsOf(*beside)
		for _, e := range enums {
			if slices.ContainsFunc(e.Items, func(i ocsf.EnumItem) bool { return i.ID == int64(v) }) {
				return
			}
		}
		r.say(x, "unknown-enum", "its values are "+values(enums), "%s has no value %d", beside.path, v)
	}
}

// instead suggests a caption of an attribute.
func (r *rewriter) instead(a *ocsf.Attr, name string) string {
	var names []string
	for _, i := range a.Enum.Items {
		names = append(names, ocsf.ConstantName(i.Caption))
	}
	slices.Sort(names)
	if n := ocsf.Nearest(name, names); n != "" {
		return fmt.Sprintf("did you mean %s?", n)
	}
	return "its captions are " + brief(names)
}

// brief joins names, but not without end.
func brief(names []string) string {
	const most = 20
	if len(names) > most {
		return strings.Join(names[:most], ", ") + fmt.Sprintf(" and %d more", len(names)-most)
	}
	return strings.Join(names, ", ")
}

func values(enums []*ocsf.Enum) string {
	var out []string
	for _, e := range enums {
		for _, i := range e.Items {
			if text := fmt.Sprintf("%d %s", i.ID, ocsf.ConstantName(i.Caption)); !slices.Contains(out, text) {
				out = append(out, text)
			}
		}
	}
	return brief(out)
}

func captionID(e *ocsf.Enum, name string) (int64, bool) {
	for _, i := range e.Items {
		if ocsf.ConstantName(i.Caption) == name {
			return i.ID, true
		}
	}
	return 0, false
}

// enumsOf are the enums of an attribute: one, or that of each class.
func (e *EventEnv) enumsOf(r resolved) []*ocsf.Enum {
	if r.owner != e.root || len(e.classes) == 1 {
		return []*ocsf.Enum{r.attr.Enum}
	}
	var out []*ocsf.Enum
	for _, c := range e.classes {
		if a, ok := c.Attr(r.attr.Name); ok && a.Enum != nil {
			out = append(out, a.Enum)
		}
	}
	return out
}

// differs says what a caption means in each class, if that is not the same.
func (e *EventEnv) differs(r resolved, name string) string {
	if r.owner != e.root || len(e.classes) == 1 {
		return ""
	}
	var has, lacks []string
	for _, c := range e.classes {
		if a, ok := c.Attr(r.attr.Name); ok && a.Enum != nil {
			if id, ok := captionID(a.Enum, name); ok {
				has = append(has, fmt.Sprintf("%d in %s", id, c.Name))
				continue
			}
		}
		lacks = append(lacks, "nothing in "+c.Name)
	}
	if len(has) == 0 {
		return ""
	}
	return brief(append(has, lacks...))
}

// numbersOf says which numbers a caption has: of the attributes that the
// expression reads, else of the event's own.
func (e *EventEnv) numbersOf(rep *ast.AST, name string) string {
	var out []string
	add := func(path string, a *ocsf.Attr) {
		if !numbered(a) || len(out) >= 4 {
			return
		}
		if id, ok := captionID(a.Enum, name); ok {
			if text := fmt.Sprintf("%d of %s", id, path); !slices.Contains(out, text) {
				out = append(out, text)
			}
		}
	}
	var visit func(ast.Expr, *scope)
	visit = func(x ast.Expr, s *scope) {
		if r := e.resolve(x, s); r.attr != nil {
			add(r.path, r.attr)
			return
		}
		e.eachChild(x, s, visit)
	}
	visit(rep.Expr(), nil)
	for _, a := range e.root.attrs {
		add(a.Name, a)
	}
	return strings.Join(out, ", ")
}
