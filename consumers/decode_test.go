package consumers

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"
	"github.com/google/go-cmp/cmp"

	"nagare"
	"nagare/internal/frame"
)

func frameOf(t testing.TB, uids ...string) []byte {
	t.Helper()
	var events []nagare.Event
	for _, uid := range uids {
		events = append(events, nagare.Event{ID: "id-" + uid, UID: uid, Source: "test", Body: []byte(`"` + uid + `"`)})
	}
	b, err := frame.Encode(nil, events)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestDecodeLeavesOutTheMisrouted: of two shards that each got the whole
// frame, each event comes from exactly one; plain records come from both.
func TestDecodeLeavesOutTheMisrouted(t *testing.T) {
	low, high := *wholeShard(), *wholeShard()
	low.ID, high.ID = "low", "high"
	low.HashTo[0], high.HashFrom[0] = 127, 128
	var uids []string
	for i := range 50 {
		uids = append(uids, fmt.Sprint("u", i))
	}
	arrived := time.Date(2026, 11, 25, 10, 0, 0, 0, time.UTC)
	rec := record("8", frameOf(t, uids...))
	rec.ApproximateArrivalTimestamp = &arrived
	seen := map[string]string{}
	for _, shard := range []*Shard{&low, &high} {
		n := &counters{}
		d := decoder{shard: shard, source: "plain", counter: n}
		var got []nagare.Event
		if err := d.decode([]types.Record{rec, record("9", []byte("x"))}, func(c chunk) error { got = append(got, c.events...); return nil }); err != nil {
			t.Fatal(err)
		}
		for _, ev := range got[:len(got)-1] {
			if was := seen[ev.UID]; was != "" {
				t.Errorf("%s comes from %s and %s", ev.UID, was, shard.ID)
			}
			seen[ev.UID] = shard.ID
			want := nagare.Position{Stream: "s@1", Shard: shard.ID, Seq: "8", Index: int(ev.UID[1] - '0'), Arrived: arrived}
			if len(ev.UID) == 3 {
				want.Index = want.Index*10 + int(ev.UID[2]-'0')
			}
			if d := cmp.Diff(want, ev.Pos); d != "" {
				t.Errorf("position of %s (-want +got):\n%s", ev.UID, d)
			}
		}
		if last := got[len(got)-1]; last.Source != "plain" || last.UID != shard.ID+"/9/0" {
			t.Errorf("plain record became %+v", last)
		}
		if n.events.Load()+n.misrouted.Load() != 51 || n.records.Load() != 2 || n.plain.Load() != 1 {
			t.Errorf("counted %+v", n)
		}
	}
	if len(seen) != len(uids) {
		t.Errorf("%d of %d events came", len(seen), len(uids))
	}
}

// TestDecodeCutsAtRecords: chunks are bounded, and a record is in one of them.
func TestDecodeCutsAtRecords(t *testing.T) {
	big := strings.Repeat("x", 600<<10)
	var in []types.Record
	for i := range 4 {
		in = append(in, record(fmt.Sprint(i+1), []byte(big)))
	}
	in = append(in, disarm([]types.Record{record("5", kplWrap(kplMessage(0, big, big, big)))})...)
	in = append(in, record("6", kplWrap(kplMessage(0)))) // no events, but a place
	d := decoder{shard: wholeShard(), counter: &counters{}}
	var got []string
	if err := d.decode(in, func(c chunk) error {
		got = append(got, fmt.Sprintf("%d to %s", len(c.events), c.to.Seq))
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff([]string{"2 to 2", "2 to 4", "3 to 5", "1 to 6"}, got); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}

func TestPlainIDIsStable(t *testing.T) {
	at := time.Date(2026, 11, 25, 10, 0, 0, 0, time.UTC)
	rec := record("1", []byte("x"))
	rec.ApproximateArrivalTimestamp = aws.Time(at)
	a, b := decodeAll(t, []types.Record{rec}), decodeAll(t, []types.Record{rec})
	if a[0].ID == "" || a[0].ID != b[0].ID || !a[0].Received.Equal(at) {
		t.Errorf("ids %q, %q, received %s", a[0].ID, b[0].ID, a[0].Received)
	}
}
