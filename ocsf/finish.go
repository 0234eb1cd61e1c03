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
	rows     []int // slots with rows that have something to finish
	profiles []profileMark
	rowMarks []int // slots with rows that have profiles
	paths    []string

	// The rest is for class layouts only.
	activityID, typeUID, typeName int
	constants                     []constant
	datetimes                     [][2]int // time slot, datetime slot
	marks                         []mark
	profileSlot, observables      int
	needs                         []profileNeed
	activityNames                 map[int64]string // type_name by activity_id
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
	always bool  // the object is the event
	others []int // else: the slots of the same object
}

// A mark is a slot whose values are observables, or whose rows have some.
type mark struct {
	slot   int
	name   string // its path from the class
	typeID int64
	kind   string // the caption of typeID
	rows   []mark
}

// A constant is a slot with the same value in all events of a class.
type constant struct {
	slot  int
	value Value
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
	l.validate = l.planValidate()
	l.tree = newTree(l, nil)
	for _, f := range l.fields {
		f.freeze()
	}
}

// addDerived adds the slots that follow from those in use: captions of enum
// ids, ids of captions, datetimes of the event's times, and the required ids of
// every object on the way.
func (l *Layout) addDerived() {
	l.addRequiredIDs("")
	for i := 0; i < len(l.slots); i++ { // grows
		path, a := l.slots[i].Path, l.slots[i].Attr
		parent := parentOf(path)
		if a.Enum != nil && a.Sibling != "" {
			_, _ = l.Add(parent + a.Sibling)
		}
		for _, b := range l.objectAt(parent).Attrs {
			if b.Enum != nil && b.Sibling == a.Name {
				_, _ = l.Add(parent + b.Name)
			}
		}
		if l.Class != nil && parent == "" && a.Base == BaseTimestamp {
			_, _ = l.Add(path + "_dt")
		}
		for p := parent; p != ""; p = parentOf(p[:len(p)-1]) {
			l.addRequiredIDs(p)
		}
	}
}

// addRequiredIDs adds the enum ids that the object at a prefix requires.
func (l *Layout) addRequiredIDs(prefix string) {
	for _, a := range l.objectAt(prefix).Attrs {
		if a.defaultsToUnknown() {
			_, _ = l.Add(prefix + a.Name)
		}
	}
}

