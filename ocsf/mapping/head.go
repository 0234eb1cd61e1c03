package mapping

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"time"

	"nagare/ocsf/expr"
	"nagare/ocsf/rawjson"
)

// head is the part of a mapping that works at intake: it makes events of a
// delivery. It sees the raw JSON and meta only.
type head struct {
	accepts condFn
	split   valueFn
	uid     valueFn
	time    valueFn
	drop    [][]string
	hash    [][]string
	uidPath int32 // when uid is a plain path; else -1

	pickSplit, pickEvent bool // only the paths asked for need be read
}

// A HeadMeta is what intake knows of a delivery.
type HeadMeta struct {
	Source, Auth, Tenant string
	Received             time.Time
}

// A HeadEvent is one event of a delivery.
type HeadEvent struct {
	// Body is the event's JSON: bytes of the delivery, unless drop, hash or
	// a computed split changed them.
	Body []byte
	// UID is "" when the mapping says none or the event has none.
	UID string
	// Time is zero when the event does not say.
	Time time.Time
}

func (c *compiler) head() {
	h := &c.m.head
	h.uidPath = -1
	if n := c.f.keys["accepts"]; n != nil {
		if x := c.condition(n); x != nil {
			h.accepts = c.cond(x)
		}
	}
	c.m.paths.Add(rawjson.Elem)
	h.pickSplit = true
	if x := c.expression(c.f.keys["split"]); x != nil {
		h.split, h.pickSplit = c.value(x), x.Plain()
		c.wantElements(x)
	}
	uid := c.expression(c.f.keys["uid"])
	if x := uid; x != nil {
		h.uid = c.value(x)
		if p := elementPath(x); p != nil {
			h.uidPath = c.m.paths.Add(p[:len(p)-1]...)
		}
	}
	time := c.expression(c.f.keys["time"])
	if x := time; x != nil {
		h.time = c.value(x)
		c.m.time = h.time
	}
	h.drop, h.hash = c.rawPaths("drop"), c.rawPaths("hash")
	h.pickEvent = uid.Plain() && time.Plain() && len(h.drop)+len(h.hash) == 0
}

// wantElements makes the elements of the lists a split names known: a large
// delivery is read without what is below them.
func (c *compiler) wantElements(x *expr.RawExpr) {
	if p := elementPath(x); x.Op == expr.OpPath && p != nil {
		c.m.paths.Add(p...)
	}
	for _, a := range x.Args {
		c.wantElements(a)
	}
}

// read parses a body, or only the paths that are asked for.
func (r *run) read(body []byte, pick bool) error {
	r.event++ // what was computed of the one before is of no use
	r.forgetTexts()
	r.vars.Left = expr.Work
	if pick {
		return r.doc.Pick(body)
	}
	return r.doc.Parse(body)
}

// rawPaths reads a list of paths as raw.a.b.
func (c *compiler) rawPaths(key string) [][]string {
	var out [][]string
	for _, n := range list(c.f.keys[key]) {
		x := c.expression(n)
		if x == nil {
			continue
		}
		p := elementPath(x)
		if len(p) < 2 || x.Op != expr.OpPath {
			c.say(n, "wrong-value", fmt.Sprintf("%s takes paths as raw.a.b", key), "")
			continue
		}
		out = append(out, p[:len(p)-1])
		c.m.paths.Add(p[:len(p)-1]...)
	}
	return out
}

// Options are what a Head needs beside the mappings.
type Options struct {
	// HashKey keys the hashes of the fields that hash names. With an empty
	// key such fields are dropped.
	HashKey []byte
}

// A Head splits deliveries into events. It is for one goroutine.
type Head struct {
	set      *Set
	opts     Options
	runs     map[*Mapping]*run
	detected string // the source that Detect found last
}

// Head returns a new Head of the set.
func (s *Set) Head(opts Options) *Head { return &Head{set: s, opts: opts, runs: map[*Mapping]*run{}} }

func (h *Head) run(m *Mapping, meta HeadMeta) *run {
	r := h.runs[m]
	if r == nil {
		r = &run{m: m, doc: m.paths.NewDoc(), vars: m.raw.Vars(), stats: newStats()}
		h.runs[m] = r
	}
	r.vars.Doc = r.doc
	r.vars.Meta = expr.RawMeta{Source: meta.Source, Auth: meta.Auth, Tenant: meta.Tenant, Received: meta.Received}
	return r
}

