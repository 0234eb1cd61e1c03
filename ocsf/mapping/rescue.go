package mapping

import (
	"nagare"
	"nagare/ocsf"
)

// incomplete labels an event that entries matched but that lacks what their
// classes require.
const incomplete = "incomplete"

// A rescue makes a base event of what entries matched and could not take: a
// field that changed its type, or is gone, must not cost the event. What the
// entry made of code, message and severity is carried over; all else is in
// unmapped.
type rescue struct {
	entry                   *entry
	code, message, severity int
}

// rescued are the slots of an entry that its rescue carries over; -1 where the
// entry sets none.
type rescued struct{ code, message, severity int }

// rescueFor compiles the rescue of the entries of a product.
func (c *compiler) rescueFor(product string) *rescue {
	if r := c.rescues[product]; r != nil {
		return r
	}
	class, ok := c.layouts.Schema.Class("base_event")
	if !ok {
		return nil
	}
	outer, outerSet := c.layout, c.set
	defer func() { c.layout, c.set = outer, outerSet }()
	e := &entry{layout: c.layouts.Class(class)}
	c.layout, c.set = e.layout, map[string]int{}
	r := &rescue{entry: e}
	for path, slot := range map[string]*int{"metadata.event_code": &r.code, "message": &r.message, "severity_id": &r.severity} {
		*slot, _ = e.layout.Add(path)
		c.set[path] = *slot
	}
	e.constants = c.productConstants(product)
	if slot, err := e.layout.Add("activity_id"); err == nil {
		e.constants = append(e.constants, constant{slot, ocsf.IntValue(0)})
		c.set["activity_id"] = slot
	}
	e.base = c.baseSlots(e.layout)
	e.tree = newTree(&class.Object, c.set)
	e.fields = e.layout.Fields(c.slots(e))
	e.code = r.code
	c.rescues[product] = r
	return r
}

func (c *compiler) rescuedSlots() rescued {
	slot := func(path string) int {
		if i, ok := c.set[path]; ok {
			return i
		}
		return -1
	}
	return rescued{slot("metadata.event_code"), slot("message"), slot("severity_id")}
}

// A lacking is the first entry that matched and could not take the event.
type lacking struct {
	err                     error
	entry                   *entry
	code, message, severity ocsf.Value
}

// note keeps what a rescue needs of the entry that gave way.
func (l *lacking) note(r *run, e *entry, err error) {
	at := func(slot int) ocsf.Value {
		if slot < 0 {
			return ocsf.Value{}
		}
		return r.out.Slots[slot]
	}
	*l = lacking{err, e, at(e.rescued.code), at(e.rescued.message), at(e.rescued.severity)}
}

// rescue makes the base event.
func (r *run) rescue(l *lacking, ev *nagare.Event) error {
	s := l.entry.rescue
	if s == nil {
		return l.err
	}
	if err := r.fill(s.entry, ev); err != nil {
		return err
	}
	slots := r.out.Slots
	slots[s.code], slots[s.message], slots[s.severity] = l.code, l.message, l.severity
	r.label(&s.entry.base, slots, incomplete)
	r.stats.Incomplete++
	return nil
}
