package app

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"

	"nagare/internal/coord"
)

// An overlay is a coord.Store that shows another one and keeps in memory what
// is written: for what must not leave a trace.
type overlay struct {
	below coord.Store

	mu   sync.Mutex
	rows map[[2]string]coord.Row // Version 0: deleted here
}

func newOverlay(below coord.Store) *overlay {
	return &overlay{below: below, rows: map[[2]string]coord.Row{}}
}

// Get implements coord.Store.
func (o *overlay) Get(ctx context.Context, part, sort string) (coord.Row, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.get(ctx, part, sort)
}

func (o *overlay) get(ctx context.Context, part, sort string) (coord.Row, error) {
	if r, ok := o.rows[[2]string{part, sort}]; ok {
		if r.Version == 0 {
			return coord.Row{}, coord.ErrNotFound
		}
		return r, nil
	}
	return o.below.Get(ctx, part, sort)
}

// Put implements coord.Store.
func (o *overlay) Put(ctx context.Context, part, sort string, value []byte, ifVersion int64) (int64, error) {
	version := ifVersion + 1
	if ifVersion == 0 {
		version = 1 + rand.Int64N(1<<52) // as in every store: no version comes back
	}
	return o.write(ctx, part, sort, ifVersion, coord.Row{Part: part, Sort: sort, Version: version, Value: slices.Clone(value)})
}

// Delete implements coord.Store.
func (o *overlay) Delete(ctx context.Context, part, sort string, ifVersion int64) error {
	if ifVersion == 0 {
		return coord.ErrConflict
	}
	_, err := o.write(ctx, part, sort, ifVersion, coord.Row{})
	return err
}

func (o *overlay) write(ctx context.Context, part, sort string, ifVersion int64, row coord.Row) (int64, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	now, err := o.get(ctx, part, sort)
	if err != nil && !errors.Is(err, coord.ErrNotFound) {
		return 0, err
	}
	if now.Version != ifVersion {
		return 0, coord.ErrConflict
	}
	o.rows[[2]string{part, sort}] = row
	return row.Version, nil
}

// List implements coord.Store. It lists all of the store below: an overlay is
// for the few rows of one command.
func (o *overlay) List(ctx context.Context, part, after string, limit int) ([]coord.Row, error) {
	below, err := coord.All(ctx, o.below, part)
	if err != nil {
		return nil, err
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	bySort := map[string]coord.Row{}
	for _, r := range below {
		bySort[r.Sort] = r
	}
	for k, r := range o.rows {
		if k[0] == part {
			bySort[k[1]] = r
		}
	}
	var out []coord.Row
	for sort, r := range bySort {
		if r.Version != 0 && sort > after {
			out = append(out, r)
		}
	}
	slices.SortFunc(out, func(a, b coord.Row) int { return strings.Compare(a.Sort, b.Sort) })
	return out[:min(len(out), limit)], nil
}

// Close implements coord.Store. The store below is its owner's.
func (o *overlay) Close() error { return nil }
