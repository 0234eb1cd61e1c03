// Package kinesistest holds what a Kinesis must do, as tests: Run puts an
// endpoint through them with the unmodified AWS SDK. They pass on
// internal/kinesisd, and know nothing of it but its address, so they can be
// run against other implementations and AWS itself.
//
// Start and Client are for tests of other packages that need a server.
package kinesistest

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"

	"nagare/internal/kinesisd"
)

// Start runs a server until the test ends and returns it. Without a Dir its
// streams are gone then.
func Start(t testing.TB, cfg kinesisd.Config) *kinesisd.Server {
	t.Helper()
	s, err := kinesisd.Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("kinesis server: %v", err)
		}
	})
	return s
}

// Client makes an SDK client of the server at url.
func Client(url string) *kinesis.Client {
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.MaxIdleConnsPerHost = 100
	return kinesis.New(kinesis.Options{
		HTTPClient:   &http.Client{Transport: wholeBody{transport}},
		BaseEndpoint: aws.String(url),
		Region:       "us-east-1",
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: "any", SecretAccessKey: "any"}, nil
		}),
	})
}

// wholeBody gives net/http request bodies it knows to be in memory.
//
// The SDK closes a request's body as soon as the answer begins. When the
// answer comes so fast that net/http has not yet looked for the end of the
// body, it takes the closed body for an error and breaks the connection, under
// the answer: seen with smithy-go v1.28.9 and Go 1.26 about once in 300
// subscriptions to a server on the same machine.
type wholeBody struct{ next http.RoundTripper }

func (w wholeBody) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Body != nil {
		body, err := io.ReadAll(r.Body)
		_ = r.Body.Close()
		if err != nil {
			return nil, err
		}
		r = r.Clone(r.Context())
		r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
	}
	return w.next.RoundTrip(r)
}

// CreateStream makes a stream with so many shards, waits until it is active,
// and removes it after the test.
func CreateStream(t testing.TB, c *kinesis.Client, name string, shards int32) {
	t.Helper()
	ctx := t.Context()
	_, err := c.CreateStream(ctx, &kinesis.CreateStreamInput{StreamName: &name, ShardCount: &shards})
	if err != nil {
		t.Fatalf("create stream %s: %v", name, err)
	}
	removeAfter(t, c, name)
	settle(t, c, name)
}

// removeAfter removes a stream after the test.
func removeAfter(t testing.TB, c *kinesis.Client, name string) {
	t.Cleanup(func() {
		// The test's context is done by now.
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		_, _ = c.DeleteStream(ctx, &kinesis.DeleteStreamInput{StreamName: &name, EnforceConsumerDeletion: aws.Bool(true)})
	})
}

// settle waits while a stream is being made or changed.
func settle(t testing.TB, c *kinesis.Client, name string) {
	t.Helper()
	for {
		out, err := c.DescribeStreamSummary(t.Context(), &kinesis.DescribeStreamSummaryInput{StreamName: &name})
		if err != nil {
			t.Fatalf("describe stream %s: %v", name, err)
		}
		if out.StreamDescriptionSummary.StreamStatus == types.StreamStatusActive {
			return
		}
		select {
		case <-t.Context().Done():
			t.Fatal(t.Context().Err())
		case <-time.After(200 * time.Millisecond):
		}
	}
}

var streamNumber atomic.Int64

// streamName makes a name no other test uses.
func streamName(t testing.TB) string {
	short := t.Name()[strings.LastIndex(t.Name(), "/")+1:]
	return fmt.Sprintf("nagare-test-%.40s-%d-%d", short, time.Now().UnixNano(), streamNumber.Add(1))
}
