package lake

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"nagare"
	"nagare/ocsf"
	"nagare/ocsf/mapping"
	"nagare/ocsf/mappings"
)

// builtIn loads the mappings that are built in.
func builtIn(t testing.TB) (*ocsf.Layouts, *mapping.Set) {
	t.Helper()
	schema, err := ocsf.Load("1.3.0")
	if err != nil {
		t.Fatal(err)
	}
	var files []mapping.File
	names, _ := fs.Glob(mappings.FS, "*.yaml")
	for _, n := range names {
		b, err := mappings.FS.ReadFile(n)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, mapping.File{Name: n, Data: b})
	}
	layouts := ocsf.NewLayouts(schema)
	// A mapping with a mistake is not in the set; its own tests say so.
	set, _ := mapping.Load(layouts, files)
	layouts.Freeze()
	return layouts, set
}

// corpus reads samples of real shapes, one event a line.
func corpus(t testing.TB) map[string][][]byte {
	t.Helper()
	root := "../../../shared/data"
	if _, err := os.Stat(root); err != nil {
		t.Skip("no sample data here")
	}
	out := map[string][][]byte{}
	for source, folder := range map[string]string{"okta": "okta_system_log", "entra": "entra_signin", "cloudtrail": "aws_cloudtrail", "defender": "microsoft_defender_xdr"} {
		names, _ := filepath.Glob(filepath.Join(root, folder, "*.jsonl"))
		for _, name := range names {
			b, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			lines := bufio.NewScanner(bytes.NewReader(b))
			lines.Buffer(nil, 1<<20)
			for lines.Scan() {
				if json.Valid(lines.Bytes()) {
					out[source] = append(out[source], bytes.Clone(lines.Bytes()))
				}
			}
		}
	}
	return out
}

// flatten lists the leaves of nested values by dotted path.
func flatten(v any, at string, out map[string]string) {
	switch v := v.(type) {
	case map[string]any:
		for k, x := range v {
			flatten(x, strings.TrimPrefix(at+"."+k, "."), out)
		}
	case []any:
		for i, x := range v {
			flatten(x, at+"."+strconv.Itoa(i), out)
		}
	case nil:
	case float64:
		out[at] = strconv.FormatFloat(v, 'f', -1, 64)
	case []byte:
		out[at] = string(v)
	case time.Time:
		out[at] = v.UTC().Format("2006-01-02T15:04:05.000Z07:00")
	default:
		out[at] = fmt.Sprint(v)
	}
}

// Whatever a mapping makes of real events, each value of it is in the row: in
// its column, or in unmapped under its path.
func TestCorpus(t *testing.T) {
	for _, version := range ocsf.Versions {
		t.Run(version, func(t *testing.T) { testCorpus(t, version) })
	}
}

func testCorpus(t *testing.T, version string) {
	layouts, set := builtIn(t)
	tables := map[int]*table{}
	rows := map[int][]*ocsf.Event{}
	want := map[int][]map[string]string{}
	schema, err := ocsf.Load(version)
	if err != nil {
		t.Fatal(err)
	}
	var down *ocsf.Downgrade
	if version != ocsf.Version {
		if down, err = ocsf.NewDowngrade(layouts, schema); err != nil {
			t.Fatal(err)
		}
	}
	all := NewTables(schema)
	var sc mapping.Scratch
	n, lines := 0, 0
	for source, samples := range corpus(t) {
		m, ok := set.Source(source)
		if !ok {
			t.Logf("no mapping of %s", source)
			continue
		}
		lines += len(samples)
		for i, line := range samples {
			ev := nagare.Event{Source: source, UID: fmt.Sprint(source, i), Received: start, Body: line}
			e := &ocsf.Event{}
			if m.Normalize(&ev, e, &sc) != nil {
				continue
			}
			if down != nil {
				full := e
				e = &ocsf.Event{}
				wrong := len(ocsf.Validate(full, nil))
				for _, p := range down.Convert(full, e, nil) {
					if wrong == 0 {
						t.Errorf("%s %d: %s", source, i, p)
					}
				}
			}
			n++
			uid := e.Class().UID
			tab, err := all.of(e.Class())
			if err != nil {
				t.Fatal(err)
			}
			var j any
			dec := json.NewDecoder(bytes.NewReader(e.AppendJSON(nil)))
			dec.UseNumber()
			if err := dec.Decode(&j); err != nil {
				t.Fatal(err)
			}
			flat := map[string]string{}
			flatten(j, "", flat)
			tables[uid], rows[uid], want[uid] = tab, append(rows[uid], e), append(want[uid], flat)
		}
	}
	if n < lines/2 {
		t.Errorf("only %d of %d events were mapped", n, lines)
	}
	moved := 0
	for uid, events := range rows {
		for i, r := range readFile(t, writeFile(t, tables[uid], events)) {
			got := map[string]string{}
			flatten(map[string]any(r), "", got)
			un, _ := r["unmapped"].(map[string]any)
			for path, v := range want[uid][i] {
				if g, ok := got[path]; ok && same(g, v) {
					continue
				}
				if inJSON(got, path) { // of a column that holds JSON as text
					continue
				}
				if held(un, path) {
					moved++
					continue
				}
				t.Errorf("class %d row %d: %s = %q is nowhere in the row (column %q)", uid, i, path, v, got[path])
			}
		}
	}
	t.Logf("%d events, %d classes, %d values in unmapped for want of a column", n, len(rows), moved)
}

// same compares texts, or times as the columns of both kinds print them.
func same(got, want string) bool {
	if got == want {
		return true
	}
	ms, err := strconv.ParseInt(got, 10, 64)
	return err == nil && time.UnixMilli(ms).UTC().Format("2006-01-02T15:04:05.000Z07:00") == want
}

// inJSON says whether a leaf above path holds JSON.
func inJSON(got map[string]string, path string) bool {
	for i := strings.LastIndexByte(path, '.'); i > 0; i = strings.LastIndexByte(path[:i], '.') {
		if v, ok := got[path[:i]]; ok && json.Valid([]byte(v)) {
			return true
		}
	}
	return false
}

// held says whether unmapped has path, or a list around it.
func held(un map[string]any, path string) bool {
	for {
		if _, ok := un[path]; ok {
			return true
		}
		i := strings.LastIndexByte(path, '.')
		if i < 0 {
			return false
		}
		path = path[:i]
	}
}
