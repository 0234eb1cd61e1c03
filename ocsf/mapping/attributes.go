package mapping

import (
	"errors"
	"fmt"
	"strings"

	"go.yaml.in/yaml/v4"

	"nagare/ocsf"
)

// reserved are the paths that nagare itself fills.
var reserved = map[string]string{
	"class_uid": "it follows from class", "class_name": "it follows from class", "category_uid": "it follows from class",
	"category_name": "it follows from class", "type_uid": "it follows from class and activity", "type_name": "it follows from class and activity",
	"metadata.version": "it is the schema's version", "metadata.uid": "it is the event's uid: see the key uid",
	"metadata.logged_time": "it is when the event was received", "metadata.original_time": "it is the text of time",
	"activity_id": "use the key activity", "activity_name": "use the key activity", "observables": "they follow from the rest",
	"metadata.profiles": "they follow from what is filled", "unmapped": "what is not mapped goes there by itself",
}

// attributes compiles the entries of a set. What stands here itself goes
// before what << brings in, path by path.
func (c *compiler) attributes(n *yaml.Node) []filler {
	var own, merged []assignment
	for _, a := range c.assignments("", n, false) {
		if a.pair.merged {
			merged = append(merged, a)
		} else {
			own = append(own, a)
		}
	}
	var out []filler
	for _, a := range append(own, merged...) {
		out = append(out, c.attribute(a.path, a.attr, a.pair)...)
	}
	return out
}

// An assignment is one attribute of a set with what it gets.
type assignment struct {
	path string
	attr *ocsf.Attr
	pair pair
}

// assignments lists what a set sets below a path.
func (c *compiler) assignments(prefix string, n *yaml.Node, merged bool) []assignment {
	var out []assignment
	for _, p := range c.pairs(c.f.name, n) {
		p.merged = p.merged || merged
		path := prefix + p.key.Value
		if why, ok := reserved[path]; ok && c.layout.Class != nil {
			c.say(p.key, "reserved", fmt.Sprintf("%s cannot be set: %s", path, why), "")
			continue
		}
		a, err := attrAt(c.layout.Object, path)
		if err != nil {
			c.pathProblem(p.key, err)
			continue
		}
		if p.value.Kind == yaml.MappingNode && !a.Array {
			if a.Base != ocsf.BaseObject {
				c.say(p.value, "wrong-type", fmt.Sprintf("%s is a value, it has no attributes", path), "")
				continue
			}
			out = append(out, c.assignments(path+".", p.value, p.merged)...)
			continue
		}
		out = append(out, assignment{path, a, p})
	}
	return out
}

// attrAt is the attribute at a path, which may also lead to an object.
func attrAt(o *ocsf.Object, path string) (*ocsf.Attr, error) {
	var a *ocsf.Attr
	parts := strings.Split(path, ".")
	for i, name := range parts {
		var ok bool
		if a, ok = o.Attr(name); !ok {
			var names []string
			for _, x := range o.Attrs {
				names = append(names, x.Name)
			}
			return nil, &ocsf.PathError{Object: o.Name, Path: path, Name: name, Reason: fmt.Sprintf("%s has no attribute %q", o.Name, name), Near: ocsf.Nearest(name, names)}
		}
		if i == len(parts)-1 {
			break
		}
		if a.Base != ocsf.BaseObject {
			return nil, &ocsf.PathError{Object: o.Name, Path: path, Name: name, Reason: fmt.Sprintf("%q is a value, it has no attributes", name)}
		}
		if a.Array {
			return nil, &ocsf.PathError{Object: o.Name, Path: path, Name: name, Reason: fmt.Sprintf("%q is a list of objects: fill it with each, or with a list", name)}
		}
		o = a.Object
	}
	return a, nil
}

func (c *compiler) pathProblem(n *yaml.Node, err error) {
	var p *ocsf.PathError
	if !errors.As(err, &p) {
		c.say(n, "unknown-attribute", err.Error(), "")
		return
	}
	suggestion := ""
	if p.Near != "" {
		suggestion = fmt.Sprintf("did you mean %q?", p.Near)
	} else if deeper := c.deeper(p.Name); deeper != "" && p.Path == p.Name {
		suggestion = fmt.Sprintf("did you mean %q?", deeper)
	}
	c.say(n, "unknown-attribute", p.Path+": "+p.Reason, suggestion)
}

// deeper finds the attribute of an object that a flat name may mean, as src_ip
// means src_endpoint.ip.
func (c *compiler) deeper(name string) string {
	first, rest, ok := strings.Cut(name, "_")
	if !ok {
		return ""
	}
	for _, a := range c.layout.Object.Attrs {
		if a.Object == nil || a.Array || !strings.HasPrefix(a.Name, first) {
			continue
		}
		for _, b := range a.Object.Attrs {
			if b.Name == rest {
				return a.Name + "." + b.Name
			}
		}
	}
	return ""
}
