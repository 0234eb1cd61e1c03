package lake

import (
	"math"
	"strconv"
	"strings"
	"unicode/utf8"

	"nagare"
	"nagare/ocsf"
)

// What a row may hold. The lake's readers want pages of at most 1 MB, a cell
// cannot be cut over two pages, and the whole event is in the archive anyway:
// so what is longer is cut, and the row says so in unmapped["nagare.cut"].
const (
	maxCell     = 512 << 10 // bytes of one column; of all lists together
	maxText     = 1<<16 - 1 // bytes of a text that is no free text: what OCSF allows
	maxElements = 16 << 10  // elements of all lists of one row
	maxPairs    = 8 << 10   // entries of unmapped
)

// The keys of unmapped that say where a row came from.
const (
	keyStream = "nagare.stream"
	keyShard  = "nagare.shard"
	keySeq    = "nagare.seq"
	keyIndex  = "nagare.index"
	keyCut    = "nagare.cut"
)

// A fitter makes events fit their table: what has no column, or is not of its
// column's type, goes to unmapped, under its path. So every event has a row,
// and nothing of it is lost.
type fitter struct {
	pairs []ocsf.Pair
	seen  map[string]string
	left  int // elements that lists may still have
	room  int // bytes that texts in lists may still have
	cut   bool
}

// fit works on e itself, which belongs to the writer by then, and returns what
// the row's unmapped holds.
func (f *fitter) fit(p *plan, e *ocsf.Event, pos nagare.Position) []ocsf.Pair {
	f.pairs = append(f.pairs[:0], e.Unmapped...)
	f.left, f.room, f.cut = maxElements, maxCell, false
	f.slots(p.rows, e.Slots, "")
	f.distinct()
	f.pairs = append(f.pairs,
		ocsf.Pair{Key: keyStream, Value: pos.Stream}, ocsf.Pair{Key: keyShard, Value: pos.Shard},
		ocsf.Pair{Key: keySeq, Value: pos.Seq}, ocsf.Pair{Key: keyIndex, Value: strconv.Itoa(pos.Index)})
	if f.cut {
		f.pairs = append(f.pairs, ocsf.Pair{Key: keyCut, Value: "true"})
	}
	return f.pairs
}

func (f *fitter) slots(s *slotPlan, slots []ocsf.Value, prefix string) {
	for i := range slots {
		v := &slots[i]
		if !v.Has() {
			continue
		}
		c := &s.slots[i]
		switch {
		case !c.none && c.list && v.Kind() == ocsf.ListKind:
			f.list(s, i, c, v, prefix)
		case c.none || c.list || !f.scalar(c, v, prefix != ""):
			f.move(s.layout.Info(i), v, prefix)
		}
	}
}

func (f *fitter) list(s *slotPlan, i int, c *slotCheck, v *ocsf.Value, prefix string) {
	l := v.List()
	n := l.Len()
	if (l.Row == nil) != (c.rows == nil) || c.rows != nil && l.Row != c.rows.layout {
		f.move(s.layout.Info(i), v, prefix)
		return
	}
	if n > f.left {
		f.cut = true
		n = f.left
		if c.rows != nil {
			l.Items = l.Items[:n*l.Row.Len()]
		} else {
			l.Items = l.Items[:n]
		}
	}
	f.left -= n
	for j := range n {
		if c.rows != nil {
			f.slots(c.rows, l.At(j), prefix+s.layout.Info(i).Path+"."+strconv.Itoa(j)+".")
			continue
		}
		if item := &l.Items[j]; item.Has() && !f.scalar(c, item, true) {
			info := s.layout.Info(i)
			info.Path += "." + strconv.Itoa(j)
			f.move(info, item, prefix)
		}
	}
}

// scalar says whether v fits a column, and makes text UTF-8 and short enough.
func (f *fitter) scalar(c *slotCheck, v *ocsf.Value, inList bool) bool {
	room := maxCell
	if c.typ == ocsf.ColString && !c.free {
		room = maxText
	}
	if inList {
		room = min(room, f.room)
		f.room = max(0, f.room-len(v.Text()))
	}
	switch c.typ {
	case ocsf.ColBool:
		return v.Kind() == ocsf.Bool
	case ocsf.ColInt32:
		return v.Kind() == ocsf.Int && v.Int() >= math.MinInt32 && v.Int() <= math.MaxInt32
	case ocsf.ColInt64, ocsf.ColTimestamp:
		return v.Kind() == ocsf.Int
	case ocsf.ColDouble:
		return v.Kind() == ocsf.Float || v.Kind() == ocsf.Int
	case ocsf.ColString:
		if v.Kind() != ocsf.Text {
			return false
		}
		if !utf8.ValidString(v.Text()) {
			*v = ocsf.TextValue(strings.ToValidUTF8(v.Text(), "\uFFFD"))
		}
		if len(v.Text()) > room {
			*v, f.cut = ocsf.TextValue(clip(v.Text(), room)), true
		}
		return true
	case ocsf.ColJSON:
		// Cut JSON is no JSON: such a thing is text elsewhere.
		return v.Kind() == ocsf.JSON && len(v.Text()) <= room && utf8.ValidString(v.Text())
	}
	return false
}

// move takes a value out of its slot.
func (f *fitter) move(info ocsf.SlotInfo, v *ocsf.Value, prefix string) {
	var text string
	switch v.Kind() {
	case ocsf.Text, ocsf.JSON:
		text = v.Text()
	case ocsf.Int:
		if info.Attr.Base == ocsf.BaseDatetime {
			text = string(ocsf.AppendTime(nil, v.Int()))
		} else {
			text = strconv.FormatInt(v.Int(), 10)
		}
	default:
		text = string(info.Attr.AppendJSON(nil, *v))
	}
	*v = ocsf.Value{}
	f.pairs = append(f.pairs, ocsf.Pair{Key: prefix + info.Path, Value: text})
}

// distinct makes the keys of unmapped differ, for it is a map: what comes
// again with the same value goes, with another value it gets a number. Our own
// keys are not for others to set.
func (f *fitter) distinct() {
	if len(f.pairs) > maxPairs {
		f.pairs, f.cut = f.pairs[:maxPairs], true
	}
	if f.seen == nil {
		f.seen = map[string]string{}
	}
	clear(f.seen)
	kept := f.pairs[:0]
	size := 0
	for _, p := range f.pairs {
		p.Key = strings.ToValidUTF8(p.Key, "\uFFFD")
		p.Value = strings.ToValidUTF8(p.Value, "\uFFFD")
		// Mapping has renamed the source's own already; what it says itself stays.
		if strings.HasPrefix(p.Key, "nagare.") && p.Key != "nagare.truncated" {
			p.Key = "source." + p.Key
		}
		if old, ok := f.seen[p.Key]; ok {
			if old == p.Value {
				continue
			}
			key := p.Key
			for n := 2; ok; n++ {
				p.Key = key + "#" + strconv.Itoa(n)
				_, ok = f.seen[p.Key]
			}
		}
		if room := maxCell/2 - size; len(p.Key)+len(p.Value) > room {
			f.cut = true
			if len(p.Key) > room {
				continue
			}
			p.Value = clip(p.Value, room-len(p.Key))
		}
		size += len(p.Key) + len(p.Value)
		f.seen[p.Key] = p.Value
		kept = append(kept, p)
	}
	f.pairs = kept
}

// clip cuts s to at most n bytes, between two characters.
func clip(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n]
}
