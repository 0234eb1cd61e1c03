package main

import (
	"encoding/json"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"
)

// A slackEnd answers on loopback as Slack's incoming webhooks do, so that the
// demo needs no account.
type slackEnd struct {
	listener net.Listener
	server   *http.Server

	mu    sync.Mutex
	texts []string
}

func startSlack() (*slackEnd, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	s := &slackEnd{listener: l}
	s.server = &http.Server{Handler: s, ReadHeaderTimeout: 5 * time.Second}
	go s.server.Serve(l)
	return s, nil
}

func (s *slackEnd) url() string { return "http://" + s.listener.Addr().String() + "/services/demo" }

func (s *slackEnd) close() { s.server.Close() }

func (s *slackEnd) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(io.LimitReader(r.Body, 1<<20))
	if err != nil || r.Method != http.MethodPost {
		http.Error(w, "invalid_payload", http.StatusBadRequest)
		return
	}
	var message struct {
		Text string `json:"text"`
	}
	if err := json.Unmarshal(body, &message); err != nil || message.Text == "" {
		http.Error(w, "no_text", http.StatusBadRequest)
		return
	}
	s.mu.Lock()
	s.texts = append(s.texts, message.Text)
	s.mu.Unlock()
	io.WriteString(w, "ok")
}

// find returns the first line of a message that contains part.
func (s *slackEnd) find(part string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, t := range s.texts {
		if strings.Contains(t, part) {
			line, _, _ := strings.Cut(t, "\n")
			return line
		}
	}
	return ""
}
