package datadog

import (
	"bytes"
	"context"
	"encoding/json"
	"testing"

	"nagare/producers"
)

func TestRepair(t *testing.T) {
	for _, tt := range []struct{ name, in, want string }{
		{"empty object variable", `{"a":"x","attributes":,"queries":}`, `{"a":"x","attributes":null,"queries":null}`},
		{"with spaces", "{\"a\": ,\n\"b\":\t}", "{\"a\": null,\n\"b\":\tnull}"},
		{"in a list", `[{"a":},{"b":[1,{"c":}]}]`, `[{"a":null},{"b":[1,{"c":null}]}]`},
		{"variable left as it is", `{"a":$SECURITY_SIGNAL_ATTRIBUTES,"b":$X}`, `{"a":null,"b":null}`},
		{"not inside of strings", `{"a":":,","b":}`, `{"a":":,","b":null}`},
		{"escaped quote", `{"a":"\":,","b":}`, `{"a":"\":,","b":null}`},
		{"raw line break", "{\"a\":\"x\ny\"}", `{"a":"x\u000ay"}`},
		{"nothing to do", `{"a":1}`, ``},
		{"beyond help", `{"a":"raw "quotes""}`, ``},
		{"cut short", `{"a":,`, ``},
	} {
		got, ok := Repair([]byte(tt.in))
		if string(got) != tt.want || ok != (tt.want != "") {
			t.Errorf("%s: %s, %v; want %s", tt.name, got, ok, tt.want)
		}
	}
}

func TestForm(t *testing.T) {
	for _, tt := range []struct{ name, contentType, body, want string }{
		{"by content type", "application/x-www-form-urlencoded; charset=utf-8", "title=%5BTriggered%5D+CPU+%E9%AB%98&id=99&empty=",
			`{"title":"[Triggered] CPU 高","id":"99","empty":""}`},
		{"by its looks", "", "alert_id=1&title=a%26b\n", `{"alert_id":"1","title":"a\u0026b"}`},
		{"objects stay objects", "", `attributes=%7B%22usr%22%3A%7B%22id%22%3A%22x%22%7D%7D&broken=%7B%22a&n=12`,
			`{"attributes":{"usr":{"id":"x"}},"broken":"{\"a","n":"12"}`},
		{"twice", "", "a=1&a=2", `{"a":"1"}`},
		{"bad escape", "", "a=%zz", "bad-form"},
		{"JSON with the wrong label", "application/x-www-form-urlencoded", `{"a":"b=c"}`, "not a form"},
		{"JSON", "", `[{"a=b":1}]`, "not a form"},
		{"text", "", `a sentence with x=1`, "not a form"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			in := producers.Input{ContentType: tt.contentType, Body: []byte(tt.body)}
			if !isForm(in) {
				if tt.want != "not a form" {
					t.Error("not seen as a form")
				}
				return
			}
			got := ""
			err := readForm(t.Context(), in, func(item producers.Item) error {
				got += string(item.Body)
				return nil
			})
			if refused, ok := err.(*producers.Refusal); ok {
				got = refused.Reason
			} else if err != nil || !json.Valid([]byte(got)) {
				t.Errorf("%v, or no JSON: %s", err, got)
			}
			if got != tt.want {
				t.Errorf("%s, want %s", got, tt.want)
			}
		})
	}
}

// FuzzRepair: what is called repaired is JSON, and was not before.
func FuzzRepair(f *testing.F) {
	f.Add([]byte(`{"a":,"b":$X,"c":"\":,` + "\n" + `"}`))
	f.Add([]byte(`{"a":[{"b":}]}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		out, ok := Repair(text)
		if ok && (!json.Valid(out) || bytes.Equal(out, text)) {
			t.Fatalf("%q became %q", text, out)
		}
	})
}

// FuzzForm: one object or a refusal.
func FuzzForm(f *testing.F) {
	f.Add([]byte("a=1&b=%7B%7D"))
	f.Fuzz(func(t *testing.T, body []byte) {
		err := readForm(context.Background(), producers.Input{Body: body}, func(item producers.Item) error {
			if !json.Valid(item.Body) || item.Body[0] != '{' {
				t.Fatalf("%q became %q", body, item.Body)
			}
			return nil
		})
		if _, ok := err.(*producers.Refusal); err != nil && !ok {
			t.Fatal(err)
		}
	})
}
