package kinesistest

import (
	"fmt"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"
	"github.com/google/go-cmp/cmp"
)

func tagsOf(tags []types.Tag) map[string]string {
	out := map[string]string{}
	for _, tag := range tags {
		out[*tag.Key] = aws.ToString(tag.Value)
	}
	return out
}

// testTags adds, replaces, lists and removes the tags of a stream.
func testTags(t *testing.T, f *fixture) {
	f.create(1)
	ctx := t.Context()
	_, err := f.c.AddTagsToStream(ctx, &kinesis.AddTagsToStreamInput{StreamName: &f.stream, Tags: map[string]string{"a": "1", "b": "2", "c": "", "город": "Köln"}})
	f.must(err)
	_, err = f.c.AddTagsToStream(ctx, &kinesis.AddTagsToStreamInput{StreamName: &f.stream, Tags: map[string]string{"b": "two"}})
	f.must(err)
	_, err = f.c.RemoveTagsFromStream(ctx, &kinesis.RemoveTagsFromStreamInput{StreamName: &f.stream, TagKeys: []string{"a", "absent"}})
	f.must(err)
	got := map[string]string{}
	in := &kinesis.ListTagsForStreamInput{StreamName: &f.stream, Limit: aws.Int32(2)}
	for pages := 1; ; pages++ {
		out, err := f.c.ListTagsForStream(ctx, in)
		f.must(err)
		if len(out.Tags) > 2 {
			t.Fatalf("asked for 2 tags, got %d", len(out.Tags))
		}
		for key, value := range tagsOf(out.Tags) {
			got[key] = value
		}
		if !*out.HasMoreTags {
			if pages != 2 {
				t.Errorf("%d pages of 2 for 3 tags", pages)
			}
			break
		}
		in.ExclusiveStartTagKey = out.Tags[len(out.Tags)-1].Key
	}
	if d := cmp.Diff(map[string]string{"b": "two", "c": "", "город": "Köln"}, got); d != "" {
		t.Errorf("tags (-want +got):\n%s", d)
	}
	_, err = f.c.AddTagsToStream(ctx, &kinesis.AddTagsToStreamInput{StreamName: &f.stream, Tags: map[string]string{strings.Repeat("k", 129): "v"}})
	wantError(t, err, "ValidationException")
	_, err = f.c.AddTagsToStream(ctx, &kinesis.AddTagsToStreamInput{StreamName: &f.stream, Tags: map[string]string{"k": "100%"}})
	wantError(t, err, "InvalidArgumentException")
	many := map[string]string{}
	for i := range 48 {
		many[fmt.Sprint("k", i)] = "v"
	}
	for len(many) > 0 { // ten in a call, as the API once allowed
		some := map[string]string{}
		for key := range many {
			if some[key] = "v"; len(some) == 10 {
				break
			}
		}
		for key := range some {
			delete(many, key)
		}
		_, err = f.c.AddTagsToStream(ctx, &kinesis.AddTagsToStreamInput{StreamName: &f.stream, Tags: some})
		if err != nil {
			break
		}
	}
	wantError(t, err, "InvalidArgumentException") // 51 tags
}

// testTagsWithCreate gives a stream tags as it is made.
func testTagsWithCreate(t *testing.T, f *fixture) {
	_, err := f.c.CreateStream(t.Context(), &kinesis.CreateStreamInput{StreamName: &f.stream, ShardCount: aws.Int32(1), Tags: map[string]string{"a": "1"}})
	f.must(err)
	removeAfter(t, f.c, f.stream)
	settle(t, f.c, f.stream)
	out, err := f.c.ListTagsForStream(t.Context(), &kinesis.ListTagsForStreamInput{StreamName: &f.stream})
	f.must(err)
	if d := cmp.Diff(map[string]string{"a": "1"}, tagsOf(out.Tags)); d != "" {
		t.Errorf("tags (-want +got):\n%s", d)
	}
}

// testTagResource tags a stream and its consumer by their ARNs: neither has
// the other's tags.
func testTagResource(t *testing.T, f *fixture) {
	f.create(1)
	ctx := t.Context()
	stream, consumer := f.describe().StreamARN, f.register("reader")
	for arn, tags := range map[*string]map[string]string{stream: {"of": "stream", "x": "y"}, consumer: {"of": "consumer", "x": "y"}} {
		_, err := f.c.TagResource(ctx, &kinesis.TagResourceInput{ResourceARN: arn, Tags: tags})
		f.must(err)
		_, err = f.c.UntagResource(ctx, &kinesis.UntagResourceInput{ResourceARN: arn, TagKeys: []string{"x"}})
		f.must(err)
	}
	for arn, want := range map[*string]string{stream: "stream", consumer: "consumer"} {
		out, err := f.c.ListTagsForResource(ctx, &kinesis.ListTagsForResourceInput{ResourceARN: arn})
		f.must(err)
		if d := cmp.Diff(map[string]string{"of": want}, tagsOf(out.Tags)); d != "" {
			t.Errorf("tags of the %s (-want +got):\n%s", want, d)
		}
	}
	_, err := f.c.ListTagsForResource(ctx, &kinesis.ListTagsForResourceInput{ResourceARN: aws.String(*stream + "-absent")})
	wantError(t, err, "ResourceNotFoundException")
}

