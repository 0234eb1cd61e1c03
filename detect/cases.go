package detect

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v4"

	"nagare"
	"nagare/ocsf"
	"nagare/ocsf/expr"
)

// A Case is a test that a rule carries: events, and the alerts that must come
// of them.
type Case struct {
	Name   string
	Source string
	Line   int
	Events []CaseEvent
	Expect []Expectation
}

// A CaseEvent is one event of a case: raw, or in OCSF.
type CaseEvent struct {
	// At, if not zero, replaces the time of the event and of its arrival.
	At   time.Time
	Raw  []byte
	OCSF ocsf.Tree
}

// An Expectation is one alert.
type Expectation struct{ Key, Severity string }

func (e Expectation) String() string {
	return strings.TrimSpace(fmt.Sprintf("%s %s", e.Key, e.Severity))
}

// A CaseResult says how a case went.
type CaseResult struct {
	Rule, File, Case string
	Line             int
	OK               bool
	// Message says what was expected and what came, when not OK.
	Message string
}

// What a rule may carry.
const (
	maxCases  = 500
	maxEvents = 10_000 // of all cases
)

func (l *loader) cases(r *reader, rule *Rule, n *yaml.Node) {
	for i, c := range list(n) {
		if i == maxCases {
			r.say(c, "too-large", "", "a rule has at most %d cases", maxCases)
			return
		}
		keys := r.fields(c, caseKeys)
		cs := Case{Name: r.text(keys["name"]), Source: r.text(keys["source"]), Line: c.Line}
		if cs.Name == "" {
			cs.Name = fmt.Sprintf("case %d", i+1)
		}
		if keys["expect"] == nil {
			r.say(c, "missing-key", "expect: [] says that the rule must not fire", "the case has no expect")
		}
		for _, e := range list(keys["expect"]) {
			k := r.fields(e, expectKeys)
			cs.Expect = append(cs.Expect, Expectation{Key: r.text(k["key"]), Severity: r.word(k["severity"], "severity", severities...)})
		}
		events := list(keys["events"])
		if len(events) == 0 {
			r.say(c, "missing-key", "", "the case has no events")
		}
		for _, e := range events {
			if r.events++; r.events > maxEvents {
				r.say(e, "too-large", "", "the cases of a rule have at most %d events", maxEvents)
				return
			}
			cs.Events = append(cs.Events, l.caseEvents(r, rule, &cs, e)...)
		}
		rule.Cases = append(rule.Cases, cs)
	}
}

func (l *loader) caseEvents(r *reader, rule *Rule, c *Case, n *yaml.Node) []CaseEvent {
	keys := r.fields(n, eventKeys)
	var ev CaseEvent
	if at := r.text(keys["at"]); at != "" {
		t, err := time.Parse(time.RFC3339, at)
		if err != nil {
			r.say(keys["at"], "wrong-value", "write it as 2006-01-02T15:04:05Z", "%q is no time", at)
		}
		ev.At = t
	}
	if (keys["raw"] != nil || keys["file"] != nil) && c.Source == "" {
		r.say(n, "missing-key", "add source: NAME to the case", "a raw event needs a source")
	}
	kinds := 0
	for _, k := range []string{"raw", "ocsf", "file"} {
		if keys[k] != nil {
			kinds++
		}
	}
	switch {
	case kinds != 1:
		r.say(n, "wrong-value", "write one of raw, ocsf and file", "an event is one of raw, ocsf and file, not %d of them", kinds)
	case keys["raw"] != nil:
		raw, err := rawJSON(keys["raw"])
		if err != nil {
			r.say(keys["raw"], "wrong-value", "", "raw: %v", err)
			return nil
		}
		ev.Raw = raw
		return []CaseEvent{ev}
	case keys["file"] != nil:
		return l.caseFile(r, ev, keys["file"])
	default:
		if l.caseTree(r, rule, &ev, keys["ocsf"]) {
			return []CaseEvent{ev}
		}
	}
	return nil
}