// defaultsToUnknown says whether a is a required id that has Unknown. The ids
// of a profile are no such: who brings a profile knows them.
func (a *Attr) defaultsToUnknown() bool {
	if a.Requirement != Required || a.Enum == nil || a.Array || len(a.Profiles) > 0 {
		return false
	}
	_, ok := a.Enum.Caption(0)
	return ok
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
		p.paths = append(p.paths, s.Path)
		parent := parentOf(s.Path)
		if s.Attr.Enum != nil && s.Attr.Sibling != "" {
			// The priority of incidents in 1.1.0 is a number beside a number.
			if text := l.Slot(parent + s.Attr.Sibling); text >= 0 && l.slots[text].Attr.Base == BaseString {
				p.enums = append(p.enums, enumPair{i, text, s.Attr.Enum, s.Attr.Array})
			}
		}
		if s.Attr.defaultsToUnknown() {
			p.defaults = append(p.defaults, defaultID{i, parent == "" && l.Class != nil, l.under(parent, i)})
		}
		if s.Rows != nil {
			f := s.Rows.finish
			if len(f.enums)+len(f.defaults)+len(f.rows) > 0 {
				p.rows = append(p.rows, i)
			}
			if len(f.profiles)+len(f.rowMarks) > 0 {
				p.rowMarks = append(p.rowMarks, i)
			}
		}
		for _, profiles := range l.profilesOf(s.Path) {
			p.profiles = append(p.profiles, profileMark{i, profiles[0], s.Path, s.Attr})
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

// marks returns the marks of a layout whose slots lie below a prefix, by path:
// the order must not depend on which mappings were loaded before.
func (l *Layout) marks(prefix string) []mark {
	var out []mark
	for i, s := range l.slots {
		m := mark{slot: i, name: prefix + s.Path, typeID: int64(s.Attr.Observable)}
		switch top, _, _ := strings.Cut(m.name, "."); {
		case top == "metadata" || top == "observables":
		case s.Rows != nil:
			if m.rows = s.Rows.marks(m.name + "."); len(m.rows) > 0 {
				out = append(out, m)
			}
		case m.typeID > 0 && !unmarked[s.Attr.Observable] && s.Attr.Base == BaseString:
			out = append(out, m)
		}
	}
	slices.SortFunc(out, func(a, b mark) int { return strings.Compare(a.name, b.name) })
	return out
}

// caption gives marks the captions of their types.
func caption(marks []mark, types *Enum) {
	for i := range marks {
		marks[i].kind, _ = types.Caption(marks[i].typeID)
		caption(marks[i].rows, types)
	}
}

func (l *Layout) planClass(p *finishPlan) {
	c := l.Class
	p.activityID, p.typeUID, p.typeName = l.Slot("activity_id"), l.Slot("type_uid"), l.Slot("type_name")
	p.profileSlot, p.observables = l.Slot("metadata.profiles"), l.Slot("observables")
	for path, v := range map[string]Value{
		"category_uid": IntValue(int64(c.CategoryUID)), "category_name": TextValue(c.CategoryName),
		"class_uid": IntValue(int64(c.UID)), "class_name": TextValue(c.Caption),
		"metadata.version": TextValue(c.Version),
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
	}
	for _, a := range c.Attrs {
		if a.Requirement == Required && len(a.Profiles) > 0 && a.Enum == nil {
			slots := l.under(a.Name+".", -1)
			if i := l.Slot(a.Name); i >= 0 {
				slots = append(slots, i)
			}
			p.needs = append(p.needs, profileNeed{a.Profiles[0], slots})
		}
	}
	p.marks = l.marks("")
	if p.observables >= 0 {
		caption(p.marks, l.slots[p.observables].Rows.slots[obsTypeID].Attr.Enum)
	}
}

// Finish fills what follows from the rest: ids and their captions, the class
// and its category, type_uid, the datetime twins, profiles and observables.
// What a mapping set is kept.
func Finish(e *Event) {
	p := e.plan()
	s := e.Slots
	for _, c := range p.constants {
		s[c.slot] = c.value
	}
	p.finishSlots(e, s)
	if p.typeUID >= 0 && p.activityID >= 0 {
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
	if p.observables >= 0 {
		list := e.NewList(e.Layout.slots[p.observables].Rows)
		if own := s[p.observables].List(); own != nil {
			list.Items = append(list.Items, own.Items...)
		}
		observe(p.marks, s, list)
		if list.Len() > 0 {
			s[p.observables] = ListValue(list)
		}
	}
}

// finishSlots fills enum ids and captions in slots, and in the rows below.
func (p *finishPlan) finishSlots(e *Event, s []Value) {
	for i := range p.enums {
		p.enums[i].finish(e, s)
	}
	for _, d := range p.defaults {
		if !s[d.id].Has() && (d.always || anyHas(s, d.others)) {
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
		x.finishList(e, s)
		return
	}
	// Other, with the caption of an id, is that id: senders number by other
	// versions.
	if (!s[x.id].Has() || s[x.id].n == 99) && s[x.text].Has() {
		id := int64(99)
		if item, ok := x.enum.ByCaption(s[x.text].Text()); ok {
			id = item.ID
			s[x.text] = TextValue(item.Caption)
		}
		s[x.id] = IntValue(id)
	}
}

// finishList fills the captions of a list of ids, or the ids of captions: as
// many as there are, so that both lists go together.
func (x *enumPair) finishList(e *Event, s []Value) {
	ids, texts := s[x.id].List(), s[x.text].List()
	switch {
	case ids.Len() > 0 && texts == nil:
		texts = e.NewList(nil)
		for _, id := range ids.Items {
			caption, ok := x.enum.Caption(id.Int())
			if !ok {
				caption = "Unknown"
			}
			texts.Items = append(texts.Items, TextValue(caption))
		}
		s[x.text] = ListValue(texts)
	case texts.Len() > 0 && ids == nil:
		ids = e.NewList(nil)
		for _, text := range texts.Items {
			id := int64(99)
			if item, ok := x.enum.ByCaption(text.Text()); ok {
				id = item.ID
			}
			ids.Items = append(ids.Items, IntValue(id))
		}
		s[x.id] = ListValue(ids)
	}
}

// The slots of a row of observables, in the order of addFinishSlots.
const (
	obsName = iota
	obsTypeID
	obsType
	obsValue
)

// observe adds the observables of slots to list. Objects that are observables
// (a user, an endpoint) are not listed: OCSF gives those no value, so a list
// of them finds nothing that their attributes do not.
func observe(marks []mark, s []Value, list *List) {
	for i := range marks {
		m := &marks[i]
		v := s[m.slot]
		if !v.Has() {
			continue
		}
		switch l := v.List(); {
		case m.rows != nil:
			for r := range l.Len() {
				observe(m.rows, l.At(r), list)
			}
		case l != nil:
			for j := range l.Items {
				m.add(list, l.Items[j].Text())
			}
		default:
			m.add(list, v.Text())
		}
	}
}

// add appends one observable, once, and as long as there is room.
func (m *mark) add(list *List, value string) {
	n := list.Len()
	if value == "" || n >= maxObservables {
		return
	}
	for r := range n {
		if row := list.At(r); row[obsTypeID].Int() == m.typeID && row[obsValue].s == value {
			return
		}
	}
	row := list.AddRow()
	row[obsName], row[obsTypeID], row[obsValue] = TextValue(m.name), IntValue(m.typeID), TextValue(value)
	if m.kind != "" {
		row[obsType] = TextValue(m.kind)
	}
}
