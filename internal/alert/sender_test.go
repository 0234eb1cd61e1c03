package alert

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"nagare"
)

// bot is a receiver on f with a bot token; hook one with a webhook.
func bot(f http.RoundTripper) Receiver {
	r, err := NewSlack(SlackConfig{Token: "xoxb-canary", Channel: "#sec", API: "http://slack.test/api", transport: f})
	if err != nil {
		panic(err)
	}
	return r
}

func hook(f http.RoundTripper) Receiver {
	r, err := NewSlack(SlackConfig{Webhook: "http://slack.test/services/T0/B0/hook", transport: f})
	if err != nil {
		panic(err)
	}
	return r
}

// running runs a Sender for d of fake time.
func running(t *testing.T, s *Store, d time.Duration, cfg SenderConfig) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), d)
	defer cancel()
	if err := NewSender(s, cfg).Run(ctx); err != nil {
		t.Errorf("Run: %v", err)
	}
}

func to(r Receiver) SenderConfig {
	return SenderConfig{Receivers: map[string]Receiver{"sec": r}, PutFinding: func(context.Context, []nagare.Event) error { return nil }}
}

func record(t *testing.T, s *Store, matches ...Match) {
	t.Helper()
	if err := s.Record(t.Context(), matches...); err != nil {
		t.Fatal(err)
	}
}

func state(t *testing.T, s *Store, m Match) *Delivery {
	t.Helper()
	d := get(t, s, m.id()).Deliveries["sec"]
	if d == nil {
		t.Fatal("the alert has no delivery to sec")
	}
	return d
}

// TestOncePerFault: whatever happens to the first request, a bot posts the
// alert once, and no row has work left.
func TestOncePerFault(t *testing.T) {
	for _, c := range []struct {
		name   string
		faults []fault
		within time.Duration
	}{
		{"none", nil, 2 * time.Second},
		{"429", []fault{{status: 429, retry: "30"}}, 33 * time.Second},
		{"429 without a time", []fault{{status: 429}}, 33 * time.Second},
		{"429 twice", []fault{{status: 429, retry: "5"}, {status: 429, retry: "5"}}, 15 * time.Second},
		{"ratelimited", []fault{{slack: "ratelimited"}}, 33 * time.Second},
		{"refused", []fault{{refuse: true}, {refuse: true}}, 5 * time.Second},
		{"500 before", []fault{{status: 500}}, 15 * time.Second},
		{"500 after", []fault{{status: 500, apply: true}}, 15 * time.Second},
		{"internal_error after", []fault{{slack: "internal_error", apply: true}}, 15 * time.Second},
		{"dropped before", []fault{{drop: true}}, 70 * time.Second},
		{"dropped after", []fault{{drop: true, apply: true}}, 70 * time.Second},
		{"never answered", []fault{{hang: true}}, 80 * time.Second},
		{"all of it", []fault{{refuse: true}, {drop: true}, {status: 503}, {status: 429, retry: "3"}, {drop: true, apply: true}}, 4 * time.Minute},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := &fakeSlack{history: true, faults: c.faults}
				mem := newMemory()
				s := newStore(mem)
				record(t, s, match("u1"))
				start := time.Now()
				running(t, s, c.within, to(bot(f)))
				if got := f.posted(); len(got) != 1 {
					t.Fatalf("posted %d times, want once", len(got))
				}
				if d := state(t, s, match("u1")); d.State != Sent || d.TS == "" || d.Channel != fakeChannel || d.Repeat {
					t.Errorf("delivery %+v, want sent, with the message's place", d)
				}
				// An edit may be due where the message was found.
				running(t, s, 2*time.Minute, to(bot(f)))
				if got := mem.part(t, workPart); len(got) != 0 || len(f.posted()) != 1 {
					t.Errorf("after %v: work left %v, posted %d", time.Since(start), got, len(f.posted()))
				}
			})
		})
	}
}

