package app

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/smithy-go"

	"nagare"
	"nagare/internal/config"
	"nagare/internal/kinesisd"
	"nagare/producers"
)

// putter answers with err after a while.
type putter struct {
	after time.Duration
	err   error
}

func (p putter) Put(context.Context, []nagare.Event) error {
	time.Sleep(p.after)
	return p.err
}

// readiness is what /readyz says of intake.
func readiness(t *testing.T, p *pipeline) (code int, reason string) {
	t.Helper()
	w := httptest.NewRecorder()
	p.ready(w, nil)
	var answer struct {
		Ready  bool `json:"ready"`
		Intake struct {
			Ready  bool   `json:"ready"`
			Reason string `json:"reason"`
		} `json:"intake"`
	}
	if err := json.Unmarshal(w.Body.Bytes(), &answer); err != nil {
		t.Fatal(err)
	}
	if ok := w.Code == http.StatusOK; answer.Ready != ok || answer.Intake.Ready != ok {
		t.Errorf("code %d with %s", w.Code, w.Body)
	}
	return w.Code, answer.Intake.Reason
}

func intakeOf(ack string) *pipeline {
	c := config.Default()
	c.Sources = map[string]config.Source{"okta": {Ack: ack}}
	return &pipeline{plan: plan{ingest: true}, core: &core{config: c}, served: []string{"okta"}}
}

// TestIntakeIsReady: intake that cannot acknowledge says so, and for as long as
// that is so.
func TestIntakeIsReady(t *testing.T) {
	refused := errors.New("connection refused")
	for name, c := range map[string]struct {
		ack  string
		put  putter
		look error
		says string // "" is ready
	}{
		"all is well":                             {"", putter{}, nil, ""},
		"the stream is away":                      {"kinesis", putter{}, refused, "stream nagare cannot be reached: connection refused"},
		"it is away, and nobody minds":            {"spool", putter{}, refused, ""},
		"it is away, and there is a spool":        {"kinesis-or-spool", putter{}, refused, ""},
		"it is asked too often":                   {"", putter{}, &smithy.GenericAPIError{Code: "LimitExceededException"}, ""},
		"a delivery waits in vain":                {"", putter{10 * time.Second, context.DeadlineExceeded}, nil, "a delivery could not be acknowledged"},
		"a sender has no time":                    {"", putter{10 * time.Millisecond, context.DeadlineExceeded}, nil, ""},
		"a sender goes away":                      {"", putter{10 * time.Second, context.Canceled}, nil, ""},
		"a delivery that fails for what is in it": {"", putter{10 * time.Second, errors.New("too large")}, nil, ""},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := intakeOf(c.ack)
				p.reach.saw("nagare", c.look)
				if err := p.reach.watch(c.put).Put(t.Context(), nil); !errors.Is(err, c.put.err) {
					t.Fatal(err)
				}
				code, reason := readiness(t, p)
				if c.says == "" && code != http.StatusOK || c.says != "" && (code != http.StatusServiceUnavailable || !strings.HasPrefix(reason, c.says)) {
					t.Errorf("%d, %q; want %q", code, reason, c.says)
				}
				p.reach.saw("nagare", nil)
				if c.put.err != nil {
					time.Sleep(failedFor) // and no delivery since
				}
				if code, reason := readiness(t, p); code != http.StatusOK {
					t.Errorf("%d, %q when it is over", code, reason)
				}
				// A delivery that is acknowledged ends it at once.
				_ = p.reach.watch(c.put).Put(t.Context(), nil)
				_ = p.reach.watch(putter{}).Put(t.Context(), nil)
				if code, reason := readiness(t, p); code != http.StatusOK {
					t.Errorf("%d, %q after a delivery that was acknowledged", code, reason)
				}
			})
		})
	}
}

// TestReachLooks looks at a server that is there, and at one that is not.
func TestReachLooks(t *testing.T) {
	server, err := kinesisd.Open(kinesisd.Config{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	stopped := make(chan error, 1)
	go func() { stopped <- server.Run(ctx) }()
	cfg := aws.Config{Region: "us-east-1", BaseEndpoint: aws.String(server.URL()), Credentials: credentials.NewStaticCredentialsProvider("x", "x", ""), RetryMaxAttempts: 1}
	looks := func(want func(error) bool) {
		t.Helper()
		var r reach
		look, enough := context.WithCancel(t.Context())
		defer enough()
		done := make(chan struct{})
		go func() { defer close(done); r.look(look, cfg, []string{"nagare"}) }()
		for end := time.Now().Add(time.Minute); ; time.Sleep(time.Millisecond) {
			r.mu.Lock()
			err, looked := r.looked["nagare"]
			r.mu.Unlock()
			if looked {
				if !want(err) {
					t.Errorf("a look says %v", err)
				}
				break
			}
			if time.Now().After(end) {
				t.Fatal("nobody looks")
			}
		}
		enough()
		<-done
	}
	looks(func(err error) bool { return err != nil && strings.Contains(err.Error(), "ResourceNotFound") })
	if err := makeStreams(t.Context(), kinesis.NewFromConfig(cfg), []string{"nagare"}, 1, 0); err != nil {
		t.Fatal(err)
	}
	looks(func(err error) bool { return err == nil })
	stop()
	if err := <-stopped; err != nil {
		t.Fatal(err)
	}
	looks(func(err error) bool { return err != nil })
}

var _ producers.Putter = putter{}
