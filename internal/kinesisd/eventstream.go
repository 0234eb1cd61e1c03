package kinesisd

import (
	"bytes"
	"fmt"
	"net/http"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws/protocol/eventstream"
)

// eventWriter writes the frames of an event stream. The first has to be an
// "initial-response": the SDK waits for it.
type eventWriter struct {
	w       http.ResponseWriter
	format  format // of the payloads
	control *http.ResponseController
	encoder *eventstream.Encoder
	buffer  bytes.Buffer
}

func newEventWriter(w http.ResponseWriter, f format) *eventWriter {
	w.Header().Set("Content-Type", "application/vnd.amazon.eventstream")
	w.WriteHeader(http.StatusOK)
	return &eventWriter{w: w, format: f, control: http.NewResponseController(w), encoder: eventstream.NewEncoder()}
}

// event sends one event, or says that the subscriber is gone.
func (e *eventWriter) event(kind string, payload []byte) error {
	return e.frame(payload, ":message-type", "event", ":event-type", kind, ":content-type", e.payloadType())
}

// payloadType is the payloads' type, as events name it.
func (e *eventWriter) payloadType() string {
	if e.format == (jsonFormat{}) {
		return "application/json"
	}
	return e.format.contentType()
}

// exception ends the stream with an error.
func (e *eventWriter) exception(err *apiError) error {
	payload := mustEncode(e.format, struct {
		Message string `json:"message"`
	}{err.Message})
	return e.frame(payload, ":message-type", "exception", ":exception-type", err.Type, ":content-type", e.payloadType())
}

func (e *eventWriter) frame(payload []byte, headers ...string) error {
	m := eventstream.Message{Payload: payload}
	for i := 0; i < len(headers); i += 2 {
		m.Headers.Set(headers[i], eventstream.StringValue(headers[i+1]))
	}
	e.buffer.Reset()
	if err := e.encoder.Encode(&e.buffer, m); err != nil {
		return fmt.Errorf("encode an event of %d bytes: %w", len(payload), err)
	}
	// A subscriber that does not read must not hold its place forever.
	_ = e.control.SetWriteDeadline(time.Now().Add(writeTimeout))
	if _, err := e.w.Write(e.buffer.Bytes()); err != nil {
		return err
	}
	return e.control.Flush()
}
