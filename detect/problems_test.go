package detect_test

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"nagare"
	"nagare/detect"
	"nagare/ocsf"
)

var update = flag.Bool("update", false, "write the golden files")

func layouts(t testing.TB) *ocsf.Layouts {
	t.Helper()
	s, err := ocsf.Load(ocsf.Version)
	if err != nil {
		t.Fatal(err)
	}
	return ocsf.NewLayouts(s)
}

// TestProblems holds what is said of each seeded mistake, and where: the
// golden file lists it all.
func TestProblems(t *testing.T) {
	names, err := filepath.Glob("testdata/bad/*.yaml")
	if err != nil || len(names) < 10 {
		t.Fatal(names, err)
	}
	var files []detect.File
	for _, name := range names {
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, detect.File{Name: filepath.Base(name), Data: data, Dir: os.DirFS("testdata/bad"), Base: "."})
	}
	rules, problems := detect.Load(layouts(t), files, detect.Options{
		Receivers: []string{"identity"}, Today: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC),
		Fills: func(_, path string) bool { return path == "user.name" },
	})
	var got strings.Builder
	mistakes := 0
	for _, p := range problems {
		got.WriteString(p.String() + " [" + p.Code + "]\n")
		if p.Code == "" || p.Message == "" || p.File == "" {
			t.Errorf("a problem without its parts: %+v", p)
		}
		if !p.Warning {
			mistakes++
		}
	}
	t.Logf("%d mistakes, %d warnings", mistakes, len(problems)-mistakes)
	const golden = "testdata/bad/problems.txt"
	if *update {
		if err := os.WriteFile(golden, []byte(got.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(strings.Split(string(want), "\n"), strings.Split(got.String(), "\n")); diff != "" {
		t.Error(diff)
	}
	// Warnings leave a rule in place; mistakes do not.
	var ids []string
	for _, r := range rules.All() {
		ids = append(ids, r.ID)
	}
	if diff := cmp.Diff([]string{"test.warnings"}, ids); diff != "" {
		t.Errorf("rules that load: %s", diff)
	}
}

// TestFilledBy holds that what follows from a slot counts as filled.
func TestFilledBy(t *testing.T) {
	ls := layouts(t)
	c, _ := ls.Schema.Class("authentication")
	ls.Class(c).AddDeep("user.risk_level")
	ls.Class(c).AddDeep("auth_factors.factor_type_id")
	ls.Class(c).AddDeep("start_time")
	fills := detect.FilledBy(ls)
	ls.Class(c).AddDeep("user.name") // a rule's
	for path, want := range map[string]bool{
		"user.risk_level": true, "user.risk_level_id": true, "user.type_id": false, "user.name": false,
		"auth_factors.factor_type_id": true, "auth_factors.factor_type": true, "auth_factors": true, "auth_factors.provider": false,
		"start_time": true, "start_time_dt": true, "end_time": false, "type_name": true, "observables.value": true,
	} {
		if got := fills("authentication", path); got != want {
			t.Errorf("%s: %v, want %v", path, got, want)
		}
	}
	if fills("process_activity", "time") {
		t.Error("a class that no mapping makes is filled")
	}
}

// FuzzLoad holds that no rule file breaks the loader, and that a problem is in
// the file.
func FuzzLoad(f *testing.F) {
	names, _ := filepath.Glob("testdata/bad/*.yaml")
	more, _ := filepath.Glob("rules/*/*.yaml")
	for _, name := range append(names, more...) {
		data, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	s, err := ocsf.Load(ocsf.Version)
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) > 8000 {
			return
		}
		ls := ocsf.NewLayouts(s)
		rules, problems := detect.Load(ls, []detect.File{{Name: "f", Data: data}}, detect.Options{})
		lines := strings.Count(string(data), "\n") + 2
		bad := false
		for _, p := range problems {
			bad = bad || !p.Warning
			if p.Line < 0 || p.Line > lines || p.Column < 0 {
				t.Errorf("a problem outside of the file: %+v", p)
			}
		}
		if !bad && len(rules.All()) != 1 {
			t.Errorf("no problem and %d rules", len(rules.All()))
		}
		ls.Freeze()
		rules.Test(func(*nagare.Event, *ocsf.Event) error { return os.ErrInvalid }) // must not panic
	})
}
