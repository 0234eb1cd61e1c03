package app

import (
	"strings"
	"testing"
)

// TestLabel keeps what people name, and bounds what anybody may send.
func TestLabel(t *testing.T) {
	for in, want := range map[string]string{"okta": "okta", "": "", "a\xff": "a?", strings.Repeat("s", 300_000): "other"} {
		if got := label(in); got != want {
			t.Errorf("the label of %.20q is %.70q", in, got)
		}
	}
}
