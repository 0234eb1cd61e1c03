// Package webhook takes deliveries in over HTTP: POST /v1/{source} and
// /v1/{source}/{name}. It authenticates, bounds what it reads, and answers 202
// only for what is durable.
//
// It may face the internet. It serves nothing else there but /healthz, holds
// no state of its own, and does not look into bodies: that is intake's work.
package webhook

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strconv"
	"time"

	"golang.org/x/sync/semaphore"
	"golang.org/x/time/rate"

	"nagare"
	"nagare/producers"
)

// Intake makes deliveries durable. *producers.Intake is one.
type Intake interface {
	Accept(ctx context.Context, d producers.Delivery) (producers.Result, error)
}

// A Source is a kind of sender that is let in.
type Source struct {
	// Auth is how it proves who it is.
	Auth Auth
	// Rate is how many requests a second are taken, in bursts of ten times as
	// many; more get 503 and Retry-After, because most senders do not repeat
	// what got 429. 0 is no limit.
	Rate float64
}

// Config says how a Handler behaves. Intake and Sources must be set; the rest
// of the zero value is ready to use.
type Config struct {
	Intake  Intake
	Sources map[string]Source
	// MaxBody bounds a request's body, as it is sent. The default is 10 MiB.
	MaxBody int
	// MaxHeld bounds the bodies held in memory at the same time; requests
	// beyond wait, and get 503 when they waited for ReadTimeout. The default
	// is 64 MiB.
	MaxHeld int
	// ReadTimeout bounds the reading of a body. The default is 20 s.
	ReadTimeout time.Duration
	// PutTimeout bounds the wait for the stream. It must be below what
	// senders wait for an answer; Datadog waits 15 s. The default is 10 s.
	PutTimeout time.Duration
	// Log is silent by default.
	Log *slog.Logger
	// Metrics are private by default.
	Metrics *producers.Metrics
}

// evidence is how much of a body that is too large is kept.
const evidence = 64 << 10

// retryAfter is what senders are told to wait, in seconds.
const retryAfter = 5

// A Handler serves the webhooks.
type Handler struct {
	cfg    Config
	mux    *http.ServeMux
	limits map[string]*rate.Limiter
	held   *semaphore.Weighted
}

// New makes a Handler, or says everything that is wrong with the sources.
func New(cfg Config) (*Handler, error) {
	cfg.MaxBody = cmp.Or(cfg.MaxBody, 10<<20)
	cfg.MaxHeld = max(cmp.Or(cfg.MaxHeld, 64<<20), cfg.MaxBody)
	cfg.ReadTimeout = cmp.Or(cfg.ReadTimeout, 20*time.Second)
	cfg.PutTimeout = cmp.Or(cfg.PutTimeout, 10*time.Second)
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Metrics == nil {
		cfg.Metrics = producers.NewMetrics(nil)
	}
	h := &Handler{cfg: cfg, mux: http.NewServeMux(), limits: map[string]*rate.Limiter{}, held: semaphore.NewWeighted(int64(cfg.MaxHeld))}
	var errs []error
	for name, s := range cfg.Sources {
		if err := s.Auth.check(); err != nil {
			errs = append(errs, fmt.Errorf("source %s: %w", name, err))
		}
		if s.Rate > 0 {
			h.limits[name] = rate.NewLimiter(rate.Limit(s.Rate), max(1, int(10*s.Rate)))
		}
	}
	h.mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "ok\n") })
	h.mux.HandleFunc("POST /v1/{source}", h.receive)
	h.mux.HandleFunc("POST /v1/{source}/{name}", h.receive)
	return h, errors.Join(errs...)
}

// Server makes an HTTP server with the limits that a listener facing the
// internet needs. The caller sets Addr, or calls Serve.
func Server(h http.Handler) *http.Server {
	return &http.Server{
		Handler:           h,
		ReadHeaderTimeout: 5 * time.Second,
		IdleTimeout:       time.Minute,
		MaxHeaderBytes:    16 << 10,
	}
}

// ServeHTTP serves the webhooks.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) { h.mux.ServeHTTP(w, r) }

// A refusal is a request that is answered with an error.
type refusal struct {
	status int
	text   string // for the sender: it gives nothing away
	err    error  // for the log
}

func (h *Handler) receive(w http.ResponseWriter, r *http.Request) {
	source := r.PathValue("source")
	if _, ok := h.cfg.Sources[source]; !ok {
		source = "" // strangers name neither metrics nor logs
	}
	result, refused := h.deliver(w, r, source)
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	if refused == nil {
		w.WriteHeader(http.StatusAccepted)
		json.NewEncoder(w).Encode(struct {
			Accepted int    `json:"accepted"`
			Dead     int    `json:"dead"`
			ID       string `json:"id"`
		}{result.Accepted, result.Dead, result.ID})
		return
	}
	h.cfg.Metrics.Refused(source, strconv.Itoa(refused.status))
	level := slog.LevelWarn
	if source == "" {
		level = slog.LevelDebug // anybody can ask for what is not there
	}
	h.cfg.Log.Log(r.Context(), level, "request refused", "source", source, "status", refused.status, "remote", r.RemoteAddr, "err", cmp.Or(refused.err, errors.New(refused.text)))
	switch refused.status {
	case http.StatusServiceUnavailable:
		w.Header().Set("Retry-After", strconv.Itoa(retryAfter))
	case http.StatusUnauthorized:
		if h.cfg.Sources[source].Auth.Kind == KindBasic {
			w.Header().Set("WWW-Authenticate", `Basic realm="nagare"`)
		}
	}
	// The rest of a body that was not wanted is not read either.
	w.Header().Set("Connection", "close")
	w.WriteHeader(refused.status)
	json.NewEncoder(w).Encode(struct {
		Error string `json:"error"`
	}{refused.text})
}