func TestWebhookMarksPossibleRepeats(t *testing.T) {
	for _, c := range []struct {
		name   string
		faults []fault
		posts  int
		repeat bool
	}{
		{"none", nil, 1, false},
		{"429", []fault{{status: 429, retry: "1"}}, 1, false},
		{"refused", []fault{{refuse: true}}, 1, false},
		{"dropped after", []fault{{drop: true, apply: true}}, 2, true},
		{"500", []fault{{status: 500}}, 1, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := &fakeSlack{faults: c.faults}
				s := newStore(newMemory())
				record(t, s, match("u1"))
				running(t, s, 3*time.Minute, to(hook(f)))
				got := f.posted()
				if len(got) != c.posts {
					t.Fatalf("posted %d times, want %d", len(got), c.posts)
				}
				if is := strings.Contains(got[len(got)-1].Text, "possible repeat"); is != c.repeat {
					t.Errorf("the last message is marked: %v, want %v", is, c.repeat)
				}
				if c.posts > 1 && strings.Contains(got[0].Text, "possible repeat") {
					t.Error("the first message is marked as a repeat")
				}
			})
		})
	}
}

func TestPermanentRefusalGoesToTheSecondSink(t *testing.T) {
	for _, c := range []struct {
		name string
		f    fault
		hook bool
	}{
		{"channel_not_found", fault{slack: "channel_not_found"}, false},
		{"invalid_auth", fault{slack: "invalid_auth"}, false},
		{"404", fault{status: 404}, true},
		{"403", fault{status: 403}, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := &fakeSlack{history: true, faults: []fault{c.f}}
				s := newStore(newMemory())
				record(t, s, match("u1"))
				var out, log bytes.Buffer
				cfg := to(bot(f))
				if c.hook {
					cfg = to(hook(f))
				}
				cfg.Second, cfg.Log = NewTerminal(&out), slog.New(slog.NewTextHandler(&log, nil))
				running(t, s, 5*time.Minute, cfg)
				d := state(t, s, match("u1"))
				if d.State != Dead || !strings.Contains(d.Reason, c.name) || len(f.posted()) != 0 {
					t.Errorf("delivery %+v, posted %d; want dead with the reason", d, len(f.posted()))
				}
				if !strings.Contains(out.String(), c.name) || !strings.Contains(out.String(), match("u1").Title) || strings.Count(out.String(), "ALERT") != 1 {
					t.Errorf("the second sink shows %q, want the alert once with the reason", out.String())
				}
				if !strings.Contains(log.String(), "level=ERROR") || !strings.Contains(log.String(), c.name) {
					t.Errorf("log %q, want an error with the reason", log.String())
				}
			})
		})
	}
}

// TestKilledWhileSending: a sender dies between SENDING and SENT, before or
// after Slack took the message; another one takes over.
func TestKilledWhileSending(t *testing.T) {
	for _, arrived := range []bool{false, true} {
		for _, history := range []bool{true, false} {
			t.Run(fmt.Sprintf("arrived=%v/history=%v", arrived, history), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					f := &fakeSlack{history: history}
					mem := newMemory()
					s := newStore(mem)
					record(t, s, match("u1"))
					// The dead sender can write no row after SENDING.
					dead := false
					mem.before = func(op, part, sort string) (error, bool) {
						if dead {
							return errFault, false
						}
						if op == "put" && strings.HasPrefix(part, rowPart) {
							dead = true
						}
						return nil, false
					}
					if !arrived {
						f.faults = []fault{{drop: true}}
					}
					first := to(bot(f))
					first.PutFinding = nil // its rows are written by another loop
					running(t, s, time.Second, first)
					mem.before = nil
					if d := state(t, s, match("u1")); d.State != Sending {
						t.Fatalf("after the kill the delivery is %+v, want sending", d)
					}
					// A new process, at once: it must wait until no request of the old one can be on its way.
					s = newStore(mem)
					running(t, s, 88*time.Second, to(bot(f)))
					if d := state(t, s, match("u1")); d.State != Sending || f.called("/api/chat.postMessage") != 1 {
						t.Fatalf("within the wait: %+v, %d requests", d, f.called("/api/chat.postMessage"))
					}
					running(t, s, 2*time.Minute, to(bot(f)))
					want := 1
					if arrived && !history {
						want = 2
					}
					got := f.posted()
					if len(got) != want {
						t.Errorf("posted %d times, want %d", len(got), want)
					}
					if marked := strings.Contains(got[len(got)-1].Text, "possible repeat"); marked != !history {
						t.Errorf("marked as a possible repeat: %v, want %v", marked, !history)
					}
					if d := state(t, s, match("u1")); d.State != Sent {
						t.Errorf("delivery %+v, want sent", d)
					}
				})
			})
		}
	}
}

