package kinesisd

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"time"
)

// SubscribeToShard sends a shard's records as they come, for five minutes, to
// one subscriber of a consumer. A second call of the same consumer for the
// same shard is refused for five seconds, then takes over.
//
// Heeded: ConsumerARN, ShardId, StartingPosition of all five types, DryRun.
type subscribeToShardInput struct {
	ConsumerARN      string
	ShardId          string
	StartingPosition startingPosition
	DryRun           bool
}

// subscriptions knows who is being sent what.
type subscriptions struct {
	mu      sync.Mutex
	current map[subscriptionKey]*subscription
}

type subscriptionKey struct {
	consumer *consumer
	shard    *shard
}

func (k subscriptionKey) String() string {
	return fmt.Sprintf("000000000000:%s:%s:%s", k.shard.stream.name, k.shard.id(), k.consumer.name)
}

// subscription is one call of SubscribeToShard.
type subscription struct {
	started time.Time
	over    chan struct{} // closed when another takes over, or the consumer is gone
	reason  *apiError     // set before over is closed
}

// begin registers a subscription, in place of one that is old enough.
func (s *subscriptions) begin(key subscriptionKey, gap time.Duration) (*subscription, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if old := s.current[key]; old != nil {
		if time.Since(old.started) < gap {
			return nil, errorf(resourceInUse, "Another active subscription exists for this consumer: %s", key)
		}
		old.end(errorf(resourceInUse, "Another active subscription exists for this consumer: %s", key))
	}
	if s.current == nil {
		s.current = map[subscriptionKey]*subscription{}
	}
	sub := &subscription{started: time.Now(), over: make(chan struct{})}
	s.current[key] = sub
	return sub, nil
}

// end tells the subscription why it is over. The caller holds the lock.
func (sub *subscription) end(reason *apiError) {
	if sub.reason == nil {
		sub.reason = reason
		close(sub.over)
	}
}

// finished remembers an ended subscription until its gap is over, since AWS
// counts the five seconds from its start even when it has ended.
func (s *subscriptions) finished(key subscriptionKey, sub *subscription, gap time.Duration) {
	time.AfterFunc(gap-time.Since(sub.started), func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.current[key] == sub {
			delete(s.current, key)
		}
	})
}

// forget ends the subscriptions of a consumer.
func (s *subscriptions) forget(c *consumer) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for key, sub := range s.current {
		if key.consumer == c {
			sub.end(errorf(resourceNotFound, "Consumer %s is gone.", c.name))
			delete(s.current, key)
		}
	}
}

func (s *Server) subscribeToShard(ctx context.Context, w http.ResponseWriter, r *request) error {
	var in subscribeToShardInput
	if err := r.decode(&in); err != nil {
		return err
	}
	s.mu.RLock()
	st, c, err := s.findConsumer(consumerRef{ConsumerARN: in.ConsumerARN})
	var sh *shard
	if err == nil {
		sh, err = st.mustShard(in.ShardId)
	}
	s.mu.RUnlock()
	if err != nil {
		return err
	}
	after, err := s.position(ctx, sh, in.StartingPosition)
	if err != nil {
		return err
	}
	if in.DryRun {
		return errorf(dryRun, "The request would have succeeded, but the DryRun parameter is set.")
	}
	key := subscriptionKey{c, sh}
	sub, err := s.subs.begin(key, s.cfg.SubscriptionGap)
	if err != nil {
		return err
	}
	defer s.subs.finished(key, sub, s.cfg.SubscriptionGap)
	// The SDK for Go breaks the connection when the answer begins before its
	// transport has looked for the end of the request (smithy-go v1.28.9
	// closes the body too early). A moment costs nothing here.
	select {
	case <-time.After(answerAfter):
	case <-ctx.Done():
		return ctx.Err()
	}
	out := newEventWriter(w, r.format)
	if out.event("initial-response", mustEncode(r.format, struct{}{})) == nil {
		s.send(ctx, out, sub, sh, after, r.fault)
	}
	return nil
}

// send sends events until the subscription is over. A clean end of the stream
// asks the client to subscribe again; an exception says why it should not.
func (s *Server) send(ctx context.Context, out *eventWriter, sub *subscription, sh *shard, after sequence, f Fault) {
	end := time.NewTimer(s.cfg.SubscriptionTTL)
	defer end.Stop()
	heartbeat := time.NewTimer(s.cfg.Heartbeat)
	defer heartbeat.Stop()
	var pace bucket
	for first := true; ; first = false {
		s.mu.RLock()
		gone := sh.stream.deleted
		s.mu.RUnlock()
		if gone {
			_ = out.exception(errorf(resourceNotFound, "Stream %s is gone.", sh.stream.name))
			return
		}
		p, err := s.read(ctx, sh, after, maxReadRecords, maxEventBytes)
		if err != nil {
			_ = out.exception(asAPI(err))
			return
		}
		after = p.next
		sent, quiet := p.bytes(), len(p.records) == 0 && !p.ended && !first
		if !f.Mute && !quiet {
			if p.held != nil {
				p.held.moving(func() { _ = out.control.SetWriteDeadline(time.Unix(1, 0)) })
			}
			err = out.event("SubscribeToShardEvent", s.eventPayload(out.format, sh, p))
		}
		s.drop(p)
		if err != nil || p.ended || f.Drop {
			return
		}
		if !quiet {
			heartbeat.Reset(s.cfg.Heartbeat)
		}
		var pause time.Duration
		if s.cfg.Limits {
			pause = pace.wait(s.cfg.now(), shardBytesOut, sent)
		}
		next, paused := p.changed, (<-chan time.Time)(nil)
		if p.more || pause > 0 {
			next, paused = nil, time.After(pause)
		}
		for waiting := true; waiting; {
			select {
			case <-next:
				waiting = false
			case <-paused:
				waiting = false
			case <-heartbeat.C:
				if !f.Mute && out.event("SubscribeToShardEvent", s.eventPayload(out.format, sh, &page{next: after})) != nil {
					return
				}
				heartbeat.Reset(s.cfg.Heartbeat)
			case <-sub.over:
				_ = out.exception(sub.reason)
				return
			case <-end.C:
				return
			case <-ctx.Done():
				return
			case <-s.stop.Done():
				return
			}
		}
	}
}

// eventPayload is the body of one event.
func (s *Server) eventPayload(f format, sh *shard, p *page) []byte {
	rest := struct {
		ContinuationSequenceNumber string `json:",omitempty"`
		MillisBehindLatest         int64
		ChildShards                []childShape `json:",omitempty"`
	}{MillisBehindLatest: p.lag}
	if p.ended {
		rest.ChildShards = s.childShapes(sh)
	} else {
		// Before the shard's start there is nothing, so a subscriber that
		// goes on from the start misses nothing.
		rest.ContinuationSequenceNumber = max(p.next, sh.start).String()
	}
	end, encryption := mustEncode(f, rest), s.recordEncryption(sh.stream)
	b := make([]byte, 0, 512+p.bytes()*3/2+len(p.records)*256)
	b = f.head(b, len(p.records), end)
	for i := range p.records {
		b = f.record(b, i, &p.records[i], encryption)
	}
	return f.foot(b, end)
}
