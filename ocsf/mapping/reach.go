package mapping

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v4"

	"nagare/ocsf/expr"
)

// What reach may take, in comparisons of two facts: of a file, and of one
// question about it. An entry of which it cannot tell within these is taken
// for one that events get to: conditions of many || have more combinations
// than anybody can try.
const (
	maxReach    = 20_000_000
	maxQuestion = 100_000
)

// A reasoner knows what follows from conditions. What it derives of an
// expression it keeps: each is compared with those of every other entry.
type reasoner struct {
	steps, question int // that are left
	texts           map[*expr.RawExpr]string
	subjects        map[*expr.RawExpr]*subject
	conjuncts       map[*expr.RawExpr][]*expr.RawExpr
}

func newReasoner() *reasoner {
	return &reasoner{steps: maxReach, texts: map[*expr.RawExpr]string{}, subjects: map[*expr.RawExpr]*subject{}, conjuncts: map[*expr.RawExpr][]*expr.RawExpr{}}
}

// ask begins a question.
func (r *reasoner) ask() { r.question = min(r.steps, maxQuestion) }

// spend takes steps; false says that there are none left, and that nothing is
// to be concluded any more.
func (r *reasoner) spend(n int) bool {
	r.steps -= n
	r.question -= n
	return r.question >= 0
}

func (r *reasoner) canon(e *expr.RawExpr) string {
	s, ok := r.texts[e]
	if !ok {
		s = canon(e)
		r.texts[e] = s
	}
	return s
}

func (r *reasoner) subject(e *expr.RawExpr) *subject {
	s, ok := r.subjects[e]
	if !ok {
		if e.Op == expr.OpEqual || e.Op == expr.OpIn {
			if of := e.Args[0]; of.Op == expr.OpLookup && !r.spend(len(of.Table.Rows)) {
				return nil
			}
		}
		s = subjectOf(e)
		r.subjects[e] = s
	}
	return s
}

func (r *reasoner) facts(e *expr.RawExpr) []*expr.RawExpr {
	f, ok := r.conjuncts[e]
	if !ok {
		f = factsOf(e, nil)
		r.conjuncts[e] = f
	}
	return f
}

// reach reports entries that no event gets to: their condition is never true,
// or entries above take all that they would.
func (c *compiler) reach(entries []*entry) {
	r := newReasoner()
	for i, e := range entries {
		if e.when == nil {
			continue
		}
		facts := r.facts(e.whenExpr)
		r.ask()
		if why := r.contradiction(facts); why != "" {
			c.say(e.whenNode, "unreachable", "this condition is never true: "+why, "")
			continue
		}
		c.above(r, e, facts, entries[:i])
		if r.steps <= 0 {
			return
		}
	}
}

// above compares an entry with those above it.
func (c *compiler) above(r *reasoner, e *entry, facts []*expr.RawExpr, above []*entry) {
	values, folded := map[string][]string{}, map[string]bool{} // what a subject may still be
	for _, f := range facts {
		if s := r.subject(f); s != nil {
			values[s.key], folded[s.key] = s.values, s.folded
		}
	}
	taken := map[string][]string{}
	for _, a := range above {
		if a.when == nil {
			continue // that is said of every entry below it
		}
		theirs := r.facts(a.whenExpr)
		r.ask()
		if r.all(theirs, facts) {
			if lacks := a.mayLack; lacks != "" {
				c.warn(e.whenNode, "unreachable", fmt.Sprintf("the entry at line %d takes all of this, but for events that lack %s", a.line, lacks), "")
			} else {
				c.say(e.whenNode, "unreachable", fmt.Sprintf("the entry at line %d takes all that this one would", a.line), "move this one up, or make that one's when narrower")
			}
			return
		}
		if len(theirs) != 1 || a.mayLack != "" {
			continue
		}
		s := r.subject(theirs[0])
		if s == nil {
			continue
		}
		if left, ok := values[s.key]; ok && (s.folded || !folded[s.key]) && r.spend(len(left)*len(s.values)) {
			var rest []string
			for _, v := range left {
				if s.has(v) {
					taken[s.key] = append(taken[s.key], v)
				} else {
					rest = append(rest, v)
				}
			}
			if len(rest) == 0 {
				c.say(e.whenNode, "unreachable", fmt.Sprintf("entries above, up to line %d, take all that this one would", a.line), "")
				return
			}
			values[s.key] = rest
		}
	}
	for _, f := range facts {
		if s := r.subject(f); s != nil && len(taken[s.key]) > 0 && !s.folded {
			c.warn(e.whenNode, "unreachable", fmt.Sprintf("entries above take %s already", strings.Join(quoted(taken[s.key]), ", ")), "leave it out here")
		}
	}
}

