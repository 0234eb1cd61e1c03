package lake

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/deprecated"
	"github.com/parquet-go/parquet-go/format"

	"nagare/ocsf"
)

// checkFooter holds a file against the rules of Security Lake and Glue.
func checkFooter(t *testing.T, tab *table, file []byte, events int) {
	t.Helper()
	f := open(t, file)
	meta := f.Metadata()
	if meta.NumRows != int64(events) {
		t.Errorf("%d rows, want %d", meta.NumRows, events)
	}
	for k, want := range map[string]string{"ocsf.version": tab.version, "ocsf.class_uid": fmt.Sprint(tab.class.UID), "nagare.schema": tab.hash, "stream": "nagare@1764000000"} {
		if got, _ := f.Lookup(k); got != want {
			t.Errorf("metadata %s = %q, want %q", k, got, want)
		}
	}
	checkSchema(t, meta.Schema)
	for g, group := range meta.RowGroups {
		if group.TotalCompressedSize > 256<<20 {
			t.Errorf("row group %d has %d bytes", g, group.TotalCompressedSize)
		}
		if group.NumRows > groupRows+batchRows {
			t.Errorf("row group %d has %d rows", g, group.NumRows)
		}
		if len(group.SortingColumns) != 2 {
			t.Errorf("row group %d says nothing about its order", g)
		}
		for _, c := range group.Columns {
			path := strings.Join(c.MetaData.PathInSchema, ".")
			if c.MetaData.Codec != format.Zstd {
				t.Errorf("column %s is compressed with %s", path, c.MetaData.Codec)
			}
			s := c.MetaData.Statistics
			if (path == "time" || path == "metadata.uid") && (len(s.MinValue) == 0 || len(s.MaxValue) == 0) {
				t.Errorf("column %s has no statistics", path)
			}
			if len(s.MinValue) > maxCell || len(s.MaxValue) > maxCell {
				t.Errorf("column %s has bounds of %d bytes", path, len(s.MaxValue))
			}
		}
	}
	for g, group := range f.RowGroups() {
		for i, chunk := range group.ColumnChunks() {
			pages := chunk.Pages()
			for {
				p, err := pages.ReadPage()
				if err != nil {
					break
				}
				if p.Size() > 1<<20 {
					t.Errorf("row group %d column %v has a page of %d bytes", g, f.Schema().Columns()[i], p.Size())
				}
				parquet.Release(p)
			}
			pages.Close()
		}
	}
	last := int64(0)
	for i, r := range readFile(t, file) {
		now := r["time"].(int64)
		if now < last {
			t.Fatalf("row %d is older than the one before", i)
		}
		last = now
	}
}

// checkSchema: everything optional, lists of three levels, maps, and nothing
// repeated outside of them.
func checkSchema(t *testing.T, schema []format.SchemaElement) {
	t.Helper()
	for i, e := range schema[1:] {
		i++
		switch {
		case !e.RepetitionType.Valid:
			t.Errorf("%s has no repetition", e.Name)
		case e.RepetitionType.V == format.Repeated:
			parent := schema[i-1]
			if e.Name != "list" && e.Name != "key_value" || !parent.ConvertedType.Valid ||
				parent.ConvertedType.V != deprecated.List && parent.ConvertedType.V != deprecated.Map {
				t.Errorf("%s is repeated outside of a list or a map", e.Name)
			}
			if e.Name == "list" && schema[i+1].Name != "element" {
				t.Errorf("the element of a list is called %s", schema[i+1].Name)
			}
		case e.RepetitionType.V == format.Required && e.Name != "key" && e.Name != "value":
			t.Errorf("%s is required", e.Name)
		}
		if strings.ToLower(e.Name) != e.Name {
			t.Errorf("column name %s is not lower case", e.Name)
		}
	}
	types := map[string]string{}
	for _, e := range schema {
		types[e.Name] = fmt.Sprint(e.Type.V)
	}
	for name, want := range map[string]string{"time": "INT64", "time_dt": "INT64", "class_uid": "INT32", "type_uid": "INT64", "class_name": "BYTE_ARRAY"} {
		if types[name] != want {
			t.Errorf("column %s is %s, want %s", name, types[name], want)
		}
	}
}

func TestFooter(t *testing.T) {
	l := newLayouts(t)
	tab := l.table(t, "authentication")
	var events []*ocsf.Event
	for i := range 2500 {
		events = append(events, l.authEvent(t, i))
	}
	checkFooter(t, tab, writeFile(t, tab, events), len(events))
}

