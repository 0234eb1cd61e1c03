package detect

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v4"

	"nagare"
	"nagare/ocsf"
	"nagare/ocsf/expr"
)

// maxFile bounds a rule file.
const maxFile = 1 << 20

// The keys of a rule file, and of what is inside.
var (
	ruleKeys   = []string{"id", "title", "description", "severity", "mode", "class", "where", "key", "dedupe", "suppress", "except", "alert", "attack", "references", "runbook", "falsepositives", "owner", "enabled", "cases"}
	exceptKeys = []string{"when", "reason", "owner", "expires"}
	alertKeys  = []string{"to", "text"}
	caseKeys   = []string{"name", "source", "events", "expect"}
	eventKeys  = []string{"at", "raw", "ocsf", "file"}
	expectKeys = []string{"key", "severity"}
)

// later are keys that rules will have and do not have yet.
var later = map[string]string{
	"window": "rules with windows are not in this version: leave it out",
	"tables": "rules with tables are not in this version: leave it out",
}

// A reader reads one file and gathers what is wrong with it.
type reader struct {
	file     File
	lines    [][]rune // of the file, once somebody asked
	problems []nagare.Problem
	events   int // of all cases
}

func (r *reader) say(n *yaml.Node, code, suggestion, format string, args ...any) {
	p := nagare.Problem{File: r.file.Name, Code: code, Message: fmt.Sprintf(format, args...), Suggestion: suggestion}
	if n != nil {
		p.Line, p.Column = n.Line, n.Column
	}
	r.problems = append(r.problems, p)
}

func (r *reader) warn(n *yaml.Node, code, suggestion, format string, args ...any) {
	r.say(n, code, suggestion, format, args...)
	r.problems[len(r.problems)-1].Warning = true
}

// bad says whether anything but a warning was found.
func (r *reader) bad() bool {
	return slices.ContainsFunc(r.problems, func(p nagare.Problem) bool { return !p.Warning })
}

// root parses the YAML; nil if it is none.
func (r *reader) root() *yaml.Node {
	if len(r.file.Data) > maxFile {
		r.say(nil, "too-large", "", "%d bytes; a rule file has at most %d", len(r.file.Data), maxFile)
		return nil
	}
	if len(bytes.TrimSpace(r.file.Data)) == 0 {
		r.say(nil, "syntax", "", "the file is empty; a rule file is a map with the keys %s", strings.Join(ruleKeys, ", "))
		return nil
	}
	var doc yaml.Node
	if err := yaml.Load(r.file.Data, &doc); err != nil {
		r.syntax(err)
		return nil
	}
	if doc.Kind == yaml.DocumentNode && len(doc.Content) > 0 {
		doc = *doc.Content[0]
	}
	if doc.Kind != yaml.MappingNode {
		r.say(&doc, "syntax", "", "a rule file is a map with the keys %s", strings.Join(ruleKeys, ", "))
		return nil
	}
	return &doc
}

// syntax reports what the YAML parser says.
func (r *reader) syntax(err error) {
	var many *yaml.LoadErrors
	var one *yaml.LoadError
	switch {
	case errors.As(err, &many):
		for _, e := range many.Errors {
			r.syntax(e)
		}
	case errors.As(err, &one) && one.Mark.Line > 0:
		r.problems = append(r.problems, nagare.Problem{File: r.file.Name, Line: one.Mark.Line, Column: one.Mark.Column, Code: "syntax", Message: one.Message})
	case errors.As(err, &one):
		r.say(nil, "syntax", "write one rule a file", "%s", strings.TrimPrefix(one.Message, "yaml: "))
	default:
		r.say(nil, "syntax", "", "%v", err)
	}
}

