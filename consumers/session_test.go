package consumers

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"

	"nagare"
)

// TestEndOfAReplay: when a shard counts as read up to Config.End.
func TestEndOfAReplay(t *testing.T) {
	end := time.Now().Add(-time.Minute)
	rec := func(before time.Duration) types.Record {
		r := record("5", []byte("x"))
		r.ApproximateArrivalTimestamp = aws.Time(end.Add(-before))
		return r
	}
	for name, c := range map[string]struct {
		records   []types.Record
		behind    time.Duration
		last      bool // the answer says that the shard is at its end
		closed    bool // the list says that the shard is closed
		want      int  // records passed on
		wantReach bool
	}{
		"not there yet":             {[]types.Record{rec(time.Hour)}, 2 * time.Minute, false, false, 1, false},
		"a record at the end":       {[]types.Record{rec(time.Hour), rec(0), rec(-1)}, time.Minute, false, false, 1, true},
		"nothing more before it":    {[]types.Record{rec(time.Hour)}, 0, false, false, 1, true},
		"quiet":                     {nil, 0, false, false, 0, true},
		"closed, and its tip":       {nil, 0, false, true, 0, false}, // the children go on before the end
		"closed, and its last":      {[]types.Record{rec(time.Hour)}, 0, true, true, 1, false},
		"closed, a record too late": {[]types.Record{rec(0)}, 0, true, true, 0, true},
	} {
		t.Run(name, func(t *testing.T) {
			r := &runner{cfg: Config{End: end}, topology: &topology{at: time.Now(), shards: map[string]shardInfo{"shard": {id: "shard", closed: c.closed}}}}
			s := &session{run: r, ctx: t.Context(), shard: Shard{ID: "shard"}, state: (&Monitor{}).add("shard", 1)}
			got := s.received(c.records, aws.Int64(c.behind.Milliseconds()), "", c.last)
			if len(got) != c.want || s.isReached() != c.wantReach {
				t.Errorf("%d records, reached %v; want %d, %v", len(got), s.isReached(), c.want, c.wantReach)
			}
		})
	}
}

// TestStageBehindTheCheckpoint: a stage that began earlier, at a ledger of its
// own, is not in error when it flushes what is behind the checkpoint.
func TestStageBehindTheCheckpoint(t *testing.T) {
	le := mustTake(t, testLeases(&memStore{}, "a"))
	s := &session{run: &runner{log: slog.New(slog.DiscardHandler)}, lease: le}
	for _, c := range []struct{ seq, want string }{{"100", "100"}, {"50", "100"}, {"", "100"}, {"101", "101"}} {
		if err := s.checkpoint(context.Background(), nagare.Position{Seq: c.seq}, false); err != nil || le.stored() != c.want {
			t.Errorf("checkpoint %q: stored %s, %v; want %s", c.seq, le.stored(), err, c.want)
		}
	}
}