// Files of an older schema follow the same rules.
func TestFooterOfOlder(t *testing.T) {
	l := newLayouts(t)
	older, err := ocsf.Load("1.1.0")
	if err != nil {
		t.Fatal(err)
	}
	down, err := ocsf.NewDowngrade(l.layouts, older)
	if err != nil {
		t.Fatal(err)
	}
	c, _ := older.Class("authentication")
	tab, err := NewTables(older).of(c)
	if err != nil {
		t.Fatal(err)
	}
	if tab.hash == l.table(t, "authentication").hash || tab.version != "1.1.0" {
		t.Errorf("the table of %s has hash %s", tab.version, tab.hash)
	}
	var events []*ocsf.Event
	for i := range 500 {
		full, e := l.authEvent(t, i), &ocsf.Event{}
		set(t, full.Layout, full.Slots, "metadata.product.vendor_name", ocsf.TextValue("Example"))
		ocsf.Finish(full)
		for _, p := range down.Convert(full, e, nil) {
			t.Error(p)
		}
		events = append(events, e)
	}
	file := writeFile(t, tab, events)
	checkFooter(t, tab, file, len(events))
	for i, r := range readFile(t, file) {
		un, _ := r["unmapped"].(map[string]any)
		if (un["auth_factors"] != nil) != (i%4 > 0) {
			t.Errorf("row %d: auth_factors in unmapped: %v", i, un["auth_factors"])
		}
	}
}

// Events made to burst pages: long texts, long lists, many unmapped fields.
func TestHostileSizes(t *testing.T) {
	l := newLayouts(t)
	tab := l.table(t, "authentication")
	lay := l.class(t, "authentication")
	var events []*ocsf.Event
	for i := range 16 {
		e := l.authEvent(t, i)
		switch i % 4 {
		case 0:
			set(t, lay, e.Slots, "message", ocsf.TextValue(strings.Repeat("m", 5<<20)))
			set(t, lay, e.Slots, "user.name", ocsf.TextValue(strings.Repeat("n", 70<<10)))
		case 1:
			labels := e.NewList(nil)
			for range 60_000 {
				labels.Items = append(labels.Items, ocsf.TextValue(strings.Repeat("x", 50)))
			}
			set(t, lay, e.Slots, "metadata.labels", ocsf.ListValue(labels))
		case 2:
			rows := lay.Info(lay.Slot("auth_factors")).Rows
			list := e.NewList(rows)
			for range 40_000 {
				set(t, rows, list.AddRow(), "factor_type_id", ocsf.IntValue(3))
			}
			set(t, lay, e.Slots, "auth_factors", ocsf.ListValue(list))
		case 3:
			for j := range 20_000 {
				e.AddUnmapped(fmt.Sprintf("key.%d", j), strings.Repeat("v", 100))
			}
		}
		events = append(events, e)
	}
	file := writeFile(t, tab, events)
	checkFooter(t, tab, file, len(events))
	if len(file) > 1<<20 {
		t.Errorf("the file has %d bytes: bounds in footers or pages that tell nothing?", len(file))
	}
	for i, r := range readFile(t, file) {
		if cut := r["unmapped"].(map[string]any)[keyCut]; cut == nil {
			t.Errorf("row %d was cut and does not say so", i)
		}
	}
}

// Every file of a class has the same columns, whoever filled which.
func TestSameSchema(t *testing.T) {
	l := newLayouts(t)
	other := ocsf.NewLayouts(l.schema)
	c, _ := l.schema.Class("authentication")
	bare := other.Class(c)
	other.Freeze()
	e := &ocsf.Event{}
	e.Reset(bare)
	set(t, bare, e.Slots, "time", ocsf.IntValue(5))
	set(t, bare, e.Slots, "metadata.uid", ocsf.TextValue("bare"))
	tab := l.table(t, "authentication")
	one := open(t, writeFile(t, tab, []*ocsf.Event{e}))
	two := open(t, writeFile(t, tab, []*ocsf.Event{l.authEvent(t, 1)}))
	// Both layouts in one file, in turn.
	mixed := open(t, writeFile(t, tab, []*ocsf.Event{e, l.authEvent(t, 1), e, l.authEvent(t, 2)}))
	for _, f := range []*parquet.File{two, mixed} {
		if d := cmp.Diff(one.Metadata().Schema, f.Metadata().Schema); d != "" {
			t.Errorf("schemas differ:\n%s", d)
		}
	}
	again, err := NewTables(l.schema).of(c)
	if err != nil || again.hash != tab.hash {
		t.Errorf("the hash of the columns is not stable: %v %v", again, err)
	}
}

// Many rows go into several row groups.
func TestRowGroups(t *testing.T) {
	if testing.Short() {
		t.Skip("50,000 rows")
	}
	l := newLayouts(t)
	tab := l.table(t, "authentication")
	var buf bytes.Buffer
	w := newWriter(&buf, tab, nil)
	lay := l.class(t, "authentication")
	e := &ocsf.Event{}
	for i := range groupRows + 2*batchRows {
		e.Reset(lay)
		set(t, lay, e.Slots, "time", ocsf.IntValue(int64(i)))
		if err := w.add(e, pos(i)); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.close(); err != nil {
		t.Fatal(err)
	}
	groups := open(t, buf.Bytes()).Metadata().RowGroups
	if len(groups) != 2 || groups[0].NumRows < groupRows || groups[0].NumRows > groupRows+batchRows {
		t.Errorf("%d row groups, the first with %d rows", len(groups), groups[0].NumRows)
	}
}
