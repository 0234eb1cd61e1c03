package ocsf

import (
	"fmt"
	"slices"
	"strings"
)

// A Layout gives each OCSF path that anybody fills or reads a slot. One Layout
// serves all events of a class; it is built while mappings load and frozen
// before the first event.
//
// An array of objects is one slot whose List has rows of the slot's own Rows
// layout. Paths inside it are relative to the row.
type Layout struct {
	// Class is nil for the layout of a row.
	Class *Class
	// Object is the class's, or the row's, set of attributes.
	Object *Object

	slots    []SlotInfo
	byPath   map[string]int
	frozen   bool
	finish   *finishPlan
	validate *validatePlan
	tree     *node
	fields   []*Fields
}

// A SlotInfo describes one slot.
type SlotInfo struct {
	// Path is dotted, relative to the layout's object.
	Path string
	// Attr is the attribute at the end of Path.
	Attr *Attr
	// Rows lays out the elements of an array of objects; else nil.
	Rows *Layout
	// Open says that nobody names the path: it is there for events that come
	// as OCSF.
	Open bool
}

// A PathError says why a path is not one of the layout.
type PathError struct {
	Object string // the class or object that lacks the name
	Path   string // the whole path asked for
	Name   string // the part that is wrong
	Reason string // what is wrong with it
	Near   string // the nearest right name; "" if none is near
}

func (e *PathError) Error() string {
	s := fmt.Sprintf("%s: %s", e.Path, e.Reason)
	if e.Near != "" {
		s += fmt.Sprintf("; did you mean %q?", e.Near)
	}
	return s
}

// NewLayout makes an empty layout of an object.
func newLayout(c *Class, o *Object) *Layout {
	return &Layout{Class: c, Object: o, byPath: map[string]int{}}
}

// Len is the number of slots.
func (l *Layout) Len() int { return len(l.slots) }

// Info describes slot i.
func (l *Layout) Info(i int) SlotInfo { return l.slots[i] }

// Slot returns the slot of path, or -1 if nobody fills it.
func (l *Layout) Slot(path string) int {
	if i, ok := l.byPath[path]; ok {
		return i
	}
	return -1
}

// Add returns the slot of path, making one if needed. The error is a
// *PathError. Adding a new path to a frozen layout is a bug and panics.
func (l *Layout) Add(path string) (int, error) {
	if i, ok := l.byPath[path]; ok {
		if !l.frozen {
			l.slots[i].Open = false
		}
		return i, nil
	}
	a, err := l.Resolve(path)
	if err != nil {
		return -1, err
	}
	if l.frozen {
		panic("ocsf: Add(" + path + ") on a frozen layout")
	}
	s := SlotInfo{Path: path, Attr: a}
	if a.Array && a.Base == BaseObject {
		s.Rows = newLayout(nil, a.Object)
	}
	l.slots = append(l.slots, s)
	l.byPath[path] = len(l.slots) - 1
	return len(l.slots) - 1, nil
}

// AddOpen is Add for a slot that is Open as long as nobody else adds it.
func (l *Layout) AddOpen(path string) (int, error) {
	if i, ok := l.byPath[path]; ok {
		return i, nil
	}
	i, err := l.Add(path)
	if err == nil {
		l.slots[i].Open = true
	}
	return i, err
}

// Resolve returns the attribute at the end of path, which must be a value or
// an array, not a single object. It needs no slot.
func (l *Layout) Resolve(path string) (*Attr, error) {
	if path == "unmapped" && l.Class != nil {
		return nil, &PathError{l.Object.Name, path, path, "unmapped takes what has no attribute: see Event.AddUnmapped", ""}
	}
	o := l.Object
	parts := strings.Split(path, ".")
	for i, name := range parts {
		a, ok := o.Attr(name)
		if !ok {
			return nil, &PathError{o.Name, path, name, fmt.Sprintf("%s has no attribute %q", o.Name, name), nearest(name, o)}
		}
		last := i == len(parts)-1
		switch {
		case last && a.Base == BaseObject && !a.Array:
			return nil, &PathError{o.Name, path, name, fmt.Sprintf("%q is an object (%s): name one of its attributes", name, a.Object.Name), ""}
		case last:
			return a, nil
		case a.Base != BaseObject:
			return nil, &PathError{o.Name, path, name, fmt.Sprintf("%q is a value, it has no attributes", name), ""}
		case a.Array:
			return nil, &PathError{o.Name, path, name, fmt.Sprintf("%q is a list of objects: fill it with each, or with a list", name), ""}
		}
		o = a.Object
	}
	return nil, &PathError{o.Name, path, path, "empty path", ""}
}

