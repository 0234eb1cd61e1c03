package detect

import (
	"strings"

	"go.yaml.in/yaml/v4"

	"nagare/ocsf"
	"nagare/ocsf/expr"
)

// FilledBy returns what Options.Fills wants to know: whether layouts have a
// slot for an attribute, or will have one that follows from another. Ask it
// when mappings are loaded and rules are not yet, since rules add slots too.
func FilledBy(layouts *ocsf.Layouts) func(class, path string) bool {
	filled := map[string]bool{}
	var note func(l *ocsf.Layout, prefix string)
	note = func(l *ocsf.Layout, prefix string) {
		for i := range l.Len() {
			info := l.Info(i)
			if info.Open {
				continue
			}
			filled[prefix+info.Path] = true
			parent := info.Path[:strings.LastIndexByte(info.Path, '.')+1]
			// Finish fills the caption of an id and the id of a caption, the
			// datetime of a time, and ids that an object requires.
			if info.Attr.Sibling != "" {
				filled[prefix+parent+info.Attr.Sibling] = true
			}
			for _, a := range objectAt(l.Object, parent).Attrs {
				if a.Enum != nil && (a.Sibling == info.Attr.Name || a.Requirement == ocsf.Required && len(a.Profiles) == 0) {
					filled[prefix+parent+a.Name] = true
					filled[prefix+parent+a.Sibling] = true
				}
			}
			if info.Attr.Base == ocsf.BaseTimestamp && parent == "" {
				filled[prefix+info.Path+"_dt"] = true
			}
			if info.Rows != nil {
				note(info.Rows, prefix+info.Path+".")
			}
		}
	}
	classes := map[string]bool{}
	for _, l := range layouts.Used() {
		classes[l.Class.Name] = true
		note(l, l.Class.Name+" ")
	}
	return func(class, path string) bool { return classes[class] && filled[class+" "+path] }
}

// objectAt is the object that a path, which ends with a dot or is "", leads to.
func objectAt(o *ocsf.Object, path string) *ocsf.Object {
	for name := range strings.SplitSeq(strings.TrimSuffix(path, "."), ".") {
		if a, ok := o.Attr(name); ok && a.Object != nil {
			o = a.Object
		}
	}
	return o
}

// coverage warns of attributes that no source fills, and of those that the
// lake has no column for.
func (l *loader) coverage(r *reader, rule *Rule, n *yaml.Node, x *expr.EventExpr) {
	if x == nil {
		return
	}
	for _, path := range x.Paths {
		if path == "unmapped" || strings.HasPrefix(path, "unmapped.") {
			continue
		}
		var unfilled, columnless []string
		for _, class := range rule.Classes {
			c, _ := l.layouts.Schema.Class(class)
			if l.isObject(c, path) {
				continue // has(event.user): any of its attributes will do
			}
			if l.opts.Fills != nil && !l.opts.Fills(class, path) {
				unfilled = append(unfilled, class)
			}
			if !l.hasColumn(c, path) {
				columnless = append(columnless, class)
			}
		}
		if len(unfilled) > 0 && len(unfilled) == len(rule.Classes) {
			r.warn(n, "not-filled", "compare nagare map on a sample of your source", "no source fills %s of %s", path, strings.Join(unfilled, ", "))
		}
		if len(columnless) > 0 {
			r.warn(n, "no-column", "live alerts are not affected", "the lake has no column for %s of %s: SQL cannot see what this rule sees", path, strings.Join(columnless, ", "))
		}
	}
}

// isObject says whether path ends at a single object.
func (l *loader) isObject(c *ocsf.Class, path string) bool {
	name := path[strings.LastIndexByte(path, '.')+1:]
	a, ok := objectAt(&c.Object, strings.TrimSuffix(path, name)).Attr(name)
	return ok && a.Base == ocsf.BaseObject && !a.Array
}

// hasColumn says whether the lake keeps an attribute: in a column of its own,
// or in one with the JSON of what it is in.
func (l *loader) hasColumn(c *ocsf.Class, path string) bool {
	paths, ok := l.columns[c.Name]
	if !ok {
		paths = map[string]bool{}
		var note func([]*ocsf.Column)
		note = func(columns []*ocsf.Column) {
			for _, col := range columns {
				if len(col.Fields) == 0 {
					paths[col.Path] = true
				}
				note(col.Fields)
			}
		}
		note(l.layouts.Schema.Columns(c))
		l.columns[c.Name] = paths
	}
	for p := path; p != ""; p = p[:max(0, strings.LastIndexByte(p, '.'))] {
		if paths[p] {
			return true
		}
	}
	// A list of objects is there when any part of its elements is.
	for p := range paths {
		if strings.HasPrefix(p, path+".") {
			return true
		}
	}
	return false
}
