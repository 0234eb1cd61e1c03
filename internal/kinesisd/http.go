package kinesisd

import (
	"context"
	"crypto/rand"
	"mime"
	"net/http"
	"strings"
	"time"
)

const targetPrefix = "Kinesis_20131202."

// request is a call whose body has been read.
type request struct {
	action string
	format format
	body   []byte
	fault  Fault
}

// decode reads the call's input.
func (r *request) decode(in any) error { return r.format.decode(r.body, in) }

// action carries out one call and writes its answer. An error it returns is
// answered for it, so it must not have written anything then.
type action func(ctx context.Context, w http.ResponseWriter, r *request) error

// actionTable names every call the server knows.
func (s *Server) actionTable() map[string]action {
	return map[string]action{
		"AddTagsToStream":                        call(s.addTagsToStream),
		"CreateStream":                           call(s.createStream),
		"DecreaseStreamRetentionPeriod":          call(s.decreaseStreamRetentionPeriod),
		"DeleteResourcePolicy":                   call(s.deleteResourcePolicy),
		"DeleteStream":                           call(s.deleteStream),
		"DeregisterStreamConsumer":               call(s.deregisterStreamConsumer),
		"DescribeAccountSettings":                call(s.describeAccountSettings),
		"DescribeLimits":                         call(s.describeLimits),
		"DescribeStream":                         call(s.describeStream),
		"DescribeStreamConsumer":                 call(s.describeStreamConsumer),
		"DescribeStreamSummary":                  call(s.describeStreamSummary),
		"DisableEnhancedMonitoring":              call(s.disableEnhancedMonitoring),
		"EnableEnhancedMonitoring":               call(s.enableEnhancedMonitoring),
		"GetRecords":                             s.getRecords,
		"GetResourcePolicy":                      call(s.getResourcePolicy),
		"GetShardIterator":                       call(s.getShardIterator),
		"IncreaseStreamRetentionPeriod":          call(s.increaseStreamRetentionPeriod),
		"ListShards":                             call(s.listShards),
		"ListStreamConsumers":                    call(s.listStreamConsumers),
		"ListStreams":                            call(s.listStreams),
		"ListTagsForResource":                    call(s.listTagsForResource),
		"ListTagsForStream":                      call(s.listTagsForStream),
		"MergeShards":                            call(s.mergeShards),
		"PutRecord":                              call(s.putRecord),
		"PutRecords":                             s.putRecords,
		"PutResourcePolicy":                      call(s.putResourcePolicy),
		"RegisterStreamConsumer":                 call(s.registerStreamConsumer),
		"RemoveTagsFromStream":                   call(s.removeTagsFromStream),
		"SplitShard":                             call(s.splitShard),
		"StartStreamEncryption":                  call(s.startStreamEncryption),
		"StopStreamEncryption":                   call(s.stopStreamEncryption),
		"SubscribeToShard":                       s.subscribeToShard,
		"TagResource":                            call(s.tagResource),
		"UntagResource":                          call(s.untagResource),
		"UpdateMaxRecordSize":                    call(s.updateMaxRecordSize),
		"UpdateShardCount":                       call(s.updateShardCount),
		"UpdateStreamMode":                       call(s.updateStreamMode),
		"UpdateStreamRecordDistributionStrategy": call(s.updateStreamRecordDistributionStrategy),
		"UpdateStreamWarmThroughput":             call(s.updateStreamWarmThroughput),
	}
}

// empty is the answer of calls that say nothing back.
type empty struct{}

// call makes an action of a function from an input to an output.
func call[In, Out any](f func(context.Context, *In) (*Out, error)) action {
	return func(ctx context.Context, w http.ResponseWriter, r *request) error {
		var in In
		if err := r.decode(&in); err != nil {
			return err
		}
		out, err := f(ctx, &in)
		if err != nil {
			return err
		}
		if _, ok := any(out).(*empty); ok {
			return reply(w, r.format, nil)
		}
		answer, err := r.format.encode(out)
		if err != nil {
			return err
		}
		return reply(w, r.format, answer)
	}
}

