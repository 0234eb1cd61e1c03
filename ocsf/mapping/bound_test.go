package mapping_test

import (
	"errors"
	"runtime"
	"strings"
	"testing"
	"time"

	"nagare"
	"nagare/ocsf"
	"nagare/ocsf/mapping"
)

// One call may make much more than it is given. It is not begun then: the event
// is a dead letter, and no memory was taken for what it would have made.
func TestOneCallThatMakesTooMuch(t *testing.T) {
	half := strings.Repeat("a", 500_000)
	texts := `{"a":"` + half + `","b":"` + half + `"}`
	list := `{"s":"` + half + `","n":2000000000,"f":"%.999999999f","l":` + elements(100_000, `"x"`) + `}`
	for _, c := range []struct{ line, body string }{
		{`set: {message: 'raw.a.replace("", raw.b)'}`, texts},
		{`set: {message: 'raw.a.replace("a", raw.b)'}`, texts},
		{`set: {message: 'raw.a.replace("a", raw.b, 400000)'}`, texts},
		{`set: {message: 'regex.replace(raw.a, "a", raw.b)'}`, texts},
		{`set: {message: '[raw.a].map(x, [x, x, x, x].join(raw.b + raw.b)).map(x, [x, x, x, x, x, x, x, x, x, x, x, x].join(x))[0]'}`, texts},
		{`set: {message: 'cel.bind(b, raw.a + raw.a, cel.bind(c, b + b, cel.bind(d, c + c, cel.bind(e, d + d, cel.bind(f, e + e, cel.bind(g, f + f, g + g))))))'}`, texts},
		{`set: {message: '"%s%s%s%s".format([raw.a, raw.b, raw.a, raw.b]).replace("a", raw.b)'}`, texts},
		{`set: {message: 'raw.l.join(raw.s)'}`, list},
		{`set: {message: 'raw.l.map(x, raw.s).join("")'}`, list},
		{`set: {message: '"%s".format([raw.l.map(x, raw.s)])'}`, list},
		{`set: {message: 'raw.f.format([1.5])'}`, list},
		{`set: {message: 'string(size(lists.range(int(raw.n))))'}`, list},
		{`set: {message: 'string(size(raw.l.map(x, raw.l).flatten()))'}`, list},
		{`set: {message: 'string(size(raw.l.distinct()))'}`, list},
		{`set: {message: 'string(sets.contains(raw.l, raw.l))'}`, list},
	} {
		m := labor(t, c.line)
		ev := nagare.Event{Source: "t", UID: "u", Received: time.Unix(1800000000, 0), Body: []byte(c.body)}
		var sc mapping.Scratch
		var out ocsf.Event
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		err := m.Normalize(&ev, &out, &sc)
		runtime.ReadMemStats(&after)
		var dead *mapping.Dead
		if !errors.As(err, &dead) || dead.Reason != mapping.TooCostly {
			t.Errorf("%s: got %v, want %s", c.line, err, mapping.TooCostly)
		}
		if made := (after.TotalAlloc - before.TotalAlloc) >> 20; made > 80 {
			t.Errorf("%s: %d MB were allocated", c.line, made)
		} else {
			t.Logf("%s: %d MB", c.line, made)
		}
	}
}
