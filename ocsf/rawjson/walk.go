package rawjson

import (
	"strconv"
	"unicode/utf8"
)

// At returns the node of a path outside arrays; false when it is not there.
func (d *Doc) At(path int32) (int32, bool) {
	if int(path) >= len(d.last) {
		return -1, false
	}
	i := d.last[path]
	if i < 0 || int(i) >= len(d.Nodes) || d.Nodes[i].Path != path {
		return -1, false
	}
	return i, true
}

// Member returns the member of an object that has this path.
func (d *Doc) Member(object, path int32) (int32, bool) {
	for k, end := object+1, d.Nodes[object].Next; k < end; k = d.Nodes[k].Next {
		if d.Nodes[k].Path == path {
			return k, true
		}
	}
	return -1, false
}

// Child returns the member of an object that has this name. It does not find
// what Pick skipped.
func (d *Doc) Child(object int32, name string) (int32, bool) {
	n := &d.Nodes[object]
	if n.Kind != Object {
		return -1, false
	}
	path := d.names.find(n.Path, []byte(name))
	if path < 0 {
		return -1, false
	}
	if !d.names.all[path].inElem {
		return d.At(path)
	}
	return d.Member(object, path)
}

// Name is the member name of a node; "" for elements and the root.
func (d *Doc) Name(i int32) string { return d.names.all[d.Nodes[i].Path].key }

// KeyText is the name of a member as its object writes it, also of one that a
// later one replaced, of which Name knows nothing.
func (d *Doc) KeyText(i int32) string {
	from := int(d.Nodes[i].Key) + 1
	end := from
	for end < len(d.body) && d.body[end] != '"' {
		if d.body[end] == '\\' {
			end++
		}
		end++
	}
	return string(clean(nil, d.body[from:end]))
}

// Live says whether a node counts: a duplicate replaced by a later one does not.
func (d *Doc) Live(i int32) bool { return d.Nodes[i].Path != dead }

// Count is the number of members or elements.
func (d *Doc) Count(i int32) int {
	c := 0
	for k, end := i+1, d.Nodes[i].Next; k < end; k = d.Nodes[k].Next {
		if d.Nodes[k].Path != dead {
			c++
		}
	}
	return c
}

// Index returns element n of an array.
func (d *Doc) Index(array int32, n int) (int32, bool) {
	if d.Nodes[array].Kind != Array || n < 0 {
		return -1, false
	}
	for k, end := array+1, d.Nodes[array].Next; k < end; k = d.Nodes[k].Next {
		if n == 0 {
			return k, true
		}
		n--
	}
	return -1, false
}

// Use notes that the value of a node, with all below it, went somewhere:
// Unused will not list it.
func (d *Doc) Use(i int32) {
	d.Nodes[i].flags |= used
	for p := d.Nodes[i].Parent; p >= 0 && d.Nodes[p].flags&partly == 0; p = d.Nodes[p].Parent {
		d.Nodes[p].flags |= partly
	}
}

// Unuse takes Use back.
func (d *Doc) Unuse(i int32) { d.Nodes[i].flags &^= used }

// Forget takes every Use back.
func (d *Doc) Forget() {
	for i := range d.Nodes {
		d.Nodes[i].flags &^= used | partly
	}
}

// Used says whether Use was called for the node.
func (d *Doc) Used(i int32) bool { return d.Nodes[i].flags&used != 0 }

// maxKey bounds a dotted key; the rest of a longer one is cut off.
const maxKey = 1024

// cutKey is where a key that is too long is cut: before a character.
func cutKey[T string | []byte](key T) int {
	n := maxKey
	for n > 0 && key[n]&0xC0 == 0x80 {
		n--
	}
	return n
}

// Ambiguous says whether the dotted key that Unused gives a node may be that of
// another one too: a name on the way has a dot or a bracket, or the key was cut.
func (d *Doc) Ambiguous(i int32, key string) bool {
	return d.names.all[d.Nodes[i].Path].odd || len(key) > maxKey-utf8.UTFMax
}

// CutKey says whether a dotted key that Unused gave was cut, or is so long that
// it may have been.
func (d *Doc) CutKey(key string) bool { return len(key) > maxKey-utf8.UTFMax }

// Unused calls yield for every value of an object that Use was not called
// for, with its dotted key. An array of which nothing was used is one value;
// else its elements are listed as a[0].b. Nulls are left out. It stops when
// yield returns false.
func (d *Doc) Unused(yield func(key string, node int32) bool) {
	if len(d.Nodes) == 0 {
		return
	}
	if n := &d.Nodes[0]; n.Kind != Object || n.flags&used != 0 {
		d.unused(0, nil, yield)
		return
	}
	for i := int32(1); int(i) < len(d.Nodes); {
		n := &d.Nodes[i]
		switch {
		case n.flags&used != 0 || n.Path == dead || n.Kind == Null:
			i = n.Next
		case n.Kind == Object && n.Next > i+1:
			i++ // its members are next
		case n.Kind == Array && n.Next > i+1 && n.flags&partly != 0:
			if !d.unused(i, nil, yield) {
				return
			}
			i = n.Next
		default:
			if !yield(d.names.whole(n.Path), i) {
				return
			}
			i = n.Next
		}
	}
}

// unused walks one node. prefix is the key so far when it has an index in it;
// nil means the path itself tells.
func (d *Doc) unused(i int32, prefix []byte, yield func(string, int32) bool) bool {
	n := &d.Nodes[i]
	if n.flags&used != 0 || n.Path == dead || n.Kind == Null {
		return true
	}
	leaf := n.Kind < Object || n.Next == i+1 || n.Kind == Array && n.flags&partly == 0
	if leaf && i > 0 {
		if prefix != nil {
			return yield(bytesText(append(d.text.room(len(prefix)), prefix...)), i)
		}
		return yield(d.names.whole(n.Path), i)
	}
	if n.Kind == Array {
		if prefix == nil {
			prefix = append(make([]byte, 0, 128), d.names.whole(n.Path)...)
		}
		at, index := len(prefix), 0
		for k := i + 1; k < n.Next; k = d.Nodes[k].Next {
			prefix = append(strconv.AppendInt(append(prefix[:at], '['), int64(index), 10), ']')
			if !d.unused(k, prefix, yield) {
				return false
			}
			index++
		}
		return true
	}
	for k := i + 1; k < n.Next; k = d.Nodes[k].Next {
		sub := prefix
		if prefix != nil && d.Nodes[k].Path != dead {
			sub = append(append(prefix, '.'), d.names.all[d.Nodes[k].Path].key...)
			if len(sub) > maxKey {
				sub = sub[:cutKey(sub)]
			}
		}
		if !d.unused(k, sub, yield) {
			return false
		}
	}
	return true
}
