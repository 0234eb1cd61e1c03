//go:build !cgo || nosql

package query

import "context"

// A DB is the lake.
type DB struct{}

// Open says that there is no SQL.
func Open(context.Context, Config) (*DB, error) { return nil, ErrNoSQL }

// Query says that there is no SQL.
func (*DB) Query(context.Context, string, ...any) (Result, error) { return nil, ErrNoSQL }

// Close does nothing.
func (*DB) Close() error { return nil }
