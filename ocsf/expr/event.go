package expr

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/google/cel-go/cel"
	"github.com/google/cel-go/common/ast"
	"github.com/google/cel-go/common/types"
	"github.com/google/cel-go/common/types/ref"

	"nagare"
	"nagare/ocsf"
)

// An EventEnv compiles the expressions of rules: CEL over event, typed by the
// attributes that its classes have in common, and meta. An absent attribute
// reads as its typed zero; has() tells.
//
// It may be used by one goroutine at a time for compiling, and by many for
// evaluating what it compiled.
type EventEnv struct {
	env     *cel.Env
	root    *record
	meta    *record
	classes []*ocsf.Class
	views   sync.Map // *ocsf.Layout → *view
}

// NewEventEnv makes the environment for rules on these classes.
func NewEventEnv(schema *ocsf.Schema, classes []*ocsf.Class) (*EventEnv, error) {
	if len(classes) == 0 {
		return nil, errors.New("an environment needs a class")
	}
	root := newRecord(eventType, titleOf(classes), commonAttrs(classes))
	p, err := newProvider(root, schema)
	if err != nil {
		return nil, err
	}
	opts := []cel.EnvOption{
		cel.StdLib(),
		cel.CustomTypeProvider(p), cel.CustomTypeAdapter(p.Registry),
		cel.Variable("event", types.NewObjectType(eventType)),
		cel.Variable("meta", types.NewObjectType(metaType)),
		cel.ParserExpressionSizeLimit(10_000), cel.ParserRecursionLimit(100),
	}
	opts = append(opts, Library()...)
	// has() also takes a key that is no identifier: has(event.unmapped["a b"]).
	opts = append(opts, cel.Macros(hasMacro))
	env, err := cel.NewCustomEnv(opts...)
	if err != nil {
		return nil, fmt.Errorf("CEL environment of rules: %w", err)
	}
	return &EventEnv{env: env, root: root, meta: p.records[metaType], classes: classes}, nil
}

// A Want is the type that an expression must have.
type Want uint8

// The types that rules want.
const (
	// WantBool is a condition. It must not hold merely because something is
	// absent.
	WantBool Want = iota
	WantText
	// WantAny is for keys and templates: anything that can be shown.
	WantAny
)

func (w Want) String() string {
	return [...]string{"a condition (bool)", "text (string)", "something that can be shown: text, a number, a time"}[w]
}

func (w Want) fits(t *cel.Type) bool {
	switch w {
	case WantBool:
		return t.Kind() == types.BoolKind
	case WantText:
		return t.Kind() == types.StringKind
	}
	switch t.Kind() {
	case types.StringKind, types.IntKind, types.UintKind, types.DoubleKind, types.BoolKind, types.TimestampKind, types.DurationKind:
		return true
	}
	return false
}

// An EventExpr is a compiled expression over events.
type EventExpr struct {
	program cel.Program
	// Paths are the attributes it reads, dotted from the event; inside a list
	// the path of the list and the attribute are joined with a dot too.
	Paths []string
	// ReadsAuth says that it names meta.auth.
	ReadsAuth bool
	// Results are the texts it can come to, as far as they stand in it.
	Results []string

	path []int // of an expression that is nothing but an attribute
	meta bool  // path begins at meta
}

// Compile checks text. Issues are all that is wrong with it.
func (e *EventEnv) Compile(text string, want Want) (*EventExpr, []Issue) {
	parsed, iss := e.env.Parse(text)
	if iss.Err() != nil {
		return nil, syntax(issues(iss))
	}
	rw := &rewriter{env: e, ast: parsed.NativeRep()}
	rw.walk(parsed.NativeRep().Expr(), nil, nil)
	if rw.skipCheck {
		return nil, rw.issues // a check would say the same in other words
	}
	checked, iss := e.env.Check(parsed)
	if iss.Err() != nil {
		return nil, e.explain(parsed.NativeRep(), rw.issues, issues(iss))
	}
	found := rw.issues // and what else is wrong with the rest
	if out := checked.OutputType(); !want.fits(out) {
		return nil, append(found, Issue{Line: 1, Column: 1, Code: "wrong-type", Message: fmt.Sprintf("the expression is %s and must be %s", plainType(out.String()), want)})
	}
	rep := checked.NativeRep()
	if hidden := e.objectUses(rep); len(hidden) > 0 {
		return nil, append(found, hidden...)
	}
	options, issue := e.cost(checked)
	if issue != nil {
		return nil, append(found, *issue)
	}
	if want == WantBool {
		found = append(found, e.checkAbsence(checked)...)
	}
	if len(found) > 0 {
		return nil, found
	}
	program, err := e.env.Program(checked, options...)
	if err != nil {
		return nil, []Issue{{Line: 1, Column: 1, Code: "expression", Message: err.Error()}}
	}
	x := &EventExpr{program: program, Results: results(rep.Expr())}
	x.path, x.meta = e.pathOf(rep.Expr())
	x.Paths, x.ReadsAuth = e.reads(rep.Expr())
	return x, nil
}

