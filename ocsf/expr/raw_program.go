package expr

import (
	"fmt"

	"github.com/google/cel-go/cel"
	"github.com/google/cel-go/common/types"
)

// A RawProgram is an expression left to cel-go.
type RawProgram struct {
	text string
	prg  cel.Program
}

// Program leaves a whole expression to cel-go: what its shapes must agree
// with.
func (r *Raw) Program(text string) (*RawProgram, error) {
	parsed, iss := r.env.Parse(text)
	if iss.Err() != nil {
		return nil, iss.Err()
	}
	softenHas(parsed.NativeRep())
	checked, iss := r.env.Check(parsed)
	if iss.Err() != nil {
		return nil, iss.Err()
	}
	prg, err := r.env.Program(checked, cel.EvalOptions(cel.OptOptimize), cel.CostLimit(ProgramWork), cel.CostTracking(rawCosts{}))
	if err != nil {
		return nil, fmt.Errorf("plan %s: %w", text, err)
	}
	return &RawProgram{text, prg}, nil
}

// String is the program's text.
func (p *RawProgram) String() string { return p.text }

// Eval runs the program. What fails is absent. What it cost is taken from
// v.Left; below zero, its answer is of no use.
func (p *RawProgram) Eval(v *RawVars) RawValue {
	out, det, err := p.prg.Eval(v)
	v.spent(det, err)
	if err != nil {
		return RawValue{}
	}
	return v.valueOf(out)
}

// EvalBool runs the program as a condition; failed says that it has no answer.
// What it cost is taken as by Eval.
func (p *RawProgram) EvalBool(v *RawVars) (holds, failed bool) {
	out, det, err := p.prg.Eval(v)
	v.spent(det, err)
	if err != nil {
		return false, true
	}
	b, ok := out.(types.Bool)
	return bool(b), !ok
}
