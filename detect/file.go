package detect

import (
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

// A reader reads one file and gathers what is wrong with it.
type reader struct {
	file     File
	problems []nagare.Problem
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

// root parses the YAML; nil if it is none.
func (r *reader) root() *yaml.Node {
	if len(r.file.Data) > maxFile {
		r.say(nil, "too-large", "", "%d bytes; a rule file has at most %d", len(r.file.Data), maxFile)
		return nil
	}
	var doc yaml.Node
	if err := yaml.Load(r.file.Data, &doc); err != nil {
		p := nagare.Problem{File: r.file.Name, Code: "syntax", Message: err.Error()}
		var one *yaml.LoadError
		if errors.As(err, &one) {
			p.Line, p.Column, p.Message = one.Mark.Line, one.Mark.Column, one.Message
		}
		r.problems = append(r.problems, p)
		return nil
	}
	if doc.Kind == yaml.DocumentNode && len(doc.Content) > 0 {
		doc = *doc.Content[0]
	}
	if doc.Kind != yaml.MappingNode {
		r.say(nil, "syntax", "", "a rule file is a map with the keys %s", strings.Join(ruleKeys, ", "))
		return nil
	}
	return &doc
}

// fields are the entries of a map that may only have certain keys.
func (r *reader) fields(n *yaml.Node, allowed []string) map[string]*yaml.Node {
	out := map[string]*yaml.Node{}
	if n = plain(n); n == nil {
		return out
	}
	if n.Kind != yaml.MappingNode {
		r.say(n, "wrong-type", "", "a map must stand here")
		return out
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], plain(n.Content[i+1])
		switch {
		case key.Value == "window" && slices.Contains(allowed, "where"):
			r.say(key, "unknown-key", "rules with windows are not in this version: leave it out", "unknown key %q", key.Value)
		case !slices.Contains(allowed, key.Value):
			r.say(key, "unknown-key", near(key.Value, allowed), "unknown key %q", key.Value)
		case value != nil:
			out[key.Value] = value
		}
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

// text is the text of a scalar.
func (r *reader) text(n *yaml.Node) string {
	if n = plain(n); n == nil {
		return ""
	}
	if n.Kind != yaml.ScalarNode {
		r.say(n, "wrong-type", "", "a text must stand here")
		return ""
	}
	return n.Value
}

func (r *reader) texts(n *yaml.Node) []string {
	var out []string
	for _, e := range list(n) {
		if t := r.text(e); t != "" {
			out = append(out, t)
		}
	}
	return out
}

// word is a text that must be one of a few.
func (r *reader) word(n *yaml.Node, what string, words ...string) string {
	w := r.text(n)
	if w != "" && !slices.Contains(words, w) {
		r.say(n, "value", near(w, words), "%s %q is unknown", what, w)
	}
	return w
}

func (r *reader) duration(n *yaml.Node, byDefault time.Duration) time.Duration {
	t := r.text(n)
	if t == "" {
		return byDefault
	}
	d, err := time.ParseDuration(t)
	if t == "0" {
		d, err = 0, nil
	}
	if err != nil || d < 0 || d > 30*24*time.Hour {
		r.say(n, "value", "write it as 1h or 30m, at most 720h; 0 is one alert for each event", "%q is no duration", t)
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
	r.say(n, "value", "write true or false", "%q is neither", n.Value)
	return byDefault
}

// compile compiles an expression of the file and places its issues.
func (r *reader) compile(env *expr.EventEnv, n *yaml.Node, want expr.Want) *expr.EventExpr {
	text := r.text(n)
	if text == "" || env == nil {
		return nil
	}
	x, issues := env.Compile(text, want)
	r.place(n, issues, 0)
	return x
}

// place turns issues of an expression into problems of the file. skip is how
// many bytes of the scalar come before the expression, on its first line.
func (r *reader) place(n *yaml.Node, issues []expr.Issue, skip int) {
	for _, i := range issues {
		p := nagare.Problem{File: r.file.Name, Code: "expression", Message: i.Message, Suggestion: i.Suggestion, Line: n.Line, Column: n.Column}
		switch {
		case n.Style&(yaml.LiteralStyle|yaml.FoldedStyle) != 0:
			// A block's text begins on the line below its mark.
			p.Line, p.Column = n.Line+i.Line, i.Column+skip
		case i.Line == 1:
			p.Column = n.Column + i.Column - 1 + skip
			if n.Style&(yaml.DoubleQuotedStyle|yaml.SingleQuotedStyle) != 0 {
				p.Column++
			}
		default:
			p.Line, p.Column = n.Line+i.Line-1, i.Column
		}
		r.problems = append(r.problems, p)
	}
}

// near suggests the word that was meant.
func near(word string, words []string) string {
	if n := ocsf.Nearest(word, words); n != "" {
		return fmt.Sprintf("did you mean %q?", n)
	}
	return "there are: " + strings.Join(words, ", ")
}
