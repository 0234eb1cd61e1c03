package lake

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"hash"
	"io"
	"os"

	"nagare/internal/blob"
)

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
		f, err := os.CreateTemp(s.dir, "nagare-lake-*")
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
