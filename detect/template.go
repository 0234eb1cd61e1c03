package detect

import (
	"strings"
	"unicode/utf8"

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
	rest := r.text(n)
	all := rest
	var out template
	for rest != "" {
		before, after, ok := strings.Cut(rest, "{{")
		if before != "" {
			out = append(out, piece{text: before})
		}
		if !ok {
			break
		}
		at := utf8.RuneCountInString(all[:len(all)-len(after)])
		end := closing(after)
		if end < 0 {
			s := r.spots(n)[at-2]
			r.say(n, "template", "close it with }}", "an expression that begins with {{ does not end")
			p := &r.problems[len(r.problems)-1]
			p.Line, p.Column = s.line, s.column
			break
		}
		if rule.env != nil {
			x, issues := rule.env.Compile(after[:end], expr.WantAny)
			r.place(n, after[:end], issues, at)
			l.addSlots(rule, x)
			if x != nil {
				out = append(out, piece{x: x})
			}
		}
		rest = after[end+2:]
	}
	return out
}

// closing is where the }} of an expression is: the first one that is in no
// text. -1 if there is none.
func closing(s string) int {
	var quote byte
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case quote != 0 && c == '\\':
			i++
		case c == quote:
			quote = 0
		case quote == 0 && (c == '"' || c == '\''):
			quote = c
		case quote == 0 && c == '}' && i+1 < len(s) && s[i+1] == '}':
			return i
		}
	}
	return -1
}

// maxAlertText bounds what a template may become: events are hostile.
const maxAlertText = 2000

func (t template) render(rule *Rule, v *expr.Vars) string {
	var b strings.Builder
	for _, p := range t {
		text := p.text
		if p.x != nil {
			text = rule.show(p.x, v)
		}
		if b.Len()+len(text) > maxAlertText {
			b.WriteString(cut(text, maxAlertText-b.Len()))
			b.WriteString("…")
			break
		}
		b.WriteString(text)
	}
	return b.String()
}

// cut shortens s to at most n bytes, between characters.
func cut(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n]
}
