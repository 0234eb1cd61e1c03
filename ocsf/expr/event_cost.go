package expr

import (
	"fmt"

	"github.com/google/cel-go/cel"
	"github.com/google/cel-go/checker"
	"github.com/google/cel-go/common/ast"
	"github.com/google/cel-go/common/types"
)

// maxCost bounds what one evaluation may cost, in cel-go's units: about as
// many comparisons.
const maxCost = 1_000_000

// cost estimates what an expression can cost on an event of ordinary size, and
// refuses what is too much. An expression that loops in a loop is also watched
// while it runs, because lists in events may be longer: watching doubles the
// cost of an evaluation, so the others are not.
func (e *EventEnv) cost(checked *cel.Ast) ([]cel.ProgramOption, *Issue) {
	options := []cel.ProgramOption{cel.EvalOptions(cel.OptOptimize)}
	estimate, err := e.env.EstimateCost(checked, sizes{})
	if err != nil || estimate.Max > maxCost {
		return nil, &Issue{Line: 1, Column: 1, Code: "too-costly", Message: fmt.Sprintf("the expression may cost %d units an event, more than %d", estimate.Max, maxCost),
			Suggestion: "nest fewer loops over lists"}
	}
	if depth(checked.NativeRep().Expr()) > 1 {
		options = append(options, cel.CostLimit(maxCost))
	}
	return options, nil
}

// sizes are those of ordinary events, which the estimate does not know.
type sizes struct{}

// EstimateSize implements checker.CostEstimator.
func (sizes) EstimateSize(n checker.AstNode) *checker.SizeEstimate {
	if n.Type().Kind() == types.StringKind {
		return &checker.SizeEstimate{Max: 1024}
	}
	return &checker.SizeEstimate{Max: 64}
}

// EstimateCallCost implements checker.CostEstimator.
func (sizes) EstimateCallCost(string, string, *checker.AstNode, []checker.AstNode) *checker.CallEstimate {
	return nil
}

// depth is how many loops are in one another.
func depth(x ast.Expr) int {
	inside, own := 0, 0
	switch x.Kind() {
	case ast.SelectKind:
		inside = depth(x.AsSelect().Operand())
	case ast.CallKind:
		if x.AsCall().IsMemberFunction() {
			inside = depth(x.AsCall().Target())
		}
		for _, a := range x.AsCall().Args() {
			inside = max(inside, depth(a))
		}
	case ast.ListKind:
		for _, a := range x.AsList().Elements() {
			inside = max(inside, depth(a))
		}
	case ast.MapKind:
		for _, a := range x.AsMap().Entries() {
			inside = max(inside, depth(a.AsMapEntry().Key()), depth(a.AsMapEntry().Value()))
		}
	case ast.ComprehensionKind:
		c := x.AsComprehension()
		if !isBind(c) {
			own = 1
		}
		return max(depth(c.IterRange()), depth(c.AccuInit()), own+depth(c.LoopStep()), depth(c.Result()))
	}
	return inside
}
