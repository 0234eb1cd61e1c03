//go:build nosql

package query

import (
	"context"
	"errors"
)

var errNoSQL = errors.New("this binary was built without SQL (tag nosql): build it without the tag")

// A DB is the lake.
type DB struct{}

// Open says that there is no SQL.
func Open(context.Context, Config) (*DB, error) { return nil, errNoSQL }

// Query says that there is no SQL.
func (*DB) Query(context.Context, string, ...any) (Result, error) { return nil, errNoSQL }

// Close does nothing.
func (*DB) Close() error { return nil }
