package kinesisd

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"math"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/fxamacker/cbor/v2"
	"github.com/google/go-cmp/cmp"
)

// postCBOR sends a call in CBOR and returns the status and the answer.
func postCBOR(t testing.TB, s *Server, action string, body []byte) (int, map[string]any) {
	t.Helper()
	r := httptest.NewRequest(http.MethodPost, "/", bytes.NewReader(body))
	r.Header.Set("Content-Type", cborFormat{}.contentType())
	r.Header.Set("X-Amz-Target", targetPrefix+action)
	w := httptest.NewRecorder()
	s.ServeHTTP(w, r)
	var out map[string]any
	if w.Body.Len() > 0 {
		if got := w.Header().Get("Content-Type"); got != (cborFormat{}).contentType() {
			t.Errorf("%s is answered as %s", action, got)
		}
		if err := cbor.Unmarshal(w.Body.Bytes(), &out); err != nil {
			t.Fatalf("%s %x answered %x: %v", action, body, w.Body, err)
		}
	}
	return w.Code, out
}

// TestCBORAsJavaWritesIt takes maps without a length, as the SDKs for Java
// write them, and answers errors in CBOR too.
func TestCBORAsJavaWritesIt(t *testing.T) {
	s := open(t, Config{})
	must(t, s, "CreateStream", `{"StreamName":"s","ShardCount":1}`)
	put := []byte("\xbf\x6aStreamName\x61s\x6cPartitionKey\x61k\x64Data\x43\x00\xffA\xff")
	code, out := postCBOR(t, s, "PutRecord", put)
	if code != http.StatusOK || out["ShardId"] != firstShard || out["EncryptionType"] != "NONE" {
		t.Fatalf("put answered %d %v", code, out)
	}
	if got := horizon(t, s, firstShard); len(got) != 1 || got[0] != "\x00\xffA" {
		t.Errorf("stored %q", got)
	}
	code, out = postCBOR(t, s, "DescribeStreamSummary", []byte("\xbf\x6aStreamName\x62no\xff"))
	if code != http.StatusBadRequest || out["__type"] != resourceNotFound || !strings.Contains(out["message"].(string), "Stream no under account") {
		t.Errorf("an absent stream answered %d %v", code, out)
	}
	for _, body := range []string{"", "\xff", "\x80", "\xa1", "\xbf\x6aStreamName\x61s", "\xa1\x6aStreamName\x01", "\xa1\x6aStreamName\x62\xff\xff",
		"\xa2\x6aStreamName\x61s\x6aStreamName\x61t", "\xa1\x61a" + strings.Repeat("\x81", 100_000) + "\x00", "\xa1\x61a\x9b\xff\xff\xff\xff\xff\xff\xff\xff"} {
		if code, out := postCBOR(t, s, "PutRecords", []byte(body)); code != http.StatusBadRequest || out["__type"] != serialization {
			t.Errorf("%.20x answered %d %v", body, code, out)
		}
	}
}

// TestTimesInCBOR reads milliseconds and seconds, and writes the former.
func TestTimesInCBOR(t *testing.T) {
	at := time.Date(2026, 3, 1, 10, 30, 0, 250e6, time.UTC)
	for name, text := range map[string]string{
		"milliseconds, tagged": hex.EncodeToString(seconds(at.UnixMilli()).appendCBOR(nil)),
		"seconds, tagged":      "c1fb" + hex.EncodeToString(be64(math.Float64bits(float64(at.UnixMilli())/1000))),
		"seconds":              "fb" + hex.EncodeToString(be64(math.Float64bits(float64(at.UnixMilli())/1000))),
	} {
		b, err := hex.DecodeString(text)
		if err != nil {
			t.Fatal(err)
		}
		var got timestamp
		if err := (cborFormat{}).decode(b, &got); err != nil || float64(got) != float64(at.UnixMilli())/1000 {
			t.Errorf("%s is %v, %v", name, got, err)
		}
	}
	for _, b := range []string{"\xfb\x7f\xf0\x00\x00\x00\x00\x00\x00", "\xf9\x7e\x00", "\xc1\x61x", "\x80", "\xc1"} {
		var got timestamp
		if err := (cborFormat{}).decode([]byte(b), &got); err == nil {
			t.Errorf("%x is %v", b, got)
		}
	}
}