// caseTree reads an event in OCSF and makes the slots it needs.
func (l *loader) caseTree(r *reader, rule *Rule, ev *CaseEvent, n *yaml.Node) bool {
	if err := n.Decode(&ev.OCSF); err != nil {
		r.say(n, "wrong-type", "", "an event in OCSF is a map of attributes")
		return false
	}
	if rule.env == nil {
		return false // its class is a problem of its own
	}
	c, err := caseClass(l.layouts.Schema, rule, ev.OCSF)
	if err != nil {
		r.say(n, "wrong-value", "", "%v", err)
		return false
	}
	wrong := l.layouts.Class(c).AddTree(ev.OCSF)
	for _, w := range wrong {
		at, code, suggestion := node(n, w.Path), "wrong-value", ""
		if strings.Contains(w.Reason, "has no attribute") {
			code = "unknown-attribute"
		}
		if w.Near != "" {
			suggestion = fmt.Sprintf("did you mean %q?", w.Near)
		}
		r.say(at, code, suggestion, "%s: %s", w.Path, w.Reason)
	}
	return len(wrong) == 0
}

// caseClass is the class of an OCSF event of a case: of its class_uid, or the
// rule's only one.
func caseClass(s *ocsf.Schema, rule *Rule, t ocsf.Tree) (*ocsf.Class, error) {
	if v, ok := t["class_uid"]; ok {
		if uid, ok := v.(int); ok {
			if c, ok := s.ClassByUID(uid); ok {
				return c, nil
			}
		}
		return nil, fmt.Errorf("class_uid: there is no class %v", v)
	}
	if len(rule.Classes) != 1 {
		return nil, fmt.Errorf("the rule has not one class: the event needs its class_uid")
	}
	c, _ := s.Class(rule.Classes[0])
	return c, nil
}

// rawJSON is a raw event: JSON text, or YAML that becomes JSON.
func rawJSON(n *yaml.Node) ([]byte, error) {
	if n.Kind == yaml.ScalarNode {
		if !json.Valid([]byte(n.Value)) {
			return nil, fmt.Errorf("the text is no JSON")
		}
		return []byte(n.Value), nil
	}
	var v any
	if err := n.Decode(&v); err != nil {
		return nil, err
	}
	return json.Marshal(v)
}

// maxCaseFile bounds a file of raw events.
const maxCaseFile = 8 << 20

// caseFile reads the raw events of a file: one JSON value a line, or one.
func (l *loader) caseFile(r *reader, ev CaseEvent, n *yaml.Node) []CaseEvent {
	name := path.Join(r.file.Base, r.text(n))
	if r.file.Dir == nil || !fs.ValidPath(name) {
		r.say(n, "unreadable", "files are named relative to the rule, and not above it", "cannot read %q", n.Value)
		return nil
	}
	info, err := fs.Stat(r.file.Dir, name)
	if err == nil && info.Size() > maxCaseFile {
		err = fmt.Errorf("%d bytes, more than %d", info.Size(), maxCaseFile)
	}
	var data []byte
	if err == nil {
		data, err = fs.ReadFile(r.file.Dir, name)
	}
	if err != nil {
		r.say(n, "unreadable", "", "%v", err)
		return nil
	}
	if json.Valid(data) {
		ev.Raw = data
		return []CaseEvent{ev}
	}
	var out []CaseEvent
	for i, line := range bytes.Split(data, []byte("\n")) {
		if line = bytes.TrimSpace(line); len(line) == 0 {
			continue
		}
		if !json.Valid(line) {
			r.say(n, "wrong-value", "", "%s: line %d is no JSON", n.Value, i+1)
			return out
		}
		e := ev
		e.Raw = line
		out = append(out, e)
	}
	return out
}

// Test runs the cases of all rules. The layouts must be frozen.
func (r *Rules) Test(normalize Normalizer) []CaseResult {
	var out []CaseResult
	for _, rule := range r.all {
		for i := range rule.Cases {
			c := &rule.Cases[i]
			res := CaseResult{Rule: rule.ID, File: rule.File, Case: c.Name, Line: c.Line}
			got, err := r.run(rule, c, normalize)
			switch {
			case err != nil:
				res.Message = err.Error()
			default:
				res.Message = compare(c.Expect, got)
			}
			res.OK = res.Message == ""
			out = append(out, res)
		}
	}
	return out
}

