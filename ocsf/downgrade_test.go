package ocsf

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// golden are the events of the mappings' cases, as their golden files have
// them.
func golden(t testing.TB) map[string][]Tree {
	t.Helper()
	names, err := filepath.Glob("mappings/testdata/*/*.ocsf.json")
	if err != nil || len(names) == 0 {
		t.Fatal("no golden files", err)
	}
	all := map[string][]Tree{}
	for _, name := range names {
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		dec := json.NewDecoder(bytes.NewReader(data))
		dec.UseNumber()
		for {
			var v any
			if err := dec.Decode(&v); err == io.EOF {
				break
			} else if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			events, ok := v.([]any)
			if !ok {
				events = []any{v}
			}
			for _, e := range events {
				if tree, ok := e.(Tree); ok && tree["class_uid"] != nil { // the others are dead letters
					all[name] = append(all[name], tree)
				}
			}
		}
	}
	return all
}

// downgrader holds trees as events of 1.3.0, and their downgrade.
type downgrader struct {
	layouts *Layouts
	down    *Downgrade
}

func newDowngrader(t testing.TB, trees ...Tree) *downgrader {
	t.Helper()
	d := &downgrader{layouts: NewLayouts(load(t))}
	for _, tree := range trees {
		for _, err := range d.layout(t, tree).AddTree(tree) {
			t.Error(err)
		}
	}
	d.layouts.Freeze()
	var err error
	if d.down, err = NewDowngrade(d.layouts, loadVersion(t, "1.1.0")); err != nil {
		t.Fatal(err)
	}
	return d
}

func (d *downgrader) layout(t testing.TB, tree Tree) *Layout {
	t.Helper()
	uid, ok := tree["class_uid"].(json.Number)
	n, err := uid.Int64()
	c, found := d.layouts.Schema.ClassByUID(int(n))
	if !ok || err != nil || !found {
		t.Fatalf("class_uid %v", tree["class_uid"])
	}
	return d.layouts.Class(c)
}

// event fills a tree in, as an event of 1.3.0.
func (d *downgrader) event(t testing.TB, tree Tree) *Event {
	t.Helper()
	e := &Event{}
	e.Reset(d.layout(t, tree))
	for _, err := range e.FillTree(tree) {
		t.Error(err)
	}
	return e
}

func decoded(t testing.TB, e *Event) Tree {
	t.Helper()
	dec := json.NewDecoder(bytes.NewReader(e.AppendJSON(nil)))
	dec.UseNumber()
	var tree Tree
	if err := dec.Decode(&tree); err != nil {
		t.Fatal(err)
	}
	return tree
}

// leaves lists the values of a tree by path, with the index of each row.
func leavesOf(v any, path string, out map[string]string) {
	switch x := v.(type) {
	case Tree:
		for k, v := range x {
			leavesOf(v, strings.TrimPrefix(path+"."+k, "."), out)
		}
	case []any:
		for i, v := range x {
			leavesOf(v, fmt.Sprintf("%s.%d", path, i), out)
		}
	default:
		out[path] = fmt.Sprint(v)
	}
}

// TestDowngradeGolden holds that every case of every mapping is valid in 1.1.0,
// and that each of its values is in place or in unmapped.
func TestDowngradeGolden(t *testing.T) {
	files := golden(t)
	var trees []Tree
	for _, events := range files {
		trees = append(trees, events...)
	}
	d := newDowngrader(t, trees...)
	var out Event // reused, as the lake does
	events, moved, others := 0, 0, map[string]int{}
	for name, list := range files {
		for i, tree := range list {
			in := d.event(t, tree)
			if problems := Validate(in, nil); len(problems) > 0 {
				t.Logf("%s: event %d is not valid in 1.3.0: %v", name, i, problems)
				continue
			}
			events++
			for _, p := range d.down.Convert(in, &out, nil) {
				t.Errorf("%s: event %d: %s", name, i, p)
			}
			was, is := map[string]string{}, map[string]string{}
			leavesOf(tree, "", was)
			got := decoded(t, &out)
			leavesOf(got, "", is)
			if is["metadata.version"] != "1.1.0" {
				t.Errorf("%s: event %d: version %s", name, i, is["metadata.version"])
			}
			if is["class_uid"] != was["class_uid"] {
				others[was["class_name"]]++
			}
			unmapped, _ := got["unmapped"].(Tree)
			moved += len(unmapped)
			lost(t, fmt.Sprintf("%s: event %d", name, i), tree, got, was, is)
			for path := range is {
				if top, _, _ := strings.Cut(path, "."); top != "unmapped" && !knows(&out.Class().Object, path) {
					t.Errorf("%s: event %d: 1.1.0 has no %s", name, i, path)
				}
			}
		}
	}
	t.Logf("%d events; other classes: %v; %d entries of unmapped", events, others, moved)
}

