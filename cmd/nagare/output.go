package main

import (
	"io"
	"os"

	"golang.org/x/term"
)

// format is what the user asked for, or a table on a terminal and JSON lines
// elsewhere.
func format(asked string, out io.Writer) string {
	if asked != "" {
		return asked
	}
	if f, ok := out.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		return "table"
	}
	return "json"
}
