package ocsf

import (
	"encoding/json"
	"math"
	"math/rand/v2"
	"testing"
	"time"
)

// TestJSON holds the form to the byte: nested, ordered by name, nothing absent,
// no object without members, unmapped last.
func TestJSON(t *testing.T) {
	l := layoutOf(t, "api_activity", "api.operation", "api.request.data", "api.response.data", "src_endpoint.ip", "src_endpoint.location.lat",
		"src_endpoint.location.long", "src_endpoint.os.name", "start_time", "message", "resources/name", "resources/data", "resources/labels")
	e := &Event{}
	e.Reset(l)
	for path, v := range map[string]Value{
		"api.operation": TextValue("Put\"\\\x01\n"), "api.request.data": JSONValue(`{"a":[1,null]}`), "api.response.data": JSONValue(""),
		"src_endpoint.location.lat": FloatValue(35.6895), "src_endpoint.location.long": FloatValue(math.Inf(1)),
		"start_time": IntValue(-1), "start_time_dt": IntValue(-1), "message": TextValue("é\xff\u2028"),
	} {
		e.Slots[l.Slot(path)] = v
	}
	labels := e.NewList(nil)
	labels.Items = append(labels.Items, TextValue("a"), TextValue(""))
	addRow(e, "resources", "labels", ListValue(labels))
	addRow(e, "resources", "data", JSONValue("7"))
	e.AddUnmapped("b.c", `{"x":1}`)
	e.AddUnmapped("a", "")
	const want = `{"api":{"operation":"Put\"\\\u0001\n","request":{"data":{"a":[1,null]}},"response":{"data":null}},` +
		`"message":"é\ufffd\u2028","resources":[{"labels":["a",""]},{"data":7}],` +
		`"src_endpoint":{"location":{"lat":35.6895,"long":null}},"start_time":-1,"start_time_dt":"1969-12-31T23:59:59.999Z",` +
		`"unmapped":{"b.c":"{\"x\":1}","a":""}}`
	got := string(e.AppendJSON([]byte("x"))[1:])
	if got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if !json.Valid([]byte(got)) {
		t.Error("not JSON")
	}
	e.Reset(l)
	if got := string(e.AppendJSON(nil)); got != "{}" {
		t.Errorf("an empty event is %s", got)
	}
	e.AddUnmapped("a", "b")
	if got := string(e.AppendJSON(nil)); got != `{"unmapped":{"a":"b"}}` {
		t.Errorf("an event with unmapped only is %s", got)
	}
}

// TestAppendTime holds the quick way equal to the standard library's.
func TestAppendTime(t *testing.T) {
	times := []int64{0, -1, 999, -62135596800000, -62135596800001, 253402300799999, 253402300800000, 951782399999, 951782400000, 4107542399999, 1 << 45}
	rnd := rand.New(rand.NewPCG(1, 2))
	for range 20_000 {
		times = append(times, rnd.Int64N(253402300800000+62135596800000)-62135596800000)
	}
	for _, ms := range times {
		want := time.UnixMilli(ms).UTC().Format("2006-01-02T15:04:05.000Z07:00")
		if got := string(AppendTime(nil, ms)); got != want {
			t.Fatalf("%d: %s, want %s", ms, got, want)
		}
	}
}
