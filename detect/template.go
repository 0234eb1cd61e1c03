package detect

import (
	"strings"

	"go.yaml.in/yaml/v4"

	"nagare/ocsf/expr"
)

// A template is text with {{expressions}}; what is absent is empty.
type template []piece

// A piece is text, or an expression.
type piece struct {
	text string
	x    *expr.EventExpr
}

func (l *loader) template(r *reader, rule *Rule, n *yaml.Node) template {
	text := r.text(n)
	var out template
	at := 0
	for rest := text; rest != ""; {
		before, after, ok := strings.Cut(rest, "{{")
		if before != "" {
			out = append(out, piece{text: before})
		}
		if !ok {
			break
		}
		inside, tail, ok := strings.Cut(after, "}}")
		if !ok {
			r.say(n, "template", "close it with }}", "an expression that begins with {{ does not end")
			return nil
		}
		at = len(text) - len(after)
		if rule.env != nil {
			x, issues := rule.env.Compile(inside, expr.WantAny)
			r.place(n, issues, at)
			l.addSlots(rule, x)
			if x != nil {
				out = append(out, piece{x: x})
			}
		}
		rest = tail
	}
	return out
}

// maxAlertText bounds what a template may become: events are hostile.
const maxAlertText = 2000

func (t template) render(v *expr.Vars) string {
	var b strings.Builder
	for _, p := range t {
		text := p.text
		if p.x != nil {
			text, _ = p.x.Text(v) // no value is empty
		}
		if b.Len()+len(text) > maxAlertText {
			b.WriteString(strings.ToValidUTF8(text[:maxAlertText-b.Len()], ""))
			b.WriteString("…")
			break
		}
		b.WriteString(text)
	}
	return b.String()
}
