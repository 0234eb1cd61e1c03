package detect

import (
	"cmp"
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
	l := &loader{layouts: layouts, opts: opts, envs: map[string]*expr.EventEnv{}, ids: map[string]string{}, columns: map[string]map[string]bool{}}
	rules := &Rules{byClass: map[int][]*Rule{}, layouts: layouts}
	var problems []nagare.Problem
	for _, f := range files {
		r := &reader{file: f}
		rule := l.rule(r)
		slices.SortFunc(r.problems, func(a, b nagare.Problem) int {
			return cmp.Or(a.Line-b.Line, a.Column-b.Column, strings.Compare(a.Message, b.Message))
		})
		problems = append(problems, r.problems...)
		if rule != nil && !r.bad() {
			rules.all = append(rules.all, rule)
		}
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
	envs    map[string]*expr.EventEnv  // by class names
	ids     map[string]string          // id → file
	columns map[string]map[string]bool // class → paths with a column
}

var (
	ruleID    = regexp.MustCompile(`^[a-z0-9]+([._-][a-z0-9]+)*$`)
	technique = regexp.MustCompile(`^TA?\d{4}(\.\d{3})?$`)
	oneWord   = regexp.MustCompile(`^[A-Za-z]*$`)
)

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
		Dedupe: r.duration(keys["dedupe"], DefaultDedupe), Attack: l.attack(r, keys["attack"]), References: r.textList(keys["references"]),
		Runbook: r.text(keys["runbook"]), Owner: r.text(keys["owner"]), FalsePositives: r.textList(keys["falsepositives"]),
		Shadow: r.word(keys["mode"], "mode", "live", "shadow") == "shadow", Enabled: r.boolean(keys["enabled"], true),
	}
	l.id(r, rule, keys["id"])
	rule.env = l.classes(r, rule, keys["class"])
	rule.where = r.compile(rule.env, keys["where"], expr.WantBool)
	rule.key = r.compile(rule.env, keys["key"], expr.WantAny)
	rule.suppress = r.compile(rule.env, keys["suppress"], expr.WantBool)
	l.severity(r, rule, keys["severity"])
	l.alert(r, rule, keys["alert"])
	l.except(r, rule, keys["except"])
	for k, x := range map[string]*expr.EventExpr{"where": rule.where, "key": rule.key, "suppress": rule.suppress, "severity": rule.sevX} {
		l.coverage(r, rule, keys[k], x)
		l.addSlots(rule, x)
	}
	if keys["dedupe"] != nil && keys["key"] == nil {
		r.warn(keys["dedupe"], "no-key", "add key, or leave dedupe out", "without a key each event is an alert of its own, and dedupe does nothing")
	}
	l.cases(r, rule, keys["cases"])
	if len(rule.Cases) == 0 {
		r.warn(root, "no-cases", "add one that must fire and one that must not", "the rule has no cases")
	}
	return rule
}

func (l *loader) id(r *reader, rule *Rule, n *yaml.Node) {
	if rule.ID == "" {
		return
	}
	if !ruleID.MatchString(rule.ID) {
		r.say(n, "wrong-value", "write it as area.name", "%q is no id: lower case and digits, with . _ - between", rule.ID)
	}
	if other, ok := l.ids[rule.ID]; ok {
		r.say(n, "duplicate-id", "give one of them another id", "%s has the id %q too", other, rule.ID)
		return
	}
	l.ids[rule.ID] = r.file.Name
}

func (l *loader) attack(r *reader, n *yaml.Node) []string {
	texts, at := r.texts(n)
	for i, t := range texts {
		if !technique.MatchString(t) {
			r.say(at[i], "wrong-value", "write it as T1078 or T1078.004", "%q is no technique of ATT&CK", t)
		}
	}
	return texts
}