func be64(n uint64) []byte {
	b := make([]byte, 8)
	for i := range b {
		b[i] = byte(n >> (56 - 8*i))
	}
	return b
}

// TestFormatsAgree writes the same page in both formats and compares what an
// independent reader makes of them.
func TestFormatsAgree(t *testing.T) {
	records := []record{
		{newSequence(1, 2), 1_772_361_000_123, "k\"\\ключ", []byte{0, 1, 0xff}},
		{newSequence(7, maxPlace), 0, strings.Repeat("k", 256), []byte{}},
		{newSequence(1, 3), 255, "k", bytes.Repeat([]byte{'x'}, 70_000)},
	}
	for _, encryption := range []string{"", "KMS"} {
		for n := range len(records) + 1 {
			rest := struct {
				MillisBehindLatest int64
				ChildShards        []childShape
			}{5, []childShape{{firstShard, []string{"p"}, hashRangeShape{"0", "1"}}}}
			page := func(f format) []byte {
				end := mustEncode(f, rest)
				b := f.head(nil, n, end)
				for i := range records[:n] {
					b = f.record(b, i, &records[i], encryption)
				}
				return f.foot(b, end)
			}
			type shape struct {
				Records []struct {
					SequenceNumber, PartitionKey, EncryptionType string
					Data                                         []byte
					ApproximateArrivalTimestamp                  timestamp
				}
				MillisBehindLatest int
				ChildShards        []childShape
			}
			var a, b shape
			if err := json.Unmarshal(page(jsonFormat{}), &a); err != nil {
				t.Fatal(err)
			}
			if err := cbor.Unmarshal(page(cborFormat{}), &b); err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(a, b); d != "" || len(a.Records) != n || a.MillisBehindLatest != 5 {
				t.Errorf("%d records (-JSON +CBOR):\n%s", n, d)
			}
		}
	}
}

// FuzzCallCBOR sends any bytes as CBOR to any call.
func FuzzCallCBOR(f *testing.F) {
	for _, body := range []any{
		map[string]any{}, map[string]any{"StreamName": "s", "PartitionKey": "k", "Data": []byte("d"), "ExplicitHashKey": "1"},
		map[string]any{"StreamName": "s", "Records": []any{map[string]any{"PartitionKey": "k", "Data": []byte("d")}}},
		map[string]any{"StreamName": "s", "ShardId": firstShard, "ShardIteratorType": "AT_TIMESTAMP", "Timestamp": cbor.Tag{Number: 1, Content: 5}},
		map[string]any{"StreamName": "s", "ShardFilter": map[string]any{"Type": "AT_TIMESTAMP", "Timestamp": math.NaN()}},
		map[string]any{"StreamName": "s", "Tags": map[string]string{"a": "b"}, "ShardLevelMetrics": []string{"ALL"}, "TagKeys": []string{"a"}},
		map[string]any{"ResourceARN": "arn:aws:kinesis:us-east-1:000000000000:stream/s", "Policy": "{}"},
	} {
		b, err := cbor.Marshal(body)
		if err != nil {
			f.Fatal(err)
		}
		for i := range 40 {
			f.Add(byte(i), b)
		}
	}
	s, err := Open(Config{Dir: f.TempDir(), Faults: &Faults{}})
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { _ = s.Close() })
	s.cfg.Faults.Add(Rule{Shard: "none"}) // so that every call's target is looked at
	must(f, s, "CreateStream", `{"StreamName":"s","ShardCount":2}`)
	names := finiteCalls(s)
	f.Fuzz(func(t *testing.T, call byte, body []byte) {
		name := names[int(call)%len(names)]
		if code, out := postCBOR(t, s, name, body); code >= 500 {
			t.Errorf("%s %x answered %d %v", name, body, code, out)
		}
	})
}
