package mapping

import (
	"fmt"
	"slices"

	"go.yaml.in/yaml/v4"

	"nagare/ocsf"
	"nagare/ocsf/expr"
	"nagare/ocsf/rawjson"
)

// rows compiles a list of maps into an array of objects.
func (c *compiler) rows(path string, p pair) []filler {
	slot, err := c.layout.Add(path)
	if err != nil {
		c.pathProblem(p.key, err)
		return nil
	}
	c.set[path] = slot
	var out []filler
	for _, n := range list(p.value) {
		if n.Kind != yaml.MappingNode {
			c.say(n, "wrong-type", fmt.Sprintf("%s is a list of objects: a map must stand here", path), "or use each")
			continue
		}
		row := c.row(slot, n, n)
		out = append(out, func(r *run, slots []ocsf.Value) { row.fill(r, slots) })
	}
	return out
}

// A rowPlan fills one row of an array of objects.
type rowPlan struct {
	slot    int
	layout  *ocsf.Layout
	fillers []filler
	tree    []*object
}

// row compiles a row. at is where a missing attribute is reported.
func (c *compiler) row(slot int, set, at *yaml.Node) *rowPlan {
	outer, outerSet, prefix, always := c.layout, c.set, c.prefix, c.always
	c.always = map[int]bool{}
	c.layout, c.set = outer.Info(slot).Rows, map[string]int{}
	c.prefix += outer.Info(slot).Path + "[]."
	p := &rowPlan{slot: slot, layout: c.layout, fillers: c.attributes(set)}
	p.tree = newTree(c.layout.Object, c.set)
	c.required(at, c.layout.Object, "", false)
	c.layout, c.set, c.prefix, c.always = outer, outerSet, prefix, always
	return p
}

// fill appends the row to its list; not when it lacks what its object needs.
func (p *rowPlan) fill(r *run, slots []ocsf.Value) {
	list := slots[p.slot].List()
	if list == nil {
		list = r.out.NewList(p.layout)
	}
	row := list.AddRow()
	from := len(r.uses)
	for _, f := range p.fillers {
		f(r, row)
	}
	empty := !slices.ContainsFunc(row, ocsf.Value.Has)
	if empty || r.settle(p.tree, row, from) != "" {
		list.DropRow()
		r.dropFrom(from)
		return
	}
	for i := from; i < len(r.uses); i++ {
		r.uses[i].slot = int32(p.slot)
	}
	slots[p.slot] = ocsf.ListValue(list)
}

// each compiles an each: a row for every element of a list.
func (c *compiler) each(n *yaml.Node) filler {
	fields := c.fields(c.f.name, n, eachKeys)
	for _, k := range []string{"path", "in", "as", "set"} {
		if fields[k] == nil {
			c.say(n, "missing-key", fmt.Sprintf("an each needs %q", k), "each: {path: …, in: …, as: …, set: {…}}")
			return nil
		}
	}
	path, name := c.text(c.f.name, fields["path"]), c.text(c.f.name, fields["as"])
	if !isWord(name) {
		c.say(fields["as"], "wrong-value", fmt.Sprintf("%q cannot name an element", name), "")
		return nil
	}
	a, err := attrAt(c.layout.Object, path)
	if err != nil {
		c.pathProblem(fields["path"], err)
		return nil
	}
	if a.Base != ocsf.BaseObject || !a.Array {
		c.say(fields["path"], "wrong-type", fmt.Sprintf("%s is no list of objects", path), "a list of texts is set with an expression, as raw.list")
		return nil
	}
	in := c.expression(fields["in"])
	slot, err := c.layout.Add(path)
	if in == nil || err != nil {
		return nil
	}
	c.set[path] = slot
	if c.places[c.prefix+path] == nil {
		c.places[c.prefix+path] = fields["path"]
	}
	elements := c.value(in)
	c.elem = elementPath(in)
	c.raw.Scope = name
	defer func() { c.raw.Scope = "" }()
	var when condFn
	if w := fields["when"]; w != nil {
		if x := c.condition(w); x != nil {
			when = c.cond(x)
		}
	}
	row, line := c.row(slot, fields["set"], n), n.Line
	cost := int64(1 + len(row.fillers))
	c.elem = nil
	return func(r *run, slots []ocsf.Value) {
		r.pending = r.pending[:0]
		v := elements(r)
		r.pending = r.pending[:0]
		r.vars.VarName = name
		forEach(&v, func(e expr.RawValue) {
			r.vars.Var = e
			r.spend(cost, line)
			if when == nil || when(r) == yes {
				row.fill(r, slots)
			}
		})
		r.within(line)
		r.vars.VarName, r.vars.Var = "", expr.RawValue{}
	}
}

// elementPath is the path of the elements when a list is a plain path.
func elementPath(in *expr.RawExpr) []string {
	for in.Op == expr.OpCoalesce {
		in = in.Args[0]
	}
	if in.Op != expr.OpPath || in.Var != "raw" {
		return nil
	}
	var out []string
	for _, s := range in.Steps {
		if s.Name == "" {
			return nil
		}
		out = append(out, s.Name)
	}
	return append(out, rawjson.Elem)
}

// forEach calls f for every element of a list; a value that is no list is a
// list of one.
func forEach(v *expr.RawValue, f func(expr.RawValue)) {
	switch {
	case v.Kind == expr.RawAbsent:
	case v.Kind == expr.RawList:
		for _, e := range v.Elements() {
			f(e)
		}
	case v.Kind == expr.RawNode && v.Doc.Nodes[v.Node].Kind == rawjson.Array:
		d := v.Doc
		for k, end := v.Node+1, d.Nodes[v.Node].Next; k < end; k = d.Nodes[k].Next {
			if d.Nodes[k].Kind != rawjson.Null {
				f(expr.NodeValue(d, k))
			}
		}
	default:
		f(*v)
	}
}
