package kinesisd

import (
	"bytes"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
)

// TestRefusals covers requests that no SDK makes.
func TestRefusals(t *testing.T) {
	s := open(t, Config{})
	tests := []struct {
		name, method, path string
		header             map[string]string
		body               string
		status             int
		kind               string
	}{
		{"read in a browser", "GET", "/", nil, "", 405, unknownOperation},
		{"preflight", "OPTIONS", "/", map[string]string{"Origin": "https://example.com"}, "", 403, accessDenied},
		{"page of another site", "POST", "/", map[string]string{"Origin": "https://example.com"}, "{}", 403, accessDenied},
		{"page of this machine", "POST", "/", map[string]string{"Origin": "http://127.0.0.1:8080"}, "{}", 403, accessDenied},
		{"old form post", "POST", "/", map[string]string{"Sec-Fetch-Site": "cross-site"}, "{}", 403, accessDenied},
		{"form", "POST", "/", map[string]string{"Content-Type": "text/plain"}, "{}", 400, serialization},
		{"other path", "POST", "/x", nil, "{}", 400, unknownOperation},
		{"unknown call", "POST", "/", map[string]string{"X-Amz-Target": targetPrefix + "LaunchRocket"}, "{}", 400, unknownOperation},
		{"other service", "POST", "/", map[string]string{"X-Amz-Target": "DynamoDB_20120810.ListTables"}, "{}", 400, unknownOperation},
		{"no call", "POST", "/", map[string]string{"X-Amz-Target": ""}, "{}", 400, unknownOperation},
		{"no JSON", "POST", "/", nil, "{", 400, serialization},
		{"list", "POST", "/", nil, "[]", 400, serialization},
		{"wrong type", "POST", "/", nil, `{"Limit":"ten"}`, 400, serialization},
		{"deep", "POST", "/", nil, strings.Repeat(`{"a":`, 20_000), 413, bodyTooLarge},
		{"deeper than JSON goes", "POST", "/", map[string]string{"X-Amz-Target": targetPrefix + "PutRecords"}, strings.Repeat(`[`, 1_000_000), 400, serialization},
	}
	for _, tt := range tests {
		r := httptest.NewRequest(tt.method, tt.path, strings.NewReader(tt.body))
		r.Header.Set("Content-Type", contentType)
		r.Header.Set("X-Amz-Target", targetPrefix+"ListStreams")
		for k, v := range tt.header {
			r.Header.Set(k, v)
		}
		w := httptest.NewRecorder()
		s.ServeHTTP(w, r)
		if w.Code != tt.status || !strings.Contains(w.Body.String(), `"`+tt.kind+`"`) {
			t.Errorf("%s: answered %d %s, want %d %s", tt.name, w.Code, w.Body, tt.status, tt.kind)
		}
	}
}

// endless is a body without end that counts what is read of it.
type endless struct{ read int }

func (e *endless) Read(b []byte) (int, error) {
	e.read += len(b)
	return copy(b, bytes.Repeat([]byte(" "), len(b))), nil
}

// TestBodyIsBounded reads no more of a body than its call may have and its
// sender is let send, and frees its memory afterwards.
func TestBodyIsBounded(t *testing.T) {
	s := open(t, Config{})
	for action, limit := range map[string]int{"PutRecords": maxPutBody, "ListStreams": maxOtherBody} {
		body := &endless{}
		r := httptest.NewRequest(http.MethodPost, "/", io.NopCloser(body))
		r.ContentLength = -1
		r.Header.Set("Content-Type", contentType)
		r.Header.Set("X-Amz-Target", targetPrefix+action)
		w := httptest.NewRecorder()
		s.ServeHTTP(w, r)
		if w.Code != http.StatusRequestEntityTooLarge || body.read > maxDiscard+2*limit+(1<<20) {
			t.Errorf("%s: answered %d after %d bytes", action, w.Code, body.read)
		}
	}
	if s.bodies.used != 0 {
		t.Error("memory of bodies is still taken")
	}
}

// TestLargeRecords follows the limit of each stream.
func TestLargeRecords(t *testing.T) {
	s := open(t, Config{TailBytes: 1})
	must(t, s, "CreateStream", `{"StreamName":"s","ShardCount":1,"MaxRecordSizeInKiB":10240}`)
	data := strings.Repeat("x", maxLargeRecordBytes-1)
	put(t, s, data)
	put(t, s, data)
	got := horizon(t, s, firstShard)
	if len(got) != 2 || got[0] != data || got[1] != data {
		t.Errorf("%d records came back", len(got))
	}
	refused(t, s, "CreateStream", `{"StreamName":"u","ShardCount":1,"MaxRecordSizeInKiB":20000}`, validation)
}

