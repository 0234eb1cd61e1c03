package alert

import (
	"slices"
	"strings"
	"time"
)

// The states of a delivery, see EXACTLY_ONCE section 6.
const (
	Pending = "pending"
	Sending = "sending"
	Sent    = "sent"
	Dead    = "dead"
)

// A Delivery is the way of one alert to one receiver.
type Delivery struct {
	State string `json:"state"`
	// Since is when the alert was given to this receiver.
	Since time.Time `json:"since"`
	// NotBefore is when a pending delivery may be tried again.
	NotBefore time.Time `json:"not_before,omitzero"`
	// Tries counts the requests.
	Tries int `json:"tries,omitempty"`
	// Owner and Attempt say who is sending. Until Due only the owner may act:
	// Due is the owner's deadline plus the longest life of a request.
	Owner   string    `json:"owner,omitempty"`
	Attempt string    `json:"attempt,omitempty"`
	Due     time.Time `json:"due,omitzero"`
	// Digest is the id of the digest the alert was told in.
	Digest string `json:"digest,omitempty"`
	// Repeat is set when an earlier request may have arrived and nobody can tell.
	Repeat bool `json:"possible_repeat,omitempty"`
	// Channel, TS and Thread are where the receiver keeps the message; TS is
	// "" when it cannot be edited.
	Channel string `json:"channel,omitempty"`
	TS      string `json:"ts,omitempty"`
	Thread  string `json:"thread,omitempty"`
	// At is when the message was sent, Edited when it was last edited; Shown
	// and ShownState are what it says.
	At         time.Time `json:"at,omitzero"`
	Edited     time.Time `json:"edited,omitzero"`
	Shown      int       `json:"shown,omitempty"`
	ShownState string    `json:"shown_state,omitempty"`
	// Reason is why the last try failed.
	Reason string `json:"reason,omitempty"`
	// Second is when the alert was also shown on the second sink.
	Second time.Time `json:"second,omitzero"`
}

// stale says whether the message says something that is no longer so.
func (d *Delivery) stale(a *Alert) bool {
	return d.State == Sent && d.TS != "" && (d.Shown != a.Count || d.ShownState != a.State)
}

// The states of a finding.
const (
	findingDue = "due"
	findingPut = "put"
)

// An Entry is an alert with all that is kept about it.
type Entry struct {
	Alert
	Attack     []string `json:"attack,omitempty"`
	References []string `json:"references,omitempty"`
	Runbook    string   `json:"runbook,omitempty"`
	Note       string   `json:"note,omitempty"`
	// Suppressed entries are findings, not alerts.
	Suppressed bool `json:"suppressed,omitempty"`
	// Deliveries are by receiver.
	Deliveries map[string]*Delivery `json:"deliveries,omitempty"`
	// Finding is due or put; "" when the finding stays off the stream.
	Finding string `json:"finding,omitempty"`
}

// A row is an entry as it is stored.
type row struct {
	Entry
	// Previous is the id of the same rule and key one period earlier.
	Previous string  `json:"previous,omitempty"`
	Counter  counter `json:"counter"`
}

// The bounds of what a row keeps, so that it fits a value of the store. What
// is longer is cut.
const (
	maxEvents  = 100
	maxUID     = 512
	maxKey     = 1 << 10
	maxTitle   = 512
	maxText    = 4 << 10
	maxList    = 20
	maxListLen = 512
	maxNote    = 4 << 10
)

// join adds a match and says whether the row changed. The outcome does not
// depend on the order of the matches, but for text and list of first events.
func (r *row) join(m *Match, route func(Alert) []string, now time.Time) bool {
	changed := r.Counter.add(m.EventUID)
	if r.ID == "" {
		r.Alert = Alert{ID: m.id(), Rule: m.Rule, Title: valid(m.Title, maxTitle), Text: valid(m.Text, maxText), Key: valid(m.Key, maxKey),
			State: Open, Origin: m.origin(), First: m.EventTime.UTC(), Last: m.EventTime.UTC(), Events: []string{}}
		r.Attack, r.References, r.Runbook = short(m.Attack), short(m.References), valid(m.Runbook, maxListLen)
		r.Previous = m.previous()
		r.Suppressed = m.Suppressed
	}
	if changed {
		r.Count = max(r.Count, r.Counter.count())
		if len(r.Events) < maxEvents {
			r.Events = append(r.Events, valid(m.EventUID, maxUID))
		}
		if m.EventTime.Before(r.First) {
			r.First = m.EventTime.UTC()
		}
		if m.EventTime.After(r.Last) {
			r.Last = m.EventTime.UTC()
		}
		if id := SeverityID(m.Severity); id > r.SeverityID || r.Severity == "" {
			r.Severity, r.SeverityID = m.Severity, id
		}
	}
	// A repeat may still ask for more than the first time: a replay with
	// --notify after one without.
	if r.Suppressed && !m.Suppressed {
		r.Suppressed, changed = false, true
	}
	if r.Finding == "" && m.publishes() {
		r.Finding, changed = findingDue, true
	}
	if !m.notifies() {
		return changed
	}
	for _, name := range append(slices.Clone(m.To), route(r.Alert)...) {
		if r.Deliveries[name] != nil {
			continue
		}
		if r.Deliveries == nil {
			r.Deliveries = map[string]*Delivery{}
		}
		r.Deliveries[name], changed = &Delivery{State: Pending, Since: now.UTC()}, true
	}
	return changed
}

// work says whether the row waits for a sender.
func (r *row) work() bool {
	if r.Finding == findingDue {
		return true
	}
	for _, d := range r.Deliveries {
		if d.State == Pending || d.State == Sending || d.stale(&r.Alert) {
			return true
		}
	}
	return false
}

func (m *Match) origin() string {
	if m.Origin == "" {
		return Live
	}
	return m.Origin
}

func (m *Match) notifies() bool {
	return !m.Quiet && !m.Suppressed && (m.origin() == Live || m.Notify)
}

func (m *Match) publishes() bool { return m.origin() == Live || m.Publish }

// valid is s as UTF-8 of at most n bytes.
func valid(s string, n int) string { return cut(strings.ToValidUTF8(cut(s, n), "\uFFFD"), n) }

func short(list []string) []string {
	var out []string
	for _, s := range list[:min(len(list), maxList)] {
		out = append(out, valid(s, maxListLen))
	}
	return out
}
