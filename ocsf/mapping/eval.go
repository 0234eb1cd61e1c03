package mapping

import (
	"slices"
	"strings"

	"nagare/ocsf/expr"
	"nagare/ocsf/rawjson"
)

// A valueFn gives the value of an expression for the event at hand.
type valueFn func(r *run) expr.RawValue

// A tri is what a condition says.
type tri uint8

const (
	no tri = iota
	yes
	fail // it has no answer, for want of a value; as a whole this is no
)

// A condFn evaluates a condition.
type condFn func(r *run) tri

// A finder finds the node of a path.
type finder func(r *run) (expr.RawValue, bool)

// find compiles a path. Paths without an index are found without a search.
func (c *compiler) find(e *expr.RawExpr) finder {
	var names []string
	for _, s := range e.Steps {
		if s.Name == "" {
			names = nil
			break
		}
		names = append(names, s.Name)
	}
	indexed := len(names) < len(e.Steps)
	if e.Var == "raw" && !indexed {
		id := c.m.paths.Add(names...)
		return func(r *run) (expr.RawValue, bool) {
			i, ok := r.doc.At(id)
			if !ok || r.doc.Nodes[i].Kind == rawjson.Null {
				return expr.RawValue{}, false
			}
			return expr.RawValue{Kind: expr.RawNode, Doc: r.doc, Node: i}, true
		}
	}
	if e.Var != "raw" && !indexed && c.elem != nil {
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
			return walk(v, steps)
		}
	}
	raw := e.Var == "raw"
	return func(r *run) (expr.RawValue, bool) {
		v := r.vars.Var
		if raw {
			v = expr.RawValue{Kind: expr.RawNode, Doc: r.doc}
		}
		return walk(v, steps)
	}
}

