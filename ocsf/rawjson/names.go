package rawjson

import (
	"hash/maphash"
	"strings"
)

// Paths is the set of paths a caller wants, each with a number. The root has
// number 0. A path is a list of member names; Elem stands for every element
// of an array.
type Paths struct{ names names }

// Elem is the step from an array to its elements.
const Elem = "[]"

// NewPaths returns a set with the root in it.
func NewPaths() *Paths {
	p := &Paths{}
	p.names.seed = maphash.MakeSeed()
	p.names.push("", -1, false)
	p.names.fixed = 1
	return p
}

// Add returns the number of a path, giving it one if needed.
func (p *Paths) Add(steps ...string) int32 {
	at := int32(0)
	for _, s := range steps {
		if s == Elem {
			at = p.names.element(at, true)
		} else {
			at = p.names.child(at, -1, []byte(s), true)
		}
	}
	p.names.fixed = len(p.names.key)
	return at
}

// NewDoc returns a Doc that knows these paths. Paths added later it does not know.
func (p *Paths) NewDoc() *Doc {
	d := &Doc{}
	d.names = p.names.clone()
	return d
}

// Bounds of what a Doc learns about members nobody asked for, so that a
// hostile sender cannot grow it: beyond them it forgets between two values.
const (
	maxLearned      = 8192
	maxLearnedBytes = 1 << 20
)

// names numbers paths: the fixed ones, and those met while reading. A number
// is found by what followed the last time, else by a hash of parent and name.
type names struct {
	seed   maphash.Seed
	key    []string
	parent []int32
	elem   []int32 // the path of an array's elements, -1 if none
	isElem []bool
	inElem []bool   // it, or a path above it, is an element
	first  []int32  // the first member, the last time
	after  []int32  // the member that followed, the last time
	dotted []string // the whole path, made when first asked for
	fixed  int
	bytes  int
	table  []int32 // open addressing, numbers plus one
}

func (n *names) clone() names {
	c := *n
	c.key = append([]string(nil), n.key...)
	c.parent = append([]int32(nil), n.parent...)
	c.elem = append([]int32(nil), n.elem...)
	c.isElem = append([]bool(nil), n.isElem...)
	c.inElem = append([]bool(nil), n.inElem...)
	c.first = append([]int32(nil), n.first...)
	c.after = append([]int32(nil), n.after...)
	c.dotted = append([]string(nil), n.dotted...)
	c.table = append([]int32(nil), n.table...)
	return c
}

// trim forgets what was learned when it has become much.
func (n *names) trim() {
	if len(n.key)-n.fixed <= maxLearned && n.bytes <= maxLearnedBytes {
		return
	}
	f := n.fixed
	clear(n.key[f:])
	clear(n.dotted[f:])
	n.key, n.parent, n.elem, n.isElem, n.inElem = n.key[:f], n.parent[:f], n.elem[:f], n.isElem[:f], n.inElem[:f]
	n.first, n.after, n.dotted, n.bytes = n.first[:f], n.after[:f], n.dotted[:f], 0
	for i := range n.key {
		if n.elem[i] >= int32(f) {
			n.elem[i] = -1
		}
		if n.first[i] >= int32(f) {
			n.first[i] = -1
		}
		if n.after[i] >= int32(f) {
			n.after[i] = -1
		}
	}
	n.rehash()
}

func (n *names) push(key string, parent int32, elem bool) int32 {
	id := int32(len(n.key))
	n.key = append(n.key, key)
	n.parent = append(n.parent, parent)
	n.elem = append(n.elem, -1)
	n.isElem = append(n.isElem, elem)
	n.inElem = append(n.inElem, elem || parent >= 0 && n.inElem[parent])
	n.first = append(n.first, -1)
	n.after = append(n.after, -1)
	n.dotted = append(n.dotted, "")
	n.bytes += len(key)
	return id
}

// element returns the path of the elements of an array; -1 when it is not
// known and not to be learned.
func (n *names) element(array int32, learn bool) int32 {
	if n.elem[array] < 0 && learn {
		n.elem[array] = n.push("", array, true)
	}
	return n.elem[array]
}

// child returns the path of a member. prev is the member before it, -1 for
// the first.
func (n *names) child(parent, prev int32, key []byte, learn bool) int32 {
	guess := n.first[parent]
	if prev >= 0 {
		guess = n.after[prev]
	}
	if guess >= 0 && n.parent[guess] == parent && n.key[guess] == string(key) {
		return guess
	}
	id := n.find(parent, key)
	if id < 0 {
		if !learn {
			return -1
		}
		id = n.push(string(key), parent, false)
		if len(n.key)*2 > len(n.table) {
			n.rehash()
		} else {
			n.insert(id)
		}
	}
	if prev >= 0 {
		n.after[prev] = id
	} else {
		n.first[parent] = id
	}
	return id
}

func (n *names) hash(parent int32, key []byte) uint64 {
	return maphash.Bytes(n.seed, key) ^ uint64(parent+1)*0x9E3779B97F4A7C15
}

func (n *names) find(parent int32, key []byte) int32 {
	if len(n.table) == 0 {
		return -1
	}
	mask := uint64(len(n.table) - 1)
	for h := n.hash(parent, key); ; h++ {
		id := n.table[h&mask] - 1
		if id < 0 {
			return -1
		}
		if n.parent[id] == parent && n.key[id] == string(key) {
			return id
		}
	}
}

func (n *names) insert(id int32) {
	mask := uint64(len(n.table) - 1)
	h := n.hash(n.parent[id], []byte(n.key[id]))
	for n.table[h&mask] != 0 {
		h++
	}
	n.table[h&mask] = id + 1
}

func (n *names) rehash() {
	size := 64
	for size < len(n.key)*4 {
		size *= 2
	}
	if len(n.table) == size {
		clear(n.table)
	} else {
		n.table = make([]int32, size)
	}
	for id := range n.key {
		if id > 0 && !n.isElem[id] {
			n.insert(int32(id))
		}
	}
}

// whole is the dotted text of a path outside arrays.
func (n *names) whole(id int32) string {
	if id <= 0 {
		return ""
	}
	if n.dotted[id] == "" {
		var parts []string
		for i := id; i > 0; i = n.parent[i] {
			parts = append(parts, n.key[i])
		}
		for i, j := 0, len(parts)-1; i < j; i, j = i+1, j-1 {
			parts[i], parts[j] = parts[j], parts[i]
		}
		whole := strings.Join(parts, ".")
		if len(whole) > maxKey {
			whole = whole[:maxKey]
		}
		n.dotted[id] = whole
		n.bytes += len(n.dotted[id])
	}
	return n.dotted[id]
}
