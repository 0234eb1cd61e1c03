package ocsf

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// A Downgrade turns events of one schema into events of an older one, for
// lakes whose readers know that one only. It may be used by many goroutines.
//
// Nothing is lost: what the older schema lacks goes to unmapped, under its
// path, as text; an enum id that it lacks becomes 99, Other, with the caption
// beside it; an event of a class that it lacks becomes a base event. An object
// that would not be valid any more goes to unmapped too, but for one that the
// class requires: what that lacks is filled with Unknown.
type Downgrade struct {
	to    *Schema
	plans map[*Layout]*downgradePlan
}

// A downgradePlan is what becomes of the events of one layout.
type downgradePlan struct {
	class *downgradeRows
	// base makes a base event, for events that class cannot make valid; nil
	// where class does so already.
	base *downgradeRows
}

// renamed are attributes that an older schema has under another name.
var renamed = map[string]string{"actor.app_name": "actor.invoked_by"}

// follows are paths that Finish fills from the class, whatever the event.
var follows = []string{"class_uid", "class_name", "category_uid", "category_name", "type_uid", "type_name"}

// NewDowngrade compiles the downgrade of all events of from, which must be
// frozen, to the schema to.
func NewDowngrade(from *Layouts, to *Schema) (*Downgrade, error) {
	base, ok := to.ClassByUID(0)
	if !ok {
		return nil, fmt.Errorf("ocsf: OCSF %s has no base event", to.Version)
	}
	layouts := NewLayouts(to)
	d := &Downgrade{to: to, plans: map[*Layout]*downgradePlan{}}
	for _, l := range from.Used() {
		p := &downgradePlan{}
		if c, ok := to.Class(l.Class.Name); ok && c.UID == l.Class.UID {
			p.class = newDowngradeRows(l, layouts.Class(c), false)
		}
		p.base = newDowngradeRows(l, layouts.Class(base), l.Class.UID != base.UID)
		if p.class == nil || l.Class.UID == base.UID {
			p.class, p.base = p.base, nil
		}
		d.plans[l] = p
	}
	layouts.Freeze()
	for _, p := range d.plans {
		p.class.compile()
		if p.base != nil {
			p.base.compile()
		}
	}
	return d, nil
}

// Schema is the older schema.
func (d *Downgrade) Schema() *Schema { return d.to }

// Convert makes out of in, finished. It appends to dst what is still not
// valid. in stays as it is; out shares its texts.
func (d *Downgrade) Convert(in, out *Event, dst []Problem) []Problem {
	p, ok := d.plans[in.Layout]
	if !ok {
		panic("ocsf: downgrade of a layout that was not there when it was made")
	}
	n := len(dst)
	if dst = p.class.convert(in, out, dst); len(dst) == n || p.base == nil {
		return dst
	}
	return p.base.convert(in, out, dst[:n])
}

// downgradeRows is what becomes of a set of slots: an event's, or a row's.
type downgradeRows struct {
	from, to *Layout
	moves    []downgradeMove // by slot of from
	other    bool            // the class is another one
	must     bool            // a row: its list may not go

	profiles, observables int // slots of from; -1 for a row
	optional              []*objectCheck
	needs                 []need
}

// A downgradeMove is what becomes of one slot.
type downgradeMove struct {
	kind moveKind
	to   int            // the slot it goes to
	text int            // of an enum id: the slot of its caption in from, or -1
	rows *downgradeRows // of a list of objects
}

type moveKind uint8

const (
	moveOut  moveKind = iota // to unmapped
	moveSkip                 // it follows from the rest, or goes with its id
	moveCopy
	moveEnum
	moveRows
)

// A need is something that an object which may not go must have.
type need struct {
	slots    []int
	profiles []string
	fill     []fillStep
}

type fillStep struct {
	path  string
	slot  int
	value Value
}

