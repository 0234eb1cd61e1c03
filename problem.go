package nagare

import (
	"fmt"
	"strings"
)

// A Problem is one mistake in a file people write: a mapping, a rule, a
// configuration. Checks report all of them at once.
type Problem struct {
	File string `json:"file"`
	// Line and Column count from 1; 0 when the mistake has no place.
	Line   int `json:"line"`
	Column int `json:"column"`
	// Code names the kind of mistake, as "unknown-key".
	Code string `json:"code"`
	// Message says what is wrong.
	Message string `json:"message"`
	// Suggestion says what to do; "" when there is nothing to add.
	Suggestion string `json:"suggestion"`
	// Warning marks what does not keep the file from loading.
	Warning bool `json:"warning,omitempty"`
}

// String is the line people read: file:line:column: message; suggestion.
func (p Problem) String() string {
	var b strings.Builder
	b.WriteString(p.File)
	if p.Line > 0 {
		fmt.Fprintf(&b, ":%d", p.Line)
		if p.Column > 0 {
			fmt.Fprintf(&b, ":%d", p.Column)
		}
	}
	b.WriteString(": ")
	if p.Warning {
		b.WriteString("warning: ")
	}
	b.WriteString(p.Message)
	if p.Suggestion != "" {
		fmt.Fprintf(&b, "; %s", p.Suggestion)
	}
	return b.String()
}
