package expr

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/google/cel-go/cel"
	"github.com/google/cel-go/common/ast"
	"github.com/google/cel-go/common/operators"
	"github.com/google/cel-go/common/types"

	"nagare/ocsf"
)

// A Raw compiles the expressions of mapping files: CEL over raw (the event as
// it was sent), meta (its envelope), tables, and the variable of an each. A
// JSON null counts as absent everywhere. What is absent makes a value absent
// and a condition false.
//
// The shapes it knows become a tree of RawExpr that a caller runs without
// CEL; what is left in between is a cel-go program.
type Raw struct {
	env    *cel.Env
	tables map[string]*Table
	vars   []string

	compiled map[string]*RawExpr // by scope and text

	// ParseTime reads the text of a time: by a layout of package time, or as
	// it comes when layout is "". Without a zone of its own it is in zone;
	// that of the file when zone is nil.
	ParseTime func(s, layout string, zone *time.Location) (ms int64, ok bool)
	// Scope is the variable of the each at hand: Compile refuses the others.
	Scope string
	// Used are the tables that expressions compiled so far name.
	Used map[string]bool
}

// A Table is a lookup table of a mapping file, by the text of its key.
type Table struct {
	Name string
	Rows map[string]Row

	folded map[string]Row
}

// NewTable makes a table of rows. Keys are matched as they are, and else
// without regard to case.
func NewTable(name string, rows map[string]Row) *Table {
	t := &Table{name, rows, make(map[string]Row, len(rows))}
	for k, r := range rows {
		t.folded[strings.ToLower(k)] = r
	}
	return t
}

// Find returns the row of a key.
func (t *Table) Find(key string) (Row, bool) {
	if r, ok := t.Rows[key]; ok {
		return r, true
	}
	r, ok := t.folded[strings.ToLower(key)]
	return r, ok
}

// A Column is one field of a table: what its rows have there, by key.
type Column struct{ exact, folded map[string]RawValue }

// Column resolves a field of the rows once, for those that look it up often.
func (t *Table) Column(field string) *Column {
	c := &Column{make(map[string]RawValue, len(t.Rows)), make(map[string]RawValue, len(t.folded))}
	for k, row := range t.Rows {
		c.exact[k] = row[field] // absent too: its row is found, and has no such field
	}
	for k, row := range t.folded {
		c.folded[k] = row[field]
	}
	return c
}

// Find returns the field of the row of a key; absent when there is none.
func (c *Column) Find(key string) RawValue {
	if v, ok := c.exact[key]; ok {
		return v
	}
	return c.folded[strings.ToLower(key)]
}

// A Row is what a table has under a key: fields, or one scalar under "".
type Row map[string]RawValue

// Plain says whether an expression asks for nothing but members by name: such
// a one can be answered when only its paths were read.
func (x *RawExpr) Plain() bool {
	if x == nil {
		return true
	}
	if x.Op == OpProgram || x.Op == OpCall && x.Name == "json" {
		return false
	}
	for _, s := range x.Steps {
		if s.Name == "" {
			return false
		}
	}
	for _, a := range x.Args {
		if !a.Plain() {
			return false
		}
	}
	return true
}

// MetaFields are the fields of meta.
var MetaFields = []string{"source", "uid", "received", "auth", "tenant"}

// NewRaw makes an environment. vars are the names that each gives its elements.
func NewRaw(tables map[string]*Table, vars ...string) (*Raw, error) {
	opts := []cel.EnvOption{
		// First: the libraries below bring macros of their own, as cel.bind.
		cel.ClearMacros(), cel.Macros(cel.AllMacro, cel.ExistsMacro, cel.ExistsOneMacro, cel.MapMacro, cel.MapFilterMacro, cel.FilterMacro, hasMacro),
		cel.OptionalTypes(),
		libStrings, libLists, libSets, libMath, libEncoders, libBindings, libNetwork, libRegex,
		cel.EnableMacroCallTracking(),
		cel.ParserExpressionSizeLimit(10_000),
		cel.ParserRecursionLimit(100),
		cel.Variable("raw", cel.DynType),
		cel.Variable("meta", cel.DynType),
		cel.Variable("tables", cel.DynType),
	}
	for _, v := range vars {
		opts = append(opts, cel.Variable(v, cel.DynType))
	}
	r := &Raw{tables: tables, vars: vars, Used: map[string]bool{}, compiled: map[string]*RawExpr{}}
	opts = append(opts, rawFunctions(r)...)
	env, err := cel.NewCustomEnv(append([]cel.EnvOption{cel.StdLib()}, opts...)...)
	if err != nil {
		return nil, fmt.Errorf("CEL environment of mappings: %w", err)
	}
	ask, err := bounded(env)
	if err == nil {
		env, err = env.Extend(ask...)
	}
	if err != nil {
		return nil, fmt.Errorf("CEL environment of mappings: %w", err)
	}
	r.env = env
	return r, nil
}