func newDowngradeRows(from, to *Layout, other bool) *downgradeRows {
	r := &downgradeRows{from: from, to: to, other: other, profiles: -1, observables: -1, moves: make([]downgradeMove, from.Len())}
	for i := range from.slots {
		r.moves[i] = r.plan(i)
	}
	for i, s := range from.slots {
		if r.moves[i].kind != moveEnum || s.Attr.Sibling == "" {
			continue
		}
		parent := parentOf(s.Path)
		text := from.Slot(parent + s.Attr.Sibling)
		if text >= 0 && r.moves[text].kind == moveCopy {
			r.moves[i].text, r.moves[text].kind = text, moveSkip
		}
	}
	if from.Class != nil {
		r.profiles, r.observables = from.Slot("metadata.profiles"), from.Slot("observables")
	}
	to.addFillers("", to.Object)
	return r
}

func (r *downgradeRows) plan(slot int) downgradeMove {
	s := r.from.slots[slot]
	if r.from.Class != nil {
		switch {
		case s.Path == "metadata.version" || !r.other && slices.Contains(follows, s.Path):
			return downgradeMove{kind: moveSkip}
		case r.other && slices.Contains(follows, s.Path):
			return downgradeMove{kind: moveOut}
		}
	}
	path := s.Path
	if _, err := r.to.Resolve(path); err != nil && r.from.Class != nil {
		if name, ok := renamed[path]; ok && r.from.Slot(name) < 0 {
			path = name
		}
	}
	a, err := r.to.Resolve(path)
	if err != nil || a.Array != s.Attr.Array || storage(a) != storage(s.Attr) {
		return downgradeMove{kind: moveOut}
	}
	to, err := r.to.Add(path)
	if err != nil {
		return downgradeMove{kind: moveOut}
	}
	m := downgradeMove{kind: moveCopy, to: to, text: -1}
	switch {
	case s.Rows != nil:
		m.kind, m.rows = moveRows, newDowngradeRows(s.Rows, r.to.slots[to].Rows, false)
		m.rows.must = a.Requirement == Required && len(a.Profiles) == 0
	case s.Attr.Enum != nil && !a.Array && a.Base != BaseString:
		m.kind = moveEnum
	}
	return m
}

// storage is how values are kept, but for the width of integers.
func storage(a *Attr) Base {
	if a.Base == BaseInt {
		return BaseLong
	}
	return a.Base
}

// addFillers adds the slots that may have to be filled in an object that may
// not go, and in those below it.
func (l *Layout) addFillers(prefix string, o *Object) {
	for _, a := range o.Attrs {
		if a.Requirement != Required || len(a.Profiles) > 0 {
			continue
		}
		steps, _ := fillers(a, prefix+a.Name)
		for _, s := range steps {
			_, _ = l.Add(s.path)
		}
		if a.Base == BaseObject && !a.Array {
			for _, s := range anyOf(a.Object, prefix+a.Name+".") {
				_, _ = l.Add(s.path)
			}
			l.addFillers(prefix+a.Name+".", a.Object)
		}
	}
}

// fillers are the values that make an absent attribute be there.
func fillers(a *Attr, path string) ([]fillStep, bool) {
	switch {
	case a.defaultsToUnknown():
		return nil, true // Finish does it
	case a.Array || len(a.Profiles) > 0 || a.Deprecated:
		return nil, false
	case a.Base == BaseString:
		return []fillStep{{path: path, value: TextValue("Unknown")}}, a.Enum == nil && formatOf(a.Type) == nil
	case a.Base != BaseObject:
		return nil, false
	}
	var out []fillStep
	for _, b := range a.Object.Attrs {
		if b.Requirement != Required || len(b.Profiles) > 0 {
			continue
		}
		steps, ok := fillers(b, path+"."+b.Name)
		if !ok {
			return nil, false
		}
		out = append(out, steps...)
	}
	out = append(out, anyOf(a.Object, path+".")...)
	return out, len(out) > 0
}

// anyOf are the values that satisfy at_least_one of an object.
func anyOf(o *Object, prefix string) []fillStep {
	for _, names := range o.AtLeastOne {
		for _, name := range append([]string{"name", "uid"}, names...) {
			if a, ok := o.Attr(name); ok && slices.Contains(names, name) && a.Base == BaseString {
				if steps, ok := fillers(a, prefix+name); ok {
					return steps
				}
			}
		}
	}
	return nil
}

