package detect_test

import (
	"io/fs"
	"path"
	"testing"

	"nagare/detect"
	"nagare/detect/rules"
	"nagare/ocsf"
)

// pack loads the embedded rules.
func pack(t testing.TB) *detect.Rules {
	t.Helper()
	s, err := ocsf.Load(ocsf.Version)
	if err != nil {
		t.Fatal(err)
	}
	layouts := ocsf.NewLayouts(s)
	var files []detect.File
	err = fs.WalkDir(rules.FS, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := rules.FS.ReadFile(name)
		files = append(files, detect.File{Name: name, Data: data, Dir: rules.FS, Base: path.Dir(name)})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	r, problems := detect.Load(layouts, files, detect.Options{})
	for _, p := range problems {
		t.Errorf("%s", p)
	}
	layouts.Freeze()
	return r
}

// TestPack holds that the pack loads without a word, and that each rule has a
// case that fires and one that does not, all of which hold.
func TestPack(t *testing.T) {
	r := pack(t)
	if len(r.All()) < 10 {
		t.Errorf("%d rules, want ten", len(r.All()))
	}
	for _, res := range r.Test(nil) {
		if !res.OK {
			t.Errorf("%s:%d: %s: %s", res.File, res.Line, res.Case, res.Message)
		}
	}
	for _, rule := range r.All() {
		fires, silent := 0, 0
		for _, c := range rule.Cases {
			if len(c.Expect) > 0 {
				fires++
			} else {
				silent++
			}
		}
		if fires == 0 || silent == 0 {
			t.Errorf("%s: %d cases that fire, %d that do not", rule.ID, fires, silent)
		}
		if !rule.Shadow && rule.Severity != "" && rule.Severity != "high" && rule.Severity != "critical" {
			t.Errorf("%s is live below high", rule.ID)
		}
	}
}
