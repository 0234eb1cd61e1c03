package expr

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/cel-go/cel"
	"github.com/google/cel-go/common/types"
	"go.yaml.in/yaml/v4"

	"nagare"
	"nagare/ocsf"
)

// packRule is what the test reads of a rule file.
type packRule struct {
	ID    string
	Class any
	Where string
	Cases []struct {
		Events []struct{ OCSF ocsf.Tree }
	}
}

// TestDifferential holds that a rule says the same over slots as plain cel-go
// says over the event's JSON, where what is missing is an error: so the typed
// zeros never make a rule of the pack hold, nor a cast or a list get lost. The
// events are those of the pack's cases and what mappings make of their samples.
func TestDifferential(t *testing.T) {
	s := schema(t)
	rules := readPack(t)
	events := sampleEvents(t, s)
	for _, r := range rules {
		for _, c := range r.Cases {
			for _, e := range c.Events {
				if e.OCSF != nil {
					events = append(events, sample{classOf(t, s, r, e.OCSF), e.OCSF})
				}
			}
		}
	}
	ls := ocsf.NewLayouts(s)
	for _, e := range events {
		if wrong := ls.Class(e.class).AddTree(e.tree); len(wrong) > 0 {
			t.Fatal(wrong)
		}
	}
	ls.Freeze()
	plain := plainEnv(t)
	compared := 0
	for _, r := range rules {
		env := eventEnv(t, s, classNames(r.Class)...)
		x, found := env.Compile(r.Where, WantBool)
		if len(found) > 0 {
			t.Fatal(r.ID, found)
		}
		program := plainProgram(t, env, plain, r.Where)
		held := 0
		for _, sample := range events {
			if !slices.Contains(env.classes, sample.class) {
				continue
			}
			var e ocsf.Event
			e.Reset(ls.Class(sample.class))
			if wrong := e.FillTree(sample.tree); len(wrong) > 0 {
				t.Fatal(wrong)
			}
			ocsf.Finish(&e)
			var v Vars
			v.Bind(env, &e, &nagare.Event{Auth: "pass", Source: "s"})
			got, err := x.Bool(&v)
			if err != nil {
				t.Errorf("%s: %v", r.ID, err)
			}
			text := e.AppendJSON(nil)
			want := plainHolds(t, program, text)
			if got != want {
				t.Errorf("%s: over slots %v, over JSON %v: %s", r.ID, got, want, text)
			}
			compared++
			if got {
				held++
			}
		}
		if held == 0 {
			t.Errorf("%s held on no event: nothing was compared", r.ID)
		}
	}
	t.Logf("%d rules, %d events, %d comparisons", len(rules), len(events), compared)
	if compared < 100 {
		t.Error("too few comparisons")
	}
}

func readPack(t *testing.T) []packRule {
	t.Helper()
	names, err := filepath.Glob("../../detect/rules/*/*.yaml")
	if err != nil || len(names) == 0 {
		t.Fatal("no rules", err)
	}
	var out []packRule
	for _, name := range names {
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		var r packRule
		if err := yaml.Load(data, &r); err != nil {
			t.Fatal(name, err)
		}
		out = append(out, r)
	}
	return out
}

func classNames(v any) []string {
	if s, ok := v.(string); ok {
		return []string{s}
	}
	var out []string
	for _, c := range v.([]any) {
		out = append(out, c.(string))
	}
	return out
}

func classOf(t *testing.T, s *ocsf.Schema, r packRule, tree ocsf.Tree) *ocsf.Class {
	t.Helper()
	if uid, ok := tree["class_uid"].(int); ok {
		if c, ok := s.ClassByUID(uid); ok {
			return c
		}
	}
	c, ok := s.Class(classNames(r.Class)[0])
	if !ok {
		t.Fatal(r.ID)
	}
	return c
}

// A sample is an event as a tree.
type sample struct {
	class *ocsf.Class
	tree  ocsf.Tree
}

// sampleEvents are the golden files of the mappings.
func sampleEvents(t *testing.T, s *ocsf.Schema) []sample {
	t.Helper()
	names, _ := filepath.Glob("../mappings/testdata/*/*.ocsf.json*")
	if len(names) == 0 {
		t.Fatal("no golden files")
	}
	var out []sample
	for _, name := range names {
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		d := json.NewDecoder(bytes.NewReader(data))
		d.UseNumber()
		for d.More() {
			var v any
			if err := d.Decode(&v); err != nil {
				t.Fatal(name, err)
			}
			list, ok := v.([]any)
			if !ok {
				list = []any{v}
			}
			for _, item := range list {
				tree, ok := item.(map[string]any)
				if !ok {
					continue
				}
				uid, _ := tree["class_uid"].(json.Number)
				n, _ := uid.Int64()
				if c, ok := s.ClassByUID(int(n)); ok {
					out = append(out, sample{c, tree})
				}
			}
		}
	}
	return out
}

// plainEnv knows nothing of OCSF: event is whatever its JSON is.
func plainEnv(t *testing.T) *cel.Env {
	t.Helper()
	env, err := cel.NewCustomEnv(append([]cel.EnvOption{cel.StdLib(), cel.Variable("event", cel.DynType), cel.Variable("meta", cel.DynType)}, Library()...)...)
	if err != nil {
		t.Fatal(err)
	}
	return env
}

func plainProgram(t *testing.T, env *EventEnv, plain *cel.Env, text string) cel.Program {
	t.Helper()
	parsed, iss := plain.Parse(text)
	if iss.Err() != nil {
		t.Fatal(iss.Err())
	}
	(&rewriter{env: env, ast: parsed.NativeRep()}).walk(parsed.NativeRep().Expr(), nil, nil)
	softenHas(parsed.NativeRep())
	program, err := plain.Program(parsed)
	if err != nil {
		t.Fatal(err)
	}
	return program
}

// plainHolds evaluates over JSON; what is missing is an error, and no match.
func plainHolds(t *testing.T, program cel.Program, text []byte) bool {
	t.Helper()
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	var event map[string]any
	if err := d.Decode(&event); err != nil {
		t.Fatal(err)
	}
	out, _, err := program.Eval(map[string]any{"event": whole(event), "meta": map[string]any{"auth": "pass", "source": "s"}})
	if err != nil && !strings.Contains(err.Error(), "no such key") {
		t.Errorf("plain cel-go: %v", err)
	}
	return err == nil && out == types.True
}

// whole makes the numbers of JSON ints or doubles.
func whole(v any) any {
	switch x := v.(type) {
	case json.Number:
		if i, err := x.Int64(); err == nil {
			return i
		}
		f, _ := x.Float64()
		return f
	case map[string]any:
		for k := range x {
			x[k] = whole(x[k])
		}
	case []any:
		for i := range x {
			x[i] = whole(x[i])
		}
	}
	return v
}
