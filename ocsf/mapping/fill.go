package mapping

import (
	"fmt"
	"slices"
	"strings"

	"go.yaml.in/yaml/v4"

	"nagare/ocsf"
	"nagare/ocsf/expr"
	"nagare/ocsf/rawjson"
)

// attribute compiles what one attribute is set to.
func (c *compiler) attribute(path string, a *ocsf.Attr, p pair) []filler {
	if a.Base == ocsf.BaseObject && !a.Array {
		c.say(p.value, "wrong-type", fmt.Sprintf("%s is an object (%s)", path, a.Object.Name), "set its attributes, one by one")
		return nil
	}
	if _, ok := c.set[path]; ok {
		if !p.merged {
			c.say(p.key, "duplicate-key", c.twice(path), "")
		}
		return nil
	}
	c.places[c.prefix+path] = p.key
	if a.Base == ocsf.BaseObject {
		return c.rows(path, p)
	}
	t, err := newTarget(c.layout, path)
	if err != nil {
		c.pathProblem(p.key, err)
		return nil
	}
	if _, ok := c.set[t.path]; ok && t.path != path {
		if p.merged {
			return nil
		}
		c.say(p.key, "duplicate-key", fmt.Sprintf("%s is set twice: %s is its caption", t.path, path), "")
		return nil
	}
	t.full = c.prefix + path
	c.set[t.path], c.places[c.prefix+t.path] = t.slot, p.key
	if t.text >= 0 {
		text := c.layout.Info(t.text).Path
		c.set[text], c.places[c.prefix+text] = t.text, p.key
	}
	if p.value.Kind == yaml.SequenceNode {
		if !a.Array {
			c.say(p.value, "wrong-type", fmt.Sprintf("%s is one value, not a list", path), "")
			return nil
		}
		var out []filler
		for _, n := range list(p.value) {
			if f := c.scalar(t, n); f != nil {
				out = append(out, f)
			}
		}
		return out
	}
	if f := c.scalar(t, p.value); f != nil {
		return []filler{f}
	}
	return nil
}

// twice says that a path is set twice, and where the first time was.
func (c *compiler) twice(path string) string {
	if first := c.places[c.prefix+path]; first != nil {
		return fmt.Sprintf("%s is set twice, first on line %d", path, first.Line)
	}
	return fmt.Sprintf("%s is set twice", path)
}

// scalar compiles a constant or an expression.
func (c *compiler) scalar(t *target, n *yaml.Node) filler {
	if n.Kind != yaml.ScalarNode || n.Tag == "!!null" {
		c.say(n, "wrong-type", fmt.Sprintf("%s needs a constant or an expression", t.path), "")
		return nil
	}
	if n.Tag == "!!str" {
		if x := c.expression(n); x != nil {
			return c.fill(t, n, x)
		}
		return nil
	}
	v, ok := c.loader.scalar(c.f.name, n)
	if !ok {
		return nil
	}
	return c.constant(t, n, v)
}

// fill compiles an expression into an attribute.
func (c *compiler) fill(t *target, n *yaml.Node, x *expr.RawExpr) filler {
	if !c.fits(t, n, x) {
		return nil
	}
	c.branches(t, n, x)
	switch x.Op {
	case expr.OpConst:
		return c.constant(t, n, x.Value)
	case expr.OpLookup:
		return c.lookup(t, n, x)
	case expr.OpPath:
		if f := c.plain(t, x); f != nil {
			return f
		}
	case expr.OpCoalesce:
		if f := c.first(t, x); f != nil {
			return f
		}
	}
	value := c.value(x)
	return func(r *run, slots []ocsf.Value) {
		r.pending = r.pending[:0]
		v := value(r)
		if t.put(r, slots, &v) {
			r.usePending(int32(t.slot))
		} else if !v.Empty() { // "" and [] are how a file says nothing
			s, _ := v.Scalar()
			r.tally.lose(t, s)
		} else if !v.Has() && x.Op == expr.OpCall && len(r.pending) > 0 { // a time that is none
			r.tally.lose(t, r.doc.Literal(r.pending[0]))
		}
	}
}

// branches checks the constants and tables that an expression may give, as if
// each stood there alone.
func (c *compiler) branches(t *target, n *yaml.Node, x *expr.RawExpr) {
	switch x.Op {
	case expr.OpIf:
		c.branch(t, n, x.Args[1])
		c.branch(t, n, x.Args[2])
	case expr.OpCoalesce:
		c.branch(t, n, x.Args[0])
		c.branch(t, n, x.Args[1])
	}
}

func (c *compiler) branch(t *target, n *yaml.Node, x *expr.RawExpr) {
	at := &yaml.Node{}
	at.Line, at.Column = place(n, x.Line, x.Column)
	switch {
	case x.Op == expr.OpConst && x.Value.Kind == expr.RawText && x.Value.Text == "": // says nothing
	case x.Op == expr.OpConst:
		always := c.always[t.slot]
		c.constant(t, at, x.Value)
		c.always[t.slot] = always
	case x.Op == expr.OpLookup && !t.attr.Array:
		c.tableRows(t, n, x)
	default:
		c.branches(t, n, x)
	}
}

