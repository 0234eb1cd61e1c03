package kinesisd

import (
	"bytes"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// lines is a log that a test reads.
type lines struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func (l *lines) logger() *slog.Logger { return slog.New(slog.NewTextHandler(l, nil)) }

// TestSettingsLast closes a server and opens its folder again: what clients
// declared is what it was. A consumer that is gone leaves nothing behind.
func TestSettingsLast(t *testing.T) {
	dir := t.TempDir()
	s := open(t, Config{Dir: dir})
	must(t, s, "CreateStream", `{"StreamName":"s","StreamModeDetails":{"StreamMode":"ON_DEMAND"},"Tags":{"a":"1"},"WarmThroughputMiBps":5,"RecordDistributionStrategy":"AUTO"}`)
	arn := s.streamARN("s")
	register := func(s *Server, tags string) string {
		return must(t, s, "RegisterStreamConsumer", fmt.Sprintf(`{"StreamARN":%q,"ConsumerName":"c","Tags":%s}`, arn, tags))["Consumer"].(map[string]any)["ConsumerARN"].(string)
	}
	consumer := register(s, `{"of":"consumer"}`)
	must(t, s, "StartStreamEncryption", `{"StreamName":"s","EncryptionType":"KMS","KeyId":"k"}`)
	must(t, s, "EnableEnhancedMonitoring", `{"StreamName":"s","ShardLevelMetrics":["IncomingBytes"]}`)
	must(t, s, "UpdateMaxRecordSize", fmt.Sprintf(`{"StreamARN":%q,"MaxRecordSizeInKiB":2048}`, arn))
	must(t, s, "PutResourcePolicy", fmt.Sprintf(`{"ResourceARN":%q,"Policy":"{\"a\":1}"}`, arn))
	ask := func(s *Server) (all []any) {
		all = append(all, must(t, s, "DescribeStream", `{"StreamName":"s"}`), must(t, s, "DescribeStreamSummary", `{"StreamName":"s"}`))
		for _, r := range []string{arn, consumer} {
			all = append(all, must(t, s, "ListTagsForResource", fmt.Sprintf(`{"ResourceARN":%q}`, r)))
		}
		return append(all, must(t, s, "GetResourcePolicy", fmt.Sprintf(`{"ResourceARN":%q}`, arn)), must(t, s, "DescribeLimits", `{}`))
	}
	want := ask(s)
	if text := fmt.Sprint(want); !strings.Contains(text, "AUTO") || !strings.Contains(text, "CurrentMiBps:5") || !strings.Contains(text, "KeyId:k") || !strings.Contains(text, "OnDemandStreamCount:1") {
		t.Errorf("told %s", text)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = open(t, Config{Dir: dir})
	if d := cmp.Diff(want, ask(s)); d != "" {
		t.Errorf("after opening again (-before +after):\n%s", d)
	}
	must(t, s, "DeregisterStreamConsumer", fmt.Sprintf(`{"ConsumerARN":%q}`, consumer))
	refused(t, s, "ListTagsForResource", fmt.Sprintf(`{"ResourceARN":%q}`, consumer), resourceNotFound)
	consumer = register(s, `{}`)
	if tags := must(t, s, "ListTagsForResource", fmt.Sprintf(`{"ResourceARN":%q}`, consumer))["Tags"].([]any); len(tags) != 0 {
		t.Errorf("a new consumer has tags %v", tags)
	}
	must(t, s, "DeleteStream", `{"StreamName":"s","EnforceConsumerDeletion":true}`)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = open(t, Config{Dir: dir}) // nothing belongs to nobody
	must(t, s, "CreateStream", `{"StreamName":"s","ShardCount":1}`)
	if tags := must(t, s, "ListTagsForStream", `{"StreamName":"s"}`)["Tags"].([]any); len(tags) != 0 {
		t.Errorf("a new stream has tags %v", tags)
	}
}

// TestSettingsRefused covers what only a careless client sends.
func TestSettingsRefused(t *testing.T) {
	s := open(t, Config{})
	must(t, s, "CreateStream", `{"StreamName":"s","ShardCount":1}`)
	arn := s.streamARN("s")
	consumer := must(t, s, "RegisterStreamConsumer", fmt.Sprintf(`{"StreamARN":%q,"ConsumerName":"c"}`, arn))["Consumer"].(map[string]any)["ConsumerARN"].(string)
	many := make([]string, 51)
	for i := range many {
		many[i] = fmt.Sprintf(`"k%d":"v"`, i)
	}
	for _, tt := range [][3]string{
		{"AddTagsToStream", `{"StreamName":"s","Tags":{}}`, validation},
		{"AddTagsToStream", `{"StreamName":"s","Tags":{"":"v"}}`, validation},
		{"AddTagsToStream", `{"StreamName":"s","Tags":{` + strings.Join(many, ",") + `}}`, invalidArgument},
		{"CreateStream", `{"StreamName":"t","ShardCount":1,"Tags":{"100%":"v"}}`, invalidArgument},
		{"CreateStream", `{"StreamName":"t","ShardCount":1,"RecordDistributionStrategy":"AUTO"}`, invalidArgument},
		{"CreateStream", `{"StreamName":"t","ShardCount":1,"WarmThroughputMiBps":1}`, invalidArgument},
		{"RemoveTagsFromStream", `{"StreamName":"s","TagKeys":[]}`, validation},
		{"TagResource", `{"ResourceARN":"arn:aws:s3:::s","Tags":{"a":"b"}}`, validation},
		{"TagResource", `{"ResourceARN":"` + consumer + `9","Tags":{"a":"b"}}`, resourceNotFound},
		{"EnableEnhancedMonitoring", `{"StreamName":"s","ShardLevelMetrics":["Latency"]}`, validation},
		{"EnableEnhancedMonitoring", `{"StreamName":"s","ShardLevelMetrics":[]}`, validation},
		{"StartStreamEncryption", `{"StreamName":"s","EncryptionType":"NONE","KeyId":"k"}`, validation},
		{"StartStreamEncryption", `{"StreamName":"s","EncryptionType":"KMS"}`, validation},
		{"UpdateStreamMode", fmt.Sprintf(`{"StreamARN":%q,"StreamModeDetails":{"StreamMode":"FAST"}}`, arn), validation},
		{"UpdateStreamMode", `{"StreamModeDetails":{"StreamMode":"ON_DEMAND"}}`, validation},
		{"UpdateMaxRecordSize", fmt.Sprintf(`{"StreamARN":%q,"MaxRecordSizeInKiB":1}`, arn), validation},
		{"UpdateStreamWarmThroughput", `{"StreamName":"s","WarmThroughputMiBps":1}`, validation},
		{"UpdateStreamRecordDistributionStrategy", fmt.Sprintf(`{"StreamARN":%q,"RecordDistributionStrategy":"AUTO"}`, arn), invalidArgument},
		{"PutResourcePolicy", fmt.Sprintf(`{"ResourceARN":%q,"Policy":"no"}`, arn), invalidArgument},
		{"DeleteResourcePolicy", fmt.Sprintf(`{"ResourceARN":%q}`, arn), resourceNotFound},
		{"GetResourcePolicy", `{"ResourceARN":""}`, validation},
		{"GetShardIterator", `{"StreamName":"s","ShardId":"shardId-000000000000","ShardIteratorType":"LATEST","StartingSequenceNumber":"0"}`, invalidArgument},
		{"ListShards", `{}`, invalidArgument},
		{"ListShards", `{"StreamName":"s","StreamCreationTimestamp":1}`, resourceNotFound},
		{"ListStreamConsumers", fmt.Sprintf(`{"StreamARN":%q,"StreamCreationTimestamp":1}`, arn), resourceNotFound},
		{"SubscribeToShard", fmt.Sprintf(`{"ConsumerARN":%q,"ShardId":"shardId-000000000000","StartingPosition":{"Type":"LATEST"},"DryRun":true}`, consumer), dryRun},
		{"CreateChannel", `{}`, unknownOperation},
	} {
		refused(t, s, tt[0], tt[1], tt[2])
	}
	made := must(t, s, "DescribeStream", `{"StreamName":"s"}`)["StreamDescription"].(map[string]any)["StreamCreationTimestamp"]
	must(t, s, "ListShards", fmt.Sprintf(`{"StreamName":"s","StreamCreationTimestamp":%f}`, made))
	if got := must(t, s, "ListTagsForStream", `{"StreamName":"s"}`)["Tags"].([]any); len(got) != 0 {
		t.Errorf("refused calls left tags %v", got)
	}
}
