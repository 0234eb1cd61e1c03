// Package consumers reads the shards of a stream and remembers how far it got.
//
// Run gives the events of each shard, in order, to a Stage of the caller, and
// checkpoints only after the stage has made them durable: an event is handed
// on at least once, never skipped. What makes that "once" is the stage's
// ledger (the lake) or its rows (the alerts), not this package.
//
// Inside is the Kinesis Client Library, unmodified, behind a wall: it decides
// when to look for shards and runs a goroutine for each; everything that could
// lose, reorder or stop records is done on our side of the wall (wall.go says
// what). Nothing outside this package knows that it is there.
//
// It does not know what events mean, and it writes to no stream.
package consumers

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"regexp"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"

	"nagare"
	"nagare/internal/claim"
	"nagare/internal/coord"
)

// A Stage does something with the events of one shard. Its methods are called
// by one goroutine at a time, so it needs no locks: Open, then any number of
// Process and Flush, then Drop, always and last. A shard that is taken up
// again, here or elsewhere, gets a new Stage.
//
// A Stage may keep events in memory between calls. What it keeps is safe to
// lose: the loop checkpoints only after Flush has returned nil. An error (or a
// panic) of any method stops nothing and skips nothing: the same call is made
// again, with growing pauses, until it succeeds or the shard is taken. The
// context is over when the lease is lost or a stop has taken too long; then
// the methods should return, with any error.
type Stage interface {
	// Open says where to read from: after this position. Zero means the
	// checkpoint, or Config.Start if there is none; Seq "0" means the oldest
	// record kept, whatever the checkpoint says.
	Open(ctx context.Context, shard Shard) (nagare.Position, error)
	// Process takes events, in the order of their positions. They may be kept
	// until Drop. Events with a Reason come too: they are dead letters.
	Process(ctx context.Context, events []nagare.Event) error
	// Flush makes everything up to and including the record at to durable. It
	// always ends at a record's boundary. end is true once, when the shard is
	// closed and finished; after a crash it may be true again.
	Flush(ctx context.Context, to nagare.Position, end bool) error
	// Drop forgets what is kept and frees what is held.
	Drop()
}

// A Flusher is a Stage that may want a Flush before its time, say because its
// disk is filling or an hour is over. It is asked after each Process.
type Flusher interface {
	WantFlush() bool
}

// A Shard is one shard that a Stage is to work on.
type Shard struct {
	// App is the name of the application.
	App string
	// Stream is name and creation time of the stream, as "name@unix-seconds".
	Stream string
	// StreamName is the name alone.
	StreamName string
	// ID is the shard id.
	ID string
	// Parents are the shards this one was made of. All of those that still
	// exist are finished before a Stage is opened.
	Parents []string
	// Epoch counts the times the shard's lease was taken. It is for the
	// record; what must not happen twice needs its own condition.
	Epoch int64
	// HashFrom and HashTo are the hash keys, inclusive, that belong here.
	HashFrom, HashTo [16]byte
}

// holds says whether a hash key belongs to the shard.
func (s *Shard) holds(key [16]byte) bool {
	return bytes.Compare(key[:], s.HashFrom[:]) >= 0 && bytes.Compare(key[:], s.HashTo[:]) <= 0
}

// Config says what to read and how. App, Stream, Kinesis, Coord and NewStage
// are needed; the other zero values are ready to use.
type Config struct {
	// App is the name of the application: it owns the checkpoints.
	App string
	// Stream is the name of the stream.
	Stream string
	// Kinesis says how to reach it: region, credentials, BaseEndpoint.
	Kinesis aws.Config
	// Coord keeps leases and checkpoints, at lease/<app>/<stream>.
	Coord coord.Store
	// NewStage makes the Stage of a shard.
	NewStage func(Shard) (Stage, error)

	// FlushEvery is the longest that a processed event waits for Flush. The
	// default is one second.
	FlushEvery time.Duration
	// FlushBytes is how much event data may wait for Flush. The default is
	// 64 MiB.
	FlushBytes int64

	// FanOut subscribes to shards (milliseconds of delay, and a fan-out
	// consumer of its own) instead of polling them.
	FanOut bool
	// Pollers is how many polling applications share the stream, for each
	// shard allows five reads a second to all of them. The default is 1.
	Pollers int

	// Start says where a shard without a checkpoint begins. It counts at the
	// first start of the application and is kept; the default is the oldest
	// record.
	Start Start
	// End, if not zero, makes Run return when every shard was read up to the
	// records that arrived at End or later, which are left out.
	End time.Time

	// LeaseTime is how long a shard waits for the worker that has it, before
	// another takes over. The default is ten seconds.
	LeaseTime time.Duration
	// Sole promises that no other process works for this application on
	// this Coord (the caller holds a lock). Then leases left behind by a
	// killed process are taken at once.
	Sole bool
	// StopTime bounds the flush after the context is over. What is not flushed
	// then is still on the stream: the attempt is given up, the leases are given
	// back, and whoever has the shards next reads it again. A flush that by the
	// pace of those before cannot be over in time is not begun. The default is
	// three seconds.
	StopTime time.Duration

	// DefaultSource is the source of records that are no frames.
	DefaultSource string

	// QueueBytes and QueueChunks bound what was read of a shard and waits for
	// Process; at the bound the reader waits. The defaults are 8 MiB and 64.
	QueueBytes  int64
	QueueChunks int

	// Claims has the bodies that no record holds. Without it, events that
	// travel without their body are dead letters.
	Claims *claim.Store

	// Monitor, if not nil, shows what this Run is doing.
	Monitor *Monitor
	// Log is where life events go. The default discards them.
	Log *slog.Logger

	// Tests shorten these two: see subscribeFloor and maxSilence.
	floor, silence time.Duration
}

func (c Config) withDefaults() Config {
	def := func(p *time.Duration, d time.Duration) {
		if *p <= 0 {
			*p = d
		}
	}
	def(&c.FlushEvery, time.Second)
	def(&c.LeaseTime, 10*time.Second)
	def(&c.StopTime, 3*time.Second)
	def(&c.floor, subscribeFloor)
	def(&c.silence, maxSilence)
	if c.FlushBytes <= 0 {
		c.FlushBytes = 64 << 20
	}
	if c.Pollers <= 0 {
		c.Pollers = 1
	}
	if c.QueueBytes <= 0 {
		c.QueueBytes = 8 << 20
	}
	if c.QueueChunks <= 0 {
		c.QueueChunks = 64
	}
	if c.Monitor == nil {
		c.Monitor = &Monitor{}
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	return c
}

// validApp keeps names out of keys where they would mean something else.
var validApp = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._:-]{0,99}$`)

func (c *Config) check() error {
	switch {
	case !validApp.MatchString(c.App):
		return fmt.Errorf("consumers: application name %q: letters, digits and ._:- only, at most 100", c.App)
	case c.Stream == "":
		return errors.New("consumers: no stream given")
	case c.Kinesis.Region == "":
		return errors.New("consumers: no region given")
	case c.Coord == nil:
		return errors.New("consumers: no coordination store given")
	case c.NewStage == nil:
		return errors.New("consumers: no stage given")
	}
	return c.Start.check()
}
