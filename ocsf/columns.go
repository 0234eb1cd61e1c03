package ocsf

import (
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
)

// shapesFile says which attributes of an object deserve a column in the lake.
// It is reviewed by hand: a column costs work and footer bytes in every file,
// filled or not. Its keys are of two kinds:
//
//   - an object, as "device": the optional attributes it has besides the
//     required and recommended ones, and the deprecated ones that it keeps
//     because older tables have them;
//   - an attribute of an object, as "device.owner": the only attributes of the
//     object there, because not every user needs all a user can have.
//
//go:embed shapes/1.3.0.json
var shapesFile []byte

// A ColumnType is how a column is stored.
type ColumnType uint8

// The types of columns. JSON is kept as text, a Timestamp is a datetime (a
// timestamp_t stays an Int64 of milliseconds), a Map has text on both sides.
const (
	ColString ColumnType = iota
	ColBool
	ColInt32
	ColInt64
	ColDouble
	ColJSON
	ColTimestamp
	ColGroup
	ColList
	ColMap
)

// A Column is one column of a class's table, with what is inside it.
type Column struct {
	Name string
	// Path is the dotted path from the class; elements of a list repeat the
	// path of the list.
	Path string
	Type ColumnType
	// Fields are the members of a Group, or the one element of a List, which
	// is called element.
	Fields []*Column
	// Attr is the attribute; nil for an element.
	Attr *Attr
}

// Bounds of a table, from the depth that published events reach and the
// length of type text that catalogs take.
const maxColumnDepth = 4

// cut are attributes that never get a column: recursive ones, free-form
// system attributes, and those of profiles that no mapping uses.
var cut = map[string]bool{
	"data_classification": true, "osint": true, "xattributes": true, "related_analytics": true, "proxy_endpoint": true,
	"namespace_pid": true, "container": true, "raw_data_size": true, "lineage": true, "load_balancer": true,
}

// newest is what older schemas take their tables from.
var newest = sync.OnceValues(func() (*Schema, error) { return Load(Version) })

// Columns returns the table of a class: the same for every file of the class,
// ordered by name, with unmapped as a map.
//
// The table of an older schema is the one of Version without what the older
// schema lacks, in the same order, with the older schema's types. So what a
// downgraded event still has keeps its column, whatever the older schema
// recommended.
func (s *Schema) Columns(c *Class) []*Column {
	if s.Version != Version {
		n, err := newest()
		if err != nil {
			panic("ocsf: " + err.Error()) // built in, and tested
		}
		if d, ok := n.Class(c.Name); ok {
			return olderColumns(n.Columns(d), &c.Object)
		}
	}
	b := columnBuilder{shapes: map[string]map[string]bool{}}
	var shapes map[string][]string
	if err := json.Unmarshal(shapesFile, &shapes); err != nil {
		panic("ocsf: shapes: " + err.Error()) // built in, and tested
	}
	for key, names := range shapes {
		b.shapes[key] = map[string]bool{}
		for _, n := range names {
			b.shapes[key][n] = true
		}
	}
	return b.fields(&c.Object, "", 1, nil, "")
}

// olderColumns are those of columns that an object of an older schema has.
func olderColumns(columns []*Column, o *Object) []*Column {
	var out []*Column
	for _, c := range columns {
		a, ok := o.Attr(c.Name)
		if !ok || a.Array != c.Attr.Array || (a.Base == BaseObject) != (c.Attr.Base == BaseObject) {
			continue
		}
		col := *c
		col.Attr = a
		inner := &col
		if a.Array {
			elem := *c.Fields[0]
			col.Fields, inner = []*Column{&elem}, &elem
		}
		switch {
		case a.Base == BaseObject:
			if inner.Fields = olderColumns(inner.Fields, a.Object); len(inner.Fields) == 0 {
				continue
			}
		case col.Type != ColMap:
			inner.Type = columnTypes[a.Base]
		}
		out = append(out, &col)
	}
	return out
}

