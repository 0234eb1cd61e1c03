package config

import (
	"bytes"
	"errors"
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v4"

	"nagare"
	"nagare/ocsf"
)

// later names keys that the design has and this version does not, so that the
// error says more than "unknown".
var later = map[string]bool{
	"tables": true, "objects.stage": true, "objects.archive": true, "admin": true, "feeds": true, "retention": true, "heartbeat": true,
	"rules.overrides": true, "lake.security_lake": true,
	"sources.*.rhythm": true, "sources.*.lateness": true,
	"receivers.*.pagerduty": true, "receivers.*.webhook": true, "receivers.*.mail": true,
	"receivers.*.securityhub": true, "receivers.*.file": true,
}

// A document is a parsed file: it knows where each key stands and gathers what
// is wrong.
type document struct {
	name     string
	root     *yaml.Node
	problems []nagare.Problem
}

// decode fills c from data. Unknown keys, wrong types and broken YAML become
// problems.
func decode(name string, data []byte, c *Config) *document {
	d := &document{name: name}
	if len(bytes.TrimSpace(data)) == 0 {
		return d // an empty file is the defaults
	}
	var root yaml.Node
	if err := yaml.Load(data, &root); err != nil {
		d.add(nil, "yaml", "", err)
		return d
	}
	if len(root.Content) == 0 {
		return d
	}
	d.root = root.Content[0]
	d.unknownKeys(d.root, reflect.TypeOf(*c), "")
	if err := yaml.Load(data, c); err != nil {
		before := len(d.problems)
		d.add(nil, "type", "", err)
		for i := before; i < len(d.problems); i++ {
			d.mistyped(&d.problems[i])
		}
	}
	return d
}

// mistyped says which key it is about, what stands there, and how a value is
// written that would do; YAML's own words are about its types.
func (d *document) mistyped(p *nagare.Problem) {
	path, n, t := find(d.root, reflect.TypeOf(Config{}), "", p.Line, p.Column)
	if n == nil {
		return
	}
	what := strconv.Quote(n.Value)
	switch n.Kind {
	case yaml.MappingNode:
		what = "a mapping"
	case yaml.SequenceNode:
		what = "a list"
	}
	if strings.HasPrefix(p.Message, "cannot construct ") {
		p.Message = fmt.Sprintf("%s is %s, which is %s", path, what, wanted(t))
		p.Suggestion = "write it as " + example(t)
		return
	}
	p.Message = path + ": " + p.Message
}

// find is the value that begins at a line and column: its path, the node, and
// the type that it is for.
func find(n *yaml.Node, t reflect.Type, path string, line, column int) (string, *yaml.Node, reflect.Type) {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	inside := func(n *yaml.Node, t reflect.Type, path string) (string, *yaml.Node, reflect.Type) {
		if deep, found, ft := find(n, t, path, line, column); found != nil {
			return deep, found, ft
		}
		return "", nil, nil
	}
	switch {
	case n.Kind == yaml.SequenceNode && t.Kind() == reflect.Slice:
		for i, e := range n.Content {
			if p, found, ft := inside(e, t.Elem(), fmt.Sprintf("%s[%d]", path, i)); found != nil {
				return p, found, ft
			}
		}
	case n.Kind == yaml.MappingNode && (t.Kind() == reflect.Struct || t.Kind() == reflect.Map):
		for i := 0; i+1 < len(n.Content); i += 2 {
			key, ft := n.Content[i].Value, reflect.Type(nil)
			if t.Kind() == reflect.Map {
				ft = t.Elem()
			} else {
				for f := range t.Fields() {
					if f.Tag.Get("yaml") == key {
						ft = f.Type
					}
				}
			}
			if ft == nil {
				continue
			}
			if p, found, ft := inside(n.Content[i+1], ft, join(path, key)); found != nil {
				return p, found, ft
			}
		}
	}
	if n.Line == line && n.Column == column && path != "" {
		return path, n, t
	}
	return "", nil, nil
}

