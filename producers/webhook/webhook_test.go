package webhook

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"nagare"
	"nagare/producers"
)

// recorder is an intake that keeps what it is given.
type recorder struct {
	mu   sync.Mutex
	got  []producers.Delivery
	err  error
	wait bool // until the context ends
}

func (r *recorder) Accept(ctx context.Context, d producers.Delivery) (producers.Result, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.wait {
		<-ctx.Done()
		return producers.Result{}, ctx.Err()
	}
	if r.err != nil {
		return producers.Result{}, r.err
	}
	r.got = append(r.got, d)
	return producers.Result{ID: "2x", Accepted: 3, Dead: 1}, nil
}

func (r *recorder) all() []producers.Delivery {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.got
}

func sources() map[string]Source {
	return map[string]Source{
		"datadog": {Auth: Auth{Kind: KindHeader, Name: "x-nagare-token", Secret: "s3cret"}},
		"okta":    {Auth: Auth{Kind: KindBasic, User: "nagare", Secret: "pa:ss"}},
		"limited": {Auth: Auth{Kind: KindHeader, Name: "T", Secret: "s"}, Rate: 0.1},
	}
}

func start(t *testing.T, cfg Config) (*httptest.Server, *recorder) {
	t.Helper()
	intake := &recorder{}
	cfg.Intake, cfg.Sources = intake, sources()
	h, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	s := httptest.NewUnstartedServer(nil)
	s.Config = Server(h)
	s.Start()
	t.Cleanup(s.Close)
	return s, intake
}

func TestAnswers(t *testing.T) {
	token := map[string]string{"X-Nagare-Token": "s3cret"}
	for _, tt := range []struct {
		name, method, path string
		header             map[string]string
		body               string
		want               int
	}{
		{"accepted", "POST", "/v1/datadog", token, "{}", 202},
		{"with a label", "POST", "/v1/datadog/prod-1", token, "{}", 202},
		{"basic", "POST", "/v1/okta", map[string]string{"Authorization": "Basic bmFnYXJlOnBhOnNz"}, "{}", 202},
		{"content does not matter", "POST", "/v1/datadog", token, "\x00 no JSON", 202},
		{"no token", "POST", "/v1/datadog", nil, "{}", 401},
		{"empty token", "POST", "/v1/datadog", map[string]string{"X-Nagare-Token": ""}, "{}", 401},
		{"wrong token", "POST", "/v1/datadog", map[string]string{"X-Nagare-Token": "s3cret2"}, "{}", 401},
		{"token of another kind", "POST", "/v1/datadog", map[string]string{"Authorization": "Basic bmFnYXJlOnBhOnNz"}, "{}", 401},
		{"wrong password", "POST", "/v1/okta", map[string]string{"Authorization": "Basic bmFnYXJlOng="}, "{}", 401},
		{"wrong user", "POST", "/v1/okta", map[string]string{"Authorization": "Basic eDpwYTpzcw=="}, "{}", 401},
		{"not authentic and too large", "POST", "/v1/datadog", nil, strings.Repeat("x", 5000), 401},
		{"unknown source", "POST", "/v1/nobody", token, "{}", 404},
		{"bad label", "POST", "/v1/datadog/a%20b", token, "{}", 404},
		{"long label", "POST", "/v1/datadog/" + strings.Repeat("a", 65), token, "{}", 404},
		{"other path", "POST", "/v2/datadog", token, "{}", 404},
		{"below a label", "POST", "/v1/datadog/a/b", token, "{}", 404},
		{"GET", "GET", "/v1/datadog", token, "", 405},
		{"PUT", "PUT", "/v1/datadog", token, "{}", 405},
		{"too large", "POST", "/v1/datadog", token, strings.Repeat("x", 5000), 413},
		{"health", "GET", "/healthz", nil, "", 200},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s, intake := start(t, Config{MaxBody: 4000})
			req, _ := http.NewRequest(tt.method, s.URL+tt.path, strings.NewReader(tt.body))
			for k, v := range tt.header {
				req.Header.Set(k, v)
			}
			resp, err := http.DefaultClient.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			body, _ := io.ReadAll(resp.Body)
			if resp.StatusCode != tt.want {
				t.Fatalf("status %d, want %d: %s", resp.StatusCode, tt.want, body)
			}
			switch got := intake.all(); tt.want {
			case 202:
				var answer map[string]any
				if err := json.Unmarshal(body, &answer); err != nil || answer["accepted"] != 3.0 || answer["dead"] != 1.0 || answer["id"] != "2x" {
					t.Errorf("answer %s", body)
				}
				if len(got) != 1 || string(got[0].Body) != tt.body || got[0].Auth != nagare.AuthPass || got[0].Failure != "" || got[0].Received.IsZero() {
					t.Errorf("delivery %+v", got)
				}
				if want := strings.Contains(tt.path, "prod-1"); (got[0].Tenant == "prod-1") != want {
					t.Errorf("tenant %q", got[0].Tenant)
				}
			case 413:
				if len(got) != 1 || got[0].Failure != producers.ReasonTooLarge || len(got[0].Body) == 0 {
					t.Errorf("delivery %+v", got)
				}
			default:
				if len(got) != 0 {
					t.Errorf("delivered %+v", got)
				}
			}
		})
	}
}

