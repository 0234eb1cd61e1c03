package expr

import (
	"fmt"
	"strings"
	"time"

	"github.com/google/cel-go/common/ast"
	"github.com/google/cel-go/common/types"
	"github.com/google/cel-go/common/types/ref"
)

// A timeCall is what inZone and timeAs say besides their value.
type timeCall struct {
	layout string // "" for inZone
	zone   *time.Location
}

// timeCallOf takes inZone(x, "zone") and timeAs(x, "layout", "zone") apart; nil
// for other calls. What they say must be constants, so that a mistake in it is
// found when the file loads.
func timeCallOf(c ast.CallExpr) (*timeCall, error) {
	name, args := c.FunctionName(), c.Args()
	if name != "inZone" && name != "timeAs" || c.IsMemberFunction() || len(args) < 2 {
		return nil, nil
	}
	var texts []string
	for _, a := range args[1:] {
		v, ok := literal(a)
		if !ok || v.Kind != RawText {
			return nil, fmt.Errorf("%s wants texts between quotes behind the value", name)
		}
		texts = append(texts, v.Text)
	}
	if name == "inZone" {
		texts = append([]string{""}, texts...)
	}
	t := &timeCall{layout: texts[0]}
	if name == "timeAs" && !saysDay(t.layout) {
		return nil, fmt.Errorf("%q is no layout: write how 2006-01-02 15:04:05 would stand in this form", t.layout)
	}
	if len(texts) > 1 {
		zone, err := Zone(texts[1])
		if err != nil {
			return nil, err
		}
		t.zone = zone
	}
	return t, nil
}

// saysDay says whether a layout holds a whole date.
func saysDay(layout string) bool {
	at := time.Date(2031, 11, 23, 16, 45, 56, 0, time.UTC)
	t, err := time.Parse(layout, at.Format(layout))
	return err == nil && t.Year() == 2031 && t.Month() == 11 && t.Day() == 23
}

// Zone is the time zone of a name. That of the machine has none: what a
// mapping makes of an event must not depend on where it runs.
func Zone(name string) (*time.Location, error) {
	if name == "" || strings.EqualFold(name, "local") {
		return nil, fmt.Errorf("no time zone %q", name)
	}
	zone, err := time.LoadLocation(name)
	if err != nil {
		return nil, fmt.Errorf("no time zone %q", name)
	}
	return zone, nil
}

// timeFunction is inZone or timeAs within a program.
func (r *Raw) timeFunction(name string) func(args ...ref.Val) ref.Val {
	return func(args ...ref.Val) ref.Val {
		s, ok := valueOf(args[0]).Scalar()
		texts := make([]string, 0, 2)
		for _, a := range args[1:] {
			t, _ := a.(types.String)
			texts = append(texts, string(t))
		}
		if name == "inZone" {
			texts = append([]string{""}, texts...)
		}
		var zone *time.Location
		if len(texts) > 1 {
			var err error
			if zone, err = Zone(texts[1]); err != nil {
				return types.WrapErr(err)
			}
		}
		if !ok || r.ParseTime == nil {
			return types.NewErr("%s of what is no text", name)
		}
		ms, ok := r.ParseTime(s, texts[0], zone)
		if !ok {
			return types.NewErr("%q is no time", s)
		}
		return types.Timestamp{Time: time.UnixMilli(ms).UTC()}
	}
}
