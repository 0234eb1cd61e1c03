// Package ocsf is the OCSF core: what the schema says (Schema, Class, Attr),
// the normalized event (Event: a Layout and its slots), what follows from the
// rest (Finish), whether it is right (Validate), its JSON, and the columns it
// has in the lake (Columns).
//
// It knows no source, no rule and no storage. The rules it enforces are those
// of the OCSF schema (schema.ocsf.io), version 1.3.0, and of Amazon Security
// Lake's custom sources.
package ocsf

import (
	"slices"
	"strconv"
)

// An Event is one normalized event: a layout and a value for each slot. It is
// reused: Reset it, fill it, hand it on, and it is good until the next Reset.
// Use Clone to keep one.
type Event struct {
	Layout *Layout
	// Slots has Layout.Len() values.
	Slots []Value
	// Unmapped holds source fields without an attribute, by dotted key, in the
	// order they were met. Values are text; objects and arrays are JSON text.
	Unmapped []Pair

	fields *Fields // nil: any slot may be filled
	lists  []*List // all lists ever made for this event, reused
	used   int     // how many of them are in use
}

// A Pair is one entry of Event.Unmapped.
type Pair struct{ Key, Value string }

// Reset makes e an empty event of a layout, of which any slot may be filled.
func (e *Event) Reset(l *Layout) { e.reset(l, nil) }

// ResetTo makes e an empty event of which only certain slots will be filled.
func (e *Event) ResetTo(f *Fields) { e.reset(f.layout, f) }

// reset empties what may be filled. All other slots, up to the capacity, are
// empty at any time.
func (e *Event) reset(l *Layout, f *Fields) {
	if e.fields == nil {
		clear(e.Slots)
	} else {
		for _, r := range e.fields.ranges {
			clear(e.Slots[r[0]:r[1]])
		}
	}
	if cap(e.Slots) >= l.Len() {
		e.Slots = e.Slots[:l.Len()]
	} else {
		e.Slots = make([]Value, l.Len())
	}
	e.Layout, e.fields = l, f
	e.Unmapped = e.Unmapped[:0]
	for _, x := range e.lists[:e.used] {
		clear(x.Items)
	}
	e.used = 0
}

// plan is what Finish does to the event.
func (e *Event) plan() *finishPlan {
	if e.fields != nil {
		return e.fields.finish
	}
	return e.Layout.finish
}

// Class is the event's class.
func (e *Event) Class() *Class { return e.Layout.Class }

// Get returns the value at a path, for readers that are not in a hurry.
// Absent if the path has no slot.
func (e *Event) Get(path string) Value {
	if i := e.Layout.Slot(path); i >= 0 {
		return e.Slots[i]
	}
	return Value{}
}

// NewList returns an empty list owned by e. row is the SlotInfo.Rows of the
// slot it is for, nil for scalars.
func (e *Event) NewList(row *Layout) *List {
	if e.used == len(e.lists) {
		e.lists = append(e.lists, &List{})
	}
	l := e.lists[e.used]
	e.used++
	l.Row, l.Items = row, l.Items[:0]
	return l
}

// AddUnmapped keeps a source field that has no attribute.
func (e *Event) AddUnmapped(key, value string) {
	e.Unmapped = append(e.Unmapped, Pair{key, value})
}

// KeepUnmapped is AddUnmapped for a key that may be there already, see
// DistinctUnmapped.
func (e *Event) KeepUnmapped(key, value string) {
	name := key
	for n := 2; ; n++ {
		i := slices.IndexFunc(e.Unmapped, func(p Pair) bool { return p.Key == name })
		if i < 0 {
			e.AddUnmapped(name, value)
			return
		}
		if e.Unmapped[i].Value == value {
			return
		}
		name = key + "#" + strconv.Itoa(n)
	}
}

// DistinctUnmapped makes the keys of unmapped differ: of two pairs that are the
// same one stays, and a key that is there with another value becomes KEY#2.
func (e *Event) DistinctUnmapped() {
	seen := make(map[string]string, len(e.Unmapped))
	kept := e.Unmapped[:0]
	for _, p := range e.Unmapped {
		key := p.Key
		old, there := seen[key]
		for n := 2; there && old != p.Value; n++ {
			p.Key = key + "#" + strconv.Itoa(n)
			old, there = seen[p.Key]
		}
		if !there {
			seen[p.Key] = p.Value
			kept = append(kept, p)
		}
	}
	e.Unmapped = kept
}

// Clone returns a copy with its own slots and lists. Texts are shared with
// the original's bytes.
func (e *Event) Clone() *Event {
	c := &Event{Layout: e.Layout, Slots: make([]Value, len(e.Slots)), Unmapped: append([]Pair(nil), e.Unmapped...)}
	copyValues(c.Slots, e.Slots)
	return c
}

func copyValues(dst, src []Value) {
	copy(dst, src)
	for i := range dst {
		if l := dst[i].l; l != nil {
			items := make([]Value, len(l.Items))
			copyValues(items, l.Items)
			dst[i].l = &List{Row: l.Row, Items: items}
		}
	}
}
