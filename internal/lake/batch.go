package lake

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"
	"time"

	"nagare"
	"nagare/internal/frame"
	"nagare/ocsf"
)

// A Batch is what one commit is to hold: all events of the records after From,
// up to and including To.
type Batch struct {
	// From is where the batch begins: the To of the ledger row.
	From string
	// To is the last record; its Arrived is when that arrived.
	To nagare.Position
	// Closed says that the shard has no more records.
	Closed bool
	// Events are all events, in order: the archive gets them. Each of them is
	// in Rows or in Dead.
	Events []*nagare.Event
	// Rows are the events that become rows, in order.
	Rows []Row
	// Dead are those that do not.
	Dead []DeadLetter
	// Fill fills out from an event of Rows, as when the row was made. To keep
	// filled events in memory would cost more than to fill them twice.
	Fill func(ev *nagare.Event, out *ocsf.Event) error
}

// A Row is an event that becomes a row of the lake, and what decides where.
type Row struct {
	Event *nagare.Event
	Class *ocsf.Class
	// ID is the hash of what makes the event this occurrence.
	ID ID
	// time is in milliseconds.
	time int64
	day  day
}

// An ID is the first 16 bytes of SHA-256(source, 0, uid): equal for repeats of
// one occurrence.
type ID [16]byte

// NewRow makes the row of an event that was filled into e. The event must stay
// what it is until the batch is done; e may be used again.
func NewRow(ev *nagare.Event, e *ocsf.Event) Row {
	t := e.Get("time")
	r := Row{Event: ev, Class: e.Class(), time: t.Int(), day: eventDay(t.Int(), t.Has(), ev)}
	if ev.UID != "" {
		r.ID = frame.HashKey(ev.Source, ev.UID)
	} else { // without a stable id it is no repeat of anything
		r.ID = frame.HashKey("", fmt.Sprintf("%s/%s/%s/%d", ev.Pos.Stream, ev.Pos.Shard, ev.Pos.Seq, ev.Pos.Index))
	}
	return r
}

// Partition names the file that the row will be in, within its commit.
func (r *Row) Partition() Partition { return Partition{r.Class.UID, int(r.day)} }

// A Partition is a class and a day.
type Partition struct{ ClassUID, Day int }

// arrivals returns when the first and the last record of the batch arrived.
func (b *Batch) arrivals() (first, last time.Time) {
	last = b.To.Arrived
	for i := range b.Events {
		t := b.Events[i].Pos.Arrived
		if !t.IsZero() && (first.IsZero() || t.Before(first)) {
			first = t
		}
		if t.After(last) {
			last = t
		}
	}
	if first.IsZero() {
		first = last
	}
	return first.UTC(), last.UTC()
}

// byID orders rows by ID, equal ones by position, and returns their indexes.
func byID(rows []Row) []int32 {
	order := make([]int32, len(rows))
	for i := range order {
		order[i] = int32(i)
	}
	slices.SortStableFunc(order, func(a, b int32) int { return bytes.Compare(rows[a].ID[:], rows[b].ID[:]) })
	return order
}

// byPlace orders the rows for writing: by file, in a file by time, then by
// metadata.uid, then by position.
func byPlace(rows []Row) {
	slices.SortStableFunc(rows, func(a, b Row) int {
		return cmp.Or(
			cmp.Compare(a.Class.UID, b.Class.UID),
			cmp.Compare(a.day, b.day),
			cmp.Compare(a.time, b.time),
			cmp.Compare(a.Event.UID, b.Event.UID),
		)
	})
}