// run evaluates one rule on the events of a case and returns the alerts that
// came of it: later matches of a key and a dedupe period join the first.
func (r *Rules) run(rule *Rule, c *Case, normalize Normalizer) ([]Expectation, error) {
	type alertKey struct {
		key    string
		bucket int64
		uid    string
	}
	seen := map[alertKey]int{}
	var alerts []Expectation
	v := new(expr.Vars)
	for i := range c.Events {
		ce := &c.Events[i]
		ev := &nagare.Event{ID: fmt.Sprintf("case-%d", i), UID: fmt.Sprintf("case-%d", i), Source: c.Source, Auth: nagare.AuthPass, Received: ce.At, Body: ce.Raw}
		if ev.Received.IsZero() {
			ev.Received = time.Date(2025, 1, 1, 0, 0, 0, 0, time.UTC)
		}
		var e ocsf.Event
		if ce.Raw != nil {
			if normalize == nil {
				return nil, fmt.Errorf("event %d is raw, and there are no mappings to read it", i+1)
			}
			if err := normalize(ev, &e); err != nil {
				return nil, fmt.Errorf("event %d cannot be normalized: %w", i+1, err)
			}
		} else if err := r.fill(&e, rule, ce); err != nil {
			return nil, fmt.Errorf("event %d: %w", i+1, err)
		}
		for _, path := range []string{"time", "time_dt"} {
			if i := e.Layout.Slot(path); !ce.At.IsZero() && i >= 0 {
				e.Slots[i] = ocsf.IntValue(ce.At.UnixMilli())
			}
		}
		if rule.Classes != nil && !slices.Contains(rule.Classes, e.Layout.Class.Name) {
			continue
		}
		v.Bind(rule.env, &e, ev)
		rule.eval(v, &e, ev, func(m Match) {
			k := alertKey{uid: m.EventUID}
			if m.Key != "" && rule.Dedupe > 0 {
				k = alertKey{key: m.Key, bucket: m.EventTime.UnixMilli() / rule.Dedupe.Milliseconds()}
			}
			if _, ok := seen[k]; !ok && !m.Suppressed {
				seen[k] = len(alerts)
				alerts = append(alerts, Expectation{m.Key, m.Severity})
			}
		})
	}
	return alerts, nil
}

func (r *Rules) fill(e *ocsf.Event, rule *Rule, ce *CaseEvent) error {
	c, err := caseClass(r.layouts.Schema, rule, ce.OCSF)
	if err != nil {
		return err
	}
	e.Reset(r.layouts.Class(c))
	if wrong := e.FillTree(ce.OCSF); len(wrong) > 0 {
		return wrong[0]
	}
	ocsf.Finish(e)
	return nil
}

// compare says how got differs from want; "" if it does not. An expectation
// without a severity takes any.
func compare(want, got []Expectation) string {
	left := slices.Clone(got)
	var missing []string
	for _, w := range want {
		i := slices.IndexFunc(left, func(g Expectation) bool { return g.Key == w.Key && (w.Severity == "" || w.Severity == g.Severity) })
		if i < 0 {
			missing = append(missing, quote(w))
			continue
		}
		left = slices.Delete(left, i, i+1)
	}
	var more []string
	for _, g := range left {
		more = append(more, quote(g))
	}
	switch {
	case len(missing) > 0 && len(more) > 0:
		return fmt.Sprintf("expected an alert for %s, got one for %s", strings.Join(missing, ", "), strings.Join(more, ", "))
	case len(missing) > 0:
		return fmt.Sprintf("did not fire: expected an alert for %s", strings.Join(missing, ", "))
	case len(more) > 0:
		return fmt.Sprintf("fired and must not: got an alert for %s", strings.Join(more, ", "))
	}
	return ""
}

func quote(e Expectation) string { return fmt.Sprintf("%q", e.String()) }