// TestChannelNotLookedUp: a sender that does not know the channel's id yet is
// to look for a message, and Slack does not answer what the id is. It must ask
// again, not post again.
func TestChannelNotLookedUp(t *testing.T) {
	for _, away := range []fault{{refuse: true}, {hang: true}} {
		synctest.Test(t, func(t *testing.T) {
			f := &fakeSlack{history: true, faults: []fault{{status: 500, apply: true}, away}}
			s := newStore(newMemory())
			record(t, s, match("u1"))
			running(t, s, 10*time.Minute, to(bot(f)))
			if n := len(f.posted()); n != 1 {
				t.Errorf("posted %d times, want once", n)
			}
			if d := state(t, s, match("u1")); d.State != Sent || d.Repeat {
				t.Errorf("delivery %+v, want sent, not as a repeat", d)
			}
		})
	}
}

// TestTwoSenders work on the same rows in two processes, while Slack is in a
// bad mood.
func TestTwoSenders(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fakeSlack{history: true}
		for i := range 30 {
			f.faults = append(f.faults, []fault{{status: 500, apply: true}, {}, {drop: true}, {status: 429, retry: "2"}, {refuse: true}, {drop: true, apply: true}}[i%6])
		}
		mem := newMemory()
		a, b := newStore(mem), newStore(mem)
		for i := range 20 {
			m := match(fmt.Sprint("u", i))
			m.Key = fmt.Sprint("user", i)
			record(t, []*Store{a, b}[i%2], m)
		}
		done := make(chan struct{})
		go func() {
			running(t, a, 20*time.Minute, to(bot(f)))
			close(done)
		}()
		running(t, b, 20*time.Minute, to(bot(f)))
		<-done
		seen := map[string]int{}
		for _, m := range f.posted() {
			seen[string(m.Metadata)]++
		}
		if len(seen) != 20 || len(f.posted()) != 20 {
			t.Errorf("%d messages for %d alerts, want 20 for 20", len(f.posted()), len(seen))
		}
		if got := mem.part(t, workPart); len(got) != 0 {
			t.Errorf("markers left: %v", got)
		}
	})
}

// TestCoordFaults: the row cannot be written for a while, at every place.
func TestCoordFaults(t *testing.T) {
	for _, applied := range []bool{false, true} {
		for n := range 8 {
			synctest.Test(t, func(t *testing.T) {
				f := &fakeSlack{history: true}
				mem := newMemory()
				s := newStore(mem)
				record(t, s, match("u1"))
				op := 0
				mem.before = func(string, string, string) (error, bool) {
					op++
					if op-1 == n {
						return errFault, applied
					}
					return nil, false
				}
				running(t, s, 10*time.Minute, to(bot(f)))
				mem.before = nil
				if d := state(t, s, match("u1")); d.State != Sent || len(f.posted()) != 1 {
					t.Errorf("write %d failed (applied %v): delivery %+v, posted %d", n, applied, d, len(f.posted()))
				}
				if got := mem.part(t, workPart); len(got) != 0 {
					t.Errorf("write %d failed (applied %v): work left %v", n, applied, got)
				}
			})
		}
	}
}

func TestOrderAndPace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fakeSlack{history: true}
		s := newStore(newMemory())
		for i, severity := range []string{"low", "high", "critical", "high", "medium"} {
			m := match(fmt.Sprint("u", i))
			m.Key, m.Severity, m.Title = fmt.Sprint("user", i), severity, fmt.Sprint(severity, " ", i)
			record(t, s, m)
			time.Sleep(time.Millisecond)
		}
		running(t, s, 10*time.Second, to(bot(f)))
		var got []string
		for i, m := range f.posted() {
			_, title, _ := strings.Cut(strings.SplitN(m.Text, "\n", 2)[0], "  ")
			got = append(got, title)
			if i > 0 && m.At.Sub(f.messages[i-1].At) < time.Second {
				t.Errorf("message %d came %v after the one before", i, m.At.Sub(f.messages[i-1].At))
			}
		}
		want := []string{"critical 2", "high 1", "high 3", "medium 4", "low 0"}
		if !slices.Equal(got, want) {
			t.Errorf("order %v, want %v", got, want)
		}
	})
}

