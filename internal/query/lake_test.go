//go:build cgo && !nosql

package query

import (
	"database/sql"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"nagare/ocsf"
)

// classes are the views of the program, with the columns the lake really has.
func classes(t testing.TB) []View {
	t.Helper()
	schema, err := ocsf.Load(ocsf.Version)
	if err != nil {
		t.Fatal(err)
	}
	var views []View
	for _, class := range schema.Classes {
		v := View{Name: class.Name, UID: class.UID}
		for _, c := range schema.Columns(class) {
			v.Columns = append(v.Columns, Column{Name: c.Name, Type: c.SQLType()})
		}
		views = append(views, v)
	}
	return views
}

// obj is a JSON object of a test's event.
type obj = map[string]any

// write makes an object of a class in a lake, without the sandbox.
func write(t testing.TB, lake string, v View, name string, rows ...obj) {
	t.Helper()
	db, err := sql.Open("duckdb", "")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	lines := filepath.Join(t.TempDir(), "rows.json")
	f, err := os.Create(lines)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for _, r := range rows {
		if err := json.NewEncoder(f).Encode(r); err != nil {
			t.Fatal(err)
		}
	}
	var columns []string
	for _, c := range v.Columns {
		columns = append(columns, ident(c.Name)+": "+text(c.Type))
	}
	to := filepath.Join(lake, "ext", folder(v), name)
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		t.Fatal(err)
	}
	s := fmt.Sprintf("COPY (SELECT * FROM read_json(%s, format = 'newline_delimited', columns = {%s})) TO %s (FORMAT parquet, COMPRESSION zstd)",
		text(lines), strings.Join(columns, ", "), text(to))
	if _, err := db.Exec(s); err != nil {
		t.Fatal(err)
	}
}

// day is an object's name.
func day(eventDay, name string) string {
	return "region=local/accountId=external/eventDay=" + eventDay + "/" + name + ".parquet"
}

func view(t testing.TB, views []View, name string) View {
	t.Helper()
	for _, v := range views {
		if v.Name == name {
			return v
		}
	}
	t.Fatalf("no class %s", name)
	return View{}
}

func opened(t testing.TB, cfg Config) *DB {
	t.Helper()
	db, err := Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return db
}

// answer is the whole answer in a format.
func answer(t testing.TB, r Result, err error, format string) string {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	var b strings.Builder
	if _, err := Write(&b, format, r); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func ask(t testing.TB, db *DB, question, format string) string {
	t.Helper()
	r, err := db.Query(t.Context(), question)
	return answer(t, r, err, format)
}
