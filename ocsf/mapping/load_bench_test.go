package mapping_test

import (
	"io/fs"
	"testing"

	"nagare/ocsf"
	"nagare/ocsf/mapping"
	"nagare/ocsf/mappings"
)

// BenchmarkLoad is what a program pays when it starts: all built-in mappings,
// compiled and frozen.
func BenchmarkLoad(b *testing.B) {
	names, err := fs.Glob(mappings.FS, "*.yaml")
	if err != nil {
		b.Fatal(err)
	}
	var files []mapping.File
	for _, n := range names {
		data, err := fs.ReadFile(mappings.FS, n)
		if err != nil {
			b.Fatal(err)
		}
		files = append(files, mapping.File{Name: n, Data: data})
	}
	b.ReportAllocs()
	for b.Loop() {
		schema, err := ocsf.Load(ocsf.Version)
		if err != nil {
			b.Fatal(err)
		}
		layouts := ocsf.NewLayouts(schema)
		if _, problems := mapping.Load(layouts, files); mapping.Failed(problems) {
			b.Fatal(problems)
		}
		layouts.Freeze()
	}
}
