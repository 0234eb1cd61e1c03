package app

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"slices"

	"nagare"
	"nagare/detect"
	"nagare/detect/rules"
	"nagare/internal/alert"
	"nagare/internal/config"
	"nagare/ocsf"
	"nagare/ocsf/expr"
	"nagare/ocsf/mapping"
	"nagare/ocsf/mappings"
)

// A core is what is loaded before anything starts: configuration, mappings,
// rules, and the layouts that hold them together.
type core struct {
	config   config.Config
	layouts  *ocsf.Layouts
	mappings *mapping.Set
	rules    *detect.Rules
	routes   []route
	// files of the mappings, to read their cases.
	mappingFiles []namedFile
	ruleFiles    []namedFile
	// problems are all that is wrong, warnings included.
	problems []nagare.Problem
}

// A route is a compiled route of the configuration.
type route struct {
	when *expr.AlertCond
	to   []string
}

// A selection says which files to load instead of the embedded and configured
// ones; nil loads those.
type selection struct {
	mappings, rules []string
	// onlyMappings leaves rules out, for commands that need none.
	onlyMappings bool
	// source is the one source that is needed; "" is all of them.
	source string
	// noSecrets is for commands that neither take deliveries nor send alerts:
	// secrets of the configuration may be missing where they run.
	noSecrets bool
}

// loadCore loads everything. It fails only when a file cannot be read; what is
// wrong inside is in problems.
func loadCore(o Options, sel selection) (*core, error) {
	schema, err := ocsf.Load(ocsf.Version)
	if err != nil {
		return nil, err
	}
	c := &core{config: config.Default(), layouts: ocsf.NewLayouts(schema)}

	// The names of sources are known from the files; the configuration needs
	// them and says where more of them are, so it is read twice.
	name := o.configFile()
	var dirs, ruleDirs []string
	if name != "" {
		first, _ := config.Load(name, nil)
		dirs, ruleDirs = first.Mappings.Dirs, first.Rules.Dirs
	}
	if c.mappingFiles, err = pick(mappings.FS, "ocsf/mappings", sel.mappings, dirs); err != nil {
		return nil, err
	}
	var files []mapping.File
	for _, f := range c.mappingFiles {
		files = append(files, mapping.File{Name: f.name, Data: f.data})
	}
	var problems []nagare.Problem
	if sel.source != "" {
		c.mappings, problems = mapping.LoadSource(c.layouts, files, sel.source)
	} else {
		c.mappings, problems = mapping.Load(c.layouts, files)
	}
	c.problems = append(c.problems, problems...)
	if name != "" {
		c.config, problems = config.Load(name, c.mappings.Sources())
		if sel.noSecrets {
			problems = slices.DeleteFunc(problems, func(p nagare.Problem) bool { return p.Code == "secret" })
		}
		c.problems = append(c.problems, problems...)
		for source, s := range c.config.Sources {
			if zone, err := expr.Zone(s.Zone); err == nil {
				c.mappings.SetZone(source, zone)
			}
		}
	}
	c.compileRoutes(name)
	if !sel.onlyMappings {
		if c.ruleFiles, err = pick(rules.FS, "detect/rules", sel.rules, ruleDirs); err != nil {
			return nil, err
		}
		var files []detect.File
		for _, f := range c.ruleFiles {
			files = append(files, detect.File{Name: f.name, Data: f.data, Dir: f.dir, Base: f.base})
		}
		var receivers []string
		if name != "" {
			receivers = []string{}
			for r := range c.config.Receivers {
				receivers = append(receivers, r)
			}
		}
		c.rules, problems = detect.Load(c.layouts, files, detect.Options{Receivers: receivers, Fills: detect.FilledBy(c.layouts)})
		c.problems = append(c.problems, problems...)
	}
	c.layouts.Freeze()
	return c, nil
}

// pick returns the files that were asked for, or the embedded ones and those
// of configured folders.
func pick(fsys fs.FS, prefix string, asked, dirs []string) ([]namedFile, error) {
	if asked != nil {
		files, err := written(asked)
		if err != nil {
			return nil, err
		}
		return included(files)
	}
	files, err := embedded(fsys, prefix)
	if err != nil {
		return nil, err
	}
	more, err := written(dirs)
	return append(files, more...), err
}

// compileRoutes compiles the routes' conditions.
func (c *core) compileRoutes(file string) {
	for i, r := range c.config.Routes {
		text := r.When
		if text == "" {
			text = "true"
		}
		when, issues := expr.CompileAlert(text)
		for _, issue := range issues {
			c.problems = append(c.problems, nagare.Problem{File: file, Code: "expression", Suggestion: issue.Suggestion,
				Message: fmt.Sprintf("routes[%d].when, column %d: %s", i, issue.Column, issue.Message)})
		}
		if when != nil {
			c.routes = append(c.routes, route{when, r.To})
		}
	}
}

// err is what keeps the core from running, all of it.
func (c *core) err() error { return problemsError("nothing was started", c.problems) }

// route names the receivers of an alert: those of every route that holds, or
// the terminal where nothing is configured.
func (c *core) route(a alert.Alert) []string {
	if len(c.config.Receivers) == 0 {
		return []string{terminal}
	}
	fields := map[string]any{}
	data, err := json.Marshal(a)
	if err == nil {
		err = json.Unmarshal(data, &fields)
	}
	if err != nil {
		return nil
	}
	fields["severity_id"], fields["count"] = a.SeverityID, a.Count
	var to []string
	for _, r := range c.routes {
		if r.when.Holds(fields) {
			to = append(to, r.to...)
		}
	}
	if len(c.routes) == 0 { // receivers and no routes: everybody is told
		for name := range c.config.Receivers {
			to = append(to, name)
		}
	}
	slices.Sort(to)
	return slices.Compact(to)
}

// normalizer returns a function that normalizes events of any source. It may
// be used by many goroutines.
func (c *core) normalizer() func(*nagare.Event, *ocsf.Event) error {
	return c.counted(new(scratches))
}

// counted is normalizer with counts that can be asked for.
func (c *core) counted(pool *scratches) func(*nagare.Event, *ocsf.Event) error {
	return func(ev *nagare.Event, out *ocsf.Event) error {
		m, ok := c.mappings.Source(ev.Source)
		if !ok {
			return &mapping.Dead{Reason: mapping.NoMapping, Err: fmt.Errorf("no mapping is for source %q", ev.Source)}
		}
		sc := pool.take()
		defer pool.put(sc)
		return m.Normalize(ev, out, sc)
	}
}

// eval returns the rules as the live stage wants them.
func (c *core) eval(origin string, notify bool) func(*ocsf.Event, *nagare.Event, func(alert.Match)) {
	return func(e *ocsf.Event, ev *nagare.Event, emit func(alert.Match)) {
		c.rules.Eval(e, ev, func(m detect.Match) {
			emit(alert.Match{
				Rule: m.Rule.ID, Title: m.Rule.Title, Text: m.Text, Severity: m.Severity, Key: m.Key, Dedupe: m.Rule.Dedupe,
				EventUID: m.EventUID, EventTime: m.EventTime, Origin: origin, To: m.Rule.To, Attack: m.Rule.Attack,
				References: m.Rule.References, Runbook: m.Rule.Runbook, Quiet: m.Rule.Shadow, Suppressed: m.Suppressed, Notify: notify,
			})
		})
	}
}