// deliver takes the steps of a delivery in the order that costs a stranger
// most and us least: bound, rate, authenticate, read, accept.
func (h *Handler) deliver(w http.ResponseWriter, r *http.Request, source string) (producers.Result, *refusal) {
	var none producers.Result
	s, ok := h.cfg.Sources[source]
	tenant := r.PathValue("name")
	if !ok || !validName(tenant) {
		return none, &refusal{status: http.StatusNotFound, text: "no such source"}
	}
	if l := h.limits[source]; l != nil && !l.Allow() {
		return none, &refusal{status: http.StatusServiceUnavailable, text: "too many requests, try again"}
	}
	verdict := s.Auth.verdict(r)
	if verdict == nagare.AuthFail {
		return none, &refusal{status: http.StatusUnauthorized, text: "not authentic"}
	}

	body, tooLarge, release, refused := h.read(w, r)
	defer release()
	if refused != nil {
		return none, refused
	}
	d := producers.Delivery{
		Source: source, Tenant: tenant, Auth: verdict, Received: time.Now(),
		ContentType: r.Header.Get("Content-Type"), ContentEncoding: r.Header.Get("Content-Encoding"),
		Event: eventName(r.Header.Get("X-GitHub-Event")),
		Body:  body,
	}
	if tooLarge {
		d.Failure = producers.ReasonTooLarge
	}
	ctx, cancel := context.WithTimeout(r.Context(), h.cfg.PutTimeout)
	defer cancel()
	result, err := h.cfg.Intake.Accept(ctx, d)
	switch {
	case err != nil:
		return none, &refusal{http.StatusServiceUnavailable, "not stored, try again", err}
	case tooLarge:
		return none, &refusal{status: http.StatusRequestEntityTooLarge, text: fmt.Sprintf("more than %d bytes", h.cfg.MaxBody)}
	}
	return result, nil
}

// read reads the body, or the evidence of one that is too large. release must
// be called when the body is not needed any more.
func (h *Handler) read(w http.ResponseWriter, r *http.Request) (body []byte, tooLarge bool, release func(), refused *refusal) {
	size := int64(h.cfg.MaxBody) // of a body that does not say
	if r.ContentLength > size {
		tooLarge, size = true, evidence
	} else if r.ContentLength >= 0 {
		size = r.ContentLength
	}
	wait, cancel := context.WithTimeout(r.Context(), h.cfg.ReadTimeout)
	defer cancel()
	if err := h.held.Acquire(wait, size); err != nil {
		return nil, false, func() {}, &refusal{http.StatusServiceUnavailable, "busy, try again", err}
	}
	release = func() { h.held.Release(size) }

	// An endless body is ended by its size, a slow one by the clock.
	control := http.NewResponseController(w)
	if err := control.SetReadDeadline(time.Now().Add(h.cfg.ReadTimeout)); err != nil && !errors.Is(err, http.ErrNotSupported) {
		return nil, false, release, &refusal{http.StatusServiceUnavailable, "try again", err}
	}
	var buf bytes.Buffer
	buf.Grow(int(min(size, 1<<20))) // the sender's word is good for that much
	limit := size
	if !tooLarge {
		limit = int64(h.cfg.MaxBody) + 1
	}
	_, err := io.Copy(&buf, io.LimitReader(r.Body, limit))
	body = buf.Bytes()
	switch {
	case errors.Is(err, io.ErrUnexpectedEOF):
		return nil, false, release, &refusal{http.StatusBadRequest, "the body is not whole", err}
	case err != nil && !tooLarge:
		return nil, false, release, &refusal{http.StatusServiceUnavailable, "the body did not come in time", err}
	case len(body) > h.cfg.MaxBody:
		tooLarge = true
	}
	if tooLarge {
		return bytes.Clone(body[:min(len(body), evidence)]), true, release, nil
	}
	// Otherwise the clock would end the request while it waits for the stream.
	control.SetReadDeadline(time.Time{})
	return body, false, release, nil
}

// eventName is a header's name of an event; "" for what is none. No signature
// covers it, so it is short and plain.
func eventName(s string) string {
	if len(s) > 64 {
		return ""
	}
	for _, c := range []byte(s) {
		if !(c == '_' || c >= '0' && c <= '9' || c >= 'a' && c <= 'z') {
			return ""
		}
	}
	return s
}

// validName says whether s is an instance label: it goes into events and
// labels, so it is short and plain.
func validName(s string) bool {
	if len(s) > 64 {
		return false
	}
	for _, c := range []byte(s) {
		if !(c == '-' || c == '_' || c == '.' || c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z') {
			return false
		}
	}
	return true
}
