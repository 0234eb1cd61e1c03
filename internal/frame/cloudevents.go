package frame

import (
	"errors"
	"fmt"
	"time"

	"google.golang.org/protobuf/encoding/protowire"

	"nagare"
)

// The batch is written and read at the level of the protobuf wire format, not
// through generated types: those hold every attribute in a map of pointers,
// which costs twenty allocations an event on the hottest path there is, and
// marshal maps in random order, while equal events should make equal frames.
// The tests hold this file equal to the official generated type.

// Field numbers of io.cloudevents.v1, from cloudevents/formats/cloudevents.proto.
const (
	batchEvents protowire.Number = 1

	eventID          protowire.Number = 1
	eventSource      protowire.Number = 2
	eventSpecVersion protowire.Number = 3
	eventType        protowire.Number = 4
	eventAttributes  protowire.Number = 5
	eventBinaryData  protowire.Number = 6
	eventTextData    protowire.Number = 7

	entryKey   protowire.Number = 1
	entryValue protowire.Number = 2

	valueString    protowire.Number = 3
	valueURIRef    protowire.Number = 6
	valueTimestamp protowire.Number = 7

	timestampSeconds protowire.Number = 1
	timestampNanos   protowire.Number = 2
)

// Attribute names: time and datacontenttype are CloudEvents' own, the others
// are extensions, which must be lower case letters and digits.
const (
	attrTime        = "time"
	attrContentType = "datacontenttype"
	attrUID         = "uid"
	attrTenant      = "tenant"
	attrAuth        = "auth"
	attrReason      = "reason"
	attrError       = "error"
	attrEventTime   = "eventtime"
	attrDataRef     = "dataref" // cloudevents/extensions/dataref.md
)

const (
	specVersion = "1.0"
	contentJSON = "application/json"
)

// appendEvent appends ev as one element of CloudEventBatch.events.
func appendEvent(b []byte, ev *nagare.Event) []byte {
	return appendMessage(b, batchEvents, func(b []byte) []byte {
		b = appendText(b, eventID, ev.ID)
		b = appendText(b, eventSource, ev.Source)
		b = appendText(b, eventSpecVersion, specVersion)
		b = appendText(b, eventType, Type)
		b = appendTime(b, attrTime, ev.Received)
		contentType := ev.ContentType
		if contentType == "" {
			contentType = contentJSON
		}
		b = appendAttribute(b, attrContentType, contentType)
		b = appendAttribute(b, attrUID, ev.UID)
		b = appendAttribute(b, attrTenant, ev.Tenant)
		b = appendAttribute(b, attrAuth, ev.Auth)
		b = appendAttribute(b, attrReason, ev.Reason)
		b = appendAttribute(b, attrError, ev.Error)
		b = appendTime(b, attrEventTime, ev.Time)
		if ev.DataRef != "" {
			return appendTyped(b, attrDataRef, valueURIRef, ev.DataRef) // in place of data
		}
		b = protowire.AppendTag(b, eventBinaryData, protowire.BytesType)
		return protowire.AppendBytes(b, ev.Body)
	})
}

// appendMessage appends a field whose content fill appends. The length goes in
// front, and its size is known only afterwards, so the content may have to
// move; it moves by a few bytes and never allocates beyond the append.
func appendMessage(b []byte, num protowire.Number, fill func([]byte) []byte) []byte {
	b = protowire.AppendTag(b, num, protowire.BytesType)
	start := len(b)
	b = fill(append(b, 0)) // one byte for lengths up to 127
	n := len(b) - start - 1
	if extra := protowire.SizeVarint(uint64(n)) - 1; extra > 0 {
		b = append(b, make([]byte, extra)...)
		copy(b[start+1+extra:], b[start+1:start+1+n])
	}
	protowire.AppendVarint(b[start:start], uint64(n))
	return b
}

func appendText(b []byte, num protowire.Number, s string) []byte {
	if s == "" {
		return b
	}
	b = protowire.AppendTag(b, num, protowire.BytesType)
	return protowire.AppendString(b, text(s))
}

// appendAttribute appends a text attribute; an empty one is left out.
func appendAttribute(b []byte, name, value string) []byte {
	if value == "" {
		return b
	}
	return appendTyped(b, name, valueString, value)
}

func appendTyped(b []byte, name string, kind protowire.Number, value string) []byte {
	return appendMessage(b, eventAttributes, func(b []byte) []byte {
		b = appendText(b, entryKey, name)
		return appendMessage(b, entryValue, func(b []byte) []byte {
			return appendText(b, kind, value)
		})
	})
}

// appendTime appends a time attribute. A zero time, and one outside the years
// 1 to 9999, which a protobuf Timestamp cannot say, is left out.
func appendTime(b []byte, name string, t time.Time) []byte {
	if t.IsZero() || !validSeconds(t.Unix()) {
		return b
	}
	return appendMessage(b, eventAttributes, func(b []byte) []byte {
		b = appendText(b, entryKey, name)
		return appendMessage(b, entryValue, func(b []byte) []byte {
			return appendMessage(b, valueTimestamp, func(b []byte) []byte {
				b = protowire.AppendTag(b, timestampSeconds, protowire.VarintType)
				b = protowire.AppendVarint(b, uint64(t.Unix()))
				b = protowire.AppendTag(b, timestampNanos, protowire.VarintType)
				return protowire.AppendVarint(b, uint64(t.Nanosecond()))
			})
		})
	})
}