// wanted and example say what a value of a type is not, and how one looks.
func wanted(t reflect.Type) string {
	switch {
	case t == reflect.TypeFor[time.Duration]():
		return "no duration"
	case t.Kind() == reflect.Int || t.Kind() == reflect.Int64:
		return "no whole number"
	case t.Kind() == reflect.Slice:
		return "no list"
	case t.Kind() == reflect.Struct || t.Kind() == reflect.Map:
		return "no mapping of keys"
	}
	return "no text"
}

func example(t reflect.Type) string {
	switch {
	case t == reflect.TypeFor[time.Duration]():
		return "30s, 5m or 24h"
	case t.Kind() == reflect.Int || t.Kind() == reflect.Int64:
		return "4"
	case t.Kind() == reflect.Slice:
		return "[first, second]"
	case t.Kind() == reflect.Struct || t.Kind() == reflect.Map:
		return "{key: value}"
	}
	return `"text"`
}

// add appends err, or each error in it, at a node.
func (d *document) add(at *yaml.Node, code, suggestion string, err error) {
	p := nagare.Problem{File: d.name, Code: code, Message: err.Error(), Suggestion: suggestion}
	if at != nil {
		p.Line, p.Column = at.Line, at.Column
	}
	var many *yaml.LoadErrors
	var one *yaml.LoadError
	switch {
	case errors.As(err, &many):
		for _, e := range many.Errors {
			d.add(nil, code, suggestion, e)
		}
		return
	case errors.As(err, &one):
		p.Line, p.Column, p.Message = one.Mark.Line, one.Mark.Column, one.Message
	}
	d.problems = append(d.problems, p)
}

// unknownKeys reports each key of a mapping that type t has no field for.
func (d *document) unknownKeys(n *yaml.Node, t reflect.Type, path string) {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	switch {
	case n.Kind == yaml.SequenceNode && t.Kind() == reflect.Slice:
		for _, e := range n.Content {
			d.unknownKeys(e, t.Elem(), path)
		}
	case n.Kind == yaml.MappingNode && t.Kind() == reflect.Map:
		for i := 1; i < len(n.Content); i += 2 {
			d.unknownKeys(n.Content[i], t.Elem(), join(path, "*"))
		}
	case n.Kind == yaml.MappingNode && t.Kind() == reflect.Struct:
		fields := map[string]reflect.Type{}
		var names []string
		for f := range t.Fields() {
			if name := f.Tag.Get("yaml"); name != "" {
				fields[name] = f.Type
				names = append(names, name)
			}
		}
		for i := 0; i+1 < len(n.Content); i += 2 {
			key := n.Content[i]
			ft, ok := fields[key.Value]
			if ok {
				d.unknownKeys(n.Content[i+1], ft, join(path, key.Value))
				continue
			}
			suggestion := "the keys here are " + strings.Join(names, ", ")
			if near := ocsf.Nearest(key.Value, names); near != "" {
				suggestion = fmt.Sprintf("did you mean %q?", near)
			}
			if later[join(path, key.Value)] {
				suggestion = "this version does not have it yet: leave it out"
			}
			d.add(key, "unknown-key", suggestion, fmt.Errorf("unknown key %q", join(path, key.Value)))
		}
	}
}

// at returns the node under a path of keys, or the deepest one there is.
func (d *document) at(path ...any) *yaml.Node {
	n := d.root
	for _, step := range path {
		next := child(n, step)
		if next == nil {
			break
		}
		n = next
	}
	return n
}

func child(n *yaml.Node, step any) *yaml.Node {
	if n == nil {
		return nil
	}
	switch s := step.(type) {
	case int:
		if n.Kind == yaml.SequenceNode && s < len(n.Content) {
			return n.Content[s]
		}
	case string:
		for i := 0; n.Kind == yaml.MappingNode && i+1 < len(n.Content); i += 2 {
			if n.Content[i].Value == s {
				return n.Content[i+1]
			}
		}
	}
	return nil
}

func join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}
