package mapping

import (
	"fmt"
	"slices"
	"strings"

	"nagare"
	"nagare/ocsf"
	"nagare/ocsf/expr"
	"nagare/ocsf/rawjson"
)

// native is a mapping of events that are OCSF already, of whatever version.
// They are not mapped anew: each attribute that our version has, and the lake
// has a column for, is checked and taken over; all else stays in unmapped. The
// class, the ids that follow from it, captions and observables are ours.
type native struct {
	classUID int32 // the path of class_uid
	byClass  map[int64]*entry
	// base takes events whose class our version does not have.
	base *entry
}

// A graft takes over one member: a value, an object with members of its own,
// or a list of objects.
type graft struct {
	target *target
	object *graftObject
	rows   *rowGraft
}

// A graftObject takes over the members of an object.
type graftObject struct {
	members  map[string]*graft
	captions []captionPair
	twins    [][2]int // slots of a time and of the same time as a datetime
}

// A captionPair is an enum id of an object and the text beside it.
type captionPair struct {
	id, text int
	enum     *ocsf.Enum
	list     bool
}

// A rowGraft takes over the elements of a list of objects.
type rowGraft struct {
	slot   int
	layout *ocsf.Layout
	object *graftObject
	tree   []*object
}

// ours are the attributes that follow from others or from the envelope: what
// the event says of them is compared, not taken.
var ours = map[string]bool{
	"class_uid": true, "class_name": true, "category_uid": true, "category_name": true, "type_uid": true, "type_name": true,
	"activity_name": true, "time_dt": true, "unmapped": true, "observables": true, "metadata.version": true, "metadata.uid": true, "metadata.logged_time": true,
}

// natives compiles a file that says ocsf: true.
func (c *compiler) natives() {
	for _, k := range []string{"events", "tables"} {
		if n := c.f.keys[k]; n != nil {
			c.say(n, "unknown-key", fmt.Sprintf("a file that says ocsf: true has no %s", k), "its events are OCSF already and are not mapped")
		}
	}
	if n := c.f.keys["ocsf"]; n.Value != "true" {
		c.say(n, "wrong-value", "ocsf is true or is not there", "")
		return
	}
	product := ""
	for name := range c.product {
		product = name
	}
	if len(c.product) != 1 {
		c.say(c.f.keys["products"], "wrong-value", "a file that says ocsf: true has one product, for events that name none", "")
		return
	}
	if c.usedProducts == nil {
		c.usedProducts = map[string]bool{}
	}
	c.usedProducts[product] = true
	n := &native{classUID: c.m.paths.Add("class_uid"), byClass: map[int64]*entry{}}
	for _, class := range c.layouts.Schema.Classes {
		e := c.native(class, product)
		if class.UID == 0 {
			e.lastResort = true
			n.base = e
		}
		n.byClass[int64(class.UID)] = e
	}
	c.m.native = n
}

// native compiles the entry of a class.
func (c *compiler) native(class *ocsf.Class, product string) *entry {
	e := &entry{line: c.f.keys["ocsf"].Line, layout: c.layouts.Class(class), code: -1}
	c.layout, c.set, c.elem = e.layout, map[string]int{}, nil
	o := c.graftObject(c.layouts.Schema.Columns(class), "")
	e.fillers = append(e.fillers, func(r *run, slots []ocsf.Value) { r.graft(o, 0, slots) }, c.nativeActivity(), c.nativeProfiles())
	for _, k := range c.productConstants(product) {
		// The event's own product comes first, but OCSF wants these two.
		if path := e.layout.Info(k.slot).Path; path == "metadata.product.vendor_name" || path == "metadata.product.name" {
			c.set[path] = k.slot
			e.fillers = append(e.fillers, func(_ *run, slots []ocsf.Value) {
				if !slots[k.slot].Has() {
					slots[k.slot] = k.value
				}
			})
		}
	}
	e.fillers = append(e.fillers, c.nativeSame(e.layout))
	e.base = c.baseSlots(e.layout)
	e.tree = newTree(&class.Object, c.set)
	e.zeros = profileZeros(e.layout, c.set)
	e.rescued = c.rescuedSlots()
	e.rescue = c.rescueFor(product)
	if slot, ok := c.set["metadata.event_code"]; ok {
		e.code = slot
	}
	e.fields = e.layout.Fields(c.slots(e))
	return e
}

