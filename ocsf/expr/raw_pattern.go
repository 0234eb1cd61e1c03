package expr

import (
	"fmt"
	re2 "regexp/syntax"

	"github.com/google/cel-go/common/ast"
)

// What a pattern may be: its length in bytes, and its size with repetitions
// written out. RE2 takes linear time in both and in the text, but memory and
// time per byte grow with the size: a few thousand bytes make a program of a
// hundred megabytes.
const (
	maxPattern     = 1000
	maxPatternSize = 10_000
)

// patternOf checks the pattern of a call that takes one and writes it out;
// what is computed is checked when it runs, by its cost.
func patternOf(call ast.CallExpr) error {
	at := 1
	switch call.FunctionName() {
	case "matches":
		if call.IsMemberFunction() {
			at = 0
		}
	case "extract", "extractAll", "replace": // before the types are known, regex is a variable
		if !call.IsMemberFunction() || call.Target().Kind() != ast.IdentKind || call.Target().AsIdent() != "regex" {
			return nil
		}
	default:
		return nil
	}
	args := call.Args()
	if len(args) <= at {
		return nil
	}
	p, ok := literal(args[at])
	if !ok || p.Kind != RawText {
		return nil
	}
	if len(p.Text) > maxPattern {
		return fmt.Errorf("a pattern of %d bytes; at most %d", len(p.Text), maxPattern)
	}
	re, err := re2.Parse(p.Text, re2.Perl)
	if err != nil {
		return nil // the program says what is wrong with it
	}
	if patternSize(re) > maxPatternSize {
		return fmt.Errorf("a pattern that is larger than %d with its repetitions written out", maxPatternSize)
	}
	return nil
}

// patternSize is about how many instructions a pattern becomes.
func patternSize(re *re2.Regexp) int {
	size := 1 + len(re.Rune)/16
	if re.Op == re2.OpLiteral {
		size = len(re.Rune)
	}
	for _, sub := range re.Sub {
		size += patternSize(sub)
	}
	if re.Op == re2.OpRepeat {
		size *= max(re.Min, re.Max, 1)
	}
	return min(size, maxPatternSize+1)
}
