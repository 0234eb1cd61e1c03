package ocsf

import (
	"strings"
	"sync"
	"testing"
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
		if leaves < 40 || leaves > 1500 {
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
		"api_activity":     {"api.operation", "api.request.data", "api.request.uid", "api.response.error", "api.service.name", "actor.user.uid", "actor.user.account.uid", "cloud.account.uid", "cloud.region", "http_request.user_agent", "resources.uid", "resources.type"},
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
