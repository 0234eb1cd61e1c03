package expr

import (
	"regexp"
	"time"

	"github.com/google/cel-go/cel"
	"github.com/google/cel-go/common/ast"
	"github.com/google/cel-go/common/operators"
	"github.com/google/cel-go/common/types"
)

// An Op says what a RawExpr does.
type Op uint8

// The shapes that need no CEL. Values first, then conditions.
const (
	OpConst    Op = iota // Value
	OpPath               // Var, or Args[0] without one; Steps
	OpMeta               // Name: a field of meta
	OpLookup             // Table, Name (the field of the row, "" = the scalar), Args[0] the key
	OpCoalesce           // the first of Args that is there
	OpIf                 // Args[0] ? Args[1] : Args[2]
	OpCall               // Name: seconds millis micros json inZone timeAs lowerAscii upperAscii trim extract member; Args, Value (a layout, a pattern), Zone
	OpList               // Args
	OpMap                // Names[i]: Args[i]
	OpPart               // Args[0] split at Value, of that number Index
	OpText               // Args[0] as text; Program where that is more than its own
	OpConcat             // the texts Args one after another; Program for what are no texts
	OpEach               // of each element of the list Args[0] the value at Steps

	OpAnd    // Args
	OpOr     // Args
	OpNot    // Args[0]
	OpHas    // Args[0] is there
	OpEqual  // Args[0] == Value
	OpIn     // Args[0] is one of Values
	OpPrefix // Args[0] starts with Value
	OpSuffix // Args[0] ends with Value
	OpInside // Args[0] contains Value
	OpExists // the list Args[0] has an element for which Steps[0].Where holds
	OpMatch  // Args[0] matches the pattern Value
	OpSame   // Args[0] == Args[1]; Program where they are no texts
	OpOrder  // the number Args[0] is in the relation Name to Value; Program where it is no number

	OpProgram // Program
)

// A RawExpr is one expression, or a part of one.
type RawExpr struct {
	Op      Op
	Type    RawKind // what it gives, when that is known before an event
	Value   RawValue
	Values  []RawValue
	Var     string // raw, or the variable of an each
	Steps   []Step
	Name    string
	Names   []string
	Index   int
	Table   *Table
	Args    []*RawExpr
	Program *RawProgram
	Zone    *time.Location // of inZone and timeAs; nil is the file's
	// Line and Column are where it stands in the text.
	Line, Column int
}

// A Step goes from a value to a member, or to an element when Name is "": to
// that number Index of those that Where holds for, of all without one.
type Step struct {
	Name  string
	Index int
	Where *Where
}

// A Where holds for an element when the value at Steps, in lower case if Lower
// says so, is one of Values.
type Where struct {
	Lower  bool
	Steps  []Step
	Values []RawValue
}

// lowering brings one checked expression into shapes.
type lowering struct {
	raw    *Raw
	rep    *ast.AST
	issues []Issue
}

func (l *lowering) expr(e ast.Expr) *RawExpr {
	x := l.shape(e)
	if x == nil {
		x = l.program(e)
	}
	at := l.rep.SourceInfo().GetStartLocation(e.ID())
	x.Line, x.Column = at.Line(), at.Column()+1
	if x.Type == RawAbsent {
		x.Type = RawAny
		if t := l.rep.GetType(e.ID()); t != nil {
			x.Type = kindOf(t)
		}
	}
	return x
}

// program leaves an expression to cel-go.
func (l *lowering) program(e ast.Expr) *RawExpr {
	text, err := cel.ExprToString(e, l.rep.SourceInfo())
	var p *RawProgram
	if err == nil {
		p, err = l.raw.Program(text)
	}
	if err != nil {
		at := l.rep.SourceInfo().GetStartLocation(e.ID())
		l.issues = append(l.issues, Issue{Line: at.Line(), Column: at.Column() + 1, Message: err.Error()})
	}
	return &RawExpr{Op: OpProgram, Program: p}
}

