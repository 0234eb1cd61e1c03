package ocsf

import (
	"slices"
)

// Fields are the slots that events of one kind can fill, with all that follows
// from them. A layout has the slots of every mapping and every rule; an event
// that was reset to Fields is finished, written and cleared at the cost of its
// own fields alone, however many other sources share the class.
type Fields struct {
	layout *Layout
	own    []int // what the caller fills

	// The rest is made when the layout is frozen.
	ranges [][2]int // all slots that can be filled: from, up to
	finish *finishPlan
	tree   *node
}

// Layout is the layout that the fields are of.
func (f *Fields) Layout() *Layout { return f.layout }

// Fields returns the fields of events of which nothing but the given slots,
// and what Finish adds, is ever filled. It must be called before Freeze.
func (l *Layout) Fields(slots []int) *Fields {
	if l.frozen {
		panic("ocsf: Fields on a frozen layout")
	}
	f := &Fields{layout: l, own: slices.Clone(slots)}
	l.fields = append(l.fields, f)
	return f
}

// freeze compiles the fields. The layout's own plan is there already.
func (f *Fields) freeze() {
	l := f.layout
	in := make([]bool, len(l.slots))
	for _, i := range f.own {
		in[i] = true
	}
	for _, path := range baseSlots {
		if i := l.Slot(path); i >= 0 {
			in[i] = true
		}
	}
	for grew := true; grew; {
		grew = false
		add := func(i int) {
			if !in[i] {
				in[i], grew = true, true
			}
		}
		for _, x := range l.finish.enums {
			if in[x.id] || in[x.text] {
				add(x.id)
				add(x.text)
			}
		}
		for _, d := range l.finish.defaults {
			if d.always || slices.ContainsFunc(d.others, func(i int) bool { return in[i] }) {
				add(d.id)
			}
		}
		for _, d := range l.finish.datetimes {
			if in[d[0]] {
				add(d[1])
			}
		}
	}
	f.finish = l.finish.only(in)
	f.tree = newTree(l, in)
	f.ranges = ranges(in)
}

// ranges are the runs of true. Small gaps are not worth a run of their own.
func ranges(in []bool) [][2]int {
	const gap = 4
	var out [][2]int
	for i, ok := range in {
		switch n := len(out); {
		case !ok:
		case n > 0 && i-out[n-1][1] <= gap:
			out[n-1][1] = i + 1
		default:
			out = append(out, [2]int{i, i + 1})
		}
	}
	return out
}

// only is the part of a plan that concerns certain slots.
func (p *finishPlan) only(in []bool) *finishPlan {
	q := *p
	q.enums = keep(p.enums, func(x enumPair) bool { return in[x.id] })
	q.rows = keep(p.rows, func(i int) bool { return in[i] })
	q.rowMarks = keep(p.rowMarks, func(i int) bool { return in[i] })
	q.profiles = keep(p.profiles, func(m profileMark) bool { return in[m.slot] })
	q.datetimes = keep(p.datetimes, func(d [2]int) bool { return in[d[0]] })
	q.marks = keep(p.marks, func(m mark) bool { return in[m.slot] })
	q.constants = keep(p.constants, func(c constant) bool { return in[c.slot] })
	q.needs = nil
	for _, n := range p.needs {
		q.needs = append(q.needs, profileNeed{n.profile, keep(n.slots, func(i int) bool { return in[i] })})
	}
	q.defaults = nil
	for _, d := range p.defaults {
		if in[d.id] {
			d.others = keep(d.others, func(i int) bool { return in[i] })
			q.defaults = append(q.defaults, d)
		}
	}
	return &q
}

func keep[T any](all []T, ok func(T) bool) []T {
	var out []T
	for _, x := range all {
		if ok(x) {
			out = append(out, x)
		}
	}
	return out
}
