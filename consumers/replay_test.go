package consumers

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"nagare"
	"nagare/internal/kinesisd"
)

// runToEnd runs until Config.End and returns the uids in the order they came.
func runToEnd(t *testing.T, r *rig, cfg Config) []string {
	t.Helper()
	var s sink
	if err := Run(t.Context(), r.config(cfg, &s)); err != nil {
		t.Fatal(err)
	}
	if t.Context().Err() != nil {
		t.Fatal("did not end by itself")
	}
	var uids []string
	for _, ev := range s.events {
		uids = append(uids, ev.UID)
	}
	return uids
}

func span(from, to int) (uids []string) {
	for i := from; i < to; i++ {
		uids = append(uids, fmt.Sprint("e", i))
	}
	return uids
}

func wantSet(t *testing.T, what string, got, want []string) {
	t.Helper()
	got, want = slices.Clone(got), slices.Clone(want)
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("%s: %d events %v, want %d", what, len(got), got, len(want))
	}
}

// TestReplay reads a part of a stream that was split and merged meanwhile, and
// then returns.
func TestReplay(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, fanOut bool) {
		r := newRig(t, 1, kinesisd.Config{})
		put := func(from, to int) time.Time {
			for i := from; i < to; i++ {
				r.put(fmt.Sprint("e", i))
			}
			time.Sleep(20 * time.Millisecond) // arrival times are milliseconds
			at := time.Now()
			time.Sleep(20 * time.Millisecond)
			return at
		}
		t1 := put(0, 10)
		r.split("shardId-000000000000")
		t2 := put(10, 20)
		r.merge("shardId-000000000001", "shardId-000000000002")
		t3 := put(20, 30)
		t4 := put(30, 40)

		wantSet(t, "all", runToEnd(t, r, Config{App: "r-all", FanOut: fanOut, End: time.Now()}), span(0, 40))
		wantSet(t, "from a time", runToEnd(t, r, Config{App: "r-time", FanOut: fanOut, Start: Start{Time: t2}, End: t4}), span(20, 40))
		wantSet(t, "between times", runToEnd(t, r, Config{App: "r-between", FanOut: fanOut, Start: Start{Time: t1}, End: t3}), span(10, 30))
		wantSet(t, "before the split", runToEnd(t, r, Config{App: "r-before", FanOut: fanOut, End: t1}), span(0, 10))
		wantSet(t, "an hour to come", runToEnd(t, r, Config{App: "r-none", FanOut: fanOut, Start: Start{Time: t4}, End: time.Now()}), nil)
		// Once more under a name that has reached its end: nothing to do.
		wantSet(t, "again", runToEnd(t, r, Config{App: "r-between", FanOut: fanOut, Start: Start{Time: t1}, End: t3}), nil)
	})
}

// TestReplayOfOneShard begins at a record, and leaves other shards alone.
func TestReplayOfOneShard(t *testing.T) {
	t.Parallel()
	r := newRig(t, 2, kinesisd.Config{})
	for i := range 20 {
		r.put(fmt.Sprint("e", i))
	}
	var all sink
	stop := r.start(Config{App: "live"}, &all)
	eventually(t, "all are here", all.has(20))
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	const shard = "shardId-000000000001"
	var want []string
	var from Start
	for _, ev := range all.events {
		if ev.Pos.Shard != shard {
			continue
		}
		if len(want) > 0 || from.Seq == "" && ev.UID > "e1" {
			if from.Seq == "" {
				from = Start{Shard: shard, Seq: ev.Pos.Seq}
			}
			want = append(want, ev.UID)
		}
	}
	r.split(shard)
	for i := range 10 {
		uid := fmt.Sprint("late", i)
		r.put(uid)
		for _, s := range r.shards() {
			if *s.ShardId == "shardId-000000000000" && keyOf("test", uid) > *s.HashKeyRange.EndingHashKey && len(keyOf("test", uid)) >= len(*s.HashKeyRange.EndingHashKey) {
				want = append(want, uid)
			}
		}
	}
	time.Sleep(20 * time.Millisecond)
	wantSet(t, "one shard", runToEnd(t, r, Config{App: "r-seq", Start: from, End: time.Now()}), want)

	// Where live is: only what live has not had.
	got := runToEnd(t, r, Config{App: "r-app", Start: Start{App: "live"}, End: time.Now()})
	if len(got) != 10 || !strings.HasPrefix(got[0], "late") {
		t.Errorf("from live's checkpoint: %v", got)
	}
}

// slowStage takes events one chunk at a time, when it is let.
type slowStage struct {
	sink *sink
	go1  <-chan struct{}
}

func (s *slowStage) Open(context.Context, Shard) (nagare.Position, error) {
	return nagare.Position{}, nil
}

func (s *slowStage) Process(_ context.Context, events []nagare.Event) error {
	<-s.go1
	s.sink.mu.Lock()
	defer s.sink.mu.Unlock()
	s.sink.events = append(s.sink.events, events...)
	return nil
}

func (s *slowStage) Flush(context.Context, nagare.Position, bool) error { return nil }
func (s *slowStage) Drop()                                              {}

// TestReplayStopped stops a replay that has read up to its end and not
// processed all of that. It goes on later, and leaves nothing out.
func TestReplayStopped(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, fanOut bool) {
		for ahead := 1500 * time.Millisecond; !replayStopped(t, fanOut, ahead); ahead *= 2 {
			if ahead > time.Minute {
				t.Fatal("30 records cannot be put within a minute")
			}
		}
	})
}

// replayStopped is the test with an end so far ahead. It answers false when not
// all was put before that.
func replayStopped(t *testing.T, fanOut bool, ahead time.Duration) bool {
	r := newRig(t, 1, kinesisd.Config{Heartbeat: 100 * time.Millisecond})
	var s sink
	letGo := make(chan struct{})
	m := &Monitor{}
	cfg := r.config(Config{App: "r", FanOut: fanOut, Sole: true, End: time.Now().Add(ahead), Monitor: m}, &s)
	cfg.NewStage = func(Shard) (Stage, error) { return &slowStage{&s, letGo}, nil }
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- Run(ctx, cfg) }()
	for i := range 30 { // in several chunks: the first is not done with
		r.put(fmt.Sprint("e", i))
		if i < 3 {
			eventually(t, "it is read", func() bool { return m.Health().Counts.Records > uint64(i) || !time.Now().Before(cfg.End) })
		}
	}
	if !time.Now().Before(cfg.End) { // the machine was too slow for that
		stop()
		close(letGo)
		<-done
		return false
	}
	eventually(t, "all is read, up to the end", func() bool {
		return m.Health().Counts.Records == 30 && time.Since(cfg.End) > 600*time.Millisecond
	})
	stop()
	time.Sleep(300 * time.Millisecond) // until it is stopping, of which there is no sign
	close(letGo)
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if n := len(s.events); n == 30 {
		t.Error("all was processed before the stop: that tests nothing")
	}
	cfg.Monitor = &Monitor{}
	if err := Run(t.Context(), cfg); err != nil {
		t.Fatal(err)
	}
	got := map[string]bool{}
	for _, ev := range s.events {
		got[ev.UID] = true
	}
	if len(got) != 30 {
		t.Errorf("%d of 30 events were processed, in two runs", len(got))
	}
	return true
}
