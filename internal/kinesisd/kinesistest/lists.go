package kinesistest

import (
	"slices"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"
	"github.com/google/go-cmp/cmp"
)

func idsOf(shards []types.Shard) []string {
	ids := []string{}
	for _, sh := range shards {
		ids = append(ids, *sh.ShardId)
	}
	return ids
}

// testListShards lists all, and through filters.
func testListShards(t *testing.T, f *fixture) {
	shards := f.create(2)
	time.Sleep(5 * time.Millisecond)
	beforeSplit := time.Now()
	time.Sleep(5 * time.Millisecond)
	f.split(shards[0])
	all := idsOf(f.shards())
	if len(all) != 4 {
		t.Fatalf("shards are %v, want 4", all)
	}
	tests := []struct {
		name string
		in   kinesis.ListShardsInput
		want []string
	}{
		{"exclusive start", kinesis.ListShardsInput{ExclusiveStartShardId: &all[1]}, all[2:]},
		{"after a shard", kinesis.ListShardsInput{ShardFilter: &types.ShardFilter{Type: types.ShardFilterTypeAfterShardId, ShardId: &all[0]}}, all[1:]},
		{"at latest", kinesis.ListShardsInput{ShardFilter: &types.ShardFilter{Type: types.ShardFilterTypeAtLatest}}, all[1:]},
		{"at trim horizon", kinesis.ListShardsInput{ShardFilter: &types.ShardFilter{Type: types.ShardFilterTypeAtTrimHorizon}}, all[:2]},
		{"from trim horizon", kinesis.ListShardsInput{ShardFilter: &types.ShardFilter{Type: types.ShardFilterTypeFromTrimHorizon}}, all},
		{"before the split", kinesis.ListShardsInput{ShardFilter: &types.ShardFilter{Type: types.ShardFilterTypeAtTimestamp, Timestamp: &beforeSplit}}, all[:2]},
		{"from before the split", kinesis.ListShardsInput{ShardFilter: &types.ShardFilter{Type: types.ShardFilterTypeFromTimestamp, Timestamp: &beforeSplit}}, all},
	}
	for _, tt := range tests {
		tt.in.StreamName = &f.stream
		out, err := f.c.ListShards(t.Context(), &tt.in)
		f.must(err)
		if d := cmp.Diff(tt.want, idsOf(out.Shards)); d != "" {
			t.Errorf("%s (-want +got):\n%s", tt.name, d)
		}
	}
}

// testListShardsInPages lists a few at a time.
func testListShardsInPages(t *testing.T, f *fixture) {
	all := idsOf(f.create(4))
	f.listInPages(all, &kinesis.ListShardsInput{StreamName: &f.stream, MaxResults: aws.Int32(3)})
}

// testListShardsMadeUpToken goes on from where nobody has been.
func testListShardsMadeUpToken(t *testing.T, f *fixture) {
	_, err := f.c.ListShards(t.Context(), &kinesis.ListShardsInput{NextToken: aws.String("made-up")})
	wantError(t, err, "InvalidArgumentException")
}

// testListShardsByARN names the stream in the other way.
func testListShardsByARN(t *testing.T, f *fixture) {
	all := idsOf(f.create(4))
	f.listInPages(all, &kinesis.ListShardsInput{StreamARN: f.describe().StreamARN, MaxResults: aws.Int32(3)})
}

func (f *fixture) listInPages(want []string, in *kinesis.ListShardsInput) {
	f.t.Helper()
	var paged []string
	for pages := 1; ; pages++ {
		out, err := f.c.ListShards(f.t.Context(), in)
		f.must(err)
		paged = append(paged, idsOf(out.Shards)...)
		if out.NextToken == nil {
			if pages != 2 {
				f.t.Errorf("%d pages of 3 for 4 shards", pages)
			}
			break
		}
		in = &kinesis.ListShardsInput{NextToken: out.NextToken, MaxResults: in.MaxResults}
	}
	if d := cmp.Diff(want, paged); d != "" {
		f.t.Errorf("pages (-want +got):\n%s", d)
	}
}

func (f *fixture) describe() *types.StreamDescription {
	f.t.Helper()
	out, err := f.c.DescribeStream(f.t.Context(), &kinesis.DescribeStreamInput{StreamName: &f.stream})
	f.must(err)
	return out.StreamDescription
}

// testDescribe checks both descriptions, and the pages of the longer.
func testDescribe(t *testing.T, f *fixture) {
	start := time.Now().Add(-time.Minute)
	shards := idsOf(f.create(3))
	d := f.describe()
	if *d.StreamName != f.stream || d.StreamStatus != types.StreamStatusActive || *d.RetentionPeriodHours != 24 || *d.HasMoreShards || len(d.Shards) != 3 {
		t.Errorf("description is %+v", d)
	}
	if d.StreamCreationTimestamp.Before(start) || d.StreamCreationTimestamp.After(time.Now().Add(time.Minute)) {
		t.Errorf("created at %v", d.StreamCreationTimestamp)
	}
	var paged []string
	in := &kinesis.DescribeStreamInput{StreamName: &f.stream, Limit: aws.Int32(2)}
	for {
		out, err := f.c.DescribeStream(t.Context(), in)
		f.must(err)
		paged = append(paged, idsOf(out.StreamDescription.Shards)...)
		if !*out.StreamDescription.HasMoreShards {
			break
		}
		in.ExclusiveStartShardId = &paged[len(paged)-1]
	}
	if diff := cmp.Diff(shards, paged); diff != "" {
		t.Errorf("pages (-want +got):\n%s", diff)
	}
	out, err := f.c.DescribeStreamSummary(t.Context(), &kinesis.DescribeStreamSummaryInput{StreamName: &f.stream})
	f.must(err)
	s := out.StreamDescriptionSummary
	if *s.OpenShardCount != 3 || aws.ToInt32(s.ConsumerCount) != 0 || *s.StreamARN != *d.StreamARN {
		t.Errorf("summary is %+v", s)
	}
	if d.StreamModeDetails == nil || s.StreamModeDetails == nil {
		t.Error("the mode of the stream is not told")
	}
}

