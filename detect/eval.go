package detect

import (
	"slices"
	"time"

	"nagare"
	"nagare/ocsf"
	"nagare/ocsf/expr"
)

// maxKey bounds a key: it is kept with its alert, and events are hostile.
const maxKey = 1000

// Eval evaluates the rules of an event's class on it and calls emit for each
// match. A rule that ends in an error does not match, is counted, and stops
// no other. An event whose authentication failed matches only rules whose
// where names meta.auth.
func (r *Rules) Eval(e *ocsf.Event, ev *nagare.Event, emit func(Match)) {
	rules := r.byClass[e.Layout.Class.UID]
	if len(rules)+len(r.any) == 0 {
		return
	}
	v, _ := r.vars.Get().(*expr.Vars)
	if v == nil {
		v = new(expr.Vars)
	}
	var bound *expr.EventEnv
	for _, group := range [2][]*Rule{rules, r.any} {
		for _, rule := range group {
			if !rule.Enabled || (ev.Auth == nagare.AuthFail && !rule.where.ReadsAuth) {
				continue
			}
			if rule.env != bound {
				v.Bind(rule.env, e, ev)
				bound = rule.env
			}
			rule.eval(v, e, ev, emit)
		}
	}
	*v = expr.Vars{} // the event is the caller's
	r.vars.Put(v)
}

func (r *Rule) eval(v *expr.Vars, e *ocsf.Event, ev *nagare.Event, emit func(Match)) {
	r.stats.Evaluated.Add(1)
	if !r.holds(r.where, v) {
		return
	}
	m := Match{Rule: r, Severity: r.Severity, EventUID: ev.UID, EventTime: eventTime(e, ev)}
	for i := range r.except {
		x := &r.except[i]
		if m.EventTime.Before(x.until) && r.holds(x.when, v) {
			r.stats.Excepted.Add(1)
			return
		}
	}
	if r.key != nil {
		m.Key = cut(r.show(r.key, v), maxKey)
	}
	if r.sevX != nil {
		if m.Severity = r.show(r.sevX, v); !slices.Contains(severities, m.Severity) {
			r.stats.Failed.Add(1)
			m.Severity = "medium" // what cannot be told is not played down
		}
	}
	if m.Text = r.text.render(r, v); m.Text == "" {
		m.Text = r.Title
	}
	m.Suppressed = r.suppress != nil && r.holds(r.suppress, v)
	r.stats.Matched.Add(1)
	emit(m)
}

// holds evaluates a condition; an error is no, and is counted.
func (r *Rule) holds(x *expr.EventExpr, v *expr.Vars) bool {
	ok, err := x.Bool(v)
	if err != nil {
		r.stats.Failed.Add(1)
	}
	return ok
}

// show evaluates an expression to text; an error is "", and is counted.
func (r *Rule) show(x *expr.EventExpr, v *expr.Vars) string {
	text, err := x.Text(v)
	if err != nil {
		r.stats.Failed.Add(1)
	}
	return text
}

// eventTime is the event's own time, or its receipt.
func eventTime(e *ocsf.Event, ev *nagare.Event) time.Time {
	if v := e.Get("time"); v.Has() {
		return time.UnixMilli(v.Int()).UTC()
	}
	return ev.Received
}