func quoted(values []string) []string {
	out := make([]string, len(values))
	for i, v := range values {
		out[i] = fmt.Sprintf("%q", strings.TrimPrefix(v, "text "))
	}
	return out
}

// factsOf are the conditions that must hold for a condition to hold.
func factsOf(e *expr.RawExpr, out []*expr.RawExpr) []*expr.RawExpr {
	if e == nil {
		return out
	}
	if e.Op == expr.OpAnd {
		return factsOf(e.Args[1], factsOf(e.Args[0], out))
	}
	return append(out, e)
}

// all says whether given every of the wanted facts hold.
func (r *reasoner) all(want, given []*expr.RawExpr) bool {
	return !slices.ContainsFunc(want, func(w *expr.RawExpr) bool { return !r.follows(w, given) })
}

// follows says whether a fact follows from others, as far as that is plain.
func (r *reasoner) follows(want *expr.RawExpr, given []*expr.RawExpr) bool {
	if !r.spend(1) {
		return false
	}
	if want.Op == expr.OpConst {
		return want.Value.Kind == expr.RawBool && want.Value.Num != 0
	}
	if want.Op == expr.OpOr && slices.ContainsFunc(want.Args, func(a *expr.RawExpr) bool { return r.all(r.facts(a), given) }) {
		return true
	}
	if want.Op == expr.OpAnd {
		return r.all(r.facts(want), given)
	}
	text, subject := r.canon(want), r.subject(want)
	for _, g := range given {
		if !r.spend(1) {
			return false
		}
		if r.canon(g) == text {
			return true
		}
		if g.Op == expr.OpOr && !slices.ContainsFunc(g.Args, func(a *expr.RawExpr) bool { return !r.follows(want, r.facts(a)) }) {
			return true
		}
		s := r.subject(g)
		switch {
		case s == nil:
		case subject != nil && subject.key == s.key && r.spend(len(subject.values)*len(s.values)) && subject.takes(s):
			return true
		case want.Op == expr.OpHas && under(s.path, r.canon(want.Args[0])):
			return true
		case want.Op == expr.OpNot:
			if not := r.subject(want.Args[0]); not != nil && not.key == s.key && !not.folded && !s.folded && r.spend(len(not.values)*len(s.values)) && !slices.ContainsFunc(s.values, not.has) {
				return true
			}
		}
		if want.Op == expr.OpHas && (g.Op == expr.OpHas || g.Op == expr.OpPrefix || g.Op == expr.OpSuffix || g.Op == expr.OpInside || g.Op == expr.OpExists) && under(r.canon(g.Args[0]), r.canon(want.Args[0])) {
			return true
		}
	}
	return false
}

// under says whether a path is another or leads below it.
func under(path, other string) bool {
	return path == other || strings.HasPrefix(path, other+".") || strings.HasPrefix(path, other+"[")
}

// contradiction says why facts cannot hold together; "" if they may.
func (r *reasoner) contradiction(facts []*expr.RawExpr) string {
	for i, f := range facts {
		if !r.spend(len(facts)) {
			return ""
		}
		if f.Op == expr.OpConst && f.Value.Kind == expr.RawBool && f.Value.Num == 0 {
			return "it is false"
		}
		if f.Op == expr.OpOr {
			never := true
			for _, a := range f.Args {
				never = never && r.contradiction(factsOf(a, slices.Delete(slices.Clone(facts), i, i+1))) != ""
			}
			if never {
				return "neither side of || can be"
			}
		}
		if f.Op == expr.OpNot && r.follows(f.Args[0], facts) {
			return fmt.Sprintf("it wants %s and its opposite", r.canon(f.Args[0]))
		}
		a := r.subject(f)
		if a == nil {
			continue
		}
		if len(a.values) == 0 {
			return fmt.Sprintf("%s is none of these", a.key)
		}
		for _, g := range facts[i+1:] {
			if b := r.subject(g); b != nil && b.key == a.key && r.spend(2*len(a.values)*len(b.values)) && !slices.ContainsFunc(a.values, b.has) && !slices.ContainsFunc(b.values, a.has) {
				return fmt.Sprintf("%s cannot be both %s and %s", a.key, strings.Join(quoted(a.values), " or "), strings.Join(quoted(b.values), " or "))
			}
		}
	}
	return ""
}