// compile resolves what needs frozen layouts.
func (r *downgradeRows) compile() {
	for i := range r.moves {
		if rows := r.moves[i].rows; rows != nil {
			rows.compile()
		}
	}
	objects := r.to.validate.objects
	for i := range objects {
		c := &objects[i]
		prefix := ""
		if c.path != "" {
			prefix = c.path + "."
		}
		if c.path != "" && !r.to.required(c.path) {
			r.optional = append(r.optional, c)
			continue
		}
		for _, n := range c.needed {
			steps, ok := fillers(n.attr, prefix+n.attr.Name)
			if ok && len(steps) > 0 {
				r.needs = append(r.needs, need{n.slots, n.attr.Profiles, r.to.steps(steps)})
			}
		}
		for _, g := range c.groups {
			if steps := anyOf(r.to.objectAt(prefix), prefix); len(steps) > 0 && !g.just {
				r.needs = append(r.needs, need{slices.Concat(g.members...), nil, r.to.steps(steps)})
			}
		}
	}
	// The deepest first: what is around an object that goes may go too.
	slices.SortStableFunc(r.optional, func(a, b *objectCheck) int { return strings.Count(b.path, ".") - strings.Count(a.path, ".") })
}

// steps finds the slots of fill steps.
func (l *Layout) steps(steps []fillStep) []fillStep {
	var out []fillStep
	for _, s := range steps {
		if s.slot = l.Slot(s.path); s.slot >= 0 {
			out = append(out, s)
		}
	}
	return out
}

// required says whether the object at a path, and all around it, must be there.
func (l *Layout) required(path string) bool {
	o := l.Object
	for name := range strings.SplitSeq(path, ".") {
		a, ok := o.Attr(name)
		if !ok || a.Requirement != Required || len(a.Profiles) > 0 {
			return false
		}
		o = a.Object
	}
	return true
}

func (r *downgradeRows) convert(in, out *Event, dst []Problem) []Problem {
	out.Reset(r.to)
	out.Unmapped = append(out.Unmapped, in.Unmapped...)
	c := conversion{in: in, out: out}
	c.slots(r, in.Slots, out.Slots, "")
	c.listProfiles(r)
	c.settle(r, out.Slots, "", true)
	c.dangling()
	Finish(out)
	return Validate(out, dst)
}

// A conversion is one call of convert.
type conversion struct {
	in, out *Event
}

// slots fills to from the slots of one event or row. prefix is where they are.
func (c *conversion) slots(r *downgradeRows, from, to []Value, prefix string) {
	for i := range from {
		v := from[i]
		if v.k == Absent {
			continue
		}
		m := &r.moves[i]
		switch {
		case i == r.profiles: // see listProfiles
		case i == r.observables:
			c.observables(r, m, v, to)
		case m.kind == moveSkip:
			continue
		case m.kind == moveCopy && c.fits(r, m.to, v):
			to[m.to] = v
		case m.kind == moveEnum && c.enum(r, i, from, to):
		case m.kind == moveRows && v.List() != nil && v.List().Row == m.rows.from:
			c.list(m.rows, r.from.slots[i].Path, v.List(), &to[m.to], prefix)
		default:
			c.move(r.from.slots[i], v, prefix)
			if m.kind == moveEnum && m.text >= 0 && from[m.text].k != Absent {
				c.move(r.from.slots[m.text], from[m.text], prefix)
			}
		}
	}
}

// fits says whether a value is one of the target's attribute.
func (c *conversion) fits(r *downgradeRows, slot int, v Value) bool {
	check := &r.to.validate.values[slot]
	if l := v.List(); l != nil {
		for i := range l.Items {
			if code, _ := check.check(l.Items[i]); code != "" {
				return false
			}
		}
		return check.attr.Array && l.Row == nil
	}
	code, _ := check.check(v)
	return code == ""
}

