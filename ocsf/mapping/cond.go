package mapping

import (
	"math"
	"regexp"
	"strings"

	"nagare/ocsf/expr"
	"nagare/ocsf/rawjson"
)

// A tri is what a condition says.
type tri uint8

const (
	no tri = iota
	yes
	fail // it has no answer, for want of a value; as a whole this is no
)

// A condFn evaluates a condition.
type condFn func(r *run) tri

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
		v := c.operand(e.Args[0])
		return func(r *run) tri {
			_, ok := v(r)
			return truth(ok)
		}
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
			_, ok = r.pick(v, step)
			return truth(ok)
		}
	case expr.OpSame:
		a, b, program := c.operand(e.Args[0]), c.operand(e.Args[1]), e.Program
		line, not := c.line, e.Values[0].Num != 0
		return func(r *run) tri {
			x, ok := a(r)
			if !ok {
				return fail
			}
			y, ok := b(r)
			if !ok {
				return fail
			}
			s, ok1 := textOf(&x)
			t, ok2 := textOf(&y)
			if !ok1 || !ok2 {
				return r.holds(program, line)
			}
			return truth((s == t) != not)
		}
	case expr.OpOrder:
		return c.order(e)
	case expr.OpMatch:
		v, re := c.operand(e.Args[0]), regexp.MustCompile(e.Value.Text)
		size, line := expr.PatternSize(e.Value.Text), c.line
		return func(r *run) tri {
			got, ok := v(r)
			if !ok {
				return fail
			}
			s, ok := textOf(&got)
			if !ok {
				return fail
			}
			r.spend(expr.PatternCost(s, size), line)
			return truth(re.MatchString(s))
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
		p, line := e.Program, c.line
		return func(r *run) tri { return r.holds(p, line) }
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

// order compiles a comparison of a number of the event with a constant. What is
// no JSON number, or beyond what a float holds exactly, is left to the program.
func (c *compiler) order(e *expr.RawExpr) condFn {
	find, program, op, line := c.find(e.Args[0]), e.Program, e.Name, c.line
	want := float64(e.Value.Num)
	if e.Value.Kind == expr.RawFloat {
		want = e.Value.Real()
	}
	return func(r *run) tri {
		v, ok := find(r)
		if !ok {
			return fail
		}
		if v.Kind != expr.RawNode || v.Doc.Nodes[v.Node].Kind != rawjson.Number {
			return r.holds(program, line)
		}
		got, ok := v.Doc.Float(v.Node)
		if !ok || math.Abs(got) >= 1<<53 {
			return r.holds(program, line)
		}
		switch op {
		case ">=":
			return truth(got >= want)
		case ">":
			return truth(got > want)
		case "<=":
			return truth(got <= want)
		}
		return truth(got < want)
	}
}

// operand is value for comparing: what is only looked at stays in unmapped.
func (c *compiler) operand(e *expr.RawExpr) finder {
	if e.Op == expr.OpPath {
		return c.find(e)
	}
	v := c.value(e)
	return func(r *run) (expr.RawValue, bool) {
		had := len(r.pending)
		got := v(r)
		r.pending = r.pending[:min(had, len(r.pending))]
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
			return v.Real() == float64(want.Num)
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