// lost reports values that are neither in place nor in unmapped.
func lost(t *testing.T, what string, tree, got Tree, was, is map[string]string) {
	t.Helper()
	var kept []string // all text of unmapped
	unmapped, _ := got["unmapped"].(Tree)
	for _, v := range unmapped {
		kept = append(kept, fmt.Sprint(v))
	}
	all := strings.Join(kept, "\n")
	values := map[string]bool{}
	for path, v := range is {
		if !strings.HasPrefix(path, "observables.") {
			values[v] = true
		}
	}
	for path, v := range was {
		top, _, _ := strings.Cut(path, ".")
		switch {
		case top == "observables", path == "metadata.version", path == "type_uid", path == "type_name":
			continue // they follow from the rest
		case is[path] == v, is["unmapped."+path] == v:
			continue
		case strings.HasSuffix(path, "_id") || strings.Contains(path, "_ids."):
			continue // its caption is looked for
		}
		quoted, _ := json.Marshal(v)
		if !values[v] && !strings.Contains(all, v) && !strings.Contains(all, strings.Trim(string(quoted), `"`)) {
			t.Errorf("%s: %s = %.80s is lost", what, path, v)
		}
	}
}

// knows says whether an object has an attribute at a path with indexes.
func knows(o *Object, path string) bool {
	var names []string
	for name := range strings.SplitSeq(path, ".") {
		if name[0] < '0' || name[0] > '9' {
			names = append(names, name)
		}
	}
	for _, name := range names {
		if o == nil {
			return true // below JSON
		}
		a, ok := o.Attr(name)
		if !ok {
			return false
		}
		o = a.Object
	}
	return true
}

// sampleOf is an event of 1.3.0 with what every class requires.
func sampleOf(class int, more string) Tree {
	text := fmt.Sprintf(`{"class_uid": %d, "activity_id": 1, "severity_id": 1, "time": 1783040520000, "metadata.version": "1.3.0", "metadata.uid": "u1",
		"metadata.product": {"vendor_name": "Example", "name": "Test"}`, class)
	if more != "" {
		text += ", " + more
	}
	dec := json.NewDecoder(strings.NewReader(text + "}"))
	dec.UseNumber()
	var tree Tree
	if err := dec.Decode(&tree); err != nil {
		panic(err)
	}
	return tree
}

