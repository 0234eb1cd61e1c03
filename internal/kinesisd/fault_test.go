package kinesisd

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// TestRules says which of seven calls a rule befalls.
func TestRules(t *testing.T) {
	fault := Fault{Error: throughput}
	for name, tt := range map[string]struct {
		rule Rule
		want string // one letter a call: x is refused
	}{
		"all":                {Rule{}, "xxxxxxx"},
		"the third":          {Rule{Nth: 3}, "..x...."},
		"every third":        {Rule{Every: 3}, "..x..x."},
		"every second, once": {Rule{Every: 2, Times: 1}, ".x....."},
		"two":                {Rule{Times: 2}, "xx....."},
		"the call":           {Rule{Action: "DescribeStreamSummary", Nth: 1}, "x......"},
		"another call":       {Rule{Action: "PutRecord"}, "......."},
		"the stream":         {Rule{Stream: "s"}, "xxxxxxx"},
		"another stream":     {Rule{Stream: "t"}, "......."},
		"any shard":          {Rule{Shard: firstShard}, "......."},
		"records":            {Rule{Records: true}, "......."},
	} {
		faults := &Faults{}
		s := open(t, Config{Faults: faults})
		must(t, s, "CreateStream", `{"StreamName":"s","ShardCount":1}`)
		tt.rule.Fault = fault
		armed := faults.Add(tt.rule)
		got := ""
		for range 7 {
			code, _ := post(t, s, "DescribeStreamSummary", `{"StreamName":"s"}`)
			got += map[bool]string{true: ".", false: "x"}[code == http.StatusOK]
		}
		if got != tt.want || armed.Hits() != strings.Count(got, "x") {
			t.Errorf("%s: %s with %d hits, want %s", name, got, armed.Hits(), tt.want)
		}
		armed.Remove()
		must(t, s, "DescribeStreamSummary", `{"StreamName":"s"}`)
	}
}

// TestRulesOfShards befall only what one shard is asked for, however the call
// names it.
func TestRulesOfShards(t *testing.T) {
	faults := &Faults{}
	s := open(t, Config{Faults: faults})
	must(t, s, "CreateStream", `{"StreamName":"s","ShardCount":2}`)
	consumer := must(t, s, "RegisterStreamConsumer", fmt.Sprintf(`{"StreamARN":%q,"ConsumerName":"c"}`, s.streamARN("s")))["Consumer"].(map[string]any)["ConsumerARN"]
	it := map[string]any{}
	for _, id := range []string{"shardId-000000000000", "shardId-000000000001"} {
		it[id] = must(t, s, "GetShardIterator", fmt.Sprintf(`{"StreamName":"s","ShardId":%q,"ShardIteratorType":"TRIM_HORIZON"}`, id))["ShardIterator"]
	}
	second := "shardId-000000000001"
	armed := faults.Add(Rule{Stream: "s", Shard: second, Fault: Fault{Error: internalFailure}})
	high := maxHashKey.String()
	for _, tt := range []struct{ action, first, second string }{
		{"GetRecords", fmt.Sprintf(`{"ShardIterator":%q}`, it[firstShard]), fmt.Sprintf(`{"ShardIterator":%q}`, it[second])},
		{"GetShardIterator", `{"StreamName":"s","ShardId":"shardId-000000000000","ShardIteratorType":"LATEST"}`, `{"StreamName":"s","ShardId":"shardId-000000000001","ShardIteratorType":"LATEST"}`},
		{"PutRecord", `{"StreamName":"s","PartitionKey":"k","Data":"YQ==","ExplicitHashKey":"0"}`, `{"StreamName":"s","PartitionKey":"k","Data":"YQ==","ExplicitHashKey":"` + high + `"}`},
		{"PutRecord", `{"StreamARN":"` + s.streamARN("s") + `","PartitionKey":"a","Data":"YQ=="}`, `{"StreamName":"s","PartitionKey":"b","Data":"YQ=="}`},
	} {
		must(t, s, tt.action, tt.first)
		refused(t, s, tt.action, tt.second, internalFailure)
	}
	for _, tt := range [][2]string{
		{"SplitShard", `{"StreamName":"s","ShardToSplit":"shardId-000000000001","NewStartingHashKey":"` + high + `"}`},
		{"MergeShards", `{"StreamName":"s","ShardToMerge":"shardId-000000000000","AdjacentShardToMerge":"shardId-000000000001"}`},
		{"SubscribeToShard", fmt.Sprintf(`{"ConsumerARN":%q,"ShardId":"shardId-000000000001","StartingPosition":{"Type":"LATEST"}}`, consumer)},
	} {
		refused(t, s, tt[0], tt[1], internalFailure)
	}
	must(t, s, "ListShards", `{"StreamName":"s"}`) // of no shard
	if armed.Seen() != 7 {
		t.Errorf("the rule has seen %d calls, want 7", armed.Seen())
	}
	armed.Remove()

	// Of a PutRecords the records of the shard fail alone.
	faults.Add(Rule{Records: true, Shard: second, Every: 2, Fault: Fault{Error: throughput}})
	entry := func(key string) string { return `{"PartitionKey":"k","Data":"YQ==","ExplicitHashKey":"` + key + `"}` }
	out := must(t, s, "PutRecords", `{"StreamName":"s","Records":[`+strings.Join([]string{entry("0"), entry(high), entry("0"), entry(high), entry(high), entry(high)}, ",")+`]}`)
	got := ""
	for _, r := range out["Records"].([]any) {
		got += map[bool]string{true: "x", false: "."}[r.(map[string]any)["ErrorCode"] == throughput]
	}
	if got != "...x.x" || out["FailedRecordCount"] != 2. {
		t.Errorf("of the records %s failed, %v in all", got, out["FailedRecordCount"])
	}
}

// TestCutAndLate tells a call that was lost from one that was done: one leaves
// no record, the other does, and neither is answered in time.
func TestCutAndLate(t *testing.T) {
	faults := &Faults{}
	s := open(t, Config{Faults: faults})
	must(t, s, "CreateStream", `{"StreamName":"s","ShardCount":1}`)
	server := httptest.NewServer(s)
	defer server.Close()
	send := func(data string, patience time.Duration) error {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, server.URL, strings.NewReader(`{"StreamName":"s","PartitionKey":"k","Data":"`+data+`"}`))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Content-Type", contentType)
		r.Header.Set("X-Amz-Target", targetPrefix+"PutRecord")
		resp, err := (&http.Client{Timeout: patience}).Do(r)
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		_, err = io.ReadAll(resp.Body)
		return err
	}
	for _, tt := range []struct {
		data  string
		fault Fault
	}{
		{"Y3V0Cg==", Fault{Cut: true}}, {"ZHJv", Fault{Drop: true}}, {"bGF0", Fault{DelayAnswer: time.Hour}},
	} {
		armed := faults.Add(Rule{Action: "PutRecord", Fault: tt.fault})
		if err := send(tt.data, 300*time.Millisecond); err == nil {
			t.Errorf("%+v was answered", tt.fault)
		}
		armed.Remove()
	}
	if err := send("ZW5k", 10*time.Second); err != nil {
		t.Error(err)
	}
	if d := cmp.Diff([]string{"dro", "lat", "end"}, horizon(t, s, firstShard)); d != "" {
		t.Errorf("records (-want +got):\n%s", d)
	}
	faults.Add(Rule{Fault: Fault{Error: throughput, Status: http.StatusTooManyRequests}})
	if code, out := post(t, s, "ListStreams", `{}`); code != http.StatusTooManyRequests || out["__type"] != throughput {
		t.Errorf("answered %d %v", code, out)
	}
}
