package expr

import (
	"github.com/google/cel-go/common/ast"
)

// compare lowers path == constant, either way round.
func (l *lowering) compare(not bool, a, b ast.Expr) *RawExpr {
	v, ok := literal(b)
	if !ok {
		if v, ok = literal(a); !ok {
			return nil
		}
		a = b
	}
	x := l.shape(a)
	if x == nil || x.Op >= OpAnd || v.Kind == RawFloat {
		return nil
	}
	eq := &RawExpr{Op: OpEqual, Value: v, Args: []*RawExpr{x}, Type: RawBool}
	if not {
		return &RawExpr{Op: OpNot, Args: []*RawExpr{eq}, Type: RawBool}
	}
	return eq
}

// same lowers path == path.
func (l *lowering) same(e ast.Expr, not bool, a, b ast.Expr) *RawExpr {
	x, y := l.shape(a), l.shape(b)
	if !isText(x) || !isText(y) {
		return nil
	}
	return &RawExpr{Op: OpSame, Args: []*RawExpr{x, y}, Values: []RawValue{boolValue(not)}, Type: RawBool, Program: l.program(e).Program}
}

// isText says whether a shape may give a text, and is cheap to look at.
func isText(x *RawExpr) bool {
	return x != nil && (x.Op == OpPath || x.Op == OpCoalesce || x.Op == OpConst && x.Value.Kind == RawText)
}

func boolValue(b bool) RawValue {
	if b {
		return RawValue{Kind: RawBool, Num: 1}
	}
	return RawValue{Kind: RawBool}
}

// order lowers path >= number, and double(path) >= number.
func (l *lowering) order(e ast.Expr, op string, a, b ast.Expr) *RawExpr {
	v, ok := literal(b)
	if !ok || v.Kind != RawInt && v.Kind != RawFloat {
		return nil
	}
	cast := false
	if a.Kind() == ast.CallKind && (a.AsCall().FunctionName() == "double" || a.AsCall().FunctionName() == "int") && len(a.AsCall().Args()) == 1 {
		if a.AsCall().FunctionName() == "int" {
			return nil // it cuts the fraction off, and refuses large ones
		}
		cast, a = true, a.AsCall().Args()[0]
	}
	x := l.shape(a)
	if x == nil || x.Op != OpPath {
		return nil
	}
	return &RawExpr{Op: OpOrder, Name: op, Value: v, Values: []RawValue{boolValue(cast)}, Args: []*RawExpr{x}, Type: RawBool, Program: l.program(e).Program}
}

// in lowers path in [constants].
func (l *lowering) in(a, b ast.Expr) *RawExpr {
	if name, ok := literal(a); ok && name.Kind == RawText && name.Text != "" {
		// "a b" in raw.c is has(raw.c["a b"]).
		if x := l.shape(b); x != nil && x.Op == OpPath && len(x.Steps) == 0 && x.Var == "raw" {
			return &RawExpr{Op: OpHas, Args: []*RawExpr{x.step(Step{Name: name.Text})}, Type: RawBool}
		}
	}
	if b.Kind() != ast.ListKind {
		return nil
	}
	x := l.shape(a)
	if x == nil || x.Op >= OpAnd {
		return nil
	}
	in := &RawExpr{Op: OpIn, Args: []*RawExpr{x}, Type: RawBool}
	for _, el := range b.AsList().Elements() {
		v, ok := literal(el)
		if !ok || v.Kind == RawFloat {
			return nil
		}
		in.Values = append(in.Values, v)
	}
	return in
}

func (l *lowering) affix(c ast.CallExpr) *RawExpr {
	if !c.IsMemberFunction() || len(c.Args()) != 1 {
		return nil
	}
	v, ok := literal(c.Args()[0])
	if !ok || v.Kind != RawText {
		return nil
	}
	x := l.shape(c.Target())
	if x == nil || x.Op >= OpAnd {
		return nil
	}
	op := map[string]Op{"startsWith": OpPrefix, "endsWith": OpSuffix, "contains": OpInside}[c.FunctionName()]
	return &RawExpr{Op: op, Value: v, Args: []*RawExpr{x}, Type: RawBool}
}
