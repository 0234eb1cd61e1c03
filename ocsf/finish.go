package ocsf

import (
	"slices"
	"strings"
)

// baseSlots are the paths that Finish fills, or that every mapping does.
var baseSlots = []string{
	"activity_id", "activity_name", "category_uid", "category_name", "class_uid", "class_name",
	"type_uid", "type_name", "severity_id", "severity", "time", "time_dt", "status_id", "status",
	"metadata.version", "metadata.uid", "metadata.profiles", "metadata.labels", "metadata.original_time",
	"metadata.logged_time", "metadata.processed_time", "metadata.event_code", "metadata.tenant_uid",
	"metadata.product.name", "metadata.product.vendor_name", "metadata.product.version", "metadata.product.feature.name",
	"observables",
}

// addFinishSlots gives a new class layout the slots of baseSlots. A class may
// lack some of them.
func (l *Layout) addFinishSlots() {
	for _, path := range baseSlots {
		_, _ = l.Add(path)
	}
	if i := l.Slot("observables"); i >= 0 {
		for _, path := range []string{"name", "type_id", "type", "value"} {
			_, _ = l.slots[i].Rows.Add(path)
		}
	}
}

// A finishPlan is what Finish does to one set of slots, resolved once.
type finishPlan struct {
	enums    []enumPair
	defaults []defaultID
	rows     []int // slots with rows that have a plan of their own
	marks    []mark

	// The rest is for class layouts only.
	activityID, activityName, typeUID, typeName, severityID int
	constants                                               []constant
	datetimes                                               [][2]int // time slot, datetime slot
	profiles                                                []profileMark
	profileSlot, observables                                int
	activityNames                                           map[int64]string // type_name by activity_id
}

// An enumPair is an enum attribute and the attribute with its caption.
type enumPair struct {
	id, text int
	enum     *Enum
	array    bool
}

// A defaultID is a required enum id that is 0, Unknown, when its object is
// there and nothing set it.
type defaultID struct {
	id     int
	others []int // slots of the same object
}

// A mark is a slot whose value is an observable.
type mark struct {
	slot   int
	name   string // its path from the class
	typeID int64
	rows   bool // look into the rows' own marks
}

// A constant is a slot with the same value in all events of a class.
type constant struct {
	slot  int
	value Value
}

// A profileMark says that a filled slot needs a profile.
type profileMark struct {
	slot    int
	profile string
}

// unmarked are observable types that would say nothing: every flow has two
// ports, every process an id.
var unmarked = map[int]bool{11: true, 15: true}

// maxObservables bounds what one event lists.
const maxObservables = 64

// freeze compiles the layout and those of its rows.
func (l *Layout) freeze() {
	if l.frozen {
		return
	}
	l.addDerived()
	l.frozen = true
	for i := range l.slots {
		if r := l.slots[i].Rows; r != nil {
			r.freeze()
		}
	}
	l.finish = l.planFinish()
	l.tree = newTree(l)
	l.prefixes = map[string]bool{}
	for _, s := range l.slots {
		for p := parentOf(s.Path); p != ""; p = parentOf(p[:len(p)-1]) {
			l.prefixes[p] = true
		}
	}
}

// addDerived adds the slots that follow from those in use: captions of enum
// ids, ids of captions, required ids of objects.
func (l *Layout) addDerived() {
	for i := 0; i < len(l.slots); i++ { // grows
		parent := parentOf(l.slots[i].Path)
		o := l.objectAt(parent)
		a := l.slots[i].Attr
		if a.Enum != nil && a.Sibling != "" {
			_, _ = l.Add(parent + a.Sibling)
		}
		for _, b := range o.Attrs {
			required := b.Requirement == Required && b.Enum != nil && len(b.Profiles) == 0 && !b.Array && parent != ""
			if b.Enum != nil && (b.Sibling == a.Name || required) {
				_, _ = l.Add(parent + b.Name)
			}
		}
	}
}

// parentOf is the path up to and including its last dot.
func parentOf(path string) string { return path[:strings.LastIndexByte(path, '.')+1] }

// objectAt is the object that a prefix, as parentOf returns it, leads to.
func (l *Layout) objectAt(prefix string) *Object {
	o := l.Object
	for name := range strings.SplitSeq(strings.TrimSuffix(prefix, "."), ".") {
		if a, ok := o.Attr(name); ok {
			o = a.Object
		}
	}
	return o
}

