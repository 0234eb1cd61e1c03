package coord

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/smithy-go"
)

// What an answer means for the request.
type answer int

const (
	good      answer = iota
	refused          // its condition did not hold
	noTable          // not applied: there is no table, or not yet
	throttled        // not applied; later it may be
	unsure           // no answer, or 5xx: it may have been applied, or may still be
	hopeless         // not applied, and it never will be
)

// meaning sorts answers, by
// https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Programming.Errors.html.
func meaning(err error) answer {
	if err == nil {
		return good
	}
	var ae smithy.APIError
	if !errors.As(err, &ae) {
		return unsure // no answer, or none that can be read
	}
	switch ae.ErrorCode() {
	case "ConditionalCheckFailedException":
		return refused
	case "ResourceNotFoundException":
		return noTable
	case "ProvisionedThroughputExceededException", "RequestLimitExceeded", "ThrottlingException", "Throttling",
		"TooManyRequestsException", "LimitExceededException", "ResourceInUseException", "ReplicatedWriteConflictException":
		return throttled
	}
	var he interface{ HTTPStatusCode() int }
	if errors.As(err, &he) && he.HTTPStatusCode() >= 400 && he.HTTPStatusCode() < 500 {
		return hopeless
	}
	return unsure
}

// A patience is how one call waits between its requests: with full jitter,
// from 20 ms up to 1 s, until RetryFor is over.
type patience struct {
	s     *dynamoStore
	until time.Time
	tries int
	// tables counts the waits for a table, which are not part of RetryFor.
	tables int
}

func (s *dynamoStore) patience() *patience {
	return &patience{s: s, until: time.Now().Add(s.cfg.RetryFor)}
}

// wait waits before the next request. It returns cause, with what ended the
// patience, when there is to be none.
func (p *patience) wait(ctx context.Context, cause error) error {
	pause := rand.N(20*time.Millisecond<<min(p.tries, 6)) + time.Millisecond
	p.tries++
	if time.Now().Add(pause).After(p.until) {
		return fmt.Errorf("gave up after %d requests: %w", p.tries, cause)
	}
	t := time.NewTimer(min(pause, time.Second))
	defer t.Stop()
	select {
	case <-ctx.Done():
		return fmt.Errorf("%w (%w)", ctx.Err(), cause)
	case <-t.C:
		return nil
	}
}

// table waits for the table to be there, after a request found none.
func (p *patience) table(ctx context.Context, cause error) error {
	began := time.Now()
	if p.tables++; p.tables > 3 {
		return cause
	}
	if err := p.s.needTable(ctx); err != nil {
		return err
	}
	p.until = p.until.Add(time.Since(began))
	return p.wait(ctx, cause)
}

// once sends one request.
func (s *dynamoStore) once(ctx context.Context, send func(context.Context) error) (answer, error) {
	if err := ctx.Err(); err != nil {
		return hopeless, err
	}
	s.cfg.Stats.Requests.Add(1)
	left := false
	tctx, cancel := context.WithTimeout(context.WithValue(ctx, leftKey{}, &left), s.cfg.TryTime)
	defer cancel()
	err := send(tctx)
	a := meaning(err)
	switch {
	case err != nil && !left:
		return hopeless, err // no credentials, no region
	case a == throttled:
		s.cfg.Stats.Throttled.Add(1)
	case a == unsure && ctx.Err() == nil:
		s.cfg.Stats.Failed.Add(1)
	}
	if err != nil && ctx.Err() == nil && tctx.Err() != nil {
		err = fmt.Errorf("no answer within %s: %w", s.cfg.TryTime, err)
	}
	return a, err
}

// read sends a request that changes nothing until it is answered.
func (s *dynamoStore) read(ctx context.Context, p *patience, send func(context.Context) error) error {
	for {
		a, err := s.once(ctx, send)
		switch a {
		case good:
			return nil
		case hopeless:
			return err
		case noTable:
			err = p.table(ctx, err)
		default:
			err = p.wait(ctx, err)
		}
		if err != nil {
			return err
		}
	}
}

// A write is a conditional change of one row.
type write struct {
	key       map[string]types.AttributeValue
	ifVersion int64
	// attempt and version mark the row that a Put writes; a Delete has none.
	attempt string
	version int64
	send    func(context.Context) error
}

