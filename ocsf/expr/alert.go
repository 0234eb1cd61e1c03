package expr

import (
	"fmt"
	"slices"

	"github.com/google/cel-go/cel"
	"github.com/google/cel-go/common/ast"
	"github.com/google/cel-go/common/types"

	"nagare/ocsf"
)

// AlertFields are what a route may ask of an alert.
var AlertFields = []string{"id", "rule", "title", "text", "key", "severity", "severity_id", "state", "verdict", "origin", "first", "last", "count", "events"}

// An AlertCond is a route's condition: CEL over alert.
type AlertCond struct{ program cel.Program }

// CompileAlert checks a route's condition.
func CompileAlert(text string) (*AlertCond, []Issue) {
	opts := []cel.EnvOption{
		cel.StdLib(), cel.Variable("alert", cel.MapType(cel.StringType, cel.DynType)),
		cel.ParserExpressionSizeLimit(10_000), cel.ParserRecursionLimit(100),
	}
	env, err := cel.NewCustomEnv(append(opts, Library()...)...)
	if err != nil {
		return nil, []Issue{{Line: 1, Column: 1, Message: err.Error()}}
	}
	checked, iss := env.Compile(text)
	if iss.Err() != nil {
		return nil, issues(iss)
	}
	var found []Issue
	rep := checked.NativeRep()
	ast.PreOrderVisit(rep.Expr(), ast.NewExprVisitor(func(x ast.Expr) {
		operand, field, ok := member(x)
		if ok && operand.Kind() == ast.IdentKind && operand.AsIdent() == "alert" && !slices.Contains(AlertFields, field) {
			at := rep.SourceInfo().GetStartLocation(x.ID())
			i := Issue{Line: at.Line(), Column: at.Column() + 1, Message: fmt.Sprintf("an alert has no %q", field)}
			if n := ocsf.Nearest(field, AlertFields); n != "" {
				i.Suggestion = fmt.Sprintf("did you mean %q?", n)
			}
			found = append(found, i)
		}
	}))
	if len(found) > 0 {
		return nil, found
	}
	if !WantBool.fits(checked.OutputType()) && checked.OutputType().Kind() != types.DynKind {
		return nil, []Issue{{Line: 1, Column: 1, Message: fmt.Sprintf("the expression is of type %s and must be bool", checked.OutputType())}}
	}
	program, err := env.Program(checked, cel.EvalOptions(cel.OptOptimize))
	if err != nil {
		return nil, []Issue{{Line: 1, Column: 1, Message: err.Error()}}
	}
	return &AlertCond{program}, nil
}

// Holds evaluates the condition on an alert's fields. An error is no.
func (c *AlertCond) Holds(alert map[string]any) bool {
	out, _, err := c.program.Eval(map[string]any{"alert": alert})
	return err == nil && out == types.True
}
