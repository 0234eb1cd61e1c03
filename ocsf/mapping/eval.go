package mapping

import (
	"slices"
	"strings"

	"nagare/ocsf/expr"
	"nagare/ocsf/rawjson"
)

// A valueFn gives the value of an expression for the event at hand.
type valueFn func(r *run) expr.RawValue

// A finder finds the node of a path.
type finder func(r *run) (expr.RawValue, bool)

// find compiles a path. Paths without an index are found without a search.
func (c *compiler) find(e *expr.RawExpr) finder {
	if id := c.pathID(e); id >= 0 {
		return c.again(func(r *run) (expr.RawValue, bool) {
			i, ok := r.doc.At(id)
			if !ok || r.doc.Nodes[i].Kind == rawjson.Null {
				return expr.RawValue{}, false
			}
			return expr.RawValue{Kind: expr.RawNode, Doc: r.doc, Node: i}, true
		})
	}
	if names := memberNames(e); e.Var != "raw" && len(names) == len(e.Steps) && len(e.Args) == 0 && c.elem != nil {
		return c.findInElement(names)
	}
	steps := e.Steps
	if len(e.Args) > 0 {
		root := c.value(e.Args[0])
		return func(r *run) (expr.RawValue, bool) {
			had := len(r.pending)
			v := root(r)
			// One field of a JSON text is not the text: that stays in unmapped.
			r.pending = r.pending[:had]
			return r.walk(v, steps)
		}
	}
	if e.Var == "raw" {
		return c.again(func(r *run) (expr.RawValue, bool) {
			return r.walk(expr.RawValue{Kind: expr.RawNode, Doc: r.doc}, steps)
		})
	}
	return func(r *run) (expr.RawValue, bool) { return r.walk(r.vars.Var, steps) }
}

// memberNames are the names of a path up to its first index.
func memberNames(e *expr.RawExpr) []string {
	var names []string
	for _, s := range e.Steps {
		if s.Name == "" {
			break
		}
		names = append(names, s.Name)
	}
	return names
}

// pathID is the number of a path of raw without an index; -1 for others.
func (c *compiler) pathID(e *expr.RawExpr) int32 {
	names := memberNames(e)
	if e.Op != expr.OpPath || e.Var != "raw" || len(names) < len(e.Steps) || len(e.Args) > 0 {
		return -1
	}
	return c.m.paths.Add(names...)
}

// findInElement finds members of the elements of an each whose list is a
// plain path, by the numbers of their paths.
func (c *compiler) findInElement(names []string) finder {
	ids := make([]int32, len(names))
	at := c.elem[:len(c.elem):len(c.elem)]
	element := c.m.paths.Add(at...)
	for i, n := range names {
		at = append(at, n)
		ids[i] = c.m.paths.Add(at...)
	}
	steps := make([]expr.Step, len(names))
	for i, n := range names {
		steps[i] = expr.Step{Name: n}
	}
	return func(r *run) (expr.RawValue, bool) {
		v := r.vars.Var
		// A single value is a list of one, and an orValue may have led elsewhere.
		if v.Doc != r.doc || v.Kind != expr.RawNode || r.doc.Nodes[v.Node].Path != element {
			return r.walk(v, steps)
		}
		i := v.Node
		for _, id := range ids {
			var ok bool
			if r.doc.Nodes[i].Kind != rawjson.Object {
				return expr.RawValue{}, false
			}
			if i, ok = r.doc.Member(i, id); !ok {
				return expr.RawValue{}, false
			}
		}
		if r.doc.Nodes[i].Kind == rawjson.Null {
			return expr.RawValue{}, false
		}
		return expr.RawValue{Kind: expr.RawNode, Doc: r.doc, Node: i}, true
	}
}

// walk goes on from a value. What it passes on the way it takes from what is
// left for the event, which those that loop look at.
func (r *run) walk(v expr.RawValue, steps []expr.Step) (expr.RawValue, bool) {
	for _, s := range steps {
		var ok bool
		switch {
		case v.Kind != expr.RawNode:
			return expr.RawValue{}, false
		case s.Name != "":
			v.Node, ok = v.Doc.Child(v.Node, s.Name)
		case s.Where != nil:
			v.Node, ok = r.pick(v, s)
		default:
			r.vars.Left -= expr.StepCost(min(s.Index, int(v.Doc.Nodes[v.Node].Next-v.Node)))
			v.Node, ok = v.Doc.Index(v.Node, s.Index)
		}
		if !ok {
			return expr.RawValue{}, false
		}
	}
	if v.Kind == expr.RawNode && v.Doc.Nodes[v.Node].Kind == rawjson.Null {
		return expr.RawValue{}, false
	}
	return v, v.Has()
}

