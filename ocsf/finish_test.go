package ocsf

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// layoutOf is a frozen layout of a class; "evidences/file.name" is a path in
// the rows of evidences.
func layoutOf(t testing.TB, class string, paths ...string) *Layout {
	t.Helper()
	ls := NewLayouts(load(t))
	c, ok := ls.Schema.Class(class)
	if !ok {
		t.Fatalf("no class %s", class)
	}
	l := ls.Class(c)
	for _, path := range paths {
		at := l
		for {
			list, rest, in := strings.Cut(path, "/")
			i, err := at.Add(list)
			if err != nil {
				t.Fatal(err)
			}
			if !in {
				break
			}
			at, path = at.Info(i).Rows, rest
		}
	}
	ls.Freeze()
	return l
}

func texts(list *List) []string {
	if list == nil {
		return nil
	}
	var out []string
	for _, v := range list.Items {
		out = append(out, v.Text())
	}
	return out
}

// addRow adds a row with one value to the list at a path.
func addRow(e *Event, path, attr string, v Value) []Value {
	slot := e.Layout.Slot(path)
	list := e.Slots[slot].List()
	if list == nil {
		list = e.NewList(e.Layout.Info(slot).Rows)
		e.Slots[slot] = ListValue(list)
	}
	row := list.AddRow()
	row[list.Row.Slot(attr)] = v
	return row
}

func TestFinishDatetimes(t *testing.T) {
	e := &Event{}
	e.Reset(layoutOf(t, "authentication", "start_time"))
	if e.Layout.Slot("end_time_dt") >= 0 {
		t.Error("a slot for end_time_dt, though nobody fills end_time")
	}
	e.Slots[e.Layout.Slot("start_time")] = IntValue(1_700_000_000_000)
	Finish(e)
	if got := e.Get("start_time_dt").Int(); got != 1_700_000_000_000 {
		t.Errorf("start_time_dt is %d", got)
	}
	if e.Get("time_dt").Has() {
		t.Error("time_dt without a time")
	}
	if got := texts(e.Get("metadata.profiles").List()); !slices.Equal(got, []string{"datetime"}) {
		t.Errorf("profiles %v", got)
	}
}

// TestFinishUnknown holds that required ids are 0 where their object is there,
// also in rows and when only a part of the object is filled.
func TestFinishUnknown(t *testing.T) {
	l := layoutOf(t, "detection_finding", "device.os.name", "evidences/file.hashes/value", "evidences/file.name")
	e := &Event{}
	e.Reset(l)
	Finish(e)
	if e.Get("device.type_id").Has() {
		t.Error("device.type_id without a device")
	}
	e.Slots[l.Slot("device.os.name")] = TextValue("Windows")
	row := addRow(e, "evidences", "file.name", TextValue("a.exe"))
	rows := l.Info(l.Slot("evidences")).Rows
	hashes := e.NewList(rows.Info(rows.Slot("file.hashes")).Rows)
	hash := hashes.AddRow()
	hash[hashes.Row.Slot("value")] = TextValue("0cc175b9c0f1b6a831c399e269772661")
	row[rows.Slot("file.hashes")] = ListValue(hashes)
	Finish(e)
	for path, v := range map[string]Value{
		"device.type_id":                   e.Get("device.type_id"),
		"device.os.type_id":                e.Get("device.os.type_id"),
		"evidences.file.type_id":           row[rows.Slot("file.type_id")],
		"evidences.file.hashes.algorithm_": hash[hashes.Row.Slot("algorithm_id")],
		"activity_id":                      e.Get("activity_id"),
	} {
		if v.Kind() != Int || v.Int() != 0 {
			t.Errorf("%s is %v, want 0", path, v)
		}
	}
	if got := row[rows.Slot("file.type")].Text(); got != "Unknown" {
		t.Errorf("file.type is %q", got)
	}
	var names []string
	list := e.Get("observables").List()
	for r := range list.Len() {
		names = append(names, list.At(r)[obsName].Text()+"="+list.At(r)[obsValue].Text())
	}
	slices.Sort(names)
	want := []string{"evidences.file.hashes.value=0cc175b9c0f1b6a831c399e269772661", "evidences.file.name=a.exe"}
	if d := cmp.Diff(want, names); d != "" {
		t.Errorf("observables (-want +got)\n%s", d)
	}
}

