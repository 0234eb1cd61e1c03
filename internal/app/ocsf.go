package app

import (
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"nagare/ocsf"
)

// What ocsf schema shows of a class.
const (
	ShowAttributes = "attributes"
	ShowJSONSchema = "json-schema"
	ShowColumns    = "columns"
	ShowDDL        = "ddl"
)

// SchemaOptions are the flags of ocsf schema.
type SchemaOptions struct {
	// Class is a name or a class_uid; a path to an object may follow, as in
	// authentication.src_endpoint.
	Class   string
	Version string
	// Show is one of the constants above.
	Show   string
	Format string
	Place  ocsf.Place
}

// A schemaAttr is an attribute as ocsf schema shows it.
type schemaAttr struct {
	Name        string   `json:"name"`
	Type        string   `json:"type"`
	Array       bool     `json:"array"`
	Requirement string   `json:"requirement"`
	Constraint  string   `json:"constraint,omitempty"`
	Profiles    []string `json:"profiles,omitempty"`
	// Values are ids, or words, with their captions.
	Values     []schemaValue `json:"values,omitempty"`
	Sibling    string        `json:"sibling,omitempty"`
	Deprecated bool          `json:"deprecated,omitempty"`
	// Column says whether the lake has a column for it.
	Column bool `json:"column"`
}

type schemaValue struct {
	Value   any    `json:"value"`
	Caption string `json:"caption"`
}

type schemaColumn struct {
	Column string `json:"column"`
	SQL    string `json:"sql"`
	Athena string `json:"athena"`
}

// OCSFSchema shows what is known of a class.
func OCSFSchema(s SchemaOptions, out io.Writer) error {
	if s.Version == "" {
		s.Version = ocsf.Version
	}
	if !slices.Contains(ocsf.Versions, s.Version) {
		return usagef("OCSF %q is not built in; there are %s", s.Version, strings.Join(ocsf.Versions, " and "))
	}
	schema, err := ocsf.Load(s.Version)
	if err != nil {
		return err
	}
	name, path, _ := strings.Cut(s.Class, ".")
	class, err := classNamed(schema, name)
	if err != nil {
		return laterClass(s.Version, name, err)
	}
	object := &class.Object
	columns := schema.Columns(class)
	if path != "" {
		if s.Show == ShowJSONSchema || s.Show == ShowDDL {
			return usagef("--%s is of a whole class: %s", s.Show, name)
		}
		if object, columns, err = below(object, columns, path); err != nil {
			return err
		}
	}
	switch s.Show {
	case ShowJSONSchema:
		_, err = out.Write(schema.JSONSchema(class))
	case ShowDDL:
		if s.Place.Location == "" {
			s.Place.Location = fmt.Sprintf("s3://BUCKET/ext/nagare_%d/", class.UID)
		}
		_, err = io.WriteString(out, schema.DDL(class, s.Place))
	case ShowColumns:
		l := listing{columns: []string{"column", "sql", "athena"}}
		listColumns(&l, columns, "")
		err = l.print(out, s.Format)
	default:
		if s.Format == "table" && path == "" {
			fmt.Fprintf(out, "%s (%d), category %s (%d), OCSF %s\nprofiles: %s\n\n",
				class.Caption, class.UID, class.CategoryName, class.CategoryUID, s.Version, strings.Join(class.Profiles, ", "))
		}
		err = attributes(object, columns, s.Format, out)
	}
	return err
}

// classNamed finds a class by name or uid.
func classNamed(schema *ocsf.Schema, name string) (*ocsf.Class, error) {
	if c, ok := schema.Class(name); ok {
		return c, nil
	}
	if uid, err := strconv.Atoi(name); err == nil {
		if c, ok := schema.ClassByUID(uid); ok {
			return c, nil
		}
		near := schema.Classes[0]
		for _, c := range schema.Classes {
			if abs(c.UID-uid) < abs(near.UID-uid) {
				near = c
			}
		}
		return nil, usagef("OCSF %s has no class %d; did you mean %d (%s)?", schema.Version, uid, near.UID, near.Name)
	}
	var names []string
	for _, c := range schema.Classes {
		if strings.EqualFold(c.Caption, name) || strings.EqualFold(c.Name, name) {
			return c, nil
		}
		names = append(names, c.Name)
	}
	if near := ocsf.NearestName(strings.ToLower(name), names); near != "" {
		return nil, usagef("OCSF %s has no class %q; did you mean %q?", schema.Version, name, near)
	}
	return nil, usagef("OCSF %s has no class %q; there are %s", schema.Version, name, strings.Join(names, ", "))
}