func (l *Layout) planFinish() *finishPlan {
	p := &finishPlan{profileSlot: -1, observables: -1}
	for i, s := range l.slots {
		parent := parentOf(s.Path)
		if s.Attr.Enum != nil && s.Attr.Sibling != "" {
			if text := l.Slot(parent + s.Attr.Sibling); text >= 0 {
				p.enums = append(p.enums, enumPair{i, text, s.Attr.Enum, s.Attr.Array})
			}
		}
		if s.Attr.Enum != nil && s.Attr.Requirement == Required && !s.Attr.Array && parent != "" {
			if _, ok := s.Attr.Enum.Caption(0); ok {
				p.defaults = append(p.defaults, defaultID{i, l.under(parent, i)})
			}
		}
		if s.Rows != nil && s.Path != "observables" {
			if f := s.Rows.finish; len(f.enums)+len(f.defaults)+len(f.rows)+len(f.marks) > 0 {
				p.rows = append(p.rows, i)
				if len(f.marks) > 0 {
					p.marks = append(p.marks, mark{slot: i, name: s.Path, rows: true})
				}
			}
		}
		if t := s.Attr.Observable; t > 0 && !unmarked[t] && s.Attr.Base == BaseString && !strings.HasPrefix(s.Path, "metadata.") {
			p.marks = append(p.marks, mark{slot: i, name: s.Path, typeID: int64(t)})
		}
	}
	if l.Class != nil {
		l.planClass(p)
	}
	return p
}

// under returns the slots below a prefix, but for one.
func (l *Layout) under(prefix string, but int) []int {
	var out []int
	for i, s := range l.slots {
		if i != but && strings.HasPrefix(s.Path, prefix) {
			out = append(out, i)
		}
	}
	return out
}

func (l *Layout) planClass(p *finishPlan) {
	c := l.Class
	p.activityID, p.activityName = l.Slot("activity_id"), l.Slot("activity_name")
	p.typeUID, p.typeName, p.severityID = l.Slot("type_uid"), l.Slot("type_name"), l.Slot("severity_id")
	p.profileSlot, p.observables = l.Slot("metadata.profiles"), l.Slot("observables")
	for path, v := range map[string]Value{
		"category_uid": IntValue(int64(c.CategoryUID)), "category_name": TextValue(c.CategoryName),
		"class_uid": IntValue(int64(c.UID)), "class_name": TextValue(c.Caption),
		"metadata.version": TextValue(Version),
	} {
		if i := l.Slot(path); i >= 0 {
			p.constants = append(p.constants, constant{i, v})
		}
	}
	p.activityNames = map[int64]string{}
	if a, ok := c.Attr("activity_id"); ok && a.Enum != nil {
		for _, item := range a.Enum.Items {
			p.activityNames[item.ID] = c.Caption + ": " + item.Caption
		}
	}
	for i, s := range l.slots {
		if s.Attr.Base == BaseTimestamp && parentOf(s.Path) == "" {
			if dt := l.Slot(s.Path + "_dt"); dt >= 0 {
				p.datetimes = append(p.datetimes, [2]int{i, dt})
			}
		}
		// Attributes of profiles at the event's own level (cloud, device,
		// action_id …) say which profile the event uses.
		top, _, _ := strings.Cut(s.Path, ".")
		if a, ok := c.Attr(top); ok && len(a.Profiles) > 0 {
			p.profiles = append(p.profiles, profileMark{i, a.Profiles[0]})
		}
	}
}

// Finish fills what follows from the rest: ids and their captions, the class
// and its category, type_uid, the datetime twins, profiles and observables.
// What a mapping set is kept.
func Finish(e *Event) {
	p := e.Layout.finish
	s := e.Slots
	for _, c := range p.constants {
		s[c.slot] = c.value
	}
	for _, i := range []int{p.activityID, p.severityID} {
		if i >= 0 && !s[i].Has() {
			if text := e.siblingText(i); text == "" {
				s[i] = IntValue(0)
			}
		}
	}
	p.finishSlots(e, s)
	if p.typeUID >= 0 {
		activity := s[p.activityID].Int()
		s[p.typeUID] = IntValue(int64(e.Layout.Class.UID)*100 + activity)
		if name, ok := p.activityNames[activity]; ok && p.typeName >= 0 {
			s[p.typeName] = TextValue(name)
		}
	}
	for _, d := range p.datetimes {
		if s[d[0]].Has() && !s[d[1]].Has() {
			s[d[1]] = s[d[0]]
		}
	}
	if p.profileSlot >= 0 {
		p.finishProfiles(e)
	}
	if p.observables >= 0 && !s[p.observables].Has() {
		list := e.NewList(e.Layout.slots[p.observables].Rows)
		p.observe(s, "", list)
		if list.Len() > 0 {
			s[p.observables] = ListValue(list)
		}
	}
}