// TestDowngrade holds what becomes of what 1.1.0 lacks.
func TestDowngrade(t *testing.T) {
	const signIn = `"user.name": "sato", "service.name": "VPN"`
	for name, c := range map[string]struct {
		class int
		more  string
		want  map[string]string // paths of the result; "" for absent
	}{
		"an activity it lacks": {3002, `"activity_id": 6, ` + signIn,
			map[string]string{"activity_id": "99", "activity_name": "Preauth", "type_uid": "300299", "type_name": "Authentication: Other"}},
		"an id that moved":     {3002, `"logon_type_id": 1, ` + signIn, map[string]string{"logon_type_id": "0", "logon_type": "System"}},
		"an id taken by other": {3002, `"logon_type_id": 0, ` + signIn, map[string]string{"logon_type_id": "", "unmapped.logon_type_id": "0", "unmapped.logon_type": "Unknown"}},
		"Other where there is none": {2004, `"finding_info": {"title": "t", "uid": "u"}, "risk_level_id": 99, "risk_level": "extreme"`,
			map[string]string{"risk_level_id": "", "unmapped.risk_level_id": "99", "unmapped.risk_level": "extreme"}},
		"a list it lacks": {3002, `"auth_factors": [{"factor_type_id": 11}], ` + signIn,
			map[string]string{"auth_factors.0.factor_type_id": "", "unmapped.auth_factors": `[{"factor_type":"Password","factor_type_id":11}]`}},
		"an attribute in a row": {2004, `"finding_info": {"title": "t", "uid": "u"}, "evidences": [{"process.pid": 7}, {"src_endpoint": {"ip": "192.0.2.1", "agent_list": [{"uid": "a", "type_id": 1}], "autonomous_system": {"number": 64500}}}]`,
			map[string]string{"evidences.1.src_endpoint.ip": "192.0.2.1", "unmapped.evidences.1.src_endpoint.autonomous_system.number": "64500"}},
		"a row with nothing left": {2004, `"finding_info": {"title": "t", "uid": "u"}, "evidences": [{"user.name": "sato"}, {"process.pid": 7}]`,
			map[string]string{"evidences.0.process.pid": "7", "unmapped.evidences.0.user.name": "sato"}},
		"an endpoint that it requires": {4001, `"dst_endpoint.ip": "192.0.2.1"`, map[string]string{"class_uid": "4001", "src_endpoint.name": "Unknown"}},
		"an entity without a name": {3004, `"entity": {"type": "x", "user": {"name": "sato"}}`,
			map[string]string{"class_uid": "3004", "entity.name": "Unknown", "entity.type": "x", "unmapped.entity.user.name": "sato"}},
		"an actor's app": {6003, `"actor.app_name": "cli", "api.operation": "Get", "src_endpoint.ip": "192.0.2.1"`,
			map[string]string{"class_uid": "6003", "actor.invoked_by": "cli"}},
		"an object without what it needs": {3002, `"actor.app_uid": "a1", "actor.authorizations": [{"decision": "allow"}], ` + signIn,
			map[string]string{"actor": "", "unmapped.actor.app_uid": "a1"}},
		"a class it lacks": {5020, `"device": {"hostname": "h", "type_id": 13}, "package": {"name": "p", "version": "1"}, "count": 3, "start_time": 1783040520000`,
			map[string]string{"class_uid": "0", "class_name": "Base Event", "type_uid": "99", "activity_id": "99", "activity_name": "Log", "count": "3",
				"start_time_dt": "2026-07-03T01:02:00.000Z", "unmapped.class_uid": "5020", "unmapped.class_name": "Software Inventory Info", "unmapped.package.name": "p", "unmapped.device.hostname": "h"}},
		"a number that grew": {3002, `"duration": 3000000000, ` + signIn, map[string]string{"duration": "", "unmapped.duration": "3000000000"}},
		"text for a number":  {2005, `"finding_info_list": [{"title": "t", "uid": "u"}], "status_id": 1, "priority_id": 3, "assignee.name": "a"`, map[string]string{"class_uid": "2005", "priority": "", "priority_id": "3", "unmapped.priority": "High"}},
		"an address it refuses": {3002, `"user.email_addr": "a=b@example.com", ` + signIn,
			map[string]string{"user.email_addr": "", "unmapped.user.email_addr": "a=b@example.com", "observables.0.name": "user.name", "observables.1": ""}},
		"a sender it refuses": {4009, `"direction_id": 1, "email": {"from": "b=c@example.com", "to": ["d@example.com"], "subject": "s"}`,
			map[string]string{"class_uid": "0", "unmapped.email.from": "b=c@example.com", "unmapped.email.to": `["d@example.com"]`, "unmapped.email.subject": "s"}},
		"a profile it lacks": {3002, `"metadata.profiles": ["cloud", "osint"], "osint": [{"type_id": 1, "value": "192.0.2.1", "name": "n"}], "cloud.provider": "AWS", ` + signIn,
			map[string]string{"metadata.profiles.0": "cloud", "metadata.profiles.1": "datetime", "unmapped.metadata.profiles": "osint"}},
		"an observable of its own": {3002, `"observables": [{"name": "ticket", "type_id": 10, "value": "T-1"}, {"name": "command", "type_id": 13, "value": "ls"}], ` + signIn,
			map[string]string{"observables.0.value": "T-1", "observables.1.type_id": "99", "observables.1.type": "Command Line", "observables.2.value": "sato"}},
	} {
		t.Run(name, func(t *testing.T) {
			tree := sampleOf(c.class, c.more)
			d := newDowngrader(t, tree)
			in := d.event(t, tree)
			Finish(in)
			if problems := Validate(in, nil); len(problems) > 0 {
				t.Fatal(problems)
			}
			before := string(in.AppendJSON(nil))
			var out Event
			for _, p := range d.down.Convert(in, &out, nil) {
				t.Error(p)
			}
			if string(in.AppendJSON(nil)) != before {
				t.Error("the event itself changed")
			}
			got := map[string]string{}
			leavesOf(decoded(t, &out), "", got)
			for path, want := range c.want {
				found := got[path]
				if want == "" { // nor anything below
					for p := range got {
						if strings.HasPrefix(p, path+".") {
							found = p
						}
					}
				}
				if found != want {
					t.Errorf("%s is %q, want %q", path, found, want)
				}
			}
			if t.Failed() {
				t.Log(string(out.AppendJSON(nil)))
			}
		})
	}
}