// shape returns the shape of an expression; nil if it has none.
func (l *lowering) shape(e ast.Expr) *RawExpr {
	switch e.Kind() {
	case ast.LiteralKind:
		if v, ok := literal(e); ok {
			return &RawExpr{Op: OpConst, Value: v, Type: v.Kind}
		}
	case ast.IdentKind:
		if n := e.AsIdent(); n != "meta" && n != "tables" {
			return &RawExpr{Op: OpPath, Var: n}
		}
	case ast.ListKind:
		list := e.AsList()
		if len(list.OptionalIndices()) == 0 {
			x := &RawExpr{Op: OpList, Type: RawList}
			for _, el := range list.Elements() {
				x.Args = append(x.Args, l.expr(el))
			}
			return x
		}
	case ast.MapKind:
		x := &RawExpr{Op: OpMap}
		for _, entry := range e.AsMap().Entries() {
			m := entry.AsMapEntry()
			key, ok := literal(m.Key())
			if !ok || key.Kind != RawText || m.IsOptional() {
				return nil
			}
			x.Names = append(x.Names, key.Text)
			x.Args = append(x.Args, l.expr(m.Value()))
		}
		return x
	case ast.ComprehensionKind:
		if list, w := l.where(e, "exists"); w != nil {
			return &RawExpr{Op: OpExists, Args: []*RawExpr{list}, Steps: []Step{{Where: w}}, Type: RawBool}
		}
		return l.each(e)
	case ast.SelectKind:
		if !e.AsSelect().IsTestOnly() {
			return l.member(e)
		}
	case ast.CallKind:
		return l.call(e)
	}
	return nil
}

func (l *lowering) member(e ast.Expr) *RawExpr {
	operand, field, ok := member(e)
	if !ok {
		return nil
	}
	if operand.Kind() == ast.IdentKind && operand.AsIdent() == "meta" {
		return &RawExpr{Op: OpMeta, Name: field}
	}
	if field == "" {
		return nil
	}
	in := l.path(operand)
	switch {
	case in == nil:
	case in.Op == OpPath:
		return in.step(Step{Name: field})
	case in.Op == OpLookup && in.Name == "":
		return &RawExpr{Op: OpLookup, Table: in.Table, Name: field, Args: in.Args}
	}
	return nil
}

// path is the shape of what a step goes on from: json(…) is a path without one.
func (l *lowering) path(e ast.Expr) *RawExpr {
	x := l.shape(e)
	if x != nil && x.Op == OpCall && x.Name == "json" {
		return &RawExpr{Op: OpPath, Args: []*RawExpr{x}}
	}
	return x
}

// step is the path one step further.
func (x *RawExpr) step(s Step) *RawExpr {
	return &RawExpr{Op: OpPath, Var: x.Var, Args: x.Args, Steps: append(x.Steps[:len(x.Steps):len(x.Steps)], s)}
}

// where takes path.filter(x, x.a == constant) apart, and the like.
func (l *lowering) where(e ast.Expr, macro string) (*RawExpr, *Where) {
	m, ok := l.rep.SourceInfo().GetMacroCall(e.ID())
	if !ok || e.Kind() != ast.ComprehensionKind || m.Kind() != ast.CallKind {
		return nil, nil
	}
	c := m.AsCall()
	if c.FunctionName() != macro || len(c.Args()) != 2 || c.Args()[1].Kind() != ast.CallKind {
		return nil, nil
	}
	v, cond := c.Args()[0].AsIdent(), c.Args()[1]
	var is *RawExpr
	switch call := cond.AsCall(); call.FunctionName() {
	case operators.Equals:
		is = l.compare(false, call.Args()[0], call.Args()[1])
	case operators.In:
		is = l.in(call.Args()[0], call.Args()[1])
	}
	if is == nil {
		return nil, nil
	}
	of, lower := is.Args[0], false
	if of.Op == OpCall && of.Name == "lowerAscii" {
		of, lower = of.Args[0], true
	}
	if of.Op != OpPath || of.Var != v || len(of.Steps) == 0 {
		return nil, nil
	}
	list := l.path(e.AsComprehension().IterRange())
	if list == nil || list.Op != OpPath {
		return nil, nil
	}
	w := &Where{Steps: of.Steps, Values: is.Values, Lower: lower}
	if is.Op == OpEqual {
		w.Values = []RawValue{is.Value}
	}
	return list, w
}

// part lowers x.split("…")[n].
func (l *lowering) part(e ast.Expr, n int) *RawExpr {
	if e.Kind() != ast.CallKind {
		return nil
	}
	c := e.AsCall()
	if c.FunctionName() != "split" || !c.IsMemberFunction() || len(c.Args()) != 1 {
		return nil
	}
	sep, ok := literal(c.Args()[0])
	if !ok || sep.Kind != RawText || sep.Text == "" {
		return nil
	}
	return &RawExpr{Op: OpPart, Value: sep, Index: n, Args: []*RawExpr{l.expr(c.Target())}}
}