// siblingText is the text beside enum slot i; "" without one.
func (e *Event) siblingText(i int) string {
	a := e.Layout.slots[i]
	if t := e.Layout.Slot(parentOf(a.Path) + a.Attr.Sibling); t >= 0 {
		return e.Slots[t].Text()
	}
	return ""
}

// finishSlots fills enum ids and captions in slots, and in the rows below.
func (p *finishPlan) finishSlots(e *Event, s []Value) {
	for i := range p.enums {
		p.enums[i].finish(e, s)
	}
	for _, d := range p.defaults {
		if !s[d.id].Has() && slices.ContainsFunc(d.others, func(i int) bool { return s[i].Has() }) {
			s[d.id] = IntValue(0)
		}
	}
	for i := range p.enums {
		pair := &p.enums[i]
		if !pair.array && s[pair.id].Has() && !s[pair.text].Has() {
			if caption, ok := pair.enum.Caption(s[pair.id].Int()); ok {
				s[pair.text] = TextValue(caption)
			}
		}
	}
	for _, i := range p.rows {
		list := s[i].List()
		for r := range list.Len() {
			list.Row.finish.finishSlots(e, list.At(r))
		}
	}
}

func (x *enumPair) finish(e *Event, s []Value) {
	if x.array {
		ids := s[x.id].List()
		if ids.Len() == 0 || s[x.text].Has() {
			return
		}
		texts := e.NewList(nil)
		for _, id := range ids.Items {
			if caption, ok := x.enum.Caption(id.Int()); ok {
				texts.Items = append(texts.Items, TextValue(caption))
			}
		}
		s[x.text] = ListValue(texts)
		return
	}
	if !s[x.id].Has() && s[x.text].Has() {
		id := int64(99)
		if item, ok := x.enum.ByCaption(s[x.text].Text()); ok {
			id = item.ID
			s[x.text] = TextValue(item.Caption)
		}
		s[x.id] = IntValue(id)
	}
}

// finishProfiles lists the profiles whose attributes are filled, besides what
// the mapping listed.
func (p *finishPlan) finishProfiles(e *Event) {
	list := e.Slots[p.profileSlot].List()
	if list == nil {
		list = e.NewList(nil)
	}
	had := len(list.Items)
	for _, m := range p.profiles {
		if e.Slots[m.slot].Has() && !slices.ContainsFunc(list.Items, func(v Value) bool { return v.s == m.profile }) {
			list.Items = append(list.Items, TextValue(m.profile))
		}
	}
	if len(list.Items) > had {
		slices.SortFunc(list.Items, func(a, b Value) int { return strings.Compare(a.s, b.s) })
	}
	if len(list.Items) > 0 {
		e.Slots[p.profileSlot] = ListValue(list)
	}
}

// The slots of a row of observables, in the order of addFinishSlots.
const (
	obsName = iota
	obsTypeID
	obsType
	obsValue
)

// observe adds the observables of slots to list. prefix is the path of the
// rows that the slots belong to.
func (p *finishPlan) observe(s []Value, prefix string, list *List) {
	for i := range p.marks {
		m := &p.marks[i]
		v := s[m.slot]
		if !v.Has() {
			continue
		}
		switch l := v.List(); {
		case m.rows:
			for r := range l.Len() {
				l.Row.finish.observe(l.At(r), m.path(prefix), list)
			}
		case l != nil:
			for _, item := range l.Items {
				addObservable(list, m, prefix, item.Text())
			}
		default:
			addObservable(list, m, prefix, v.Text())
		}
	}
}

// path is the mark's path from the class. It is joined only in rows, which
// few events have.
func (m *mark) path(prefix string) string {
	if prefix == "" {
		return m.name
	}
	return prefix + "." + m.name
}

func addObservable(list *List, m *mark, prefix, value string) {
	if value == "" || list.Len() >= maxObservables {
		return
	}
	for r := range list.Len() {
		row := list.At(r)
		if row[obsTypeID].Int() == m.typeID && row[obsValue].s == value {
			return
		}
	}
	row := list.AddRow()
	row[obsName], row[obsTypeID], row[obsValue] = TextValue(m.path(prefix)), IntValue(m.typeID), TextValue(value)
	if caption, ok := list.Row.slots[obsTypeID].Attr.Enum.Caption(m.typeID); ok {
		row[obsType] = TextValue(caption)
	}
}