// laterClass says it if a class came with a later version.
func laterClass(version, name string, err error) error {
	for _, v := range ocsf.Versions {
		if v == version {
			break
		}
		if schema, e := ocsf.Load(v); e == nil {
			if _, e := classNamed(schema, name); e == nil {
				return usagef("OCSF %s has no class %s, %s has", version, name, v)
			}
		}
	}
	return err
}

func abs(n int) int { return max(n, -n) }

// below follows a path to an object.
func below(o *ocsf.Object, columns []*ocsf.Column, path string) (*ocsf.Object, []*ocsf.Column, error) {
	for name := range strings.SplitSeq(path, ".") {
		a, ok := o.Attr(name)
		if !ok {
			var names []string
			for _, a := range o.Attrs {
				names = append(names, a.Name)
			}
			if near := ocsf.NearestName(name, names); near != "" {
				return nil, nil, usagef("%s has no attribute %q; did you mean %q?", o.Name, name, near)
			}
			return nil, nil, usagef("%s has no attribute %q", o.Name, name)
		}
		if a.Object == nil {
			return nil, nil, usagef("%s.%s is a value, it has no attributes", o.Name, name)
		}
		o = a.Object
		var inner []*ocsf.Column
		for _, c := range columns {
			if c.Name == name {
				inner = members(c)
			}
		}
		columns = inner
	}
	return o, columns, nil
}

// members are the columns inside a group, or in the elements of a list.
func members(c *ocsf.Column) []*ocsf.Column {
	if c.Type == ocsf.ColList {
		c = c.Fields[0]
	}
	return c.Fields
}

func attributes(o *ocsf.Object, columns []*ocsf.Column, format string, out io.Writer) error {
	has := map[string]bool{}
	for _, c := range columns {
		has[c.Name] = true
	}
	constraint := map[string]string{}
	for kind, groups := range map[string][][]string{"at_least_one": o.AtLeastOne, "just_one": o.JustOne} {
		for _, names := range groups {
			for _, n := range names {
				constraint[n] = kind
			}
		}
	}
	l := listing{columns: []string{"attribute", "type", "requirement", "profile", "column", "values"}}
	for _, a := range o.Attrs {
		row := schemaAttr{Name: a.Name, Array: a.Array, Profiles: a.Profiles, Sibling: a.Sibling, Deprecated: a.Deprecated,
			Constraint: constraint[a.Name], Column: has[a.Name],
			Requirement: [...]string{ocsf.Optional: "optional", ocsf.Recommended: "recommended", ocsf.Required: "required"}[a.Requirement]}
		switch {
		case a.Type != nil:
			row.Type = a.Type.Name
		case a.Object != nil:
			row.Type = a.Object.Name
		default:
			row.Type = "object"
		}
		var captions []string
		if a.Enum != nil {
			for _, item := range a.Enum.Items {
				value := any(item.ID)
				if a.Base == ocsf.BaseString {
					value = item.Key
				}
				row.Values = append(row.Values, schemaValue{value, item.Caption})
				captions = append(captions, item.Key+" "+item.Caption)
			}
		}
		typ, requirement, column := row.Type, row.Requirement, "no"
		if a.Array {
			typ += "[]"
		}
		if row.Constraint != "" {
			requirement += ", " + strings.ReplaceAll(row.Constraint, "_", " ")
		}
		if a.Deprecated {
			requirement += ", deprecated"
		}
		if row.Column {
			column = "yes"
		}
		l.add(row, a.Name, typ, requirement, strings.Join(a.Profiles, " "), column, strings.Join(captions, ", "))
	}
	return l.print(out, format)
}

// listColumns lists the leaves: [] stands for the elements of a list.
func listColumns(l *listing, columns []*ocsf.Column, prefix string) {
	for _, c := range columns {
		name := prefix + c.Name
		switch {
		case c.Type == ocsf.ColGroup:
			listColumns(l, c.Fields, name+".")
		case c.Type == ocsf.ColList && c.Fields[0].Type == ocsf.ColGroup:
			listColumns(l, c.Fields[0].Fields, name+"[].")
		default:
			l.add(schemaColumn{name, c.SQLType(), c.HiveType()}, name, c.SQLType(), c.HiveType())
		}
	}
}
