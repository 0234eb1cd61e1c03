package alert

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// A Receiver is a place where people read alerts.
//
// A Sender calls it from one goroutine.
type Receiver interface {
	// Post shows m. An error that is Refused or Permanent says that m was not
	// shown; after any other error nobody knows.
	Post(ctx context.Context, m Message) (Receipt, error)
	// Find looks for a message with m's id shown at or after since. Its error
	// is ErrNoHistory when the receiver cannot look back.
	Find(ctx context.Context, m Message, since time.Time) (r Receipt, found bool, err error)
	// Edit shows m instead of what was shown.
	Edit(ctx context.Context, r Receipt, m Message) error
	// Pace is the shortest time between two messages; 0 is none.
	Pace() time.Duration
}

// A Receipt says where a message is. TS is "" when it cannot be edited.
type Receipt struct {
	Channel string
	TS      string
}

// A Message is what a receiver shows: an alert, or a digest of many.
type Message struct {
	// ID is the id of the alert or of the digest; with Origin it names the message.
	ID     string
	Origin string
	Alert  Alert
	// Runbook belongs to the alert.
	Runbook string
	// Repeat asks to say that the same may have been shown before.
	Repeat bool
	// Undelivered says why an alert could not reach its receiver.
	Undelivered string
	// Channel and Thread continue an earlier message.
	Channel, Thread string
	// Digest is set when the message stands for many alerts.
	Digest *Digest
}

// A Digest stands for many alerts of one rule.
type Digest struct {
	Rule, Title, Severity string
	Alerts, Events        int
	// Keys are up to ten of the keys, those with most events first.
	Keys        []string
	First, Last time.Time
}

// Refused is an error of a receiver that certainly took nothing and may take
// it later.
type Refused struct {
	// Wait is how long it wants to be left alone; 0 when it did not say.
	Wait time.Duration
	Err  error
}

func (e *Refused) Error() string { return fmt.Sprintf("refused: %v", e.Err) }
func (e *Refused) Unwrap() error { return e.Err }

// Permanent is an error that trying again does not help.
type Permanent struct{ Err error }

func (e *Permanent) Error() string { return e.Err.Error() }
func (e *Permanent) Unwrap() error { return e.Err }

// Answered is an error of a receiver that did answer, so that no request is on
// its way any more, but in a manner that does not tell whether it took the
// message.
type Answered struct{ Err error }

func (e *Answered) Error() string { return e.Err.Error() }
func (e *Answered) Unwrap() error { return e.Err }

// ErrNoHistory is returned by Find of a receiver that cannot look back.
var ErrNoHistory = errors.New("the receiver keeps no history to look into")
