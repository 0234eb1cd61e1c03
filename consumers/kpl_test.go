package consumers

import (
	"bytes"
	"crypto/md5"
	"fmt"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"
	"github.com/awslabs/kinesis-aggregation/go/v2/deaggregator"
	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/encoding/protowire"

	"nagare"
)

// kplWrap makes an aggregate of a message.
func kplWrap(msg []byte) []byte {
	sum := md5.Sum(msg)
	return append(append([]byte(kplMagic), msg...), sum[:]...)
}

// kplMessage makes the message of user records that all have one key.
func kplMessage(keyIndex uint64, users ...string) []byte {
	msg := protowire.AppendString(protowire.AppendTag(nil, 1, protowire.BytesType), "key")
	for _, u := range users {
		rec := protowire.AppendVarint(protowire.AppendTag(nil, 1, protowire.VarintType), keyIndex)
		rec = protowire.AppendString(protowire.AppendTag(rec, 3, protowire.BytesType), u)
		msg = protowire.AppendBytes(protowire.AppendTag(msg, 3, protowire.BytesType), rec)
	}
	return msg
}

func record(seq string, data []byte) types.Record {
	return types.Record{SequenceNumber: aws.String(seq), Data: data, PartitionKey: aws.String("p")}
}

// whole is a shard that holds every hash key.
func wholeShard() *Shard {
	s := &Shard{Stream: "s@1", ID: "shard"}
	for i := range s.HashTo {
		s.HashTo[i] = 255
	}
	return s
}

func decodeAll(t testing.TB, records []types.Record) []nagare.Event {
	t.Helper()
	d := decoder{shard: wholeShard(), source: "plain", counter: &counters{}}
	var events []nagare.Event
	if err := d.decode(records, func(c chunk) error { events = append(events, c.events...); return nil }); err != nil {
		t.Fatal(err)
	}
	return events
}

// TestPoison: what drops a batch or kills the process in the KCL becomes an
// event with a reason, and its neighbours stay as they are.
func TestPoison(t *testing.T) {
	nested := string(kplWrap(kplMessage(7, "x")))
	for name, c := range map[string]struct {
		data []byte
		want []string // "UID INDEX REASON BODY"
	}{
		"plain":            {[]byte("xx"), []string{"shard/2/0 0  xx"}},
		"good":             {kplWrap(kplMessage(0, "a", "b")), []string{"shard/2/0 0  a", "shard/2/1 1  b"}},
		"bad protobuf":     {kplWrap([]byte("not a message")), []string{"shard/2/0 0 bad-kpl *"}},
		"wild key index":   {kplWrap(kplMessage(7, "x")), []string{"shard/2/0 0 bad-kpl *"}},
		"no data":          {kplWrap([]byte("\x0a\x01k\x1a\x02\x08\x00")), []string{"shard/2/0 0 bad-kpl *"}},
		"nothing in it":    {kplWrap([]byte("\x0a\x01k")), nil},
		"poison inside":    {kplWrap(kplMessage(0, "a", nested)), []string{"shard/2/0 0  a", "shard/2/1 1  " + nested}},
		"wrong digest":     {append(kplWrap(kplMessage(7, "x")), 'y'), []string{"shard/2/0 0  *"}},
		"the magic alone":  {[]byte(kplMagic), []string{"shard/2/0 0  *"}},
		"a frame, damaged": {[]byte("NGR1 no zstd"), []string{"shard/2/0 0 bad-frame *"}},
	} {
		t.Run(name, func(t *testing.T) {
			safe := disarm([]types.Record{record("1", []byte("good")), record("2", c.data), record("3", []byte("good"))})
			// The library that the KCL calls must not change or drop anything.
			passed, err := deaggregator.DeaggregateRecords(safe)
			if err != nil || len(passed) != len(safe) {
				t.Fatalf("the KCL passes %d of %d records on, %v", len(passed), len(safe), err)
			}
			var got []string
			events := decodeAll(t, passed)
			for _, ev := range events {
				body := string(ev.Body)
				if body == string(c.data) && len(body) > 2 {
					body = "*"
				}
				if (ev.Reason == "") != (ev.Error == "") {
					t.Errorf("reason %q, error %q", ev.Reason, ev.Error)
				}
				got = append(got, fmt.Sprintf("%s %d %s %s", ev.UID, ev.Pos.Index, ev.Reason, body))
			}
			want := append(append([]string{"shard/1/0 0  good"}, c.want...), "shard/3/0 0  good")
			if d := cmp.Diff(want, got); d != "" {
				t.Errorf("(-want +got):\n%s", d)
			}
		})
	}
}

func TestKPLIsBounded(t *testing.T) {
	if _, err := deaggregate(kplWrap(kplMessage(0, make([]string, maxUserRecords)...))); err != nil {
		t.Error(err)
	}
	if _, err := deaggregate(kplWrap(kplMessage(0, make([]string, maxUserRecords+1)...))); err == nil || !strings.Contains(err.Error(), "more than") {
		t.Errorf("one too many: %v", err)
	}
}

// FuzzRecord: no record of anybody stops us, passes through the KCL other than
// we sent it, or is lost. What both can read, we read as the library does.
func FuzzRecord(f *testing.F) {
	f.Add([]byte("plain"), false)
	f.Add(kplMessage(0, "a", "b"), true)
	f.Add(kplMessage(7, "x"), true)
	f.Add(kplMessage(0, string(kplWrap(kplMessage(0, "a")))), true)
	f.Add([]byte("\x0a\x01k\x1a\x02\x08\x00"), true)
	f.Add([]byte("NGR1\x28\xb5\x2f\xfd"), false)
	f.Fuzz(func(t *testing.T, data []byte, wrap bool) {
		if wrap {
			data = kplWrap(data)
		}
		in := []types.Record{record("5", data)}
		safe := disarm(in)
		for _, r := range safe {
			if bytes.HasPrefix(r.Data, []byte(kplMagic)) {
				t.Fatal("the KCL sees the magic")
			}
		}
		events := decodeAll(t, safe)
		if !isKPL(data) {
			if len(events) == 0 && !strings.HasPrefix(string(data), "NGR1") {
				t.Fatal("a record is lost")
			}
			return
		}
		users, err := deaggregate(data)
		if err != nil {
			if len(events) != 1 || events[0].Reason != ReasonBadKPL || !bytes.Equal(events[0].Body, data) {
				t.Fatalf("a bad aggregate became %+v", events)
			}
			return
		}
		theirs, err := deaggregator.DeaggregateRecords(in)
		if err != nil {
			return // it checks UTF-8, which we need not
		}
		if len(theirs) != len(users) {
			t.Fatalf("%d user records, the library finds %d", len(users), len(theirs))
		}
		for i := range users {
			if !bytes.Equal(users[i], theirs[i].Data) {
				t.Fatalf("user record %d is %q, the library says %q", i, users[i], theirs[i].Data)
			}
		}
	})
}
