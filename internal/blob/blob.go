// Package blob keeps objects: whole byte strings under a key, created once and
// never changed. It offers what both a folder and S3 can promise: create if
// absent, read, look, list, delete.
//
// It does not know what an object means, and it has no way to overwrite one.
package blob

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
)

// ErrNotFound is returned for a key without an object.
var ErrNotFound = errors.New("blob: no such object")

// ErrExists is returned by Put when the key has an object already, durably.
// Head tells whether it is the same one.
var ErrExists = errors.New("blob: the object exists")

// ErrChecksum is returned by Put when the bytes are not the ones announced.
// Nothing was created.
var ErrChecksum = errors.New("blob: size or checksum differ")

// A Store keeps objects. All its methods may be called from many goroutines,
// and by many processes at once.
//
// An error of Put other than ErrExists and ErrChecksum leaves the outcome
// unknown: the object may be there, and may still appear. Put the same bytes
// again to learn which.
type Store interface {
	// Put creates an object. When it returns nil the object is durable and
	// whole; no reader ever sees a part of it.
	Put(ctx context.Context, key string, body Body) error
	// Get opens an object for reading. The caller closes it.
	Get(ctx context.Context, key string) (io.ReadCloser, error)
	// Head returns size and checksum of an object.
	Head(ctx context.Context, key string) (Info, error)
	// List returns up to limit objects whose key begins with prefix and lies
	// after after, ordered by the bytes of the key. Fewer than limit means the
	// end.
	List(ctx context.Context, prefix, after string, limit int) ([]Entry, error)
	// Delete removes an object. Removing what is not there is no error.
	Delete(ctx context.Context, key string) error
}

// Info says what an object holds.
type Info struct {
	Size   int64
	SHA256 Sum
}

// An Entry is an object in a list.
type Entry struct {
	Key  string
	Size int64
}

// A Sum is a SHA-256 checksum; as text it is lower-case hex.
type Sum [sha256.Size]byte

// String returns s in hex.
func (s Sum) String() string { return hex.EncodeToString(s[:]) }

// MarshalText implements encoding.TextMarshaler.
func (s Sum) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (s *Sum) UnmarshalText(b []byte) error {
	if hex.DecodedLen(len(b)) != len(s) {
		return fmt.Errorf("blob: checksum of %d characters", len(b))
	}
	_, err := hex.Decode(s[:], b)
	return err
}

// A Body is what is put: its size and checksum, known before, and a way to
// read it, each time from its beginning.
type Body struct {
	Info
	Open func() (io.ReadCloser, error)
}

// Bytes is the body of a byte slice, which must not change.
func Bytes(b []byte) Body {
	return Body{
		Info: Info{Size: int64(len(b)), SHA256: sha256.Sum256(b)},
		Open: func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(b)), nil },
	}
}

// File is the body of a file, which must not change. Info is taken as given,
// for who has written the file knows it; Put checks it.
func File(name string, info Info) Body {
	return Body{Info: info, Open: func() (io.ReadCloser, error) { return os.Open(name) }}
}

// Object is the body of an object of another store.
func Object(ctx context.Context, s Store, key string, info Info) Body {
	return Body{Info: info, Open: func() (io.ReadCloser, error) { return s.Get(ctx, key) }}
}

// ReadAll reads an object of at most maxBytes.
func ReadAll(ctx context.Context, s Store, key string, maxBytes int64) ([]byte, error) {
	r, err := s.Get(ctx, key)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	b, err := io.ReadAll(io.LimitReader(r, maxBytes+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("blob: read %s: %w", key, err)
	case int64(len(b)) > maxBytes:
		return nil, fmt.Errorf("blob: read %s: larger than %d bytes", key, maxBytes)
	}
	return b, nil
}

// What a key may be: the intersection of what S3 and file systems take.
const (
	maxKey     = 900
	maxSegment = 200
	maxList    = 10000
)

// CheckKey says what is wrong with a key. Segments between slashes may not be
// empty, begin with a dot, or hold control characters or a backslash.
func CheckKey(key string) error {
	if key == "" || len(key) > maxKey {
		return fmt.Errorf("blob: key of %d bytes", len(key))
	}
	for seg := range strings.SplitSeq(key, "/") {
		if seg == "" || seg[0] == '.' || len(seg) > maxSegment {
			return fmt.Errorf("blob: key %q: bad segment %.60q", key, seg)
		}
	}
	if strings.ContainsFunc(key, func(r rune) bool { return r < ' ' || r == 0x7f || r == '\\' || r == '�' }) {
		return fmt.Errorf("blob: key %q has a character that is not allowed", key)
	}
	return nil
}
