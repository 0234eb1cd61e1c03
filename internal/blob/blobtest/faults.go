package blobtest

import (
	"context"
	"io"

	"nagare/internal/blob"
)

// Faults is a store that asks Before and After each call of the store inside.
// An error of Before is returned instead of making the call; an error of After
// is returned although the call was made, as when an answer is lost.
type Faults struct {
	blob.Store
	Before, After func(op, key string) error
}

func (f *Faults) around(op, key string, call func() error) error {
	if f.Before != nil {
		if err := f.Before(op, key); err != nil {
			return err
		}
	}
	err := call()
	if f.After != nil {
		if e := f.After(op, key); e != nil {
			return e
		}
	}
	return err
}

// Put implements blob.Store.
func (f *Faults) Put(ctx context.Context, key string, body blob.Body) error {
	return f.around("put", key, func() error { return f.Store.Put(ctx, key, body) })
}

// Get implements blob.Store.
func (f *Faults) Get(ctx context.Context, key string) (r io.ReadCloser, err error) {
	err = f.around("get", key, func() error { r, err = f.Store.Get(ctx, key); return err })
	if err != nil && r != nil {
		r.Close()
		r = nil
	}
	return r, err
}

// Head implements blob.Store.
func (f *Faults) Head(ctx context.Context, key string) (i blob.Info, err error) {
	err = f.around("head", key, func() error { i, err = f.Store.Head(ctx, key); return err })
	return i, err
}

// List implements blob.Store.
func (f *Faults) List(ctx context.Context, prefix, after string, limit int) (l []blob.Entry, err error) {
	err = f.around("list", prefix, func() error { l, err = f.Store.List(ctx, prefix, after, limit); return err })
	return l, err
}

// Delete implements blob.Store.
func (f *Faults) Delete(ctx context.Context, key string) error {
	return f.around("delete", key, func() error { return f.Store.Delete(ctx, key) })
}
