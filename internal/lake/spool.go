package lake

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"nagare/internal/blob"
)

const spoolFiles = "nagare-lake-*"

// SweepTemp removes the files that killed processes left in a TempDir. Nothing
// that is younger than a day is touched: it may be another process's.
func SweepTemp(dir string) error {
	old, err := filepath.Glob(filepath.Join(dir, spoolFiles))
	for _, path := range old {
		info, e := os.Stat(path)
		if e == nil && time.Since(info.ModTime()) > 24*time.Hour {
			e = os.Remove(path)
		}
		if e != nil && !errors.Is(e, fs.ErrNotExist) {
			err = errors.Join(err, e)
		}
	}
	return err
}

// spoolMemory is how large an object may get before it goes to a file.
const spoolMemory = 4 << 20

// A spool takes the bytes of one object before it is put: in memory, or in a
// temporary file when it gets large.
type spool struct {
	dir  string
	buf  bytes.Buffer
	file *os.File
	hash hash.Hash
	n    int64
}

func newSpool(dir string) *spool { return &spool{dir: dir, hash: sha256.New()} }

func (s *spool) Write(p []byte) (int, error) {
	if s.file == nil && s.buf.Len()+len(p) > spoolMemory {
		f, err := s.create()
		if err != nil {
			return 0, fmt.Errorf("lake: spool: %w", err)
		}
		s.file = f
		if _, err := f.Write(s.buf.Bytes()); err != nil {
			return 0, fmt.Errorf("lake: spool: %w", err)
		}
		s.buf = bytes.Buffer{}
	}
	s.hash.Write(p)
	s.n += int64(len(p))
	if s.file == nil {
		return s.buf.Write(p)
	}
	n, err := s.file.Write(p)
	if err != nil {
		err = fmt.Errorf("lake: spool: %w", err)
	}
	return n, err
}

// create makes the file, and its folder if that is not there (any more).
func (s *spool) create() (*os.File, error) {
	f, err := os.CreateTemp(s.dir, spoolFiles)
	if errors.Is(err, fs.ErrNotExist) && s.dir != "" {
		if err := os.MkdirAll(s.dir, 0o700); err != nil {
			return nil, err
		}
		f, err = os.CreateTemp(s.dir, spoolFiles)
	}
	return f, err
}

// body is what was written. It is good until drop.
func (s *spool) body() blob.Body {
	info := blob.Info{Size: s.n, SHA256: blob.Sum(s.hash.Sum(nil))}
	if s.file != nil {
		return blob.File(s.file.Name(), info)
	}
	b := s.buf.Bytes()
	return blob.Body{Info: info, Open: func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(b)), nil }}
}

// drop frees what the spool holds.
func (s *spool) drop() {
	if s.file != nil {
		s.file.Close()
		os.Remove(s.file.Name())
		s.file = nil
	}
	s.buf = bytes.Buffer{}
}