func syntax(found []Issue) []Issue {
	for i := range found {
		found[i].Code = "syntax"
		found[i].Message = strings.TrimPrefix(found[i].Message, "Syntax error: ")
	}
	return found
}

// pathOf returns the places along event.a.b; nil for any other expression.
func (e *EventEnv) pathOf(x ast.Expr) (path []int, meta bool) {
	if x.Kind() != ast.SelectKind || x.AsSelect().IsTestOnly() {
		return nil, false
	}
	up := e.resolve(x.AsSelect().Operand(), nil)
	if up.record == nil {
		return nil, false
	}
	i, ok := up.record.index[x.AsSelect().FieldName()]
	if !ok {
		return nil, false
	}
	path, meta = e.pathOf(x.AsSelect().Operand())
	return append(path, i), meta || up.record == e.meta
}

// results are the texts that stand where the value of x comes from.
func results(x ast.Expr) []string {
	switch {
	case x.Kind() == ast.LiteralKind:
		if s, ok := x.AsLiteral().(types.String); ok {
			return []string{string(s)}
		}
	case isCall(x, "_?_:_"):
		args := x.AsCall().Args()
		return append(results(args[1]), results(args[2])...)
	}
	return nil
}

func isCall(x ast.Expr, name string) bool {
	return x.Kind() == ast.CallKind && x.AsCall().FunctionName() == name
}

// reads lists the attributes that an expression reads.
func (e *EventEnv) reads(x ast.Expr) (paths []string, auth bool) {
	var visit func(x ast.Expr, s *scope)
	visit = func(x ast.Expr, s *scope) {
		if x.Kind() == ast.SelectKind {
			if r := e.resolve(x, s); r.attr != nil {
				if r.meta {
					auth = auth || r.path == "auth"
				} else if r.path != "" && !slices.Contains(paths, r.path) {
					paths = append(paths, r.path)
				}
				return
			}
		}
		e.eachChild(x, s, visit)
	}
	visit(x, nil)
	slices.Sort(paths)
	return paths, auth
}

// Vars hold the event at hand. They are for one goroutine.
type Vars struct {
	event object
	meta  metaValue
}

// Bind makes v refer to an event. Its layout must be frozen.
func (v *Vars) Bind(env *EventEnv, e *ocsf.Event, ev *nagare.Event) {
	v.event = object{record: env.root, view: env.view(e.Layout), slots: e.Slots, event: e}
	v.meta = metaValue{ev}
}

func (e *EventEnv) view(l *ocsf.Layout) *view {
	if v, ok := e.views.Load(l); ok {
		return v.(*view)
	}
	v, _ := e.views.LoadOrStore(l, newView(e.root, l, ""))
	return v.(*view)
}

// ResolveName implements cel.Activation.
func (v *Vars) ResolveName(name string) (any, bool) {
	switch name {
	case "event":
		return &v.event, true
	case "meta":
		return &v.meta, true
	}
	return nil, false
}

// Parent implements cel.Activation.
func (v *Vars) Parent() cel.Activation { return nil }

// Bool evaluates a condition. One that comes to read what is not there, as a
// key of unmapped, does not hold.
func (x *EventExpr) Bool(v *Vars) (bool, error) {
	out, err := x.eval(v)
	return err == nil && out == types.True, err
}

// Text evaluates an expression and returns its text; "" for what is absent.
func (x *EventExpr) Text(v *Vars) (string, error) {
	var out ref.Val
	var err error
	if x.path != nil {
		out = x.walk(v)
	} else {
		out, err = x.eval(v)
	}
	if out == nil {
		return "", err
	}
	switch t := out.(type) {
	case types.String:
		return string(t), nil
	case types.Timestamp:
		if t.IsZero() {
			return "", nil
		}
		return t.Time.UTC().Format("2006-01-02T15:04:05Z07:00"), nil
	}
	return fmt.Sprint(out.Value()), nil
}

// walk reads the attribute that is all of the expression; nil if it is absent.
func (x *EventExpr) walk(v *Vars) ref.Val {
	var at fielder = &v.event
	if x.meta {
		at = &v.meta
	}
	for n, i := range x.path {
		if !at.hasField(i) {
			return nil
		}
		val := at.field(i)
		if n == len(x.path)-1 {
			return val
		}
		at = val.(fielder)
	}
	return nil
}

// eval returns nil without an error for what is not there.
func (x *EventExpr) eval(v *Vars) (ref.Val, error) {
	out, _, err := x.program.Eval(v)
	switch {
	case err != nil && isAbsent(err):
		return nil, nil
	case err != nil:
		return nil, err
	case types.IsUnknownOrError(out):
		return nil, fmt.Errorf("no value: %v", out)
	}
	return out, nil
}

// isAbsent says whether an evaluation ended because a key or an element is not
// there. cel-go has no error of its own to ask for.
func isAbsent(err error) bool {
	if errors.Is(err, errAbsent) {
		return true
	}
	text := err.Error()
	return strings.HasPrefix(text, "no such key") || strings.HasPrefix(text, "index out of bounds")
}
