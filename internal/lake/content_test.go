package lake

import (
	"encoding/json"
	"fmt"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"nagare/ocsf"
)

// asJSON is the event as its own JSON says, without what is empty.
func asJSON(t *testing.T, e *ocsf.Event) map[string]any {
	t.Helper()
	var m map[string]any
	if err := json.Unmarshal(e.AppendJSON(nil), &m); err != nil {
		t.Fatal(err)
	}
	return trim(m, "").(map[string]any)
}

// trim brings both sides of a comparison to one form: numbers as text, JSON
// columns as compact text, no nulls, no empty lists.
func trim(v any, name string) any {
	switch v := v.(type) {
	case map[string]any:
		if name == "data" { // json_t
			b, _ := json.Marshal(v)
			return string(b)
		}
		out := map[string]any{}
		for k, x := range v {
			if y := trim(x, k); y != nil {
				out[k] = y
			}
		}
		return out
	case []any:
		if name == "data" {
			b, _ := json.Marshal(v)
			return string(b)
		}
		if len(v) == 0 {
			return nil
		}
		out := make([]any, len(v))
		for i, x := range v {
			if out[i] = trim(x, ""); out[i] == nil {
				out[i] = map[string]any{}
			}
		}
		return out
	case time.Time:
		return v.UTC().Format("2006-01-02T15:04:05.000Z07:00")
	case string:
		return v
	case []byte:
		return string(v)
	case float64:
		return fmt.Sprint(int64(v))
	case nil:
		return nil
	case int64:
		if strings.HasSuffix(name, "_dt") {
			return time.UnixMilli(v).UTC().Format("2006-01-02T15:04:05.000Z07:00")
		}
	}
	return fmt.Sprint(v)
}

// What is read back from a file is what the slots held, for every kind of
// column: nested groups, lists of groups, lists in lists, maps.
func TestContent(t *testing.T) {
	l := newLayouts(t)
	for class, make := range map[string]func(testing.TB, int) *ocsf.Event{"authentication": l.authEvent, "api_activity": l.apiEvent} {
		t.Run(class, func(t *testing.T) {
			var events []*ocsf.Event
			var want []map[string]any
			for i := range 1200 {
				e := make(t, i)
				w := asJSON(t, e)
				un, _ := w["unmapped"].(map[string]any)
				if un == nil {
					un = map[string]any{}
				}
				p := pos(i)
				maps.Copy(un, map[string]any{keyStream: p.Stream, keyShard: p.Shard, keySeq: p.Seq, keyIndex: fmt.Sprint(p.Index)})
				w["unmapped"] = un
				events, want = append(events, e), append(want, w)
			}
			got := readFile(t, writeFile(t, l.table(t, class), events))
			if len(got) != len(want) {
				t.Fatalf("%d rows, want %d", len(got), len(want))
			}
			for i := range got {
				if d := cmp.Diff(want[i], trim(got[i], "")); d != "" {
					t.Fatalf("row %d (-event +file):\n%s", i, d)
				}
			}
		})
	}
}

// What does not fit a column, or has none, is in unmapped under its path.
func TestMisfits(t *testing.T) {
	l := newLayouts(t)
	lay := l.class(t, "authentication")
	e := l.authEvent(t, 2) // with two factors
	put := func(path string, v ocsf.Value) { set(t, lay, e.Slots, path, v) }
	put("src_endpoint.port", ocsf.TextValue("http"))
	put("activity_id", ocsf.IntValue(1<<40))
	put("is_mfa", ocsf.TextValue("perhaps"))
	put("message", ocsf.TextValue("bad \xff byte"))
	factors := e.Get("auth_factors").List()
	set(t, factors.Row, factors.At(1), "email_addr", ocsf.TextValue("a@example.com")) // the table has no such column
	set(t, factors.Row, factors.At(0), "factor_type_id", ocsf.TextValue("odd"))
	put("raw_data", ocsf.TextValue(strings.Repeat("é", maxCell)))
	e.Unmapped = append(e.Unmapped, ocsf.Pair{Key: "k", Value: "1"}, ocsf.Pair{Key: "k", Value: "2"}, ocsf.Pair{Key: "k", Value: "1"},
		ocsf.Pair{Key: keySeq, Value: "forged"})
	rows := readFile(t, writeFile(t, l.table(t, "authentication"), []*ocsf.Event{e}))
	got := trim(rows[0], "").(map[string]any)
	p := pos(0)
	want := map[string]any{
		"src_endpoint.port": "http", "activity_id": "1099511627776", "is_mfa": "perhaps",
		"auth_factors.1.email_addr": "a@example.com", "auth_factors.0.factor_type_id": "odd",
		"k": "1", "k#2": "2", "source." + keySeq: "forged", "debugContext.a": "2", keyCut: "true",
		keyStream: p.Stream, keyShard: p.Shard, keySeq: p.Seq, keyIndex: "0",
	}
	if d := cmp.Diff(want, got["unmapped"]); d != "" {
		t.Errorf("unmapped (-want +got):\n%s", d)
	}
	if got["message"] != "bad \uFFFD byte" {
		t.Errorf("message = %q", got["message"])
	}
	if n := len(got["raw_data"].(string)); n != maxCell {
		t.Errorf("raw_data has %d bytes, want %d", n, maxCell)
	}
	if _, ok := got["activity_id"]; ok {
		t.Error("activity_id is in its column although it does not fit")
	}
}