// enum carries an enum id over, with its caption: the id of the same caption,
// else 99 with the caption as text. It reports false if the target has neither.
func (c *conversion) enum(r *downgradeRows, slot int, from, to []Value) bool {
	m, v := &r.moves[slot], from[slot]
	target := r.to.slots[m.to].Attr
	text := Value{}
	if m.text >= 0 {
		text = from[m.text]
	}
	caption, known := r.from.slots[slot].Attr.Enum.Caption(v.Int())
	if target.Enum == nil || v.Kind() != Int {
		return false
	}
	same, ok := target.Enum.Caption(v.Int())
	switch {
	case ok && known && same == caption: // as before
	case !known || v.Int() == 0: // what is unknown is not Other
		return false
	default:
		id := int64(99)
		if item, ok := target.Enum.ByCaption(caption); ok {
			id = item.ID
		} else if _, ok := target.Enum.Caption(99); !ok || m.text < 0 {
			return false
		}
		v = IntValue(id)
		if !text.Has() {
			text = TextValue(caption)
		}
	}
	to[m.to] = v
	if m.text >= 0 && text.Has() {
		to[r.moves[m.text].to] = text
	}
	return true
}

func (c *conversion) list(r *downgradeRows, path string, in *List, to *Value, prefix string) {
	list := c.out.NewList(r.to)
	for i := range in.Len() {
		at := prefix + path + "." + strconv.Itoa(i) + "."
		list.AddRow()
		row := list.Len() - 1
		c.slots(r, in.At(i), list.At(row), at)
		if !c.settle(r, list.At(row), at, r.must) {
			list.DropRow()
		}
	}
	if list.Len() > 0 {
		*to = ListValue(list)
	}
}

// settle makes the objects in slots valid: what is not goes to unmapped, or is
// filled where it may not go. It reports whether anything is left.
func (c *conversion) settle(r *downgradeRows, slots []Value, prefix string, must bool) bool {
	for _, o := range r.optional {
		if anyHas(slots, o.slots) && !c.holds(o, slots) {
			c.moveAll(r.to, slots, o.slots, prefix)
		}
	}
	left := false
	for i := range slots {
		left = left || slots[i].k != Absent
	}
	if !left {
		return false
	}
	if !must {
		for i := range r.to.validate.objects {
			if o := &r.to.validate.objects[i]; (o.path == "" || r.to.required(o.path)) && !c.holds(o, slots) {
				for i := range slots {
					c.moveAll(r.to, slots, []int{i}, prefix)
				}
				return false
			}
		}
		return true
	}
	for i := range r.needs {
		n := &r.needs[i]
		if anyHas(slots, n.slots) || len(n.profiles) > 0 && !c.lists(n.profiles) {
			continue
		}
		for _, s := range n.fill {
			if slots[s.slot].k == Absent {
				slots[s.slot] = s.value
			}
		}
	}
	return true
}

// holds says whether an object has what it requires.
func (c *conversion) holds(o *objectCheck, slots []Value) bool {
	if o.path != "" && !anyHas(slots, o.slots) {
		return true
	}
	for i := range o.needed {
		n := &o.needed[i]
		if !n.attr.defaultsToUnknown() && !anyHas(slots, n.slots) && (len(n.attr.Profiles) == 0 || c.lists(n.attr.Profiles)) {
			return false
		}
	}
	for i := range o.groups {
		have := 0
		for _, m := range o.groups[i].members {
			if anyHas(slots, m) {
				have++
			}
		}
		if have == 0 || o.groups[i].just && have > 1 {
			return false
		}
	}
	return true
}

// listProfiles keeps the profiles that the target's class has.
func (c *conversion) listProfiles(r *downgradeRows) {
	if r.profiles < 0 || r.moves[r.profiles].kind != moveCopy {
		return
	}
	own := c.in.Slots[r.profiles].List()
	if own == nil {
		return
	}
	list := c.out.NewList(nil)
	for _, p := range own.Items {
		if slices.Contains(r.to.Class.Profiles, p.s) {
			list.Items = append(list.Items, p)
		} else {
			c.keep("metadata.profiles", p.s)
		}
	}
	if len(list.Items) > 0 {
		c.out.Slots[r.moves[r.profiles].to] = ListValue(list)
	}
}

func (c *conversion) lists(profiles []string) bool {
	slot := c.out.Layout.Slot("metadata.profiles")
	if slot < 0 {
		return false
	}
	l := c.out.Slots[slot].List()
	return l != nil && slices.ContainsFunc(l.Items, func(v Value) bool { return slices.Contains(profiles, v.s) })
}

