package producers

import (
	"bufio"
	"context"
	"time"

	"nagare/ocsf/mapping"
)

// A Delivery is what a sender handed over at once: a request, a mail, a small
// file.
type Delivery struct {
	// Source names the kind of sender, and with it the adapter and mapping.
	Source string
	// Tenant is the instance label; "" without one.
	Tenant string
	// Auth is the verdict of authentication; "" means none.
	Auth string
	// ContentType is the sender's; "" when it did not say.
	ContentType string
	// ContentEncoding is the sender's. gzip and zstd are recognised without
	// it, and believed only if the bytes say so too.
	ContentEncoding string
	// Event is what the sender's header says that the delivery is about, where
	// that is not in the body, as GitHub's X-GitHub-Event; "" for nothing.
	Event string
	// Name is the name of a file; "" for what is none. The events of a file
	// that have no id of their own are told apart by their place in it.
	Name string
	// Received is when the delivery came; zero means now.
	Received time.Time
	// Live sends even old events to the events stream.
	Live bool
	// Body is the content. Events may keep parts of it.
	Body []byte
	// Failure, when set, says that the body is not whole, or cannot be used
	// for a reason that the caller knows, as "too-large": intake does not look
	// into it and makes one dead letter of its first 64 KiB.
	Failure string
}

// A Result says what became of a delivery.
type Result struct {
	// ID is the KSUID of the delivery.
	ID string
	// Accepted counts the events on the stream, dead letters included.
	Accepted int
	// Dead counts those that intake could not read.
	Dead int
}

// Why intake made a dead letter: the values of nagare.Event.Reason that come
// from this package.
const (
	ReasonNotJSON     = "not-json"      // the text is no JSON
	ReasonNotObject   = "not-an-object" // it is JSON, but a number, a text …
	ReasonTooDeep     = "too-deep"      // nested deeper than the limit
	ReasonTooLarge    = "too-large"     // over a limit of size
	ReasonBomb        = "bomb"          // grew over the limit of size when decompressed
	ReasonBadGzip     = "bad-gzip"      // damaged or cut short
	ReasonBadZstd     = "bad-zstd"      // damaged or cut short
	ReasonBadEncoding = "bad-encoding"  // a Content-Encoding that we do not undo
	ReasonBadCharset  = "bad-charset"   // text in an encoding that we do not know
	ReasonBadRow      = "bad-row"       // a row that does not fit its header
	ReasonBadMail     = "bad-mail"      // a mail without anything readable
	ReasonBadForm     = "bad-form"      // form fields that cannot be read
	ReasonEmpty       = "empty"         // nothing in it
)

// A Head says what the events of one JSON value are. It is the first part of a
// mapping: split, uid, time, drop, hash. *mapping.Head is one. It is used by
// one goroutine at a time.
type Head interface {
	// Split is called with one JSON object. An error means that the head
	// cannot tell: the whole value then becomes one event.
	Split(source string, body []byte, meta mapping.HeadMeta) ([]mapping.HeadEvent, error)
}

// An Adapter does for a source what JSON and a mapping cannot. Each of its
// functions may be nil.
type Adapter struct {
	// Wants says, by the first 64 KiB of the content, uncompressed, whether
	// Read shall have the delivery. Otherwise it is read as JSON.
	Wants func(in Input) bool
	// Read turns the delivery into items, in order. It must be bounded in
	// memory and time for any input, and stop with emit's error. An error of
	// its own becomes a dead letter.
	Read func(ctx context.Context, in Input, emit func(Item) error) error
	// Stream is Read for deliveries of any size: it gets the text as it comes
	// and must hold only a part of it. Input.Body is its first 64 KiB.
	Stream func(ctx context.Context, in Input, r *bufio.Reader, emit func(Item) error) error
	// Mark puts Delivery.Event, which is never "", into one object of the
	// delivery: mappings see bodies alone.
	Mark func(event string, object []byte) []byte
	// Repair is shown text that was meant to be one JSON value and is not. It
	// returns the value, or false.
	Repair func(text []byte) ([]byte, bool)
}

// Input is a delivery as an adapter sees it: decompressed, and not larger than
// Config.Decompressed.
type Input struct {
	Source, Name, ContentType string
	Body                      []byte
}

// An Item is one event that an adapter found.
type Item struct {
	// Body is a JSON object, or with a Reason whatever the sender wrote.
	Body []byte
	// UID is the stable id; "" leaves it to the mapping and to the item's
	// place in the file.
	UID string
	// Reason marks a dead letter, Error says more.
	Reason, Error string
}

// A Refusal is an error of an adapter that names the reason of the dead letter.
type Refusal struct {
	Reason string
	Err    error
}

func (r *Refusal) Error() string { return r.Reason + ": " + r.Err.Error() }

// Unwrap returns the cause.
func (r *Refusal) Unwrap() error { return r.Err }
