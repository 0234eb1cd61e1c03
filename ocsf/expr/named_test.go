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
