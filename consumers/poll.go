package consumers

import (
	"context"
	"errors"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"
)

// A poller reads a shard with GetRecords, at the pace that the stream allows.
type poller struct {
	iterator *string
	next     time.Time // when the next call may be made
	perRec   float64   // bytes, on average
	stuck    time.Time // since when nothing came though the tip is away
	behind   time.Duration
}

const (
	// A shard allows five reads a second, and two megabytes. (More of either
	// and the KCL would sleep for whole seconds.)
	readEvery = 205 * time.Millisecond
	readBytes = 380 << 10
	readRate  = 1_950_000 // a second
)

// getRecords answers the KCL's GetRecords. Errors of the stream do not leave
// it: it tries again until it has an answer or there is no reason to.
func (s *session) getRecords() (*kinesis.GetRecordsOutput, error) {
	p := &s.poll
	for try := 0; ; try++ {
		if err := s.sleep(time.Until(p.next)); err != nil {
			return nil, err
		}
		began := time.Now()
		out, err := s.readOnce()
		if err == nil {
			size := 0
			for i := range out.Records {
				size += len(out.Records[i].Data)
			}
			if n := len(out.Records); n > 0 {
				mean := float64(size) / float64(n)
				if p.perRec == 0 {
					p.perRec = mean
				}
				p.perRec = 0.7*p.perRec + 0.3*mean
			}
			// Both limits are shared by all who poll.
			cost := time.Duration(float64(size) / readRate * float64(time.Second))
			p.next = began.Add(max(readEvery, cost) * time.Duration(s.run.cfg.Pollers))
			p.iterator = out.NextShardIterator
			if behind := time.Duration(aws.ToInt64(out.MillisBehindLatest)) * time.Millisecond; p.iterator != nil && p.isStuck(len(out.Records), behind, 4*s.run.cfg.silence) {
				s.trimmed("nothing comes from it, and the tip is " + behind.String() + " away")
			}
			answer := &kinesis.GetRecordsOutput{
				Records:            s.received(out.Records, out.MillisBehindLatest, "", out.NextShardIterator == nil),
				MillisBehindLatest: aws.Int64(aws.ToInt64(out.MillisBehindLatest)), // the KCL needs one
			}
			if out.NextShardIterator != nil || s.isReached() {
				answer.NextShardIterator = &s.shard.ID // its iterator: see the wall
			}
			return answer, nil
		}
		if over := s.over(); over != nil {
			return nil, over
		}
		if gone := s.readFailed(err, try); gone != nil {
			return nil, gone
		}
		var expired *types.ExpiredIteratorException
		if errors.As(err, &expired) {
			p.iterator = nil // a new one, from the last record that was read
		}
		p.next = time.Now().Add(backoff(try, 200*time.Millisecond, 5*time.Second))
	}
}

// stuck says whether a place gives nothing and comes no nearer to the tip, as
// one that was trimmed may do. (Pages without records are nothing unusual, but
// they lead somewhere.)
func (p *poller) isStuck(records int, behind, most time.Duration) bool {
	if records > 0 || behind == 0 || behind < p.behind {
		p.stuck, p.behind = time.Time{}, behind
		return false
	}
	if p.stuck.IsZero() {
		p.stuck, p.behind = time.Now(), behind
	}
	return time.Since(p.stuck) > most
}

func (s *session) readOnce() (*kinesis.GetRecordsOutput, error) {
	ctx, cancel := context.WithTimeout(s.ctx, s.run.cfg.silence) // the connection may be half open
	defer cancel()
	defer context.AfterFunc(s.run.ctx, cancel)()
	p := &s.poll
	if p.iterator == nil {
		at := s.position()
		out, err := s.run.reader.GetShardIterator(ctx, &kinesis.GetShardIteratorInput{
			StreamName: &s.shard.StreamName, ShardId: &s.shard.ID,
			ShardIteratorType: at.Type, StartingSequenceNumber: at.SequenceNumber, Timestamp: at.Timestamp,
		})
		if err != nil {
			return nil, err
		}
		p.iterator = out.ShardIterator
	}
	limit := int32(30) // until we know how large the records are
	if p.perRec > 0 {
		limit = int32(min(max(readBytes/p.perRec, 1), 10000))
	}
	return s.run.reader.GetRecords(ctx, &kinesis.GetRecordsInput{ShardIterator: p.iterator, Limit: &limit},
		func(o *kinesis.Options) { o.Retryer = aws.NopRetryer{} })
}

// readFailed counts and logs a failed read. It returns an error if the shard
// is gone, so that trying again is of no use.
func (s *session) readFailed(err error, try int) error {
	s.state.counter.readErrors.Add(1)
	s.state.trying("read", err)
	if try == 3 || try > 3 && try%20 == 0 { // a throttled read now and then is normal
		s.run.log.Warn("read retried", "shard", s.shard.ID, "try", try+1, "err", err)
	}
	var notFound *types.ResourceNotFoundException
	var invalid *types.InvalidArgumentException
	if errors.As(err, &notFound) || errors.As(err, &invalid) {
		s.run.look()
	}
	if errors.As(err, &invalid) && !s.run.isRemade() {
		s.trimmed("the stream does not know the place: " + err.Error())
	}
	if errors.As(err, &notFound) {
		ctx, cancel := context.WithTimeout(s.ctx, 10*time.Second)
		defer cancel()
		if _, ok, lerr := s.run.topology.shard(ctx, s.shard.ID); lerr == nil && !ok {
			return err
		}
	}
	return nil
}