// A subject is what a fact compares with constants, and these.
type subject struct {
	key, path string
	values    []string
	folded    bool // values are in lower case and match in any
}

func (s *subject) has(v string) bool {
	if s.folded { // a table's keys are texts: 5 is "5"
		v = "text " + strings.ToLower(strings.TrimPrefix(v, "text "))
	}
	return slices.Contains(s.values, v)
}

// takes says whether s holds wherever o does.
func (s *subject) takes(o *subject) bool {
	if o.folded && !s.folded {
		return false
	}
	return !slices.ContainsFunc(o.values, func(v string) bool { return !s.has(v) })
}

// subjectOf takes path == constant and the like apart. A comparison with what
// a table says is one of the table's keys.
func subjectOf(e *expr.RawExpr) *subject {
	var values []expr.RawValue
	switch e.Op {
	case expr.OpEqual:
		values = []expr.RawValue{e.Value}
	case expr.OpIn:
		values = e.Values
	case expr.OpPath: // raw.flag is raw.flag == true
		values = []expr.RawValue{{Kind: expr.RawBool, Num: 1}}
		e = &expr.RawExpr{Args: []*expr.RawExpr{e}}
	default:
		return nil
	}
	of := e.Args[0]
	s := &subject{path: canon(of)}
	if of.Op == expr.OpLookup {
		s.path, s.folded = canon(of.Args[0]), true
		for k, row := range of.Table.Rows {
			if v, ok := row[of.Name]; ok && slices.ContainsFunc(values, func(w expr.RawValue) bool { return w.Kind == v.Kind && w.Num == v.Num && w.Text == v.Text }) {
				s.values = append(s.values, "text "+strings.ToLower(k))
			}
		}
		slices.Sort(s.values)
	} else {
		for _, v := range values {
			s.values = append(s.values, canonValue(v))
		}
	}
	s.key = s.path
	return s
}

func canonValue(v expr.RawValue) string {
	if v.Kind == expr.RawText {
		return "text " + v.Text
	}
	t, _ := v.Scalar()
	return t
}

// canon is an expression in one way of writing it.
func canon(e *expr.RawExpr) string {
	args := make([]string, len(e.Args))
	for i, a := range e.Args {
		args[i] = canon(a)
	}
	joined := strings.Join(args, ", ")
	switch e.Op {
	case expr.OpConst:
		return canonValue(e.Value)
	case expr.OpPath:
		return e.Var + joined + canonSteps(e.Steps)
	case expr.OpMeta:
		return "meta." + e.Name
	case expr.OpLookup:
		return "tables." + e.Table.Name + "[" + joined + "]." + e.Name
	case expr.OpProgram:
		return e.Program.String()
	case expr.OpEqual:
		return joined + " == " + canonValue(e.Value)
	case expr.OpIn:
		var values []string
		for _, v := range e.Values {
			values = append(values, canonValue(v))
		}
		slices.Sort(values)
		return joined + " in [" + strings.Join(values, ", ") + "]"
	case expr.OpAnd, expr.OpOr:
		slices.Sort(args)
		joined = strings.Join(args, ", ")
	case expr.OpHas:
		return "has(" + joined + ")"
	}
	return fmt.Sprintf("op%d(%s; %s %s %v %v %d%s)", e.Op, joined, canonValue(e.Value), e.Name, e.Names, e.Zone, e.Index, canonSteps(e.Steps))
}

func canonSteps(steps []expr.Step) string {
	var b strings.Builder
	for _, s := range steps {
		switch {
		case s.Name != "":
			b.WriteString("." + s.Name)
		case s.Where != nil:
			fmt.Fprintf(&b, "[where %s is", canonSteps(s.Where.Steps))
			for _, v := range s.Where.Values {
				b.WriteString(" " + canonValue(v))
			}
			fmt.Fprintf(&b, " %d]", s.Index)
		default:
			b.WriteString("[" + strconv.Itoa(s.Index) + "]")
		}
	}
	return b.String()
}