// FuzzCall sends any body to any call: the answer is the client's fault or
// nobody's, never a panic or ours.
func FuzzCall(f *testing.F) {
	for _, body := range []string{
		`{}`, `null`, `[]`, `{"StreamName":"s"}`, `{"StreamName":"s","ShardCount":1}`, `{"StreamName":"s","PartitionKey":"k","Data":"YQ==","ExplicitHashKey":"1"}`,
		`{"StreamName":"s","Records":[{"PartitionKey":"k","Data":"YQ=="}]}`, `{"StreamARN":"arn:aws:kinesis:us-east-1:000000000000:stream/s","ConsumerName":"c"}`,
		`{"ConsumerARN":"arn:aws:kinesis:us-east-1:000000000000:stream/s/consumer/c:1"}`, `{"StreamName":"s","ShardId":"shardId-000000000000","ShardIteratorType":"AT_TIMESTAMP","Timestamp":1.5e300}`,
		`{"StreamName":"s","ShardId":"shardId-000000000000","ShardIteratorType":"AT_SEQUENCE_NUMBER","StartingSequenceNumber":"0"}`,
		`{"StreamName":"s","ShardToSplit":"shardId-000000000000","NewStartingHashKey":"5"}`, `{"StreamName":"s","ShardToMerge":"shardId-000000000000","AdjacentShardToMerge":"shardId-000000000001"}`,
		`{"StreamName":"s","TargetShardCount":3,"ScalingType":"UNIFORM_SCALING"}`, `{"StreamName":"s","RetentionPeriodHours":30}`, `{"NextToken":"x","MaxResults":1}`,
		`{"StreamName":"s","ShardFilter":{"Type":"AT_TIMESTAMP","Timestamp":-1e308},"MaxResults":1}`, `{"ShardIterator":"AAAA","Limit":1}`,
		`{"StreamName":"s","Tags":{"a":"b","%":""},"TagKeys":["a"],"ShardLevelMetrics":["ALL"],"EncryptionType":"KMS","KeyId":"k"}`,
		`{"ResourceARN":"arn:aws:kinesis:us-east-1:000000000000:stream/s","Tags":{"a":"b"},"TagKeys":["a"],"Policy":"{}"}`,
		`{"StreamARN":"arn:aws:kinesis:us-east-1:000000000000:stream/s","StreamModeDetails":{"StreamMode":"ON_DEMAND"},"MaxRecordSizeInKiB":2048,"WarmThroughputMiBps":1,"RecordDistributionStrategy":"AUTO"}`,
	} {
		for i := range 40 {
			f.Add(byte(i), []byte(body))
		}
	}
	s, err := Open(Config{Dir: f.TempDir()})
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { _ = s.Close() })
	must(f, s, "CreateStream", `{"StreamName":"s","ShardCount":2}`)
	names := finiteCalls(s)
	f.Fuzz(func(t *testing.T, call byte, body []byte) {
		name := names[int(call)%len(names)]
		if code, out := post(t, s, name, string(body)); code >= 500 {
			t.Errorf("%s %q answered %d %v", name, body, code, out)
		}
	})
}

// finiteCalls are those to fuzz: the stream is for all, and one call does not
// end.
func finiteCalls(s *Server) (names []string) {
	for _, name := range slices.Sorted(maps.Keys(s.actions)) {
		if name != "DeleteStream" && name != "SubscribeToShard" {
			names = append(names, name)
		}
	}
	return names
}

// FuzzTexts parses what clients send back to us: what is accepted is written
// the same again.
func FuzzTexts(f *testing.F) {
	for _, s := range []string{"0", "1", "340282366920938463463374607431768211455", "340282366920938463463374607431768211456", "007",
		newSequence(3, 77).String(), token{kind: iteratorToken, stream: 1, shard: 2, after: newSequence(1, 5), issued: 9}.String(), "shardId-000000000012"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if k, ok := parseHashKey(s); ok && k.String() != s {
			t.Errorf("hash key %q is %s", s, k)
		}
		if q, ok := parseSequence(s); ok && q.String() != s && s != "0" {
			t.Errorf("sequence number %q is %s", s, q)
		}
		if k, ok := parseToken(s, iteratorToken); ok && k.String() != s {
			t.Errorf("token %q is %s", s, k)
		}
		if n, err := shardIndexAfter(s); err == nil && shardID(int(n-1)) != s {
			t.Errorf("shard id %q is %s", s, shardID(int(n-1)))
		}
	})
}
