package mapping

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
	"unsafe"

	"nagare"
	"nagare/ocsf"
	"nagare/ocsf/expr"
	"nagare/ocsf/rawjson"
)

// A Scratch is the memory Normalize works in and the counts of what it did.
// It is for one goroutine; its zero value is ready.
type Scratch struct {
	runs  map[*Mapping]*run
	last  *run
	stats map[string]*Stats
}

// run is the state of one mapping in one Scratch.
type run struct {
	m     *Mapping
	doc   *rawjson.Doc
	vars  *expr.RawVars
	out   *ocsf.Event
	stats *Stats
	tally tally

	gaps     int     // elements that lists were to have and that were absent
	pending  []int32 // nodes that the value at hand was made of
	uses     []use   // what went into slots so far
	dropped  []int32 // for drop
	present  []bool  // for settle
	parsed   []parsedText
	more     map[int32]*rawjson.Doc // those of parsed that are too many to look through
	docs     []*rawjson.Doc         // of texts; textDocs of them are in use
	textDocs int
	memos    []memo
	event    uint64 // its number, for memos
	badText  bool   // the event has bytes that are no UTF-8
	buf      []byte
	joined   []byte // for concat
}

// A use is one node whose value went into a slot: in rows, into that of their
// list, once the row is done.
type use struct{ slot, node int32 }

// A parsedText is a text that json() read, kept while the event lasts.
type parsedText struct {
	node int32
	doc  *rawjson.Doc
}

func (sc *Scratch) run(m *Mapping) *run {
	if sc.last != nil && sc.last.m == m {
		return sc.last
	}
	r := sc.runs[m]
	if r == nil {
		if sc.runs == nil {
			sc.runs, sc.stats = map[*Mapping]*run{}, map[string]*Stats{}
		}
		r = &run{m: m, doc: m.paths.NewDoc(), vars: m.raw.Vars()}
		if r.stats = sc.stats[m.Name]; r.stats == nil {
			r.stats = newStats()
			sc.stats[m.Name] = r.stats
		}
		sc.runs[m] = r
	}
	sc.last = r
	return r
}

// Bounds of what goes to unmapped.
const (
	maxUnmapped      = 1000
	maxUnmappedValue = 64 << 10
)

// suspectAhead is how far ahead of its arrival an event's time may be, and
// suspectBefore the earliest believable time, 2000-01-01.
const (
	suspectAhead  = time.Hour
	suspectBefore = 946684800000
)

// errNoObject is behind NotAnEvent when the JSON is no object.
var errNoObject = errors.New("the JSON is no object")

// Normalize makes the OCSF event of ev in out. Its texts point into ev.Body.
// The error is a *Dead; out is then of no use.
func (m *Mapping) Normalize(ev *nagare.Event, out *ocsf.Event, sc *Scratch) error {
	r := sc.run(m)
	if dead := m.normalize(r, ev, out); dead != nil {
		r.stats.Dead[dead.Reason]++
		return dead
	}
	return nil
}

