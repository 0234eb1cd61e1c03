package mapping

import (
	"math/bits"

	"nagare/ocsf/expr"
	"nagare/ocsf/rawjson"
)

// A dispatch finds the entries an event may match without trying all: an
// entry whose when wants a path to be one of certain texts is looked up by
// that text.
type dispatch struct {
	words  int
	always []uint64 // entries that must be tried
	byPath []pathIndex
	n      int
}

type pathIndex struct {
	path    int32
	entries map[string][]uint64
}

// wants is one condition of an entry: a path, and the texts it may be.
type wants struct {
	path  int32
	texts []string
}

func newDispatch(paths *rawjson.Paths, entries []*entry) dispatch {
	d := dispatch{words: (len(entries) + 63) / 64, n: len(entries)}
	d.always = make([]uint64, d.words)
	found := make([][]wants, len(entries))
	uses := map[int32]int{}
	for i, e := range entries {
		found[i] = conjuncts(paths, e.whenExpr, nil)
		for _, w := range found[i] {
			uses[w.path]++
		}
	}
	for i := range entries {
		best := -1
		for k, w := range found[i] {
			if best < 0 || uses[w.path] > uses[found[i][best].path] {
				best = k
			}
		}
		if best < 0 {
			d.always[i/64] |= 1 << (i % 64)
			continue
		}
		w := found[i][best]
		for _, t := range w.texts {
			d.add(w.path, t, i)
		}
	}
	return d
}

func (d *dispatch) add(path int32, text string, entry int) {
	at := -1
	for k := range d.byPath {
		if d.byPath[k].path == path {
			at = k
		}
	}
	if at < 0 {
		at = len(d.byPath)
		d.byPath = append(d.byPath, pathIndex{path, map[string][]uint64{}})
	}
	set := d.byPath[at].entries[text]
	if set == nil {
		set = make([]uint64, d.words)
		d.byPath[at].entries[text] = set
	}
	set[entry/64] |= 1 << (entry % 64)
}

// conjuncts lists what must hold for a condition to hold, as far as it is
// known.
func conjuncts(paths *rawjson.Paths, e *expr.RawExpr, out []wants) []wants {
	if e == nil {
		return out
	}
	switch e.Op {
	case expr.OpAnd:
		return conjuncts(paths, e.Args[1], conjuncts(paths, e.Args[0], out))
	case expr.OpEqual, expr.OpIn:
		p := e.Args[0]
		if p.Op != expr.OpPath || p.Var != "raw" {
			return out
		}
		var names []string
		for _, s := range p.Steps {
			if s.Name == "" {
				return out
			}
			names = append(names, s.Name)
		}
		values := e.Values
		if e.Op == expr.OpEqual {
			values = []expr.RawValue{e.Value}
		}
		w := wants{path: paths.Add(names...)}
		for _, v := range values {
			if v.Kind != expr.RawText {
				return out
			}
			w.texts = append(w.texts, v.Text)
		}
		return append(out, w)
	}
	return out
}

// first returns the first entry from i on that the event may match; -1 if
// there is none.
func (d *dispatch) first(r *run, i int) int {
	for ; i < d.n; i = (i/64 + 1) * 64 {
		word := d.always[i/64]
		for k := range d.byPath {
			x := &d.byPath[k]
			n, ok := r.doc.At(x.path)
			if !ok || r.doc.Nodes[n].Kind != rawjson.String {
				continue
			}
			if set := x.entries[r.doc.Text(n)]; set != nil {
				word |= set[i/64]
			}
		}
		if word = word >> (i % 64) << (i % 64); word != 0 {
			return i/64*64 + bits.TrailingZeros64(word)
		}
	}
	return -1
}