// table is the table that an expression as tables.name names.
func (l *lowering) table(e ast.Expr) *Table {
	operand, name, ok := member(e)
	if !ok || operand.Kind() != ast.IdentKind || operand.AsIdent() != "tables" {
		return nil
	}
	return l.raw.tables[name]
}

func (l *lowering) call(e ast.Expr) *RawExpr {
	c := e.AsCall()
	args := c.Args()
	switch c.FunctionName() {
	case operators.OptSelect:
		return l.member(e)
	case operators.Index, operators.OptIndex:
		if t := l.table(args[0]); t != nil {
			return &RawExpr{Op: OpLookup, Table: t, Args: []*RawExpr{l.expr(args[1])}}
		}
		if n, ok := literalInt(args[1]); ok {
			if n < 0 {
				return nil
			}
			if list, w := l.where(args[0], "filter"); w != nil {
				return list.step(Step{Index: n, Where: w})
			}
			if x := l.part(args[0], n); x != nil {
				return x
			}
			if in := l.path(args[0]); in != nil && in.Op == OpPath {
				return in.step(Step{Index: n})
			}
			return nil
		}
		if x := l.member(e); x != nil {
			return x
		}
		if of, key := l.path(args[0]), l.shape(args[1]); of != nil && of.Op == OpPath && key != nil && key.Op == OpPath {
			return &RawExpr{Op: OpCall, Name: "member", Args: []*RawExpr{of, key}, Program: l.program(e).Program}
		}
		return nil
	case "orValue", "or":
		if c.IsMemberFunction() && len(args) == 1 {
			return &RawExpr{Op: OpCoalesce, Args: []*RawExpr{l.expr(c.Target()), l.expr(args[0])}}
		}
	case "value":
		if c.IsMemberFunction() && len(args) == 0 {
			return l.shape(c.Target())
		}
	case "hasValue":
		if c.IsMemberFunction() && len(args) == 0 {
			return &RawExpr{Op: OpHas, Args: []*RawExpr{l.expr(c.Target())}, Type: RawBool}
		}
	case operators.Conditional:
		return &RawExpr{Op: OpIf, Args: []*RawExpr{l.expr(args[0]), l.expr(args[1]), l.expr(args[2])}}
	case "seconds", "millis", "micros", "json":
		if len(args) == 1 {
			return &RawExpr{Op: OpCall, Name: c.FunctionName(), Args: []*RawExpr{l.expr(args[0])}}
		}
	case "string":
		if len(args) == 1 {
			if of := l.shape(args[0]); of != nil && (of.Op == OpPath || of.Op == OpCoalesce || of.Op == OpLookup) {
				return &RawExpr{Op: OpText, Type: RawText, Args: []*RawExpr{of}, Program: l.program(e).Program}
			}
		}
	case operators.Add:
		return l.concat(e)
	case "lowerAscii", "upperAscii", "trim":
		if c.IsMemberFunction() && len(args) == 0 {
			if of := l.shape(c.Target()); of != nil && of.Op <= OpConcat && of.Op != OpList && of.Op != OpMap {
				return &RawExpr{Op: OpCall, Name: c.FunctionName(), Type: RawText, Args: []*RawExpr{of}}
			}
		}
	case "regex.extract":
		if len(args) == 2 {
			return l.pattern(args[0], args[1], &RawExpr{Op: OpCall, Name: "extract"})
		}
	case "matches":
		switch {
		case c.IsMemberFunction() && len(args) == 1:
			return l.pattern(c.Target(), args[0], &RawExpr{Op: OpMatch, Type: RawBool})
		case len(args) == 2:
			return l.pattern(args[0], args[1], &RawExpr{Op: OpMatch, Type: RawBool})
		}
	case "inZone", "timeAs":
		if t, err := timeCallOf(c); err == nil && t != nil {
			return &RawExpr{Op: OpCall, Name: c.FunctionName(), Type: RawTime, Zone: t.zone, Value: RawValue{Kind: RawText, Text: t.layout}, Args: []*RawExpr{l.expr(args[0])}}
		}
	case operators.LogicalAnd:
		return &RawExpr{Op: OpAnd, Args: []*RawExpr{l.expr(args[0]), l.expr(args[1])}, Type: RawBool}
	case operators.LogicalOr:
		return &RawExpr{Op: OpOr, Args: []*RawExpr{l.expr(args[0]), l.expr(args[1])}, Type: RawBool}
	case operators.LogicalNot:
		return &RawExpr{Op: OpNot, Args: []*RawExpr{l.expr(args[0])}, Type: RawBool}
	case operators.Equals, operators.NotEquals:
		not := c.FunctionName() == operators.NotEquals
		if x := l.compare(not, args[0], args[1]); x != nil {
			return x
		}
		return l.same(e, not, args[0], args[1])
	case operators.GreaterEquals, operators.Greater, operators.LessEquals, operators.Less:
		op := map[string]string{operators.GreaterEquals: ">=", operators.Greater: ">", operators.LessEquals: "<=", operators.Less: "<"}
		return l.order(e, op[c.FunctionName()], args[0], args[1])
	case operators.In:
		return l.in(args[0], args[1])
	case "startsWith", "endsWith", "contains":
		return l.affix(c)
	}
	return nil
}

