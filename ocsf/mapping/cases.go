package mapping

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"reflect"
	"strings"
	"time"

	"nagare"
	"nagare/ocsf"
)

// A CaseResult is what one case of a mapping file gave.
type CaseResult struct {
	Source string
	Case   Case
	// Events is the number of events of the case's input.
	Events int
	// Got is what came of it: indented OCSF JSON, one object an event.
	Got []byte
	// Failures say what is wrong; none if the case passed.
	Failures []string
}

// caseReceived is when the input of a case arrived that does not say.
var caseReceived = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// Test runs the cases of a source. Their files are read from fsys, relative
// to the mapping file's own name.
func (s *Set) Test(fsys fs.FS, source string) []CaseResult {
	m, ok := s.Source(source)
	if !ok {
		return nil
	}
	var out []CaseResult
	for _, c := range m.Cases {
		out = append(out, s.test(fsys, m, c))
	}
	return out
}

func (s *Set) test(fsys fs.FS, m *Mapping, c Case) CaseResult {
	res := CaseResult{Source: m.Name, Case: c}
	failf := func(format string, args ...any) { res.Failures = append(res.Failures, fmt.Sprintf(format, args...)) }
	dir := path.Dir(m.File)
	input, err := fs.ReadFile(fsys, path.Join(dir, c.File))
	if err != nil {
		failf("%v", err)
		return res
	}
	head, sc := s.Head(Options{HashKey: []byte("case")}), &Scratch{}
	var out ocsf.Event
	n := 0
	for _, delivery := range values(input) {
		events, err := head.Split(m.Name, delivery, HeadMeta{Source: m.Name, Auth: nagare.AuthPass, Received: c.At})
		if err != nil {
			failf("delivery %d: %v", n+1, err)
			continue
		}
		for _, e := range events {
			n++
			ev := nagare.Event{Source: m.Name, UID: e.UID, Time: e.Time, Auth: nagare.AuthPass, Received: c.At, Body: e.Body}
			if ev.UID == "" {
				ev.UID = fmt.Sprintf("case-%d", n)
			}
			if err := m.Normalize(&ev, &out, sc); err != nil {
				failf("event %d: %v", n, err)
				continue
			}
			for _, p := range ocsf.Validate(&out, nil) {
				failf("event %d is not valid OCSF: %s: %s", n, p.Path, p.Message)
			}
			var pretty bytes.Buffer
			line := out.AppendJSON(nil)
			if err := json.Indent(&pretty, line, "", "  "); err != nil {
				failf("event %d became no JSON: %v", n, err)
				continue
			}
			res.Got = append(append(res.Got, pretty.Bytes()...), '\n')
		}
	}
	res.Events = n
	if n == 0 {
		failf("%s has no events", c.File)
	}
	golden, err := fs.ReadFile(fsys, path.Join(dir, c.Golden))
	if errors.Is(err, fs.ErrNotExist) {
		failf("%s is not there; write it with --update", c.Golden)
		return res
	} else if err != nil {
		failf("%v", err)
		return res
	}
	want, got := values(golden), values(res.Got)
	if len(want) != len(got) {
		failf("%d events, but %s has %d", len(got), c.Golden, len(want))
		return res
	}
	for i := range want {
		if d := differences(want[i], got[i]); len(d) > 0 {
			failf("event %d is not as in %s:\n  %s", i+1, c.Golden, strings.Join(d, "\n  "))
		}
	}
	return res
}

// values are the JSON values one after another in b; a byte order mark in
// front is skipped. What is no JSON is one value of its own, as intake would
// see it.
func values(b []byte) [][]byte {
	b = bytes.TrimPrefix(b, []byte("\ufeff"))
	var out [][]byte
	dec := json.NewDecoder(bytes.NewReader(b))
	for {
		var raw json.RawMessage
		at := dec.InputOffset()
		err := dec.Decode(&raw)
		if err != nil {
			if rest := bytes.TrimSpace(b[at:]); len(rest) > 0 {
				out = append(out, rest)
			}
			return out
		}
		out = append(out, raw)
	}
}

// differences lists the paths at which two JSON texts differ, at most 20.
func differences(want, got []byte) []string {
	var w, g any
	if err := decode(want, &w); err != nil {
		return []string{err.Error()}
	}
	if err := decode(got, &g); err != nil {
		return []string{err.Error()}
	}
	var out []string
	diff("", w, g, &out)
	if len(out) > 20 {
		out = append(out[:20], fmt.Sprintf("and %d more", len(out)-20))
	}
	return out
}

func decode(b []byte, v *any) error {
	dec := json.NewDecoder(bytes.NewReader(b))
	dec.UseNumber()
	return dec.Decode(v)
}

func diff(at string, want, got any, out *[]string) {
	if reflect.DeepEqual(want, got) {
		return
	}
	switch w := want.(type) {
	case map[string]any:
		if g, ok := got.(map[string]any); ok {
			for k, v := range w {
				if _, ok := g[k]; !ok {
					*out = append(*out, fmt.Sprintf("%s: want %s, got nothing", join(at, k), short(v)))
					continue
				}
				diff(join(at, k), v, g[k], out)
			}
			for k, v := range g {
				if _, ok := w[k]; !ok {
					*out = append(*out, fmt.Sprintf("%s: want nothing, got %s", join(at, k), short(v)))
				}
			}
			return
		}
	case []any:
		if g, ok := got.([]any); ok && len(g) == len(w) {
			for i := range w {
				diff(fmt.Sprintf("%s[%d]", at, i), w[i], g[i], out)
			}
			return
		}
	}
	*out = append(*out, fmt.Sprintf("%s: want %s, got %s", at, short(want), short(got)))
}

func join(at, key string) string {
	if at == "" {
		return key
	}
	return at + "." + key
}

func short(v any) string {
	b, _ := json.Marshal(v)
	return clip(string(b), 200)
}
