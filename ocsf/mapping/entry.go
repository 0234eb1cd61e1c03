package mapping

import (
	"fmt"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v4"

	"nagare/ocsf"
	"nagare/ocsf/expr"
)

// An entry is one element of events, compiled.
type entry struct {
	line       int
	when       condFn
	layout     *ocsf.Layout
	fields     *ocsf.Fields // the slots it can fill
	lastResort bool
	unknown    condFn // the event's type is none that the file knows
	constants  []constant
	fillers    []filler
	tree       []*object
	zeros      []profileZero
	base       baseSlots
	rescue     *rescue
	rescued    rescued
	code       int // the slot of metadata.event_code; -1 without one
	mayLack    string
	filled     map[string]int // line by path: what it sets, see Coverage
	whenNode   *yaml.Node

	whenExpr *expr.RawExpr
}

// A filler puts one thing into the slots of the event or of a row.
type filler func(r *run, slots []ocsf.Value)

type constant struct {
	slot  int
	value ocsf.Value
}

// baseSlots are the slots that base fills.
type baseSlots struct {
	uid, logged, tenant, original, labels, time int

	activity, activityName int // -1 where the class has none

	when *target // of time
}

func (c *compiler) entries() {
	nodes := list(c.f.keys["events"])
	if len(nodes) == 0 {
		c.say(c.f.source, "missing-key", "the file has no events", "")
	}
	closed := false
	for i, n := range nodes {
		fields := c.fields(c.f.name, n, entryKeys)
		if closed {
			c.say(n, "unreachable", "an entry above has no when, so this one is never reached", "move it up, or give that one a when")
		}
		if e := c.entry(n, fields); e != nil {
			e.lastResort = e.when == nil && i == len(nodes)-1 && e.unknown == nil
			c.m.entries = append(c.m.entries, e)
		}
		if w := fields["when"]; w == nil || w.Value == "true" {
			closed = true
		}
	}
}

func (c *compiler) entry(n *yaml.Node, fields map[string]*yaml.Node) *entry {
	e := &entry{line: n.Line}
	if w := fields["when"]; w != nil {
		e.whenNode = w
		if e.whenExpr = c.condition(w); e.whenExpr != nil {
			e.when = c.cond(e.whenExpr)
		}
	}
	if u := fields["unknown"]; u != nil && u.Value == "other" {
		e.unknown = func(r *run) tri {
			b := &e.base
			return truth(b.activity >= 0 && r.out.Slots[b.activity].Int() == 99)
		}
	} else if u != nil {
		if x := c.condition(u); x != nil {
			e.unknown = c.cond(x)
		}
	}
	class := c.class(n, fields["class"])
	if class == nil {
		return nil
	}
	e.layout = c.layouts.Class(class)
	c.layout, c.elem, c.set, c.always = e.layout, nil, map[string]int{}, map[int]bool{}
	c.places = map[string]*yaml.Node{}
	product, ok := c.productOf(fields, n)
	if ok {
		e.constants = c.productConstants(product)
		c.usedProducts[product] = true
	}
	c.activity(e, fields["activity"], n)
	e.fillers = append(e.fillers, c.attributes(fields["set"])...)
	for _, x := range list(fields["each"]) {
		if f := c.each(x); f != nil {
			e.fillers = append(e.fillers, f)
		}
	}
	e.base = c.baseSlots(e.layout)
	e.tree = newTree(&class.Object, c.set)
	e.mayLack = mayLack(e.tree, c.always)
	c.required(fields["class"], &class.Object, "", true)
	e.zeros = profileZeros(e.layout, c.set)
	e.fields = e.layout.Fields(c.slots(e))
	e.rescued, e.rescue = c.rescuedSlots(), c.rescueFor(product)
	e.code = e.rescued.code
	e.filled = map[string]int{}
	for path, at := range c.places {
		e.filled[path] = at.Line
	}
	return e
}

// slots are those that an entry can fill.
func (c *compiler) slots(e *entry) []int {
	b := &e.base
	out := []int{b.uid, b.logged, b.tenant, b.original, b.labels, b.time}
	for _, slot := range c.set {
		out = append(out, slot)
	}
	for _, k := range e.constants {
		out = append(out, k.slot)
	}
	return out
}

func (c *compiler) class(entry, n *yaml.Node) *ocsf.Class {
	if n == nil {
		c.say(entry, "missing-key", "an entry needs a class", "")
		return nil
	}
	name := c.text(c.f.name, n)
	if class, ok := c.layouts.Schema.Class(name); ok {
		return class
	}
	if uid, err := strconv.Atoi(name); err == nil {
		if class, ok := c.layouts.Schema.ClassByUID(uid); ok {
			return class
		}
	}
	var names []string
	for _, class := range c.layouts.Schema.Classes {
		names = append(names, class.Name)
	}
	c.say(n, "unknown-class", fmt.Sprintf("OCSF %s has no class %q", c.layouts.Schema.Version, name), nearest(name, names))
	return nil
}

// activity sets activity_id: a caption, an id, or an expression.
func (c *compiler) activity(e *entry, n, entry *yaml.Node) {
	t, err := newTarget(c.layout, "activity_id")
	if err != nil {
		return
	}
	c.set["activity_id"] = t.slot
	if n == nil {
		if e.layout.Class.UID != 0 {
			c.say(entry, "missing-key", "an entry needs an activity", t.enum.near(""))
		}
		e.constants = append(e.constants, constant{t.slot, ocsf.IntValue(0)})
		return
	}
	if v, ok := t.enum.find(c.text(c.f.name, n)); ok {
		e.constants = append(e.constants, constant{t.slot, v})
		return
	}
	if !strings.ContainsAny(n.Value, ".'\"?[(") {
		c.say(n, "unknown-activity", fmt.Sprintf("%s has no activity %q", e.layout.Class.Name, n.Value), t.enum.near(n.Value))
		return
	}
	if x := c.expression(n); x != nil {
		e.fillers = append(e.fillers, c.fill(t, n, x))
	}
}

func (c *compiler) baseSlots(layout *ocsf.Layout) baseSlots {
	slot := func(path string) int {
		i, err := layout.Add(path)
		if err != nil {
			panic("mapping: " + err.Error()) // every class has metadata and time
		}
		return i
	}
	b := baseSlots{
		uid: slot("metadata.uid"), logged: slot("metadata.logged_time"), tenant: slot("metadata.tenant_uid"),
		original: slot("metadata.original_time"), labels: slot("metadata.labels"), time: slot("time"),
	}
	b.when, _ = newTarget(layout, "time")
	b.activity, b.activityName = layout.Slot("activity_id"), layout.Slot("activity_name")
	if b.activityName < 0 {
		b.activity = -1
	}
	return b
}
