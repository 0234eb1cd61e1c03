// Package coord keeps the small rows that decide things: leases, checkpoints,
// the lake's ledger, alert rows, cursors. It offers conditional writes of a
// single row and nothing more, because that is what DynamoDB and SQLite can
// both promise.
//
// It does not know what a row means; its users do.
package coord

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"unicode/utf8"
)

// What a store takes. Parts and sorts have the limits of DynamoDB's keys and a
// value fits one of its items (400 KB with names and keys), so that what is
// written on a laptop can be written there.
const (
	MaxValue = 350 << 10
	maxPart  = 2048
	maxSort  = 1024
	maxList  = 10000
)

// ErrNotFound is returned by Get when there is no such row.
var ErrNotFound = errors.New("coord: no such row")

// ErrConflict is returned by Put and Delete when the row's version is not the
// one the caller named: somebody else changed it. The caller reads it again
// and decides.
var ErrConflict = errors.New("coord: the row has changed")

// A Row is one value under a two-part key.
type Row struct {
	// Part groups rows that are listed together, as "lease/live/nagare@1".
	Part string
	// Sort orders the rows of a part.
	Sort string
	// Version is positive and one more after each write. It begins at a random
	// number, so a row deleted and put again has none that it had before: who
	// read the old row cannot change the new one.
	Version int64
	// Value is the user's own encoding, usually JSON, at most MaxValue bytes.
	Value []byte
}

// A Store keeps rows. All its methods may be called from many goroutines, and
// by many processes where the implementation says so.
//
// An error other than ErrNotFound and ErrConflict leaves the outcome unknown:
// the write may have been applied, or may still be. Callers read the row and
// look for a mark of their own (an attempt id, an owner) to learn which.
type Store interface {
	// Get returns the row as of the last finished write.
	Get(ctx context.Context, part, sort string) (Row, error)
	// Put writes value if the row's version is still ifVersion, where 0 means
	// that there must be no row yet. It returns the new version.
	Put(ctx context.Context, part, sort string, value []byte, ifVersion int64) (int64, error)
	// Delete removes the row if its version is still ifVersion. Removing what
	// is not there is ErrConflict.
	Delete(ctx context.Context, part, sort string, ifVersion int64) error
	// List returns up to limit rows of a part with Sort > after, in order.
	// Fewer than limit rows means the end.
	List(ctx context.Context, part, after string, limit int) ([]Row, error)
	// Close releases the store.
	Close() error
}

// firstVersion is the version of a row that is made. It stays under 2^53, so
// that any JSON reader shows it as it is.
func firstVersion() int64 { return 1 + rand.Int64N(1<<52) }

func checkKey(part, sort string) error {
	if part == "" || len(part) > maxPart || sort == "" || len(sort) > maxSort || !utf8.ValidString(part) || !utf8.ValidString(sort) {
		return fmt.Errorf("coord: key %.80q %.80q: a part has 1 to %d bytes and a sort 1 to %d, both UTF-8", part, sort, maxPart, maxSort)
	}
	return nil
}

func checkPut(part, sort string, value []byte) error {
	if err := checkKey(part, sort); err != nil {
		return err
	}
	if len(value) > MaxValue {
		return fmt.Errorf("coord: put %s %s: value of %d bytes is over the limit of %d", part, sort, len(value), MaxValue)
	}
	return nil
}

func checkList(part string, limit int) error {
	if limit < 1 || limit > maxList {
		return fmt.Errorf("coord: list %s: limit %d is not between 1 and %d", part, limit, maxList)
	}
	return checkKey(part, "any")
}
