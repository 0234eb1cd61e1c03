package frame

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/cloudevents/sdk-go/binding/format/protobuf/v2/pb"
	"github.com/google/go-cmp/cmp"
	"github.com/klauspost/compress/zstd"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"nagare"
)

var (
	received = time.Date(2026, 7, 3, 1, 2, 3, 456789012, time.UTC)
	happened = time.Date(2026, 7, 3, 1, 1, 58, 1, time.UTC)
)

func sample() []nagare.Event {
	return []nagare.Event{
		{ID: "a", UID: "u-1", Source: "okta", Tenant: "prod", Auth: nagare.AuthPass, Time: happened, Received: received, Body: []byte(`{"a":1}`)},
		{ID: "b", UID: "u-2", Source: "okta", Received: received, ContentType: "message/rfc822", Body: bytes.Repeat([]byte("x\x00\xff\r\n"), 5000)},
		{ID: "c", Source: "mail", Reason: "not-json", Error: "line 3: unexpected end", Auth: nagare.AuthFail, Body: []byte("{")},
		{ID: "d", UID: "日本語", Source: "csv", Time: time.Date(1601, 1, 1, 0, 0, 0, 0, time.UTC)},
		{ID: "e", UID: "u-3", Source: "okta", Received: received, DataRef: "claims/2026-07-03/00ff"},
		{},
	}
}

func TestRoundTrip(t *testing.T) {
	want := sample()
	data, err := Encode([]byte("kept"), want)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.HasPrefix(data, []byte("keptNGR1")) {
		t.Fatalf("frame starts with %q", data[:8])
	}
	got, err := Decode(data[4:])
	if err != nil {
		t.Fatal(err)
	}
	for i := range want { // an empty body comes back empty, nil or not
		want[i].Body, got[i].Body = append([]byte{}, want[i].Body...), append([]byte{}, got[i].Body...)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("events differ (-put +got):\n%s", diff)
	}
}

func TestAppendToBodyLeavesNeighbourAlone(t *testing.T) {
	data, _ := Encode(nil, sample())
	events, err := Decode(data)
	if err != nil {
		t.Fatal(err)
	}
	_ = append(events[0].Body, "overwritten overwritten overwritten"...)
	if events[1].ID != "b" || !bytes.Equal(events[1].Body, sample()[1].Body) {
		t.Error("an append to one body changed the next event")
	}
}

// TestOfficialTypeReadsUs holds the hand-written codec equal to the generated
// type of the CloudEvents SDK, in both directions.
func TestOfficialTypeReadsUs(t *testing.T) {
	for _, ev := range sample() {
		element := func(raw []byte) []byte {
			_, _, n := protowire.ConsumeTag(raw)
			v, _ := protowire.ConsumeBytes(raw[n:])
			return v
		}
		var ours pb.CloudEvent
		if err := proto.Unmarshal(element(appendEvent(nil, &ev)), &ours); err != nil {
			t.Fatalf("%s: %v", ev.ID, err)
		}
		official := &pb.CloudEvent{
			Id: ev.ID, Source: ev.Source, SpecVersion: "1.0", Type: "nagare.event",
			Attributes: map[string]*pb.CloudEventAttributeValue{},
		}
		if ev.DataRef == "" {
			official.Data = &pb.CloudEvent_BinaryData{BinaryData: ev.Body}
		} else {
			official.Attributes["dataref"] = &pb.CloudEventAttributeValue{Attr: &pb.CloudEventAttributeValue_CeUriRef{CeUriRef: ev.DataRef}}
		}
		set := func(name, value string) {
			if value != "" {
				official.Attributes[name] = &pb.CloudEventAttributeValue{Attr: &pb.CloudEventAttributeValue_CeString{CeString: value}}
			}
		}
		at := func(name string, v time.Time) {
			if !v.IsZero() {
				official.Attributes[name] = &pb.CloudEventAttributeValue{Attr: &pb.CloudEventAttributeValue_CeTimestamp{CeTimestamp: timestamppb.New(v)}}
			}
		}
		set("uid", ev.UID)
		set("tenant", ev.Tenant)
		set("auth", ev.Auth)
		set("reason", ev.Reason)
		set("error", ev.Error)
		set("datacontenttype", map[bool]string{true: "application/json", false: ev.ContentType}[ev.ContentType == ""])
		at("time", ev.Received)
		at("eventtime", ev.Time)
		if !proto.Equal(official, &ours) {
			t.Errorf("event %s: official type reads\n%v\nwant\n%v", ev.ID, &ours, official)
		}

		b, err := proto.Marshal(official)
		if err != nil {
			t.Fatal(err)
		}
		back, err := decodeEvent(b, &nagare.Event{})
		if err != nil {
			t.Fatal(err)
		}
		ev.Body, back.Body = append([]byte{}, ev.Body...), append([]byte{}, back.Body...)
		if diff := cmp.Diff(ev, back); diff != "" {
			t.Errorf("event %s, written by the official type (-want +got):\n%s", ev.ID, diff)
		}
	}
}