// findInElement finds members of the elements of an each whose list is a
// plain path, by the numbers of their paths.
func (c *compiler) findInElement(names []string) finder {
	ids := make([]int32, len(names))
	at := c.elem[:len(c.elem):len(c.elem)]
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
		if v.Doc != r.doc || v.Kind != expr.RawNode {
			return walk(v, steps)
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

func walk(v expr.RawValue, steps []expr.Step) (expr.RawValue, bool) {
	for _, s := range steps {
		var ok bool
		switch {
		case v.Kind != expr.RawNode:
			return expr.RawValue{}, false
		case s.Name != "":
			v.Node, ok = v.Doc.Child(v.Node, s.Name)
		case s.Where != nil:
			v.Node, ok = pick(v, s)
		default:
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
func pick(v expr.RawValue, s expr.Step) (int32, bool) {
	d, n := v.Doc, s.Index
	if d.Nodes[v.Node].Kind != rawjson.Array {
		return -1, false
	}
	for k, end := v.Node+1, d.Nodes[v.Node].Next; k < end; k = d.Nodes[k].Next {
		got, ok := walk(expr.RawValue{Kind: expr.RawNode, Doc: d, Node: k}, s.Where.Steps)
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
		key, table, field := c.value(e.Args[0]), e.Table, e.Name
		return func(r *run) expr.RawValue {
			k := key(r)
			s, ok := k.Scalar()
			if !ok {
				return expr.RawValue{}
			}
			row, _ := table.Find(s)
			v, ok := row[field]
			if !ok {
				r.pending = r.pending[:0]
				return expr.RawValue{}
			}
			return v
		}
	case expr.OpCoalesce:
		a, b := c.value(e.Args[0]), c.value(e.Args[1])
		return func(r *run) expr.RawValue {
			if v := a(r); v.Has() {
				return v
			}
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
			v := expr.RawValue{Kind: expr.RawList}
			for _, p := range parts {
				if e := p(r); e.Has() {
					v.List = append(v.List, e)
				}
			}
			return v
		}
	case expr.OpMap:
		return c.mapValue(e)
	case expr.OpPart:
		v, sep, n := c.value(e.Args[0]), e.Value.Text, e.Index
		return func(r *run) expr.RawValue {
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
		}
	case expr.OpProgram:
		p := e.Program
		return func(r *run) expr.RawValue {
			r.vars.Touched = r.vars.Touched[:0]
			v := p.Eval(r.vars)
			r.pendTouched(&v)
			return v
		}
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

// mapValue compiles a map literal: it becomes JSON, without what is absent.
func (c *compiler) mapValue(e *expr.RawExpr) valueFn {
	var parts []valueFn
	var keys []string
	for i, a := range e.Args {
		parts = append(parts, c.value(a))
		keys = append(keys, string(rawjson.AppendText(nil, e.Names[i]))+":")
	}
	return func(r *run) expr.RawValue {
		dst := []byte{'{'}
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
		return expr.RawValue{Kind: expr.RawJSON, Text: string(append(dst, '}'))}
	}
}

// call compiles the functions of the language.
func (c *compiler) call(e *expr.RawExpr) valueFn {
	arg := c.value(e.Args[0])
	if e.Name == "json" {
		return func(r *run) expr.RawValue { return r.json(arg(r)) }
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

// cond compiles a condition.
func (c *compiler) cond(e *expr.RawExpr) condFn {
	switch e.Op {
	case expr.OpAnd:
		a, b := c.cond(e.Args[0]), c.cond(e.Args[1])
		return func(r *run) tri {
			x := a(r)
			if x == no {
				return no
			}
			if y := b(r); y != yes {
				return y
			}
			return x
		}
	case expr.OpOr:
		a, b := c.cond(e.Args[0]), c.cond(e.Args[1])
		return func(r *run) tri {
			x := a(r)
			if x == yes {
				return yes
			}
			if y := b(r); y != no {
				return y
			}
			return x
		}
	case expr.OpNot:
		a := c.cond(e.Args[0])
		return func(r *run) tri {
			switch a(r) {
			case yes:
				return no
			case no:
				return yes
			}
			return fail
		}
	case expr.OpHas:
		if x := e.Args[0]; x.Op == expr.OpPath {
			find := c.find(x)
			return func(r *run) tri {
				_, ok := find(r)
				return truth(ok)
			}
		}
		v := c.value(e.Args[0])
		return func(r *run) tri { return truth(v(r).Has()) }
	case expr.OpEqual:
		v, want := c.operand(e.Args[0]), e.Value
		return func(r *run) tri {
			got, ok := v(r)
			if !ok {
				return fail
			}
			return truth(equal(&got, &want))
		}
	case expr.OpIn:
		return c.in(e)
	case expr.OpExists:
		list, step := c.operand(e.Args[0]), e.Steps[0]
		return func(r *run) tri {
			v, ok := list(r)
			if !ok || v.Kind != expr.RawNode || v.Doc.Nodes[v.Node].Kind != rawjson.Array {
				return fail
			}
			_, ok = pick(v, step)
			return truth(ok)
		}
	case expr.OpPrefix, expr.OpSuffix, expr.OpInside:
		test := map[expr.Op]func(string, string) bool{expr.OpPrefix: strings.HasPrefix, expr.OpSuffix: strings.HasSuffix, expr.OpInside: strings.Contains}[e.Op]
		v, want := c.operand(e.Args[0]), e.Value.Text
		return func(r *run) tri {
			got, ok := v(r)
			if !ok {
				return fail
			}
			s, ok := textOf(&got)
			if !ok {
				return fail
			}
			return truth(test(s, want))
		}
	case expr.OpProgram:
		p := e.Program
		return func(r *run) tri {
			holds, failed := p.EvalBool(r.vars)
			if failed {
				return fail
			}
			return truth(holds)
		}
	}
	v := c.value(e)
	return func(r *run) tri {
		got := v(r)
		switch {
		case got.Kind == expr.RawBool:
			return truth(got.Num != 0)
		case got.Kind == expr.RawNode && got.Doc.Nodes[got.Node].Kind == rawjson.True:
			return yes
		case got.Kind == expr.RawNode && got.Doc.Nodes[got.Node].Kind == rawjson.False:
			return no
		}
		return fail
	}
}

// operand is value for comparing: a path is only looked at.
func (c *compiler) operand(e *expr.RawExpr) finder {
	if e.Op == expr.OpPath {
		return c.find(e)
	}
	v := c.value(e)
	return func(r *run) (expr.RawValue, bool) {
		got := v(r)
		return got, got.Has()
	}
}

func (c *compiler) in(e *expr.RawExpr) condFn {
	v, values := c.operand(e.Args[0]), e.Values
	texts := map[string]bool{}
	var others []expr.RawValue
	for _, x := range values {
		if x.Kind == expr.RawText {
			texts[x.Text] = true
		} else {
			others = append(others, x)
		}
	}
	return func(r *run) tri {
		got, ok := v(r)
		if !ok {
			return fail
		}
		if s, ok := textOf(&got); ok {
			return truth(texts[s])
		}
		for i := range others {
			if equal(&got, &others[i]) {
				return yes
			}
		}
		return no
	}
}

func truth(b bool) tri {
	if b {
		return yes
	}
	return no
}

// textOf is the value of a text; other kinds are not ok.
func textOf(v *expr.RawValue) (string, bool) {
	switch {
	case v.Kind == expr.RawText:
		return v.Text, true
	case v.Kind == expr.RawNode && v.Doc.Nodes[v.Node].Kind == rawjson.String:
		return v.Doc.Text(v.Node), true
	}
	return "", false
}

// equal is CEL's equality: values of different kinds are not equal.
func equal(v, want *expr.RawValue) bool {
	switch want.Kind {
	case expr.RawText:
		s, ok := textOf(v)
		return ok && s == want.Text
	case expr.RawInt:
		switch v.Kind {
		case expr.RawInt:
			return v.Num == want.Num
		case expr.RawFloat:
			return v.Real == float64(want.Num)
		case expr.RawNode:
			n, ok := v.Doc.Int(v.Node)
			return ok && n == want.Num
		}
	case expr.RawBool:
		switch v.Kind {
		case expr.RawBool:
			return v.Num == want.Num
		case expr.RawNode:
			k := v.Doc.Nodes[v.Node].Kind
			return k == rawjson.True && want.Num != 0 || k == rawjson.False && want.Num == 0
		}
	}
	return false
}
