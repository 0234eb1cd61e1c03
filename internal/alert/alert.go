// Package alert keeps what rules concluded and tells people about it.
//
// A match becomes a row of the coordination store before the stream position
// moves (Store.Record); later matches of the same thing join that row. A
// Sender takes the rows to receivers, each alert once, as EXACTLY_ONCE
// section 6 says, and puts the findings onto the stream. People list,
// acknowledge and close alerts through the Store.
//
// It does not decide what matches, nor read rules, routes or configuration.
package alert

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"strconv"
	"time"
)

// The states of an alert.
const (
	Open         = "open"
	Acknowledged = "acknowledged"
	Closed       = "closed"
)

// Live is the origin of alerts that the running detection raised. A replay's
// origin is "replay:NAME".
const Live = "live"

// An Alert is what people see, and what routes decide on.
type Alert struct {
	// ID names the alert within its origin; see func ID.
	ID    string `json:"id"`
	Rule  string `json:"rule"`
	Title string `json:"title"`
	Text  string `json:"text"`
	// Key is what the alert is about, as a user; "" when the rule has no key.
	Key string `json:"key"`
	// Severity is informational, low, medium, high, critical or fatal, the
	// highest of the matches; SeverityID is its OCSF number.
	Severity   string `json:"severity"`
	SeverityID int    `json:"severity_id"`
	State      string `json:"state"`
	// Verdict is true_positive, benign or false_positive once somebody said so.
	Verdict string `json:"verdict"`
	Origin  string `json:"origin"`
	// First and Last are the event times of the earliest and the latest match.
	First time.Time `json:"first"`
	Last  time.Time `json:"last"`
	// Count is the number of different events: exact up to 4,096, then an
	// estimate within about 1 % that repeats do not move.
	Count int `json:"count"`
	// Events are the uids of the first 100 events.
	Events []string `json:"events"`
}

// A Match is one event for which a rule's condition held.
type Match struct {
	Rule  string
	Title string
	// Text is what the rule says about this event; parts of it may come from
	// the event, so it is hostile.
	Text     string
	Severity string
	Key      string
	// Dedupe is how long later matches of the key join the alert; 0 means one
	// alert for each event.
	Dedupe    time.Duration
	EventUID  string
	EventTime time.Time
	// Origin is Live when empty.
	Origin string
	// To names receivers, besides those of the routes.
	To []string
	// Attack and References come from the rule and go into the finding.
	Attack     []string
	References []string
	Runbook    string
	// Quiet keeps the row and tells nobody: a rule in shadow mode.
	Quiet bool
	// Suppressed puts the finding into the lake and raises no alert. A match
	// that is not suppressed turns the row into an alert again.
	Suppressed bool
	// Notify tells people of a match whose origin is not Live; Publish puts its
	// finding onto the stream. Live matches always are.
	Notify  bool
	Publish bool
}

// ID is the id of the alert that a match belongs to: the same for every match
// of rule and key within one dedupe period of event time, and for every
// repeat of one event. Without a key or a period it is one per event.
func ID(rule, key, eventUID string, eventTime time.Time, dedupe time.Duration) string {
	var sum [32]byte
	if key == "" || dedupe <= 0 {
		sum = hash(rule, "event", eventUID)
	} else {
		sum = hash(rule, "key", key, strconv.FormatInt(bucket(eventTime, dedupe), 10))
	}
	return hex.EncodeToString(sum[:16])
}

// hash is the SHA-256 of the parts, each with its length, so that no two lists
// of parts look alike.
func hash(parts ...string) [32]byte {
	var b []byte
	for _, p := range parts {
		b = binary.BigEndian.AppendUint64(b, uint64(len(p)))
		b = append(b, p...)
	}
	return sha256.Sum256(b)
}

func hash64(parts ...string) uint64 {
	sum := hash(parts...)
	return binary.BigEndian.Uint64(sum[:])
}

// bucket is floor(t / dedupe).
func bucket(t time.Time, dedupe time.Duration) int64 {
	ms, d := t.UnixMilli(), max(dedupe.Milliseconds(), 1)
	n := ms / d
	if ms%d < 0 {
		n--
	}
	return n
}

// id is the id of the alert that m belongs to.
func (m *Match) id() string { return ID(m.Rule, m.Key, m.EventUID, m.EventTime, m.Dedupe) }

// previous is the id of the alert of the period before m's; "" without one.
func (m *Match) previous() string {
	if m.Key == "" || m.Dedupe <= 0 {
		return ""
	}
	return ID(m.Rule, m.Key, m.EventUID, m.EventTime.Add(-m.Dedupe), m.Dedupe)
}

var severities = [...]string{1: "informational", 2: "low", 3: "medium", 4: "high", 5: "critical", 6: "fatal"}

// SeverityID is the OCSF number of a severity's name; 0 if it is none.
func SeverityID(name string) int {
	for id, s := range severities {
		if s == name && id > 0 {
			return id
		}
	}
	return 0
}

// cut shortens s to at most n bytes, at the start of a character.
func cut(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for n > 0 && s[n]&0xc0 == 0x80 {
		n--
	}
	return s[:n]
}
