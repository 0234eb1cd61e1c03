package kinesisd

import "time"

// Fault is what should go wrong with one call. Its zero value is nothing.
type Fault struct {
	// Delay is waited before the call is looked at.
	Delay time.Duration
	// Error, when set, is answered instead of doing anything: an error type
	// such as ProvisionedThroughputExceededException or InternalFailure.
	Error string
	// Drop does what was asked, then cuts the connection without an answer.
	// A subscription is cut after its first event.
	Drop bool
	// Mute keeps a subscription open but sends no event on it, as a
	// half-open connection would.
	Mute bool
	// Record, when set, is asked for each record of a PutRecords by its
	// index; the error type it returns fails that record alone.
	Record func(i int) string
}
