package lake

import (
	"nagare/ocsf"
)

// A plan says how the slots of one layout become the columns of one table. It
// is made once for each pair.
//
// Of the many hundred columns of a class a layout fills a part, the live
// ones. The others are null in every row, but Parquet wants to know at which
// level: whether the group around them is there. All dead columns of one group
// have the same levels, so the plan keeps one run of levels for each such
// group, and the writer gives that run to each of the columns.
type plan struct {
	layout *ocsf.Layout
	root   *node
	rows   *slotPlan
	// dead are the columns of each run.
	dead [][]int
	live []int // columns with values of their own
}

// A node is a column, or a group of columns, with something live in it.
type node struct {
	typ    ocsf.ColumnType
	slot   int // of a leaf or a list; -1 for a group
	col    int // of a leaf; of a map the column of its keys, its values are next
	def    int // the definition level when it is there
	rep    int // of a list: the repetition level of a further element
	run    int // of a group: the run of its dead columns, or -1
	under  []int
	fields []*node
	elem   *node // of a list

	cols []int // live columns at and below
	runs []int // runs at and below
}

// A slotPlan says what each slot of a layout must look like to fit.
type slotPlan struct {
	layout *ocsf.Layout
	slots  []slotCheck
}

type slotCheck struct {
	typ  ocsf.ColumnType // of the leaf, or of the elements
	none bool            // there is no column
	free bool            // long texts are welcome
	list bool
	rows *slotPlan // of the elements, if they are groups
}

func (t *table) plan(l *ocsf.Layout) (*plan, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if p, ok := t.plans[l]; ok {
		return p, nil
	}
	b := planner{t: t, p: &plan{layout: l}}
	b.p.rows = newSlotPlan(l)
	b.p.root = &node{typ: ocsf.ColGroup, slot: -1, run: -1}
	if err := b.fields(b.p.root, t.columns, "", "", l, b.p.rows, 0, 0); err != nil {
		return nil, err
	}
	t.plans[l] = b.p
	return b.p, nil
}

func newSlotPlan(l *ocsf.Layout) *slotPlan {
	s := &slotPlan{layout: l, slots: make([]slotCheck, l.Len())}
	for i := range s.slots {
		s.slots[i].none = true
	}
	return s
}

type planner struct {
	t *table
	p *plan
}

// fields plans the columns of group n. at is the group's path in the file,
// path its path in the layout; def and rep are the levels inside it.
func (b *planner) fields(n *node, columns []*ocsf.Column, at, path string, l *ocsf.Layout, s *slotPlan, def, rep int) error {
	n.def = def
	var dead []int
	for _, c := range columns {
		f, deadCols, err := b.column(c, at+c.Name, path+c.Name, l, s, def, rep)
		if err != nil {
			return err
		}
		dead = append(dead, deadCols...)
		if f != nil {
			n.fields = append(n.fields, f)
			n.cols = append(n.cols, f.cols...)
			n.runs = append(n.runs, f.runs...)
			if f.slot >= 0 {
				n.under = append(n.under, f.slot)
			}
			n.under = append(n.under, f.under...)
		}
	}
	if len(dead) > 0 {
		n.run = len(b.p.dead)
		b.p.dead = append(b.p.dead, dead)
		n.runs = append(n.runs, n.run)
	}
	return nil
}

// column plans one column: a node if something in it is live, else the dead
// columns it is made of.
func (b *planner) column(c *ocsf.Column, at, path string, l *ocsf.Layout, s *slotPlan, def, rep int) (*node, []int, error) {
	slot := l.Slot(path)
	n := &node{typ: c.Type, slot: slot, def: def + 1, run: -1}
	switch c.Type {
	case ocsf.ColGroup:
		n.slot = -1
		before := len(b.p.dead)
		if err := b.fields(n, c.Fields, at+".", path+".", l, s, def+1, rep); err != nil {
			return nil, nil, err
		}
		if len(n.fields) > 0 {
			return n, nil, nil
		}
		// Nothing in it: its columns belong to the run of who holds it.
		var dead []int
		for _, d := range b.p.dead[before:] {
			dead = append(dead, d...)
		}
		b.p.dead = b.p.dead[:before]
		return nil, dead, nil

	case ocsf.ColList:
		elem := c.Fields[0]
		if slot < 0 {
			dead, err := b.leaves(c, at)
			return nil, dead, err
		}
		n.rep = rep + 1
		check := &s.slots[slot]
		*check = slotCheck{typ: elem.Type, list: true, free: free[c.Name]}
		n.elem = &node{typ: elem.Type, slot: -1, def: def + 3, run: -1}
		if elem.Type == ocsf.ColGroup {
			rows := l.Info(slot).Rows
			check.rows = newSlotPlan(rows)
			if err := b.fields(n.elem, elem.Fields, at+".list.element.", "", rows, check.rows, def+3, rep+1); err != nil {
				return nil, nil, err
			}
			n.cols, n.runs = n.elem.cols, n.elem.runs
			return n, nil, nil
		}
		leaf, err := b.t.leaf(at + ".list.element")
		if err != nil {
			return nil, nil, err
		}
		n.elem.col, n.cols = leaf.ColumnIndex, []int{leaf.ColumnIndex}
		b.p.live = append(b.p.live, leaf.ColumnIndex)
		return n, nil, nil

	case ocsf.ColMap: // unmapped: not a slot
		leaf, err := b.t.leaf(at + ".key_value.key")
		if err != nil {
			return nil, nil, err
		}
		n.slot, n.rep, n.col = -1, rep+1, leaf.ColumnIndex
		n.cols = []int{n.col, n.col + 1}
		b.p.live = append(b.p.live, n.cols...)
		return n, nil, nil
	}
	leaf, err := b.t.leaf(at)
	if err != nil {
		return nil, nil, err
	}
	if slot < 0 {
		return nil, []int{leaf.ColumnIndex}, nil
	}
	s.slots[slot] = slotCheck{typ: c.Type, free: free[c.Name]}
	n.col, n.cols = leaf.ColumnIndex, []int{leaf.ColumnIndex}
	b.p.live = append(b.p.live, leaf.ColumnIndex)
	return n, nil, nil
}

// leaves are all columns at and below c.
func (b *planner) leaves(c *ocsf.Column, at string) ([]int, error) {
	switch c.Type {
	case ocsf.ColList:
		return b.leaves(c.Fields[0], at+".list.element")
	case ocsf.ColGroup:
		var all []int
		for _, f := range c.Fields {
			cols, err := b.leaves(f, at+"."+f.Name)
			if err != nil {
				return nil, err
			}
			all = append(all, cols...)
		}
		return all, nil
	}
	leaf, err := b.t.leaf(at)
	if err != nil {
		return nil, err
	}
	return []int{leaf.ColumnIndex}, nil
}