// Split makes the events of a delivery, which must be one JSON value. Its
// error means that the delivery as a whole is one event that no mapping can
// read.
func (h *Head) Split(source string, body []byte, meta HeadMeta) ([]HeadEvent, error) {
	m, ok := h.set.Source(source)
	if !ok {
		return nil, fmt.Errorf("no mapping for source %q", source)
	}
	r := h.run(m, meta)
	out, dead, err := h.events(r, body)
	if dead != nil {
		return nil, dead
	}
	return out, err
}

// events are those of a delivery; dead says that they would be too much work.
func (h *Head) events(r *run, body []byte) (out []HeadEvent, dead *Dead, err error) {
	defer r.caught(&dead)
	bodies, err := r.split(body)
	if err != nil {
		return nil, nil, err
	}
	out = make([]HeadEvent, 0, len(bodies))
	left := r.vars.Left
	for _, b := range bodies {
		ev, err := h.event(r, b, left)
		if err != nil {
			return nil, nil, err
		}
		left = r.vars.Left
		out = append(out, ev)
	}
	r.doc.Release()
	return out, nil, nil
}

// split returns the bytes of each event.
func (r *run) split(body []byte) ([][]byte, error) {
	if err := r.read(body, r.m.head.pickSplit); err != nil {
		return nil, err
	}
	root := expr.NodeValue(r.doc, 0)
	var v expr.RawValue
	if r.m.head.split != nil {
		r.pending, r.gaps = r.pending[:0], 0
		// An empty list is no events; one whose only element is absent is a
		// delivery that split does not understand.
		if v = r.m.head.split(r); !v.Has() || v.Kind == expr.RawList && len(v.Elements()) == 0 && r.gaps > 0 {
			return nil, errors.New("split finds no events")
		}
	} else if v = root; !root.Has() {
		return [][]byte{body}, nil
	}
	var out [][]byte
	if d := v.Doc; v.Kind == expr.RawNode && d.Nodes[v.Node].Kind == rawjson.Array {
		// A null among them is no event, but it is not nothing.
		for k, end := v.Node+1, d.Nodes[v.Node].Next; k < end; k = d.Nodes[k].Next {
			out = append(out, elementBytes(r, expr.RawValue{Kind: expr.RawNode, Doc: d, Node: k}))
		}
		return out, nil
	}
	forEach(&v, func(e expr.RawValue) { out = append(out, elementBytes(r, e)) })
	return out, nil
}

// elementBytes are the bytes of an event: those of the delivery where it lies
// in it.
func elementBytes(r *run, e expr.RawValue) []byte {
	if e.Kind == expr.RawNode && e.Doc == r.doc {
		return r.doc.Bytes(e.Node)
	}
	return e.AppendJSON(nil)
}

// event is one event of a delivery, for which so much work is left.
func (h *Head) event(r *run, body []byte, left int64) (HeadEvent, error) {
	hd := &r.m.head
	ev := HeadEvent{Body: body}
	if err := r.read(body, hd.pickEvent); err != nil {
		return ev, err
	}
	r.vars.Left = left + eventShare
	if hd.uid != nil {
		r.pending = r.pending[:0]
		v := hd.uid(r)
		if s, ok := v.Scalar(); ok {
			ev.UID = boundUID(s)
		}
	}
	if hd.time != nil {
		r.pending = r.pending[:0]
		v := hd.time(r)
		ms, ok := v.Num, v.Kind == expr.RawTime
		if s, text := v.Scalar(); !ok && text {
			ms, ok = parseTime(s, r.m.zone)
		}
		if ms, can := inRange(ms); ok && can {
			ev.Time = time.UnixMilli(ms).UTC()
		}
	}
	if len(hd.drop)+len(hd.hash) > 0 {
		ev.Body = h.rewrite(r)
	}
	return ev, nil
}

// eventShare is the work that each event of a delivery brings with it: uid and
// time are short, and a delivery may have very many events.
const eventShare = 1000

// maxUID bounds the id of an event. It is the key of the ledger and of alerts.
const maxUID = 1024

// boundUID copies an id. Of one that is absurdly long a hash stands for it: it
// still tells repeats.
func boundUID(s string) string {
	if len(s) <= maxUID {
		return strings.Clone(s)
	}
	sum := sha256.Sum256([]byte(s))
	return "sha256:" + hex.EncodeToString(sum[:])
}