func TestStormBecomesADigest(t *testing.T) {
	for _, c := range []struct {
		name string
		f    []fault
	}{{"taken", nil}, {"answer lost", []fault{{drop: true, apply: true}}}, {"request lost", []fault{{drop: true}}}} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := &fakeSlack{history: true, faults: c.f}
				s := newStore(newMemory())
				storm := func(from, n int) {
					for i := range n {
						m := match(fmt.Sprint("u", from+i))
						m.Key = fmt.Sprintf("user%d", from+i)
						record(t, s, m)
					}
				}
				storm(0, 120)
				other := match("other")
				other.Rule, other.Key = "endpoint.other", "host"
				record(t, s, other)
				running(t, s, 3*time.Minute, to(bot(f)))
				if got := f.posted(); len(got) != 2 {
					t.Fatalf("%d messages, want the digest and the other alert", len(got))
				}
				var digest string
				for _, m := range f.posted() {
					if strings.Contains(m.Text, "120 alerts") {
						digest = string(m.Blocks)
					}
				}
				if !strings.Contains(digest, "120 events") || !strings.Contains(digest, "--rule identity.mfa_fatigue") {
					t.Errorf("digest %s: want the counts and how to list them", digest)
				}
				list, err := s.List(t.Context(), Filter{})
				if err != nil || len(list) != 121 {
					t.Fatalf("%d rows, %v; want each alert to keep its own", len(list), err)
				}
				for _, e := range list {
					if d := e.Deliveries["sec"]; d.State != Sent || (d.Digest != "") != (e.Rule != "endpoint.other") {
						t.Errorf("alert %s: %+v", e.Key, d)
					}
				}
				// The storm goes on: at most one message a minute about it.
				before := len(f.posted())
				ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
				defer cancel()
				go func() {
					for i := range 100 {
						storm(1000+30*i, 30)
						time.Sleep(2 * time.Second)
					}
				}()
				if err := NewSender(s, to(bot(f))).Run(ctx); err != nil {
					t.Error(err)
				}
				if n := len(f.posted()) - before; n < 3 || n > 25 {
					t.Errorf("%d messages in five minutes of storm", n)
				}
			})
		})
	}
}

func TestEditsAndThreads(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fakeSlack{history: true}
		s := newStore(newMemory())
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- NewSender(s, to(bot(f))).Run(ctx) }()
		record(t, s, match("u0"))
		time.Sleep(2 * time.Second)
		for i := range 120 { // an event a second for two minutes
			record(t, s, match(fmt.Sprint("more", i)))
			time.Sleep(time.Second)
		}
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		got := f.posted()
		if len(got) != 1 || got[0].Edits < 2 || got[0].Edits > 3 {
			t.Fatalf("%d messages, edited %d times; want one, edited once a minute", len(got), got[0].Edits)
		}
		if !strings.Contains(string(got[0].Blocks), "121 events") {
			t.Errorf("the message says %s, want 121 events", got[0].Blocks)
		}
		if _, err := s.Ack(t.Context(), "", got[0].alertID(), ""); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		if !strings.Contains(string(f.posted()[0].Blocks), "acknowledged") {
			t.Errorf("the message says %s, want acknowledged", f.posted()[0].Blocks)
		}

		// The next hour goes into the thread, found there after a lost answer.
		f.mu.Lock()
		f.faults = []fault{{drop: true, apply: true}}
		f.mu.Unlock()
		next := match("next")
		next.EventTime = base.Add(time.Hour)
		record(t, s, next)
		time.Sleep(5 * time.Minute)
		synctest.Wait()
		if got := f.posted(); len(got) != 2 || got[1].ThreadTS != got[0].TS {
			t.Errorf("%d messages, the last in thread %q; want 2, in %q", len(got), got[len(got)-1].ThreadTS, got[0].TS)
		}
		if d := state(t, s, next); d.State != Sent {
			t.Errorf("delivery in the thread: %+v", d)
		}
		// After the alert is closed the next one stands alone.
		if _, err := s.Close(t.Context(), "", next.id(), "benign", ""); err != nil {
			t.Fatal(err)
		}
		last := match("last")
		last.EventTime = base.Add(2 * time.Hour)
		record(t, s, last)
		time.Sleep(time.Minute)
		synctest.Wait()
		if got := f.posted(); len(got) != 3 || got[2].ThreadTS != "" {
			t.Errorf("%d messages; want a third, outside of threads", len(got))
		}
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

