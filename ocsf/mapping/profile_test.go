package mapping_test

import "testing"

// TestProfileCaption holds that an id that a profile requires is told from its
// caption where that is all there is, and is Unknown without any.
func TestProfileCaption(t *testing.T) {
	set := builtin(t, "ocsf.yaml")
	for more, want := range map[string][2]string{
		`"action": "Denied", "disposition": "Blocked"`: {"2", `"Denied"`},
		`"action": "shrugged"`:                         {"99", `"shrugged"`},
		`"disposition": "Blocked"`:                     {"0", `"Unknown"`},
	} {
		body := `{"class_uid": 4001, "category_uid": 4, "activity_id": 1, "severity_id": 1, "time": 1783040520000, "dst_endpoint": {"ip": "192.0.2.1"},
			"metadata": {"version": "1.3.0", "uid": "1", "profiles": ["security_control"], "product": {"name": "p", "vendor_name": "v"}}, ` + more + `}`
		got := normalize(t, set, body)
		if at(got, "action_id") != want[0] || at(got, "action") != want[1] {
			t.Errorf("%s: action %s %s, want %v", more, at(got, "action_id"), at(got, "action"), want)
		}
	}
}
