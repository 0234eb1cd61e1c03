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
	p.names.fixed = len(p.names.all)
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

// A name is one path: the name of its last step, and what led to it and
// followed it the last time.
type name struct {
	key    string
	dotted string // the whole path, made when first asked for
	parent int32
	elem   int32 // the path of an array's elements, -1 if none
	first  int32 // the first member, the last time
	after  int32 // the member that followed, the last time
	isElem bool
	inElem bool // it, or a path above it, is an element
	plain  bool // the key is ASCII that JSON writes as it is
	odd    bool // it, or a name above it, has what dotted keys are made with
}

// names numbers paths: the fixed ones, and those met while reading. A number
// is found by what followed the last time, else by a hash of parent and name.
type names struct {
	seed  maphash.Seed
	all   []name
	fixed int
	bytes int
	table []int32 // open addressing, numbers plus one
}

func (n *names) clone() names {
	c := *n
	c.all = append([]name(nil), n.all...)
	c.table = append([]int32(nil), n.table...)
	return c
}

// trim forgets what was learned when it has become much.
func (n *names) trim() {
	if len(n.all)-n.fixed <= maxLearned && n.bytes <= maxLearnedBytes {
		return
	}
	f := int32(n.fixed)
	clear(n.all[f:])
	n.all, n.bytes = n.all[:f], 0
	for i := range n.all {
		x := &n.all[i]
		if x.elem >= f {
			x.elem = -1
		}
		if x.first >= f {
			x.first = -1
		}
		if x.after >= f {
			x.after = -1
		}
	}
	n.rehash()
}

func (n *names) push(key string, parent int32, elem bool) int32 {
	n.all = append(n.all, name{
		key: key, parent: parent, elem: -1, first: -1, after: -1,
		isElem: elem, inElem: elem || parent >= 0 && n.all[parent].inElem, plain: plainText(key, 0) == len(key),
		odd: parent >= 0 && n.all[parent].odd || strings.ContainsAny(key, ".["),
	})
	n.bytes += len(key)
	return int32(len(n.all) - 1)
}

// element returns the path of the elements of an array; -1 when it is not
// known and not to be learned.
func (n *names) element(array int32, learn bool) int32 {
	if n.all[array].elem < 0 && learn {
		id := n.push("", array, true)
		n.all[array].elem = id
	}
	return n.all[array].elem
}

// guess returns the member that followed prev the last time, if its name
// stands at the beginning of text, with a quote behind it; else -1.
func (n *names) guess(parent, prev int32, text []byte) int32 {
	id := n.all[parent].first
	if prev >= 0 {
		id = n.all[prev].after
	}
	if id < 0 {
		return -1
	}
	x := &n.all[id]
	if l := len(x.key); x.parent == parent && x.plain && l < len(text) && text[l] == '"' && x.key == string(text[:l]) {
		return id
	}
	return -1
}

// child returns the path of a member. prev is the member before it, -1 for
// the first.
func (n *names) child(parent, prev int32, key []byte, learn bool) int32 {
	guess := n.all[parent].first
	if prev >= 0 {
		guess = n.all[prev].after
	}
	if guess >= 0 {
		if x := &n.all[guess]; x.parent == parent && x.key == string(key) {
			return guess
		}
	}
	id := n.find(parent, key)
	if id < 0 {
		if !learn {
			return -1
		}
		id = n.push(string(key), parent, false)
		if len(n.all)*2 > len(n.table) {
			n.rehash()
		} else {
			n.insert(id)
		}
	}
	if prev >= 0 {
		n.all[prev].after = id
	} else {
		n.all[parent].first = id
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
		if x := &n.all[id]; x.parent == parent && x.key == string(key) {
			return id
		}
	}
}

func (n *names) insert(id int32) {
	mask := uint64(len(n.table) - 1)
	h := n.hash(n.all[id].parent, []byte(n.all[id].key))
	for n.table[h&mask] != 0 {
		h++
	}
	n.table[h&mask] = id + 1
}

func (n *names) rehash() {
	size := 64
	for size < len(n.all)*4 {
		size *= 2
	}
	if len(n.table) == size {
		clear(n.table)
	} else {
		n.table = make([]int32, size)
	}
	for id := range n.all {
		if id > 0 && !n.all[id].isElem {
			n.insert(int32(id))
		}
	}
}

// whole is the dotted text of a path outside arrays.
func (n *names) whole(id int32) string {
	if id <= 0 {
		return ""
	}
	if n.all[id].dotted == "" {
		var parts []string
		for i := id; i > 0; i = n.all[i].parent {
			parts = append(parts, n.all[i].key)
		}
		for i, j := 0, len(parts)-1; i < j; i, j = i+1, j-1 {
			parts[i], parts[j] = parts[j], parts[i]
		}
		whole := strings.Join(parts, ".")
		if len(whole) > maxKey {
			whole = whole[:cutKey(whole)]
		}
		n.all[id].dotted = whole
		n.bytes += len(whole)
	}
	return n.all[id].dotted
}