func TestCriticalAlertsDoNotWaitForSlack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fakeSlack{history: true, faults: slices.Repeat([]fault{{refuse: true}}, 10000)}
		s := newStore(newMemory())
		critical, high := match("u1"), match("u2")
		critical.Severity, critical.Key, critical.Title = "critical", "a", "the critical one"
		high.Key, high.Title = "b", "the high one"
		record(t, s, critical, high)
		var out bytes.Buffer
		cfg := to(bot(f))
		cfg.Second = NewTerminal(&out)
		running(t, s, 9*time.Minute, cfg)
		if out.Len() > 0 {
			t.Fatalf("too early on the second sink: %s", out.String())
		}
		running(t, s, 10*time.Minute, cfg)
		if got := out.String(); strings.Count(got, "the critical one") != 1 || strings.Contains(got, "the high one") {
			t.Errorf("second sink %q, want the critical alert once", got)
		}
		f.mu.Lock()
		refused := 10000 - len(f.faults)
		f.faults = nil
		f.mu.Unlock()
		if refused > 100 {
			t.Errorf("%d requests in 19 minutes without Slack", refused)
		}
		running(t, s, 2*time.Minute, cfg)
		if got := f.posted(); len(got) != 2 {
			t.Errorf("posted %d, want both once Slack is back", len(got))
		}
	})
}

func TestUnknownReceiver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStore(newMemory())
		record(t, s, match("u1"))
		var out bytes.Buffer
		cfg := SenderConfig{Second: NewTerminal(&out)}
		running(t, s, time.Minute, cfg)
		if d := state(t, s, match("u1")); d.State != Dead || !strings.Contains(out.String(), `no receiver "sec"`) {
			t.Errorf("delivery %+v, second sink %q", d, out.String())
		}
	})
}

func TestFindings(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mem := newMemory()
		s := newStore(mem)
		m := match("u1")
		m.Attack, m.References = []string{"T1621"}, []string{"https://example.com/mfa"}
		suppressed := match("u2")
		suppressed.Key, suppressed.Suppressed = "b", true
		dry := match("u3")
		dry.Key, dry.Origin = "c", "replay:x"
		record(t, s, m, suppressed, dry)
		var put []nagare.Event
		failing := 3
		cfg := to(NewTerminal(&bytes.Buffer{}))
		cfg.PutFinding = func(_ context.Context, events []nagare.Event) error {
			if failing--; failing >= 0 {
				return errors.New("stream is away")
			}
			put = append(put, events...)
			return nil
		}
		running(t, s, time.Minute, cfg)
		if len(put) != 2 {
			t.Fatalf("put %d findings, want 2", len(put))
		}
		for _, e := range put {
			var body struct {
				ID         string   `json:"id"`
				Title      string   `json:"title"`
				Attack     []string `json:"attack"`
				References []string `json:"references"`
				Suppressed bool     `json:"suppressed"`
			}
			if err := json.Unmarshal(e.Body, &body); err != nil {
				t.Fatal(err)
			}
			if e.Source != "nagare.finding" || e.UID != body.ID || e.ID == "" || e.Auth != nagare.AuthPass || !e.Time.Equal(base) {
				t.Errorf("event %+v", e)
			}
			if e.UID == m.id() && (body.Title != m.Title || !slices.Equal(body.Attack, m.Attack) || !slices.Equal(body.References, m.References)) {
				t.Errorf("body %s", e.Body)
			}
			if body.Suppressed != (e.UID == suppressed.id()) {
				t.Errorf("suppressed = %v for %s", body.Suppressed, e.UID)
			}
		}
		record(t, s, match("u4")) // joins: no second finding
		running(t, s, time.Hour, cfg)
		if len(put) != 2 || get(t, s, m.id()).Finding != "put" {
			t.Errorf("put %d findings in all, want 2", len(put))
		}
		if got := mem.part(t, workPart); len(got) != 0 {
			t.Errorf("work left: %v", got)
		}
	})
}

