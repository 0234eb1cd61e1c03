package kinesisd

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// violations collects everything wrong with a call's input, to be told at
// once and in the words AWS uses.
type violations []string

// must notes a violation unless ok.
func (v *violations) must(ok bool, value any, field, constraint string, args ...any) {
	if !ok {
		*v = append(*v, fmt.Sprintf("Value '%s' at '%s' failed to satisfy constraint: Member must ", clip(fmt.Sprint(value)), field)+fmt.Sprintf(constraint, args...))
	}
}

// name checks the name of a stream or consumer.
func (v *violations) name(value, field string) {
	if value == "" {
		*v = append(*v, fmt.Sprintf("Value null at '%s' failed to satisfy constraint: Member must not be null", field))
		return
	}
	v.must(len(value) <= 128, value, field, "have length less than or equal to 128")
	v.must(strings.Trim(value, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-") == "", value, field,
		"satisfy regular expression pattern: [a-zA-Z0-9_.-]+")
}

// between checks a number that may be absent.
func (v *violations) between(value *int, low, high int, field string) {
	if value != nil {
		v.must(*value >= low, *value, field, "have value greater than or equal to %d", low)
		v.must(*value <= high, *value, field, "have value less than or equal to %d", high)
	}
}

func (v violations) err() error {
	switch len(v) {
	case 0:
		return nil
	case 1:
		return errorf(validation, "1 validation error detected: %s", v[0])
	}
	return errorf(validation, "%d validation errors detected: %s", len(v), strings.Join(v, "; "))
}

// clip shortens what a client sent before it is sent back.
func clip(s string) string {
	const most = 128
	if len(s) <= most {
		return s
	}
	cut := most
	for cut > 0 && !utf8.RuneStart(s[cut]) {
		cut--
	}
	return s[:cut] + "…"
}
