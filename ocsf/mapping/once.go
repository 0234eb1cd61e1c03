package mapping

import (
	"fmt"

	"nagare/ocsf/expr"
)

// A memo is what an expression gave for the event at hand.
type memo struct {
	event uint64
	value expr.RawValue
}

// once makes an expression that several attributes share one that is evaluated
// once an event: the part of a text, and what a table has for such a part.
// Neither leaves anything pending.
func (c *compiler) once(e *expr.RawExpr, value valueFn) valueFn {
	part, key := e, ""
	if e.Op == expr.OpLookup {
		part, key = e.Args[0], e.Table.Name+"."+e.Name+"|"
	}
	if part.Op != expr.OpPart {
		return value
	}
	id := c.pathID(part.Args[0])
	if id < 0 {
		return value
	}
	key += fmt.Sprintf("%d|%d|%s", id, part.Index, part.Value.Text)
	at, ok := c.memos[key]
	if !ok {
		if c.memos == nil {
			c.memos = map[string]int{}
		}
		at = len(c.memos)
		c.memos[key] = at
	}
	return func(r *run) expr.RawValue {
		r.pending = r.pending[:0]
		for at >= len(r.memos) {
			r.memos = append(r.memos, memo{})
		}
		m := &r.memos[at]
		if m.event != r.event+1 { // a memo that was never used has 0
			m.value = value(r)
			m.event = r.event + 1
		}
		return m.value
	}
}
