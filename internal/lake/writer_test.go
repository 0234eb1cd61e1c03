package lake

import (
	"bytes"
	"fmt"
	"strconv"
	"testing"

	"github.com/parquet-go/parquet-go"

	"nagare"
	"nagare/ocsf"
)

// testLayouts are layouts as mappings would make them.
type testLayouts struct {
	schema  *ocsf.Schema
	layouts *ocsf.Layouts
	tables  *Tables
}

func newLayouts(t testing.TB) *testLayouts {
	t.Helper()
	s, err := ocsf.Load("1.3.0")
	if err != nil {
		t.Fatal(err)
	}
	l := &testLayouts{schema: s, layouts: ocsf.NewLayouts(s), tables: NewTables(s)}
	auth := l.class(t, "authentication")
	add(t, auth, "user.name", "user.uid", "user.email_addr", "actor.user.name", "src_endpoint.ip", "src_endpoint.port",
		"src_endpoint.location.city", "service.name", "is_mfa", "message", "raw_data", "http_request.user_agent", "session.uid")
	factors := rows(t, auth, "auth_factors")
	add(t, factors, "factor_type_id", "device.name", "email_addr")
	actor := l.class(t, "api_activity")
	add(t, actor, "api.operation", "api.request.data", "actor.user.name", "src_endpoint.ip", "count")
	res := rows(t, actor, "resources")
	add(t, res, "uid", "type", "data", "labels", "owner.name")
	l.class(t, "base_event")
	l.layouts.Freeze()
	return l
}

func (l *testLayouts) class(t testing.TB, name string) *ocsf.Layout {
	t.Helper()
	c, ok := l.schema.Class(name)
	if !ok {
		t.Fatalf("no class %s", name)
	}
	return l.layouts.Class(c)
}

func (l *testLayouts) table(t testing.TB, name string) *table {
	t.Helper()
	tab, err := l.tables.of(l.class(t, name).Class)
	if err != nil {
		t.Fatal(err)
	}
	return tab
}

func add(t testing.TB, l *ocsf.Layout, paths ...string) {
	t.Helper()
	for _, p := range paths {
		if _, err := l.Add(p); err != nil {
			t.Fatal(err)
		}
	}
}

func rows(t testing.TB, l *ocsf.Layout, path string) *ocsf.Layout {
	t.Helper()
	i, err := l.Add(path)
	if err != nil {
		t.Fatal(err)
	}
	return l.Info(i).Rows
}

func set(t testing.TB, l *ocsf.Layout, slots []ocsf.Value, path string, v ocsf.Value) {
	t.Helper()
	i := l.Slot(path)
	if i < 0 {
		t.Fatalf("no slot %s", path)
	}
	slots[i] = v
}

// apiEvent is a call with resources, whose labels are lists in a list.
func (l *testLayouts) apiEvent(t testing.TB, i int) *ocsf.Event {
	lay := l.class(t, "api_activity")
	e := &ocsf.Event{}
	e.Reset(lay)
	put := func(path string, v ocsf.Value) { set(t, lay, e.Slots, path, v) }
	put("time", ocsf.IntValue(1_764_000_000_000+int64(i)))
	put("activity_id", ocsf.IntValue(2))
	put("metadata.uid", ocsf.TextValue(fmt.Sprintf("call-%06d", i)))
	put("api.operation", ocsf.TextValue("DescribeThings"))
	put("api.request.data", ocsf.JSONValue(`{"i":`+strconv.Itoa(i)+`}`))
	put("count", ocsf.IntValue(int64(i)))
	rows := lay.Info(lay.Slot("resources")).Rows
	list := e.NewList(rows)
	for j := range i % 5 {
		row := list.AddRow()
		if j == 3 {
			continue // an element with nothing in it
		}
		set(t, rows, row, "uid", ocsf.TextValue(fmt.Sprintf("r-%d-%d", i, j)))
		set(t, rows, row, "data", ocsf.JSONValue(`[1,2]`))
		labels := e.NewList(nil)
		for k := range (i + j) % 3 {
			labels.Items = append(labels.Items, ocsf.TextValue(strconv.Itoa(k)))
		}
		set(t, rows, row, "labels", ocsf.ListValue(labels))
	}
	put("resources", ocsf.ListValue(list))
	return e
}

// authEvent is a sign-in with a bit of everything.
func (l *testLayouts) authEvent(t testing.TB, i int) *ocsf.Event {
	lay := l.class(t, "authentication")
	e := &ocsf.Event{}
	e.Reset(lay)
	put := func(path string, v ocsf.Value) { set(t, lay, e.Slots, path, v) }
	put("time", ocsf.IntValue(1_764_000_000_000+int64(i)))
	put("activity_id", ocsf.IntValue(1))
	put("metadata.uid", ocsf.TextValue(fmt.Sprintf("uid-%06d", i)))
	put("metadata.product.name", ocsf.TextValue("Example IdP"))
	put("user.name", ocsf.TextValue(fmt.Sprintf("user%d", i%7)))
	if i%2 == 0 {
		put("src_endpoint.ip", ocsf.TextValue("192.0.2."+strconv.Itoa(i%250)))
		put("src_endpoint.port", ocsf.IntValue(int64(40000+i%1000)))
	}
	if i%3 == 0 {
		put("src_endpoint.location.city", ocsf.TextValue("Kyōto"))
	}
	put("is_mfa", ocsf.BoolValue(i%5 == 0))
	put("service.name", ocsf.TextValue("Example"))
	if n := i % 4; n > 0 {
		rows := lay.Info(lay.Slot("auth_factors")).Rows
		list := e.NewList(rows)
		for j := range n {
			row := list.AddRow()
			set(t, rows, row, "factor_type_id", ocsf.IntValue(int64(j)))
			if j%2 == 1 {
				set(t, rows, row, "device.name", ocsf.TextValue("key "+strconv.Itoa(j)))
			}
		}
		put("auth_factors", ocsf.ListValue(list))
	}
	labels := e.NewList(nil)
	for j := range i % 3 {
		labels.Items = append(labels.Items, ocsf.TextValue("label"+strconv.Itoa(j)))
	}
	put("metadata.labels", ocsf.ListValue(labels))
	e.AddUnmapped("debugContext.a", strconv.Itoa(i))
	ocsf.Finish(e)
	return e
}

func pos(i int) nagare.Position {
	return nagare.Position{Stream: "nagare@1764000000", Shard: "shardId-000000000000", Seq: strconv.Itoa(1000 + i/10), Index: i % 10}
}

// writeFile writes events, and returns the file.
func writeFile(t testing.TB, tab *table, events []*ocsf.Event) []byte {
	t.Helper()
	var buf bytes.Buffer
	w := newWriter(&buf, tab, map[string]string{"stream": "nagare@1764000000"})
	for i, e := range events {
		if err := w.add(e, pos(i)); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.close(); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

func open(t testing.TB, file []byte) *parquet.File {
	t.Helper()
	f, err := parquet.OpenFile(bytes.NewReader(file), int64(len(file)))
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// readFile reads all rows as nested values, by the library's own rules.
func readFile(t testing.TB, file []byte) []map[string]any {
	t.Helper()
	f := open(t, file)
	var out []map[string]any
	for _, g := range f.RowGroups() {
		r := g.Rows()
		buf := make([]parquet.Row, 100)
		for {
			n, err := r.ReadRows(buf)
			for _, row := range buf[:n] {
				m := map[string]any{}
				if err := f.Schema().Reconstruct(&m, row); err != nil {
					t.Fatal(err)
				}
				out = append(out, m)
			}
			if err != nil {
				break
			}
		}
		r.Close()
	}
	return out
}
