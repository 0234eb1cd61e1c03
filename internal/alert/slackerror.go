package alert

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/slack-go/slack"
)

// newHTTPClient returns a client that follows no redirect, reads at most
// maxAnswer and can tell a request that never left from one that may have
// arrived.
func newHTTPClient(base http.RoundTripper) *http.Client {
	if base == nil {
		t := http.DefaultTransport.(*http.Transport).Clone()
		// A request on a connection that the other side is closing has an
		// unknown outcome, so an idle one is dropped before they do.
		t.IdleConnTimeout = 5 * time.Second
		base = t
	}
	return &http.Client{
		Transport:     &careful{base},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

const (
	maxAnswer = 4 << 20
	// defaultRetryAfter is our wait where a 429 does not say.
	defaultRetryAfter = 30 * time.Second
	maxRetryAfter     = 10 * time.Minute
)

type careful struct{ base http.RoundTripper }

// errNotSent marks a request of which not a byte left.
var errNotSent = errors.New("not sent")

// RoundTrip implements http.RoundTripper.
func (c *careful) RoundTrip(req *http.Request) (*http.Response, error) {
	var connected atomic.Bool
	trace := &httptrace.ClientTrace{GotConn: func(httptrace.GotConnInfo) { connected.Store(true) }}
	resp, err := c.base.RoundTrip(req.WithContext(httptrace.WithClientTrace(req.Context(), trace)))
	if err != nil {
		if !connected.Load() {
			err = fmt.Errorf("%w: %w", errNotSent, err)
		}
		return nil, err
	}
	if resp.StatusCode == http.StatusTooManyRequests {
		// The library fails on an answer without a number.
		if n, err := strconv.Atoi(resp.Header.Get("Retry-After")); err != nil || n < 0 {
			resp.Header.Set("Retry-After", strconv.Itoa(int(defaultRetryAfter.Seconds())))
		}
	}
	resp.Body = &bounded{Reader: io.LimitReader(resp.Body, maxAnswer), Closer: resp.Body}
	return resp, nil
}

type bounded struct {
	io.Reader
	io.Closer
}

// unclear are Slack's errors after which the message may have been posted.
var unclear = map[string]bool{
	"internal_error": true, "fatal_error": true, "service_unavailable": true, "request_timeout": true, "server_error": true, "unknown_error": true,
}

// slackError turns what slack-go returns into the errors of a Receiver.
func slackError(err error) error {
	if err == nil {
		return nil
	}
	// An error of net/http names the URL, and a webhook's URL is a secret.
	var u *url.Error
	if errors.As(err, &u) {
		err = u.Err
	}
	var limited *slack.RateLimitedError
	var status slack.StatusCodeError
	var answer slack.SlackErrorResponse
	switch {
	case errors.Is(err, errNotSent):
		return &Refused{Err: err}
	case errors.As(err, &limited):
		return &Refused{Wait: min(max(limited.RetryAfter, time.Second), maxRetryAfter), Err: errors.New("rate limited")}
	case errors.As(err, &status) && (status.Code >= 500 || status.Code == http.StatusRequestTimeout):
		return &Answered{fmt.Errorf("slack answered %s", status.Status)}
	case errors.As(err, &status):
		return &Permanent{fmt.Errorf("slack answered %s", status.Status)}
	case errors.As(err, &answer) && (answer.Err == "ratelimited" || answer.Err == "rate_limited"):
		return &Refused{Wait: defaultRetryAfter, Err: errors.New("rate limited")}
	case errors.As(err, &answer) && unclear[answer.Err]:
		return &Answered{fmt.Errorf("slack answered %s", answer.Err)}
	case errors.As(err, &answer):
		return &Permanent{fmt.Errorf("slack answered %s", clean(answer.Err, 100, false))}
	}
	return err
}