// nativeActivity makes an activity that is not there Unknown, and keeps the
// source's own name of one that is Other.
func (c *compiler) nativeActivity() filler {
	slot, err := c.layout.Add("activity_id")
	if err != nil {
		return func(*run, []ocsf.Value) {}
	}
	c.set["activity_id"] = slot
	text, err := c.layout.Add("activity_name")
	path := c.m.paths.Add("activity_name")
	return func(r *run, slots []ocsf.Value) {
		if !slots[slot].Has() {
			slots[slot] = ocsf.IntValue(0)
		}
		if i, ok := r.doc.At(path); ok && err == nil && slots[slot].Int() == 99 && r.doc.Nodes[i].Kind == rawjson.String {
			if s := r.doc.Text(i); s != "" && len(s) <= maxText {
				slots[text] = ocsf.TextValue(s)
				r.doc.Use(i)
			}
		}
	}
}

// nativeProfiles takes the profiles out of the list of which nothing is there
// that our version knows: a profile that is listed may require attributes.
func (c *compiler) nativeProfiles() filler {
	slot, err := c.layout.Add("metadata.profiles")
	if err != nil {
		return func(*run, []ocsf.Value) {}
	}
	of := map[string][]int{}
	for path, s := range c.set {
		top, _, _ := strings.Cut(path, ".")
		if a, ok := c.layout.Object.Attr(top); ok {
			for _, p := range a.Profiles {
				of[p] = append(of[p], s)
			}
		}
	}
	return func(r *run, slots []ocsf.Value) {
		list := slots[slot].List()
		if list == nil {
			return
		}
		had := len(list.Items)
		list.Items = slices.DeleteFunc(list.Items, func(v ocsf.Value) bool {
			return v.Text() != "datetime" && !slices.ContainsFunc(of[v.Text()], func(i int) bool { return slots[i].Has() })
		})
		if len(list.Items) == 0 {
			slots[slot] = ocsf.Value{}
		}
		if len(list.Items) < had {
			r.unuse(slot, 0)
		}
	}
}

// nativeSame notes that what the event says of our attributes is used, where it
// says the same.
func (c *compiler) nativeSame(layout *ocsf.Layout) filler {
	class := layout.Class
	id := func(names ...string) int32 { return c.m.paths.Add(names...) }
	classUID, className, categoryUID, categoryName := id("class_uid"), id("class_name"), id("category_uid"), id("category_name")
	typeUID, typeName, activityName := id("type_uid"), id("type_name"), id("activity_name")
	version, timeDT := id("metadata", "version"), id("time_dt")
	activity, at := layout.Slot("activity_id"), layout.Slot("time")
	captions, _ := class.Attr("activity_id")
	return func(r *run, slots []ocsf.Value) {
		number := func(path int32, want int64) {
			if i, ok := r.doc.At(path); ok && r.doc.Nodes[i].Kind < rawjson.Object {
				if n, ok := rawjson.ParseInt(r.doc.Literal(i)); ok && n == want {
					r.doc.Use(i)
				}
			}
		}
		text := func(path int32, want ...string) {
			if i, ok := r.doc.At(path); ok && r.doc.Nodes[i].Kind == rawjson.String {
				s := r.doc.Text(i)
				for _, w := range want {
					if s, ok = strings.CutPrefix(s, w); !ok {
						return
					}
				}
				if s == "" {
					r.doc.Use(i)
				}
			}
		}
		number(classUID, int64(class.UID))
		text(className, class.Caption)
		number(categoryUID, int64(class.CategoryUID))
		text(categoryName, class.CategoryName)
		text(version, ocsf.Version)
		if i, ok := r.doc.At(timeDT); ok && r.doc.Nodes[i].Kind == rawjson.String {
			if ms, ok := parseTime(r.doc.Text(i), r.m.zone); ok && ms == slots[at].Int() {
				r.doc.Use(i)
			}
		}
		if activity < 0 || captions == nil || captions.Enum == nil {
			return
		}
		n := slots[activity].Int()
		number(typeUID, int64(class.UID)*100+n)
		if caption, ok := captions.Enum.Caption(n); ok {
			text(activityName, caption)
			text(typeName, class.Caption, ": ", caption)
		}
	}
}