// An Issue is a mistake in an expression. Line and Column count from 1, in the text.
type Issue struct {
	Line, Column int
	Message      string
	Suggestion   string
	// Code names the kind of mistake, where a compiler tells kinds apart.
	Code string
}

// Compile checks an expression and brings it into the shapes a caller runs,
// which must not change it: an expression that stands in a file many times is
// compiled once.
func (r *Raw) Compile(text string) (*RawExpr, []Issue) {
	if x := plainPath(text); x != nil {
		return x, nil
	}
	key := r.Scope + " " + text
	if x := r.compiled[key]; x != nil {
		return x, nil
	}
	x, found := r.compile(text)
	if len(found) == 0 {
		r.compiled[key] = x
	}
	return x, found
}

// plainPath compiles what most expressions are, raw.a.b, without the parser;
// nil for others.
func plainPath(text string) *RawExpr {
	rest, ok := strings.CutPrefix(text, "raw.")
	if !ok {
		return nil
	}
	x := &RawExpr{Op: OpPath, Var: "raw", Type: RawAny, Line: 1, Column: 4 + strings.LastIndexByte(rest, '.') + 1}
	for _, name := range strings.Split(rest, ".") {
		if !plainName(name) || celWords[name] {
			return nil
		}
		x.Steps = append(x.Steps, Step{Name: name})
	}
	return x
}

func plainName(s string) bool {
	for i := 0; i < len(s); i++ {
		c := s[i]
		if !(c == '_' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || i > 0 && c >= '0' && c <= '9') {
			return false
		}
	}
	return s != ""
}

// celWords are no names in CEL.
var celWords = map[string]bool{"true": true, "false": true, "null": true, "in": true, "as": true, "break": true, "const": true, "continue": true,
	"else": true, "for": true, "function": true, "if": true, "import": true, "let": true, "loop": true, "package": true, "namespace": true,
	"return": true, "var": true, "void": true, "while": true}

func (r *Raw) compile(text string) (*RawExpr, []Issue) {
	parsed, iss := r.env.Parse(text)
	if iss.Err() != nil {
		return nil, issues(iss)
	}
	rep := parsed.NativeRep()
	if found := r.names(rep); len(found) > 0 {
		return nil, found
	}
	softenHas(rep)
	checked, iss := r.env.Check(parsed)
	if iss.Err() != nil {
		return nil, issues(iss)
	}
	l := &lowering{raw: r, rep: checked.NativeRep()}
	e := l.expr(checked.NativeRep().Expr())
	if len(l.issues) > 0 {
		return nil, l.issues
	}
	e.Type = kindOf(checked.OutputType())
	return e, nil
}

// functionNames are those that people write most.
var functionNames = []string{"raw", "meta", "tables", "has", "size", "string", "int", "double", "json", "seconds", "millis", "micros", "inZone", "timeAs", "sha256",
	"filter", "exists", "map", "all", "orValue", "split", "contains", "startsWith", "endsWith", "matches", "replace", "lowerAscii", "upperAscii", "trim", "join", "substring"}

// functionsElsewhere are what other languages call ours.
var functionsElsewhere = map[string]string{
	"lower": "x.lowerAscii()", "toLower": "x.lowerAscii()", "downcase": "x.lowerAscii()", "upper": "x.upperAscii()", "toUpper": "x.upperAscii()", "upcase": "x.upperAscii()",
	"len": "size(x)", "length": "size(x)", "count": "size(x)", "strip": "x.trim()", "substr": "x.substring(from, to)", "concat": "x + y", "coalesce": "x.orValue(y)", "default": "x.orValue(y)",
	"parse_json": "json(x)", "parseJSON": "json(x)", "fromJSON": "json(x)", "exists": "has(raw.x)", "defined": "has(raw.x)", "if": "cond ? x : y", "lookup": "tables.name[x]",
}