// The first and last second of a protobuf Timestamp: years 1 and 9999.
const minSeconds, maxSeconds = -62135596800, 253402300799

func validSeconds(s int64) bool { return s >= minSeconds && s <= maxSeconds }

var errWire = errors.New("damaged protobuf")

// fields calls f with every field of a message. Groups and unknown fields are
// for f to ignore: value is empty for what is neither bytes nor a varint.
func fields(b []byte, f func(num protowire.Number, typ protowire.Type, bytes []byte, varint uint64) error) error {
	for len(b) > 0 {
		num, typ, n := protowire.ConsumeTag(b)
		if n < 0 {
			return errWire
		}
		b = b[n:]
		var value []byte
		var varint uint64
		switch typ {
		case protowire.BytesType:
			value, n = protowire.ConsumeBytes(b)
		case protowire.VarintType:
			varint, n = protowire.ConsumeVarint(b)
		default:
			n = protowire.ConsumeFieldValue(num, typ, b)
		}
		if n < 0 {
			return errWire
		}
		b = b[n:]
		if err := f(num, typ, value, varint); err != nil {
			return err
		}
	}
	return nil
}

// count says how many events a batch holds, so that their slice is allocated
// once, and refuses a batch with too many of them before it is.
func count(raw []byte) (int, error) {
	total := 0
	err := fields(raw, func(num protowire.Number, typ protowire.Type, _ []byte, _ uint64) error {
		if num == batchEvents && typ == protowire.BytesType {
			total++
		}
		if total > MaxEvents {
			return fmt.Errorf("%w: more than %d events", ErrTooLarge, MaxEvents)
		}
		return nil
	})
	return total, err
}

func decodeBatch(events []nagare.Event, raw []byte) ([]nagare.Event, error) {
	var last nagare.Event // neighbours share source, tenant …: share the strings too
	err := fields(raw, func(num protowire.Number, typ protowire.Type, b []byte, _ uint64) error {
		if num != batchEvents || typ != protowire.BytesType {
			return nil
		}
		ev, err := decodeEvent(b, &last)
		if err != nil {
			return fmt.Errorf("event %d: %w", len(events), err)
		}
		events = append(events, ev)
		last = ev
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("frame: %w", err)
	}
	return events, nil
}

func decodeEvent(b []byte, last *nagare.Event) (nagare.Event, error) {
	var ev nagare.Event
	kind := ""
	err := fields(b, func(num protowire.Number, typ protowire.Type, v []byte, _ uint64) error {
		if typ != protowire.BytesType {
			return nil
		}
		switch num {
		case eventID:
			ev.ID = string(v)
		case eventSource:
			ev.Source = same(v, last.Source)
		case eventType:
			kind = same(v, Type)
		case eventAttributes:
			return decodeAttribute(v, &ev, last)
		case eventBinaryData, eventTextData:
			ev.Body = v[:len(v):len(v)] // an append by a user must not reach the next event
		}
		return nil
	})
	if kind != Type && ev.Reason == "" {
		ev.Reason, ev.Error = "unknown-type", fmt.Sprintf("CloudEvents type %.100q", kind)
	}
	return ev, err
}

// same returns b as a string, reusing s if it is equal.
func same(b []byte, s string) string {
	if string(b) == s {
		return s
	}
	return string(b)
}

func decodeAttribute(b []byte, ev, last *nagare.Event) error {
	var key, value []byte
	err := fields(b, func(num protowire.Number, typ protowire.Type, v []byte, _ uint64) error {
		switch {
		case typ != protowire.BytesType:
		case num == entryKey:
			key = v
		case num == entryValue:
			value = v
		}
		return nil
	})
	if err != nil {
		return err
	}
	return fields(value, func(num protowire.Number, typ protowire.Type, v []byte, _ uint64) error {
		if typ != protowire.BytesType {
			return nil
		}
		if num == valueTimestamp {
			return decodeTime(key, v, ev)
		}
		if string(key) == attrDataRef && (num == valueURIRef || num == valueString) {
			ev.DataRef = string(v)
		}
		if num != valueString {
			return nil
		}
		switch string(key) {
		case attrContentType:
			if string(v) != contentJSON {
				ev.ContentType = same(v, last.ContentType)
			}
		case attrUID:
			ev.UID = string(v)
		case attrTenant:
			ev.Tenant = same(v, last.Tenant)
		case attrAuth:
			ev.Auth = same(v, last.Auth)
		case attrReason:
			ev.Reason = same(v, last.Reason)
		case attrError:
			ev.Error = same(v, last.Error)
		}
		return nil
	})
}

func decodeTime(key, b []byte, ev *nagare.Event) error {
	var seconds, nanos int64
	err := fields(b, func(num protowire.Number, typ protowire.Type, _ []byte, v uint64) error {
		switch {
		case typ != protowire.VarintType:
		case num == timestampSeconds:
			seconds = int64(v)
		case num == timestampNanos:
			nanos = int64(v)
		}
		return nil
	})
	if err != nil {
		return err
	}
	if !validSeconds(seconds) || nanos < 0 || nanos > 999_999_999 {
		return fmt.Errorf("%.20q is no time: %d s %d ns", key, seconds, nanos)
	}
	t := time.Unix(seconds, nanos).UTC()
	switch string(key) {
	case attrTime:
		ev.Received = t
	case attrEventTime:
		ev.Time = t
	}
	return nil
}
