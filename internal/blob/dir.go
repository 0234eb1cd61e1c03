package blob

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"sync"
	"syscall"
)

// tmpDir holds what is being written, in the root of the store. The dot keeps
// it out of every key.
const tmpDir = ".tmp"

// maxSynced bounds the folders that a store remembers as durable.
const maxSynced = 10000

// dir keeps objects as files. An object is written under a temporary name,
// synced, linked to its own name (which fails if there is one), and the folder
// is synced: so a reader sees all of it or none, and two writers cannot both
// win.
type dir struct {
	root string
	fs   fsys

	mu     sync.Mutex
	synced map[string]bool // folders known to be durable, with all above them
}

// Dir opens the folder at root as a store, or makes it. Several processes may
// have it open. It must be on a file system with hard links.
func Dir(root string) (Store, error) {
	root, err := filepath.Abs(root)
	if err != nil {
		return nil, fmt.Errorf("blob: %w", err)
	}
	if err := os.MkdirAll(filepath.Join(root, tmpDir), 0o700); err != nil {
		return nil, fmt.Errorf("blob: %w", err)
	}
	sweep(filepath.Join(root, tmpDir))
	return newDir(root, osFS{}), nil
}

func newDir(root string, f fsys) *dir {
	return &dir{root: root, fs: f, synced: map[string]bool{}}
}

// sweep removes what killed processes left behind. A file that is being
// written is locked, and the lock dies with its process; if a file is caught
// between its creation and its lock, its Put fails and is made again.
func sweep(tmp string) {
	entries, _ := os.ReadDir(tmp)
	for _, e := range entries {
		f, err := os.Open(filepath.Join(tmp, e.Name()))
		if err != nil {
			continue
		}
		if syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) == nil {
			os.Remove(f.Name())
		}
		f.Close()
	}
}

// file is the path of a key.
func (d *dir) file(key string) string { return filepath.Join(d.root, filepath.FromSlash(key)) }

// Put implements Store.
func (d *dir) Put(ctx context.Context, key string, body Body) error {
	if err := CheckKey(key); err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	err := d.put(ctx, key, body)
	if errors.Is(err, fs.ErrNotExist) {
		d.missed(err)
		if e := os.MkdirAll(filepath.Join(d.root, tmpDir), 0o700); e == nil {
			err = d.put(ctx, key, body)
		}
	}
	if err != nil && !errors.Is(err, ErrExists) {
		return fmt.Errorf("blob: put %s: %w", key, err)
	}
	return err
}

func (d *dir) put(ctx context.Context, key string, body Body) error {
	name := d.file(key)
	if err := d.makeDir(path.Dir(key)); err != nil {
		d.missed(err)
		return err
	}
	tmp := filepath.Join(d.root, tmpDir, rand.Text())
	if err := d.write(ctx, tmp, body); err != nil {
		d.fs.remove(tmp)
		return err
	}
	err := d.fs.link(tmp, name)
	if e := d.fs.remove(tmp); e != nil && err == nil {
		err = e
	}
	if err != nil && !errors.Is(err, fs.ErrExist) {
		d.missed(err)
		return err
	}
	// Also when it was there before: perhaps its writer died before this line,
	// and ErrExists promises that it is durable.
	if e := d.fs.syncDir(filepath.Dir(name)); e != nil {
		return e
	}
	if err != nil {
		return ErrExists
	}
	return nil
}

// missed forgets what is known of folders when one of them is not there:
// somebody removed it, and the next try makes it again.
func (d *dir) missed(err error) {
	if !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, syscall.ENOTDIR) {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	clear(d.synced)
}

// write makes a whole, synced file.
func (d *dir) write(ctx context.Context, name string, body Body) error {
	r, err := body.Open()
	if err != nil {
		return err
	}
	defer r.Close()
	f, err := d.fs.create(name)
	if err != nil {
		return err
	}
	h := sha256.New()
	// One byte more than announced tells that the body is longer.
	n, err := io.Copy(io.MultiWriter(f, h), io.LimitReader(withContext{ctx, r}, body.Size+1))
	if err == nil && (n != body.Size || Sum(h.Sum(nil)) != body.SHA256) {
		err = fmt.Errorf("%w: %d bytes, want %d", ErrChecksum, n, body.Size)
	}
	if err == nil {
		err = f.Sync()
	}
	if e := f.Close(); err == nil {
		err = e
	}
	return err
}

// makeDir makes the folder of a key durable, with all folders above it. A
// folder made by a process that then died may not be: so each is synced once.
func (d *dir) makeDir(folder string) error {
	if folder == "." {
		return nil
	}
	d.mu.Lock()
	done := d.synced[folder]
	d.mu.Unlock()
	if done {
		return nil
	}
	if err := d.makeDir(path.Dir(folder)); err != nil {
		return err
	}
	name := d.file(folder)
	if err := d.fs.mkdir(name); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	if err := d.fs.syncDir(filepath.Dir(name)); err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.synced) >= maxSynced {
		clear(d.synced)
	}
	d.synced[folder] = true
	return nil
}

// Get implements Store.
func (d *dir) Get(ctx context.Context, key string) (io.ReadCloser, error) {
	if err := CheckKey(key); err != nil {
		return nil, err
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	f, err := os.Open(d.file(key))
	if err != nil {
		return nil, named("get", key, err)
	}
	return f, nil
}

// Head implements Store. It reads the whole file: a folder keeps no checksums.
func (d *dir) Head(ctx context.Context, key string) (Info, error) {
	r, err := d.Get(ctx, key)
	if err != nil {
		return Info{}, err
	}
	defer r.Close()
	h := sha256.New()
	n, err := io.Copy(h, withContext{ctx, r})
	if err != nil {
		return Info{}, named("head", key, err)
	}
	return Info{Size: n, SHA256: Sum(h.Sum(nil))}, nil
}

// Delete implements Store.
func (d *dir) Delete(ctx context.Context, key string) error {
	if err := CheckKey(key); err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	name := d.file(key)
	if err := d.fs.remove(name); err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return named("delete", key, err)
	}
	return d.fs.syncDir(filepath.Dir(name))
}

// named adds what was done to an error, and makes it ours.
func named(op, key string, err error) error {
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) {
		return fmt.Errorf("%w: %s", ErrNotFound, key)
	}
	return fmt.Errorf("blob: %s %s: %w", op, key, err)
}

// withContext stops reading when the context is over.
type withContext struct {
	ctx context.Context
	r   io.Reader
}

func (r withContext) Read(p []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	return r.r.Read(p)
}