// plain is fill for a path and an attribute that is one text, number or time.
func (c *compiler) plain(t *target, x *expr.RawExpr) filler {
	if t.attr.Array || t.attr.Base == ocsf.BaseJSON {
		return nil
	}
	if id := c.pathID(x); id >= 0 && !c.inEach() {
		return func(r *run, slots []ocsf.Value) {
			if i, ok := r.doc.At(id); ok {
				t.putNode(r, slots, i)
			}
		}
	}
	find := c.find(x)
	return func(r *run, slots []ocsf.Value) {
		v, ok := find(r)
		if !ok {
			return
		}
		if v.Kind == expr.RawNode && v.Doc == r.doc {
			t.putNode(r, slots, v.Node)
		} else if !t.put(r, slots, &v) {
			s, _ := v.Scalar()
			r.tally.lose(t, s)
		}
	}
}

// first is fill for the first of some paths that is there.
func (c *compiler) first(t *target, x *expr.RawExpr) filler {
	if t.attr.Array || t.attr.Base == ocsf.BaseJSON || c.inEach() {
		return nil
	}
	var ids []int32
	var last filler
	for x.Op == expr.OpCoalesce {
		id := c.pathID(x.Args[0])
		if id < 0 {
			return nil
		}
		ids, x = append(ids, id), x.Args[1]
	}
	if id := c.pathID(x); id >= 0 {
		ids = append(ids, id)
	} else if x.Op == expr.OpConst && x.Value.Kind == expr.RawText && t.enum == nil {
		v := x.Value
		last = func(r *run, slots []ocsf.Value) { t.put(r, slots, &v) }
	} else {
		return nil
	}
	return func(r *run, slots []ocsf.Value) {
		for _, id := range ids {
			if i, ok := r.doc.At(id); ok && r.doc.Nodes[i].Kind != rawjson.Null {
				t.putNode(r, slots, i)
				return
			}
		}
		if last != nil {
			last(r, slots)
		}
	}
}

// putNode puts a value of the event into an attribute that is one text, number
// or time.
func (t *target) putNode(r *run, slots []ocsf.Value, i int32) {
	s := ""
	switch k := r.doc.Nodes[i].Kind; {
	case k == rawjson.Null:
		return
	case k < rawjson.Object:
		if s = r.doc.Literal(i); s == "" {
			return // is how a file says nothing
		}
		if t.setText(r, slots, s) {
			r.doc.Use(i)
			r.uses = append(r.uses, use{int32(t.slot), i})
			return
		}
	}
	r.tally.lose(t, s)
}

// lookup compiles tables.name[key]: what is in the table is converted while
// loading, and checked.
func (c *compiler) lookup(t *target, n *yaml.Node, x *expr.RawExpr) filler {
	if t.attr.Array {
		value := c.value(x)
		return func(r *run, slots []ocsf.Value) {
			r.pending = r.pending[:0]
			if v := value(r); t.put(r, slots, &v) {
				r.usePending(int32(t.slot))
			}
		}
	}
	rows := c.tableRows(t, n, x)
	key := c.value(x.Args[0])
	folded := make(map[string][2]ocsf.Value, len(rows))
	for k, v := range rows {
		folded[strings.ToLower(k)] = v
	}
	return func(r *run, slots []ocsf.Value) {
		r.pending = r.pending[:0]
		k := key(r)
		s, ok := k.Scalar()
		if !ok {
			return
		}
		v, ok := rows[s]
		if !ok {
			v, ok = folded[strings.ToLower(s)]
		}
		if !ok {
			r.tally.notInTable = append(r.tally.notInTable, x.Table.Name)
			return
		}
		slots[t.slot] = v[0]
		if t.text >= 0 {
			slots[t.text] = v[1]
		}
		// The key may be what the program made of it: LOWER to lower.
		if len(r.pending) == 0 && len(r.vars.Touched) > 0 && (x.Args[0].Op == expr.OpProgram || x.Args[0].Op == expr.OpCall) {
			r.pending = append(r.pending, r.vars.Touched...)
		}
		r.usePending(int32(t.slot))
	}
}

