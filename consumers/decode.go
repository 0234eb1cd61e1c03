package consumers

import (
	"crypto/sha256"
	"fmt"
	"strconv"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"
	"github.com/segmentio/ksuid"

	"nagare"
	"nagare/internal/claim"
	"nagare/internal/frame"
)

// Reasons of events that this package could not read. Body is then the record
// as it was on the stream.
const (
	ReasonBadFrame = "bad-frame"
	ReasonBadKPL   = "bad-kpl"
)

// A chunk is what goes to the stage at once: the events of some whole records.
type chunk struct {
	events []nagare.Event
	// to is the position of the last record, which may have left no events.
	to    nagare.Position
	bytes int64
	// end says that the shard is closed and this is behind its last record.
	end bool
}

// chunkBytes is about how large a chunk gets; a record is never cut.
const chunkBytes = 1 << 20

// eventOverhead is what an event costs beside its body.
const eventOverhead = 256

// A decoder turns the records of one shard into events.
type decoder struct {
	shard   *Shard
	source  string // of plain records
	counter *counters
	// resolve gives an event its body, and returns an error only when there is
	// no reason to go on. nil without a store of claims.
	resolve  func(*nagare.Event) error
	maxClaim int64 // bounds the bodies of one record's claims
}

// decode gives the events of records, which came from disarm, to emit.
func (d *decoder) decode(records []types.Record, emit func(chunk) error) error {
	var c chunk
	for i := range records {
		seq, sub, bad, data := carried(&records[i])
		if seq != c.to.Seq {
			if c.bytes >= chunkBytes {
				if err := emit(c); err != nil {
					return err
				}
				c = chunk{}
			}
			c.to = nagare.Position{Stream: d.shard.Stream, Shard: d.shard.ID, Seq: seq, Index: -1,
				Arrived: aws.ToTime(records[i].ApproximateArrivalTimestamp).UTC()}
			d.counter.records.Add(1)
			c.bytes += 64 // so that records without events are not free
		}
		if err := d.record(&c, sub, bad, data); err != nil {
			return err
		}
	}
	if c.to.Seq == "" {
		return nil
	}
	return emit(c)
}

// record appends the events of one record, or of one user record of an
// aggregate; then the places count on through the aggregate.
func (d *decoder) record(c *chunk, sub int, bad bool, data []byte) error {
	if !bad && frame.Is(data) {
		events, err := frame.Decode(data)
		if err != nil {
			d.whole(c, sub, data, ReasonBadFrame, err)
			return nil
		}
		claimed := int64(0)
		for i := range events {
			ev := &events[i]
			c.to.Index++
			// The writer sends such an event again to where it belongs, before
			// it says that it is on the stream: see the writer's rules.
			if !d.shard.holds(frame.HashKey(ev.Source, ev.UID)) {
				d.counter.misrouted.Add(1)
				continue
			}
			if ev.DataRef != "" {
				if err := d.claim(ev, &claimed); err != nil {
					return err
				}
			}
			ev.Pos = c.to
			c.add(*ev)
			d.counter.events.Add(1)
		}
		return nil
	}
	if bad {
		_, err := deaggregate(data)
		d.whole(c, sub, data, ReasonBadKPL, err)
		return nil
	}
	d.whole(c, sub, data, "", nil)
	return nil
}

// claim gives an event the body that it travelled without. A frame of ours has
// one such event; a hostile one could ask for thousands of large bodies, and
// gets as much as one may have.
func (d *decoder) claim(ev *nagare.Event, claimed *int64) error {
	switch {
	case d.resolve == nil:
		claim.Refuse(ev, claim.ReasonMissing, "no store of claims is configured here")
	case *claimed >= d.maxClaim:
		claim.Refuse(ev, claim.ReasonTooLarge, "the frame claims too much")
	default:
		if err := d.resolve(ev); err != nil {
			return err
		}
	}
	*claimed += int64(len(ev.Body))
	if ev.Reason != "" {
		d.counter.bad.Add(1)
	}
	return nil
}

// whole makes one event of a record that is no frame.
func (d *decoder) whole(c *chunk, sub int, data []byte, reason string, err error) {
	c.to.Index++
	uid := d.shard.ID + "/" + c.to.Seq + "/" + strconv.Itoa(sub)
	ev := nagare.Event{
		ID:       plainID(d.shard.Stream, uid, c.to.Arrived),
		UID:      uid,
		Source:   d.source,
		Auth:     nagare.AuthNone,
		Received: c.to.Arrived,
		Reason:   reason,
		Body:     data,
		Pos:      c.to,
	}
	if err != nil {
		ev.Error = err.Error()
	}
	if reason == "" {
		d.counter.plain.Add(1)
	} else {
		ev.ContentType = "application/octet-stream"
		d.counter.bad.Add(1)
	}
	d.counter.events.Add(1)
	c.add(ev)
}

func (c *chunk) add(ev nagare.Event) {
	c.events = append(c.events, ev)
	c.bytes += int64(len(ev.Body)) + eventOverhead
}

// plainID is an id for a record without one. It follows from the position, so
// that every reader of the record gives it the same.
func plainID(stream, uid string, arrived time.Time) string {
	sum := sha256.Sum256(fmt.Appendf(nil, "%s/%s", stream, uid))
	id, err := ksuid.FromParts(arrived, sum[:16])
	if err != nil {
		return "" // cannot be: 16 bytes are what it wants
	}
	return id.String()
}
