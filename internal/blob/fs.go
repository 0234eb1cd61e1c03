package blob

import (
	"io"
	"os"
	"syscall"
)

// fsys is what Put and Delete ask of the file system: the seam at which tests
// fail each operation once.
type fsys interface {
	mkdir(name string) error
	create(name string) (file, error)
	link(from, to string) error
	remove(name string) error
	syncDir(name string) error
}

type file interface {
	io.Writer
	Sync() error
	Close() error
}

type osFS struct{}

func (osFS) mkdir(name string) error    { return os.Mkdir(name, 0o700) }
func (osFS) link(from, to string) error { return os.Link(from, to) }
func (osFS) remove(name string) error   { return os.Remove(name) }

func (osFS) create(name string) (file, error) {
	f, err := os.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	// See sweep.
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

func (osFS) syncDir(name string) error {
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	return f.Sync()
}
