package mapping

import (
	"fmt"
	"math/bits"
	"slices"
	"strings"

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

// A pathIndex looks at the first of some paths that is there.
type pathIndex struct {
	paths   string // their numbers, as a key
	list    []int32
	fold    bool
	entries map[string][]uint64
	// spelled is entries under the spellings of the file, so that a text that
	// is written so need not be put in lower case.
	spelled map[string][]uint64
}

// wants is one condition of an entry: paths, of which the first that is there
// counts, and the texts it may be.
type wants struct {
	paths string
	list  []int32
	fold  bool // the case of texts does not count
	texts []string
}

func newDispatch(paths *rawjson.Paths, entries []*entry) dispatch {
	d := dispatch{words: (len(entries) + 63) / 64, n: len(entries)}
	d.always = make([]uint64, d.words)
	found := make([][]wants, len(entries))
	uses := map[string]int{}
	for i, e := range entries {
		found[i] = conjuncts(paths, e.whenExpr, nil)
		for _, w := range found[i] {
			uses[w.paths]++
		}
	}
	for i := range entries {
		best := -1
		for k, w := range found[i] {
			if best < 0 || uses[w.paths] > uses[found[i][best].paths] {
				best = k
			}
		}
		if best < 0 {
			d.always[i/64] |= 1 << (i % 64)
			continue
		}
		w := found[i][best]
		for _, t := range w.texts {
			d.add(w, t, i)
		}
	}
	return d
}

func (d *dispatch) add(w wants, text string, entry int) {
	at := -1
	for k := range d.byPath {
		if d.byPath[k].paths == w.paths {
			at = k
		}
	}
	if at < 0 {
		at = len(d.byPath)
		d.byPath = append(d.byPath, pathIndex{w.paths, w.list, w.fold, map[string][]uint64{}, map[string][]uint64{}})
	}
	x, key := &d.byPath[at], text
	if w.fold {
		key = strings.ToLower(text)
	}
	set := x.entries[key]
	if set == nil {
		set = make([]uint64, d.words)
		x.entries[key] = set
	}
	x.spelled[text] = set
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
		values := e.Values
		if e.Op == expr.OpEqual {
			values = []expr.RawValue{e.Value}
		}
		var w wants
		for _, v := range values {
			if v.Kind != expr.RawText {
				return out
			}
			w.texts = append(w.texts, v.Text)
		}
		of := e.Args[0]
		if of.Op == expr.OpLookup {
			// tables.kind[path] == "x": the keys of the rows that say x.
			keys := w.texts
			w.texts = nil
			for k, row := range of.Table.Rows {
				if v := row[of.Name]; v.Kind == expr.RawText && slices.Contains(keys, v.Text) {
					w.texts = append(w.texts, k)
				}
			}
			of, w.fold = of.Args[0], true
		}
		if w.list = plainPaths(paths, of, nil); w.list == nil {
			return out
		}
		w.paths = fmt.Sprint(w.list, w.fold)
		return append(out, w)
	}
	return out
}

// plainPaths lists the paths of a path, or of some with orValue between.
func plainPaths(paths *rawjson.Paths, e *expr.RawExpr, out []int32) []int32 {
	switch {
	case e.Op == expr.OpPath && e.Var == "raw":
		var names []string
		for _, s := range e.Steps {
			if s.Name == "" {
				return nil
			}
			names = append(names, s.Name)
		}
		return append(out, paths.Add(names...))
	case e.Op == expr.OpCoalesce:
		for _, a := range e.Args {
			if out = plainPaths(paths, a, out); out == nil {
				return nil
			}
		}
		return out
	}
	return nil
}

// first returns the first entry from i on that the event may match; -1 if
// there is none.
func (d *dispatch) first(r *run, i int) int {
	for ; i < d.n; i = (i/64 + 1) * 64 {
		word := d.always[i/64]
		for k := range d.byPath {
			x := &d.byPath[k]
			for _, path := range x.list {
				n, ok := r.doc.At(path)
				if !ok || r.doc.Nodes[n].Kind == rawjson.Null {
					continue
				}
				if r.doc.Nodes[n].Kind == rawjson.String {
					text := r.doc.Text(n)
					set := x.spelled[text]
					if set == nil && x.fold {
						set = x.entries[strings.ToLower(text)]
					}
					if set != nil {
						word |= set[i/64]
					}
				}
				break
			}
		}
		if word = word >> (i % 64) << (i % 64); word != 0 {
			return i/64*64 + bits.TrailingZeros64(word)
		}
	}
	return -1
}
