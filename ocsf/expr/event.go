package expr

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/google/cel-go/cel"
	"github.com/google/cel-go/checker"
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
	env      *cel.Env
	provider *provider
	root     *record
	classes  []*ocsf.Class
	views    sync.Map // *ocsf.Layout → *view
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
	env, err := cel.NewCustomEnv(append(opts, Library()...)...)
	if err != nil {
		return nil, fmt.Errorf("CEL environment of rules: %w", err)
	}
	return &EventEnv{env: env, provider: p, root: root, classes: classes}, nil
}

// A Want is the type that an expression must have.
type Want uint8

// The types that rules want.
const (
	WantBool Want = iota
	WantText
	// WantAny is for templates: anything that can be shown.
	WantAny
)

// An EventExpr is a compiled expression over events.
type EventExpr struct {
	env     *EventEnv
	program cel.Program
	// Paths are the attributes it reads, dotted from the event; inside a list
	// the path of the list and the attribute are joined with a dot too.
	Paths []string
	// ReadsAuth says that it names meta.auth.
	ReadsAuth bool
}

// maxCost bounds what one evaluation may cost in cel-go's units, as estimated
// before it is ever run.
const maxCost = 50_000_000

// Compile checks text. With WantBool it also refuses what would hold merely
// because an attribute is absent.
func (e *EventEnv) Compile(text string, want Want) (*EventExpr, []Issue) {
	parsed, iss := e.env.Parse(text)
	if iss.Err() != nil {
		return nil, issues(iss)
	}
	rw := &rewriter{env: e, ast: parsed.NativeRep()}
	rw.walk(parsed.NativeRep().Expr(), nil, nil)
	e.provider.missed = e.provider.missed[:0]
	if len(rw.issues) > 0 {
		return nil, rw.issues
	}
	checked, iss := e.env.Check(parsed)
	if iss.Err() != nil {
		return nil, e.explain(issues(iss))
	}
	if out := checked.OutputType(); !fits(out, want) {
		return nil, []Issue{{Line: 1, Column: 1, Message: fmt.Sprintf("the expression is of type %s and must be %s", out, want)}}
	}
	if cost, err := e.env.EstimateCost(checked, sizes{}); err != nil || cost.Max > maxCost {
		return nil, []Issue{{Line: 1, Column: 1, Message: fmt.Sprintf("the expression may cost %d units an event, more than %d", cost.Max, maxCost),
			Suggestion: "nest fewer loops over lists"}}
	}
	if want == WantBool {
		if found := e.checkAbsence(checked); len(found) > 0 {
			return nil, found
		}
	}
	program, err := e.env.Program(checked, cel.EvalOptions(cel.OptOptimize))
	if err != nil {
		return nil, []Issue{{Line: 1, Column: 1, Message: err.Error()}}
	}
	x := &EventExpr{env: e, program: program}
	x.Paths, x.ReadsAuth = e.reads(checked.NativeRep().Expr())
	return x, nil
}

func (w Want) String() string {
	return [...]string{"bool", "string", "something that can be shown"}[w]
}

func fits(t *cel.Type, want Want) bool {
	switch want {
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

// explain adds the nearest right name to what the checker says of a field.
func (e *EventEnv) explain(found []Issue) []Issue {
	for i := range found {
		for _, m := range e.provider.missed {
			if !strings.Contains(found[i].Message, "undefined field '"+m.field+"'") {
				continue
			}
			r := e.provider.records[m.record]
			found[i].Message = fmt.Sprintf("%s has no attribute %q", r.title, m.field)
			if n := ocsf.Nearest(m.field, r.names()); n != "" {
				found[i].Suggestion = fmt.Sprintf("did you mean %q?", n)
			} else if sub := e.whereIs(r, m.field); sub != "" {
				found[i].Suggestion = fmt.Sprintf("did you mean %q?", sub)
			}
			break
		}
	}
	return found
}

// whereIs looks for a name one object below r: event.email_addr is at
// event.user.email_addr.
func (e *EventEnv) whereIs(r *record, name string) string {
	for _, a := range r.attrs {
		if a.Base == ocsf.BaseObject && !a.Array {
			if _, ok := a.Object.Attr(name); ok {
				return a.Name + "." + name
			}
		}
	}
	return ""
}

// sizes bounds what the cost estimate does not know: texts and lists of
// events.
type sizes struct{}

// EstimateSize implements checker.CostEstimator.
func (sizes) EstimateSize(n checker.AstNode) *checker.SizeEstimate {
	if n.Type().Kind() == types.StringKind {
		return &checker.SizeEstimate{Max: 4096}
	}
	return &checker.SizeEstimate{Max: 64}
}

// EstimateCallCost implements checker.CostEstimator.
func (sizes) EstimateCallCost(string, string, *checker.AstNode, []checker.AstNode) *checker.CallEstimate {
	return nil
}

// reads lists the attributes that an expression reads.
func (e *EventEnv) reads(x ast.Expr) (paths []string, auth bool) {
	seen := map[string]bool{}
	var visit func(x ast.Expr, s *scope)
	visit = func(x ast.Expr, s *scope) {
		switch x.Kind() {
		case ast.SelectKind:
			if r := e.resolve(x, s); r.attr != nil {
				if r.path != "" && !seen[r.path] {
					seen[r.path] = true
					paths = append(paths, r.path)
				}
				return
			}
			op := x.AsSelect().Operand()
			if op.Kind() == ast.IdentKind && op.AsIdent() == "meta" && x.AsSelect().FieldName() == "auth" {
				auth = true
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
	env   *EventEnv
}

// Bind makes v refer to an event. Its layout must be frozen.
func (v *Vars) Bind(env *EventEnv, e *ocsf.Event, ev *nagare.Event) {
	v.env = env
	v.event = object{record: env.root, view: env.view(e.Layout), slots: e.Slots, event: e}
	v.meta = metaValue{ev}
}

func (e *EventEnv) view(l *ocsf.Layout) *view {
	if v, ok := e.views.Load(l); ok {
		return v.(*view)
	}
	v, _ := e.views.LoadOrStore(l, newView(e.provider, e.root, l, ""))
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

// Bool evaluates a condition.
func (x *EventExpr) Bool(v *Vars) (bool, error) {
	out, err := x.eval(v)
	if err != nil {
		return false, err
	}
	return out == types.True, nil
}

// Text evaluates an expression and returns its text; "" for what is absent.
func (x *EventExpr) Text(v *Vars) (string, error) {
	out, err := x.eval(v)
	if err != nil {
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

func (x *EventExpr) eval(v *Vars) (ref.Val, error) {
	out, _, err := x.program.Eval(v)
	if err != nil {
		return nil, err
	}
	if types.IsUnknownOrError(out) {
		return nil, fmt.Errorf("no value: %v", out)
	}
	return out, nil
}
