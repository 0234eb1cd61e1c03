// Package frame packs events into one stream record and takes them out again.
//
// A frame is four magic bytes, "NGR1", and then a zstd-compressed CloudEvents
// 1.0 protobuf batch (message io.cloudevents.v1.CloudEventBatch). Any
// CloudEvents reader that can undo zstd can read it; it is never mistaken for
// a record of the Kinesis Producer Library, whose magic differs.
//
// The package knows no streams: which events belong into one frame, and how
// large it may get, is the writer's business.
package frame

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/klauspost/compress/zstd"

	"nagare"
)

// Magic opens every frame.
const Magic = "NGR1"

// Type is the CloudEvents type of the events in a frame.
const Type = "nagare.event"

// Limits of Decode. A writer stays far below them.
const (
	// MaxRaw is the most that a frame may decompress to.
	MaxRaw = 64 << 20
	// MaxEvents is the most events in a frame. It bounds the memory that a
	// hostile frame of empty events would ask for.
	MaxEvents = 65536
	// maxWindow bounds what the zstd decoder keeps for back references.
	maxWindow = 16 << 20
)

// ErrTooLarge is returned for more than MaxRaw bytes or MaxEvents events.
var ErrTooLarge = errors.New("frame: too large")

// Is says whether data claims to be a frame.
func Is(data []byte) bool {
	return len(data) >= len(Magic) && string(data[:len(Magic)]) == Magic
}

// HashKey places an event on the hash ring of a stream: the first 128 bits of
// SHA-256(source, 0x00, uid), to be read as an unsigned big-endian integer.
//
// Text that is not UTF-8 cannot travel in a frame and is replaced there; the
// hash is of what travels, so that writer and consumer agree.
func HashKey(source, uid string) (key [16]byte) {
	var scratch [256]byte
	b := append(scratch[:0], text(source)...)
	b = append(b, 0)
	b = append(b, text(uid)...)
	sum := sha256.Sum256(b)
	copy(key[:], sum[:])
	return key
}

// text makes s what protobuf calls a string. Valid text is returned as it is.
func text(s string) string {
	return strings.ToValidUTF8(s, "\uFFFD")
}

// Level "better" costs a fifth more time than "default" and is what reaches 8
// times on CloudTrail (TestRatio); "best" costs seven times more for 3 %.
//
// EncodeAll and DecodeAll may be called from many goroutines. Both are made
// when the program starts, and used once so that nothing in them is made later:
// a channel that is first used inside a synctest bubble would belong to it.
var (
	compressor   = newCompressor()
	decompressor = newDecompressor()
)

func newCompressor() *zstd.Encoder {
	z, err := zstd.NewWriter(nil,
		zstd.WithEncoderLevel(zstd.SpeedBetterCompression),
		zstd.WithWindowSize(4<<20),
		zstd.WithEncoderConcurrency(0))
	if err != nil {
		panic(err) // an option is out of range
	}
	z.EncodeAll([]byte{0}, nil)
	return z
}

func newDecompressor() *zstd.Decoder {
	z, err := zstd.NewReader(nil,
		zstd.WithDecoderMaxMemory(MaxRaw),
		zstd.WithDecoderMaxWindow(maxWindow),
		zstd.WithDecoderConcurrency(0),
		zstd.WithDecoderLowmem(true))
	if err != nil {
		panic(err)
	}
	return z
}

// Encode appends one frame with the events to dst. An event's Pos does not
// travel: it is where the frame will lie.
func Encode(dst []byte, events []nagare.Event) ([]byte, error) {
	var e Encoder
	for i := range events {
		e.Add(&events[i])
	}
	return e.Append(dst)
}

// An Encoder builds one frame and tells how large it has become. The zero
// value is an empty frame.
type Encoder struct {
	raw []byte
	n   int
}

// Add puts one more event into the frame.
func (e *Encoder) Add(ev *nagare.Event) {
	e.raw = appendEvent(e.raw, ev)
	e.n++
}

// Len is the number of events added.
func (e *Encoder) Len() int { return e.n }

// RawSize is the number of bytes before compression.
func (e *Encoder) RawSize() int { return len(e.raw) }

// AppendRaw appends the batch as it is before compression, without magic: for
// a store that has its own idea of where a batch begins and ends. DecodeRaw
// reads it.
func (e *Encoder) AppendRaw(dst []byte) []byte { return append(dst, e.raw...) }

// Reset empties the frame and keeps its memory.
func (e *Encoder) Reset() { e.raw, e.n = e.raw[:0], 0 }

// Append appends the finished frame to dst. What cannot be decoded again, for
// its size, is refused with ErrTooLarge.
func (e *Encoder) Append(dst []byte) ([]byte, error) {
	if len(e.raw) > MaxRaw || e.n > MaxEvents {
		return dst, fmt.Errorf("%w: %d events, %d bytes", ErrTooLarge, e.n, len(e.raw))
	}
	return compressor.EncodeAll(e.raw, append(dst, Magic...)), nil
}

// Decode returns the events of a frame, without positions. Their bodies share
// one buffer that belongs to the caller.
//
// The bytes may come from anybody who can write to the stream: Decode bounds
// memory and work before it reads, and returns an error for what is damaged.
// An event of a CloudEvents type that this version does not know is returned
// with Reason "unknown-type", so that it ends as a dead letter and the rest of
// its frame does not.
func Decode(data []byte) ([]nagare.Event, error) {
	if !Is(data) {
		return nil, errors.New("frame: no magic")
	}
	raw, err := Raw(data)
	if err != nil {
		return nil, err
	}
	return DecodeRaw(raw)
}

// DecodeRaw is Decode for what AppendRaw wrote. It bounds the number of events;
// the size of raw is the caller's to bound.
func DecodeRaw(raw []byte) ([]nagare.Event, error) {
	n, err := count(raw)
	if err != nil {
		return nil, err
	}
	events := make([]nagare.Event, 0, n)
	return decodeBatch(events, raw)
}

// Raw undoes the compression only: the result is a CloudEventBatch.
func Raw(data []byte) ([]byte, error) {
	if !Is(data) {
		return nil, errors.New("frame: no magic")
	}
	raw, err := decompressor.DecodeAll(data[len(Magic):], nil)
	switch {
	case errors.Is(err, zstd.ErrDecoderSizeExceeded), errors.Is(err, zstd.ErrWindowSizeExceeded):
		return nil, fmt.Errorf("%w: %w", ErrTooLarge, err)
	case errors.Is(err, io.ErrUnexpectedEOF):
		return nil, fmt.Errorf("frame: cut short: %w", err)
	case err != nil:
		return nil, fmt.Errorf("frame: %w", err)
	}
	return raw, nil
}
