package mapping

import (
	"maps"
	"slices"
	"strings"

	"nagare/ocsf"
)

// A Coverage says which attributes of a class a source can ever fill.
type Coverage struct {
	Source string
	Class  string
	// Entries are the lines of the entries of this class.
	Entries    []int
	Attributes []Covered
}

// A Covered is one attribute of a Coverage.
type Covered struct {
	// Attribute is the path from the class on; [] marks the rows of a list.
	Attribute   string
	Requirement string // required, recommended or optional
	// Lines are where entries set it, or something of it.
	Lines []int
	// Nagare says that it is filled without the mapping.
	Nagare bool
}

// Filled says whether anything ever fills the attribute.
func (a *Covered) Filled() bool { return a.Nagare || len(a.Lines) > 0 }

// Missed says whether the schema asks for the attribute and nothing fills it.
func (a *Covered) Missed() bool { return !a.Filled() && a.Requirement != "optional" }

// byNagare are the paths that are filled without a mapping, besides captions.
var byNagare = func() map[string]bool {
	out := map[string]bool{"activity_id": true, "severity_id": true, "time": true, "metadata.product": true, "metadata.product.vendor_name": true, "metadata.product.name": true}
	for p := range reserved {
		out[p] = true
	}
	return out
}()

// Coverage lists what the entries of a source fill, by class. Of objects that
// an entry sets something of, it lists what is set and what the schema asks
// for; of others, and of profiles, what is set.
func (s *Set) Coverage(source string) []Coverage {
	m, ok := s.bySource[source]
	if !ok {
		return nil
	}
	byClass := map[string][]*entry{}
	var order []string
	for _, e := range m.entries {
		name := e.layout.Class.Name
		if byClass[name] == nil {
			order = append(order, name)
		}
		byClass[name] = append(byClass[name], e)
	}
	var out []Coverage
	for _, name := range order {
		c := coverer{lines: map[string][]int{}}
		cov := Coverage{Source: source, Class: name}
		for _, e := range byClass[name] {
			cov.Entries = append(cov.Entries, e.line)
			for path, line := range e.filled {
				c.lines[path] = append(c.lines[path], line)
			}
		}
		c.object(&byClass[name][0].layout.Class.Object, "", true)
		cov.Attributes = c.out
		out = append(out, cov)
	}
	return out
}

type coverer struct {
	lines map[string][]int
	out   []Covered
}

// below are the lines that set a path or something below it.
func (c *coverer) below(path string) []int {
	lines := map[int]bool{}
	for p, at := range c.lines {
		if p == path || strings.HasPrefix(p, path+".") || strings.HasPrefix(p, path+"[") {
			for _, l := range at {
				lines[l] = true
			}
		}
	}
	return slices.Sorted(maps.Keys(lines))
}

func (c *coverer) object(o *ocsf.Object, prefix string, class bool) {
	for _, a := range o.Attrs {
		path := prefix + a.Name
		x := Covered{Attribute: path, Requirement: [...]string{"optional", "recommended", "required"}[a.Requirement], Lines: c.below(path), Nagare: byNagare[path]}
		if path == "metadata" {
			x.Nagare = true
		}
		if a.Enum != nil && !a.Array && a.Requirement == ocsf.Required && len(a.Profiles) == 0 {
			_, zero := a.Enum.Caption(0)
			x.Nagare = x.Nagare || zero // it becomes 0, Unknown
		}
		for _, id := range o.Attrs {
			// The caption beside an id comes with it, and an id is 0 at least.
			if id.Sibling == a.Name && (byNagare[prefix+id.Name] || id.Requirement == ocsf.Required && len(id.Profiles) == 0 || len(c.below(prefix+id.Name)) > 0) {
				x.Nagare = true
			}
		}
		if !x.Filled() && (len(a.Profiles) > 0 || a.Deprecated || !class && a.Requirement == ocsf.Optional) {
			continue
		}
		c.out = append(c.out, x)
		if a.Base == ocsf.BaseObject && (len(x.Lines) > 0 || x.Nagare) {
			below := path + "."
			if a.Array {
				below = path + "[]."
			}
			if len(c.below(strings.TrimSuffix(below, "."))) > 0 {
				c.object(a.Object, below, false)
			}
		}
	}
}