// rewrite returns the body without the dropped fields, and with hashes for
// the hashed ones. Everything else is byte for byte as it was.
func (h *Head) rewrite(r *run) []byte {
	edits := map[int32]string{} // node → what stands there; "" removes it
	note := func(paths [][]string, edit func(node int32) string) {
		for _, p := range paths {
			findAll(r.doc, 0, p, func(i int32) {
				if edits[i] = ""; r.doc.Live(i) {
					edits[i] = edit(i)
				}
			})
		}
	}
	note(r.m.head.hash, func(i int32) string {
		if len(h.opts.HashKey) == 0 || r.doc.Nodes[i].Kind == rawjson.Null {
			return ""
		}
		text := r.doc.JSON(i)
		if r.doc.Nodes[i].Kind < rawjson.Object {
			text = r.doc.Literal(i)
		}
		mac := hmac.New(sha256.New, h.opts.HashKey)
		mac.Write([]byte(text))
		return `"hash:` + hex.EncodeToString(mac.Sum(nil)[:16]) + `"`
	})
	note(r.m.head.drop, func(int32) string { return "" })
	if len(edits) == 0 {
		return r.doc.Body()
	}
	touched := map[int32]bool{}
	for i := range edits {
		for p := i; p >= 0; p = r.doc.Nodes[p].Parent {
			touched[p] = true
		}
	}
	return appendEdited(nil, r.doc, 0, edits, touched)
}

// findAll calls f for every member that a path leads to, through each element
// of the lists on the way: what must not be stored must not be stored because a
// sender made a list of it. A member that a later one of its name replaced is
// found whole, for it may hold what the path means.
func findAll(d *rawjson.Doc, i int32, path []string, f func(node int32)) {
	if len(path) == 0 {
		f(i)
		return
	}
	n := &d.Nodes[i]
	switch n.Kind {
	case rawjson.Array:
		for k := i + 1; k < n.Next; k = d.Nodes[k].Next {
			findAll(d, k, path, f)
		}
	case rawjson.Object:
		if k, ok := d.Child(i, path[0]); ok {
			findAll(d, k, path[1:], f)
		}
		if d.Duplicates == 0 {
			return
		}
		for k := i + 1; k < n.Next; k = d.Nodes[k].Next {
			if !d.Live(k) && d.KeyText(k) == path[0] {
				f(k)
			}
		}
	}
}

// appendEdited writes an object or a list of which something is edited.
func appendEdited(dst []byte, d *rawjson.Doc, i int32, edits map[int32]string, touched map[int32]bool) []byte {
	body := d.Body()
	list := d.Nodes[i].Kind == rawjson.Array
	dst = append(dst, body[d.Nodes[i].Start])
	any := false
	for k := i + 1; k < d.Nodes[i].Next; k = d.Nodes[k].Next {
		edit, edited := edits[k]
		if edited && edit == "" || !d.Live(k) {
			continue // a duplicate that was replaced may hold what must be dropped
		}
		if any {
			dst = append(dst, ',')
		}
		any = true
		n := &d.Nodes[k]
		if !list {
			dst = append(dst, body[n.Key:n.Start]...)
		}
		switch {
		case edited:
			dst = append(dst, edit...)
		case touched[k]:
			dst = appendEdited(dst, d, k, edits, touched)
		default:
			dst = append(dst, body[n.Start:n.End]...)
		}
	}
	return append(dst, body[d.Nodes[i].End-1])
}

// Detect says which source an unlabelled delivery is of: the one before, if
// its accepts is true for the first event its split makes of it; else the first
// by name of which that is so.
func (h *Head) Detect(body []byte) (source string, ok bool) {
	if h.detected != "" && h.accepts(h.set.bySource[h.detected], body) {
		return h.detected, true
	}
	for _, name := range h.set.sources {
		if h.accepts(h.set.bySource[name], body) {
			h.detected = name
			return name, true
		}
	}
	return "", false
}

func (h *Head) accepts(m *Mapping, body []byte) bool {
	if m == nil || m.head.accepts == nil {
		return false
	}
	return h.run(m, HeadMeta{}).accepts(body)
}

// accepts says no where the answer would be too much work.
func (r *run) accepts(body []byte) (is bool) {
	var dead *Dead
	defer r.caught(&dead)
	bodies, err := r.split(body)
	return err == nil && len(bodies) > 0 && r.read(bodies[0], false) == nil && r.m.head.accepts(r) == yes
}