func (m *Mapping) normalize(r *run, ev *nagare.Event, out *ocsf.Event) (dead *Dead) {
	defer r.caught(&dead)
	st := r.stats
	st.Events++
	st.Bytes += int64(len(ev.Body))
	if err := r.doc.Parse(ev.Body); err != nil {
		return &Dead{NotAnEvent, err}
	}
	if r.doc.Nodes[0].Kind != rawjson.Object {
		return &Dead{NotAnEvent, errNoObject}
	}
	st.Duplicates += int64(r.doc.Duplicates)
	if r.badText = !utf8.Valid(ev.Body); r.badText {
		st.NotUTF8++
	}
	r.out = out
	r.event++
	r.uses = r.uses[:0]
	r.forgetTexts()
	r.vars.Left = expr.Work
	r.vars.Doc, r.vars.VarName, r.vars.Var = r.doc, "", expr.RawValue{}
	r.vars.Meta = expr.RawMeta{Source: ev.Source, UID: ev.UID, Auth: ev.Auth, Tenant: ev.Tenant, Received: ev.Received}
	if m.native != nil {
		e, err := m.nativeEvent(r, ev)
		if err != nil {
			return &Dead{Invalid, err}
		}
		r.close(e)
		return nil
	}
	var missing lacking
	for i := m.dispatch.first(r, 0); i >= 0; i = m.dispatch.first(r, i+1) {
		e := m.entries[i]
		if e.when != nil && e.when(r) != yes {
			continue
		}
		if err := r.fill(e, ev); err != nil {
			if missing.err == nil {
				missing.note(r, e, err)
			}
			continue
		}
		if missing.err != nil {
			st.FellThrough++
			if e.layout.Class.UID == 0 && missing.entry.layout.Class.UID != 0 {
				// Something else was meant than what this entry is there for.
				r.label(&e.base, out.Slots, incomplete)
				st.Incomplete++
			}
		}
		r.close(e)
		return nil
	}
	if missing.err == nil {
		return &Dead{Reason: NoMapping}
	}
	if err := r.rescue(&missing, ev); err != nil {
		return &Dead{Invalid, err}
	}
	r.close(missing.entry.rescue.entry)
	return nil
}

// close adds to an event what follows from it.
func (r *run) close(e *entry) {
	if b, slots := &e.base, r.out.Slots; b.activity >= 0 && slots[b.activity].Int() == 99 && !slots[b.activityName].Has() && e.code >= 0 {
		// Beside Other stands the source's own word:
		// https://github.com/ocsf/ocsf-docs/blob/main/overview/understanding-ocsf.md
		if code := slots[e.code]; code.Kind() == ocsf.Text {
			slots[b.activityName] = code
		}
	}
	unknown := e.lastResort || e.unknown != nil && e.unknown(r) == yes
	r.unmapped()
	ocsf.Finish(r.out)
	r.stats.take(&r.tally)
	r.stats.count(e, r.out, unknown)
}

// fill makes the event of an entry. The error says what the class requires
// and this event lacks.
func (r *run) fill(e *entry, ev *nagare.Event) error {
	if len(r.uses) > 0 {
		r.doc.Forget()
	}
	r.uses = r.uses[:0]
	r.tally.reset()
	r.out.ResetTo(e.fields)
	slots := r.out.Slots
	for i := range e.constants {
		slots[e.constants[i].slot] = e.constants[i].value
	}
	for _, f := range e.fillers {
		f(r, slots)
	}
	r.within(e.line)
	r.base(e, ev, slots)
	if missing := r.settle(e.tree, slots, -1); missing != "" {
		return fmt.Errorf("%s lacks %s", e.layout.Class.Name, missing)
	}
	for _, z := range e.zeros {
		z.settle(slots)
	}
	return nil
}

// base sets what every event has.
func (r *run) base(e *entry, ev *nagare.Event, slots []ocsf.Value) {
	b := &e.base
	slots[b.uid] = ocsf.TextValue(ev.UID)
	if m := r.m; m.head.uidPath >= 0 {
		if i, ok := r.doc.At(m.head.uidPath); ok && r.doc.Nodes[i].Kind < rawjson.Object && r.doc.Literal(i) == ev.UID {
			r.doc.Use(i)
		}
	}
	received := ev.Received.UnixMilli()
	if !ev.Received.IsZero() {
		slots[b.logged] = ocsf.IntValue(received)
	}
	if ev.Tenant != "" && !slots[b.tenant].Has() {
		slots[b.tenant] = ocsf.TextValue(ev.Tenant)
	}
	suspect := false
	if timeOf := r.m.time; timeOf != nil && (!slots[b.time].Has() || r.m.native != nil) {
		r.pending = r.pending[:0]
		v := timeOf(r)
		s, ok := v.Scalar()
		had := slots[b.time].Has()
		if had && ok {
			// An OCSF event's own time, taken over: its text is kept where it
			// was in another unit, or is not believed.
			n, whole := rawjson.ParseInt(s)
			ok = !whole || n != slots[b.time].Int() || n == 0
			r.tally.timeUnit = ok && whole && n != 0
		}
		if ok && s != "" && !slots[b.original].Has() {
			slots[b.original] = ocsf.TextValue(clip(s, 256))
		}
		if !had && b.when.put(r, slots, &v) {
			r.usePending(int32(b.time))
		}
	}
	switch ms := slots[b.time].Int(); {
	case !slots[b.time].Has() || ms == 0:
		slots[b.time] = ocsf.IntValue(received)
		suspect = true
	case ms < suspectBefore, !ev.Received.IsZero() && ms > received+suspectAhead.Milliseconds():
		suspect = true
	}
	if slots[b.labels].Has() {
		r.ownLabels(b, slots)
	}
	if suspect {
		r.tally.suspect = true
		r.label(b, slots, timeSuspect)
	}
	if r.badText {
		r.label(b, slots, notUTF8)
	}
}