func TestFinishLists(t *testing.T) {
	l := layoutOf(t, "detection_finding", "malware/classification_ids", "malware/name")
	rows := l.Info(l.Slot("malware")).Rows
	e := &Event{}
	e.Reset(l)
	worm := e.NewList(nil)
	worm.Items = append(worm.Items, TextValue("worm"), TextValue("something new"))
	addRow(e, "malware", "classifications", ListValue(worm))
	ids := e.NewList(nil)
	ids.Items = append(ids.Items, IntValue(1), IntValue(99))
	addRow(e, "malware", "classification_ids", ListValue(ids))
	Finish(e)
	list := e.Get("malware").List()
	var got []int64
	for _, v := range list.At(0)[rows.Slot("classification_ids")].List().Items {
		got = append(got, v.Int())
	}
	attr, _ := rows.Object.Attr("classification_ids")
	item, _ := attr.Enum.ByCaption("Worm")
	if want := []int64{item.ID, 99}; !slices.Equal(got, want) {
		t.Errorf("ids %v, want %v", got, want)
	}
	first, _ := attr.Enum.Caption(1)
	if got, want := texts(list.At(1)[rows.Slot("classifications")].List()), []string{first, "Other"}; !slices.Equal(got, want) {
		t.Errorf("captions %v, want %v", got, want)
	}
}

// TestFinishKeepsSharedLists holds that lists a mapping set, which may be
// constants of many events, are not written to.
func TestFinishKeepsSharedLists(t *testing.T) {
	l := layoutOf(t, "authentication", "user.name", "cloud.provider")
	shared := &List{Items: append(make([]Value, 0, 8), TextValue("host"))}
	own := &List{Row: l.Info(l.Slot("observables")).Rows}
	row := own.AddRow()
	row[obsName], row[obsTypeID], row[obsValue] = TextValue("x"), IntValue(1), TextValue("pc")
	e := &Event{}
	for range 2 {
		e.Reset(l)
		e.Slots[l.Slot("metadata.profiles")] = ListValue(shared)
		e.Slots[l.Slot("observables")] = ListValue(own)
		e.Slots[l.Slot("cloud.provider")] = TextValue("AWS")
		e.Slots[l.Slot("user.name")] = TextValue("sato")
		Finish(e)
		if got := texts(e.Get("metadata.profiles").List()); !slices.Equal(got, []string{"cloud", "host"}) {
			t.Errorf("profiles %v", got)
		}
		if n := e.Get("observables").List().Len(); n != 2 {
			t.Errorf("%d observables, want the mapping's and the user's name", n)
		}
	}
	if len(shared.Items) != 1 || own.Len() != 1 || shared.Items[:2][1].Has() {
		t.Errorf("the mapping's lists were changed: %v, %d rows", texts(shared), own.Len())
	}
}

// TestFinishRowProfiles holds that attributes in rows bring their profile, and
// go to unmapped where the event lacks what the profile requires.
func TestFinishRowProfiles(t *testing.T) {
	l := layoutOf(t, "detection_finding", "cloud.provider", "resources/region", "resources/name")
	e := &Event{}
	e.Reset(l)
	addRow(e, "resources", "name", TextValue("bucket"))
	Finish(e)
	if got := texts(e.Get("metadata.profiles").List()); len(got) != 0 {
		t.Errorf("profiles %v without region", got)
	}
	e.Reset(l)
	e.Slots[l.Slot("cloud.provider")] = TextValue("AWS")
	addRow(e, "resources", "region", TextValue("ap-northeast-1"))
	Finish(e)
	if got := texts(e.Get("metadata.profiles").List()); !slices.Equal(got, []string{"cloud"}) {
		t.Errorf("profiles %v", got)
	}
	e.Reset(l)
	addRow(e, "resources", "name", TextValue("bucket"))
	addRow(e, "resources", "region", TextValue("ap-northeast-1"))
	Finish(e)
	if got := texts(e.Get("metadata.profiles").List()); len(got) != 0 {
		t.Errorf("profiles %v without the cloud that theirs requires", got)
	}
	if want := []Pair{{"resources[1].region", "ap-northeast-1"}}; !slices.Equal(e.Unmapped, want) {
		t.Errorf("unmapped %v, want %v", e.Unmapped, want)
	}
}