// testMonitoring turns shard-level metrics on and off.
func testMonitoring(t *testing.T, f *fixture) {
	f.create(1)
	ctx := t.Context()
	on, err := f.c.EnableEnhancedMonitoring(ctx, &kinesis.EnableEnhancedMonitoringInput{StreamName: &f.stream, ShardLevelMetrics: []types.MetricsName{types.MetricsNameIncomingBytes}})
	f.must(err)
	if len(on.CurrentShardLevelMetrics) != 0 || len(on.DesiredShardLevelMetrics) != 1 {
		t.Errorf("turned on: from %v to %v", on.CurrentShardLevelMetrics, on.DesiredShardLevelMetrics)
	}
	settle(t, f.c, f.stream)
	_, err = f.c.EnableEnhancedMonitoring(ctx, &kinesis.EnableEnhancedMonitoringInput{StreamName: &f.stream, ShardLevelMetrics: []types.MetricsName{types.MetricsNameAll}})
	f.must(err)
	settle(t, f.c, f.stream)
	if got := f.describe().EnhancedMonitoring; len(got) != 1 || len(got[0].ShardLevelMetrics) != 7 {
		t.Errorf("all metrics are %v", got)
	}
	off, err := f.c.DisableEnhancedMonitoring(ctx, &kinesis.DisableEnhancedMonitoringInput{StreamName: &f.stream, ShardLevelMetrics: []types.MetricsName{types.MetricsNameIncomingBytes}})
	f.must(err)
	if len(off.CurrentShardLevelMetrics) != 7 || len(off.DesiredShardLevelMetrics) != 6 {
		t.Errorf("turned off: from %v to %v", off.CurrentShardLevelMetrics, off.DesiredShardLevelMetrics)
	}
}

// testEncryption declares a stream encrypted and not: descriptions and answers
// to puts say so.
func testEncryption(t *testing.T, f *fixture) {
	sh := f.create(1)[0]
	ctx, key := t.Context(), aws.String("alias/aws/kinesis")
	_, err := f.c.StartStreamEncryption(ctx, &kinesis.StartStreamEncryptionInput{StreamName: &f.stream, EncryptionType: types.EncryptionTypeKms, KeyId: key})
	f.must(err)
	settle(t, f.c, f.stream)
	if d := f.describe(); d.EncryptionType != types.EncryptionTypeKms || aws.ToString(d.KeyId) != *key {
		t.Errorf("encryption is %s with key %q", d.EncryptionType, aws.ToString(d.KeyId))
	}
	if out := f.put(sh, "x"); out.EncryptionType != types.EncryptionTypeKms {
		t.Errorf("a put says %q", out.EncryptionType)
	}
	if got, _ := f.read(f.horizon(sh.ShardId), 1); got[0].EncryptionType != types.EncryptionTypeKms || string(got[0].Data) != "x" {
		t.Errorf("a record says %q: %q", got[0].EncryptionType, got[0].Data)
	}
	_, err = f.c.StopStreamEncryption(ctx, &kinesis.StopStreamEncryptionInput{StreamName: &f.stream, EncryptionType: types.EncryptionTypeKms, KeyId: key})
	f.must(err)
	settle(t, f.c, f.stream)
	if d := f.describe(); d.EncryptionType != types.EncryptionTypeNone || d.KeyId != nil {
		t.Errorf("encryption is %s with key %v", d.EncryptionType, d.KeyId)
	}
}

// testStreamMode makes a stream ON_DEMAND, whose shards are not the client's
// to split, and PROVISIONED again.
func testStreamMode(t *testing.T, f *fixture) {
	sh := f.create(1)[0]
	ctx, arn := t.Context(), f.describe().StreamARN
	mode := func(m types.StreamMode) {
		t.Helper()
		_, err := f.c.UpdateStreamMode(ctx, &kinesis.UpdateStreamModeInput{StreamARN: arn, StreamModeDetails: &types.StreamModeDetails{StreamMode: m}})
		f.must(err)
		settle(t, f.c, f.stream)
		if got := f.describe().StreamModeDetails.StreamMode; got != m {
			t.Errorf("mode is %s, want %s", got, m)
		}
	}
	mode(types.StreamModeOnDemand)
	_, err := f.c.SplitShard(ctx, &kinesis.SplitShardInput{StreamName: &f.stream, ShardToSplit: sh.ShardId, NewStartingHashKey: middle(t, sh)})
	wantError(t, err, "ValidationException")
	_, err = f.c.UpdateShardCount(ctx, &kinesis.UpdateShardCountInput{StreamName: &f.stream, TargetShardCount: aws.Int32(2), ScalingType: types.ScalingTypeUniformScaling})
	wantError(t, err, "ValidationException")
	mode(types.StreamModeProvisioned)
	if got := len(f.shards()); got != 1 {
		t.Errorf("%d shards", got)
	}
}

