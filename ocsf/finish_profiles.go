package ocsf

import (
	"slices"
	"strconv"
	"strings"
)

// A profileMark says that a filled slot needs a profile.
type profileMark struct {
	slot    int
	profile string
	path    string
	attr    *Attr
}

// A profileNeed is an attribute of the class that a profile requires.
type profileNeed struct {
	profile string
	slots   []int // its own, or those below it
}

// profilesOf returns the profiles that the attribute at path needs, and the
// objects it is in: of each list one. Nil if it is there without any.
func (l *Layout) profilesOf(path string) [][]string {
	var all [][]string
	o := l.Object
	for name := range strings.SplitSeq(path, ".") {
		a, _ := o.Attr(name)
		if len(a.Profiles) > 0 {
			all = append(all, a.Profiles)
		}
		o = a.Object
	}
	return all
}

// finishProfiles lists the profiles whose attributes are filled, besides what
// the mapping listed. The list is a new one: the mapping's may be a constant
// that many events share.
func (p *finishPlan) finishProfiles(e *Event) {
	list := e.NewList(nil)
	if own := e.Slots[p.profileSlot].List(); own != nil {
		list.Items = append(list.Items, own.Items...)
	}
	p.addProfiles(e.Slots, list)
	for _, n := range p.needs {
		if has(list, n.profile) && !anyHas(e.Slots, n.slots) {
			p.withoutProfile(e, e.Slots, n.profile, "")
			list.Items = slices.DeleteFunc(list.Items, func(v Value) bool { return v.s == n.profile })
		}
	}
	if len(list.Items) == 0 {
		e.Slots[p.profileSlot] = Value{}
		return
	}
	slices.SortFunc(list.Items, func(a, b Value) int { return strings.Compare(a.s, b.s) })
	list.Items = slices.CompactFunc(list.Items, func(a, b Value) bool { return a.s == b.s })
	e.Slots[p.profileSlot] = ListValue(list)
}

func (p *finishPlan) addProfiles(s []Value, list *List) {
	for i := range p.profiles {
		m := &p.profiles[i]
		if s[m.slot].Has() && !has(list, m.profile) {
			list.Items = append(list.Items, TextValue(m.profile))
		}
	}
	for _, i := range p.rowMarks {
		rows := s[i].List()
		for r := range rows.Len() {
			rows.Row.finish.addProfiles(rows.At(r), list)
		}
	}
}

func has(list *List, profile string) bool {
	for i := range list.Items {
		if list.Items[i].s == profile {
			return true
		}
	}
	return false
}

// withoutProfile gives the attributes of a profile to unmapped: the event lacks
// what that requires, so it cannot be with the profile.
func (p *finishPlan) withoutProfile(e *Event, s []Value, profile, path string) {
	for i := range p.profiles {
		if m := &p.profiles[i]; m.profile == profile && s[m.slot].Has() {
			e.KeepUnmapped(path+m.path, s[m.slot].text(m.attr))
			s[m.slot] = Value{}
		}
	}
	for _, i := range p.rowMarks {
		rows := s[i].List()
		for r := range rows.Len() {
			rows.Row.finish.withoutProfile(e, rows.At(r), profile, path+p.paths[i]+"["+strconv.Itoa(r)+"].")
		}
	}
}

// text is a value as unmapped holds it.
func (v *Value) text(a *Attr) string {
	if v.k == Text {
		return v.s
	}
	return string(a.appendValue(nil, v))
}