// concat lowers the joining of texts. Numbers and lists have a + too: what they
// make is left to the program.
func (l *lowering) concat(e ast.Expr) *RawExpr {
	x := &RawExpr{Op: OpConcat}
	for _, operand := range operands(e, nil) {
		part := l.shape(operand)
		if part == nil || part.Op > OpConcat || part.Op == OpList || part.Op == OpMap || part.Op == OpConst && part.Value.Kind != RawText {
			return nil
		}
		x.Args = append(x.Args, part)
	}
	x.Program = l.program(e).Program
	return x
}

// operands are those of a chain of +.
func operands(e ast.Expr, to []ast.Expr) []ast.Expr {
	if e.Kind() == ast.CallKind && e.AsCall().FunctionName() == operators.Add && len(e.AsCall().Args()) == 2 {
		return operands(e.AsCall().Args()[1], operands(e.AsCall().Args()[0], to))
	}
	return append(to, e)
}

// pattern lowers a match of a path with a constant pattern of at most one
// group; x is the shape it gets.
func (l *lowering) pattern(of, pattern ast.Expr, x *RawExpr) *RawExpr {
	p, ok := literal(pattern)
	in := l.shape(of)
	if !ok || p.Kind != RawText || in == nil || in.Op > OpConcat || in.Op == OpList || in.Op == OpMap {
		return nil
	}
	re, err := regexp.Compile(p.Text)
	if err != nil || re.NumSubexp() > 1 {
		return nil // the program says what is wrong with it
	}
	x.Value, x.Args = p, []*RawExpr{in}
	return x
}

// each lowers list.map(x, x.a).
func (l *lowering) each(e ast.Expr) *RawExpr {
	m, ok := l.rep.SourceInfo().GetMacroCall(e.ID())
	if !ok || e.Kind() != ast.ComprehensionKind || m.Kind() != ast.CallKind {
		return nil
	}
	c := m.AsCall()
	if c.FunctionName() != "map" || len(c.Args()) != 2 {
		return nil
	}
	if !isMembers(c.Args()[1]) {
		return nil
	}
	of := l.shape(c.Args()[1])
	if of == nil || of.Op != OpPath || of.Var != c.Args()[0].AsIdent() || len(of.Args) > 0 {
		return nil
	}
	list := l.path(e.AsComprehension().IterRange())
	if list == nil || list.Op != OpPath {
		return nil
	}
	return &RawExpr{Op: OpEach, Args: []*RawExpr{list}, Steps: of.Steps, Type: RawList, Program: l.program(e).Program}
}

// isMembers says whether an expression is a name, or members of one.
func isMembers(e ast.Expr) bool {
	for e.Kind() == ast.SelectKind && !e.AsSelect().IsTestOnly() {
		e = e.AsSelect().Operand()
	}
	return e.Kind() == ast.IdentKind
}

func literal(e ast.Expr) (RawValue, bool) {
	if e.Kind() != ast.LiteralKind {
		return RawValue{}, false
	}
	v := valueOf(e.AsLiteral())
	return v, v.Kind != RawAbsent
}

func literalInt(e ast.Expr) (int, bool) {
	if e.Kind() != ast.LiteralKind {
		return 0, false
	}
	n, ok := e.AsLiteral().(types.Int)
	return int(n), ok
}
