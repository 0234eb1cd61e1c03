package detect

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v4"

	"nagare"
	"nagare/ocsf"
	"nagare/ocsf/expr"
)

// Load compiles rule files and checks them against the schema. It returns
// every problem; a rule with one that is not a warning is not among the
// rules. The slots that rules and their cases need are added to layouts, which
// must not be frozen yet.
func Load(layouts *ocsf.Layouts, files []File, opts Options) (*Rules, []nagare.Problem) {
	if opts.Today.IsZero() {
		opts.Today = time.Now()
	}
	l := &loader{layouts: layouts, opts: opts, envs: map[string]*expr.EventEnv{}, ids: map[string]string{}}
	rules := &Rules{byClass: map[int][]*Rule{}, schema: layouts.Schema, layouts: layouts}
	var problems []nagare.Problem
	for _, f := range files {
		r := &reader{file: f}
		rule := l.rule(r)
		problems = append(problems, r.problems...)
		if rule == nil || slices.ContainsFunc(r.problems, func(p nagare.Problem) bool { return !p.Warning }) {
			continue
		}
		rules.all = append(rules.all, rule)
	}
	slices.SortFunc(rules.all, func(a, b *Rule) int { return strings.Compare(a.ID, b.ID) })
	for _, rule := range rules.all {
		if rule.Classes == nil {
			rules.any = append(rules.any, rule)
		}
		for _, name := range rule.Classes {
			c, _ := layouts.Schema.Class(name)
			rules.byClass[c.UID] = append(rules.byClass[c.UID], rule)
		}
	}
	return rules, problems
}

type loader struct {
	layouts *ocsf.Layouts
	opts    Options
	envs    map[string]*expr.EventEnv // by class names
	ids     map[string]string         // id → file
}

var ruleID = regexp.MustCompile(`^[a-z0-9]+([._-][a-z0-9]+)*$`)

func (l *loader) rule(r *reader) *Rule {
	root := r.root()
	if root == nil {
		return nil
	}
	keys := r.fields(root, ruleKeys)
	for _, k := range []string{"id", "title", "class", "severity", "where"} {
		if keys[k] == nil {
			r.say(root, "missing-key", "", "the key %q is missing", k)
		}
	}
	rule := &Rule{
		ID: r.text(keys["id"]), Title: r.text(keys["title"]), Description: r.text(keys["description"]), File: r.file.Name,
		Dedupe: r.duration(keys["dedupe"], DefaultDedupe), Attack: r.texts(keys["attack"]), References: r.texts(keys["references"]),
		Runbook: r.text(keys["runbook"]), Owner: r.text(keys["owner"]), FalsePositives: r.texts(keys["falsepositives"]),
		Shadow: r.word(keys["mode"], "mode", "live", "shadow") == "shadow", Enabled: r.boolean(keys["enabled"], true),
	}
	if n := keys["id"]; n != nil {
		if !ruleID.MatchString(rule.ID) {
			r.say(n, "value", "write it as area.name", "%q is not an id: lower case, digits, and . _ - between", rule.ID)
		} else if other, ok := l.ids[rule.ID]; ok {
			r.say(n, "duplicate-id", "", "%s has the id %q too", other, rule.ID)
		}
		l.ids[rule.ID] = r.file.Name
	}
	rule.env = l.classes(r, rule, keys["class"])
	rule.where = r.compile(rule.env, keys["where"], expr.WantBool)
	rule.key = r.compile(rule.env, keys["key"], expr.WantAny)
	rule.suppress = r.compile(rule.env, keys["suppress"], expr.WantBool)
	l.severity(r, rule, keys["severity"])
	l.alert(r, rule, keys["alert"])
	l.except(r, rule, keys["except"])
	for _, x := range []*expr.EventExpr{rule.where, rule.key, rule.suppress} {
		l.addSlots(rule, x)
	}
	l.coverage(r, rule, keys["where"])
	l.cases(r, rule, keys["cases"])
	if len(rule.Cases) == 0 {
		r.warn(root, "no-cases", "add one that must fire and one that must not", "the rule has no cases")
	}
	return rule
}