// graftObject compiles the columns of an object, at a prefix of the layout at
// hand.
func (c *compiler) graftObject(columns []*ocsf.Column, prefix string) *graftObject {
	o := &graftObject{members: map[string]*graft{}}
	for _, col := range columns {
		if g := c.graft(col, prefix); g != nil {
			o.members[col.Name] = g
		}
	}
	for name, g := range o.members {
		t := g.target
		if t == nil {
			continue
		}
		if text := o.members[t.attr.Sibling]; t.enum != nil && text != nil && text.target != nil && text.target.attr.Array == t.attr.Array {
			o.captions = append(o.captions, captionPair{t.slot, text.target.slot, t.attr.Enum, t.attr.Array})
		}
		if dt := o.members[name+"_dt"]; dt != nil && dt.target != nil && dt.target.attr.Base == ocsf.BaseDatetime && t.attr.Base == ocsf.BaseTimestamp {
			o.twins = append(o.twins, [2]int{t.slot, dt.target.slot})
		}
	}
	return o
}

// graft compiles a column; nil when it is not to be taken over.
func (c *compiler) graft(col *ocsf.Column, prefix string) *graft {
	path := prefix + col.Name
	switch {
	case c.layout.Class != nil && ours[path], col.Type == ocsf.ColMap:
		return nil
	case col.Type == ocsf.ColGroup:
		return &graft{object: c.graftObject(col.Fields, path+".")}
	}
	slot, err := c.layout.AddOpen(path)
	if err != nil {
		return nil
	}
	c.set[path] = slot
	if col.Type == ocsf.ColList && col.Fields[0].Type == ocsf.ColGroup {
		outer, outerSet := c.layout, c.set
		defer func() { c.layout, c.set = outer, outerSet }()
		c.layout, c.set = outer.Info(slot).Rows, map[string]int{}
		g := &rowGraft{slot: slot, layout: c.layout, object: c.graftObject(col.Fields[0].Fields, "")}
		g.tree = newTree(c.layout.Object, c.set)
		return &graft{rows: g}
	}
	t := &target{path: path, full: path, attr: c.layout.Info(slot).Attr, slot: slot, text: -1}
	if t.attr.Enum != nil {
		t.enum = newEnumIndex(t.attr.Enum)
	}
	t.conv = convFor(t.attr, t.enum)
	return &graft{target: t}
}

// nativeEvent makes the event of one that is OCSF already.
func (m *Mapping) nativeEvent(r *run, ev *nagare.Event) (*entry, error) {
	e := m.native.base
	if i, ok := r.doc.At(m.native.classUID); ok {
		if uid, ok := rawjson.ParseInt(r.doc.Literal(i)); ok && r.doc.Nodes[i].Kind < rawjson.Object && m.native.byClass[uid] != nil {
			e = m.native.byClass[uid]
		}
	}
	err := r.fill(e, ev)
	if err == nil {
		return e, nil
	}
	var missing lacking
	missing.note(r, e, err)
	return e.rescue.entry, r.rescue(&missing, ev)
}