// TestDowngradeInvalid holds that what cannot be made valid is said to be so.
func TestDowngradeInvalid(t *testing.T) {
	tree := sampleOf(3002, `"user.name": "sato", "service.name": "VPN"`)
	tree["time"] = json.Number("1783040520") // seconds
	d := newDowngrader(t, tree)
	in := d.event(t, tree)
	Finish(in)
	var out Event
	problems := d.down.Convert(in, &out, []Problem{{Path: "kept"}})
	if len(problems) != 2 || problems[0].Path != "kept" || problems[1].Path != "time" {
		t.Errorf("problems %v", problems)
	}
}

// TestDowngradeEveryClass holds that the smallest event of each class that can
// be made is valid in 1.1.0 as well.
func TestDowngradeEveryClass(t *testing.T) {
	s := load(t)
	layouts := NewLayouts(s)
	plans := map[*Class][]fillStep{}
	for _, c := range s.Classes {
		l := layouts.Class(c)
		l.addFillers("", &c.Object)
		for _, a := range c.Attrs {
			if a.Requirement == Required {
				steps, _ := fillers(a, a.Name)
				plans[c] = append(plans[c], steps...)
			}
		}
		for _, names := range c.AtLeastOne {
			if a, _ := c.Attr(names[0]); a != nil {
				steps, _ := fillers(a, a.Name)
				plans[c] = append(plans[c], steps...)
			}
		}
		for _, step := range plans[c] {
			if _, err := l.Add(step.path); err != nil {
				t.Error(err)
			}
		}
	}
	layouts.Freeze()
	d, err := NewDowngrade(layouts, loadVersion(t, "1.1.0"))
	if err != nil {
		t.Fatal(err)
	}
	valid, same := 0, 0
	for _, c := range s.Classes {
		l := layouts.Class(c)
		in := &Event{}
		in.Reset(l)
		in.Slots[l.Slot("time")] = IntValue(1_783_040_520_000)
		for _, step := range plans[c] {
			in.Slots[l.Slot(step.path)] = step.value
		}
		Finish(in)
		if len(Validate(in, nil)) > 0 {
			continue // needs more than text
		}
		valid++
		var out Event
		for _, p := range d.Convert(in, &out, nil) {
			t.Errorf("%s: %s", c.Name, p)
		}
		if out.Class().UID == c.UID {
			same++
		}
	}
	t.Logf("%d of %d classes tried, %d stayed in their class", valid, len(s.Classes), same)
	if valid < 30 {
		t.Error("too few classes tried")
	}
}

// BenchmarkDowngrade brings the golden events down, one after the other.
func BenchmarkDowngrade(b *testing.B) {
	var trees []Tree
	for _, events := range golden(b) {
		trees = append(trees, events...)
	}
	d := newDowngrader(b, trees...)
	var events []*Event
	for _, tree := range trees {
		events = append(events, d.event(b, tree))
	}
	var out Event
	var problems []Problem
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		problems = d.down.Convert(events[i%len(events)], &out, problems[:0])
	}
}