// fields are the entries of a map that may only have certain keys.
func (r *reader) fields(n *yaml.Node, allowed []string) map[string]*yaml.Node {
	out := map[string]*yaml.Node{}
	if n = plain(n); n == nil {
		return out
	}
	if n.Kind != yaml.MappingNode {
		r.say(n, "wrong-type", "", "a map with the keys %s must stand here", strings.Join(allowed, ", "))
		return out
	}
	seen := map[string]bool{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], plain(n.Content[i+1])
		switch {
		case seen[key.Value]:
			r.say(key, "duplicate-key", "", "the key %q is here twice", key.Value)
		case !slices.Contains(allowed, key.Value):
			suggestion := later[key.Value]
			if suggestion == "" {
				suggestion = near(key.Value, allowed)
			}
			r.say(key, "unknown-key", suggestion, "unknown key %q", key.Value)
		case value != nil:
			out[key.Value] = value
		}
		seen[key.Value] = true
	}
	return out
}

// plain follows an alias; null is nil.
func plain(n *yaml.Node) *yaml.Node {
	for i := 0; n != nil && n.Kind == yaml.AliasNode && i < 10; i++ {
		n = n.Alias
	}
	if n == nil || n.Tag == "!!null" {
		return nil
	}
	return n
}

// list are the elements of a list; one value is a list of one.
func list(n *yaml.Node) []*yaml.Node {
	if n = plain(n); n == nil {
		return nil
	}
	if n.Kind != yaml.SequenceNode {
		return []*yaml.Node{n}
	}
	var out []*yaml.Node
	for _, c := range n.Content {
		if c = plain(c); c != nil {
			out = append(out, c)
		}
	}
	return out
}

// text is the text of a scalar; an empty one is a mistake.
func (r *reader) text(n *yaml.Node) string {
	switch n = plain(n); {
	case n == nil:
		return ""
	case n.Kind != yaml.ScalarNode:
		r.say(n, "wrong-type", "", "a text must stand here")
		return ""
	case strings.TrimSpace(n.Value) == "":
		r.say(n, "wrong-value", "write something, or leave the key out", "the text is empty")
		return ""
	}
	return n.Value
}

// texts are the texts of a list, and the nodes they stand at.
func (r *reader) texts(n *yaml.Node) (texts []string, at []*yaml.Node) {
	for _, e := range list(n) {
		if t := r.text(e); t != "" {
			texts, at = append(texts, t), append(at, e)
		}
	}
	return texts, at
}

func (r *reader) textList(n *yaml.Node) []string {
	texts, _ := r.texts(n)
	return texts
}

// word is a text that must be one of a few.
func (r *reader) word(n *yaml.Node, what string, words ...string) string {
	w := r.text(n)
	if w != "" && !slices.Contains(words, w) {
		r.say(n, "wrong-value", near(w, words), "%s %q is unknown", what, w)
	}
	return w
}

func (r *reader) duration(n *yaml.Node, byDefault time.Duration) time.Duration {
	t := r.text(n)
	if t == "" {
		return byDefault
	}
	d, err := time.ParseDuration(t)
	if err != nil || d < 0 || d > 30*24*time.Hour || d%time.Millisecond != 0 {
		r.say(n, "wrong-value", "write it as 1h or 30m, at most 720h; 0 is one alert for each event", "%q is no duration", t)
		return byDefault
	}
	return d
}

func (r *reader) boolean(n *yaml.Node, byDefault bool) bool {
	switch r.text(n) {
	case "":
		return byDefault
	case "true":
		return true
	case "false":
		return false
	}
	r.say(n, "wrong-value", "write true or false", "%q is neither true nor false", n.Value)
	return byDefault
}

// compile compiles an expression of the file and places its issues.
func (r *reader) compile(env *expr.EventEnv, n *yaml.Node, want expr.Want) *expr.EventExpr {
	text := r.text(n)
	if text == "" || env == nil {
		return nil
	}
	x, issues := env.Compile(text, want)
	r.place(n, text, issues, 0)
	return x
}

// near suggests the word that was meant.
func near(word string, words []string) string {
	if n := ocsf.Nearest(word, words); n != "" {
		return fmt.Sprintf("did you mean %q?", n)
	}
	return "there are: " + strings.Join(words, ", ")
}
