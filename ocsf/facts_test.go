package ocsf

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"slices"
	"strconv"
	"testing"
)

// loadVersion is load for any version.
func loadVersion(t testing.TB, version string) *Schema {
	t.Helper()
	s, err := Load(version)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// compiled is a compiled schema as plain JSON: the test reads it by another
// way than the generator does.
func compiled(t *testing.T, version string) map[string]any {
	t.Helper()
	text, err := os.ReadFile("../../shared/ocsf/schema-" + version + ".json")
	if err != nil {
		t.Skip("no compiled schema at hand")
	}
	var all map[string]any
	if err := json.Unmarshal(text, &all); err != nil {
		t.Fatal(err)
	}
	return all
}

// TestFactsAreWhole holds that every class, object, attribute, profile,
// enumeration, constraint and type of the compiled schemas is in the facts, as
// it is there, and that nothing else is.
func TestFactsAreWhole(t *testing.T) {
	for _, version := range Versions {
		t.Run(version, func(t *testing.T) {
			all := compiled(t, version)
			s := loadVersion(t, version)
			w := whole{t: t, schema: s}
			if all["version"] != s.Version {
				t.Errorf("version %v, want %s", s.Version, all["version"])
			}
			classes := object(all, "classes")
			for name, c := range classes {
				class, ok := s.Class(name)
				if !ok {
					t.Errorf("no class %s", name)
					continue
				}
				w.class(class, c.(map[string]any))
			}
			objects := object(all, "objects")
			for name, o := range objects {
				if s.Objects[name] == nil {
					t.Errorf("no object %s", name)
					continue
				}
				w.object(name, s.Objects[name], o.(map[string]any))
			}
			profiles := object(all, "profiles")
			for name, p := range profiles {
				if s.Profiles[name] != p.(map[string]any)["caption"] {
					t.Errorf("profile %s is %q", name, s.Profiles[name])
				}
			}
			types := object(all, "dictionary", "types", "attributes")
			for name, def := range types {
				w.typ(name, def.(map[string]any))
			}
			for what, n := range map[string][2]int{"classes": {len(s.Classes), len(classes)}, "objects": {len(s.Objects), len(objects)},
				"profiles": {len(s.Profiles), len(profiles)}, "types": {len(s.Types), len(types)}} {
				if n[0] != n[1] {
					t.Errorf("%d %s, the schema has %d", n[0], what, n[1])
				}
			}
			t.Logf("%d classes, %d objects, %d profiles, %d attributes, %d enum values, %d constraints, %d types",
				len(classes), len(objects), len(profiles), w.attrs, w.values, w.constraints, len(types))
		})
	}
}

type whole struct {
	t                          *testing.T
	schema                     *Schema
	attrs, values, constraints int
}

// object goes down nested objects.
func object(m map[string]any, path ...string) map[string]any {
	for _, p := range path {
		m, _ = m[p].(map[string]any)
	}
	return m
}

func list(v any) []string {
	var out []string
	items, _ := v.([]any)
	for _, i := range items {
		out = append(out, i.(string))
	}
	return out
}

func number64(v any) int64 { f, _ := v.(float64); return int64(f) }

func (w *whole) class(c *Class, def map[string]any) {
	category := def["category_name"]
	if category == nil {
		category = "Uncategorized"
	}
	if int64(c.UID) != number64(def["uid"]) || int64(c.CategoryUID) != number64(def["category_uid"]) || c.CategoryName != category {
		w.t.Errorf("%s: uid %d, category %d %s", c.Name, c.UID, c.CategoryUID, c.CategoryName)
	}
	if !slices.Equal(c.Profiles, list(def["profiles"])) {
		w.t.Errorf("%s: profiles %v", c.Name, c.Profiles)
	}
	// What is not in the facts follows by arithmetic.
	attrs := object(def, "attributes")
	if _, ok := object(attrs, "class_uid", "enum")[strconv.Itoa(c.UID)]; !ok {
		w.t.Errorf("%s: class_uid %d is not in its enumeration", c.Name, c.UID)
	}
	types, activities := object(attrs, "type_uid", "enum"), object(attrs, "activity_id", "enum")
	if len(types) != len(activities) {
		w.t.Errorf("%s: %d types and %d activities", c.Name, len(types), len(activities))
	}
	for id, a := range activities {
		n, _ := strconv.Atoi(id)
		caption, _ := object(types, strconv.Itoa(c.UID*100+n))["caption"].(string)
		if want := c.Caption + ": " + a.(map[string]any)["caption"].(string); caption != want {
			w.t.Errorf("%s: type of activity %s is %q, want %q", c.Name, id, caption, want)
		}
	}
	w.object(c.Name, &c.Object, def)
}

func (w *whole) object(name string, o *Object, def map[string]any) {
	_, deprecated := def["@deprecated"]
	if o.Name != name || o.Caption != def["caption"] || int64(o.Observable) != number64(def["observable"]) || o.Deprecated != deprecated {
		w.t.Errorf("%s: caption %q, observable %d, deprecated %t", name, o.Caption, o.Observable, o.Deprecated)
	}
	for kind, names := range object(def, "constraints") {
		w.constraints++
		have := o.AtLeastOne
		if kind == "just_one" {
			have = o.JustOne
		} else if kind != "at_least_one" {
			w.t.Errorf("%s: unknown constraint %s", name, kind)
		}
		if len(have) != 1 || !slices.Equal(have[0], list(names)) {
			w.t.Errorf("%s: %s is %v, want %v", name, kind, have, names)
		}
	}
	if n := len(o.AtLeastOne) + len(o.JustOne); n != len(object(def, "constraints")) {
		w.t.Errorf("%s: %d constraints", name, n)
	}
	attrs := object(def, "attributes")
	if len(o.Attrs) != len(attrs) {
		w.t.Errorf("%s: %d attributes, want %d", name, len(o.Attrs), len(attrs))
	}
	for attr, d := range attrs {
		a, ok := o.Attr(attr)
		if !ok {
			w.t.Errorf("%s: no attribute %s", name, attr)
			continue
		}
		w.attrs++
		w.attr(name, a, d.(map[string]any))
	}
}

func (w *whole) attr(in string, a *Attr, def map[string]any) {
	path := in + "." + a.Name
	typ := "object_t"
	if a.Type != nil {
		typ = a.Type.Name
	}
	if typ != def["type"] {
		w.t.Errorf("%s: type %s, want %v", path, typ, def["type"])
	}
	ref, _ := def["object_type"].(string)
	switch {
	case ref == "": // a value
	case len(w.schema.Objects[ref].Attrs) == 0:
		if a.Base != BaseJSON {
			w.t.Errorf("%s: object %s has no attributes, and is not JSON", path, ref)
		}
	case a.Object == nil || a.Object.Name != ref:
		w.t.Errorf("%s: is not object %s", path, ref)
	}
	requirement := []string{Optional: "optional", Recommended: "recommended", Required: "required"}[a.Requirement]
	array, _ := def["is_array"].(bool)
	sibling, _ := def["sibling"].(string)
	_, deprecated := def["@deprecated"]
	if requirement != def["requirement"] || array != a.Array || sibling != a.Sibling || deprecated != a.Deprecated {
		w.t.Errorf("%s: %s, array %t, sibling %q, deprecated %t; want %v", path, requirement, a.Array, a.Sibling, a.Deprecated, def)
	}
	if !slices.Equal(a.Profiles, list(def["profiles"])) {
		w.t.Errorf("%s: profiles %v, want %v", path, a.Profiles, def["profiles"])
	}
	if o := number64(def["observable"]); o != 0 && int64(a.Observable) != o {
		w.t.Errorf("%s: observable %d, want %d", path, a.Observable, o)
	}
	enum := object(def, "enum")
	if a.Name == "class_uid" || a.Name == "category_uid" || a.Name == "type_uid" || len(enum) == 0 {
		return
	}
	if a.Enum == nil || len(a.Enum.Items) != len(enum) {
		w.t.Errorf("%s: enumeration %v, want %v", path, a.Enum, slices.Sorted(maps.Keys(enum)))
		return
	}
	for key, item := range enum {
		w.values++
		got, ok := a.Enum.ByKey(key)
		if !ok || got.Caption != item.(map[string]any)["caption"] || got.ID >= 0 && fmt.Sprint(got.ID) != key {
			w.t.Errorf("%s: value %s is %v", path, key, got)
		}
	}
}

func (w *whole) typ(name string, def map[string]any) {
	t := w.schema.Types[name]
	if t == nil {
		w.t.Errorf("no type %s", name)
		return
	}
	regex, _ := def["regex"].(string)
	if t.Regex != regex || int64(t.MaxLen) != number64(def["max_len"]) || int64(t.Observable) != number64(def["observable"]) {
		w.t.Errorf("type %s: regex %q, max_len %d, observable %d", name, t.Regex, t.MaxLen, t.Observable)
	}
	limits, _ := def["range"].([]any)
	if t.HasRange != (len(limits) == 2) || t.HasRange && (t.Min != number64(limits[0]) || t.Max != number64(limits[1])) {
		w.t.Errorf("type %s: range %d to %d, want %v", name, t.Min, t.Max, limits)
	}
}
