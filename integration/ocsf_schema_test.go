package integration

import (
	"encoding/json"
	"strings"
	"testing"
)

// TestOCSFSchema holds what the command prints, and what it says of names that
// are none.
func TestOCSFSchema(t *testing.T) {
	binary := build(t)
	type attr struct {
		Name, Requirement, Constraint string
		Column                        bool
		Values                        []struct {
			Value   any
			Caption string
		}
	}
	for _, class := range []string{"authentication", "3002", "Authentication"} {
		attrs := map[string]attr{}
		for _, a := range lines[attr](t, command(t, binary, "ocsf", "schema", class, "--format", "json")) {
			attrs[a.Name] = a
		}
		if a := attrs["activity_id"]; a.Requirement != "required" || len(a.Values) != 8 || a.Values[1].Caption != "Logon" || !a.Column {
			t.Errorf("activity_id: %+v", a)
		}
		if attrs["service"].Constraint != "at_least_one" || attrs["osint"].Column {
			t.Errorf("service %+v, osint %+v", attrs["service"], attrs["osint"])
		}
	}
	if out := command(t, binary, "ocsf", "schema", "authentication", "--version", "1.1.0", "--columns", "--format", "csv"); strings.Contains(string(out), "auth_factors") || !strings.Contains(string(out), "user.email_addr,VARCHAR,string") {
		t.Error("columns of 1.1.0:", string(out))
	}
	var schema map[string]any
	if err := json.Unmarshal(command(t, binary, "ocsf", "schema", "5020", "--json-schema"), &schema); err != nil || schema["title"] != "Software Inventory Info" {
		t.Errorf("JSON Schema %v %v", schema["title"], err)
	}
	if out := command(t, binary, "ocsf", "schema", "4001", "--ddl", "--location", "s3://b/x/", "--region", "eu-west-1"); !strings.Contains(string(out), "LOCATION 's3://b/x/'") || !strings.Contains(string(out), "'eu-west-1'") {
		t.Error(string(out))
	}
	for _, c := range []struct{ args, says string }{
		{"authentcation", `did you mean "authentication"?`},
		{"3009", "did you mean 3006 (group_management)?"},
		{"5020 --version 1.1.0", "1.1.0 has no class 5020, 1.3.0 has"},
		{"authentication --version 2.0.0", "1.3.0 and 1.1.0"},
		{"authentication.usr", `did you mean "user"?`},
		{"authentication.user --ddl", "of a whole class"},
		{"authentication --ddl --columns", "can't be used together"},
	} {
		code, out, stderr := run(binary, append([]string{"ocsf", "schema"}, strings.Fields(c.args)...)...)
		if code != 2 || len(out) > 0 || !strings.Contains(string(stderr), c.says) {
			t.Errorf("ocsf schema %s: exit %d, %s%s", c.args, code, out, stderr)
		}
	}
}