// nearest finds the attribute whose name is closest to name.
func nearest(name string, o *Object) string {
	names := make([]string, len(o.Attrs))
	for i, a := range o.Attrs {
		names[i] = a.Name
	}
	return NearestName(name, names)
}

// NearestName is Nearest for attributes: a word of one will do, as mail or
// emial for email_addr.
func NearestName(name string, names []string) string {
	if n := Nearest(name, names); n != "" {
		return n
	}
	for _, n := range names {
		if len(name) > 3 && (strings.Contains(n, name) || Nearest(name, strings.Split(n, "_")) != "") {
			return n
		}
	}
	for _, word := range strings.Split(name, "_") { // ip_addr means ip
		if slices.Contains(names, word) {
			return word
		}
	}
	return ""
}

// Nearest returns the name with the smallest edit distance to name, or "" if
// all are further away than a third of its length plus one.
func Nearest(name string, names []string) string {
	best, at := len(name)/3+2, ""
	for _, n := range names {
		if d := distance(strings.ToLower(name), strings.ToLower(n), best); d < best {
			best, at = d, n
		}
	}
	return at
}

// distance is the Levenshtein distance, or limit if it is at least that.
func distance(a, b string, limit int) int {
	if len(a)-len(b) >= limit || len(b)-len(a) >= limit {
		return limit
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := 1; i <= len(a); i++ {
		diag := row[0]
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := diag
			if a[i-1] != b[j-1] {
				cost++
			}
			diag = row[j]
			row[j] = min(cost, row[j]+1, row[j-1]+1)
		}
	}
	return min(row[len(b)], limit)
}

// Layouts holds the layout of each class in use.
type Layouts struct {
	Schema  *Schema
	byClass map[int]*Layout
}

// NewLayouts makes layouts for a schema.
func NewLayouts(s *Schema) *Layouts { return &Layouts{Schema: s, byClass: map[int]*Layout{}} }

// Class returns the layout of a class, making it on first use with the slots
// that Finish fills in every event.
func (ls *Layouts) Class(c *Class) *Layout {
	if l, ok := ls.byClass[c.UID]; ok {
		return l
	}
	l := newLayout(c, &c.Object)
	ls.byClass[c.UID] = l
	l.addFinishSlots()
	return l
}

// Used returns the layouts in use, ordered by class_uid.
func (ls *Layouts) Used() []*Layout {
	out := make([]*Layout, 0, len(ls.byClass))
	for _, l := range ls.byClass {
		out = append(out, l)
	}
	slices.SortFunc(out, func(a, b *Layout) int { return a.Class.UID - b.Class.UID })
	return out
}

// Freeze compiles what Finish and AppendJSON need. After it no slot can be
// added, and the layouts may be used by many goroutines.
func (ls *Layouts) Freeze() {
	for _, l := range ls.Used() {
		l.freeze()
	}
}

// Under returns the slots whose path begins with a prefix.
func (l *Layout) Under(prefix string) []int { return l.under(prefix, -1) }

// AddDeep adds the slot of a path that may lead through arrays of objects, as
// auth_factors.factor_type_id, for readers. What cannot be a path is left out.
func (l *Layout) AddDeep(path string) {
	if l.frozen {
		return
	}
	for i := 0; i <= len(path); i++ {
		if i < len(path) && path[i] != '.' {
			continue
		}
		slot, err := l.Add(path[:i])
		if err != nil {
			continue // an object on the way
		}
		if rows := l.slots[slot].Rows; rows != nil && i < len(path) {
			rows.AddDeep(path[i+1:])
			return
		}
	}
}