// tableRows converts what a table says for an attribute, and checks it.
func (c *compiler) tableRows(t *target, n *yaml.Node, x *expr.RawExpr) map[string][2]ocsf.Value {
	rows := map[string][2]ocsf.Value{}
	var wrong []string
	probe, slots := &run{m: c.m}, make([]ocsf.Value, c.layout.Len())
	for k, row := range x.Table.Rows {
		v, ok := row[x.Name]
		if !ok {
			continue
		}
		slots[t.slot] = ocsf.Value{}
		if t.text >= 0 {
			slots[t.text] = ocsf.Value{}
		}
		if other, ok := t.otherText(&v); ok {
			rows[k] = [2]ocsf.Value{ocsf.IntValue(99), ocsf.TextValue(other)}
			continue
		}
		if !t.put(probe, slots, &v) || t.enum != nil && t.text >= 0 && slots[t.text].Has() {
			wrong = append(wrong, k)
			continue
		}
		rows[k] = [2]ocsf.Value{slots[t.slot]}
	}
	slices.Sort(wrong)
	code := "wrong-value"
	if t.enum != nil {
		code = "wrong-enum"
	}
	line, column := place(n, x.Line, x.Column)
	for i, k := range wrong {
		p := Problem{File: c.f.name, Line: line, Column: column, Code: code}
		if i == maxRows {
			p.Message = fmt.Sprintf("table %q says what %s cannot be for %d more", x.Table.Name, t.path, len(wrong)-i)
			c.note(p)
			break
		}
		v := x.Table.Rows[k][x.Name]
		s, _ := v.Scalar()
		p.Message = fmt.Sprintf("table %q says %q for %q, which %s cannot be", x.Table.Name, s, k, t.path)
		if t.enum != nil {
			p.Suggestion = t.enum.near(s)
		}
		c.note(p)
	}
	return rows
}

// maxRows bounds the rows of a table that are named as wrong for one attribute.
const maxRows = 20

// constant compiles a constant: it is converted and checked now.
func (c *compiler) constant(t *target, n *yaml.Node, v expr.RawValue) filler {
	s, isScalar := v.Scalar()
	c.always[t.slot] = true
	if other, ok := t.otherText(&v); ok {
		return func(_ *run, slots []ocsf.Value) {
			slots[t.slot], slots[t.text] = ocsf.IntValue(99), ocsf.TextValue(other)
		}
	}
	if t.enum != nil {
		e, ok := t.enum.find(s)
		if !ok || !isScalar {
			c.say(n, "wrong-enum", fmt.Sprintf("%s has no value %q", t.path, s), t.enum.near(s))
			return nil
		}
		if !t.attr.Array {
			return func(_ *run, slots []ocsf.Value) { slots[t.slot] = e }
		}
	}
	if t.attr.Array {
		if _, ok := t.conv(&run{m: c.m}, s); !ok && t.attr.Base != ocsf.BaseJSON {
			c.say(n, "wrong-value", fmt.Sprintf("%s cannot hold %q", t.path, s), typeName(t.attr))
			return nil
		}
		return func(r *run, slots []ocsf.Value) { t.putList(r, slots, &v) }
	}
	slots := make([]ocsf.Value, c.layout.Len())
	if !t.put(&run{m: c.m}, slots, &v) {
		c.say(n, "wrong-value", fmt.Sprintf("%s cannot be %q", t.path, s), typeName(t.attr))
		return nil
	}
	fixed := slots[t.slot]
	return func(_ *run, slots []ocsf.Value) { slots[t.slot] = fixed }
}

// fits checks the type of an expression as far as it is known.
func (c *compiler) fits(t *target, n *yaml.Node, x *expr.RawExpr) bool {
	ok := true
	switch x.Type {
	case expr.RawBool:
		ok = t.attr.Base == ocsf.BaseBool || t.attr.Base == ocsf.BaseJSON || t.attr.Base == ocsf.BaseString && t.enum == nil
	case expr.RawTime:
		ok = t.attr.Base == ocsf.BaseTimestamp || t.attr.Base == ocsf.BaseDatetime || t.attr.Base == ocsf.BaseString || t.attr.Base == ocsf.BaseJSON
	case expr.RawInt, expr.RawFloat:
		ok = t.attr.Base != ocsf.BaseBool || x.Op == expr.OpConst
	case expr.RawList:
		ok = t.attr.Array || t.attr.Base == ocsf.BaseJSON
	}
	if !ok {
		names := map[expr.RawKind]string{expr.RawBool: "true or false", expr.RawTime: "a time", expr.RawInt: "a number", expr.RawFloat: "a number", expr.RawList: "a list"}
		suggestion := typeName(t.attr)
		if x.Type == expr.RawBool && t.enum != nil && len(t.enum.enum.Items) > 2 {
			suggestion = fmt.Sprintf("say which: … ? %q : %q", t.enum.enum.Items[1].Caption, t.enum.enum.Items[2].Caption)
		}
		c.say(n, "wrong-type", fmt.Sprintf("%s cannot be %s", t.path, names[x.Type]), suggestion)
	}
	return ok
}

func typeName(a *ocsf.Attr) string {
	s := ""
	if a.Type != nil {
		s = "it is of type " + a.Type.Name
	}
	if a.Array {
		s += ", a list"
	}
	return s
}
