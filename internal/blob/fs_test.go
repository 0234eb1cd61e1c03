package blob

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
)

var errFault = errors.New("the disk said no")

// failAt fails the n-th operation: before it is done, or after.
type failAt struct {
	osFS
	n     int
	after bool
	log   []string
}

func (f *failAt) op(name string, do func() error) error {
	f.log = append(f.log, name)
	f.n--
	if f.n == 0 && !f.after {
		return errFault
	}
	err := do()
	if f.n == 0 {
		return errFault
	}
	return err
}

func (f *failAt) mkdir(n string) error { return f.op("mkdir", func() error { return f.osFS.mkdir(n) }) }
func (f *failAt) link(a, b string) error {
	return f.op("link", func() error { return f.osFS.link(a, b) })
}
func (f *failAt) remove(n string) error {
	return f.op("remove", func() error { return f.osFS.remove(n) })
}
func (f *failAt) syncDir(n string) error {
	return f.op("syncDir", func() error { return f.osFS.syncDir(n) })
}

func (f *failAt) create(n string) (w file, err error) {
	err = f.op("create", func() error { w, err = f.osFS.create(n); return err })
	if err != nil && w != nil {
		w.Close()
	}
	return &failFile{w, f}, err
}

type failFile struct {
	file
	f *failAt
}

func (w *failFile) Write(p []byte) (n int, err error) {
	err = w.f.op("write", func() error { n, err = w.file.Write(p); return err })
	return n, err
}
func (w *failFile) Sync() error  { return w.f.op("sync", w.file.Sync) }
func (w *failFile) Close() error { return w.f.op("close", w.file.Close) }

// Each operation of Put fails once, before and after it was done. A reader
// must never see anything but nothing or the whole, and the same Put made
// again must bring it about.
func TestPutFailsEverywhere(t *testing.T) {
	body := Bytes(bytes.Repeat([]byte("whole "), 20_000))
	for _, after := range []bool{false, true} {
		for n := 1; ; n++ {
			root := t.TempDir()
			if err := os.Mkdir(filepath.Join(root, tmpDir), 0o700); err != nil {
				t.Fatal(err)
			}
			f := &failAt{n: n, after: after}
			s := newDir(root, f)
			err := s.Put(t.Context(), "a/b/c", body)
			info, herr := s.Head(t.Context(), "a/b/c")
			switch {
			case herr == nil && info != body.Info:
				t.Fatalf("operation %d (%v) failed: a reader sees %d bytes", n, f.log, info.Size)
			case herr != nil && !errors.Is(herr, ErrNotFound):
				t.Fatal(herr)
			case err == nil && herr != nil:
				t.Fatalf("operation %d (%v) failed: Put succeeded and there is nothing", n, f.log)
			}
			if f.n > 0 {
				if n < 10 {
					t.Fatalf("only %d operations were tried", n)
				}
				break // nothing left to fail
			}
			f.log = nil
			if again := s.Put(t.Context(), "a/b/c", body); again != nil && !errors.Is(again, ErrExists) {
				t.Fatalf("operation %d failed; made again: %v", n, again)
			} else if errors.Is(again, ErrExists) && f.log[len(f.log)-1] != "syncDir" {
				t.Errorf("ErrExists after %v: the object may not be durable", f.log)
			}
			if info, err := s.Head(t.Context(), "a/b/c"); err != nil || info != body.Info {
				t.Fatalf("operation %d failed; made again: %+v, %v", n, info, err)
			}
		}
	}
}

// What a killed process left in the temporary folder goes at the next start;
// what a living one writes stays.
func TestSweep(t *testing.T) {
	root := t.TempDir()
	tmp := filepath.Join(root, tmpDir)
	if _, err := Dir(root); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(tmp, "dead"), []byte("half"), 0o600); err != nil {
		t.Fatal(err)
	}
	alive, err := osFS{}.create(filepath.Join(tmp, "alive"))
	if err != nil {
		t.Fatal(err)
	}
	defer alive.Close()
	s, err := Dir(root)
	if err != nil {
		t.Fatal(err)
	}
	entries, err := os.ReadDir(tmp)
	if err != nil || len(entries) != 1 || entries[0].Name() != "alive" {
		t.Errorf("temporary files after a start: %v, %v; want alive only", entries, err)
	}
	if list, err := s.List(context.Background(), "", "", 10); err != nil || len(list) != 0 {
		t.Errorf("temporary files are listed: %v, %v", list, err)
	}
}
