package expr

import (
	"fmt"
	"slices"
	"strings"

	"github.com/google/cel-go/cel"
	"github.com/google/cel-go/common/types"
	"github.com/google/cel-go/common/types/ref"

	"nagare/ocsf"
)

// A record is the CEL type of an event or of an OCSF object: its attributes,
// each with its place.
type record struct {
	name   string
	title  string // as errors name it
	attrs  []*ocsf.Attr
	index  map[string]int
	object *ocsf.Object // nil for the event itself and for meta
}

func newRecord(name, title string, attrs []*ocsf.Attr) *record {
	r := &record{name: name, title: title, attrs: attrs, index: make(map[string]int, len(attrs))}
	for i, a := range attrs {
		r.index[a.Name] = i
	}
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
// then only read, but for missed, which Compile uses.
type provider struct {
	*types.Registry
	records map[string]*record
	missed  []miss // fields that a check asked for and that are not there
}

// A miss is a field that a type does not have.
type miss struct{ record, field string }

func newProvider(root *record, schema *ocsf.Schema) (*provider, error) {
	reg, err := types.NewRegistry()
	if err != nil {
		return nil, err
	}
	p := &provider{Registry: reg, records: map[string]*record{eventType: root}}
	for name, o := range schema.Objects {
		r := newRecord(objectTypes+name, name, o.Attrs)
		r.object = o
		p.records[r.name] = r
	}
	p.records[metaType] = newRecord(metaType, "meta", metaAttrs)
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
		p.missed = append(p.missed, miss{name, field})
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
	if a.Name == "unmapped" && a.Base == ocsf.BaseJSON {
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

// zeroOf is the typed zero that an absent attribute reads as. Objects have
// none of their own: they read as an object without anything in it.
func zeroOf(a *ocsf.Attr) ref.Val {
	if a.Array {
		return types.NewDynamicList(types.DefaultTypeAdapter, []ref.Val{})
	}
	if a.Name == "unmapped" && a.Base == ocsf.BaseJSON {
		return types.NewStringStringMap(types.DefaultTypeAdapter, nil)
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

// commonAttrs are the attributes that all classes have, of the same type.
func commonAttrs(classes []*ocsf.Class) []*ocsf.Attr {
	var out []*ocsf.Attr
	for _, a := range classes[0].Attrs {
		same := func(c *ocsf.Class) bool {
			b, ok := c.Attr(a.Name)
			return ok && celType(a).IsExactType(celType(b))
		}
		if !slices.ContainsFunc(classes[1:], func(c *ocsf.Class) bool { return !same(c) }) {
			out = append(out, a)
		}
	}
	return out
}

// Library is what rules and mappings have besides CEL itself: text, lists,
// sets, mathematics, encodings, addresses, optional values.
func Library() []cel.EnvOption {
	return []cel.EnvOption{cel.OptionalTypes(), libStrings, libLists, libSets, libMath, libEncoders, libNetwork, libRegex, libBindings}
}

// titleOf names the classes of an environment in errors.
func titleOf(classes []*ocsf.Class) string {
	names := make([]string, len(classes))
	for i, c := range classes {
		names[i] = c.Name
	}
	if len(names) == 1 {
		return names[0]
	}
	return fmt.Sprintf("what %s have in common", strings.Join(names, ", "))
}