// observables carries over what a mapping listed itself: Finish lists what it
// finds in the attributes that are left.
func (c *conversion) observables(r *downgradeRows, m *downgradeMove, v Value, to []Value) {
	in := v.List()
	if m.kind != moveRows || in == nil || in.Row != m.rows.from {
		return
	}
	own := List{Row: in.Row}
	for i := range in.Len() {
		row := in.At(i)
		if name := row[obsName].s; hasPath(r.from.Object, name) && !hasPath(r.to.Object, name) {
			continue
		}
		// Two of them may become one: both types are new.
		again := false
		for j := range own.Len() {
			o := own.At(j)
			again = again || o[obsName].s == row[obsName].s && o[obsValue].s == row[obsValue].s && o[obsType].s == row[obsType].s
		}
		if !again {
			own.Items = append(own.Items, row...)
		}
	}
	if own.Len() > 0 {
		c.list(m.rows, "observables", &own, &to[m.to], "")
	}
}

// dangling takes out the observables whose attribute went to unmapped: they
// would point at nothing.
func (c *conversion) dangling() {
	slot := c.out.Layout.Slot("observables")
	if slot < 0 || !c.out.Slots[slot].Has() {
		return
	}
	list := c.out.NewList(c.out.Layout.slots[slot].Rows)
	own := c.out.Slots[slot].List()
	for i := range own.Len() {
		row := own.At(i)
		if name := row[obsName].s; !hasPath(c.out.Layout.Object, name) || hasValue(c.out.Layout, c.out.Slots, name, row[obsValue].s) {
			list.Items = append(list.Items, row...)
		}
	}
	if c.out.Slots[slot] = (Value{}); list.Len() > 0 {
		c.out.Slots[slot] = ListValue(list)
	}
}

// hasValue says whether a text is at a dotted path, in any row on the way. A
// path to an object is there when anything of it is.
func hasValue(l *Layout, slots []Value, path, text string) bool {
	for i := range l.slots {
		v, p := slots[i], l.slots[i].Path
		switch rest, below := strings.CutPrefix(path, p+"."); {
		case v.k == Absent:
		case p == path && v.k == ListKind && v.l.Row == nil:
			if slices.ContainsFunc(v.l.Items, func(x Value) bool { return x.text(l.slots[i].Attr) == text }) {
				return true
			}
		case p == path:
			if v.k == ListKind || v.text(l.slots[i].Attr) == text {
				return true
			}
		case below && v.k == ListKind && v.l.Row != nil:
			for r := range v.l.Len() {
				if hasValue(v.l.Row, v.l.At(r), rest, text) {
					return true
				}
			}
		case strings.HasPrefix(p, path+"."):
			return true
		}
	}
	return false
}

// hasPath says whether a dotted path, through lists too, leads to an attribute.
func hasPath(o *Object, path string) bool {
	for name := range strings.SplitSeq(path, ".") {
		if o == nil {
			return false
		}
		a, ok := o.Attr(name)
		if !ok {
			return false
		}
		o = a.Object
	}
	return true
}

// moveAll moves slots of the target to unmapped.
func (c *conversion) moveAll(l *Layout, slots []Value, which []int, prefix string) {
	for _, i := range which {
		if slots[i].k != Absent {
			c.move(l.slots[i], slots[i], prefix)
			slots[i] = Value{}
		}
	}
}

// move keeps a value in unmapped, as text.
func (c *conversion) move(s SlotInfo, v Value, prefix string) {
	text := v.Text()
	switch v.Kind() {
	case Text, JSON:
	default:
		text = string(s.Attr.AppendJSON(nil, v))
		if s.Attr.Base == BaseDatetime && v.Kind() == Int {
			text = string(AppendTime(nil, v.Int()))
		}
	}
	c.keep(prefix+s.Path, text)
}

// keep adds to unmapped, whose keys differ: the source may have a field of the
// same name.
func (c *conversion) keep(key, text string) { c.out.KeepUnmapped(key, text) }
