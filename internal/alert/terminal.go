package alert

import (
	"context"
	"io"
	"strings"
	"sync"
	"time"
)

// A Terminal shows alerts as text blocks on a writer. It cannot look back: what
// a crash interrupted is shown again, marked as a possible repeat.
type Terminal struct {
	mu sync.Mutex
	w  io.Writer
}

// NewTerminal returns a receiver that writes to w.
func NewTerminal(w io.Writer) *Terminal { return &Terminal{w: w} }

// Post implements Receiver.
func (t *Terminal) Post(_ context.Context, m Message) (Receipt, error) {
	var b strings.Builder
	b.WriteString("\nALERT " + m.headline() + "\n")
	if remark := m.remark(); remark != "" {
		b.WriteString("  (" + remark + ")\n")
	}
	if body := m.body(); body != "" {
		// The bar marks every line of it: an event's own line breaks must not
		// pass for lines of ours.
		b.WriteString("  │ " + strings.ReplaceAll(body, "\n", "\n  │ ") + "\n")
	}
	for _, line := range m.facts() {
		b.WriteString("  " + line + "\n")
	}
	b.WriteString("\n")
	t.mu.Lock()
	defer t.mu.Unlock()
	// One write, so that log lines do not come between.
	_, err := io.WriteString(t.w, b.String())
	if err != nil {
		return Receipt{}, &Refused{Wait: 10 * time.Second, Err: err}
	}
	return Receipt{}, nil
}

// Find implements Receiver.
func (t *Terminal) Find(context.Context, Message, time.Time) (Receipt, bool, error) {
	return Receipt{}, false, ErrNoHistory
}

// Edit implements Receiver; it is never asked to, for want of a receipt.
func (t *Terminal) Edit(context.Context, Receipt, Message) error { return nil }

// Pace implements Receiver.
func (t *Terminal) Pace() time.Duration { return 0 }
