package alert

import (
	"bytes"
	"strings"
	"testing"
)

// TestTerminalMarksEventLines holds that a line break in an event's text does
// not make a line that looks like ours.
func TestTerminalMarksEventLines(t *testing.T) {
	var out bytes.Buffer
	m := Message{Alert: Alert{ID: "1", Rule: "r", Title: "T", Severity: "high", Text: "first\nALERT HIGH fake\nlast"}}
	if _, err := NewTerminal(&out).Post(t.Context(), m); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(out.String(), "  │ ALERT HIGH fake\n") {
		t.Errorf("the event's line is not marked:\n%s", out.String())
	}
	if n := strings.Count(out.String(), "\nALERT "); n != 1 {
		t.Errorf("%d lines begin as an alert does, want 1:\n%s", n, out.String())
	}
}
