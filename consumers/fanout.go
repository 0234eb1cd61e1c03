package consumers

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"
)

const (
	// A subscription may follow another of the same consumer and shard after
	// five seconds; an earlier one is refused.
	subscribeFloor = 5100 * time.Millisecond
	// The stream sends something every five seconds at least. A connection
	// that is silent for longer is dead, whatever TCP thinks.
	maxSilence = 15 * time.Second
)

// A subscription is, for the KCL, the body of one answer to SubscribeToShard
// that never ends before the shard does. Behind it are as many real
// subscriptions as it takes.
type subscription struct {
	s      *session
	events chan *types.SubscribeToShardEvent
	ctx    context.Context
	cancel context.CancelFunc
}

func newSubscription(s *session) *subscription {
	sub := &subscription{s: s, events: make(chan *types.SubscribeToShardEvent)}
	sub.ctx, sub.cancel = context.WithCancel(s.ctx)
	context.AfterFunc(s.run.ctx, sub.cancel)
	s.wg.Go(func() {
		select {
		case <-s.leaving:
			sub.cancel()
		case <-sub.ctx.Done():
		}
	})
	s.wg.Go(sub.loop)
	return sub
}

// next waits for an event. It returns io.EOF when there are no more.
func (sub *subscription) next() (*types.SubscribeToShardEvent, error) {
	ev, ok := <-sub.events
	if !ok {
		return nil, io.EOF
	}
	return ev, nil
}

// Read implements io.Reader, and is not called: the wall takes events whole.
func (sub *subscription) Read([]byte) (int, error) { return 0, io.EOF }

// Close ends the subscription.
func (sub *subscription) Close() error {
	sub.cancel()
	return nil
}

// loop subscribes again and again until the shard ends or the session does.
func (sub *subscription) loop() {
	defer close(sub.events)
	defer sub.cancel()
	s := sub.s
	var last time.Time // when a subscribe last succeeded
	taken := 0         // how often in a row a young subscription was taken from us
	for try := 0; ; {
		floor := time.Duration(0)
		if !last.IsZero() {
			floor = time.Until(last.Add(s.run.cfg.floor))
		}
		if taken > 0 {
			floor += backoff(taken-1, time.Second, 30*time.Second)
		}
		if s.sleep(floor) != nil || sub.ctx.Err() != nil {
			return
		}
		// A worker that was frozen while another took its shard must notice
		// before it takes the subscription away from that one; else the two
		// take it from each other for ever.
		if err := s.lease.confirm(sub.ctx); errors.Is(err, errLeaseLost) {
			return
		} else if err != nil {
			try = sub.failed(err, try)
			continue
		}
		out, cancel, err := sub.subscribe()
		if err != nil {
			if s.over() != nil || sub.ctx.Err() != nil || s.readFailed(err, try) != nil {
				return
			}
			try = sub.failed(nil, try)
			continue
		}
		try, last = 0, time.Now()
		err = sub.pass(out.GetStream())
		cancel()
		switch {
		case errors.Is(err, io.EOF), s.over() != nil, sub.ctx.Err() != nil:
			return
		case err == nil:
			taken = 0
		default:
			s.state.counter.readErrors.Add(1)
			s.state.trying("read", err)
			level := slog.LevelInfo
			if taken > 2 { // now and then one breaks; again and again, something is wrong
				level = slog.LevelWarn
			}
			s.run.log.Log(sub.ctx, level, "subscription broke", "shard", s.shard.ID, "err", err)
			if taken++; time.Since(last) > time.Minute {
				taken = 0
			}
		}
	}
}

// failed waits after a failure; err is noted if not nil.
func (sub *subscription) failed(err error, try int) int {
	if err != nil {
		sub.s.state.trying("read", err)
	}
	sub.s.sleep(backoff(try, 200*time.Millisecond, 5*time.Second))
	return try + 1
}