func TestObservablesAreBounded(t *testing.T) {
	l := layoutOf(t, "detection_finding", "evidences/src_endpoint.ip")
	e := &Event{}
	e.Reset(l)
	for i := range 3 * maxObservables {
		addRow(e, "evidences", "src_endpoint.ip", TextValue(strings.Repeat("x", i/2))) // each twice
	}
	Finish(e)
	list := e.Get("observables").List()
	seen := map[string]bool{}
	for r := range list.Len() {
		seen[list.At(r)[obsValue].Text()] = true
	}
	if list.Len() != maxObservables || len(seen) != maxObservables {
		t.Errorf("%d observables, %d values; want %d of each", list.Len(), len(seen), maxObservables)
	}
}

// TestFinishEveryClass holds that every class can be finished when empty, and
// that no two captions of an enumeration are one constant in rules.
func TestFinishEveryClass(t *testing.T) {
	s := load(t)
	for _, c := range s.Classes {
		l := layoutOf(t, c.Name)
		e := &Event{}
		e.Reset(l)
		Finish(e)
		if got := e.Get("type_uid").Int(); got != int64(c.UID)*100 && c.Name != "email_activity" {
			t.Errorf("%s: type_uid %d", c.Name, got)
		}
		if e.Get("type_name").Text() == "" || e.Get("class_name").Text() != c.Caption {
			t.Errorf("%s: type_name %q, class_name %q", c.Name, e.Get("type_name").Text(), e.Get("class_name").Text())
		}
		for _, a := range c.Attrs {
			checkNames(t, c.Name, a)
		}
	}
	for _, o := range s.Objects {
		for _, a := range o.Attrs {
			checkNames(t, o.Name, a)
		}
	}
}

func checkNames(t *testing.T, object string, a *Attr) {
	t.Helper()
	if a.Enum == nil {
		return
	}
	names := map[string]string{}
	for _, item := range a.Enum.Items {
		name := ConstantName(item.Caption)
		if other, ok := names[name]; ok || name == "" {
			t.Errorf("%s.%s: %q and %q are both %s", object, a.Name, other, item.Caption, name)
		}
		names[name] = item.Caption
	}
}

// TestFinishListsProfilesOnce holds that what a source lists twice is listed
// once.
func TestFinishListsProfilesOnce(t *testing.T) {
	l := layoutOf(t, "authentication", "cloud.provider")
	e := &Event{}
	e.Reset(l)
	e.Slots[l.Slot("metadata.profiles")] = ListValue(&List{Items: []Value{TextValue("cloud"), TextValue("host"), TextValue("cloud")}})
	e.Slots[l.Slot("cloud.provider")] = TextValue("AWS")
	Finish(e)
	if got := texts(e.Get("metadata.profiles").List()); !slices.Equal(got, []string{"cloud", "host"}) {
		t.Errorf("profiles %v", got)
	}
}

// TestFinishProfilesWithin holds that a profile within an object that another
// profile brings is listed too, and asked for.
func TestFinishProfilesWithin(t *testing.T) {
	l := layoutOf(t, "network_activity", "device.hostname", "device.container.name", "dst_endpoint.ip")
	e := &Event{}
	e.Reset(l)
	e.Slots[l.Slot("device.container.name")] = TextValue("web")
	Finish(e)
	if got := texts(e.Get("metadata.profiles").List()); !slices.Equal(got, []string{"container", "host"}) {
		t.Errorf("profiles %v", got)
	}
	e.Slots[l.Slot("metadata.profiles")] = ListValue(&List{Items: []Value{TextValue("host")}})
	var got []string
	for _, p := range Validate(e, nil) {
		if p.Code == CodeProfile {
			got = append(got, p.Path)
		}
	}
	if !slices.Equal(got, []string{"device.container.name"}) {
		t.Errorf("profile problems at %v", got)
	}
}

// TestFinishOther holds that Other with the caption of an id becomes that id,
// and that any other text stays.
func TestFinishOther(t *testing.T) {
	l := layoutOf(t, "authentication", "status", "logon_type")
	for text, want := range map[string]int64{"success": 1, "Success": 1, "Other": 99, "half": 99, "": 99} {
		e := &Event{}
		e.Reset(l)
		e.Slots[l.Slot("status_id")] = IntValue(99)
		if text != "" {
			e.Slots[l.Slot("status")] = TextValue(text)
		}
		Finish(e)
		if got := e.Get("status_id").Int(); got != want {
			t.Errorf("%q: id %d, want %d", text, got, want)
		}
	}
}
