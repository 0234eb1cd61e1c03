package expr

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/google/cel-go/common/ast"
	"github.com/google/cel-go/common/operators"

	"nagare/ocsf"
)

// unknown reports an attribute that an object lacks.
func (r *rewriter) unknown(x ast.Expr, up resolved) {
	name := x.AsSelect().FieldName()
	i := Issue{Code: "unknown-attribute", Message: fmt.Sprintf("%s has no attribute %q", up.record.title, name), Suggestion: r.env.instead(up, name)}
	i.Line, i.Column = nameOf(r.ast, x)
	r.issues = append(r.issues, i)
}

// nameOf is where the name of a select stands: after its dot.
func nameOf(rep *ast.AST, x ast.Expr) (line, column int) {
	at := rep.SourceInfo().GetStartLocation(x.ID())
	if x.AsSelect().IsTestOnly() {
		// has() has the place of the macro; its argument begins behind it.
		line, column = place(rep, x.AsSelect().Operand())
		return line, column
	}
	return at.Line(), at.Column() + 2
}

// instead suggests what was meant by an attribute that is none.
func (e *EventEnv) instead(up resolved, name string) string {
	names := up.record.names()
	if n := ocsf.NearestName(name, names); n != "" {
		return fmt.Sprintf("did you mean %q?", n)
	}
	var only []string
	for _, c := range e.classes {
		if _, ok := c.Attr(name); ok && up.record == e.root {
			only = append(only, c.Name)
		}
	}
	switch {
	case len(only) == 1:
		return "only " + only[0] + " has it: write a rule for each class"
	case len(only) > 1:
		return fmt.Sprintf("%d of the classes have it, as %s: name the class", len(only), only[0])
	}
	for i, a := range up.record.attrs {
		if a.Base == ocsf.BaseObject && !a.Array && up.record.below[i].attr(name) != nil {
			return fmt.Sprintf("did you mean %q?", a.Name+"."+name)
		}
	}
	return "it has " + brief(names)
}

var (
	undeclared = regexp.MustCompile(`^undeclared reference to '([^']*)'`)
	undefined  = regexp.MustCompile(`^undefined field '([^']*)'`)
	method     = regexp.MustCompile(`^(.+?)\.\((.*)\)$`)
	overload   = regexp.MustCompile(`^found no matching overload for '([^']*)' applied to '(.*)'$`)
)

// explain says what the checker found in the words of rules, besides what is
// known already.
func (e *EventEnv) explain(rep *ast.AST, known, found []Issue) []Issue {
	out := known
	for _, i := range found {
		switch {
		case undefined.MatchString(i.Message):
			if len(known) > 0 {
				continue // the same in other words
			}
			i.Code = "unknown-attribute"
		case undeclared.MatchString(i.Message):
			name := undeclared.FindStringSubmatch(i.Message)[1]
			i.Code, i.Message = "unknown-name", fmt.Sprintf("there is no %q", name)
			if first, _, _ := strings.Cut(name, "."); e.root.attr(first) != nil {
				i.Suggestion = fmt.Sprintf("did you mean event.%s?", name)
			} else if n := ocsf.Nearest(name, []string{"event", "meta"}); n != "" {
				i.Suggestion = fmt.Sprintf("did you mean %s?", n)
			} else {
				i.Suggestion = "rules see event and meta, and the functions of CEL"
			}
		case overload.MatchString(i.Message):
			m := overload.FindStringSubmatch(i.Message)
			i = e.mismatch(rep, i, m[1], m[2])
		default:
			i.Code = "expression"
		}
		out = append(out, i)
	}
	return out
}

var comparisons = []string{operators.Equals, operators.NotEquals, operators.Less, operators.LessEquals, operators.Greater, operators.GreaterEquals, operators.In}

// mismatch explains values of the wrong type.
func (e *EventEnv) mismatch(rep *ast.AST, i Issue, function, args string) Issue {
	i.Code = "wrong-type"
	at := call(rep, i, function)
	if at == nil || !slices.Contains(comparisons, function) || len(splitTypes(args)) != 2 {
		of, given := "", args
		if m := method.FindStringSubmatch(args); m != nil {
			of, given = " of "+plainType(m[1]), m[2]
		}
		types := splitTypes(given)
		for n := range types {
			types[n] = plainType(types[n])
		}
		i.Message = fmt.Sprintf("%s%s does not take (%s)", strings.Trim(function, "_@"), of, strings.Join(types, ", "))
		return i
	}
	i.Line, i.Column = place(rep, at)
	types := splitTypes(args)
	var sides [2]string
	for n, a := range at.AsCall().Args() {
		sides[n] = plainType(types[n])
		if r := e.resolve(a, nil); r.attr != nil {
			sides[n] = fmt.Sprintf("%s (%s)", r.path, sides[n])
			if r.attr.Base == ocsf.BaseTimestamp && strings.Contains(args, "imestamp") {
				i.Suggestion = fmt.Sprintf("%s is in milliseconds; %s_dt is the time", r.path, r.path)
			}
		}
	}
	verb := "is compared with"
	if function == operators.In {
		verb = "is looked for in"
	}
	i.Message = fmt.Sprintf("%s %s %s", sides[0], verb, sides[1])
	if i.Suggestion == "" {
		i.Suggestion = "text stands in quotes; numbers, true and false do not"
	}
	return i
}

// call finds the call of a function that an issue is about.
func call(rep *ast.AST, i Issue, function string) ast.Expr {
	var found ast.Expr
	ast.PreOrderVisit(rep.Expr(), ast.NewExprVisitor(func(x ast.Expr) {
		if at := rep.SourceInfo().GetStartLocation(x.ID()); isCall(x, function) && at.Line() == i.Line && at.Column()+1 == i.Column {
			found = x
		}
	}))
	return found
}

// splitTypes takes "(string, list(int))" apart.
func splitTypes(args string) []string {
	args = strings.TrimSuffix(strings.TrimPrefix(args, "("), ")")
	var out []string
	depth, from := 0, 0
	for i, c := range args {
		switch {
		case c == '(':
			depth++
		case c == ')':
			depth--
		case c == ',' && depth == 0:
			out = append(out, strings.TrimSpace(args[from:i]))
			from = i + 1
		}
	}
	return append(out, strings.TrimSpace(args[from:]))
}

// plainType is a type of CEL in plain words.
func plainType(t string) string {
	switch {
	case t == "string":
		return "text"
	case t == "int", t == "uint":
		return "a whole number"
	case t == "double":
		return "a number with a fraction"
	case t == "bool":
		return "true or false"
	case strings.HasSuffix(strings.ToLower(t), "timestamp"):
		return "a time"
	case strings.HasSuffix(strings.ToLower(t), "duration"):
		return "a duration"
	case strings.HasPrefix(t, "list("):
		inner := plainType(strings.TrimSuffix(strings.TrimPrefix(t, "list("), ")"))
		return "a list of " + strings.TrimPrefix(inner, "a ")
	case strings.HasPrefix(t, "map("):
		return "a map"
	case strings.HasPrefix(t, objectTypes):
		return "an object (" + strings.TrimPrefix(t, objectTypes) + ")"
	}
	return t
}
