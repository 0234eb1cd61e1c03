package coord_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// A fault is what happens to one request on its way.
type fault int

const (
	none     fault = iota
	refuse         // 500, not applied
	throttle       // 400, not applied
	drop           // applied, the answer lost
	applied        // applied, and the answer is 500
	half           // applied, and the answer breaks off
	late           // no answer in time; applied after the sender has given up
	faults         // how many there are
)

func (f fault) String() string {
	return [...]string{"none", "refuse", "throttle", "drop", "applied", "half", "late"}[f]
}

// faulty is an HTTP client that brings faults, chosen by next, to requests of
// single rows.
type faulty struct {
	next func() fault
	// made counts the faults, wait is for the requests that go on alone.
	made atomic.Int64
	wait sync.WaitGroup
}

// random is a choice of faults, a share of all requests having one.
func random(seed uint64, share float64) func() fault {
	var mu sync.Mutex
	r := rand.New(rand.NewPCG(seed, 0))
	return func() fault {
		mu.Lock()
		defer mu.Unlock()
		if r.Float64() >= share {
			return none
		}
		return 1 + fault(r.IntN(int(faults)-1))
	}
}

// nth is a choice of one fault, for request n from now (0 is the next).
func nth(n int64, f fault) func() fault {
	var count atomic.Int64
	return func() fault {
		if count.Add(1)-1 == n {
			return f
		}
		return none
	}
}

func (c *faulty) Do(req *http.Request) (*http.Response, error) {
	if strings.HasSuffix(req.Header.Get("X-Amz-Target"), "Table") {
		return http.DefaultClient.Do(req)
	}
	f := c.next()
	if f != none {
		c.made.Add(1)
	}
	switch f {
	case refuse:
		return answer(req, 500, "InternalServerError"), nil
	case throttle:
		return answer(req, 400, "ProvisionedThroughputExceededException"), nil
	case late:
		body, err := io.ReadAll(req.Body)
		if err != nil {
			return nil, err
		}
		alone := req.Clone(context.WithoutCancel(req.Context()))
		alone.Body = io.NopCloser(bytes.NewReader(body))
		<-req.Context().Done()
		c.wait.Go(func() {
			time.Sleep(rand.N(20 * time.Millisecond)) // on its way, while others go on
			if resp, err := http.DefaultClient.Do(alone); err == nil {
				resp.Body.Close()
			}
		})
		return nil, req.Context().Err()
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	switch f {
	case drop:
		resp.Body.Close()
		return nil, errors.New("connection reset by a test")
	case applied:
		resp.Body.Close()
		return answer(req, 503, "ServiceUnavailable"), nil
	case half:
		body, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err != nil {
			return nil, err
		}
		resp.Body = io.NopCloser(io.MultiReader(bytes.NewReader(body[:len(body)/2]), broken{}))
	}
	return resp, nil
}

type broken struct{}

func (broken) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

func answer(req *http.Request, status int, code string) *http.Response {
	body := `{"__type":"com.amazonaws.dynamodb.v20120810#` + code + `","message":"by a test"}`
	return &http.Response{
		StatusCode: status, Status: http.StatusText(status), Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Request: req,
		Header: http.Header{"Content-Type": {"application/x-amz-json-1.0"}}, Body: io.NopCloser(strings.NewReader(body)), ContentLength: int64(len(body)),
	}
}
