package detect_test

import (
	"bytes"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"nagare"
	"nagare/detect"
	"nagare/detect/rules"
	"nagare/ocsf"
	"nagare/ocsf/mapping"
	"nagare/ocsf/mappings"
)

// A built is the embedded mappings and rules together.
type built struct {
	rules    *detect.Rules
	mappings *mapping.Set
}

func builtin(t testing.TB) *built {
	t.Helper()
	ls := layouts(t)
	var files []mapping.File
	for name, data := range embedded(t, mappings.FS, "*.yaml") {
		files = append(files, mapping.File{Name: name, Data: data})
	}
	set, problems := mapping.Load(ls, files)
	for _, p := range problems {
		if !p.Warning {
			t.Fatal(p)
		}
	}
	var ruleFiles []detect.File
	for name, data := range embedded(t, rules.FS, "*/*.yaml") {
		ruleFiles = append(ruleFiles, detect.File{Name: name, Data: data, Dir: rules.FS, Base: path.Dir(name)})
	}
	r, problems := detect.Load(ls, ruleFiles, detect.Options{Fills: detect.FilledBy(ls)})
	for _, p := range problems {
		t.Error(p)
	}
	ls.Freeze()
	return &built{r, set}
}

func embedded(t testing.TB, fsys fs.FS, pattern string) map[string][]byte {
	t.Helper()
	names, err := fs.Glob(fsys, pattern)
	if err != nil || len(names) == 0 {
		t.Fatal(names, err)
	}
	out := map[string][]byte{}
	for _, n := range names {
		if out[n], err = fs.ReadFile(fsys, n); err != nil {
			t.Fatal(err)
		}
	}
	return out
}

func (b *built) normalize(ev *nagare.Event, out *ocsf.Event) error {
	m, ok := b.mappings.Source(ev.Source)
	if !ok {
		return fmt.Errorf("no mapping is for source %q", ev.Source)
	}
	return m.Normalize(ev, out, new(mapping.Scratch))
}

// TestPack holds that the pack loads without a word beside the embedded
// mappings, that each rule has a case that fires and one that does not, all of
// which hold, and that rules below high are in shadow mode.
func TestPack(t *testing.T) {
	b := builtin(t)
	if len(b.rules.All()) < 10 {
		t.Errorf("%d rules, want ten", len(b.rules.All()))
	}
	for _, res := range b.rules.Test(b.normalize) {
		if !res.OK {
			t.Errorf("%s:%d: %s: %s", res.File, res.Line, res.Case, res.Message)
		}
	}
	for _, rule := range b.rules.All() {
		fires, silent, raw := 0, 0, 0
		for _, c := range rule.Cases {
			if len(c.Expect) > 0 {
				fires++
				if c.Events[0].Raw != nil {
					raw++
				}
			} else {
				silent++
			}
		}
		if fires == 0 || silent == 0 || raw == 0 {
			t.Errorf("%s: %d cases that fire (%d of them raw), %d that do not", rule.ID, fires, raw, silent)
		}
		if high := rule.Severity == "" || rule.Severity == "high" || rule.Severity == "critical"; rule.Shadow == high {
			t.Errorf("%s is of severity %q and shadow is %v", rule.ID, rule.Severity, rule.Shadow)
		}
		if want := strings.ReplaceAll(rule.ID, ".", "/") + ".yaml"; rule.File != want {
			t.Errorf("%s is in %s, want %s", rule.ID, rule.File, want)
		}
		if rule.Title == "" || rule.Description == "" || len(rule.Attack)+len(rule.References) == 0 {
			t.Errorf("%s: a person who gets its alert wants a description, and techniques or references", rule.ID)
		}
	}
}

// TestPackOnRealEvents counts what the pack says of events that vendors' own
// tools recorded. It holds that rules can run on them without an error, and
// that they say something.
func TestPackOnRealEvents(t *testing.T) {
	const data = "../../shared/data"
	if _, err := os.Stat(data); err != nil {
		t.Skip("the corpus is not here")
	}
	b := builtin(t)
	head := b.mappings.Head(mapping.Options{})
	counts := map[string]int{}
	events := 0
	for folder, source := range map[string]string{
		"okta_system_log": "okta", "entra_signin": "entra", "aws_cloudtrail": "cloudtrail", "aws_cloudtrail_s3objects": "cloudtrail",
		"microsoft_defender_xdr": "defender", "datadog_webhook_synthetic": "datadog",
	} {
		names, _ := filepath.Glob(filepath.Join(data, folder, "*.json*"))
		for _, name := range names {
			content, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			deliveries := [][]byte{content}
			if strings.HasSuffix(name, "l") {
				deliveries = bytes.Split(content, []byte("\n"))
			}
			for _, d := range deliveries {
				parts, err := head.Split(source, d, mapping.HeadMeta{Source: source, Auth: nagare.AuthPass, Received: time.Now()})
				if err != nil {
					continue
				}
				for _, p := range parts {
					ev := &nagare.Event{Source: source, UID: p.UID, Auth: nagare.AuthPass, Received: time.Now(), Body: p.Body}
					var e ocsf.Event
					if err := b.normalize(ev, &e); err != nil {
						continue
					}
					events++
					b.rules.Eval(&e, ev, func(m detect.Match) {
						if counts[m.Rule.ID]++; counts[m.Rule.ID] <= 2 {
							t.Logf("%s key=%s %s: %.160s", m.Rule.ID, m.Key, m.Severity, m.Text)
						}
						if strings.Contains(m.Text, "  ") || m.Key == "" {
							t.Logf("%s leaves something out: key=%q %q", m.Rule.ID, m.Key, m.Text)
						}
					})
				}
			}
		}
	}
	for _, id := range slices.Sorted(maps.Keys(counts)) {
		t.Logf("%6d %s", counts[id], id)
	}
	t.Logf("%d events, %d rules said something", events, len(counts))
	if len(counts) < 6 {
		t.Errorf("only %d rules said something of %d events", len(counts), events)
	}
	for _, rule := range b.rules.All() {
		if n := rule.Stats().Failed.Load(); n > 0 {
			t.Errorf("%s failed %d times", rule.ID, n)
		}
	}
}