// classes reads the class key and returns the environment of its classes.
func (l *loader) classes(r *reader, rule *Rule, n *yaml.Node) *expr.EventEnv {
	names := r.texts(n)
	if len(names) == 0 {
		return nil
	}
	var classes []*ocsf.Class
	for i, name := range names {
		at := list(n)[i]
		if name == "any" {
			if len(names) > 1 {
				r.say(at, "value", "", `"any" stands alone`)
				return nil
			}
			c, _ := l.layouts.Schema.Class("base_event")
			return l.env(r, at, "any", []*ocsf.Class{c})
		}
		c, ok := l.layouts.Schema.Class(name)
		if !ok {
			var all []string
			for _, c := range l.layouts.Schema.Classes {
				all = append(all, c.Name)
			}
			suggestion := "nagare rules list shows classes in use"
			if near := ocsf.Nearest(name, all); near != "" {
				suggestion = fmt.Sprintf("did you mean %q?", near)
			}
			r.say(at, "unknown-class", suggestion, "OCSF %s has no class %q", l.layouts.Schema.Version, name)
			continue
		}
		l.layouts.Class(c) // its events get here even if no mapping made it
		rule.Classes = append(rule.Classes, name)
		classes = append(classes, c)
	}
	if len(classes) < len(names) {
		return nil
	}
	return l.env(r, n, strings.Join(rule.Classes, " "), classes)
}

func (l *loader) env(r *reader, n *yaml.Node, key string, classes []*ocsf.Class) *expr.EventEnv {
	if e, ok := l.envs[key]; ok {
		return e
	}
	e, err := expr.NewEventEnv(l.layouts.Schema, classes)
	if err != nil {
		r.say(n, "class", "", "%v", err)
		return nil
	}
	l.envs[key] = e
	return e
}

// severity is a word, or an expression that gives one.
func (l *loader) severity(r *reader, rule *Rule, n *yaml.Node) {
	text := r.text(n)
	if slices.Contains(severities, text) {
		rule.Severity = text
		return
	}
	if regexp.MustCompile(`^[A-Za-z]*$`).MatchString(text) {
		if text != "" {
			r.say(n, "value", near(text, severities), "severity %q is unknown", text)
		}
		return
	}
	rule.sevX = r.compile(rule.env, n, expr.WantText)
	l.addSlots(rule, rule.sevX)
}

func (l *loader) alert(r *reader, rule *Rule, n *yaml.Node) {
	keys := r.fields(n, alertKeys)
	rule.To = r.texts(keys["to"])
	if l.opts.Receivers != nil {
		for i, to := range rule.To {
			if !slices.Contains(l.opts.Receivers, to) {
				r.warn(list(keys["to"])[i], "unknown-receiver", "add it under receivers in the configuration", "there is no receiver %q: its alerts go by the routes alone", to)
			}
		}
	}
	rule.text = l.template(r, rule, keys["text"])
}

func (l *loader) except(r *reader, rule *Rule, n *yaml.Node) {
	for _, e := range list(n) {
		keys := r.fields(e, exceptKeys)
		for _, k := range []string{"when", "reason"} {
			if keys[k] == nil {
				r.say(e, "missing-key", "", "an exception needs the key %q", k)
			}
		}
		when := r.compile(rule.env, keys["when"], expr.WantBool)
		l.addSlots(rule, when)
		if text := r.text(keys["expires"]); text != "" {
			day, err := time.Parse(time.DateOnly, text)
			if err != nil {
				r.say(keys["expires"], "value", "write it as 2006-01-02", "%q is no day", text)
				continue
			}
			if !l.opts.Today.Before(day.AddDate(0, 0, 1)) {
				r.warn(keys["expires"], "expired", "remove it, or give it a new day", "the exception expired on %s and no longer holds", text)
				continue
			}
		}
		if when != nil {
			rule.except = append(rule.except, exception{when})
		}
	}
}

// addSlots gives the rule's layouts the attributes that an expression reads,
// so that cases can set them and events of any mapping show them.
func (l *loader) addSlots(rule *Rule, x *expr.EventExpr) {
	if x == nil {
		return
	}
	for _, name := range rule.Classes {
		c, _ := l.layouts.Schema.Class(name)
		for _, path := range x.Paths {
			l.layouts.Class(c).AddDeep(path)
		}
	}
}

// coverage warns of attributes that no source fills.
func (l *loader) coverage(r *reader, rule *Rule, n *yaml.Node) {
	if l.opts.Fills == nil || rule.where == nil {
		return
	}
	for _, name := range rule.Classes {
		for _, path := range rule.where.Paths {
			if path != "unmapped" && !l.opts.Fills(name, path) {
				r.warn(n, "not-filled", "", "no source fills %s of %s", path, name)
			}
		}
	}
}