// testDescribeByARN names the stream in the other way.
func testDescribeByARN(t *testing.T, f *fixture) {
	f.create(2)
	arn := f.describe().StreamARN
	out, err := f.c.DescribeStream(t.Context(), &kinesis.DescribeStreamInput{StreamARN: arn})
	f.must(err)
	if d := out.StreamDescription; *d.StreamName != f.stream || len(d.Shards) != 2 {
		t.Errorf("description is %+v", d)
	}
	summary, err := f.c.DescribeStreamSummary(t.Context(), &kinesis.DescribeStreamSummaryInput{StreamARN: arn})
	f.must(err)
	if s := summary.StreamDescriptionSummary; *s.StreamName != f.stream || s.StreamModeDetails.StreamMode != types.StreamModeProvisioned {
		t.Errorf("summary is %+v", s)
	}
}

// testListStreams makes a second stream and finds both, page by page.
func testListStreams(t *testing.T, f *fixture) {
	f.create(1)
	second := f.stream + "-second"
	CreateStream(t, f.c, second, 1)
	var names []string
	in := &kinesis.ListStreamsInput{Limit: aws.Int32(1)}
	for {
		out, err := f.c.ListStreams(t.Context(), in)
		f.must(err)
		if len(out.StreamNames) > 1 {
			t.Fatalf("a page of one has %d names", len(out.StreamNames))
		}
		names = append(names, out.StreamNames...)
		if !*out.HasMoreStreams {
			break
		}
		in.ExclusiveStartStreamName = &names[len(names)-1]
	}
	for _, want := range []string{f.stream, second} {
		if !slices.Contains(names, want) {
			t.Errorf("%s is not among %v", want, names)
		}
	}
	if !slices.IsSorted(names) {
		t.Errorf("streams are not in order: %v", names)
	}
}

// testStreamSummaries lists streams with what is known of them, and goes on by
// token.
func testStreamSummaries(t *testing.T, f *fixture) {
	f.create(1)
	CreateStream(t, f.c, f.stream+"-second", 1)
	var found []types.StreamSummary
	in := &kinesis.ListStreamsInput{Limit: aws.Int32(1)}
	for {
		out, err := f.c.ListStreams(t.Context(), in)
		f.must(err)
		found = append(found, out.StreamSummaries...)
		if !*out.HasMoreStreams {
			break
		}
		if in.NextToken = out.NextToken; in.NextToken == nil {
			t.Fatal("there are more streams, but no token")
		}
	}
	for _, name := range []string{f.stream, f.stream + "-second"} {
		i := slices.IndexFunc(found, func(s types.StreamSummary) bool { return *s.StreamName == name })
		if i < 0 {
			t.Fatalf("%s is not listed", name)
		}
		if s := found[i]; s.StreamStatus != types.StreamStatusActive || s.StreamARN == nil || s.StreamCreationTimestamp == nil || s.StreamModeDetails == nil {
			t.Errorf("summary is %+v", s)
		}
	}
}

// testRetention changes the retention both ways.
func testRetention(t *testing.T, f *fixture) {
	f.create(1)
	_, err := f.c.IncreaseStreamRetentionPeriod(t.Context(), &kinesis.IncreaseStreamRetentionPeriodInput{StreamName: &f.stream, RetentionPeriodHours: aws.Int32(48)})
	f.must(err)
	settle(t, f.c, f.stream)
	if got := *f.describe().RetentionPeriodHours; got != 48 {
		t.Errorf("retention is %d hours, want 48", got)
	}
	_, err = f.c.IncreaseStreamRetentionPeriod(t.Context(), &kinesis.IncreaseStreamRetentionPeriodInput{StreamName: &f.stream, RetentionPeriodHours: aws.Int32(24)})
	wantError(t, err, "InvalidArgumentException")
	_, err = f.c.DecreaseStreamRetentionPeriod(t.Context(), &kinesis.DecreaseStreamRetentionPeriodInput{StreamName: &f.stream, RetentionPeriodHours: aws.Int32(72)})
	wantError(t, err, "InvalidArgumentException")
	_, err = f.c.DecreaseStreamRetentionPeriod(t.Context(), &kinesis.DecreaseStreamRetentionPeriodInput{StreamName: &f.stream, RetentionPeriodHours: aws.Int32(24)})
	f.must(err)
	settle(t, f.c, f.stream)
	if got := *f.describe().RetentionPeriodHours; got != 24 {
		t.Errorf("retention is %d hours, want 24", got)
	}
}