func TestEqualEventsMakeEqualFrames(t *testing.T) {
	a, _ := Encode(nil, sample())
	b, _ := Encode(nil, sample())
	if !bytes.Equal(a, b) {
		t.Error("the same events made two different frames")
	}
}

func TestHashKey(t *testing.T) {
	// printf "okta\0u-1" | sha256sum.
	if got := fmt.Sprintf("%x", HashKey("okta", "u-1")); got != "f1fa3b3ff33cecb4dbc1b8b7434f3821" {
		t.Errorf("HashKey = %s", got)
	}
	if HashKey("ab", "c") == HashKey("a", "bc") {
		t.Error("source and uid run together")
	}
	bad := nagare.Event{Source: "s", UID: "\xff\xfe"}
	data, _ := Encode(nil, []nagare.Event{bad})
	events, err := Decode(data)
	if err != nil {
		t.Fatal(err)
	}
	if HashKey(bad.Source, bad.UID) != HashKey(events[0].Source, events[0].UID) {
		t.Error("a uid that is not UTF-8 hashes differently after the journey")
	}
}

func TestDecodeRefuses(t *testing.T) {
	good, err := Encode(nil, sample())
	if err != nil {
		t.Fatal(err)
	}
	pack := func(raw []byte) []byte {
		z, _ := zstd.NewWriter(nil)
		return z.EncodeAll(raw, []byte(Magic))
	}
	flipped := bytes.Clone(good)
	flipped[len(flipped)-2] ^= 1 // in the checksum
	tooMany := bytes.Repeat([]byte{10, 0}, MaxEvents+1)
	badTime := protowire.AppendBytes([]byte{10}, protowire.AppendBytes([]byte{5<<3 | 2}, // attribute
		append([]byte{10, 4, 't', 'i', 'm', 'e', 18}, protowire.AppendBytes(nil,
			append([]byte{7<<3 | 2}, protowire.AppendBytes(nil, protowire.AppendVarint([]byte{8}, 1<<60))...))...)))
	// Many small zstd frames that are each below the limit but not together.
	bomb := []byte(Magic)
	for range 70 {
		bomb = append(bomb, pack(make([]byte, 1<<20))[len(Magic):]...)
	}
	for _, tt := range []struct {
		name     string
		data     []byte
		tooLarge bool
	}{
		{name: "empty"},
		{name: "no magic", data: []byte("NGR2....")},
		{name: "magic, then text", data: []byte("NGR1hello, world")},
		{name: "cut", data: good[:len(good)-7]},
		{name: "checksum", data: flipped},
		{name: "not protobuf", data: pack([]byte{0xff, 0xff, 0xff})},
		{name: "length beyond the end", data: pack([]byte{10, 200, 1, 0})},
		{name: "time of the year 36 billion", data: pack(badTime)},
		{name: "too many events", data: pack(tooMany), tooLarge: true},
		{name: "bomb", data: pack(make([]byte, MaxRaw+1)), tooLarge: true},
		{name: "bomb in pieces", data: bomb, tooLarge: true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			events, err := Decode(tt.data)
			if err == nil {
				t.Fatalf("decoded to %d events", len(events))
			}
			if errors.Is(err, ErrTooLarge) != tt.tooLarge {
				t.Errorf("err = %v; too large: want %v", err, tt.tooLarge)
			}
		})
	}
}

