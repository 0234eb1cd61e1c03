package ocsf

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
)

// TestJSONSchema holds for every class that the schema is whole in itself:
// every reference leads to a definition, and what is required is a property.
// integration/ocsf runs it in other people's validators.
func TestJSONSchema(t *testing.T) {
	for _, version := range Versions {
		s := loadVersion(t, version)
		for _, c := range s.Classes {
			text := s.JSONSchema(c)
			var root map[string]any
			if err := json.Unmarshal(text, &root); err != nil {
				t.Fatalf("%s: %v", c.Name, err)
			}
			if string(text) != string(s.JSONSchema(c)) {
				t.Errorf("%s: two schemas of one class differ", c.Name)
			}
			defs := object(root, "$defs")
			props := object(root, "properties")
			if len(props) != len(c.Attrs) {
				t.Errorf("%s: %d properties, want %d", c.Name, len(props), len(c.Attrs))
			}
			var walk func(v any, where string)
			walk = func(v any, where string) {
				switch x := v.(type) {
				case map[string]any:
					if ref, ok := x["$ref"].(string); ok {
						name := strings.ReplaceAll(strings.TrimPrefix(ref, "#/$defs/"), "~1", "/")
						if _, ok := defs[name]; !ok {
							t.Errorf("%s: %s refers to %s", c.Name, where, ref)
						}
					}
					own, isObject := x["properties"].(map[string]any)
					for _, name := range list(x["required"]) {
						if x["additionalProperties"] == false && isObject && own[name] == nil {
							t.Errorf("%s: %s requires %s, which it has not", c.Name, where, name)
						}
					}
					for k, v := range x {
						walk(v, where+"/"+k)
					}
				case []any:
					for i, v := range x {
						walk(v, fmt.Sprintf("%s/%d", where, i))
					}
				}
			}
			walk(root, "")
		}
	}
}

// TestJSONSchemaSays holds what the schema of sign-ins says, here and there.
func TestJSONSchemaSays(t *testing.T) {
	s := load(t)
	c, _ := s.Class("authentication")
	var root map[string]any
	if err := json.Unmarshal(s.JSONSchema(c), &root); err != nil {
		t.Fatal(err)
	}
	if got := list(root["required"]); !slices.Equal(got, []string{"activity_id", "category_uid", "class_uid", "metadata", "severity_id", "time", "type_uid", "user"}) {
		t.Errorf("required %v: cloud and osint belong to profiles", got)
	}
	rules := fmt.Sprint(root["allOf"])
	for _, want := range []string{
		"map[anyOf:[map[required:[service]] map[required:[dst_endpoint]]]]",
		"contains:map[enum:[cloud]]", "then:map[required:[cloud]]", "else:map[properties:map[api:false cloud:false]]",
		"map[activity_id:map[const:6]]", "map[version:map[const:1.3.0]]",
	} {
		if !strings.Contains(rules, want) {
			t.Errorf("rules lack %s:\n%s", want, rules)
		}
	}
	if f := object(root, "$defs", "auth_factor"); f["allOf"] != nil {
		t.Errorf("auth_factor has %v, which no factor can satisfy", f["allOf"])
	}
	if ip := object(root, "$defs", "network_endpoint", "properties", "ip"); ip["maxLength"] != 40.0 || ip["pattern"] == nil {
		t.Errorf("ip is %v", ip)
	}
}

// TestDDL holds that the statement has every column, with types that Glue
// takes and whose brackets match.
func TestDDL(t *testing.T) {
	for _, version := range Versions {
		s := loadVersion(t, version)
		for _, c := range s.Classes {
			ddl := s.DDL(c, Place{Location: "s3://bucket/ext/x", Regions: []string{"us-east-1", "eu-west-1"}, Accounts: []string{"external"}})
			for _, col := range s.Columns(c) {
				typ := col.HiveType()
				if !strings.Contains(ddl, "  `"+col.Name+"` "+typ) {
					t.Errorf("%s: no column %s", c.Name, col.Name)
				}
				if strings.Count(typ, "<") != strings.Count(typ, ">") || len(typ) > 131_072 {
					t.Errorf("%s.%s has the type %s", c.Name, col.Name, typ)
				}
			}
			for _, want := range []string{"CREATE EXTERNAL TABLE IF NOT EXISTS `nagare_" + fmt.Sprint(c.UID) + "` (", "PARTITIONED BY (`region` string, `accountId` string, `eventDay` string)",
				"LOCATION 's3://bucket/ext/x/'", "'s3://bucket/ext/x/region=${region}/accountId=${accountid}/eventDay=${eventday}/'", "'us-east-1,eu-west-1'"} {
				if !strings.Contains(ddl, want) {
					t.Errorf("%s: the statement lacks %s", c.Name, want)
				}
			}
			if strings.Contains(ddl, ",\n)") || strings.Count(ddl, "'")%2 != 0 {
				t.Errorf("%s: a comma or quote too many:\n%.200s", c.Name, ddl)
			}
		}
	}
}
