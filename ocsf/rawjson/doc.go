// Package rawjson reads one JSON value in one pass onto a flat list of nodes
// that points into the bytes: nothing is copied, and a Doc that is used again
// allocates nothing. Each member gets the number of its path, so that what a
// mapping wants is found without a search, and what it does not want can be
// listed afterwards.
//
// It accepts what encoding/json accepts, to a smaller depth, and gives the
// same values: escapes, surrogates, U+FFFD for what is not UTF-8, the last of
// duplicate keys. It does not decode into Go types.
package rawjson

import (
	"errors"
	"fmt"
	"unsafe"
)

// A Kind says what a node is.
type Kind uint8

// The kinds of JSON values.
const (
	Null Kind = iota
	False
	True
	Number
	String
	Object
	Array
)

// flags of a Node.
const (
	escaped   uint8 = 1 << iota // the text has escapes
	high                        // has bytes >= 0x80, which may not be UTF-8
	surrogate                   // has an escaped surrogate, which may be alone
	spaced                      // has white space between values
	doubled                     // has a duplicate key somewhere below
	used                        // its value went somewhere
	partly                      // something below it is used
)

// dead is the path of a node that a later duplicate of its key replaced.
const dead = -2

// A Node is one value. Children of a node follow it directly; Next is the
// index after the last of them.
type Node struct {
	Start, End   uint32 // its bytes
	Key          uint32 // of a member: where its name begins, at the quote
	Parent, Next int32
	// Path is the number of its path: see Paths.
	Path  int32
	Kind  Kind
	flags uint8
}

// Bounds of what is read. What is beyond is an error, found before memory is
// taken for it.
const (
	MaxDepth  = 64
	MaxValues = 1 << 20
	maxBytes  = 1 << 30
)

// The errors of Parse, beside a *SyntaxError.
var (
	ErrTooDeep = errors.New("nested more than 64 deep")
	ErrTooMany = errors.New("more than 1048576 values")
	ErrTooLong = errors.New("more than 1 GiB")
)

// A SyntaxError says where bytes stop being JSON.
type SyntaxError struct {
	Offset int
	Reason string
}

func (e *SyntaxError) Error() string {
	return fmt.Sprintf("not JSON at byte %d: %s", e.Offset, e.Reason)
}

// A Doc is one parsed value. It is for one goroutine, and is used again by
// the next Parse; texts it gave out stay good as long as the bytes are.
type Doc struct {
	// Nodes holds the value and everything below it; the value is Nodes[0].
	Nodes []Node
	// Duplicates counts the members that a later member of the same name replaced.
	Duplicates int

	body  []byte
	names names
	last  []int32 // by path: the last node with it; stale ones are recognised
	pick  bool
	err   error
	text  arena
}

// Body is the bytes of the last Parse.
func (d *Doc) Body() []byte { return d.body }

// Parse reads body, which must be one JSON value with nothing but white space
// around it and must not change afterwards.
func (d *Doc) Parse(body []byte) error { return d.parse(body, false) }

// Pick is Parse for callers that want only the paths they asked for: the rest
// is checked and skipped, and has no nodes.
func (d *Doc) Pick(body []byte) error { return d.parse(body, true) }

func (d *Doc) parse(body []byte, pick bool) error {
	d.body, d.Nodes, d.Duplicates, d.err, d.pick = body, d.Nodes[:0], 0, nil, pick
	d.names.trim()
	if len(body) > maxBytes {
		return ErrTooLong
	}
	i := space(body, 0)
	d.Nodes = append(d.Nodes, Node{Parent: -1})
	d.mark(0, 0)
	i = d.value(i, 0, 0, 0)
	if d.err == nil {
		if i = space(body, i); i < len(body) {
			d.syntax(i, "more after the value")
		}
	}
	if d.err != nil {
		d.Nodes = d.Nodes[:0]
		return d.err
	}
	return nil
}

// Release gives memory back after an unusually large value.
func (d *Doc) Release() {
	d.body = nil
	if cap(d.Nodes) > 1<<15 {
		d.Nodes = nil
	}
}

func (d *Doc) syntax(i int, reason string) int {
	if d.err == nil {
		d.err = &SyntaxError{i, reason}
	}
	return len(d.body)
}

// mark notes that node has path, and kills an earlier one of the same parent.
func (d *Doc) mark(node, path int32) {
	for int(path) >= len(d.last) {
		d.last = append(d.last, -1)
	}
	d.last[path] = node
}

// add appends a member of parent and returns its index, or -1 at the bound.
func (d *Doc) add(parent, path int32) int32 {
	at := int32(len(d.Nodes))
	if at >= MaxValues {
		d.err = ErrTooMany
		return -1
	}
	if int(path) < len(d.last) {
		if old := d.last[path]; old >= 0 && old < at && d.Nodes[old].Path == path && d.Nodes[old].Parent == parent && !d.names.all[path].isElem {
			d.replace(old, parent)
		}
		d.last[path] = at
	} else {
		d.mark(at, path)
	}
	if int(at) == cap(d.Nodes) {
		d.Nodes = append(d.Nodes, Node{})
	} else {
		d.Nodes = d.Nodes[:at+1]
	}
	// One field after the other: a Node that is copied whole right after it
	// was made waits for its own bytes.
	n := &d.Nodes[at]
	n.Start, n.End, n.Key = 0, 0, 0
	n.Parent, n.Next, n.Path = parent, at+1, path
	n.Kind, n.flags = Null, 0
	return at
}