func reply(w http.ResponseWriter, f format, answer []byte) error {
	w.Header().Set("Content-Type", f.contentType())
	_, _ = w.Write(answer) // the client is gone if this fails
	return nil
}

// ServeHTTP answers one call.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("X-Amzn-Requestid", rand.Text())
	w.Header().Set("X-Amz-Id-2", rand.Text())
	call, do, refusal := s.admit(r)
	if refusal != nil {
		s.turnAway(w, r, refusal)
		writeError(w, call.format, refusal)
		return
	}
	held, body, err := s.body(w, r, call.action)
	defer held.drop()
	if err != nil {
		held.drop()
		refusal := asAPI(err)
		s.turnAway(w, r, refusal)
		writeError(w, call.format, refusal)
		return
	}
	call.body = body
	call.fault = s.faultOf(call)
	s.pause(r.Context(), call.fault.Delay)
	if call.fault.Cut {
		panic(http.ErrAbortHandler)
	}
	if call.fault.Error != "" {
		writeError(w, call.format, call.fault.err())
		return
	}
	s.carryOut(w, r, call, do)
}

// carryOut does what the call asks, with the faults that come after it.
func (s *Server) carryOut(w http.ResponseWriter, r *http.Request, call *request, do action) {
	out, f := w, call.fault
	control := http.NewResponseController(w)
	if call.action != "SubscribeToShard" {
		// A client that does not take its answer must not hold it forever.
		_ = control.SetWriteDeadline(time.Now().Add(writeTimeout + f.DelayAnswer))
		switch {
		case f.Drop:
			out = &unheard{header: http.Header{}}
		case f.DelayAnswer > 0:
			out = &late{ResponseWriter: w, wait: func() { s.pause(r.Context(), f.DelayAnswer) }}
		}
	}
	if err := do(r.Context(), out, call); err != nil {
		e := asAPI(err)
		if e.Type == internalFailure && r.Context().Err() == nil {
			s.log.Error("call", "action", call.action, "err", err)
		}
		writeError(out, call.format, e)
	}
	if f.Drop {
		panic(http.ErrAbortHandler)
	}
	_ = control.SetWriteDeadline(time.Time{})
}

// pause waits, unless the client goes away or the server stops.
func (s *Server) pause(ctx context.Context, d time.Duration) {
	if d <= 0 {
		return
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	case <-s.stop.Done():
	}
}

// admit refuses what no SDK sends, before its body is read. The request it
// returns always says in which format to answer.
func (s *Server) admit(r *http.Request) (call *request, do action, refusal *apiError) {
	call = &request{format: jsonFormat{}}
	// A page in a browser on this machine can reach a loopback address.
	if r.Header.Get("Origin") != "" || r.Header.Get("Sec-Fetch-Site") != "" {
		return call, nil, errorf(accessDenied, "browsers are not served")
	}
	if r.Method != http.MethodPost {
		return call, nil, &apiError{Type: unknownOperation, Message: "a call is a POST", code: http.StatusMethodNotAllowed}
	}
	if r.URL.Path != "/" {
		return call, nil, errorf(unknownOperation, "a call is a POST to /")
	}
	kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	f := formats[kind]
	if err != nil || f == nil {
		return call, nil, errorf(serialization, "the content type must be %s or %s", jsonFormat{}.contentType(), cborFormat{}.contentType())
	}
	call.format = f
	name, ok := strings.CutPrefix(r.Header.Get("X-Amz-Target"), targetPrefix)
	if do = s.actions[name]; !ok || do == nil {
		return call, nil, errorf(unknownOperation, "no such call here: %s", clip(r.Header.Get("X-Amz-Target")))
	}
	call.action = name
	return call, do, nil
}

// late is an answer that is held back, as a slow network would.
type late struct {
	http.ResponseWriter
	wait func()
}

func (l *late) Write(b []byte) (int, error) {
	if l.wait != nil {
		l.wait()
		l.wait = nil
	}
	return l.ResponseWriter.Write(b)
}

// unheard takes an answer that is not to arrive.
type unheard struct{ header http.Header }

func (u *unheard) Header() http.Header         { return u.header }
func (u *unheard) Write(b []byte) (int, error) { return len(b), nil }
func (u *unheard) WriteHeader(int)             {}
