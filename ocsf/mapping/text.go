package mapping

import (
	"regexp"
	"strings"

	"nagare/ocsf/expr"
	"nagare/ocsf/rawjson"
)

// textCall compiles the functions that make a text of one: lowerAscii,
// upperAscii and trim. Most texts come out as they went in, and cost nothing.
func (c *compiler) textCall(e *expr.RawExpr) valueFn {
	arg, name := c.value(e.Args[0]), e.Name
	return func(r *run) expr.RawValue {
		had := len(r.pending)
		v := arg(r)
		had = min(had, len(r.pending))
		s, ok := textOf(&v)
		if !ok {
			r.pending = r.pending[:had]
			return expr.RawValue{}
		}
		var out string
		switch name {
		case "lowerAscii":
			out = r.ascii(s, 'A', 'Z', 'a'-'A')
		case "upperAscii":
			out = r.ascii(s, 'a', 'z', 'A'-'a'+256)
		default:
			out = strings.TrimSpace(s)
		}
		r.vars.Touched = append(r.vars.Touched[:0], r.pending[had:]...)
		r.keepMade(had, out)
		return expr.RawValue{Kind: expr.RawText, Text: out}
	}
}

// ascii adds shift to the bytes of s between low and high.
func (r *run) ascii(s string, low, high byte, shift int) string {
	for i := 0; i < len(s); i++ {
		if s[i] < low || s[i] > high {
			continue
		}
		dst := append(r.joined[:0], s...)
		for ; i < len(dst); i++ {
			if dst[i] >= low && dst[i] <= high {
				dst[i] += byte(shift)
			}
		}
		r.joined = dst
		return r.doc.Keep(dst)
	}
	return s
}

// keepMade leaves of what is pending from had on only what a text has in it.
func (r *run) keepMade(had int, text string) {
	made := r.pending[:had]
	for _, i := range r.pending[had:] {
		if madeOf(text, r.doc.Literal(i)) {
			made = append(made, i)
		}
	}
	r.pending = made
}

// extract compiles regex.extract with a constant pattern: the first match, or
// its group; absent without one.
func (c *compiler) extract(e *expr.RawExpr) valueFn {
	arg, re := c.value(e.Args[0]), regexp.MustCompile(e.Value.Text)
	group, size, line := 2*re.NumSubexp(), expr.PatternSize(e.Value.Text), c.line
	return func(r *run) expr.RawValue {
		had := len(r.pending)
		v := arg(r)
		had = min(had, len(r.pending))
		s, ok := textOf(&v)
		if !ok {
			r.pending = r.pending[:had]
			return expr.RawValue{}
		}
		r.spend(expr.PatternCost(s, size), line)
		at := re.FindStringSubmatchIndex(s)
		if at == nil {
			r.pending = r.pending[:had]
			return expr.RawValue{}
		}
		out := ""
		if at[group] >= 0 {
			out = s[at[group]:at[group+1]]
		}
		r.keepMade(had, out)
		return expr.RawValue{Kind: expr.RawText, Text: out}
	}
}

// memberOf compiles path[path]: the member of an object that a text names.
// Other keys are left to the program.
func (c *compiler) memberOf(e *expr.RawExpr) valueFn {
	object, key, program, line := c.find(e.Args[0]), c.find(e.Args[1]), e.Program, c.line
	return func(r *run) expr.RawValue {
		of, ok := object(r)
		if !ok {
			return expr.RawValue{}
		}
		k, ok := key(r)
		if !ok {
			return expr.RawValue{}
		}
		name, ok := textOf(&k)
		if !ok || of.Kind != expr.RawNode || of.Doc.Nodes[of.Node].Kind != rawjson.Object {
			return r.eval(program, line)
		}
		i, ok := of.Doc.Child(of.Node, name)
		if !ok {
			return expr.RawValue{}
		}
		v := expr.NodeValue(of.Doc, i)
		if v.Has() {
			r.pend(v)
		}
		return v
	}
}

// matchesFolded says whether a text in lower case is one of some.
func matchesFolded(v *expr.RawValue, values []expr.RawValue) bool {
	s, ok := textOf(v)
	if !ok {
		return false
	}
	for i := range values {
		if want := values[i].Text; values[i].Kind == expr.RawText && len(want) == len(s) && lowerEqual(s, want) {
			return true
		}
	}
	return false
}

// lowerEqual says whether s, with its ASCII letters in lower case, is want.
func lowerEqual(s, want string) bool {
	for i := 0; i < len(s); i++ {
		c := s[i]
		if c >= 'A' && c <= 'Z' {
			c += 'a' - 'A'
		}
		if c != want[i] {
			return false
		}
	}
	return true
}

// eachOf compiles list.map(x, x.a): the values that a path of the elements
// has. An element without one is no answer, as in CEL.
func (c *compiler) eachOf(e *expr.RawExpr) valueFn {
	find, steps, program, line := c.find(e.Args[0]), e.Steps, e.Program, c.line
	return func(r *run) expr.RawValue {
		list, ok := find(r)
		if !ok {
			return expr.RawValue{}
		}
		if list.Kind != expr.RawNode || list.Doc.Nodes[list.Node].Kind != rawjson.Array {
			return r.eval(program, line)
		}
		d := list.Doc
		out := make([]expr.RawValue, 0, d.Count(list.Node))
		had := len(r.pending)
		for k, end := list.Node+1, d.Nodes[list.Node].Next; k < end; k = d.Nodes[k].Next {
			v, ok := r.walk(expr.RawValue{Kind: expr.RawNode, Doc: d, Node: k}, steps)
			if !ok {
				r.pending = r.pending[:had]
				return r.eval(program, line)
			}
			out = append(out, v)
			r.pend(v)
		}
		return expr.ListValue(out)
	}
}
