package compact

import (
	"bytes"
	"testing"

	"github.com/parquet-go/parquet-go"

	"nagare"
	"nagare/internal/blob"
	"nagare/internal/lake"
	"nagare/ocsf"
)

// TestDowngrade holds that a lake of 1.1.0 gets files of 1.1.0, and dead
// letters for what is not valid there.
func TestDowngrade(t *testing.T) {
	r := newRig(t)
	older, err := ocsf.Load("1.1.0")
	if err != nil {
		t.Fatal(err)
	}
	if r.cfg.Downgrade, err = ocsf.NewDowngrade(r.layouts, older); err != nil {
		t.Fatal(err)
	}
	r.cfg.Tables = lake.NewTables(older)
	r.cfg.Normalize = func(ev *nagare.Event, out *ocsf.Event) error {
		if err := r.normalize(ev, out); err != nil {
			return err
		}
		set := func(path string, v ocsf.Value) {
			if i := out.Layout.Slot(path); i >= 0 {
				out.Slots[i] = v
			}
		}
		set("metadata.product.name", ocsf.TextValue("Test"))
		set("metadata.product.vendor_name", ocsf.TextValue("Example"))
		set("service.name", ocsf.TextValue("VPN"))
		if string(ev.Body) == "preauth" {
			set("activity_id", ocsf.IntValue(6))
			set("activity_name", ocsf.TextValue("Preauth"))
		}
		if string(ev.Body) == "seconds" {
			set("time", ocsf.IntValue(1_783_040_520))
		}
		return nil
	}
	s, _ := r.open()
	r.process(s, record(1, "a", "preauth", "seconds", "other"))
	r.flush(s, 1, false)
	if got := r.cfg.Stats.Lake.DeadKinds()[lake.DeadKind{Source: "test", Reason: invalid}]; got != 1 {
		t.Errorf("%d invalid dead letters, want the one with a time in seconds", got)
	}
	entries, err := r.cfg.Lake.List(t.Context(), "ext/", "", 10)
	if err != nil || len(entries) != 2 {
		t.Fatalf("objects %v %v", entries, err)
	}
	rows := 0
	for _, e := range entries {
		data, err := blob.ReadAll(t.Context(), r.cfg.Lake, e.Key, 1<<30)
		if err != nil {
			t.Fatal(err)
		}
		f, err := parquet.OpenFile(bytes.NewReader(data), int64(len(data)))
		if err != nil {
			t.Fatal(err)
		}
		if v, _ := f.Lookup("ocsf.version"); v != "1.1.0" {
			t.Errorf("%s is of OCSF %s", e.Key, v)
		}
		for _, c := range f.Schema().Columns() {
			if c[0] == "auth_factors" {
				t.Errorf("%s has a column %v", e.Key, c)
			}
		}
		reader := parquet.NewGenericReader[any](bytes.NewReader(data))
		buf := make([]any, 10)
		n, _ := reader.Read(buf)
		for _, row := range buf[:n] {
			rows++
			m := row.(map[string]any)
			if v := m["metadata"].(map[string]any)["version"]; v != "1.1.0" {
				t.Errorf("a row of OCSF %v", v)
			}
			if m["activity_name"] == "Preauth" && m["activity_id"] != int32(99) {
				t.Errorf("activity %v", m["activity_id"])
			}
		}
	}
	if rows != 3 {
		t.Errorf("%d rows, want 3", rows)
	}
}