func issues(iss *cel.Issues) []Issue {
	var out []Issue
	for _, e := range iss.Errors() {
		message, _, _ := strings.Cut(e.Message, " expecting {") // a list of everything there is
		message = strings.TrimSuffix(message, " (in container '')")
		i := Issue{Line: e.Location.Line(), Column: e.Location.Column() + 1, Message: message}
		name, undeclared := strings.CutPrefix(message, "undeclared reference to '")
		switch {
		case strings.HasPrefix(message, "Syntax error: token recognition error at: '="):
			i.Suggestion = "== compares"
		case undeclared:
			name = strings.TrimSuffix(name, "'")
			if n := functionsElsewhere[name]; n != "" {
				i.Suggestion = fmt.Sprintf("it is called %s here", n)
			} else if n := ocsf.Nearest(name, functionNames); n != "" {
				i.Suggestion = fmt.Sprintf("did you mean %q?", n)
			} else {
				i.Suggestion = fmt.Sprintf("a text has quotes: \"%s\"; a field of the event is raw.%s", name, name)
			}
		}
		out = append(out, i)
	}
	return out
}

// names checks the names CEL cannot know: tables, and the fields of meta.
func (r *Raw) names(rep *ast.AST) []Issue {
	var found []Issue
	say := func(e ast.Expr, message, suggestion string) {
		at := rep.SourceInfo().GetStartLocation(e.ID())
		found = append(found, Issue{Line: at.Line(), Column: at.Column() + 1, Message: message, Suggestion: suggestion})
	}
	asked := tablesAsked(rep.Expr())
	ast.PreOrderVisit(rep.Expr(), ast.NewExprVisitor(func(e ast.Expr) {
		if e.Kind() == ast.CallKind {
			if _, err := timeCallOf(e.AsCall()); err != nil {
				say(e, err.Error(), "")
			}
			if err := patternOf(e.AsCall()); err != nil {
				say(e, err.Error(), "")
			}
		}
		operand, field, ok := member(e)
		if !ok || operand.Kind() != ast.IdentKind {
			return
		}
		switch operand.AsIdent() {
		case "meta":
			if !slices.Contains(MetaFields, field) {
				say(e, fmt.Sprintf("meta has no field %q", field), near(field, MetaFields))
			}
		case "tables":
			if _, ok := r.tables[field]; !ok {
				names := make([]string, 0, len(r.tables))
				for n := range r.tables {
					names = append(names, n)
				}
				slices.Sort(names)
				say(e, fmt.Sprintf("no table %q", field), near(field, names))
			}
			if !asked[e.ID()] {
				say(e, fmt.Sprintf("tables.%s is a whole table, not a value", field), fmt.Sprintf("name the row: tables.%s[raw.…]", field))
			}
			r.Used[field] = true
		}
	}))
	r.scopes(rep.Expr(), nil, say)
	return found
}

// tablesAsked are the expressions of which something is asked: a row, whether
// there is one, how many. A table elsewhere is a slip.
func tablesAsked(e ast.Expr) map[int64]bool {
	asked := map[int64]bool{}
	ast.PreOrderVisit(e, ast.NewExprVisitor(func(e ast.Expr) {
		switch e.Kind() {
		case ast.SelectKind:
			asked[e.AsSelect().Operand().ID()] = true
		case ast.ComprehensionKind:
			asked[e.AsComprehension().IterRange().ID()] = true
		case ast.CallKind:
			c := e.AsCall()
			if c.IsMemberFunction() {
				asked[c.Target().ID()] = true
			}
			switch c.FunctionName() {
			case operators.Index, operators.OptIndex, operators.OptSelect:
				asked[c.Args()[0].ID()] = true
			case operators.In:
				asked[c.Args()[1].ID()] = true
			case "size":
				for _, a := range c.Args() {
					asked[a.ID()] = true
				}
			}
		}
	}))
	return asked
}

