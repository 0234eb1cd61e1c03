package consumers

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"
	"github.com/google/go-cmp/cmp"
)

func TestParsePosition(t *testing.T) {
	now := time.Date(2026, 11, 25, 10, 0, 0, 0, time.UTC)
	for text, want := range map[string]Start{
		"TRIM_HORIZON":                     {},
		"2026-11-24T09:00:00Z":             {Time: now.Add(-25 * time.Hour)},
		"2026-11-25T19:00:00+09:00":        {Time: now},
		"-90m":                             {Time: now.Add(-90 * time.Minute)},
		"-0s":                              {Time: now},
		"seq:shardId-000000000003:4965123": {Shard: "shardId-000000000003", Seq: "4965123"},
		"app:live":                         {App: "live"},
	} {
		got, err := ParsePosition(text, now)
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		if !got.Time.Equal(want.Time) || got.Shard != want.Shard || got.Seq != want.Seq || got.App != want.App {
			t.Errorf("%s: %+v, want %+v", text, got, want)
		}
		again, err := ParsePosition(got.String(), now.Add(time.Hour))
		if err != nil || again.String() != got.String() {
			t.Errorf("%s prints as %s, which reads as %s, %v", text, got, again, err)
		}
	}
	for _, text := range []string{"", "tip", "LATEST", "-1x", "--1h", "seq:", "seq:a", "seq::1", "seq:a:x", "app:", "app:a/b", "2026-11-24", "checkpoint:a/b", "archive:", "archive:x"} {
		if got, err := ParsePosition(text, now); err == nil {
			t.Errorf("%q: %+v, want an error", text, got)
		}
	}
}

func TestParseEnd(t *testing.T) {
	now := time.Date(2026, 11, 25, 10, 0, 0, 0, time.UTC)
	for text, want := range map[string]time.Time{"": now, "tip": now, "-1h": now.Add(-time.Hour), "2026-11-24T10:00:00Z": now.Add(-24 * time.Hour)} {
		if got, err := ParseEnd(text, now); err != nil || !got.Equal(want) {
			t.Errorf("%q: %s, %v; want %s", text, got, err, want)
		}
	}
	if _, err := ParseEnd("app:x", now); err == nil {
		t.Error("app:x as an end: no error")
	}
}

// TestStartIsPinned: an application begins once.
func TestStartIsPinned(t *testing.T) {
	ctx := t.Context()
	store := openStore(t)
	live := &leases{store: store, part: leasePart("live", "s@1"), worker: "w", ttl: time.Second}
	le, err := live.take(ctx, "shard-1")
	if err != nil {
		t.Fatal(err)
	}
	if err := le.checkpoint(ctx, "100", time.Now()); err != nil {
		t.Fatal(err)
	}
	replay := &leases{store: store, part: leasePart("replay", "s@1"), worker: "w", ttl: time.Second}
	if _, err := pinStart(ctx, replay, Start{App: "nobody"}, "s@1"); err == nil || retryable(err) {
		t.Errorf("start where nobody is: %v", err)
	}
	want := Start{App: "live"}
	if got, err := pinStart(ctx, replay, want, "s@1"); err != nil || got != want {
		t.Fatalf("pinned %s, %v", got, err)
	}
	if err := le.checkpoint(ctx, "200", time.Now()); err != nil {
		t.Fatal(err)
	}
	for _, again := range []Start{want, {}} {
		if got, err := pinStart(ctx, replay, again, "s@1"); err != nil || got != want {
			t.Errorf("later: %s, %v", got, err)
		}
	}
	if row, _, err := replay.read(ctx, "shard-1"); err != nil || row.Checkpoint != "100" || row.Owner != "" {
		t.Errorf("copied %+v, %v; want checkpoint 100", row, err)
	}
	if _, err := pinStart(ctx, replay, Start{Time: time.Now()}, "s@1"); !errors.As(err, &permanent{}) || !strings.Contains(err.Error(), "app:live") {
		t.Errorf("another start: %v", err)
	}
	cks, err := Checkpoints(ctx, store, "replay", "s@1")
	if err != nil || len(cks) != 1 {
		t.Errorf("checkpoints %+v, %v", cks, err)
	}
}

func listed(id, parent, adjacent string) types.Shard {
	s := types.Shard{ShardId: &id, HashKeyRange: &types.HashKeyRange{StartingHashKey: aws.String("0"), EndingHashKey: aws.String("255")},
		SequenceNumberRange: &types.SequenceNumberRange{StartingSequenceNumber: aws.String("1")}}
	if parent != "" {
		s.ParentShardId = &parent
	}
	if adjacent != "" {
		s.AdjacentParentShardId = &adjacent
	}
	return s
}

func TestTopology(t *testing.T) {
	list := []types.Shard{listed("d", "b", "c"), listed("a", "gone", ""), listed("b", "a", ""), listed("c", "a", ""), listed("e", "", ""), listed("f", "e", "d")}
	_, shards, err := readShards(list, "")
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff([]string{"b", "c"}, shards["d"].existing); d != "" {
		t.Errorf("parents of d: %s", d)
	}
	if s := shards["a"]; len(s.existing) != 0 || len(s.parents) != 1 || s.to[15] != 255 || s.to[14] != 0 {
		t.Errorf("a: %+v", s)
	}
	some, shards, err := readShards(list, "b")
	if err != nil || len(some) != 3 || len(shards) != 3 || len(shards["b"].existing) != 0 || len(shards["d"].existing) != 1 {
		t.Errorf("only b: %v, %v", shards, err)
	}
	if _, _, err := readShards(list, "zzz"); err == nil {
		t.Error("only a shard that is not there: no error")
	}
	bad := listed("x", "", "")
	bad.HashKeyRange.EndingHashKey = aws.String("340282366920938463463374607431768211456") // 2^128
	if _, _, err := readShards([]types.Shard{bad}, ""); err == nil {
		t.Error("a hash key of 129 bits: no error")
	}
}
