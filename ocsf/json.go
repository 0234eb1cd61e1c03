package ocsf

import (
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// A node is one member of the JSON of an event: a slot, or an object.
type node struct {
	key  string // quoted, with its colon
	slot int    // -1 for an object
	attr *Attr
	kids []node
}

// newTree builds the tree of a layout; members are ordered by name.
func newTree(l *Layout) *node {
	order := make([]int, len(l.slots))
	for i := range order {
		order[i] = i
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
	key := string(appendString(nil, name)) + ":"
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
	dst = e.Layout.tree.appendMembers(dst, e.Slots)
	if len(e.Unmapped) > 0 {
		if len(dst) > at {
			dst = append(dst, ',')
		}
		dst = append(dst, `"unmapped":{`...)
		for i, p := range e.Unmapped {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = append(appendString(dst, p.Key), ':')
			dst = appendString(dst, p.Value)
		}
		dst = append(dst, '}')
	}
	return append(dst, '}')
}

// appendMembers appends the members that are there, without braces.
func (n *node) appendMembers(dst []byte, slots []Value) []byte {
	first := true
	for i := range n.kids {
		kid := &n.kids[i]
		at := len(dst)
		if !first {
			dst = append(dst, ',')
		}
		dst = append(dst, kid.key...)
		if kid.slot >= 0 {
			if v := slots[kid.slot]; v.k != Absent {
				dst = kid.attr.appendValue(dst, v)
				first = false
				continue
			}
			dst = dst[:at]
			continue
		}
		dst = append(dst, '{')
		inside := len(dst)
		dst = kid.appendMembers(dst, slots)
		if len(dst) == inside { // nothing there: no object
			dst = dst[:at]
			continue
		}
		dst = append(dst, '}')
		first = false
	}
	return dst
}

// AppendJSON appends a value of the attribute as JSON.
func (a *Attr) AppendJSON(dst []byte, v Value) []byte { return a.appendValue(dst, v) }

func (a *Attr) appendValue(dst []byte, v Value) []byte {
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
			dst = a.appendScalar(dst, l.Items[i])
			continue
		}
		dst = append(dst, '{')
		dst = l.Row.tree.appendMembers(dst, l.At(i))
		dst = append(dst, '}')
	}
	return append(dst, ']')
}

func (a *Attr) appendScalar(dst []byte, v Value) []byte {
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
		return appendString(dst, v.s)
	}
	return append(dst, "null"...)
}

// AppendTime appends a time in milliseconds as RFC 3339 text in UTC.
func AppendTime(dst []byte, ms int64) []byte {
	return time.UnixMilli(ms).UTC().AppendFormat(dst, "2006-01-02T15:04:05.000Z07:00")
}

// appendFloat appends a number as JSON has it: neither NaN nor infinity.
func appendFloat(dst []byte, f float64) []byte {
	if f != f || f > 1.7976931348623157e308 || f < -1.7976931348623157e308 {
		return append(dst, "null"...)
	}
	return strconv.AppendFloat(dst, f, 'g', -1, 64)
}

const hexDigits = "0123456789abcdef"

// appendString appends text as a JSON string. What is not UTF-8 becomes
// U+FFFD, and U+2028 and U+2029 are escaped for readers that are JavaScript.
func appendString(dst []byte, s string) []byte {
	dst = append(dst, '"')
	start := 0
	for i := 0; i < len(s); {
		c := s[i]
		if c >= 0x20 && c != '"' && c != '\\' && c < utf8.RuneSelf {
			i++
			continue
		}
		if c < utf8.RuneSelf {
			dst = append(dst, s[start:i]...)
			switch c {
			case '"', '\\':
				dst = append(dst, '\\', c)
			case '\n':
				dst = append(dst, '\\', 'n')
			case '\r':
				dst = append(dst, '\\', 'r')
			case '\t':
				dst = append(dst, '\\', 't')
			default:
				dst = append(dst, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&15])
			}
			i++
			start = i
			continue
		}
		r, size := utf8.DecodeRuneInString(s[i:])
		switch {
		case r == utf8.RuneError && size == 1:
			dst = append(append(dst, s[start:i]...), `\ufffd`...)
			start = i + 1
		case r == 0x2028 || r == 0x2029:
			dst = append(append(dst, s[start:i]...), `\u202`...)
			dst = append(dst, hexDigits[r&15])
			start = i + size
		}
		i += size
	}
	dst = append(dst, s[start:]...)
	return append(dst, '"')
}