// replace takes a member out that a later one of its name replaces.
func (d *Doc) replace(old, parent int32) {
	d.Duplicates++
	for k := old; k < d.Nodes[old].Next; k++ {
		d.Nodes[k].Path = dead
	}
	for p := parent; p >= 0; p = d.Nodes[p].Parent {
		d.Nodes[p].flags |= doubled
	}
}

// value reads the value at i into the node self, or only checks it when self
// is negative. It returns the index after it.
func (d *Doc) value(i int, self, path int32, depth int) int {
	b := d.body
	if i >= len(b) {
		return d.syntax(i, "it ends early")
	}
	start := i
	var kind Kind
	var flags uint8
	switch c := b[i]; c {
	case '"':
		kind = String
		i, flags = d.string(i + 1)
	case '{':
		if depth >= MaxDepth {
			d.err = ErrTooDeep
			return len(b)
		}
		kind = Object
		i = d.object(i, self, path, depth+1, &flags)
	case '[':
		if depth >= MaxDepth {
			d.err = ErrTooDeep
			return len(b)
		}
		kind = Array
		i = d.array(i, self, path, depth+1, &flags)
	case 't':
		kind = True
		i = d.word(i, "true")
	case 'f':
		kind = False
		i = d.word(i, "false")
	case 'n':
		kind = Null
		i = d.word(i, "null")
	default:
		kind = Number
		i = d.number(i)
	}
	if self >= 0 && d.err == nil {
		n := &d.Nodes[self]
		n.Start, n.End, n.Kind, n.Next = uint32(start), uint32(i), kind, int32(len(d.Nodes))
		n.flags |= flags
		if n.Parent >= 0 {
			// Of the node, not of this value's own bytes alone: what is below its
			// members counts for everything above it.
			d.Nodes[n.Parent].flags |= n.flags & (high | surrogate | spaced)
		}
	}
	return i
}

func (d *Doc) object(i int, self, path int32, depth int, flags *uint8) int {
	b := d.body
	j := space(b, i+1)
	if j > i+1 {
		*flags |= spaced
	}
	if j < len(b) && b[j] == '}' {
		return j + 1
	}
	prev := int32(-1)
	for {
		if j >= len(b) || b[j] != '"' {
			return d.syntax(j, "a member's name must follow")
		}
		keyStart, child := j+1, int32(-1)
		if self >= 0 {
			child = d.names.guess(path, prev, b[keyStart:])
		}
		if child >= 0 { // the name that stood here the last time
			j = keyStart + len(d.names.all[child].key) + 1
			prev = child
		} else {
			end, keyFlags := d.string(keyStart)
			if d.err != nil {
				return len(b)
			}
			*flags |= keyFlags & (high | surrogate)
			j = end
			if self >= 0 {
				key := b[keyStart : end-1]
				if keyFlags&(escaped|high) != 0 {
					key = clean(nil, key)
				}
				if child = d.names.child(path, prev, key, !d.pick); child >= 0 {
					prev = child
				}
			}
		}
		if j < len(b) && b[j] != ':' {
			j = space(b, j)
			*flags |= spaced
		}
		if j >= len(b) || b[j] != ':' {
			return d.syntax(j, "a colon must follow a name")
		}
		j++
		if j < len(b) && b[j] <= ' ' {
			j = space(b, j)
			*flags |= spaced
		}
		switch {
		case child < 0:
			j = d.value(j, -1, -1, depth)
		case j < len(b) && b[j] == '"': // most members are texts
			start := j
			var textFlags uint8
			if j, textFlags = d.string(j + 1); d.err != nil {
				return len(b)
			}
			at := d.add(self, child)
			if at < 0 {
				return len(b)
			}
			n := &d.Nodes[at]
			n.Start, n.End, n.Key, n.Kind, n.flags = uint32(start), uint32(j), uint32(keyStart-1), String, textFlags
			*flags |= textFlags & (high | surrogate)
		default:
			at := d.add(self, child)
			if at < 0 {
				return len(b)
			}
			d.Nodes[at].Key = uint32(keyStart - 1)
			j = d.value(j, at, child, depth)
		}
		if d.err != nil {
			return len(b)
		}
		if j < len(b) && b[j] <= ' ' {
			j = space(b, j)
			*flags |= spaced
		}
		switch {
		case j < len(b) && b[j] == ',':
			j++
			if j < len(b) && b[j] <= ' ' {
				j = space(b, j)
				*flags |= spaced
			}
		case j < len(b) && b[j] == '}':
			return j + 1
		default:
			return d.syntax(j, "a comma or } must follow a member")
		}
	}
}

func (d *Doc) array(i int, self, path int32, depth int, flags *uint8) int {
	b := d.body
	j := space(b, i+1)
	if j > i+1 {
		*flags |= spaced
	}
	if j < len(b) && b[j] == ']' {
		return j + 1
	}
	elem := int32(-1)
	if self >= 0 {
		elem = d.names.element(path, !d.pick)
	}
	for {
		at := int32(-1)
		if elem >= 0 {
			if at = d.add(self, elem); at < 0 {
				return len(b)
			}
		}
		if j = d.value(j, at, elem, depth); d.err != nil {
			return len(b)
		}
		if j < len(b) && b[j] <= ' ' {
			j = space(b, j)
			*flags |= spaced
		}
		switch {
		case j < len(b) && b[j] == ',':
			j++
			if j < len(b) && b[j] <= ' ' {
				j = space(b, j)
				*flags |= spaced
			}
		case j < len(b) && b[j] == ']':
			return j + 1
		default:
			return d.syntax(j, "a comma or ] must follow an element")
		}
	}
}

// bytesText is b as text, without a copy.
func bytesText(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }
