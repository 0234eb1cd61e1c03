package consumers

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"math"
	"net/http"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/smithy-go"
	"github.com/aws/smithy-go/middleware"
	smithyhttp "github.com/aws/smithy-go/transport/http"
	chk "github.com/vmware/vmware-go-kcl-v2/clientlibrary/checkpoint"
	kclconfig "github.com/vmware/vmware-go-kcl-v2/clientlibrary/config"
	kcl "github.com/vmware/vmware-go-kcl-v2/clientlibrary/interfaces"
	par "github.com/vmware/vmware-go-kcl-v2/clientlibrary/partition"
	kclworker "github.com/vmware/vmware-go-kcl-v2/clientlibrary/worker"
	"github.com/vmware/vmware-go-kcl-v2/logger"
)

// The wall. The KCL (vmware-go-kcl-v2, unmodified) touches the world through
// three things, and we hand it all three:
//
//   - a Checkpointer: when to take a shard (all its parents finished, the lease
//     free or lapsed) and how far it is. Ours is over leases; see lease.go.
//   - a *kinesis.Client: a real one, whose every call is answered on our side.
//     Where to begin, pacing, retries, iterators, subscriptions that break,
//     aggregates that would kill it: session.go, fanout.go and kpl.go see to
//     that, with clients of their own. The KCL never meets an error that is
//     not the end of a session.
//   - a record processor: hands records to the pump and waits for it.
//
// So it cannot start a child early or in the middle, skip, go back, stop for
// good at an error, or hang in a stop. What is left to it is the loop over
// shards, a goroutine for each, and the order of calls.

// newWorker makes the KCL's worker.
func (r *runner) newWorker() *kclworker.Worker {
	// The constructor panics on empty values; Config.check has seen to those.
	c := kclconfig.NewKinesisClientLibConfigWithCredential(r.cfg.App, r.stream.name, r.cfg.Kinesis.Region, r.leases.worker, nil)
	ms := int(r.cfg.LeaseTime / time.Millisecond)
	c.WithLogger(kclLog{r.log}).
		WithInitialPositionInStream(kclconfig.TRIM_HORIZON). // never asked for: sessions know where to begin
		WithShardSyncIntervalMillis(50).                     // one lease is taken per turn; the list of shards is cached
		WithIdleTimeBetweenReadsInMillis(1).                 // the session paces
		WithFailoverTimeMillis(ms).
		WithLeaseRefreshPeriodMillis(max(ms/2, 1)). // our own goroutine renews; these only look
		WithLeaseRefreshWaitTime(max(ms/3, 1))
	c.ParentShardPollIntervalMillis = 1000
	c.MaxRetryCount = math.MaxInt32
	if r.cfg.FanOut {
		c.EnableEnhancedFanOutConsumer = true
		c.EnhancedFanOutConsumerARN = r.consumerARN
	}
	return kclworker.NewWorker(processors{r}, c).WithKinesis(r.wallClient()).WithCheckpointer(checkpointer{r})
}

// checkpointer is the KCL's view of the leases.
type checkpointer struct{ r *runner }

var _ chk.Checkpointer = checkpointer{}

// Init implements chk.Checkpointer.
func (checkpointer) Init() error { return nil }

// GetLease takes the lease of a shard, or, for a shard that the KCL knows as
// its own, looks whether it still is. It never fails the latter: a session
// that is over ends the KCL's consumer in its next read, in one way only.
func (c checkpointer) GetLease(shard *par.ShardStatus, worker string) error {
	if shard.GetLeaseOwner() != worker {
		if err := c.r.acquire(shard.ID); err != nil {
			return chk.ErrLeaseNotAcquired{}
		}
		shard.SetLeaseOwner(worker)
	}
	shard.SetLeaseTimeout(time.Now().Add(c.r.cfg.LeaseTime))
	return nil
}

// CheckpointSequence stores what the KCL's own checkpointer object was given.
// The pump does not use that object, but what it does must be as safe.
func (c checkpointer) CheckpointSequence(shard *par.ShardStatus) error {
	s := c.r.session(shard.ID)
	if s == nil {
		return errLeaseLost
	}
	return s.lease.checkpoint(s.ctx, shard.GetCheckpoint(), time.Time{})
}

// FetchCheckpoint gives the KCL what it needs to see that a shard is finished.
func (c checkpointer) FetchCheckpoint(shard *par.ShardStatus) error {
	if shard.StartingSequenceNumber == "" {
		// It is asking for a parent, to wait for it, with the lease in hand and
		// deaf to a stop. acquire has waited already.
		return chk.ErrSequenceIDNotFound
	}
	seq, err := c.r.fetch(shard.ID)
	if err != nil {
		return err
	}
	if seq == "" {
		return chk.ErrSequenceIDNotFound
	}
	shard.SetCheckpoint(seq)
	return nil
}

// RemoveLeaseOwner is what every consumer of the KCL calls last.
func (c checkpointer) RemoveLeaseOwner(shard string) error {
	c.r.closeSession(shard)
	return nil
}

// RemoveLeaseInfo would delete the checkpoint of a shard that was missing from
// one list. Lists have been wrong; a row is small.
func (checkpointer) RemoveLeaseInfo(string) error { return nil }

// GetLeaseOwner implements chk.Checkpointer.
func (c checkpointer) GetLeaseOwner(shard string) (string, error) {
	if c.r.session(shard) == nil {
		return "", nil
	}
	return c.r.leases.worker, nil
}

// ListActiveWorkers and ClaimShard belong to the KCL's lease stealing, which
// is off.
func (checkpointer) ListActiveWorkers(map[string]*par.ShardStatus) (map[string][]*par.ShardStatus, error) {
	return nil, chk.ErrShardNotAssigned
}

// ClaimShard implements chk.Checkpointer.
func (checkpointer) ClaimShard(*par.ShardStatus, string) error { return chk.ErrLeaseNotAcquired{} }

// processors makes the KCL's record processors.
type processors struct{ r *runner }

func (p processors) CreateProcessor() kcl.IRecordProcessor { return &processor{r: p.r} }

// processor hands the records of one session on.
type processor struct {
	r *runner
	s *session
}

// Initialize implements kcl.IRecordProcessor.
func (p *processor) Initialize(in *kcl.InitializationInput) { p.s = p.r.session(in.ShardId) }

// ProcessRecords waits while the queue is full. An error means that the
// session is over, and that the next read will say so.
func (p *processor) ProcessRecords(in *kcl.ProcessRecordsInput) {
	if err := p.s.take(in.Records); err != nil {
		p.r.log.Debug("records not taken", "shard", p.s.shard.ID, "err", err)
	}
}

// Shutdown is called at the end of a shard, and when the worker is stopped;
// for the latter closing the session does all there is to do.
func (p *processor) Shutdown(in *kcl.ShutdownInput) {
	if in.ShutdownReason == kcl.TERMINATE {
		p.s.finishShard()
	}
}

// wallClient is the client that the KCL gets.
func (r *runner) wallClient() *kinesis.Client {
	return kinesis.New(kinesis.Options{
		Region:       r.cfg.Kinesis.Region,
		Credentials:  credentials.NewStaticCredentialsProvider("wall", "wall", ""),
		BaseEndpoint: aws.String("http://wall.invalid"),
		Retryer:      aws.NopRetryer{},
		HTTPClient:   wallTransport{},
		APIOptions: []func(*middleware.Stack) error{func(stack *middleware.Stack) error {
			return stack.Initialize.Add(middleware.InitializeMiddlewareFunc("NagareWall", r.answer), middleware.Before)
		}},
	}, func(o *kinesis.Options) { o.Protocol = wallProtocol{o.Protocol} })
}

// answer answers the calls of the KCL. A shard's iterator is its id.
func (r *runner) answer(ctx context.Context, in middleware.InitializeInput, next middleware.InitializeHandler) (out middleware.InitializeOutput, md middleware.Metadata, err error) {
	switch p := in.Parameters.(type) {
	case *kinesis.ListShardsInput:
		list, _, err := r.topology.get(r.ctx, topologyAge)
		if err != nil {
			r.trouble("list shards", err)
			return out, md, err
		}
		r.trouble("list shards", nil)
		out.Result = &kinesis.ListShardsOutput{Shards: list}
		return out, md, nil
	case *kinesis.GetShardIteratorInput:
		s, err := r.openSession(aws.ToString(p.ShardId))
		if err != nil {
			return out, md, err
		}
		out.Result = &kinesis.GetShardIteratorOutput{ShardIterator: &s.shard.ID}
		return out, md, nil
	case *kinesis.GetRecordsInput:
		s := r.session(aws.ToString(p.ShardIterator))
		if s == nil {
			return out, md, errOver
		}
		answer, err := s.getRecords()
		if err != nil {
			return out, md, err
		}
		out.Result = answer
		return out, md, nil
	case *kinesis.SubscribeToShardInput:
		s, err := r.openSession(aws.ToString(p.ShardId))
		if err != nil {
			return out, md, err
		}
		if s.subscribed {
			return out, md, errOver // the endless subscription has ended: so is the session
		}
		s.subscribed = true
		// The real stack makes the answer, for its event stream cannot be made
		// from outside; our transport and protocol serve it.
		return next.HandleInitialize(context.WithValue(ctx, subscriptionKey{}, newSubscription(s)), in)
	}
	return out, md, fmt.Errorf("the KCL calls %T, which is not known here", in.Parameters)
}

// subscriptionKey is where a call's context carries its *subscription.
type subscriptionKey struct{}

// wallTransport answers SubscribeToShard with the subscription as the body.
type wallTransport struct{}

func (wallTransport) Do(req *http.Request) (*http.Response, error) {
	sub, ok := req.Context().Value(subscriptionKey{}).(*subscription)
	if !ok {
		return nil, errOver
	}
	return &http.Response{
		Status: "200 OK", StatusCode: http.StatusOK, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: http.Header{"Content-Type": {"application/vnd.amazon.eventstream"}}, Body: sub, ContentLength: -1, Request: req,
	}, nil
}

// wallProtocol reads events from such a body, as they are: there is nothing
// to decode.
type wallProtocol struct{ smithyhttp.ClientProtocol }

// DeserializeResponse implements smithyhttp.ClientProtocol.
func (wallProtocol) DeserializeResponse(context.Context, *smithy.OperationSchema, *smithy.TypeRegistry, *smithyhttp.Response, smithy.Deserializable) error {
	return nil
}

// DeserializeInitialResponse implements smithyhttp.ClientProtocol.
func (wallProtocol) DeserializeInitialResponse(*smithy.Schema, io.Reader, smithy.Deserializable) error {
	return nil
}

// DeserializeEventMessage implements smithyhttp.ClientProtocol.
func (wallProtocol) DeserializeEventMessage(_ *smithy.Schema, _ *smithy.TypeRegistry, body io.Reader) (smithy.Deserializable, error) {
	sub, ok := body.(*subscription)
	if !ok {
		return nil, fmt.Errorf("the body of a subscription is a %T", body)
	}
	return sub.next()
}

// kclLog keeps what the KCL says, for the curious: what matters is said by us.
type kclLog struct{ log *slog.Logger }

func (l kclLog) say(format string, args []any) {
	if l.log.Enabled(context.Background(), slog.LevelDebug) {
		l.log.Debug("kcl", "text", fmt.Sprintf(format, args...))
	}
}

func (l kclLog) Debugf(string, ...any)                  {} // one a read
func (l kclLog) Infof(format string, args ...any)       { l.say(format, args) }
func (l kclLog) Warnf(format string, args ...any)       { l.say(format, args) }
func (l kclLog) Errorf(format string, args ...any)      { l.say(format, args) }
func (l kclLog) Fatalf(format string, args ...any)      { l.say(format, args) }
func (l kclLog) Panicf(format string, args ...any)      { l.say(format, args) }
func (l kclLog) WithFields(logger.Fields) logger.Logger { return l }
