// Command gen writes the facts file of an OCSF version from its compiled
// schema: the JSON that an OCSF server exports, with extensions compiled in.
package main

import (
	"cmp"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"

	"nagare/ocsf/facts"
)

func main() {
	schema := flag.String("schema", "", "the compiled schema to read")
	out := flag.String("out", "", "the facts file to write")
	flag.Parse()
	if *schema == "" || *out == "" {
		flag.Usage()
		os.Exit(2)
	}
	if err := run(*schema, *out); err != nil {
		fmt.Fprintln(os.Stderr, "gen:", err)
		os.Exit(1)
	}
}

func run(schema, out string) error {
	text, err := os.ReadFile(schema)
	if err != nil {
		return err
	}
	f, err := Facts(text)
	if err != nil {
		return fmt.Errorf("%s: %w", schema, err)
	}
	data, err := f.Marshal()
	if err != nil {
		return err
	}
	return os.WriteFile(out, data, 0o644)
}

// A compiled schema, as far as it is read.
type (
	schemaFile struct {
		Version    string                 `json:"version"`
		Classes    map[string]schemaClass `json:"classes"`
		Objects    map[string]schemaClass `json:"objects"`
		Profiles   map[string]schemaItem  `json:"profiles"`
		Categories struct {
			Attributes map[string]struct {
				Caption string `json:"caption"`
				UID     int    `json:"uid"`
			} `json:"attributes"`
		} `json:"categories"`
		Dictionary struct {
			Types struct {
				Attributes map[string]schemaType `json:"attributes"`
			} `json:"types"`
		} `json:"dictionary"`
	}
	schemaClass struct {
		Caption      string                `json:"caption"`
		UID          int                   `json:"uid"`
		CategoryUID  int                   `json:"category_uid"`
		CategoryName string                `json:"category_name"`
		Profiles     []string              `json:"profiles"`
		Constraints  map[string][]string   `json:"constraints"`
		Observable   int                   `json:"observable"`
		Attributes   map[string]schemaAttr `json:"attributes"`
		Deprecated   json.RawMessage       `json:"@deprecated"`
	}
	schemaAttr struct {
		Type        string                `json:"type"`
		ObjectType  string                `json:"object_type"`
		IsArray     bool                  `json:"is_array"`
		Requirement string                `json:"requirement"`
		Profiles    []string              `json:"profiles"`
		Enum        map[string]schemaItem `json:"enum"`
		Sibling     string                `json:"sibling"`
		Observable  int                   `json:"observable"`
		Deprecated  json.RawMessage       `json:"@deprecated"`
	}
	schemaItem struct {
		Caption string `json:"caption"`
	}
	schemaType struct {
		Type       string  `json:"type"`
		Regex      string  `json:"regex"`
		MaxLen     int     `json:"max_len"`
		Range      []int64 `json:"range"`
		Observable int     `json:"observable"`
	}
)

// Facts reads a compiled schema.
func Facts(text []byte) (*facts.File, error) {
	var s schemaFile
	if err := json.Unmarshal(text, &s); err != nil {
		return nil, err
	}
	f := &facts.File{Version: s.Version, Types: map[string]facts.Type{}, Objects: map[string]facts.Object{}, Classes: map[string]facts.Class{},
		Profiles: map[string]string{}, Categories: map[int]string{}}
	for name, p := range s.Profiles {
		f.Profiles[name] = p.Caption
	}
	for _, c := range s.Categories.Attributes {
		f.Categories[c.UID] = c.Caption
	}
	for name, t := range s.Dictionary.Types.Attributes {
		ft := facts.Type{Base: baseOf(name, t.Type), Regex: t.Regex, MaxLen: t.MaxLen, Observable: t.Observable}
		if len(t.Range) == 2 {
			ft.Range = &[2]int64{t.Range[0], t.Range[1]}
		}
		f.Types[name] = ft
	}
	enums := map[string]int{}
	for _, name := range sorted(s.Objects) {
		f.Objects[name] = object(f, enums, s.Objects[name])
	}
	for _, name := range sorted(s.Classes) {
		c := s.Classes[name]
		f.Classes[name] = facts.Class{Object: object(f, enums, c), UID: c.UID, CategoryUID: c.CategoryUID,
			CategoryName: categoryName(c), Profiles: c.Profiles}
	}
	if len(f.Classes) == 0 || len(f.Types) == 0 {
		return nil, fmt.Errorf("no classes or no types: not a compiled schema")
	}
	return f, nil
}

// categoryName is the caption of a class's category. The one of the base event
// stands only in the enumeration of its category_uid.
func categoryName(c schemaClass) string {
	if c.CategoryName != "" {
		return c.CategoryName
	}
	return c.Attributes["category_uid"].Enum[strconv.Itoa(c.CategoryUID)].Caption
}

// baseOf is the type whose storage a type has: times keep their own.
func baseOf(name, parent string) string {
	if parent == "" || name == "timestamp_t" || name == "datetime_t" {
		return name
	}
	return parent
}

func object(f *facts.File, enums map[string]int, c schemaClass) facts.Object {
	o := facts.Object{Caption: c.Caption, Attrs: map[string]facts.Attr{}, Observable: c.Observable,
		AtLeastOne: c.Constraints["at_least_one"], JustOne: c.Constraints["just_one"], Deprecated: len(c.Deprecated) > 0}
	for _, name := range sorted(c.Attributes) {
		a := c.Attributes[name]
		fa := facts.Attr{Array: a.IsArray, Profiles: a.Profiles, Sibling: a.Sibling, Observable: a.Observable, Deprecated: len(a.Deprecated) > 0}
		if a.Type == "object_t" {
			fa.Object = a.ObjectType
		} else {
			fa.Type = a.Type
		}
		switch a.Requirement {
		case "required":
			fa.Requirement = "r"
		case "recommended":
			fa.Requirement = "c"
		}
		// class_uid, category_uid and type_uid follow by arithmetic.
		if len(a.Enum) > 0 && name != "class_uid" && name != "category_uid" && name != "type_uid" {
			fa.Enum = enumOf(f, enums, a.Enum)
		}
		o.Attrs[name] = fa
	}
	return o
}

// enumOf returns the index plus one of an enumeration, adding it if new.
func enumOf(f *facts.File, enums map[string]int, e map[string]schemaItem) int {
	var items []facts.EnumItem
	for key, item := range e {
		items = append(items, facts.EnumItem{key, item.Caption})
	}
	slices.SortFunc(items, func(a, b facts.EnumItem) int {
		x, errX := strconv.ParseInt(a[0], 10, 64)
		y, errY := strconv.ParseInt(b[0], 10, 64)
		if errX == nil && errY == nil {
			return cmp.Compare(x, y)
		}
		return cmp.Compare(a[0], b[0])
	})
	var key strings.Builder
	for _, i := range items {
		fmt.Fprintf(&key, "%q %q,", i[0], i[1])
	}
	if i, ok := enums[key.String()]; ok {
		return i
	}
	f.Enums = append(f.Enums, items)
	enums[key.String()] = len(f.Enums)
	return len(f.Enums)
}

func sorted[V any](m map[string]V) []string {
	var keys []string
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
