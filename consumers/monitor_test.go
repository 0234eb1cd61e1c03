package consumers

import (
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"nagare"
)

// TestLagIsHonest: whatever keeps a shard from getting on, its lag grows, the
// Run is not ready after a while and names it, and both are over with it.
func TestLagIsHonest(t *testing.T) {
	broken := errors.New("no disk")
	at := func() nagare.Position { return nagare.Position{Seq: "1", Arrived: time.Now()} }
	for name, c := range map[string]struct {
		begin, end func(m *Monitor, s *shardState)
		says       string
		lag        time.Duration // at least, beyond the time that passes
	}{
		"it is not opened": {
			func(_ *Monitor, s *shardState) { s.readAt = time.Time{}; s.trying("open", broken) },
			func(_ *Monitor, s *shardState) { s.trying("open", nil); s.read(0, 0) },
			"s1 does not get on (open: no disk)", 0},
		"it is not opened, and nobody says why": {
			func(_ *Monitor, s *shardState) { s.readAt = time.Time{} },
			func(_ *Monitor, s *shardState) { s.read(0, 0) },
			"s1 does not get on (not opened for", 0},
		"a flush fails, and there is nothing more to read": {
			func(_ *Monitor, s *shardState) { s.processed(at()); time.Sleep(time.Hour); s.trying("flush", broken) },
			func(_ *Monitor, s *shardState) { s.trying("flush", nil); s.checkpointed(at()) },
			"s1 does not get on (flush: no disk)", time.Hour},
		"a flush does not return": {
			func(_ *Monitor, s *shardState) { s.calling("flush") },
			func(_ *Monitor, s *shardState) { s.calling("") },
			"s1 does not get on (flush: has not returned", 0},
		"reads fail at the tip": {
			func(_ *Monitor, s *shardState) { s.trying("read", broken) },
			func(_ *Monitor, s *shardState) { s.read(0, 0) },
			"s1 does not get on (read: no disk)", 0},
		"a body cannot be had": {
			func(_ *Monitor, s *shardState) { s.trying("claim", broken) },
			func(_ *Monitor, s *shardState) { s.trying("claim", nil) },
			"s1 does not get on (claim: no disk)", 0},
		"nobody reads another": {
			func(m *Monitor, _ *shardState) { m.setUnread(map[string]time.Time{"s2": time.Now()}) },
			func(m *Monitor, _ *shardState) { m.setUnread(nil) },
			"s2 has no worker", 0},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m := &Monitor{}
				m.name("app", "stream", 10*time.Second)
				m.set(true, "")
				s := m.add("s1", 1)
				s.read(0, 0)
				if h := m.Health(); !h.Ready || h.Shards[0].Lag != 0 || h.Shards[0].Stuck != 0 {
					t.Fatalf("at the tip: %+v", h)
				}
				reads := func(d time.Duration) {
					for range d / time.Second {
						time.Sleep(time.Second)
						if strings.HasPrefix(name, "a flush fails") {
							s.read(0, 0) // the reader goes on, and is at the tip
						}
					}
				}
				c.begin(m, s)
				reads(StuckAfter - time.Second)
				if h := m.Health(); !h.Ready {
					t.Errorf("not ready before its time: %s", h.Reason)
				}
				reads(2 * time.Second)
				h := m.Health()
				lag := h.Shards[0].Lag
				for _, u := range h.Unread {
					lag = time.Since(u.Since)
				}
				if h.Ready || !strings.Contains(h.Reason, c.says) || lag < StuckAfter+c.lag {
					t.Errorf("ready %v, reason %q, lag %s", h.Ready, h.Reason, lag)
				}
				c.end(m, s)
				if !s.readAt.Equal(time.Now()) {
					s.read(0, 0) // what was in the way is gone
				}
				if h := m.Health(); !h.Ready || h.Reason != "" || h.Shards[0].Lag != 0 {
					t.Errorf("when it is over: %+v", h)
				}
			})
		})
	}
}

// TestLongLeases: a shard may be without a worker for two leases.
func TestLongLeases(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &Monitor{}
		m.name("app", "stream", 5*time.Minute)
		m.set(true, "")
		m.setUnread(map[string]time.Time{"s": time.Now()})
		time.Sleep(10*time.Minute - time.Second)
		if h := m.Health(); !h.Ready {
			t.Errorf("not ready before its time: %s", h.Reason)
		}
		time.Sleep(time.Second)
		if m.Health().Ready {
			t.Error("ready though a shard has no worker for two leases")
		}
	})
}