// pick finds the element of an array that a step means.
func (r *run) pick(v expr.RawValue, s expr.Step) (int32, bool) {
	d, n := v.Doc, s.Index
	if d.Nodes[v.Node].Kind != rawjson.Array {
		return -1, false
	}
	passed := 0
	defer func() { r.vars.Left -= expr.StepCost(8 * passed) }()
	for k, end := v.Node+1, d.Nodes[v.Node].Next; k < end; k = d.Nodes[k].Next {
		passed++
		got, ok := r.walk(expr.RawValue{Kind: expr.RawNode, Doc: d, Node: k}, s.Where.Steps)
		if s.Where.Lower && ok {
			ok = matchesFolded(&got, s.Where.Values)
			if ok && n == 0 {
				return k, true
			}
			if ok {
				n--
			}
			continue
		}
		if !ok || !slices.ContainsFunc(s.Where.Values, func(want expr.RawValue) bool { return equal(&got, &want) }) {
			continue
		}
		if n == 0 {
			return k, true
		}
		n--
	}
	return -1, false
}

// value compiles an expression.
func (c *compiler) value(e *expr.RawExpr) valueFn {
	switch e.Op {
	case expr.OpConst:
		v := e.Value
		return func(*run) expr.RawValue { return v }
	case expr.OpPath:
		find := c.find(e)
		return func(r *run) expr.RawValue {
			v, ok := find(r)
			if ok {
				r.pend(v)
			}
			return v
		}
	case expr.OpMeta:
		name := e.Name
		return func(r *run) expr.RawValue { return r.vars.Meta.Field(name) }
	case expr.OpLookup:
		key, column := c.value(e.Args[0]), e.Table.Column(e.Name)
		return c.once(e, func(r *run) expr.RawValue {
			had := len(r.pending)
			k := key(r)
			s, ok := k.Scalar()
			if !ok {
				r.pending = r.pending[:min(had, len(r.pending))]
				return expr.RawValue{}
			}
			v := column.Find(s)
			if !v.Has() {
				r.pending = r.pending[:0]
			}
			return v
		})
	case expr.OpCoalesce:
		if v := c.coalesce(e); v != nil {
			return v
		}
		a, b := c.value(e.Args[0]), c.value(e.Args[1])
		return func(r *run) expr.RawValue {
			had := len(r.pending)
			if v := a(r); v.Has() {
				return v
			}
			// What was looked at and gave nothing is not what b is made of.
			r.pending = r.pending[:min(had, len(r.pending))]
			return b(r)
		}
	case expr.OpIf:
		cond, a, b := c.cond(e.Args[0]), c.value(e.Args[1]), c.value(e.Args[2])
		return func(r *run) expr.RawValue {
			switch cond(r) {
			case yes:
				return a(r)
			case no:
				return b(r)
			}
			return expr.RawValue{}
		}
	case expr.OpCall:
		return c.call(e)
	case expr.OpList:
		var parts []valueFn
		for _, a := range e.Args {
			parts = append(parts, c.value(a))
		}
		return func(r *run) expr.RawValue {
			var list []expr.RawValue
			for _, p := range parts {
				if e := p(r); e.Has() {
					list = append(list, e)
				} else {
					r.gaps++
				}
			}
			return expr.ListValue(list)
		}
	case expr.OpMap:
		return c.mapValue(e)
	case expr.OpPart:
		v, sep, n := c.value(e.Args[0]), e.Value.Text, e.Index
		return c.once(e, func(r *run) expr.RawValue {
			got := v(r)
			s, ok := textOf(&got)
			// Only a part of the field went into an attribute, so the whole
			// of it stays in unmapped.
			r.pending = r.pending[:0]
			if !ok {
				return expr.RawValue{}
			}
			for range n {
				if _, s, ok = strings.Cut(s, sep); !ok {
					return expr.RawValue{}
				}
			}
			s, _, _ = strings.Cut(s, sep)
			return expr.RawValue{Kind: expr.RawText, Text: s}
		})
	case expr.OpText:
		return c.asText(e)
	case expr.OpConcat:
		return c.concat(e)
	case expr.OpEach:
		return c.eachOf(e)
	case expr.OpProgram:
		p, line := e.Program, c.line
		return func(r *run) expr.RawValue { return r.eval(p, line) }
	}
	cond := c.cond(e)
	return func(r *run) expr.RawValue {
		switch cond(r) {
		case yes:
			return expr.RawValue{Kind: expr.RawBool, Num: 1}
		case no:
			return expr.RawValue{Kind: expr.RawBool}
		}
		return expr.RawValue{}
	}
}

// asText compiles string(…).
func (c *compiler) asText(e *expr.RawExpr) valueFn {
	value, program, line := c.value(e.Args[0]), e.Program, c.line
	return func(r *run) expr.RawValue {
		v := value(r)
		switch {
		case !v.Has(), v.Kind == expr.RawText:
			return v
		case v.Kind == expr.RawNode:
			switch n := v.Doc.Nodes[v.Node]; {
			case n.Kind == rawjson.Number && !isWhole(v.Doc.Literal(v.Node)):
			case n.Kind < rawjson.Object:
				return expr.RawValue{Kind: expr.RawText, Text: v.Doc.Literal(v.Node)}
			}
		}
		return r.eval(program, line)
	}
}