const nasty = "<!channel> <https://evil.example|click> @here *bold* `x` & \x1b[2J\x1b]0;title\a \u202egnp.exe \u200b<@U123> \r\n@Everyone\x00"

func TestHostileTextInSlack(t *testing.T) {
	for name, receiver := range map[string]func(http.RoundTripper) Receiver{"bot": bot, "webhook": hook} {
		synctest.Test(t, func(t *testing.T) {
			f := &fakeSlack{history: true}
			s := newStore(newMemory())
			m := match("u1")
			m.Title, m.Text, m.Key, m.Runbook = nasty, nasty+strings.Repeat("<", 5000), nasty, nasty
			record(t, s, m)
			running(t, s, time.Minute, to(receiver(f)))
			got := f.posted()
			if len(got) != 1 {
				t.Fatalf("%s: posted %d", name, len(got))
			}
			var blocks []struct {
				Type string `json:"type"`
				Text struct {
					Type, Text string
				} `json:"text"`
				Elements []struct {
					Type, Text string
				} `json:"elements"`
			}
			if err := json.Unmarshal(got[0].Blocks, &blocks); err != nil {
				t.Fatal(err)
			}
			texts := []string{got[0].Text}
			for _, b := range blocks {
				for _, e := range append(b.Elements, b.Text) {
					if e.Type != "" && e.Type != "plain_text" {
						t.Errorf("%s: a block has text of type %s", name, e.Type)
					}
					texts = append(texts, e.Text)
				}
				if b.Type == "header" && len([]rune(b.Text.Text)) > 150 {
					t.Errorf("%s: header of %d characters", name, len([]rune(b.Text.Text)))
				}
			}
			for _, text := range texts {
				if strings.ContainsAny(text, "<>\x1b\x00\a\r\u202e\u200b") {
					t.Errorf("%s: text %q has a character that does something", name, text)
				}
				if strings.Contains(text, "@here") || strings.Contains(text, "@Everyone") {
					t.Errorf("%s: text %q reaches everybody", name, text)
				}
				if len([]rune(text)) > 3000 {
					t.Errorf("%s: text of %d characters", name, len([]rune(text)))
				}
			}
			if name == "bot" && (got[0].Form["mrkdwn"] != "false" || got[0].Form["parse"] != "none" || got[0].Form["unfurl_links"] != "false") {
				t.Errorf("mark-up, links or unfurling are on: %v", got[0].Form)
			}
		})
	}
}

func TestHostileTextOnATerminal(t *testing.T) {
	var out bytes.Buffer
	a := Alert{ID: "0123abcd", Title: nasty, Rule: "r", Text: "first\nALERT forged\x9b31m\x85" + nasty, Key: nasty, Severity: "high", State: Open, Origin: Live, First: base, Last: base, Count: 1}
	if _, err := NewTerminal(&out).Post(t.Context(), Message{ID: a.ID, Alert: a, Origin: Live}); err != nil {
		t.Fatal(err)
	}
	for _, c := range out.String() {
		if c != '\n' && (c < ' ' || c >= 0x7f && c < 0xa0 || c == '\u202e' || c == '\u200b') {
			t.Errorf("the terminal gets %U in %q", c, out.String())
		}
	}
	if strings.Count(out.String(), "\nALERT") != 1 {
		t.Errorf("an event can forge an alert: %q", out.String())
	}
}

