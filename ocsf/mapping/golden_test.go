package mapping_test

import (
	"flag"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"nagare/ocsf"
	"nagare/ocsf/mapping"
	"nagare/ocsf/mappings"
)

var update = flag.Bool("update", false, "write the golden files of the cases anew")

// loaded is a set with the problems it was loaded with.
type loaded struct {
	set      *mapping.Set
	problems []mapping.Problem
}

// builtins are all files that are built in. Tests share them: a set does not
// change.
var builtins = sync.OnceValues(func() (loaded, error) { return loadBuiltin() })

// builtin loads the mapping files that are built in, or the named ones of them.
func builtin(t testing.TB, names ...string) *mapping.Set {
	t.Helper()
	l, err := builtins()
	if len(names) > 0 {
		l, err = loadBuiltin(names...)
	}
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range l.problems {
		t.Error(p)
	}
	return l.set
}

func loadBuiltin(names ...string) (loaded, error) {
	s, err := schema()
	if err != nil {
		return loaded{}, err
	}
	if len(names) == 0 {
		if names, err = fs.Glob(mappings.FS, "*.yaml"); err != nil {
			return loaded{}, err
		}
	}
	var files []mapping.File
	for _, n := range names {
		data, err := fs.ReadFile(mappings.FS, n)
		if err != nil {
			return loaded{}, err
		}
		files = append(files, mapping.File{Name: n, Data: data})
	}
	layouts := ocsf.NewLayouts(s)
	set, problems := mapping.Load(layouts, files)
	layouts.Freeze()
	return loaded{set, problems}, nil
}

// okta loads the mapping of Okta alone.
func okta(t testing.TB) *mapping.Set { return builtin(t, "okta.yaml", "authenticators.yaml") }

func TestGolden(t *testing.T) {
	set := builtin(t)
	if len(set.Sources()) == 0 {
		t.Fatal("no sources")
	}
	for _, source := range set.Sources() {
		t.Run(source, func(t *testing.T) {
			m, _ := set.Source(source)
			if len(m.Cases) == 0 {
				t.Errorf("%s has no cases", m.File)
			}
			for _, res := range set.Test(mappings.FS, source) {
				if *update {
					name := filepath.Join("..", "mappings", filepath.FromSlash(res.Case.Golden))
					if err := os.WriteFile(name, res.Got, 0o644); err != nil {
						t.Error(err)
					}
				}
				for _, f := range res.Failures {
					t.Errorf("%s: %s", res.Case.File, f)
				}
			}
		})
	}
}
