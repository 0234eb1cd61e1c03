package expr

import "testing"

func TestNamed(t *testing.T) {
	raw, err := NewRaw(nil)
	if err != nil {
		t.Fatal(err)
	}
	for body, want := range map[string]string{
		`[{"name":"a","value":"x"},{"name":"b","boolValue":true},{"name":"c","multiValue":["x","y"]},{"Name":"d","Value":12345678901234567890}]`: `{"a":"x","b":true,"c":["x","y"],"d":12345678901234567890}`,
		`[{"name":"m","messageValue":{"parameter":[{"name":"n","value":"1"}]}}]`:                                                                 `{"m":{"n":"1"}}`,
		`[{"name":"m","multiMessageValue":[{"parameter":[{"name":"n","intValue":"1"}]},{"parameter":[]},2]}]`:                                    `{"m":[{"n":"1"},{},2]}`,
		`[{"name":"a","value":1},{"name":"a","value":2}]`:                                                                                        `{"a":2}`, // as of duplicate members
		`[{"name":"a"},{"name":"b","value":{"parameter":3}},{"name":"c","x":1,"y":2}]`:                                                           `{"a":null,"b":{"parameter":3},"c":{"name":"c","x":1,"y":2}}`,
		`[]`:                       `{}`,
		`[{"value":"nameless"}]`:   `[{"value":"nameless"}]`,
		`[{"name":1,"value":"x"}]`: `[{"name":1,"value":"x"}]`,
		`["a"]`:                    `["a"]`,
		`{"a":"b"}`:                `{"a":"b"}`,
		`"text"`:                   `"text"`,
		`null`:                     `null`,
	} {
		// A member, so that what is null is absent.
		if got := evalRaw(t, raw, `{"v": named(raw.l)}`, `{"l":`+body+`}`); got != `{"v":`+want+`}` && got != want && !(want == "null" && got == "{}") {
			t.Errorf("%s: %s, want %s", body, got, want)
		}
	}
}

func TestUnfold(t *testing.T) {
	raw, err := NewRaw(nil)
	if err != nil {
		t.Fatal(err)
	}
	for body, want := range map[string]string{
		`{"id":12345678901234567890,"l":[{"a":1,"p":[{"name":"x","value":"y"}]},{"a":2,"id":3,"index":9}]}`: `[{"id":12345678901234567890,"a":1,"p":{"x":"y"},"index":0},{"a":2,"id":3,"index":1}]`,
		`{"a":1,"a":2,"l":[{"b":{"c":[1,null]}}]}`:                                                          `[{"a":2,"b":{"c":[1,null]},"index":0}]`,
		`{"a":1,"l":[]}`:               `[{"a":1,"l":[]}]`,
		`{"a":1,"l":{"b":2}}`:          `[{"a":1,"b":2}]`,
		`{"a":1}`:                      `[{"a":1}]`,
		`{"a":1,"l":"text","p":["x"]}`: `[{"a":1,"l":"text","p":["x"]}]`,
		`{"l":[{},7,{}]}`:              `[{"index":0},{"l":7},{"index":2}]`,
		`{"l":[null]}`:                 `[{"l":null}]`,
	} {
		if got := evalRaw(t, raw, `unfold(raw, "l", "p")`, body); got != want {
			t.Errorf("%s: %s, want %s", body, got, want)
		}
	}
	if got := evalRaw(t, raw, `unfold(raw.l, "l", "p")`, `{"l":"text"}`); got != "null" {
		t.Errorf("of a text: %s", got)
	}
}
