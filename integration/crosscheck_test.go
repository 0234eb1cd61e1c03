package integration

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestIndependentValidator holds the golden files of the mappings to a
// validator that shares nothing with the program: integration/ocsf/validate.py
// reads the compiled schema by itself. make proof runs it on more events, and
// libraries of others beside it.
func TestIndependentValidator(t *testing.T) {
	python, err := exec.LookPath("python3")
	if err != nil {
		t.Skip("python3 is not here")
	}
	schema := "../../shared/ocsf/schema-1.3.0.json"
	if _, err := os.Stat(schema); err != nil {
		t.Skip("../shared/ocsf with the compiled schemas is not here")
	}
	files, err := filepath.Glob("../ocsf/mappings/testdata/*/*.ocsf.json")
	if err != nil || len(files) == 0 {
		t.Fatal("no golden files", err)
	}
	check := func(files ...string) (string, bool) {
		out, err := exec.Command(python, append([]string{"ocsf/validate.py", schema}, files...)...).CombinedOutput()
		return string(out), err == nil
	}
	out, ok := check(files...)
	for line := range strings.Lines(out) {
		if !strings.HasPrefix(line, "warning") {
			t.Log(strings.TrimSpace(line))
		}
	}
	if !ok {
		t.Error("a golden event does not follow the schema")
	}
	// It would have noticed: an event that is wrong in several ways.
	wrong := filepath.Join(t.TempDir(), "wrong.jsonl")
	body := `{"class_uid":3002,"category_uid":3,"activity_id":1,"type_uid":300201,"severity_id":9,"time":1783040520,"user":{"nam":"x"},"metadata":{"version":"1.3.0","product":{"name":"p"}}}`
	if err := os.WriteFile(wrong, []byte(body), 0o600); err != nil {
		t.Fatal(err)
	}
	out, ok = check(wrong)
	for _, want := range []string{"looks like seconds", "9 is none of its values", "has no such attribute", "user needs at_least_one", "authentication needs at_least_one", "vendor_name: is required"} {
		if ok || !strings.Contains(out, want) {
			t.Errorf("not noticed: %s\n%s", want, out)
		}
	}
}
