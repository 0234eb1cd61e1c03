package expr

import (
	"fmt"
	"testing"

	"nagare/ocsf/rawjson"
)

// TestBoundedCallsAnswer holds that the functions which ask before they begin
// still answer as cel-go's own, for values of the event too.
func TestBoundedCallsAnswer(t *testing.T) {
	r, err := NewRaw(nil)
	if err != nil {
		t.Fatal(err)
	}
	d := rawjson.NewPaths().NewDoc()
	if err := d.Parse([]byte(`{"a":"x","b":["x","y","x"]}`)); err != nil {
		t.Fatal(err)
	}
	for text, want := range map[string]string{
		`[raw.a].flatten()`:                  `[x]`,
		`[raw.b].flatten()`:                  `[x y x]`,
		`[[1, [2]]].flatten(2)`:              `[1 2]`,
		`raw.a.reverse()`:                    `x`,
		`raw.b.reverse()`:                    `[x y x]`,
		`"ab".reverse()`:                     `ba`,
		`[1, 2].reverse()`:                   `[2 1]`,
		`raw.b.join()`:                       `xyx`,
		`raw.b.join(",")`:                    `x,y,x`,
		`raw.b.distinct()`:                   `[x y]`,
		`raw.b.slice(0, 1)`:                  `[x]`,
		`raw.a.replace("x", "y")`:            `y`,
		`"xx".replace("x", "y", 1)`:          `yx`,
		`regex.replace(raw.a, "x", "z")`:     `z`,
		`regex.replace("xx", "x", "z", 1)`:   `zx`,
		`"%s".format([raw.a])`:               `x`,
		`lists.range(3)`:                     `[0 1 2]`,
		`sets.contains([1, 2], [1])`:         `true`,
		`sets.equivalent([1, 2], [2, 1, 1])`: `true`,
		`sets.intersects([1], [2])`:          `false`,
	} {
		p, err := r.Program(text)
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		out, _, err := p.prg.Eval(&RawVars{Doc: d, Left: Work})
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		if got := fmt.Sprint(out.Value()); got != want {
			t.Errorf("%s is %s, want %s", text, got, want)
		}
	}
}
