package detect

import (
	"slices"
	"strings"
	"sync"
	"time"

	"nagare"
	"nagare/ocsf"
	"nagare/ocsf/expr"
)

// varsPool holds the variables of evaluations, one for each goroutine at work.
var varsPool = sync.Pool{New: func() any { return new(expr.Vars) }}

// Eval evaluates the rules of an event's class on it and calls emit for each
// match. A rule that ends in an error does not match, is counted, and stops
// no other.
func (r *Rules) Eval(e *ocsf.Event, ev *nagare.Event, emit func(Match)) {
	rules := r.byClass[e.Layout.Class.UID]
	if len(rules)+len(r.any) == 0 {
		return
	}
	v := varsPool.Get().(*expr.Vars)
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
	varsPool.Put(v)
}

func (r *Rule) eval(v *expr.Vars, e *ocsf.Event, ev *nagare.Event, emit func(Match)) {
	r.stats.Evaluated.Add(1)
	if !r.holds(r.where, v) {
		return
	}
	for _, x := range r.except {
		if r.holds(x.when, v) {
			r.stats.Excepted.Add(1)
			return
		}
	}
	m := Match{Rule: r, Severity: r.Severity, EventUID: ev.UID, EventTime: eventTime(e, ev)}
	if r.key != nil {
		m.Key, _ = r.key.Text(v)
	}
	if r.sevX != nil {
		m.Severity, _ = r.sevX.Text(v)
		m.Severity = strings.ToLower(m.Severity)
		if !slices.Contains(severities, m.Severity) {
			m.Severity = "medium" // what cannot be told is not played down
		}
	}
	m.Text = r.text.render(v)
	if m.Text == "" {
		m.Text = r.Title
	}
	m.Suppressed = r.suppress != nil && r.holds(r.suppress, v)
	r.stats.Matched.Add(1)
	emit(m)
}

// holds evaluates a condition. That unmapped has no such key is the ordinary
// case of absence and no failure.
func (r *Rule) holds(x *expr.EventExpr, v *expr.Vars) bool {
	ok, err := x.Bool(v)
	if err != nil && !strings.Contains(err.Error(), "no such key") {
		r.stats.Failed.Add(1)
	}
	return ok && err == nil
}

// eventTime is the event's own time, or its receipt.
func eventTime(e *ocsf.Event, ev *nagare.Event) time.Time {
	if v := e.Get("time"); v.Has() {
		return time.UnixMilli(v.Int()).UTC()
	}
	return ev.Received
}