func post(s *httptest.Server, body io.Reader) (*http.Response, error) {
	req, _ := http.NewRequest("POST", s.URL+"/v1/datadog", body)
	req.Header.Set("X-Nagare-Token", "s3cret")
	resp, err := http.DefaultClient.Do(req)
	if err == nil {
		resp.Body.Close()
	}
	return resp, err
}

// TestEventName: what a header says the delivery is about goes with it, if it is
// the name of something.
func TestEventName(t *testing.T) {
	for header, want := range map[string]string{"star": "star", "": "", "pull_request_review": "pull_request_review", `a","b`: "", "Star": "", strings.Repeat("a", 65): ""} {
		s, intake := start(t, Config{})
		req, _ := http.NewRequest("POST", s.URL+"/v1/datadog", strings.NewReader("{}"))
		req.Header.Set("X-Nagare-Token", "s3cret")
		req.Header.Set("X-GitHub-Event", header)
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if got := intake.all(); len(got) != 1 || got[0].Event != want {
			t.Errorf("%q: %+v", header, got)
		}
	}
}

func TestTryAgain(t *testing.T) {
	s, intake := start(t, Config{PutTimeout: 50 * time.Millisecond})
	intake.err = errors.New("the stream is gone")
	resp, err := post(s, strings.NewReader("{}"))
	if err != nil {
		t.Fatal(err)
	}
	if resp.StatusCode != 503 || resp.Header.Get("Retry-After") == "" {
		t.Errorf("%s, Retry-After %q", resp.Status, resp.Header.Get("Retry-After"))
	}
	intake.err, intake.wait = nil, true
	if resp, err = post(s, strings.NewReader("{}")); err != nil || resp.StatusCode != 503 {
		t.Errorf("a stream that does not answer: %v, %v", resp, err)
	}
}

// TestEndlessBody: chunked, so that nothing says how long it is. It ends at
// the limit, and the beginning is kept as evidence.
func TestEndlessBody(t *testing.T) {
	s, intake := start(t, Config{MaxBody: 1 << 20})
	conn := dial(t, s)
	fmt.Fprintf(conn, "POST /v1/datadog HTTP/1.1\r\nHost: x\r\nX-Nagare-Token: s3cret\r\nTransfer-Encoding: chunked\r\n\r\n")
	go func() {
		chunk := "10000\r\n" + strings.Repeat("x", 0x10000) + "\r\n"
		for {
			if _, err := io.WriteString(conn, chunk); err != nil {
				return
			}
		}
	}()
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	if resp.StatusCode != 413 {
		t.Errorf("status %d", resp.StatusCode)
	}
	if got := intake.all(); len(got) != 1 || len(got[0].Body) != 64<<10 {
		t.Errorf("%d deliveries; the first 64 KiB must be one", len(got))
	}
}

