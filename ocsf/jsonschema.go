package ocsf

import (
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
)

// A dict is a JSON object; encoding/json orders its members by name.
type dict = map[string]any

// JSONSchema is what the schema says of a class as a JSON Schema (draft
// 2020-12), for validators that do not know OCSF: types, patterns, enumerations,
// what is required, constraints, and that nothing else may be there.
//
// What a profile requires, and that its attributes stand only in events that
// list it, holds for the attributes of the class. Below it the attributes of
// profiles are optional, for a JSON Schema cannot look up to the event's list.
// As in Validate, the just_one of auth_factor is waived, and times that look
// like seconds are refused. Captions beside ids are not compared.
func (s *Schema) JSONSchema(c *Class) []byte {
	b := jsonSchema{defs: dict{}}
	root := b.object(&c.Object, true)
	props := root["properties"].(dict)
	props["class_uid"] = dict{"const": c.UID}
	props["category_uid"] = dict{"const": c.CategoryUID}
	props["class_name"] = dict{"const": c.Caption}
	props["category_name"] = dict{"const": c.CategoryName}
	if a, ok := c.Attr("activity_id"); ok && a.Enum != nil {
		// Activity and type go together.
		var types, pairs []any
		for _, item := range a.Enum.Items {
			uid := int64(c.UID)*100 + item.ID
			types = append(types, uid)
			pairs = append(pairs, dict{"if": dict{"properties": dict{"activity_id": dict{"const": item.ID}}, "required": []string{"activity_id"}},
				"then": dict{"properties": dict{"type_uid": dict{"const": uid}}}})
		}
		props["type_uid"] = dict{"enum": types}
		root["allOf"] = append(root["allOf"].([]any), pairs...)
	}
	root["allOf"] = append(root["allOf"].([]any), dict{"properties": dict{"metadata": dict{"properties": dict{"version": dict{"const": s.Version}}}}})
	root["allOf"] = append(root["allOf"].([]any), profileRules(c)...)
	root["$schema"] = "https://json-schema.org/draft/2020-12/schema"
	root["$id"] = fmt.Sprintf("https://schema.ocsf.io/%s/classes/%s", s.Version, c.Name)
	root["$defs"] = b.defs
	out, err := json.MarshalIndent(root, "", " ")
	if err != nil {
		panic("ocsf: " + err.Error()) // maps of texts and numbers
	}
	return append(out, '\n')
}

type jsonSchema struct{ defs dict }

// object is the schema of an object. In the class itself what belongs to a
// profile is left to profileRules.
func (b *jsonSchema) object(o *Object, class bool) dict {
	props := dict{}
	required := []string{}
	for _, a := range o.Attrs {
		props[a.Name] = b.attr(a)
		if a.Requirement == Required && len(a.Profiles) == 0 {
			required = append(required, a.Name)
		}
	}
	out := dict{"type": "object", "title": o.Caption, "properties": props, "additionalProperties": false, "required": required}
	rules := []any{}
	add := func(kind string, groups [][]string) {
		for _, names := range groups {
			var any []any
			for _, n := range names {
				any = append(any, dict{"required": []string{n}})
			}
			rules = append(rules, dict{kind: any})
		}
	}
	add("anyOf", o.AtLeastOne)
	if o.Name != "auth_factor" {
		add("oneOf", o.JustOne)
	}
	if class || len(rules) > 0 {
		out["allOf"] = rules
	}
	if o.Deprecated {
		out["deprecated"] = true
	}
	return out
}

// profileRules say what the attributes of profiles depend on.
func profileRules(c *Class) []any {
	type rule struct {
		profiles []string
		required []string
		all      dict
	}
	rules := map[string]*rule{}
	for _, a := range c.Attrs {
		if len(a.Profiles) == 0 {
			continue
		}
		key := strings.Join(a.Profiles, ",")
		if rules[key] == nil {
			rules[key] = &rule{profiles: a.Profiles, required: []string{}, all: dict{}}
		}
		r := rules[key]
		r.all[a.Name] = false
		if a.Requirement == Required {
			r.required = append(r.required, a.Name)
		}
	}
	var out []any
	for _, key := range slices.Sorted(maps.Keys(rules)) {
		r := rules[key]
		out = append(out, dict{
			"if": dict{"required": []string{"metadata"}, "properties": dict{"metadata": dict{"required": []string{"profiles"},
				"properties": dict{"profiles": dict{"contains": dict{"enum": r.profiles}}}}}},
			"then": dict{"required": r.required},
			"else": dict{"properties": r.all},
		})
	}
	return out
}

func (b *jsonSchema) attr(a *Attr) any {
	one := b.value(a)
	if a.Array {
		one = dict{"type": "array", "items": one}
	}
	if d, ok := one.(dict); ok && a.Deprecated {
		d["deprecated"] = true
	}
	return one
}

func (b *jsonSchema) value(a *Attr) any {
	switch {
	case a.Base == BaseObject:
		name := a.Object.Name
		if _, ok := b.defs[name]; !ok {
			b.defs[name] = nil // it may contain itself
			b.defs[name] = b.object(a.Object, false)
		}
		return dict{"$ref": "#/$defs/" + strings.ReplaceAll(name, "/", "~1")}
	case a.Base == BaseJSON && a.Type == nil:
		return dict{"type": "object"} // unmapped, xattributes
	case a.Base == BaseJSON:
		return dict{}
	}
	t := dict{}
	switch a.Base {
	case BaseString:
		t["type"], t["maxLength"] = "string", maxText
		if a.Type.MaxLen > 0 {
			t["maxLength"] = a.Type.MaxLen
		}
		if a.Type.Regex != "" {
			t["pattern"] = a.Type.Regex
		}
	case BaseDatetime:
		t["type"], t["pattern"] = "string", a.Type.Regex
	case BaseBool:
		t["type"] = "boolean"
	case BaseFloat:
		t["type"] = "number"
	case BaseInt:
		t["type"], t["minimum"], t["maximum"] = "integer", math.MinInt32, math.MaxInt32
	case BaseLong:
		t["type"], t["minimum"], t["maximum"] = "integer", int64(math.MinInt64), int64(math.MaxInt64)
	case BaseTimestamp:
		t["type"], t["maximum"], t["not"] = "integer", int64(maxTime), dict{"minimum": 1, "maximum": int64(minTime - 1)}
	}
	if a.Type.HasRange {
		t["minimum"], t["maximum"] = a.Type.Min, a.Type.Max
	}
	if a.Enum != nil {
		b.enum(t, a)
	}
	return t
}

// enum lists the values; their captions are the description.
func (b *jsonSchema) enum(t dict, a *Attr) {
	var values []any
	var captions []string
	for _, item := range a.Enum.Items {
		if a.Base == BaseString {
			values = append(values, item.Key)
		} else {
			values = append(values, item.ID)
		}
		captions = append(captions, item.Key+" "+item.Caption)
	}
	for _, limit := range []string{"minimum", "maximum", "maxLength", "pattern"} {
		delete(t, limit)
	}
	t["enum"], t["description"] = values, strings.Join(captions, ", ")
}