// scopes checks the variables: an each's is there only within it, and no
// macro may give its own elements a name that something has already.
func (r *Raw) scopes(e ast.Expr, bound []string, say func(e ast.Expr, message, suggestion string)) {
	switch e.Kind() {
	case ast.IdentKind:
		name := e.AsIdent()
		if name != r.Scope && slices.Contains(r.vars, name) && !slices.Contains(bound, name) {
			say(e, fmt.Sprintf("%s is the element of an each, and there only", name), "")
		}
	case ast.SelectKind:
		r.scopes(e.AsSelect().Operand(), bound, say)
	case ast.CallKind:
		if c := e.AsCall(); c.IsMemberFunction() {
			r.scopes(c.Target(), bound, say)
		}
		for _, a := range e.AsCall().Args() {
			r.scopes(a, bound, say)
		}
	case ast.ListKind:
		for _, a := range e.AsList().Elements() {
			r.scopes(a, bound, say)
		}
	case ast.MapKind:
		for _, entry := range e.AsMap().Entries() {
			r.scopes(entry.AsMapEntry().Key(), bound, say)
			r.scopes(entry.AsMapEntry().Value(), bound, say)
		}
	case ast.ComprehensionKind:
		c := e.AsComprehension()
		r.scopes(c.IterRange(), bound, say)
		r.scopes(c.AccuInit(), bound, say)
		inner := slices.Clone(bound)
		for _, name := range []string{c.IterVar(), c.IterVar2(), c.AccuVar()} {
			if name == "" || strings.HasPrefix(name, "@") || strings.HasPrefix(name, "#") {
				continue // a macro's own
			}
			if name == "raw" || name == "meta" || name == "tables" || name == r.Scope || slices.Contains(bound, name) {
				say(e, fmt.Sprintf("%q is something else around this: its elements need another name", name), "")
			}
			inner = append(inner, name)
		}
		r.scopes(c.LoopCondition(), inner, say)
		r.scopes(c.LoopStep(), inner, say)
		r.scopes(c.Result(), inner, say)
	}
}

func near(name string, names []string) string {
	if n := ocsf.Nearest(name, names); n != "" {
		return fmt.Sprintf("did you mean %q?", n)
	}
	return fmt.Sprintf("there are: %q", names)
}

// member takes a.b, a.?b, and a["b"] apart.
func member(e ast.Expr) (operand ast.Expr, field string, ok bool) {
	switch e.Kind() {
	case ast.SelectKind:
		s := e.AsSelect()
		return s.Operand(), s.FieldName(), true
	case ast.CallKind:
		c := e.AsCall()
		switch c.FunctionName() {
		case operators.OptSelect, operators.Index, operators.OptIndex:
			if a := c.Args()[1]; a.Kind() == ast.LiteralKind {
				if s, ok := a.AsLiteral().(types.String); ok {
					return c.Args()[0], string(s), true
				}
			}
		}
	}
	return nil, "", false
}

// hasMacro is CEL's has(), which also takes a["b c"].
var hasMacro = cel.GlobalMacro("has", 1, func(f cel.MacroExprFactory, _ ast.Expr, args []ast.Expr) (ast.Expr, *cel.Error) {
	x := args[0]
	if x.Kind() == ast.SelectKind {
		return f.NewPresenceTest(x.AsSelect().Operand(), x.AsSelect().FieldName()), nil
	}
	if operand, name, ok := member(x); ok {
		return f.NewPresenceTest(operand, name), nil
	}
	return nil, f.NewError(x.ID(), "has() takes a path, as raw.a.b or raw[\"a b\"]")
})

// softenHas turns has(a.b.c) into a.?b.?c.hasValue(), so that it is false,
// not an error, when a.b is absent.
func softenHas(rep *ast.AST) {
	fac := ast.NewExprFactory()
	next := ast.MaxID(rep)
	id := func() int64 { next++; return next }
	var soft func(e ast.Expr) ast.Expr
	soft = func(e ast.Expr) ast.Expr {
		operand, name, ok := member(e)
		if !ok || e.Kind() == ast.SelectKind && e.AsSelect().IsTestOnly() {
			return e
		}
		return fac.NewCall(e.ID(), operators.OptSelect, soft(operand), fac.NewLiteral(id(), types.String(name)))
	}
	ast.PostOrderVisit(rep.Expr(), ast.NewExprVisitor(func(e ast.Expr) {
		if e.Kind() != ast.SelectKind || !e.AsSelect().IsTestOnly() {
			return
		}
		s := e.AsSelect()
		opt := fac.NewCall(id(), operators.OptSelect, soft(s.Operand()), fac.NewLiteral(id(), types.String(s.FieldName())))
		e.SetKindCase(fac.NewMemberCall(e.ID(), "hasValue", opt))
	}))
}

// kindOf is the static type of an expression as a kind of RawValue; RawAny
// when only an event can tell.
func kindOf(t *cel.Type) RawKind {
	if t.TypeName() == types.OptionalType.TypeName() && len(t.Parameters()) == 1 {
		t = t.Parameters()[0]
	}
	switch t.Kind() {
	case types.BoolKind:
		return RawBool
	case types.IntKind, types.UintKind:
		return RawInt
	case types.DoubleKind:
		return RawFloat
	case types.StringKind:
		return RawText
	case types.TimestampKind:
		return RawTime
	case types.ListKind:
		return RawList
	}
	return RawAny
}
