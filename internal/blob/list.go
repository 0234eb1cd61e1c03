package blob

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
	"syscall"
)

// List implements Store. It reads only the folders that the answer may lie in.
func (d *dir) List(ctx context.Context, prefix, after string, limit int) ([]Entry, error) {
	if limit < 1 || limit > maxList {
		return nil, fmt.Errorf("blob: list %s: limit %d is not between 1 and %d", prefix, limit, maxList)
	}
	// A prefix may end inside a name: the folder above it is where to look.
	folder := prefix[:strings.LastIndexByte(prefix, '/')+1]
	if folder != "" && CheckKey(strings.TrimSuffix(folder, "/")) != nil {
		return nil, nil // no key begins so
	}
	l := lister{d: d, ctx: ctx, prefix: prefix, after: after, limit: limit}
	if err := l.walk(folder); err != nil {
		return nil, fmt.Errorf("blob: list %s: %w", prefix, err)
	}
	return l.found, nil
}

type lister struct {
	d             *dir
	ctx           context.Context
	prefix, after string
	limit         int
	found         []Entry
}

// walk adds what lies in folder, which is "" or ends with a slash.
func (l *lister) walk(folder string) error {
	if err := l.ctx.Err(); err != nil {
		return err
	}
	entries, err := os.ReadDir(l.d.file(strings.TrimSuffix(folder, "/")))
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) {
		return nil // removed, never made, or an object
	}
	if err != nil {
		return err
	}
	// Keys are ordered by their bytes, so a folder sorts as its name with the
	// slash: "a.b" is before "a/b".
	keys := make([]string, 0, len(entries))
	for _, e := range entries {
		key := folder + e.Name()
		switch {
		case strings.HasPrefix(e.Name(), "."):
			continue
		case e.IsDir():
			key += "/"
		case !e.Type().IsRegular():
			continue
		}
		keys = append(keys, key)
	}
	slices.Sort(keys)
	for _, key := range keys {
		if len(l.found) == l.limit {
			return nil
		}
		if sub := strings.HasSuffix(key, "/"); sub {
			if !strings.HasPrefix(key, l.prefix) && !strings.HasPrefix(l.prefix, key) {
				continue
			}
			if key <= l.after && !strings.HasPrefix(l.after, key) {
				continue // all that is in it lies before after
			}
			if err := l.walk(key); err != nil {
				return err
			}
			continue
		}
		if !strings.HasPrefix(key, l.prefix) || key <= l.after {
			continue
		}
		info, err := os.Stat(l.d.file(key))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		l.found = append(l.found, Entry{Key: key, Size: info.Size()})
	}
	return nil
}
