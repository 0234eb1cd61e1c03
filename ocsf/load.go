package ocsf

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"nagare/ocsf/facts"
)

// Version is the schema that mappings and rules are written for.
const Version = "1.3.0"

// Versions are the schemas that are built in, the newest first.
var Versions = []string{Version, "1.1.0"}

// Load returns what is built in about a version of OCSF, as "1.3.0".
func Load(version string) (*Schema, error) {
	f, err := facts.Read(version)
	if err != nil {
		return nil, err
	}
	l := loader{file: f, schema: &Schema{
		Version: f.Version, Objects: map[string]*Object{}, Types: map[string]*Type{},
		Profiles: f.Profiles, byName: map[string]*Class{}, byUID: map[int]*Class{},
	}}
	if err := l.load(); err != nil {
		return nil, fmt.Errorf("facts of OCSF %s: %w", version, err)
	}
	return l.schema, nil
}

type loader struct {
	file   *facts.File
	schema *Schema
	enums  []*Enum
}

func (l *loader) load() error {
	s := l.schema
	for name, t := range l.file.Types {
		base, ok := bases[t.Base]
		if !ok {
			return fmt.Errorf("type %s has the unknown base %s", name, t.Base)
		}
		st := &Type{Name: name, Base: base, Regex: t.Regex, MaxLen: t.MaxLen, Observable: t.Observable}
		if t.Range != nil {
			st.HasRange, st.Min, st.Max = true, t.Range[0], t.Range[1]
		}
		s.Types[name] = st
	}
	for _, items := range l.file.Enums {
		l.enums = append(l.enums, newEnum(items))
	}
	// Objects refer to each other, so all are there before any is filled.
	for name, o := range l.file.Objects {
		s.Objects[name] = &Object{Name: name, Caption: o.Caption, Observable: o.Observable, Deprecated: o.Deprecated}
	}
	for name, o := range l.file.Objects {
		if err := l.fill(s.Objects[name], o); err != nil {
			return err
		}
	}
	for name, c := range l.file.Classes {
		class := &Class{UID: c.UID, CategoryUID: c.CategoryUID, CategoryName: c.CategoryName, Version: s.Version, Profiles: c.Profiles}
		class.Name, class.Caption, class.Deprecated = name, c.Caption, c.Deprecated
		if err := l.fill(&class.Object, c.Object); err != nil {
			return err
		}
		s.Classes = append(s.Classes, class)
		s.byName[name], s.byUID[c.UID] = class, class
	}
	slices.SortFunc(s.Classes, func(a, b *Class) int { return a.UID - b.UID })
	return nil
}

var bases = map[string]Base{
	"string_t": BaseString, "boolean_t": BaseBool, "integer_t": BaseInt, "long_t": BaseLong, "float_t": BaseFloat,
	"timestamp_t": BaseTimestamp, "datetime_t": BaseDatetime, "json_t": BaseJSON,
}

func (l *loader) fill(o *Object, f facts.Object) error {
	o.byName = make(map[string]*Attr, len(f.Attrs))
	for name, fa := range f.Attrs {
		a := &Attr{Name: name, Array: fa.Array, Profiles: fa.Profiles, Sibling: fa.Sibling, Observable: fa.Observable, Deprecated: fa.Deprecated}
		switch fa.Requirement {
		case "r":
			a.Requirement = Required
		case "c":
			a.Requirement = Recommended
		}
		if fa.Enum > 0 {
			a.Enum = l.enums[fa.Enum-1]
		}
		if fa.Object != "" {
			ref, ok := l.schema.Objects[fa.Object]
			if !ok {
				return fmt.Errorf("%s.%s is of the unknown object %s", o.Name, name, fa.Object)
			}
			// An object without attributes of its own (unmapped, xattributes)
			// holds anything.
			a.Base, a.Object = BaseObject, ref
			if len(l.file.Objects[fa.Object].Attrs) == 0 {
				a.Base, a.Object = BaseJSON, nil
			}
		} else {
			t, ok := l.schema.Types[fa.Type]
			if !ok {
				return fmt.Errorf("%s.%s is of the unknown type %s", o.Name, name, fa.Type)
			}
			a.Base, a.Type = t.Base, t
			if a.Observable == 0 {
				a.Observable = t.Observable
			}
		}
		o.Attrs = append(o.Attrs, a)
		o.byName[name] = a
	}
	slices.SortFunc(o.Attrs, func(a, b *Attr) int { return strings.Compare(a.Name, b.Name) })
	if len(f.AtLeastOne) > 0 {
		o.AtLeastOne = append(o.AtLeastOne, f.AtLeastOne)
	}
	if len(f.JustOne) > 0 {
		o.JustOne = append(o.JustOne, f.JustOne)
	}
	return nil
}

func newEnum(items []facts.EnumItem) *Enum {
	e := &Enum{byID: map[int64]int{}, byKey: map[string]int{}, byText: map[string]int{}}
	for i, item := range items {
		ei := EnumItem{ID: -1, Key: item[0], Caption: item[1]}
		if id, err := strconv.ParseInt(item[0], 10, 64); err == nil {
			ei.ID = id
			e.byID[id] = i
		}
		e.byKey[item[0]] = i
		e.Items = append(e.Items, ei)
		for _, text := range []string{item[0], item[1], strings.ToLower(item[1]), strings.ToUpper(item[1])} {
			if _, ok := e.byText[text]; !ok {
				e.byText[text] = i
			}
		}
	}
	return e
}

// ByCaption returns the item with this caption; upper and lower case are the
// same. Captions are unique within an Enum but for their case.
func (e *Enum) ByCaption(caption string) (EnumItem, bool) {
	for _, i := range e.Items {
		if strings.EqualFold(i.Caption, caption) {
			return i, true
		}
	}
	return EnumItem{}, false
}

// Find returns the item with this key or caption; upper and lower case are the
// same in a caption.
func (e *Enum) Find(text string) (EnumItem, bool) {
	if i, ok := e.byText[text]; ok {
		return e.Items[i], true
	}
	return e.ByCaption(text)
}

// ByKey returns the item with this key: a number in decimal, or a word.
func (e *Enum) ByKey(key string) (EnumItem, bool) {
	i, ok := e.byKey[key]
	if !ok {
		return EnumItem{}, false
	}
	return e.Items[i], true
}

// Captions returns all captions, in the order of their ids.
func (e *Enum) Captions() []string {
	out := make([]string, len(e.Items))
	for i, item := range e.Items {
		out[i] = item.Caption
	}
	return out
}

// ConstantName is a caption as rules write it: upper case, each run of other
// characters one underscore, none at the ends.
func ConstantName(caption string) string {
	var b strings.Builder
	gap := false
	for _, r := range strings.ToUpper(caption) {
		if (r >= 'A' && r <= 'Z') || (r >= '0' && r <= '9') {
			if gap && b.Len() > 0 {
				b.WriteByte('_')
			}
			gap = false
			b.WriteRune(r)
			continue
		}
		gap = true
	}
	return b.String()
}
