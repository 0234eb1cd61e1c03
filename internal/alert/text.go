package alert

import (
	"fmt"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// clean makes hostile text safe to show anywhere: no control or format
// characters (escape sequences, text direction, invisible ones), valid UTF-8,
// at most n characters. Line breaks stay when lines says so, else they are
// spaces.
func clean(s string, n int, lines bool) string {
	var b strings.Builder
	count := 0
	for i, c := range s {
		if count == n {
			b.WriteRune('…')
			break
		}
		switch {
		case c == '\n' && lines:
		case c == '\n' || c == '\t':
			c = ' '
		case c == '\r':
			continue
		case c == utf8.RuneError && !strings.HasPrefix(s[i:], "\uFFFD"),
			unicode.In(c, unicode.Cc, unicode.Cf, unicode.Zl, unicode.Zp, unicode.Co, unicode.Cs):
			c = unicode.ReplacementChar
		}
		b.WriteRune(c)
		count++
	}
	return b.String()
}

// span is the time of an alert as people read it.
func span(first, last time.Time) string {
	const layout = "2006-01-02 15:04:05"
	first, last = first.UTC(), last.UTC()
	switch {
	case last.Sub(first) < time.Second:
		return first.Format(layout) + " UTC"
	case first.Format(time.DateOnly) == last.Format(time.DateOnly):
		return first.Format(layout) + " – " + last.Format(time.TimeOnly) + " UTC"
	}
	return first.Format(layout) + " – " + last.Format(layout) + " UTC"
}

func plural(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// The lines of a message, the same on every receiver.

// headline is severity, title and rule.
func (m *Message) headline() string {
	title, rule, severity := m.Alert.Title, m.Alert.Rule, m.Alert.Severity
	if d := m.Digest; d != nil {
		title, rule, severity = fmt.Sprintf("%s: %s", plural(d.Alerts, "alert"), d.Title), d.Rule, d.Severity
	}
	if title == "" {
		title = rule
	}
	return strings.ToUpper(clean(severity, 20, false)) + "  " + clean(title, 120, false)
}

// body is what the rule says, or the keys of a digest.
func (m *Message) body() string {
	if d := m.Digest; d != nil {
		var keys []string
		for _, k := range d.Keys {
			keys = append(keys, clean(k, 80, false))
		}
		if len(keys) == 0 {
			return ""
		}
		return "about " + strings.Join(keys, ", ")
	}
	return clean(m.Alert.Text, 2000, true)
}

// facts are the rest, a line each.
func (m *Message) facts() []string {
	var lines []string
	if d := m.Digest; d != nil {
		rule := clean(d.Rule, 120, false)
		return append(lines,
			fmt.Sprintf("rule %s · %s · %s", rule, plural(d.Events, "event"), span(d.First, d.Last)),
			"nagare alerts list --rule "+rule)
	}
	a := &m.Alert
	facts := []string{"rule " + clean(a.Rule, 120, false)}
	if a.Key != "" {
		facts = append(facts, "key "+clean(a.Key, 120, false))
	}
	facts = append(facts, plural(a.Count, "event"), span(a.First, a.Last))
	lines = append(lines, strings.Join(facts, " · "))
	if m.Runbook != "" {
		lines = append(lines, "runbook "+clean(m.Runbook, 200, false))
	}
	state := a.State
	if a.Verdict != "" {
		state += " as " + clean(a.Verdict, 20, false)
	}
	if a.Origin != Live {
		state += " · " + clean(a.Origin, 80, false)
	}
	return append(lines, fmt.Sprintf("%s · nagare alerts show %s", state, a.ID))
}

// remark says what is unusual about the message; "" when nothing is.
func (m *Message) remark() string {
	switch {
	case m.Undelivered != "":
		return "not delivered: " + clean(m.Undelivered, 200, false)
	case m.Repeat:
		return "possible repeat"
	}
	return ""
}