// isWhole says whether a number is written as CEL writes it.
func isWhole(s string) bool {
	for i := 0; i < len(s); i++ {
		if c := s[i]; !(c >= '0' && c <= '9' || c == '-' && i == 0) {
			return false
		}
	}
	return len(s) < 19 && s != "-0"
}

// concat compiles the joining of texts.
func (c *compiler) concat(e *expr.RawExpr) valueFn {
	var parts []valueFn
	for _, a := range e.Args {
		parts = append(parts, c.value(a))
	}
	program, line := e.Program, c.line
	return func(r *run) expr.RawValue {
		had := len(r.pending)
		dst := r.joined[:0]
		r.joined = nil // a part may be joined too
		for _, p := range parts {
			v := p(r)
			had = min(had, len(r.pending)) // a part of a text leaves nothing pending
			s, ok := textOf(&v)
			if !ok {
				r.pending, r.joined = r.pending[:had], dst
				if !v.Has() {
					return v
				}
				return r.eval(program, line)
			}
			dst = append(dst, s...)
		}
		r.joined = dst
		text := r.doc.Keep(dst)
		made := r.pending[:had]
		for _, i := range r.pending[had:] {
			if madeOf(text, r.doc.Literal(i)) {
				made = append(made, i)
			}
		}
		r.pending = made
		return expr.RawValue{Kind: expr.RawText, Text: text}
	}
}

// coalesce compiles a chain of orValue that begins with at least two plain
// paths, as the many spellings of a field have it; nil for others.
func (c *compiler) coalesce(e *expr.RawExpr) valueFn {
	var ids []int32
	for e.Op == expr.OpCoalesce {
		id := c.pathID(e.Args[0])
		if id < 0 {
			break
		}
		ids, e = append(ids, id), e.Args[1]
	}
	if id := c.pathID(e); id >= 0 {
		ids, e = append(ids, id), nil
	}
	if len(ids) < 2 {
		return nil
	}
	again, line := c.inEach(), c.line
	rest := func(*run) expr.RawValue { return expr.RawValue{} }
	if e != nil {
		rest = c.value(e)
	}
	return func(r *run) expr.RawValue {
		for _, id := range ids {
			if i, ok := r.doc.At(id); ok && r.doc.Nodes[i].Kind != rawjson.Null {
				r.pending = append(r.pending, i)
				if again {
					r.spend(expr.NodeCost(r.doc, i), line)
				}
				return expr.RawValue{Kind: expr.RawNode, Doc: r.doc, Node: i}
			}
		}
		return rest(r)
	}
}

// mapValue compiles a map literal: it becomes JSON, without what is absent.
func (c *compiler) mapValue(e *expr.RawExpr) valueFn {
	var parts []valueFn
	var keys []string
	for i, a := range e.Args {
		parts = append(parts, c.value(a))
		keys = append(keys, string(rawjson.AppendText(nil, e.Names[i]))+":")
	}
	return func(r *run) expr.RawValue {
		dst := append(r.buf[:0], '{')
		r.buf = nil // a part may be a map too
		for i, p := range parts {
			v := p(r)
			if !v.Has() {
				continue
			}
			if len(dst) > 1 {
				dst = append(dst, ',')
			}
			dst = v.AppendJSON(append(dst, keys[i]...))
		}
		r.buf = append(dst, '}')
		return expr.RawValue{Kind: expr.RawJSON, Text: r.doc.Keep(r.buf)}
	}
}

// call compiles the functions of the language.
func (c *compiler) call(e *expr.RawExpr) valueFn {
	switch e.Name {
	case "lowerAscii", "upperAscii", "trim":
		return c.textCall(e)
	case "extract":
		return c.extract(e)
	case "member":
		return c.memberOf(e)
	}
	arg := c.value(e.Args[0])
	if e.Name == "json" {
		return func(r *run) expr.RawValue { return r.json(arg(r)) }
	}
	if e.Name == "inZone" || e.Name == "timeAs" {
		layout, zone := e.Value.Text, e.Zone
		return func(r *run) expr.RawValue {
			v := arg(r)
			if s, ok := v.Scalar(); ok {
				if ms, ok := r.m.parseTime(s, layout, zone); ok {
					return expr.RawValue{Kind: expr.RawTime, Num: ms}
				}
			}
			return expr.RawValue{}
		}
	}
	per, milli := int64(1), int64(1)
	switch e.Name {
	case "seconds":
		milli = 1000
	case "micros":
		per = 1000
	}
	return func(r *run) expr.RawValue {
		v := arg(r)
		s, ok := v.Scalar()
		if !ok {
			return expr.RawValue{}
		}
		ms, ok := expr.EpochMillis(s, per, milli)
		if !ok {
			return expr.RawValue{}
		}
		return expr.RawValue{Kind: expr.RawTime, Num: ms}
	}
}
