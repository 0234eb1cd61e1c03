package ocsf

import (
	"encoding/json"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// facts130 is read once for all tests; a Schema is immutable.
var facts130 = sync.OnceValues(func() (*Schema, error) { return Load(Version) })

func load(t testing.TB) *Schema {
	t.Helper()
	s, err := facts130()
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// TestColumns holds the rules of the lake's tables for every class.
func TestColumns(t *testing.T) {
	s := load(t)
	for _, c := range s.Classes {
		leaves := 0
		var walk func(cols []*Column, depth int)
		walk = func(cols []*Column, depth int) {
			for i, col := range cols {
				if i > 0 && cols[i-1].Name >= col.Name {
					t.Errorf("%s: %s is not after %s", c.Name, col.Path, cols[i-1].Path)
				}
				if depth > 1 && strings.HasSuffix(col.Name, "_dt") {
					t.Errorf("%s: datetime twin %s below the event", c.Name, col.Path)
				}
				f := col
				if f.Type == ColList {
					if len(f.Fields) != 1 || f.Fields[0].Name != "element" {
						t.Fatalf("%s: list %s has no single element", c.Name, col.Path)
					}
					f = f.Fields[0]
				}
				if f.Type == ColGroup {
					if depth > maxColumnDepth || len(f.Fields) == 0 {
						t.Errorf("%s: group %s at depth %d with %d fields", c.Name, col.Path, depth, len(f.Fields))
					}
					walk(f.Fields, depth+1)
					continue
				}
				leaves++
			}
		}
		cols := s.Columns(c)
		walk(cols, 1)
		if leaves < 40 || leaves > 1000 { // each one costs in every file
			t.Errorf("%s has %d leaf columns", c.Name, leaves)
		}
		for _, col := range cols {
			if n := len(col.SQLType()); n > 131_072 {
				t.Errorf("%s.%s: type text of %d characters, more than Glue takes", c.Name, col.Name, n)
			}
		}
		t.Logf("%-32s %5d leaves", c.Name, leaves)
	}
}

// TestColumnsHold lists columns that mappings and reports count on.
func TestColumnsHold(t *testing.T) {
	s := load(t)
	for class, paths := range map[string][]string{
		"authentication": {"auth_factors.factor_type_id", "auth_factors.factor_type", "user.email_addr", "user.account.labels",
			"service.name", "service.uid", "dst_endpoint.svc_name", "session.uid", "session.is_mfa", "src_endpoint.ip", "src_endpoint.location.country", "enrichments.value",
			"enrichments.data", "metadata.labels", "metadata.uid", "metadata.product.feature.name", "metadata.correlation_uid",
			"http_request.user_agent", "observables.value", "unmapped", "time_dt", "is_remote", "logon_type_id", "auth_protocol", "status_code", "status_detail", "device.hostname"},
		"user_inventory": {"user.ldap_person.last_login_time", "user.account.labels", "user.email_addr", "user.type_id", "user.type", "user.full_name", "metadata.correlation_uid"},
		"process_activity": {"process.cmd_line", "process.file.hashes.value", "process.parent_process.name", "actor.process.cmd_line",
			"actor.process.file.path", "actor.user.email_addr", "device.uid", "process.user.name"},
		"detection_finding": {"finding_info.title", "finding_info.attacks.technique.uid", "evidences.data", "evidences.process.cmd_line", "evidences.src_endpoint.ip",
			"evidences.user.email_addr", "evidences.device.hostname", "evidences.email.subject", "resources.uid", "finding_info.analytic.name", "finding_info.types", "severity_id", "raw_data"},
		"network_activity": {"src_endpoint.ip", "dst_endpoint.port", "dst_endpoint.hostname", "connection_info.direction_id", "connection_info.protocol_name"},
		"file_activity":    {"file.hashes.value", "file.path", "file.size", "actor.process.name"},
		"api_activity":     {"actor.invoked_by", "api.operation", "api.request.data", "api.request.uid", "api.response.error", "api.service.name", "actor.user.uid", "actor.user.account.uid", "cloud.account.uid", "cloud.region", "http_request.user_agent", "resources.uid", "resources.type"},
		"account_change":   {"user.email_addr", "actor.user.email_addr", "src_endpoint.ip", "policy.name"},
		"group_management": {"group.name", "user.email_addr", "actor.user.email_addr"},
	} {
		c, ok := s.Class(class)
		if !ok {
			t.Fatalf("no class %s", class)
		}
		have := map[string]bool{}
		var walk func([]*Column)
		walk = func(cols []*Column) {
			for _, col := range cols {
				have[col.Path] = true
				walk(col.Fields)
			}
		}
		walk(s.Columns(c))
		for _, p := range paths {
			if !have[p] {
				t.Errorf("%s has no column %s", class, p)
			}
		}
	}
}

// TestShapes holds that every name of the shapes file is one of the schema,
// and does something.
func TestShapes(t *testing.T) {
	s := load(t)
	var shapes map[string][]string
	if err := json.Unmarshal(shapesFile, &shapes); err != nil {
		t.Fatal(err)
	}
	for key, names := range shapes {
		object, at, only := strings.Cut(key, ".")
		o := s.Objects[object]
		if o == nil {
			t.Errorf("%s: no object %s", key, object)
			continue
		}
		if only {
			a, ok := o.Attr(at)
			if !ok || a.Base != BaseObject {
				t.Errorf("%s: no object there", key)
				continue
			}
			o = a.Object
		}
		for _, name := range names {
			switch a, ok := o.Attr(name); {
			case !ok:
				t.Errorf("%s: no attribute %s", key, name)
			case cut[name] || only && a.Deprecated:
				t.Errorf("%s: %s never gets a column", key, name)
			case !only && a.Requirement != Optional:
				t.Errorf("%s: %s has a column anyway", key, name)
			}
		}
	}
}

// TestColumnPaths holds that no object is found twice on a path, but for a
// process and its parent, and that each path leads to its attribute.
func TestColumnPaths(t *testing.T) {
	s := load(t)
	for _, c := range s.Classes {
		var walk func(cols []*Column, chain []string)
		walk = func(cols []*Column, chain []string) {
			for _, col := range cols {
				inner := col
				if col.Type == ColList {
					inner = col.Fields[0]
				}
				if col.Attr == nil || !strings.HasSuffix("."+col.Path, "."+col.Attr.Name) || col.Attr.Array != (col.Type == ColList) {
					t.Errorf("%s: column %s is not its attribute", c.Name, col.Path)
				}
				if inner.Type != ColGroup {
					continue
				}
				name, times := col.Attr.Object.Name, 0
				for _, above := range chain {
					if above == name {
						times++
					}
				}
				if times > 1 || times == 1 && name != "process" {
					t.Errorf("%s: %s repeats %s", c.Name, col.Path, name)
				}
				walk(inner.Fields, append(slices.Clip(chain), name))
			}
		}
		walk(s.Columns(c), nil)
	}
}

func TestSQLType(t *testing.T) {
	s := load(t)
	c, _ := s.Class("authentication")
	want := map[string]string{
		"time": "BIGINT", "time_dt": "TIMESTAMP WITH TIME ZONE", "class_uid": "INTEGER", "type_uid": "BIGINT", "message": "VARCHAR",
		"is_mfa": "BOOLEAN", "unmapped": "MAP(VARCHAR, VARCHAR)",
		"enrichments": `STRUCT("created_time" BIGINT, "data" VARCHAR, "desc" VARCHAR, "name" VARCHAR, "provider" VARCHAR, "short_desc" VARCHAR, "src_url" VARCHAR, "type" VARCHAR, "value" VARCHAR)[]`,
	}
	for _, col := range s.Columns(c) {
		if w, ok := want[col.Name]; ok && col.SQLType() != w {
			t.Errorf("%s: %s, want %s", col.Name, col.SQLType(), w)
		}
		delete(want, col.Name)
	}
	if len(want) > 0 {
		t.Errorf("no columns %v", want)
	}
	other, _ := s.Class("account_change")
	a, b := ColumnsHash(s.Columns(c)), ColumnsHash(s.Columns(c))
	if a != b || a == ColumnsHash(s.Columns(other)) {
		t.Error("the hash does not tell tables apart, or is not stable")
	}
}

// TestOlderColumns holds that the table of a class in 1.1.0 is the one in
// 1.3.0 without what 1.1.0 lacks: no column more, none less, the same order.
func TestOlderColumns(t *testing.T) {
	s, older := load(t), loadVersion(t, "1.1.0")
	// has says whether the older object has an attribute of that shape at path.
	has := func(o *Object, path string, leaf *Column) bool {
		var a *Attr
		for name := range strings.SplitSeq(path, ".") {
			if o == nil {
				return false
			}
			var ok bool
			if a, ok = o.Attr(name); !ok {
				return false
			}
			o = a.Object
		}
		return a.Base != BaseObject && a.Array == (leaf.Type == ColList)
	}
	var leaves func(columns []*Column, out *[]*Column)
	leaves = func(columns []*Column, out *[]*Column) {
		for _, c := range columns {
			switch {
			case c.Type == ColGroup:
				leaves(c.Fields, out)
			case c.Type == ColList && c.Fields[0].Type == ColGroup:
				leaves(c.Fields[0].Fields, out)
			default:
				*out = append(*out, c)
			}
		}
	}
	for _, c := range older.Classes {
		var got []*Column
		leaves(older.Columns(c), &got)
		d, ok := s.Class(c.Name)
		if !ok {
			if len(got) < 40 {
				t.Errorf("%s: %d columns", c.Name, len(got))
			}
			continue
		}
		var all []*Column
		leaves(s.Columns(d), &all)
		var want []string
		for _, col := range all {
			if has(&c.Object, col.Path, col) {
				want = append(want, col.Path)
			}
		}
		var paths []string
		for _, col := range got {
			paths = append(paths, col.Path)
		}
		if !slices.Equal(paths, want) {
			t.Errorf("%s: columns (-want +got)\n%s", c.Name, cmp.Diff(want, paths))
		}
		for _, col := range got {
			if a, err := newLayout(c, &c.Object).Resolve(col.Path); err == nil && col.Path != "unmapped" && col.Type != ColList && col.Type != columnTypes[a.Base] {
				t.Errorf("%s: %s has type %d", c.Name, col.Path, col.Type)
			}
		}
	}
	c, _ := older.Class("authentication")
	for _, col := range older.Columns(c) {
		if col.Name == "auth_factors" || col.Name == "duration" && col.Type != ColInt32 {
			t.Errorf("column %s is %s", col.Name, col.SQLType())
		}
	}
}