// graft takes over the members of an object of the event.
func (r *run) graft(o *graftObject, object int32, slots []ocsf.Value) {
	d, from := r.doc, len(r.uses)
	for k, end := object+1, d.Nodes[object].Next; k < end; k = d.Nodes[k].Next {
		kind := d.Nodes[k].Kind
		if !d.Live(k) || kind == rawjson.Null {
			continue
		}
		switch g := o.members[d.Name(k)]; {
		case g == nil:
		case g.object != nil:
			if kind == rawjson.Object {
				r.graft(g.object, k, slots)
			}
		case g.rows != nil:
			r.graftRows(g.rows, k, slots)
		default:
			r.graftValue(g.target, k, slots)
		}
	}
	for _, p := range o.captions {
		if p.list {
			r.graftCaptions(p, slots, from)
		} else {
			r.graftCaption(p, slots, from)
		}
	}
	for _, t := range o.twins {
		at, dt := slots[t[0]], slots[t[1]]
		if at.Has() && dt.Has() && at.Int() != dt.Int() {
			slots[t[1]] = at
			r.unuse(t[1], from)
		}
	}
}

func (r *run) graftValue(t *target, k int32, slots []ocsf.Value) {
	v := expr.NodeValue(r.doc, k)
	switch s, ok := v.Scalar(); {
	case t.put(r, slots, &v):
		r.doc.Use(k)
		r.uses = append(r.uses, use{int32(t.slot), k})
	case ok && s == "":
	case t.enum != nil && t.enum.other && !t.attr.Array:
		// An id of a newer version: Other, and the id stays in unmapped.
		slots[t.slot] = ocsf.IntValue(99)
		fallthrough
	default:
		r.tally.lose(t, s)
	}
}

// graftCaption leaves the text beside an id to Finish, unless the id is 99,
// Other: there it is the source's own. One that is not ours stays in unmapped,
// and so does a 99 whose text is the caption of another id, which Finish makes
// of it.
func (r *run) graftCaption(p captionPair, slots []ocsf.Value, from int) {
	id := slots[p.id].Int()
	if !slots[p.id].Has() || !slots[p.text].Has() {
		return
	}
	if id == 99 {
		if item, ok := p.enum.ByCaption(slots[p.text].Text()); ok && item.ID != 99 {
			r.unuse(p.id, from)
		}
		return
	}
	if caption, ok := p.enum.Caption(id); ok && caption == slots[p.text].Text() {
		return
	}
	slots[p.text] = ocsf.Value{}
	r.unuse(p.text, from)
}

// graftCaptions is graftCaption for a list of ids with a list of texts.
func (r *run) graftCaptions(p captionPair, slots []ocsf.Value, from int) {
	ids, texts := slots[p.id].List(), slots[p.text].List()
	if ids == nil || texts == nil {
		return
	}
	same := len(ids.Items) == len(texts.Items)
	for i := 0; same && i < len(ids.Items); i++ {
		id := ids.Items[i].Int()
		caption, ok := p.enum.Caption(id)
		same = id == 99 || ok && caption == texts.Items[i].Text()
	}
	if !same {
		slots[p.text] = ocsf.Value{}
		r.unuse(p.text, from)
	}
}

// unuse gives the field that went into a slot back to unmapped; false when
// there was none.
func (r *run) unuse(slot, from int) bool {
	for i := from; i < len(r.uses); i++ {
		if r.uses[i].slot == int32(slot) {
			node := r.uses[i].node
			r.uses = slices.Delete(r.uses, i, i+1)
			r.giveBack(node)
			return true
		}
	}
	return false
}

func (r *run) graftRows(g *rowGraft, k int32, slots []ocsf.Value) {
	list := slots[g.slot].List()
	if list == nil {
		list = r.out.NewList(g.layout)
	}
	v := expr.NodeValue(r.doc, k)
	forEach(&v, func(e expr.RawValue) {
		if e.Kind != expr.RawNode || r.doc.Nodes[e.Node].Kind != rawjson.Object {
			return
		}
		row := list.AddRow()
		from := len(r.uses)
		r.graft(g.object, e.Node, row)
		if !slices.ContainsFunc(row, ocsf.Value.Has) || r.settle(g.tree, row, from) != "" {
			list.DropRow()
			r.dropFrom(from)
			return
		}
		for i := from; i < len(r.uses); i++ {
			r.uses[i].slot = int32(g.slot)
		}
	})
	if list.Len() > 0 {
		slots[g.slot] = ocsf.ListValue(list)
	}
}
