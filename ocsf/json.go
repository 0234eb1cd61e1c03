package ocsf

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"nagare/ocsf/rawjson"
)

// A node is one member of the JSON of an event: a slot, or an object.
type node struct {
	key  string // quoted, with a comma before and a colon behind
	slot int    // -1 for an object
	attr *Attr
	kids []node
}

// newTree builds the tree of the slots of a layout that are in; nil is all of
// them. Members are ordered by name.
func newTree(l *Layout, in []bool) *node {
	var order []int
	for i := range l.slots {
		if in == nil || in[i] {
			order = append(order, i)
		}
	}
	slices.SortFunc(order, func(a, b int) int { return strings.Compare(l.slots[a].Path, l.slots[b].Path) })
	root := &node{slot: -1}
	for _, i := range order {
		n := root
		parts := strings.Split(l.slots[i].Path, ".")
		for _, name := range parts[:len(parts)-1] {
			n = n.child(name)
		}
		leaf := n.child(parts[len(parts)-1])
		leaf.slot, leaf.attr = i, l.slots[i].Attr
	}
	root.order()
	return root
}

func (n *node) child(name string) *node {
	key := "," + string(rawjson.AppendText(nil, name)) + ":"
	for i := range n.kids {
		if n.kids[i].key == key {
			return &n.kids[i]
		}
	}
	n.kids = append(n.kids, node{key: key, slot: -1})
	return &n.kids[len(n.kids)-1]
}

func (n *node) order() {
	slices.SortFunc(n.kids, func(a, b node) int { return strings.Compare(a.key, b.key) })
	for i := range n.kids {
		n.kids[i].order()
	}
}

// AppendJSON appends the event as one JSON object: nested, members ordered by
// name, unmapped last, nothing absent.
func (e *Event) AppendJSON(dst []byte) []byte {
	dst = append(dst, '{')
	at := len(dst)
	tree := e.Layout.tree
	if e.fields != nil {
		tree = e.fields.tree
	}
	dst = tree.appendMembers(dst, e.Slots)
	if len(e.Unmapped) > 0 {
		if len(dst) > at {
			dst = append(dst, ',')
		}
		dst = append(dst, `"unmapped":{`...)
		for i, p := range e.Unmapped {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = append(rawjson.AppendText(dst, p.Key), ':')
			dst = rawjson.AppendText(dst, p.Value)
		}
		dst = append(dst, '}')
	}
	return append(dst, '}')
}

// appendMembers appends the members that are there, without braces. What is
// before them in dst ends with the brace that opens.
func (n *node) appendMembers(dst []byte, slots []Value) []byte {
	comma := 1 // 1 leaves a key's comma out
	for i := range n.kids {
		kid := &n.kids[i]
		if kid.slot >= 0 {
			if v := &slots[kid.slot]; v.k != Absent {
				dst = kid.attr.appendValue(append(dst, kid.key[comma:]...), v)
				comma = 0
			}
			continue
		}
		at := len(dst)
		dst = append(append(dst, kid.key[comma:]...), '{')
		inside := len(dst)
		if dst = kid.appendMembers(dst, slots); len(dst) == inside {
			dst = dst[:at] // nothing there: no object
			continue
		}
		dst = append(dst, '}')
		comma = 0
	}
	return dst
}

// AppendJSON appends a value of the attribute as JSON.
func (a *Attr) AppendJSON(dst []byte, v Value) []byte { return a.appendValue(dst, &v) }

func (a *Attr) appendValue(dst []byte, v *Value) []byte {
	if v.k == Text {
		return rawjson.AppendText(dst, v.s)
	}
	if v.k != ListKind {
		return a.appendScalar(dst, v)
	}
	dst = append(dst, '[')
	l := v.l
	for i := range l.Len() {
		if i > 0 {
			dst = append(dst, ',')
		}
		if l.Row == nil {
			dst = a.appendScalar(dst, &l.Items[i])
			continue
		}
		dst = append(dst, '{')
		dst = l.Row.tree.appendMembers(dst, l.At(i))
		dst = append(dst, '}')
	}
	return append(dst, ']')
}

func (a *Attr) appendScalar(dst []byte, v *Value) []byte {
	switch v.k {
	case Bool:
		return strconv.AppendBool(dst, v.n != 0)
	case Int:
		if a.Base == BaseDatetime {
			dst = append(dst, '"')
			return append(AppendTime(dst, int64(v.n)), '"')
		}
		return strconv.AppendInt(dst, int64(v.n), 10)
	case Float:
		return appendFloat(dst, v.Float())
	case JSON:
		if v.s != "" {
			return append(dst, v.s...)
		}
	case Text:
		return rawjson.AppendText(dst, v.s)
	}
	return append(dst, "null"...)
}

// AppendTime appends a time in milliseconds as RFC 3339 text in UTC, with
// three digits of fraction.
func AppendTime(dst []byte, ms int64) []byte {
	const year1, year10000 = -62135596800000, 253402300800000
	if ms < year1 || ms >= year10000 {
		return time.UnixMilli(ms).UTC().AppendFormat(dst, "2006-01-02T15:04:05.000Z07:00")
	}
	// Days since 0000-03-01, in eras of 400 years of which each begins in
	// March, so that the leap day is the last one:
	// http://howardhinnant.github.io/date_algorithms.html#civil_from_days
	const dayMS, shift = 86_400_000, 719_468
	of := ms + shift*dayMS
	days, rest := of/dayMS, of%dayMS
	era, day := days/146_097, days%146_097
	yoe := (day - day/1460 + day/36_524 - day/146_096) / 365
	doy := day - (365*yoe + yoe/4 - yoe/100)
	mp := (5*doy + 2) / 153
	d, m, y := doy-(153*mp+2)/5+1, mp+3, yoe+era*400
	if m > 12 {
		m, y = m-12, y+1
	}
	sec, milli := rest/1000, rest%1000
	hour, minute := sec/3600, sec/60%60
	sec %= 60
	digit := func(n int64) byte { return byte('0' + n%10) }
	return append(dst,
		digit(y/1000), digit(y/100), digit(y/10), digit(y), '-', digit(m/10), digit(m), '-', digit(d/10), digit(d), 'T',
		digit(hour/10), digit(hour), ':', digit(minute/10), digit(minute), ':', digit(sec/10), digit(sec), '.',
		digit(milli/100), digit(milli/10), digit(milli), 'Z')
}

// appendFloat appends a number as JSON has it: neither NaN nor infinity.
func appendFloat(dst []byte, f float64) []byte {
	if f != f || f > 1.7976931348623157e308 || f < -1.7976931348623157e308 {
		return append(dst, "null"...)
	}
	return strconv.AppendFloat(dst, f, 'g', -1, 64)
}
