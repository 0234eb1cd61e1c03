package expr

import (
	"fmt"
	"slices"
	"strings"

	"github.com/google/cel-go/common/types"
	"github.com/google/cel-go/common/types/ref"

	"nagare/ocsf"
)

// A record is the CEL type of an event, of meta, or of an OCSF object: its
// attributes, each with its place.
type record struct {
	name  string
	title string // as errors name it
	attrs []*ocsf.Attr
	index map[string]int
	// below are the records of attributes that are objects, or lists of them.
	below []*record
	// none is a value without anything in it.
	none *object
}

func newRecord(name, title string, attrs []*ocsf.Attr) *record {
	r := &record{name: name, title: title, attrs: attrs, index: make(map[string]int, len(attrs)), below: make([]*record, len(attrs))}
	for i, a := range attrs {
		r.index[a.Name] = i
	}
	r.none = &object{record: r}
	return r
}

func (r *record) attr(name string) *ocsf.Attr {
	if i, ok := r.index[name]; ok {
		return r.attrs[i]
	}
	return nil
}

func (r *record) names() []string {
	out := make([]string, len(r.attrs))
	for i, a := range r.attrs {
		out[i] = a.Name
	}
	return out
}

// The names of types in the environment.
const (
	eventType   = "ocsf.event"
	metaType    = "nagare.meta"
	objectTypes = "ocsf.object."
)

// A provider tells CEL the types of events and objects. It is built once and
// then only read.
type provider struct {
	*types.Registry
	records map[string]*record
}

func newProvider(root *record, schema *ocsf.Schema) (*provider, error) {
	reg, err := types.NewRegistry()
	if err != nil {
		return nil, err
	}
	p := &provider{Registry: reg, records: make(map[string]*record, len(schema.Objects)+2)}
	for name, o := range schema.Objects {
		p.records[objectTypes+name] = newRecord(objectTypes+name, name, o.Attrs)
	}
	p.records[eventType], p.records[metaType] = root, newRecord(metaType, "meta", metaAttrs)
	for _, r := range p.records {
		for i, a := range r.attrs {
			if a.Base == ocsf.BaseObject {
				r.below[i] = p.record(a.Object)
			}
		}
	}
	return p, nil
}

// metaAttrs are the fields of meta.
var metaAttrs = []*ocsf.Attr{
	{Name: "source", Base: ocsf.BaseString, Requirement: ocsf.Required},
	{Name: "uid", Base: ocsf.BaseString, Requirement: ocsf.Required},
	{Name: "received", Base: ocsf.BaseDatetime, Requirement: ocsf.Required},
	{Name: "auth", Base: ocsf.BaseString, Requirement: ocsf.Required},
	{Name: "tenant", Base: ocsf.BaseString},
}

// record returns the record of an object.
func (p *provider) record(o *ocsf.Object) *record { return p.records[objectTypes+o.Name] }

// FindStructType implements types.Provider.
func (p *provider) FindStructType(name string) (*types.Type, bool) {
	if _, ok := p.records[name]; ok {
		return types.NewTypeTypeWithParam(types.NewObjectType(name)), true
	}
	return p.Registry.FindStructType(name)
}

// FindStructFieldNames implements types.Provider.
func (p *provider) FindStructFieldNames(name string) ([]string, bool) {
	if r, ok := p.records[name]; ok {
		return r.names(), true
	}
	return p.Registry.FindStructFieldNames(name)
}

// FindStructFieldType implements types.Provider.
func (p *provider) FindStructFieldType(name, field string) (*types.FieldType, bool) {
	r, ok := p.records[name]
	if !ok {
		return p.Registry.FindStructFieldType(name, field)
	}
	i, ok := r.index[field]
	if !ok {
		return nil, false
	}
	return &types.FieldType{
		Type:    celType(r.attrs[i]),
		IsSet:   func(t any) bool { return t.(fielder).hasField(i) },
		GetFrom: func(t any) (any, error) { return t.(fielder).field(i), nil },
	}, true
}

// A fielder is a value with fields: an event or an object, of slots or of the
// absence check.
type fielder interface {
	hasField(i int) bool
	field(i int) ref.Val
}

// celType is the CEL type of an attribute.
func celType(a *ocsf.Attr) *types.Type {
	t := elementType(a)
	if a.Array {
		return types.NewListType(t)
	}
	return t
}

func elementType(a *ocsf.Attr) *types.Type {
	if isUnmapped(a) {
		return types.NewMapType(types.StringType, types.StringType)
	}
	switch a.Base {
	case ocsf.BaseBool:
		return types.BoolType
	case ocsf.BaseInt, ocsf.BaseLong, ocsf.BaseTimestamp:
		return types.IntType
	case ocsf.BaseFloat:
		return types.DoubleType
	case ocsf.BaseDatetime:
		return types.TimestampType
	case ocsf.BaseObject:
		return types.NewObjectType(objectTypes + a.Object.Name)
	}
	return types.StringType // text, and JSON as its text
}

func isUnmapped(a *ocsf.Attr) bool { return a.Name == "unmapped" && a.Base == ocsf.BaseJSON }

// zeroOf is the typed zero that an absent attribute reads as. Objects have
// none of their own: they read as an object without anything in it.
func zeroOf(a *ocsf.Attr) ref.Val {
	if a.Array {
		return emptyList
	}
	if isUnmapped(a) {
		return &unmappedMap{}
	}
	switch a.Base {
	case ocsf.BaseBool:
		return types.False
	case ocsf.BaseInt, ocsf.BaseLong, ocsf.BaseTimestamp:
		return types.IntZero
	case ocsf.BaseFloat:
		return types.Double(0)
	case ocsf.BaseDatetime:
		return types.Timestamp{}
	}
	return types.String("")
}

var emptyList = types.NewRefValList(types.DefaultTypeAdapter, nil)

// optional says whether an event may lack a. What a profile requires is
// optional: most events are not of the profile.
func optional(a *ocsf.Attr) bool { return a.Requirement != ocsf.Required || len(a.Profiles) > 0 }

// commonAttrs are the attributes that all classes have with the same type. An
// enum keeps the values that mean the same in all of them.
func commonAttrs(classes []*ocsf.Class) []*ocsf.Attr {
	var out []*ocsf.Attr
	for _, a := range classes[0].Attrs {
		for _, c := range classes[1:] {
			b, ok := c.Attr(a.Name)
			if !ok || !celType(a).IsExactType(celType(b)) {
				a = nil
				break
			}
			a = commonAttr(a, b)
		}
		if a != nil {
			out = append(out, a)
		}
	}
	return out
}

func commonAttr(a, b *ocsf.Attr) *ocsf.Attr {
	if a == b {
		return a
	}
	m := *a
	m.Requirement = min(a.Requirement, b.Requirement)
	if len(a.Profiles) == 0 {
		m.Profiles = b.Profiles
	}
	if m.Enum = nil; a.Enum != nil && b.Enum != nil {
		m.Enum = &ocsf.Enum{}
		for _, i := range a.Enum.Items {
			if slices.Contains(b.Enum.Items, i) {
				m.Enum.Items = append(m.Enum.Items, i)
			}
		}
	}
	return &m
}

// titleOf names the classes of an environment in errors.
func titleOf(classes []*ocsf.Class) string {
	if len(classes) == 1 {
		return classes[0].Name
	}
	if len(classes) > 6 {
		return "an event of any class"
	}
	names := make([]string, len(classes))
	for i, c := range classes {
		names[i] = c.Name
	}
	return fmt.Sprintf("what %s have in common", strings.Join(names, ", "))
}
