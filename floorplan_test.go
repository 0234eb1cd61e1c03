package nagare_test

import (
	"go/parser"
	"go/token"
	"io/fs"
	"path"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// floor gives each room its floor. A room imports rooms of lower floors only,
// and rooms of one floor do not know each other. The entry of a folder holds
// for what is below it unless that has a line of its own; a room may always
// import what is inside it.
var floor = map[string]int{
	".":                 0,
	"ocsf":              1,
	"internal/walcheck": 0,
	"internal/frame":    1,
	"internal/coord":    1,
	"internal/blob":     1,
	"internal/kinesisd": 1,
	"internal/claim":    2,
	"ocsf/expr":         2,
	"ocsf/mapping":      3,
	"ocsf/mappings":     1, // only embedded files
	"detect":            3,
	"detect/rules":      1, // only embedded files
	"internal/lake":     4,
	"internal/alert":    4,
	"internal/query":    4,
	"producers":         5,
	"consumers":         5,
	"producers/webhook": 6,
	"producers/datadog": 6,
	"producers/github":  6,
	"producers/mail":    6,
	"producers/upload":  6,
	"producers/flowlog": 6,
	"consumers/live":    6,
	"consumers/compact": 6,
	"internal/config":   7,
	"internal/app":      8,
	"cmd":               9,
	"integration":       9,
}

// only names the one room that may import a big library.
var only = map[string][]string{
	"github.com/vmware/vmware-go-kcl-v2":            {"consumers"},
	"github.com/google/cel-go":                      {"ocsf/expr"},
	"github.com/parquet-go/parquet-go":              {"internal/lake"},
	"github.com/duckdb/duckdb-go":                   {"internal/query"},
	"github.com/slack-go/slack":                     {"internal/alert"},
	"modernc.org/sqlite":                            {"internal/coord", "internal/kinesisd", "producers"},
	"github.com/aws/aws-sdk-go-v2/service/dynamodb": {"internal/coord"},
}

func TestFloorPlan(t *testing.T) {
	rooms := 0
	for file, imports := range sources(t) {
		dir := path.Dir(file)
		room, level := roomOf(t, dir)
		rooms++
		for _, imp := range imports {
			for lib, homes := range only {
				if (imp == lib || strings.HasPrefix(imp, lib+"/")) && !within(dir, homes) {
					t.Errorf("%s imports %s; only %v may", file, imp, homes)
				}
			}
			if imp != "nagare" && !strings.HasPrefix(imp, "nagare/") {
				continue
			}
			to := strings.TrimPrefix(strings.TrimPrefix(imp, "nagare"), "/")
			if to == "" {
				to = "."
			}
			toRoom, toLevel := roomOf(t, to)
			if toRoom != room && toLevel >= level {
				t.Errorf("%s (floor %d) imports %s (floor %d)", file, level, to, toLevel)
			}
		}
	}
	if rooms < 10 {
		t.Fatalf("looked at %d files: the plan was not tested", rooms)
	}
}

// within says whether dir is one of homes, or below one.
func within(dir string, homes []string) bool {
	for _, h := range homes {
		if dir == h || strings.HasPrefix(dir, h+"/") {
			return true
		}
	}
	return false
}

// roomOf finds the line of the plan that dir belongs to.
func roomOf(t *testing.T, dir string) (room string, level int) {
	t.Helper()
	for d := dir; d != "."; d = path.Dir(d) {
		if f, ok := floor[d]; ok {
			return d, f
		}
	}
	if dir != "." {
		t.Errorf("%s has no floor: add a line to floorplan_test.go", dir)
	}
	return ".", floor["."]
}

// sources returns the imports of every Go file that is not a test.
func sources(t *testing.T) map[string][]string {
	t.Helper()
	found := map[string][]string{}
	err := filepath.WalkDir(".", func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && name != "." && (d.Name() == "testdata" || strings.HasPrefix(d.Name(), ".")):
			return fs.SkipDir
		case d.IsDir() || !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go"):
			return nil
		}
		f, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ImportsOnly)
		if err != nil {
			return err
		}
		var imports []string
		for _, i := range f.Imports {
			imp, err := strconv.Unquote(i.Path.Value)
			if err != nil {
				return err
			}
			imports = append(imports, imp)
		}
		found[filepath.ToSlash(name)] = imports
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}