// subscribe makes one real subscription. Its cancel ends it.
func (sub *subscription) subscribe() (*kinesis.SubscribeToShardOutput, context.CancelFunc, error) {
	at := sub.s.position()
	// The context of the call is that of the whole stream, so the answer gets
	// a time limit of its own.
	ctx, cancel := context.WithCancel(sub.ctx)
	slow := time.AfterFunc(sub.s.run.cfg.silence, cancel)
	out, err := sub.s.run.subscriber().SubscribeToShard(ctx, &kinesis.SubscribeToShardInput{
		ConsumerARN: &sub.s.run.consumerARN, ShardId: &sub.s.shard.ID, StartingPosition: &at,
	})
	if !slow.Stop() && err == nil {
		out.GetStream().Close()
		err = errSilent
	}
	if err != nil {
		cancel()
		return nil, nil, err
	}
	return out, cancel, nil
}

var errSilent = errors.New("nothing was heard of the subscription for too long")

// pass passes events on. It returns io.EOF at the end of the shard, nil when
// the subscription ended as they do after five minutes, and else an error.
func (sub *subscription) pass(stream *kinesis.SubscribeToShardEventStream) error {
	defer stream.Close()
	watchdog := time.NewTimer(sub.s.run.cfg.silence)
	defer watchdog.Stop()
	for {
		// Only the wait for the stream is timed, not the wait for the KCL.
		watchdog.Reset(sub.s.run.cfg.silence)
		var raw types.SubscribeToShardEventStream
		var ok bool
		select {
		case <-sub.ctx.Done():
			return sub.ctx.Err()
		case <-watchdog.C:
			return errSilent
		case raw, ok = <-stream.Events():
			if !ok {
				return stream.Err()
			}
		}
		member, ok := raw.(*types.SubscribeToShardEventStreamMemberSubscribeToShardEvent)
		if !ok {
			continue
		}
		ev := member.Value
		end := ev.ContinuationSequenceNumber == nil
		ev.Records = sub.s.received(ev.Records, ev.MillisBehindLatest, aws.ToString(ev.ContinuationSequenceNumber), end)
		ev.MillisBehindLatest = aws.Int64(aws.ToInt64(ev.MillisBehindLatest)) // the KCL needs one
		reached := sub.s.isReached()
		if end && reached {
			// Not all of it was passed on, so the KCL must not think that.
			ev.ContinuationSequenceNumber = aws.String("0")
		}
		select {
		case <-sub.ctx.Done():
			return sub.ctx.Err()
		case sub.events <- &ev:
		}
		if end || reached {
			return io.EOF
		}
	}
}

// subscriber returns a client for one subscription. The SDK's decoder of event
// streams belongs to the client and keeps one buffer (smithy-go v1.28.9,
// internal/eventstream/codec.go): two subscriptions of one client write into
// each other's events.
func (r *runner) subscriber() *kinesis.Client {
	return kinesis.NewFromConfig(r.cfg.Kinesis, func(o *kinesis.Options) {
		o.HTTPClient = r.subscribeHTTP
		o.Retryer = aws.NopRetryer{} // the loop retries, with an eye on the lease
	})
}

// subscribeHTTP makes the HTTP client of subscriptions of the configured one.
// Each gets a connection of its own.
func subscribeHTTP(c kinesis.HTTPClient) kinesis.HTTPClient {
	if c == nil {
		c = awshttp.NewBuildableClient()
	}
	if b, ok := c.(*awshttp.BuildableClient); ok {
		c = b.WithTransportOptions(func(t *http.Transport) { t.DisableKeepAlives = true })
	}
	return ownBody{c}
}

// ownBody gives a request a body that the SDK does not close. It closes it as
// soon as the answer begins, and net/http, which may then be about to look
// whether more of it follows, takes that for a failure and cuts the connection
// and the subscription on it. (A near server is fast enough for this.)
type ownBody struct{ c kinesis.HTTPClient }

// maxSubscribeBody is far more than such a request has.
const maxSubscribeBody = 1 << 20

// Do implements kinesis.HTTPClient.
func (o ownBody) Do(req *http.Request) (*http.Response, error) {
	if req.Body == nil {
		return o.c.Do(req)
	}
	body, err := io.ReadAll(io.LimitReader(req.Body, maxSubscribeBody))
	if err != nil {
		return nil, fmt.Errorf("read the request to subscribe: %w", err)
	}
	own := req.Clone(req.Context())
	own.Body = io.NopCloser(bytes.NewReader(body))
	own.GetBody = nil
	return o.c.Do(own)
}