// testMaxRecordSize lets a stream take larger records, and no longer.
func testMaxRecordSize(t *testing.T, f *fixture) {
	sh := f.create(1)[0]
	arn := f.describe().StreamARN
	large := strings.Repeat("x", 3<<20)
	size := func(kib int32) {
		t.Helper()
		_, err := f.c.UpdateMaxRecordSize(t.Context(), &kinesis.UpdateMaxRecordSizeInput{StreamARN: arn, MaxRecordSizeInKiB: &kib})
		f.must(err)
		settle(t, f.c, f.stream)
	}
	size(4096)
	_, err := f.c.PutRecord(t.Context(), &kinesis.PutRecordInput{StreamName: &f.stream, PartitionKey: aws.String("k"), Data: []byte(large)})
	f.must(err)
	if got, _ := f.read(f.horizon(sh.ShardId), 1); string(got[0].Data) != large {
		t.Errorf("the record came back with %d bytes", len(got[0].Data))
	}
	size(1024)
	_, err = f.c.PutRecord(t.Context(), &kinesis.PutRecordInput{StreamName: &f.stream, PartitionKey: aws.String("k"), Data: []byte(large)})
	wantError(t, err, "ValidationException")
}

// testPolicy keeps a policy and forgets it.
func testPolicy(t *testing.T, f *fixture) {
	f.create(1)
	ctx, arn := t.Context(), f.describe().StreamARN
	_, err := f.c.GetResourcePolicy(ctx, &kinesis.GetResourcePolicyInput{ResourceARN: arn})
	wantError(t, err, "ResourceNotFoundException")
	policy := fmt.Sprintf(`{"Version":"2012-10-17","Statement":[{"Sid":"read","Effect":"Allow","Principal":{"AWS":"000000000000"},"Action":["kinesis:GetRecords"],"Resource":%q}]}`, *arn)
	_, err = f.c.PutResourcePolicy(ctx, &kinesis.PutResourcePolicyInput{ResourceARN: arn, Policy: &policy})
	f.must(err)
	got, err := f.c.GetResourcePolicy(ctx, &kinesis.GetResourcePolicyInput{ResourceARN: arn})
	f.must(err)
	if aws.ToString(got.Policy) != policy {
		t.Errorf("the policy is %s", aws.ToString(got.Policy))
	}
	_, err = f.c.DeleteResourcePolicy(ctx, &kinesis.DeleteResourcePolicyInput{ResourceARN: arn})
	f.must(err)
	_, err = f.c.GetResourcePolicy(ctx, &kinesis.GetResourcePolicyInput{ResourceARN: arn})
	wantError(t, err, "ResourceNotFoundException")
}

// testLimits counts what it made itself among the open shards.
func testLimits(t *testing.T, f *fixture) {
	before, err := f.c.DescribeLimits(t.Context(), &kinesis.DescribeLimitsInput{})
	f.must(err)
	f.create(3)
	after, err := f.c.DescribeLimits(t.Context(), &kinesis.DescribeLimitsInput{})
	f.must(err)
	if grown := *after.OpenShardCount - *before.OpenShardCount; grown != 3 || *after.ShardLimit < *after.OpenShardCount {
		t.Errorf("open shards grew by %d to %d, limit %d", grown, *after.OpenShardCount, *after.ShardLimit)
	}
	if *after.OnDemandStreamCount > *after.OnDemandStreamCountLimit {
		t.Errorf("%d of %d streams ON_DEMAND", *after.OnDemandStreamCount, *after.OnDemandStreamCountLimit)
	}
}

// testAccount describes settings that nobody has changed.
func testAccount(t *testing.T, f *fixture) {
	out, err := f.c.DescribeAccountSettings(t.Context(), &kinesis.DescribeAccountSettingsInput{})
	f.must(err)
	if s := out.MinimumThroughputBillingCommitment; s == nil || s.Status != types.MinimumThroughputBillingCommitmentOutputStatusDisabled {
		t.Errorf("settings are %+v", s)
	}
}