// classes reads the class key and returns the environment of its classes.
func (l *loader) classes(r *reader, rule *Rule, n *yaml.Node) *expr.EventEnv {
	names, at := r.texts(n)
	if len(names) == 0 {
		if n != nil && n.Kind == yaml.SequenceNode {
			r.say(n, "wrong-value", `write a class, or "any"`, "the list of classes is empty")
		}
		return nil
	}
	var classes []*ocsf.Class
	for i, name := range names {
		if name == "any" {
			if len(names) > 1 {
				r.say(at[i], "wrong-value", "", `"any" stands alone`)
				return nil
			}
			return l.env(r, n, "any", l.every())
		}
		c, ok := l.layouts.Schema.Class(name)
		switch {
		case !ok:
			r.say(at[i], "unknown-class", l.nearClass(name), "OCSF %s has no class %q", l.layouts.Schema.Version, name)
		case slices.Contains(rule.Classes, name):
			r.say(at[i], "wrong-value", "", "the class %q is here twice", name)
		default:
			rule.Classes = append(rule.Classes, name)
			classes = append(classes, c)
		}
	}
	if len(classes) < len(names) {
		return nil
	}
	for _, c := range classes {
		l.layouts.Class(c) // its events get here even if no mapping makes them
	}
	return l.env(r, n, strings.Join(rule.Classes, " "), classes)
}

// every are all classes, the base first: an event of any class has what they
// have in common.
func (l *loader) every() []*ocsf.Class {
	all := slices.Clone(l.layouts.Schema.Classes)
	slices.SortStableFunc(all, func(a, b *ocsf.Class) int { return a.UID - b.UID })
	return all
}

func (l *loader) nearClass(name string) string {
	var all []string
	for _, c := range l.layouts.Schema.Classes {
		all = append(all, c.Name)
	}
	if n := ocsf.Nearest(name, all); n != "" {
		return fmt.Sprintf("did you mean %q?", n)
	}
	for _, c := range l.layouts.Schema.Classes {
		if strings.EqualFold(c.Caption, name) || fmt.Sprint(c.UID) == name {
			return fmt.Sprintf("did you mean %q?", c.Name)
		}
	}
	return "classes are named as authentication, process_activity, detection_finding, or any"
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
	if oneWord.MatchString(text) {
		rule.Severity = r.wordOf(n, text)
		return
	}
	if rule.sevX = r.compile(rule.env, n, expr.WantText); rule.sevX == nil {
		return
	}
	for _, t := range rule.sevX.Results {
		if !slices.Contains(severities, t) {
			r.say(n, "wrong-value", near(t, severities), "the expression can give %q, which is no severity", t)
		}
	}
}

func (r *reader) wordOf(n *yaml.Node, text string) string {
	if text != "" && !slices.Contains(severities, text) {
		r.say(n, "wrong-value", near(text, severities), "severity %q is unknown", text)
	}
	return text
}

func (l *loader) alert(r *reader, rule *Rule, n *yaml.Node) {
	keys := r.fields(n, alertKeys)
	to, at := r.texts(keys["to"])
	rule.To = to
	for i, name := range to {
		if l.opts.Receivers != nil && !slices.Contains(l.opts.Receivers, name) {
			suggestion := "add it under receivers in the configuration"
			if near := ocsf.Nearest(name, l.opts.Receivers); near != "" {
				suggestion = fmt.Sprintf("did you mean %q?", near)
			}
			r.warn(at[i], "unknown-receiver", suggestion, "there is no receiver %q: its alerts go by the routes alone", name)
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
		r.text(keys["reason"])
		r.text(keys["owner"])
		when := r.compile(rule.env, keys["when"], expr.WantBool)
		l.addSlots(rule, when)
		until := forever
		if text := r.text(keys["expires"]); text != "" {
			day, err := time.Parse(time.DateOnly, text)
			if err != nil {
				r.say(keys["expires"], "wrong-value", "write it as 2006-01-02", "%q is no day", text)
				continue
			}
			until = day.AddDate(0, 0, 1)
			if !l.opts.Today.Before(until) {
				r.warn(keys["expires"], "expired", "remove the exception, or give it a new day", "the exception ended on %s", text)
			}
		}
		if when != nil {
			rule.except = append(rule.except, exception{when, until})
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
