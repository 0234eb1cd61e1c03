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
	// Version counts the writes of this row, from 1. A row deleted and put
	// again may start at 1 again.
	Version int64
	// Value is the user's own encoding, usually JSON, at most 350 KB.
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
