package kinesistest

import (
	"math/big"
	"slices"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"
	"github.com/google/go-cmp/cmp"
)

// middle is the first hash key of the upper half of a shard.
func middle(t *testing.T, sh types.Shard) *string {
	t.Helper()
	low, high := decimal(t, sh.HashKeyRange.StartingHashKey), decimal(t, sh.HashKeyRange.EndingHashKey)
	sum := new(big.Int).Add(low, high)
	return aws.String(sum.Rsh(sum, 1).String())
}

func (f *fixture) split(sh types.Shard) (low, high types.Shard) {
	f.t.Helper()
	_, err := f.c.SplitShard(f.t.Context(), &kinesis.SplitShardInput{StreamName: &f.stream, ShardToSplit: sh.ShardId, NewStartingHashKey: middle(f.t, sh)})
	f.must(err)
	settle(f.t, f.c, f.stream)
	children := f.childrenOf(*sh.ShardId)
	if len(children) != 2 {
		f.t.Fatalf("shard %s was split into %d shards", *sh.ShardId, len(children))
	}
	return children[0], children[1]
}

func (f *fixture) childrenOf(id string) []types.Shard {
	f.t.Helper()
	return slices.DeleteFunc(f.shards(), func(sh types.Shard) bool {
		return aws.ToString(sh.ParentShardId) != id && aws.ToString(sh.AdjacentParentShardId) != id
	})
}

func (f *fixture) find(id string) types.Shard {
	f.t.Helper()
	all := f.shards()
	i := slices.IndexFunc(all, func(sh types.Shard) bool { return *sh.ShardId == id })
	if i < 0 {
		f.t.Fatalf("shard %s is not listed", id)
	}
	return all[i]
}

// testSplit divides a shard with records: the parent ends after them, the
// children begin behind its end, share its range, and get what follows.
func testSplit(t *testing.T, f *fixture) {
	parent := f.create(1)[0]
	before := numbered(0, 5)
	numbers := f.putAll(parent, before...)
	waiting := f.iterator(kinesis.GetShardIteratorInput{ShardId: parent.ShardId, ShardIteratorType: types.ShardIteratorTypeLatest})
	low, high := f.split(parent)
	if out := f.put(low, "low"); *out.ShardId != *low.ShardId {
		t.Errorf("a record of the lower child went to %s", *out.ShardId)
	}
	if out := f.put(high, "high"); *out.ShardId != *high.ShardId {
		t.Errorf("a record of the upper child went to %s", *out.ShardId)
	}
	got, end := f.read(f.horizon(parent.ShardId), -1)
	if d := cmp.Diff(before, dataOf(got)); d != "" {
		t.Errorf("parent (-want +got):\n%s", d)
	}
	f.checkEnd(end, *low.ShardId, *high.ShardId)
	if got, end := f.read(waiting, -1); len(got) != 0 {
		t.Errorf("%d records after the end", len(got))
	} else {
		f.checkEnd(end, *low.ShardId, *high.ShardId)
	}
	closed := f.find(*parent.ShardId)
	ended := decimal(t, closed.SequenceNumberRange.EndingSequenceNumber)
	if ended.Cmp(decimal(t, &numbers[4])) < 0 {
		t.Errorf("the parent ends at %s, before its last record %s", ended, numbers[4])
	}
	for _, child := range []types.Shard{low, high} {
		if start := decimal(t, child.SequenceNumberRange.StartingSequenceNumber); start.Cmp(ended) <= 0 {
			t.Errorf("%s begins at %s, the parent ended at %s", *child.ShardId, start, ended)
		}
		if child.SequenceNumberRange.EndingSequenceNumber != nil {
			t.Errorf("%s is open, but has an end", *child.ShardId)
		}
	}
	if *low.HashKeyRange.StartingHashKey != *parent.HashKeyRange.StartingHashKey || *high.HashKeyRange.EndingHashKey != *parent.HashKeyRange.EndingHashKey ||
		*high.HashKeyRange.StartingHashKey != *middle(t, parent) {
		t.Errorf("children have ranges %v and %v", *low.HashKeyRange, *high.HashKeyRange)
	}
	got, _ = f.read(f.horizon(high.ShardId), 1)
	if d := cmp.Diff([]string{"high"}, dataOf(got)); d != "" {
		t.Errorf("upper child (-want +got):\n%s", d)
	}
	_, err := f.c.SplitShard(t.Context(), &kinesis.SplitShardInput{StreamName: &f.stream, ShardToSplit: parent.ShardId, NewStartingHashKey: middle(t, parent)})
	wantError(t, err, "InvalidArgumentException")
}

// checkEnd checks the last answer about a closed shard.
func (f *fixture) checkEnd(out *kinesis.GetRecordsOutput, children ...string) {
	f.t.Helper()
	if out.NextShardIterator != nil {
		f.t.Error("there is an iterator beyond the end of the shard")
	}
	got := []string{}
	for _, c := range out.ChildShards {
		got = append(got, *c.ShardId)
	}
	if d := cmp.Diff(children, got); d != "" {
		f.t.Errorf("children at the end (-want +got):\n%s", d)
	}
}