// timeSuspect labels an event whose own time is not believed, notUTF8 one with
// bytes that are no UTF-8: U+FFFD stands for them, and what was sent is in the
// archive alone.
const (
	timeSuspect = "time_suspect"
	notUTF8     = "not_utf8"
)

// label adds one of nagare's own labels. The list is a new one: what a mapping
// lists may be a constant that many events share.
func (r *run) label(b *baseSlots, slots []ocsf.Value, word string) {
	list := r.out.NewList(nil)
	if old := slots[b.labels].List(); old != nil {
		list.Items = append(list.Items, old.Items...)
	}
	list.Items = append(list.Items, ocsf.TextValue(word))
	slots[b.labels] = ocsf.ListValue(list)
}

// ownLabels takes nagare's own words, and repeats, out of the labels that an
// event brings: rules and people believe these words. The original stays in
// unmapped.
func (r *run) ownLabels(b *baseSlots, slots []ocsf.Value) {
	old := slots[b.labels].List()
	ours := func(i int) bool {
		s := old.Items[i].Text()
		return s == timeSuspect || s == incomplete || s == notUTF8 || slices.ContainsFunc(old.Items[:i], func(v ocsf.Value) bool { return v.Text() == s })
	}
	forged := false
	for i := range old.Items {
		forged = forged || ours(i)
	}
	if !forged {
		return
	}
	list := r.out.NewList(nil)
	for i := range old.Items {
		if !ours(i) {
			list.Items = append(list.Items, old.Items[i])
		}
	}
	slots[b.labels] = ocsf.Value{}
	if len(list.Items) > 0 {
		slots[b.labels] = ocsf.ListValue(list)
	}
	for r.unuse(b.labels, 0) {
	}
}

// clip shortens a text to at most n bytes, at a rune.
func clip(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for n > 0 && s[n]&0xC0 == 0x80 {
		n--
	}
	return s[:n]
}

// unmapped keeps what no attribute took.
func (r *run) unmapped() {
	pairs, over, cut, cutKeys := 0, 0, 0, 0
	// Keys repeat only where a name in the source has a dot in it, or where one
	// is renamed here: most events need no search.
	again := r.m.native != nil
	r.doc.Unused(func(key string, i int32) bool {
		if pairs++; pairs > maxUnmapped {
			over++
			return true
		}
		var s string
		if r.doc.Nodes[i].Kind < rawjson.Object {
			s = r.doc.Literal(i)
		} else {
			s = r.doc.JSON(i)
		}
		if len(s) > maxUnmappedValue {
			s = clip(s, maxUnmappedValue)
			cut++
		}
		if r.doc.CutKey(key) {
			cutKeys++
		}
		if r.m.native != nil {
			key = strings.TrimPrefix(key, "unmapped.") // it was there before
		}
		again = again || r.doc.Ambiguous(i, key)
		if strings.HasPrefix(key, "nagare.") {
			// Keys of that name are nagare's own, here and in the lake.
			key, again = "source."+key, true
		}
		r.out.AddUnmapped(key, s)
		return true
	})
	if again {
		r.out.DistinctUnmapped()
	}
	if over+cut+cutKeys > 0 {
		var what []string
		for _, n := range []struct {
			of   int
			text string
		}{{over, "%d more fields"}, {cut, "%d cut at 64 KiB"}, {cutKeys, "%d with names cut at 1 KiB"}} {
			if n.of > 0 {
				what = append(what, fmt.Sprintf(n.text, n.of))
			}
		}
		r.out.AddUnmapped("nagare.truncated", strings.Join(what, ", "))
		r.stats.Truncated += int64(over + cut + cutKeys)
	}
	if pairs > 0 {
		r.stats.WithUnmapped++
	}
	r.stats.Unmapped += int64(pairs)
	r.stats.Mapped += int64(len(r.uses))
}