// TestRealServer: over TCP, with a server that takes the message and closes
// the connection, and with none at all; and the secrets stay secret.
func TestRealServer(t *testing.T) {
	f := &fakeSlack{history: true, faults: []fault{{drop: true, apply: true}}}
	server := httptest.NewServer(f)
	server.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	var log bytes.Buffer
	cfg := SenderConfig{Lease: time.Second, RequestLife: 200 * time.Millisecond, RequestTimeout: 500 * time.Millisecond, Poll: 20 * time.Millisecond,
		Log: slog.New(slog.NewTextHandler(&log, nil)), PutFinding: func(context.Context, []nagare.Event) error { return nil }}
	slackConfig := SlackConfig{Token: "xoxb-canary", Channel: "#sec", API: server.URL + "/api/", Pace: time.Millisecond}
	receiver, err := NewSlack(slackConfig)
	if err != nil {
		t.Fatal(err)
	}
	cfg.Receivers = map[string]Receiver{"sec": receiver}
	s := newStore(newMemory())
	record(t, s, match("u1"))
	waitFor := func(what string, ok func() bool) {
		t.Helper()
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- NewSender(s, cfg).Run(ctx) }()
		for end := time.Now().Add(20 * time.Second); !ok() && time.Now().Before(end); {
			time.Sleep(5 * time.Millisecond)
		}
		cancel()
		if err := <-done; err != nil || !ok() {
			t.Fatalf("%s: not reached (%v); log:\n%s", what, err, log.String())
		}
	}
	waitFor("sent", func() bool { return state(t, s, match("u1")).State == Sent })
	if got := f.posted(); len(got) != 1 {
		t.Errorf("posted %d times, want once", len(got))
	}
	server.Close()
	if receiver, err = NewSlack(slackConfig); err != nil { // without a connection to the old server
		t.Fatal(err)
	}
	cfg.Receivers = map[string]Receiver{"sec": receiver}
	second := match("u2")
	second.Key = "b"
	record(t, s, second)
	waitFor("refused", func() bool { return strings.Contains(state(t, s, second).Reason, "connection refused") })
	webhook, err := NewSlack(SlackConfig{Webhook: Secret(server.URL + "/services/T0/B0/canary")})
	if err != nil {
		t.Fatal(err)
	}
	_, err = webhook.Post(t.Context(), Message{})
	var refused *Refused
	if !errors.As(err, &refused) {
		t.Errorf("webhook without a server: %v, want Refused", err)
	}
	shown := fmt.Sprintf("%v %s %v %+v %#v", err, log.String(), slackConfig, slackConfig, slackConfig)
	if strings.Contains(shown, "canary") {
		t.Errorf("a secret is shown: %s", shown)
	}
}

// TestAnothersAttempt: a sender that looks at an old copy of the row neither
// takes over an attempt that runs nor writes the end of one that is no longer
// its own.
func TestAnothersAttempt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fakeSlack{history: true}
		mem := newMemory()
		s := newStore(mem)
		record(t, s, match("u1"))
		refs, _ := s.take()
		worker := func() *worker {
			sender := NewSender(newStore(mem), to(bot(f)))
			if err := sender.refresh(t.Context(), refs); err != nil {
				t.Fatal(err)
			}
			return &worker{Sender: sender, name: "sec", receiver: bot(f), digested: map[string]time.Time{}}
		}
		a, b := worker(), worker()
		mine, r, err := a.begin(t.Context(), refs[0], func(d *Delivery) bool { return d.State == Pending })
		if err != nil || r == nil {
			t.Fatalf("begin: %v, %v", r, err)
		}
		if err := errors.Join(b.send(t.Context(), refs[0]), b.takeOver(t.Context(), refs[0])); err != nil {
			t.Fatal(err)
		}
		if d := state(t, s, match("u1")); d.Attempt != mine.id || len(f.posted()) != 0 {
			t.Fatalf("the attempt of a was taken: %+v, posted %d", d, len(f.posted()))
		}
		// a hangs for longer than its attempt may last; b takes over and dies.
		time.Sleep(2 * time.Minute)
		theirs, r, err := b.begin(t.Context(), refs[0], func(d *Delivery) bool { return d.State == Sending })
		if err != nil || r == nil {
			t.Fatalf("begin of b: %v, %v", r, err)
		}
		for _, err := range []error{&Refused{Err: errFault}, &Permanent{errFault}, errFault, nil} {
			if err := a.outcome(t.Context(), refs[0], mine, r, a.judge(Receipt{}, err)); err != nil {
				t.Fatal(err)
			}
		}
		if d := state(t, s, match("u1")); d.State != Sending || d.Attempt != theirs.id || d.Reason != "" {
			t.Errorf("a wrote into the attempt of b: %+v", d)
		}
		// And a may make no request any more.
		if a.mayRequest(mine) {
			t.Error("a may still send")
		}
	})
}