type columnBuilder struct {
	shapes map[string]map[string]bool // the shapes file
}

// fields returns the columns of an object. place is the attribute it is in,
// with the object around it, as "device.owner"; "" for the class.
func (b *columnBuilder) fields(o *Object, prefix string, depth int, chain []string, place string) []*Column {
	class := place == ""
	var out []*Column
	for _, a := range o.Attrs {
		switch {
		case cut[a.Name] || a.Deprecated && !b.shapes[o.Name][a.Name]:
			continue
		case class && a.Name == "unmapped":
			out = append(out, &Column{Name: a.Name, Path: a.Name, Type: ColMap, Attr: a})
			continue
		case !class && strings.HasSuffix(a.Name, "_dt"):
			continue // datetime twins only at the event's own level
		case !class && !b.wanted(o, a, place):
			continue
		}
		if col := b.column(o, a, prefix+a.Name, depth, chain); col != nil {
			out = append(out, col)
		}
	}
	return out
}

// wanted says whether an attribute of an object has a column at a place. The
// caption of an id goes with it.
func (b *columnBuilder) wanted(o *Object, a *Attr, place string) bool {
	has := func(a *Attr) bool {
		if only, ok := b.shapes[place]; ok {
			return only[a.Name]
		}
		return a.Requirement != Optional || b.shapes[o.Name][a.Name]
	}
	return has(a) || slices.ContainsFunc(o.Attrs, func(id *Attr) bool { return id.Sibling == a.Name && has(id) })
}

func (b *columnBuilder) column(in *Object, a *Attr, path string, depth int, chain []string) *Column {
	col := &Column{Name: a.Name, Path: path, Attr: a}
	inner := *col
	if a.Base == BaseObject {
		// An object does not repeat on a path, but for a process, whose
		// parent is worth one level.
		times := 0
		for _, name := range chain {
			if name == a.Object.Name {
				times++
			}
		}
		if depth > maxColumnDepth || times > 1 || (times == 1 && a.Object.Name != "process") {
			return nil
		}
		inner.Type = ColGroup
		inner.Fields = b.fields(a.Object, path+".", depth+1, append(slices.Clip(chain), a.Object.Name), in.Name+"."+a.Name)
		if len(inner.Fields) == 0 {
			return nil
		}
	} else {
		inner.Type = columnTypes[a.Base]
	}
	if !a.Array {
		return &inner
	}
	inner.Name, inner.Attr = "element", nil
	col.Type, col.Fields = ColList, []*Column{&inner}
	return col
}

var columnTypes = map[Base]ColumnType{
	BaseString: ColString, BaseBool: ColBool, BaseInt: ColInt32, BaseLong: ColInt64, BaseFloat: ColDouble,
	BaseTimestamp: ColInt64, BaseDatetime: ColTimestamp, BaseJSON: ColJSON,
}

// SQLType is the column's type as DuckDB writes it.
func (c *Column) SQLType() string {
	switch c.Type {
	case ColBool:
		return "BOOLEAN"
	case ColInt32:
		return "INTEGER"
	case ColInt64:
		return "BIGINT"
	case ColDouble:
		return "DOUBLE"
	case ColTimestamp:
		return "TIMESTAMP WITH TIME ZONE"
	case ColMap:
		return "MAP(VARCHAR, VARCHAR)"
	case ColList:
		return c.Fields[0].SQLType() + "[]"
	case ColGroup:
		parts := make([]string, len(c.Fields))
		for i, f := range c.Fields {
			parts[i] = fmt.Sprintf("%q %s", f.Name, f.SQLType())
		}
		return "STRUCT(" + strings.Join(parts, ", ") + ")"
	}
	return "VARCHAR"
}

// ColumnsHash names a table's shape: equal tables have equal hashes.
func ColumnsHash(columns []*Column) string {
	h := sha256.New()
	for _, c := range columns {
		fmt.Fprintf(h, "%q %s\n", c.Name, c.SQLType())
	}
	return hex.EncodeToString(h.Sum(nil)[:8])
}
