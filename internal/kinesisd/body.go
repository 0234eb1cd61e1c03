package kinesisd

import (
	"context"
	"errors"
	"io"
	"net/http"
	"time"
)

// firstRead is how much of a body memory is taken for before any of it is
// there.
const firstRead = 16 << 10

// errBodyTooLarge is answered as bodyTooLarge.
var errBodyTooLarge = errors.New("the body is too large")

// body reads the request's body within its bounds of size, time and memory.
// The memory, and as much again for what is decoded from it, is held until the
// holding is dropped, which is the caller's to do in any case.
func (s *Server) body(w http.ResponseWriter, r *http.Request, name string) (*holding, []byte, error) {
	limit := int64(maxOtherBody)
	if name == "PutRecords" || name == "PutRecord" {
		limit = maxPutBody
	}
	held := s.bodies.hold()
	tooLarge := errorf(bodyTooLarge, "a %s is at most %d bytes", name, limit)
	if r.ContentLength > limit {
		return held, nil, tooLarge
	}
	control := http.NewResponseController(w)
	in := &bodyReader{Reader: r.Body, control: control, held: held, left: bodyReadTimeout}
	body, err := in.all(r.Context(), r.ContentLength, limit)
	if err == nil {
		err = held.take(r.Context(), int64(len(body)))
	}
	switch {
	case err == nil:
		_ = control.SetReadDeadline(time.Time{})
		return held, body, nil
	case errors.Is(err, errBodyTooLarge):
		return held, nil, tooLarge
	case r.Context().Err() != nil:
		return held, nil, err // nobody is there to hear of it
	}
	late := errorf(serialization, "the body did not arrive")
	late.code = http.StatusRequestTimeout
	return held, nil, late
}

// bodyReader reads a body, and takes memory for what of it has arrived, not
// for what is announced.
type bodyReader struct {
	io.Reader
	control *http.ResponseController
	held    *holding
	left    time.Duration // for the client to send the rest
}

// all reads a body of size bytes, or of up to limit if size is unknown (-1).
func (b *bodyReader) all(ctx context.Context, size, limit int64) ([]byte, error) {
	most := size
	if size < 0 {
		most = limit + 1 // one more tells that it is too large
	}
	var body []byte
	for {
		if len(body) == cap(body) {
			n := min(max(2*int64(cap(body)), firstRead), most)
			if err := b.held.take(ctx, n); err != nil {
				return nil, err
			}
			grown := make([]byte, len(body), n)
			copy(grown, body)
			b.held.give(int64(cap(body)))
			body = grown
		}
		if int64(len(body)) == size {
			return body, nil
		}
		n, err := b.read(body[len(body):cap(body)])
		body = body[:len(body)+n]
		switch {
		case int64(len(body)) > limit:
			return nil, errBodyTooLarge
		case err == io.EOF && (size < 0 || int64(len(body)) == size):
			return body, nil
		case err != nil:
			return nil, err
		}
	}
}

// read lets the client send. It is cut off when its time is over, or when it
// is slow while others wait for the memory.
func (b *bodyReader) read(p []byte) (int, error) {
	start := time.Now()
	_ = b.control.SetReadDeadline(start.Add(b.left))
	b.held.moving(func() { _ = b.control.SetReadDeadline(time.Unix(1, 0)) })
	n, err := io.ReadFull(b.moved(), p)
	b.held.settled()
	b.left = max(b.left-time.Since(start), 0)
	if errors.Is(err, io.ErrUnexpectedEOF) {
		err = io.EOF
	}
	return n, err
}

// moved is the body, noting what comes of it.
func (b *bodyReader) moved() io.Reader {
	return readerFunc(func(p []byte) (int, error) {
		n, err := b.Reader.Read(p)
		b.held.move(n)
		return n, err
	})
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

// turnAway makes this answer the connection's last. Most clients send all of a
// body before they look for an answer, and a connection that is closed before
// that takes the answer with it: so what is still coming is read first, within
// bounds, unless the client was too slow.
func (s *Server) turnAway(w http.ResponseWriter, r *http.Request, refusal *apiError) {
	if r.ProtoMajor == 1 {
		w.Header().Set("Connection", "close")
	}
	control := http.NewResponseController(w)
	if refusal.status() != http.StatusRequestTimeout && r.Header.Get("Expect") == "" {
		_ = control.SetReadDeadline(time.Now().Add(discardTimeout))
		_, _ = io.CopyN(io.Discard, r.Body, maxDiscard)
	}
	// The HTTP server reads a rest too, without a bound of time.
	_ = control.SetReadDeadline(time.Now())
}