func dial(t *testing.T, s *httptest.Server) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", s.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	conn.SetDeadline(time.Now().Add(20 * time.Second))
	return conn
}

func TestSlowBody(t *testing.T) {
	s, intake := start(t, Config{ReadTimeout: 100 * time.Millisecond})
	conn := dial(t, s)
	fmt.Fprintf(conn, "POST /v1/datadog HTTP/1.1\r\nHost: x\r\nX-Nagare-Token: s3cret\r\nContent-Length: 100\r\n\r\nslow")
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	if resp.StatusCode != 503 {
		t.Errorf("status %d", resp.StatusCode)
	}
	if len(intake.all()) != 0 {
		t.Error("half a body was delivered")
	}
}

// TestBrokenOff: a sender who goes away has delivered nothing.
func TestBrokenOff(t *testing.T) {
	s, intake := start(t, Config{})
	conn := dial(t, s)
	fmt.Fprintf(conn, "POST /v1/datadog HTTP/1.1\r\nHost: x\r\nX-Nagare-Token: s3cret\r\nContent-Length: 100\r\n\r\n{}")
	conn.(*net.TCPConn).CloseWrite()
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err == nil && resp.StatusCode != 400 {
		t.Errorf("status %d", resp.StatusCode)
	}
	if len(intake.all()) != 0 {
		t.Error("half a body was delivered")
	}
}

// TestHeldIsBounded: a slow body keeps others waiting only until its time is
// up, and what it held is given back.
func TestHeldIsBounded(t *testing.T) {
	s, _ := start(t, Config{MaxBody: 1000, MaxHeld: 1000, ReadTimeout: 200 * time.Millisecond})
	slow := dial(t, s)
	fmt.Fprintf(slow, "POST /v1/datadog HTTP/1.1\r\nHost: x\r\nX-Nagare-Token: s3cret\r\nContent-Length: 1000\r\n\r\n")
	bufio.NewReader(slow).Peek(1) // its 503: until now it held all there is
	for range 5 {
		resp, err := post(s, strings.NewReader(strings.Repeat("x", 900)))
		if err != nil || resp.StatusCode != 202 {
			t.Fatalf("%v, %v: what a request held was not given back", resp, err)
		}
	}
}

func TestRate(t *testing.T) {
	s, intake := start(t, Config{})
	for i, want := range []int{202, 503} {
		req, _ := http.NewRequest("POST", s.URL+"/v1/limited", strings.NewReader("{}"))
		req.Header.Set("T", "s")
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != want {
			t.Errorf("request %d: %s, want %d", i, resp.Status, want)
		}
	}
	if len(intake.all()) != 1 {
		t.Errorf("%d deliveries", len(intake.all()))
	}
}

func TestNewSaysAllThatIsWrong(t *testing.T) {
	_, err := New(Config{Sources: map[string]Source{
		"a": {}, "b": {Auth: Auth{Kind: KindHeader, Name: "T"}}, "c": {Auth: Auth{Kind: KindBasic, Secret: "x"}},
		"d": {Auth: Auth{Kind: "token", Secret: "x"}},
	}})
	for _, name := range []string{"source a", "source b", "source c", "source d"} {
		if err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("nothing about %s: %v", name, err)
		}
	}
}

func TestSecretIsNeverPrinted(t *testing.T) {
	const canary = "canary-7f3a"
	auth := Auth{Kind: KindHeader, Name: "T", Secret: canary}
	var out bytes.Buffer
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		fmt.Fprintf(&out, verb+"\n", auth)
		fmt.Fprintf(&out, verb+"\n", auth.Secret)
	}
	json.NewEncoder(&out).Encode(auth)
	slog.New(slog.NewTextHandler(&out, nil)).Info("x", "auth", auth, "secret", auth.Secret)
	slog.New(slog.NewJSONHandler(&out, nil)).Info("x", "auth", auth, "secret", auth.Secret)
	if s := out.String(); strings.Contains(s, canary) || strings.Contains(s, fmt.Sprintf("%x", canary)) {
		t.Errorf("the secret shows:\n%s", s)
	}
}