// pend notes a node that the value at hand is made of.
func (r *run) pend(v expr.RawValue) {
	if v.Kind == expr.RawNode && v.Doc == r.doc {
		r.pending = append(r.pending, v.Node)
	}
}

// pendTouched notes the nodes that a program read and whose text is in what
// it made. A field that was only tested stays in unmapped.
func (r *run) pendTouched(v *expr.RawValue, line int) {
	r.pend(*v)
	if len(r.vars.Touched) == 0 || v.Kind == expr.RawNode || !v.Has() {
		return
	}
	text, ok := v.Scalar()
	if !ok {
		text = string(v.AppendJSON(nil))
	}
	cost := expr.SearchCost(text)
	for _, i := range r.vars.Touched {
		field := r.doc.Literal(i)
		if len(field) >= 4 {
			r.spend(cost, line)
		}
		if madeOf(text, field) {
			r.pending = append(r.pending, i)
		}
	}
}

// madeOf says whether a text that an expression made has a field's text in it:
// in short ones that may be chance.
func madeOf(text, field string) bool {
	return field == text || len(field) >= 4 && strings.Contains(text, field)
}

// usePending notes that the pending nodes went into a slot.
func (r *run) usePending(slot int32) {
	for _, i := range r.pending {
		r.doc.Use(i)
		r.uses = append(r.uses, use{slot, i})
	}
	r.pending = r.pending[:0]
}

// maxTextDocs bounds the documents that are kept for the texts of an event.
const maxTextDocs = 64

// textDoc returns a document for a text of the event at hand; the next event
// uses it again.
func (r *run) textDoc() *rawjson.Doc {
	if r.textDocs == len(r.docs) {
		d := rawjson.NewPaths().NewDoc()
		if len(r.docs) == maxTextDocs {
			return d
		}
		r.docs = append(r.docs, d)
	}
	r.textDocs++
	d := r.docs[r.textDocs-1]
	d.Release()
	return d
}

// forgetTexts forgets what json() read of the event before.
func (r *run) forgetTexts() { r.parsed, r.more, r.textDocs = r.parsed[:0], nil, 0 }

// json is the function json(): the value in a text, parsed once an event.
func (r *run) json(v expr.RawValue) expr.RawValue {
	s, ok := textOf(&v)
	if !ok {
		return v
	}
	if v.Kind == expr.RawNode && v.Doc == r.doc {
		for _, p := range r.parsed {
			if p.node == v.Node {
				return expr.NodeValue(p.doc, 0)
			}
		}
		if d := r.more[v.Node]; d != nil {
			return expr.NodeValue(d, 0)
		}
	}
	r.vars.Left -= expr.ParseCost(s)
	d := r.textDoc()
	// The text stays as it is for as long as the event's bytes do.
	if d.Parse(unsafe.Slice(unsafe.StringData(s), len(s))) != nil {
		return v // it is no JSON: it stays what it is
	}
	if v.Kind == expr.RawNode && v.Doc == r.doc {
		if len(r.parsed) < maxTextDocs {
			r.parsed = append(r.parsed, parsedText{v.Node, d})
		} else {
			if r.more == nil {
				r.more = map[int32]*rawjson.Doc{}
			}
			r.more[v.Node] = d
		}
	}
	return expr.NodeValue(d, 0)
}
