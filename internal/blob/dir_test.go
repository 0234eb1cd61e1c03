package blob_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"nagare/internal/blob"
	"nagare/internal/blob/blobtest"
)

func TestDir(t *testing.T) {
	root := t.TempDir()
	blobtest.Run(t, func(t *testing.T) blob.Store {
		s, err := blob.Dir(root)
		if err != nil {
			t.Fatal(err)
		}
		return s
	})
}

// A folder that somebody removed, or that a file stood in the place of, is made
// again by the next Put or the one after.
func TestDirFolderRemoved(t *testing.T) {
	root := t.TempDir()
	s, err := blob.Dir(root)
	if err != nil {
		t.Fatal(err)
	}
	put := func(key string) error { return s.Put(t.Context(), key, blob.Bytes([]byte("x"))) }
	again := func(what, key string) {
		t.Helper()
		if put(key) != nil {
			if err := put(key); err != nil {
				t.Errorf("%s: %v", what, err)
			}
		}
	}
	if err := put("a/b/1"); err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(filepath.Join(root, "a")); err != nil {
		t.Fatal(err)
	}
	again("after a folder was removed", "a/b/2")
	again("beside it", "a/c/3")
	if err := os.WriteFile(filepath.Join(root, "file"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := put("file/day/4"); err == nil {
			t.Error("under a file: no error")
		}
	}
	if err := os.Remove(filepath.Join(root, "file")); err != nil {
		t.Fatal(err)
	}
	again("where a file was", "file/day/4")
}

// What is removed while the store is open is made again at once: the folder of
// a key, that of what is being written, or the whole store.
func TestDirRemoved(t *testing.T) {
	root := filepath.Join(t.TempDir(), "stage")
	s, err := blob.Dir(root)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Put(t.Context(), "a/b/before", blob.Bytes([]byte("x"))); err != nil {
		t.Fatal(err)
	}
	for _, gone := range []string{"a/b", "a", ".tmp", ""} {
		if err := os.RemoveAll(filepath.Join(root, gone)); err != nil {
			t.Fatal(err)
		}
		key := "a/b/after-" + strings.ReplaceAll(strings.TrimPrefix(gone, "."), "/", "-") + "x"
		if err := s.Put(t.Context(), key, blob.Bytes([]byte("x"))); err != nil {
			t.Errorf("%q is gone: %v", gone, err)
		}
		if _, err := s.Head(t.Context(), key); err != nil {
			t.Errorf("%q was gone: %v", gone, err)
		}
	}
}
