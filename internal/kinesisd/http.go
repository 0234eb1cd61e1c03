package kinesisd

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
	"strings"
	"time"
)

const (
	contentType  = "application/x-amz-json-1.1"
	targetPrefix = "Kinesis_20131202."
)

// action carries out one call and writes its answer. An error it returns is
// answered for it, so it must not have written anything then.
type action func(ctx context.Context, w http.ResponseWriter, body []byte, f Fault) error

// actionTable names every call the server knows.
func (s *Server) actionTable() map[string]action {
	return map[string]action{
		"CreateStream":                  call(s.createStream),
		"DecreaseStreamRetentionPeriod": call(s.decreaseStreamRetentionPeriod),
		"DeleteStream":                  call(s.deleteStream),
		"DeregisterStreamConsumer":      call(s.deregisterStreamConsumer),
		"DescribeStream":                call(s.describeStream),
		"DescribeStreamConsumer":        call(s.describeStreamConsumer),
		"DescribeStreamSummary":         call(s.describeStreamSummary),
		"GetRecords":                    s.getRecords,
		"GetShardIterator":              call(s.getShardIterator),
		"IncreaseStreamRetentionPeriod": call(s.increaseStreamRetentionPeriod),
		"ListShards":                    call(s.listShards),
		"ListStreamConsumers":           call(s.listStreamConsumers),
		"ListStreams":                   call(s.listStreams),
		"MergeShards":                   call(s.mergeShards),
		"PutRecord":                     call(s.putRecord),
		"PutRecords":                    s.putRecords,
		"RegisterStreamConsumer":        call(s.registerStreamConsumer),
		"SplitShard":                    call(s.splitShard),
		"SubscribeToShard":              s.subscribeToShard,
		"UpdateShardCount":              call(s.updateShardCount),
	}
}

// empty is the answer of calls that say nothing back.
type empty struct{}

// call makes an action of a function from an input to an output.
func call[In, Out any](f func(context.Context, *In) (*Out, error)) action {
	return func(ctx context.Context, w http.ResponseWriter, body []byte, _ Fault) error {
		var in In
		if err := decode(body, &in); err != nil {
			return err
		}
		out, err := f(ctx, &in)
		if err != nil {
			return err
		}
		if _, ok := any(out).(*empty); ok {
			return reply(w, nil)
		}
		answer, err := json.Marshal(out)
		if err != nil {
			return err
		}
		return reply(w, answer)
	}
}

func decode(body []byte, in any) error {
	if err := json.Unmarshal(body, in); err != nil {
		return errorf(serialization, "The request is not the JSON of this call: %s", clip(err.Error()))
	}
	return nil
}

func reply(w http.ResponseWriter, answer []byte) error {
	w.Header().Set("Content-Type", contentType)
	_, _ = w.Write(answer) // the client is gone if this fails
	return nil
}

// ServeHTTP answers one call.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("X-Amzn-Requestid", rand.Text())
	name, do, refusal := s.admit(r)
	if refusal != nil {
		w.Header().Set("Connection", "close") // the body is not read
		writeError(w, refusal)
		return
	}
	release, body, err := s.body(w, r, name)
	defer release()
	if err != nil {
		writeError(w, asAPI(err))
		return
	}
	var fault Fault
	if s.cfg.Fault != nil {
		fault = s.cfg.Fault(name, body)
	}
	if fault.Delay > 0 {
		select {
		case <-time.After(fault.Delay):
		case <-r.Context().Done():
		case <-s.stop.Done():
		}
	}
	if fault.Error != "" {
		writeError(w, errorf(fault.Error, "injected fault"))
		return
	}
	out := w
	if fault.Drop && name != "SubscribeToShard" {
		out = &unheard{header: http.Header{}}
	} else if name != "SubscribeToShard" {
		// A client that does not take its answer must not hold it forever.
		_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(writeTimeout))
	}
	if err := do(r.Context(), out, body, fault); err != nil {
		e := asAPI(err)
		if e.Type == internalFailure && r.Context().Err() == nil {
			s.log.Error("call", "action", name, "err", err)
		}
		writeError(out, e)
	}
	if fault.Drop {
		panic(http.ErrAbortHandler)
	}
	_ = http.NewResponseController(w).SetWriteDeadline(time.Time{})
}

// admit refuses what no SDK sends, before its body is read.
func (s *Server) admit(r *http.Request) (name string, do action, refusal *apiError) {
	// A page in a browser on this machine can reach a loopback address.
	if r.Header.Get("Origin") != "" || r.Header.Get("Sec-Fetch-Site") != "" {
		return "", nil, errorf(accessDenied, "browsers are not served")
	}
	if r.Method != http.MethodPost {
		return "", nil, &apiError{Type: unknownOperation, Message: "a call is a POST", code: http.StatusMethodNotAllowed}
	}
	if r.URL.Path != "/" {
		return "", nil, errorf(unknownOperation, "a call is a POST to /")
	}
	if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || kind != contentType {
		return "", nil, errorf(serialization, "the content type must be %s", contentType)
	}
	name, ok := strings.CutPrefix(r.Header.Get("X-Amz-Target"), targetPrefix)
	if do = s.actions[name]; !ok || do == nil {
		return "", nil, errorf(unknownOperation, "no such call here: %s", clip(r.Header.Get("X-Amz-Target")))
	}
	return name, do, nil
}

// body reads the request's body within its bounds of size, time and memory.
// The memory is taken until release is called.
func (s *Server) body(w http.ResponseWriter, r *http.Request, name string) (release func(), body []byte, err error) {
	limit := int64(maxOtherBody)
	if name == "PutRecords" || name == "PutRecord" {
		limit = maxPutBody
	}
	if r.ContentLength > limit {
		return func() {}, nil, errorf(bodyTooLarge, "a %s is at most %d bytes", name, limit)
	}
	size := r.ContentLength
	if size < 0 {
		size = limit
	}
	if err := s.bodies.Acquire(r.Context(), size); err != nil {
		return func() {}, nil, err
	}
	release = func() { s.bodies.Release(size) }
	control := http.NewResponseController(w)
	_ = control.SetReadDeadline(time.Now().Add(bodyReadTimeout))
	defer func() { _ = control.SetReadDeadline(time.Time{}) }()
	in := http.MaxBytesReader(w, r.Body, limit)
	if r.ContentLength >= 0 {
		body = make([]byte, size)
		_, err = io.ReadFull(in, body)
	} else {
		body, err = io.ReadAll(in)
	}
	var tooLarge *http.MaxBytesError
	if errors.As(err, &tooLarge) {
		return release, nil, errorf(bodyTooLarge, "a %s is at most %d bytes", name, limit)
	}
	if err != nil {
		return release, nil, errorf(serialization, "the body did not arrive")
	}
	return release, body, nil
}

// unheard takes an answer that is not to arrive.
type unheard struct{ header http.Header }

func (u *unheard) Header() http.Header         { return u.header }
func (u *unheard) Write(b []byte) (int, error) { return len(b), nil }
func (u *unheard) WriteHeader(int)             {}
