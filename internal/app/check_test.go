package app

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestMappingsUpdate holds that a person can write the golden file of a mapping
// of theirs, and that the cases of a file that is named are the ones beside it,
// also where a built-in file has the same path.
func TestMappingsUpdate(t *testing.T) {
	t.Chdir(t.TempDir())
	dir := filepath.Join("ocsf", "mappings", "testdata", "csv")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join("ocsf", "mappings", "csv.yaml")
	for name, text := range map[string]string{
		file:                             "source: csv\nproducts: {a: {vendor_name: V, name: N}, unused: {vendor_name: V, name: N}}\ntime: raw.at\nevents: [{product: a, class: base_event, set: {message: raw.m}}]\ncases: [{file: testdata/csv/rows.jsonl, golden: testdata/csv/mine.ocsf.json, at: 2026-07-03T00:00:00Z}]\n",
		filepath.Join(dir, "rows.jsonl"): `{"m":"ours","at":"2026-07-02T00:00:00Z"}`,
	} {
		if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	var out bytes.Buffer
	if err := MappingsTest(t.Context(), Options{}, []string{file}, false, "json", &out); err == nil {
		t.Error("a case without a golden file passes")
	}
	out.Reset()
	if err := MappingsTest(t.Context(), Options{}, []string{file}, true, "json", &out); err != nil {
		t.Errorf("%v\n%s", err, &out)
	}
	golden, err := os.ReadFile(filepath.Join(dir, "mine.ocsf.json"))
	if err != nil || !strings.Contains(string(golden), `"ours"`) || strings.Contains(string(golden), "time_suspect") {
		t.Errorf("%s, %v", golden, err)
	}
	if err := MappingsTest(t.Context(), Options{}, nil, true, "json", &out); err == nil {
		t.Error("--update without a file is taken")
	}
}
