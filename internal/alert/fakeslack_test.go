package alert

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"strconv"
	"sync"
	"syscall"
	"time"
)

// fakeSlack speaks the part of Slack's API that we use, for one channel, and
// can fail in the ways networks and Slack do.
type fakeSlack struct {
	mu       sync.Mutex
	messages []*slackMessage
	calls    []string
	faults   []fault // the next answers of chat.postMessage and the webhook
	history  bool    // whether conversations.history is allowed
	next     int
}

type slackMessage struct {
	TS, ThreadTS string
	Text         string
	Blocks       json.RawMessage
	Metadata     json.RawMessage
	Form         map[string]string
	At           time.Time
	Edits        int
}

// A fault is what happens instead of an answer.
type fault struct {
	status int    // answer with this status
	retry  string // and this Retry-After
	slack  string // or with ok:false and this error
	drop   bool   // or without an answer
	apply  bool   // after having done what was asked
	refuse bool   // or before there is a connection
	hang   bool   // or never
}

const fakeChannel = "C024BE91L"

func (f *fakeSlack) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.calls = append(f.calls, r.URL.Path)
	answer := func(v map[string]any) {
		w.Header().Set("Content-Type", "application/json")
		json.NewEncoder(w).Encode(v)
	}
	switch r.URL.Path {
	case "/api/chat.postMessage":
		r.ParseForm()
		if f.fail(w, func() { f.post(r) }) {
			return
		}
		m := f.post(r)
		answer(map[string]any{"ok": true, "channel": fakeChannel, "ts": m.TS})
	case "/api/chat.update":
		r.ParseForm()
		for _, m := range f.messages {
			if m.TS == r.Form.Get("ts") && r.Form.Get("channel") == fakeChannel {
				m.Text, m.Blocks = r.Form.Get("text"), json.RawMessage(r.Form.Get("blocks"))
				m.Edits++
				answer(map[string]any{"ok": true, "channel": fakeChannel, "ts": m.TS})
				return
			}
		}
		answer(map[string]any{"ok": false, "error": "message_not_found"})
	case "/api/conversations.list":
		answer(map[string]any{"ok": true, "channels": []any{map[string]any{"id": fakeChannel, "name": "sec"}}})
	case "/api/conversations.history", "/api/conversations.replies":
		r.ParseForm()
		switch {
		case !f.history:
			answer(map[string]any{"ok": false, "error": "missing_scope"})
			return
		case r.Form.Get("channel") != fakeChannel:
			answer(map[string]any{"ok": false, "error": "channel_not_found"})
			return
		}
		// Pages of one, the newest first as Slack does.
		var found []any
		for i := len(f.messages) - 1; i >= 0; i-- {
			m := f.messages[i]
			if m.ThreadTS == r.Form.Get("ts") && r.Form.Get("include_all_metadata") == "1" && m.TS >= r.Form.Get("oldest") {
				found = append(found, map[string]any{"ts": m.TS, "text": m.Text, "metadata": m.Metadata})
			}
		}
		from, _ := strconv.Atoi(r.Form.Get("cursor"))
		page := found[min(from, len(found)):min(from+1, len(found))]
		more := from+1 < len(found)
		cursor := ""
		if more {
			cursor = strconv.Itoa(from + 1)
		}
		answer(map[string]any{"ok": true, "messages": page, "has_more": more, "response_metadata": map[string]any{"next_cursor": cursor}})
	case "/services/T0/B0/hook":
		body, _ := io.ReadAll(r.Body)
		hook := func() {
			var m struct {
				Text   string          `json:"text"`
				Blocks json.RawMessage `json:"blocks"`
			}
			json.Unmarshal(body, &m)
			f.messages = append(f.messages, &slackMessage{Text: m.Text, Blocks: m.Blocks, At: time.Now()})
		}
		if f.fail(w, hook) {
			return
		}
		hook()
		fmt.Fprint(w, "ok")
	default:
		http.NotFound(w, r)
	}
}

// errDropped ends a request without an answer.
var errDropped = errors.New("dropped")

func (f *fakeSlack) fail(w http.ResponseWriter, apply func()) bool {
	if len(f.faults) == 0 {
		return false
	}
	next := f.faults[0]
	f.faults = f.faults[1:]
	if next.apply {
		apply()
	}
	switch {
	case next.drop:
		panic(http.ErrAbortHandler)
	case next.slack != "":
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprintf(w, `{"ok":false,"error":%q}`, next.slack)
	case next.status != 0:
		if next.retry != "" {
			w.Header().Set("Retry-After", next.retry)
		}
		w.WriteHeader(next.status)
	default:
		return false
	}
	return true
}

func (f *fakeSlack) post(r *http.Request) *slackMessage {
	f.next++
	m := &slackMessage{TS: fmt.Sprintf("%d.%06d", time.Now().Unix(), f.next), ThreadTS: r.Form.Get("thread_ts"), Text: r.Form.Get("text"),
		Blocks: json.RawMessage(r.Form.Get("blocks")), Metadata: json.RawMessage(r.Form.Get("metadata")), Form: map[string]string{}, At: time.Now()}
	for k := range r.Form {
		m.Form[k] = r.Form.Get(k)
	}
	f.messages = append(f.messages, m)
	return m
}

func (f *fakeSlack) posted() []*slackMessage {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]*slackMessage(nil), f.messages...)
}

func (f *fakeSlack) called(path string) (n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, c := range f.calls {
		if c == path {
			n++
		}
	}
	return n
}

// RoundTrip serves a request without a network, so that fake time works.
func (f *fakeSlack) RoundTrip(r *http.Request) (resp *http.Response, err error) {
	f.mu.Lock()
	if len(f.faults) > 0 && f.faults[0].refuse {
		f.faults = f.faults[1:]
		f.mu.Unlock()
		return nil, &net.OpError{Op: "dial", Net: "tcp", Err: syscall.ECONNREFUSED}
	}
	hang := len(f.faults) > 0 && f.faults[0].hang
	if hang {
		f.faults = f.faults[1:]
	}
	f.mu.Unlock()
	if trace := httptrace.ContextClientTrace(r.Context()); trace != nil {
		trace.GotConn(httptrace.GotConnInfo{})
	}
	if hang {
		<-r.Context().Done()
		return nil, r.Context().Err()
	}
	defer func() {
		if p := recover(); p != nil {
			resp, err = nil, errDropped
		}
	}()
	w := httptest.NewRecorder()
	f.ServeHTTP(w, r)
	return w.Result(), nil
}

// alertID is the id in the message's metadata.
func (m *slackMessage) alertID() string {
	var meta struct {
		Payload map[string]string `json:"event_payload"`
	}
	json.Unmarshal(m.Metadata, &meta)
	return meta.Payload["alert_id"]
}
