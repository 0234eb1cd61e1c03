package blobtest

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"sync"

	"nagare/internal/blob"
)

// Memory returns an empty store that forgets everything with the process.
func Memory() blob.Store { return &memory{objects: map[string][]byte{}} }

type memory struct {
	mu      sync.Mutex
	objects map[string][]byte
}

// Put implements blob.Store.
func (m *memory) Put(ctx context.Context, key string, body blob.Body) error {
	if err := blob.CheckKey(key); err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	r, err := body.Open()
	if err != nil {
		return err
	}
	defer r.Close()
	b, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	if int64(len(b)) != body.Size || sha256.Sum256(b) != body.SHA256 {
		return fmt.Errorf("%w: %s", blob.ErrChecksum, key)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, ok := m.objects[key]; ok {
		return blob.ErrExists
	}
	m.objects[key] = b
	return nil
}

func (m *memory) get(ctx context.Context, key string) ([]byte, error) {
	if err := blob.CheckKey(key); err != nil {
		return nil, err
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	b, ok := m.objects[key]
	if !ok {
		return nil, fmt.Errorf("%w: %s", blob.ErrNotFound, key)
	}
	return b, nil
}

// Get implements blob.Store.
func (m *memory) Get(ctx context.Context, key string) (io.ReadCloser, error) {
	b, err := m.get(ctx, key)
	if err != nil {
		return nil, err
	}
	return io.NopCloser(bytes.NewReader(b)), nil
}

// Head implements blob.Store.
func (m *memory) Head(ctx context.Context, key string) (blob.Info, error) {
	b, err := m.get(ctx, key)
	if err != nil {
		return blob.Info{}, err
	}
	return blob.Info{Size: int64(len(b)), SHA256: sha256.Sum256(b)}, nil
}

// List implements blob.Store.
func (m *memory) List(ctx context.Context, prefix, after string, limit int) ([]blob.Entry, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	var out []blob.Entry
	for _, key := range slices.Sorted(maps.Keys(m.objects)) {
		if strings.HasPrefix(key, prefix) && key > after && len(out) < limit {
			out = append(out, blob.Entry{Key: key, Size: int64(len(m.objects[key]))})
		}
	}
	return out, nil
}

// Delete implements blob.Store.
func (m *memory) Delete(ctx context.Context, key string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.objects, key)
	return nil
}