// mayLack names what an entry's class requires and an event may not bring; ""
// when the entry never gives way. always are the paths that constants fill.
func mayLack(tree []*object, always map[int]bool) string {
	good := make([]bool, len(tree))
	for i, x := range tree {
		sure := func(n need) bool {
			if n.kid >= 0 {
				return good[n.kid]
			}
			return n.slot >= 0 && always[n.slot]
		}
		lacks := ""
		for _, n := range x.required {
			if !sure(n) {
				lacks = n.name
			}
		}
		for _, g := range x.groups {
			if !slices.ContainsFunc(g, sure) {
				lacks = groupName(x, g)
			}
		}
		if i == len(tree)-1 {
			return lacks
		}
		any := slices.ContainsFunc(x.own, func(s int) bool { return always[s] }) || slices.ContainsFunc(x.kids, func(k int) bool { return good[k] })
		good[i] = any && lacks == ""
	}
	return ""
}

// said checks comparisons of what a table says with what none of its rows say.
func (c *compiler) said(n *yaml.Node, x *expr.RawExpr) {
	if x.Op != expr.OpEqual && x.Op != expr.OpIn {
		return
	}
	values := x.Values
	if x.Op == expr.OpEqual {
		values = []expr.RawValue{x.Value}
	}
	var can []string
	var kind string
	var collect func(e *expr.RawExpr) bool
	collect = func(e *expr.RawExpr) bool {
		switch e.Op {
		case expr.OpConst:
			can = append(can, canonValue(e.Value))
			return true
		case expr.OpCoalesce:
			return collect(e.Args[0]) && collect(e.Args[1])
		case expr.OpIf:
			return collect(e.Args[1]) && collect(e.Args[2])
		case expr.OpLookup:
			kind = "table " + strconv.Quote(e.Table.Name) + " never says"
			for _, row := range e.Table.Rows {
				if v, ok := row[e.Name]; ok {
					can = append(can, canonValue(v))
				}
			}
			return true
		case expr.OpMeta:
			kind = "meta." + e.Name + " is never"
			switch e.Name {
			case "auth":
				can = append(can, "text pass", "text weak", "text none", "text fail")
				return true
			case "source":
				can = append(can, "text "+c.m.Name)
				return true
			}
		}
		return false
	}
	if !collect(x.Args[0]) || kind == "" {
		return
	}
	slices.Sort(can)
	can = slices.Compact(can)
	for _, v := range values {
		text := canonValue(v)
		if slices.Contains(can, text) || text == "text " { // != "" is how a file asks whether there is a row
			continue
		}
		names := make([]string, len(can))
		for i, s := range can {
			names[i] = strings.TrimPrefix(s, "text ")
		}
		shown, _ := v.Scalar()
		p := Problem{File: c.f.name, Code: "unreachable", Message: fmt.Sprintf("%s %q, so this is always the same", kind, shown), Suggestion: nearest(shown, names)}
		p.Line, p.Column = place(n, x.Line, x.Column)
		c.note(p)
	}
}

// unused warns of what stands in a file for nothing.
func (c *compiler) unused() {
	used := c.raw.Used
	for _, p := range c.pairs(c.f.name, c.f.keys["tables"]) {
		if !used[p.key.Value] {
			c.warn(p.key, "unused", fmt.Sprintf("no expression asks table %q", p.key.Value), "leave it out")
		}
	}
	for _, n := range list(c.f.keys["include"]) {
		other := c.files[sibling(c.f.name, n.Value)]
		if other == nil {
			continue
		}
		any := false
		for k := range other.tables {
			any = any || used[k]
		}
		if !any {
			c.warn(n, "unused", fmt.Sprintf("no expression asks a table of %s", n.Value), "leave it out")
		}
	}
	for _, p := range c.pairs(c.f.name, c.f.keys["products"]) {
		if !c.usedProducts[p.key.Value] {
			c.warn(p.key, "unused", fmt.Sprintf("no entry is of product %q", p.key.Value), "leave it out")
		}
	}
}