// write sends w until it is known what became of it. The same request is sent
// each time, so it is applied once at most: its condition fails after that.
func (s *dynamoStore) write(ctx context.Context, w write) error {
	doubt := false // an earlier request may have been applied
	unknown := func(err error) error {
		if doubt {
			s.cfg.Stats.Unknown.Add(1)
			err = fmt.Errorf("the outcome is unknown: %w", err)
		}
		return err
	}
	for p := s.patience(); ; {
		a, err := s.once(ctx, w.send)
		switch a {
		case good:
			return nil
		case hopeless:
			return unknown(err)
		case noTable:
			err = p.table(ctx, err)
		case throttled:
			err = p.wait(ctx, err)
		case refused:
			if !doubt {
				return ErrConflict
			}
			err = nil // perhaps by the effect of our own earlier request
		case unsure:
			doubt = true
			err = p.wait(ctx, err)
		}
		if err != nil {
			return unknown(err)
		}
		if !doubt {
			continue
		}
		switch done, err := s.lookFor(ctx, p, w); {
		case errors.Is(err, ErrConflict):
			return ErrConflict
		case err != nil:
			return unknown(err)
		case done:
			return nil
		}
		if a == refused {
			// Refused, and yet the row is as the condition wants it: what
			// refused it has been undone since. Not so fast again.
			if err := p.wait(ctx, errors.New("refused, for a reason that has passed")); err != nil {
				return unknown(err)
			}
		}
	}
}

// lookFor reads a row back and says whether w was applied. Neither done nor an
// error means that it was not, or not yet. ErrConflict means that it was not
// and never will be.
//
// It relies on versions never coming back: a row that still has the version
// that w waits for has not been changed in between.
func (s *dynamoStore) lookFor(ctx context.Context, p *patience, w write) (done bool, err error) {
	s.cfg.Stats.ReadBacks.Add(1)
	var out *dynamodb.GetItemOutput
	err = s.read(ctx, p, func(ctx context.Context) (err error) {
		out, err = s.client.GetItem(ctx, &dynamodb.GetItemInput{
			TableName: s.table, Key: w.key, ConsistentRead: aws.Bool(true),
			ProjectionExpression:     aws.String("#v, #a"),
			ExpressionAttributeNames: map[string]string{"#v": attrVersion, "#a": attrAttempt},
		})
		return err
	})
	if err != nil {
		return false, err
	}
	var version int64 // 0 when the row is not there
	var attempt string
	if len(out.Item) > 0 {
		if a, ok := out.Item[attrAttempt].(*types.AttributeValueMemberS); ok {
			attempt = a.Value
		}
		if version, err = versionOf(out.Item); err != nil {
			return false, err
		}
	}
	put := w.attempt != ""
	switch {
	case put && version == w.version && attempt == w.attempt:
		return true, nil
	case version == w.ifVersion:
		return false, nil
	case put && version == w.version:
		return false, ErrConflict // another wrote that version
	case put && w.ifVersion == 0 && !follows(version, w.version):
		return false, ErrConflict // another made the row
	case put && w.ifVersion == 0 && version != 0:
		return true, nil // we made it, and others have changed it since
	case !put && follows(version, w.ifVersion):
		return false, ErrConflict // it was changed, so it was not removed
	}
	return false, errors.New("the row has been changed again, or removed, before it could be read back")
}

// follows says whether a row of version v may be one that had version of,
// after some writes, and not one made anew.
func follows(v, of int64) bool { return v > of && v-of < 1<<30 }

// maxAnswer bounds the body of an answer: a page has 1 MB of items, which JSON
// makes at most six times as long.
const maxAnswer = 16 << 20

// leftKey is where a request's context says that it left this process.
type leftKey struct{}

// bounded is an HTTP client whose answers end.
type bounded struct {
	inner aws.HTTPClient
	own   *http.Transport // nil if it was given to us
}

// boundedClient bounds a client, or makes one: up to 64 connections, so more
// requests than that wait, and no request waits long for a host that is away.
func boundedClient(inner aws.HTTPClient, own bool) *bounded {
	if !own {
		return &bounded{inner: inner}
	}
	t := &http.Transport{
		Proxy:               http.ProxyFromEnvironment,
		DialContext:         (&net.Dialer{Timeout: time.Second, KeepAlive: 30 * time.Second}).DialContext,
		TLSHandshakeTimeout: 2 * time.Second,
		MaxConnsPerHost:     64,
		MaxIdleConns:        64,
		MaxIdleConnsPerHost: 64,
		IdleConnTimeout:     30 * time.Second,
		ForceAttemptHTTP2:   true,
	}
	noRedirect := func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &bounded{inner: &http.Client{Transport: t, CheckRedirect: noRedirect}, own: t}
}

// Do implements aws.HTTPClient.
func (b *bounded) Do(req *http.Request) (*http.Response, error) {
	if left, ok := req.Context().Value(leftKey{}).(*bool); ok {
		*left = true
	}
	resp, err := b.inner.Do(req)
	if err == nil {
		resp.Body = struct {
			io.Reader
			io.Closer
		}{io.LimitReader(resp.Body, maxAnswer), resp.Body}
	}
	return resp, err
}

func (b *bounded) close() {
	if b.own != nil {
		b.own.CloseIdleConnections()
	}
}