func TestUnknownTypeIsADeadLetterNotADeadFrame(t *testing.T) {
	other, _ := proto.Marshal(&pb.CloudEvent{Id: "x", Source: "okta", SpecVersion: "1.0", Type: "com.example.other",
		Data: &pb.CloudEvent_TextData{TextData: "hi"}})
	raw := protowire.AppendBytes([]byte{10}, other)
	ev := nagare.Event{ID: "y", Source: "okta", Body: []byte("{}")}
	raw = appendEvent(raw, &ev)
	z, _ := zstd.NewWriter(nil)
	events, err := Decode(z.EncodeAll(raw, []byte(Magic)))
	if err != nil {
		t.Fatal(err)
	}
	if len(events) != 2 || events[0].Reason != "unknown-type" || string(events[0].Body) != "hi" || events[1].Reason != "" {
		t.Errorf("got %+v", events)
	}
}

func TestEncodeRefusesWhatDecodeWould(t *testing.T) {
	if _, err := Encode(nil, []nagare.Event{{Body: make([]byte, MaxRaw)}}); !errors.Is(err, ErrTooLarge) {
		t.Errorf("err = %v", err)
	}
	if _, err := Encode(nil, make([]nagare.Event, MaxEvents+1)); !errors.Is(err, ErrTooLarge) {
		t.Errorf("err = %v", err)
	}
}

// FuzzDecode: it neither panics nor runs away, and what it accepts comes out
// the same after another journey.
func FuzzDecode(f *testing.F) {
	good, _ := Encode(nil, sample())
	f.Add(good)
	f.Add(good[:len(good)/2])
	f.Add([]byte(Magic))
	one, _ := Encode(nil, sample()[:1])
	f.Add(one)
	f.Fuzz(func(t *testing.T, data []byte) {
		events, err := Decode(data)
		if err != nil {
			return
		}
		roundTrip(t, events)
	})
}

// FuzzBatch is FuzzDecode behind the compression, where a fuzzer gets further.
func FuzzBatch(f *testing.F) {
	var raw []byte
	for _, ev := range sample() {
		raw = appendEvent(raw, &ev)
	}
	f.Add(raw)
	f.Fuzz(func(t *testing.T, raw []byte) {
		if n, err := count(raw); err != nil || n > 1000 {
			return
		}
		events, err := decodeBatch(nil, raw)
		if err != nil {
			return
		}
		roundTrip(t, events)
	})
}

func roundTrip(t *testing.T, events []nagare.Event) {
	t.Helper()
	again, err := Encode(nil, events)
	if err != nil {
		t.Fatal(err)
	}
	second, err := Decode(again)
	if err != nil {
		t.Fatal(err)
	}
	for i := range events {
		a, b := events[i], second[i]
		if HashKey(a.Source, a.UID) != HashKey(b.Source, b.UID) || !bytes.Equal(a.Body, b.Body) ||
			!a.Time.Equal(b.Time) || !a.Received.Equal(b.Received) || text(a.Reason) != b.Reason {
			t.Fatalf("event %d: %+v became %+v", i, a, b)
		}
	}
}

// like returns events of one source that are alike, as neighbours are.
func like(n int) []nagare.Event {
	r := rand.New(rand.NewPCG(1, 2))
	events := make([]nagare.Event, n)
	for i := range events {
		events[i] = nagare.Event{
			ID: fmt.Sprintf("2x%025d", r.Uint64()), UID: fmt.Sprintf("%016x%016x", r.Uint64(), r.Uint64()),
			Source: "okta", Auth: nagare.AuthPass, Time: happened, Received: received,
			Body: fmt.Appendf(nil, `{"uuid":"%016x","published":"2026-07-03T01:%02d:%02d.000Z","eventType":"user.session.start","actor":{"id":"00u%08x","alternateId":"user%d@example.com","displayName":"User Number %d"},"client":{"ip":"198.51.100.%d","userAgent":{"os":"Mac OS X","browser":"CHROME"}},"outcome":{"result":"SUCCESS"}}`,
				r.Uint64(), i%60, r.IntN(60), r.Uint32(), r.IntN(500), r.IntN(500), r.IntN(255)),
		}
	}
	return events
}

func BenchmarkEncode(b *testing.B) {
	events := like(700)
	var e Encoder
	var out []byte
	b.ReportAllocs()
	for b.Loop() {
		e.Reset()
		for i := range events {
			e.Add(&events[i])
		}
		out, _ = e.Append(out[:0])
	}
	b.SetBytes(int64(e.RawSize()))
	b.ReportMetric(float64(e.RawSize())/float64(len(out)), "ratio")
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*len(events)), "ns/event")
}

func BenchmarkDecode(b *testing.B) {
	events := like(700)
	data, _ := Encode(nil, events)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Decode(data); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*len(events)), "ns/event")
}