// testMerge makes one shard of two.
func testMerge(t *testing.T, f *fixture) {
	shards := f.create(3)
	a, b, c := shards[0], shards[1], shards[2]
	f.put(a, "a")
	f.put(b, "b")
	_, err := f.c.MergeShards(t.Context(), &kinesis.MergeShardsInput{StreamName: &f.stream, ShardToMerge: a.ShardId, AdjacentShardToMerge: c.ShardId})
	wantError(t, err, "InvalidArgumentException")
	_, err = f.c.MergeShards(t.Context(), &kinesis.MergeShardsInput{StreamName: &f.stream, ShardToMerge: b.ShardId, AdjacentShardToMerge: a.ShardId})
	wantError(t, err, "InvalidArgumentException") // the lower range comes first
	_, err = f.c.MergeShards(t.Context(), &kinesis.MergeShardsInput{StreamName: &f.stream, ShardToMerge: a.ShardId, AdjacentShardToMerge: b.ShardId})
	f.must(err)
	settle(t, f.c, f.stream)
	children := f.childrenOf(*a.ShardId)
	if len(children) != 1 {
		t.Fatalf("%d children of the merge", len(children))
	}
	child := children[0]
	if *child.ParentShardId != *a.ShardId || *child.AdjacentParentShardId != *b.ShardId {
		t.Errorf("parents are %s and %s", *child.ParentShardId, *child.AdjacentParentShardId)
	}
	if *child.HashKeyRange.StartingHashKey != *a.HashKeyRange.StartingHashKey || *child.HashKeyRange.EndingHashKey != *b.HashKeyRange.EndingHashKey {
		t.Errorf("the child has range %v", *child.HashKeyRange)
	}
	for _, key := range []types.Shard{a, b} {
		if out := f.put(key, "after"); *out.ShardId != *child.ShardId {
			t.Errorf("a record went to %s after the merge", *out.ShardId)
		}
		_, end := f.read(f.horizon(key.ShardId), -1)
		f.checkEnd(end, *child.ShardId)
		if ended := decimal(t, f.find(*key.ShardId).SequenceNumberRange.EndingSequenceNumber); decimal(t, child.SequenceNumberRange.StartingSequenceNumber).Cmp(ended) <= 0 {
			t.Errorf("the child begins before the end of %s", *key.ShardId)
		}
	}
	if out := f.put(c, "other"); *out.ShardId != *c.ShardId {
		t.Errorf("a record of the third shard went to %s", *out.ShardId)
	}
}

// testUpdateShardCount scales up and down: the open shards always divide the
// ring evenly, and every closed shard has children.
func testUpdateShardCount(t *testing.T, f *fixture) {
	f.create(2)
	for _, n := range []int32{4, 3, 5, 3, 2, 1} {
		out, err := f.c.UpdateShardCount(t.Context(), &kinesis.UpdateShardCountInput{StreamName: &f.stream, TargetShardCount: aws.Int32(n), ScalingType: types.ScalingTypeUniformScaling})
		f.must(err)
		if *out.TargetShardCount != n || *out.StreamName != f.stream {
			t.Errorf("answer is for %d shards of %s", *out.TargetShardCount, *out.StreamName)
		}
		settle(t, f.c, f.stream)
		all := f.shards()
		var open []types.Shard
		for _, sh := range all {
			if sh.SequenceNumberRange.EndingSequenceNumber == nil {
				open = append(open, sh)
			} else if len(f.childrenOf(*sh.ShardId)) == 0 {
				t.Errorf("%s is closed and has no children", *sh.ShardId)
			}
		}
		if len(open) != int(n) {
			t.Fatalf("%d open shards, want %d", len(open), n)
		}
		slices.SortFunc(open, func(a, b types.Shard) int {
			return decimal(t, a.HashKeyRange.StartingHashKey).Cmp(decimal(t, b.HashKeyRange.StartingHashKey))
		})
		next := new(big.Int)
		width := new(big.Int).Div(new(big.Int).Lsh(big.NewInt(1), 128), big.NewInt(int64(n)))
		for i, sh := range open {
			low, high := decimal(t, sh.HashKeyRange.StartingHashKey), decimal(t, sh.HashKeyRange.EndingHashKey)
			if low.Cmp(next) != 0 {
				t.Errorf("shard %d of %d begins at %s, want %s", i, n, low, next)
			}
			next.Add(high, big.NewInt(1))
			size := new(big.Int).Sub(next, low)
			if size.Sub(size, width).CmpAbs(big.NewInt(16)) > 0 {
				t.Errorf("shard %d of %d is %s wider than its share", i, n, size)
			}
		}
		if next.BitLen() != 129 {
			t.Errorf("the ring ends at %s", next)
		}
	}
	_, err := f.c.UpdateShardCount(t.Context(), &kinesis.UpdateShardCountInput{StreamName: &f.stream, TargetShardCount: aws.Int32(3), ScalingType: types.ScalingTypeUniformScaling})
	wantError(t, err, "LimitExceededException")
}
