package alert

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"

	"nagare/internal/coord"
)

// memory is a coord.Store in a map, whose operations can be made to fail.
type memory struct {
	mu   sync.Mutex
	rows map[[2]string]coord.Row
	// before is asked before each write; its error is the answer. With applied
	// the write happens nevertheless, as when the answer is lost.
	before func(op, part, sort string) (err error, applied bool)
	puts   int
}

func newMemory() *memory { return &memory{rows: map[[2]string]coord.Row{}} }

var errFault = errors.New("fault")

func (m *memory) Get(ctx context.Context, part, sort string) (coord.Row, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	r, ok := m.rows[[2]string{part, sort}]
	if !ok {
		return coord.Row{}, coord.ErrNotFound
	}
	return r, ctx.Err()
}

func (m *memory) Put(ctx context.Context, part, sort string, value []byte, ifVersion int64) (int64, error) {
	return ifVersion + 1, m.write(ctx, "put", part, sort, ifVersion, func(k [2]string) {
		m.puts++
		m.rows[k] = coord.Row{Part: part, Sort: sort, Version: ifVersion + 1, Value: slices.Clone(value)}
	})
}

func (m *memory) Delete(ctx context.Context, part, sort string, ifVersion int64) error {
	return m.write(ctx, "delete", part, sort, ifVersion, func(k [2]string) { delete(m.rows, k) })
}

func (m *memory) write(ctx context.Context, op, part, sort string, ifVersion int64, do func([2]string)) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	var err error
	applied := true
	if m.before != nil {
		err, applied = m.before(op, part, sort)
		applied = applied || err == nil
	}
	if err == nil {
		err = ctx.Err()
	}
	k := [2]string{part, sort}
	if applied && m.rows[k].Version == ifVersion {
		do(k)
	} else if err == nil {
		err = coord.ErrConflict
	}
	return err
}

func (m *memory) List(ctx context.Context, part, after string, limit int) ([]coord.Row, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var out []coord.Row
	for k, r := range m.rows {
		if k[0] == part && k[1] > after {
			out = append(out, r)
		}
	}
	slices.SortFunc(out, func(a, b coord.Row) int { return strings.Compare(a.Sort, b.Sort) })
	return out[:min(len(out), limit)], ctx.Err()
}

func (m *memory) Close() error { return nil }

// part returns the sorts of a part.
func (m *memory) part(t *testing.T, part string) []string {
	t.Helper()
	rows, err := m.List(context.Background(), part, "", 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, r := range rows {
		out = append(out, r.Sort)
	}
	return out
}
