package lake

import (
	"bytes"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// TestSpool: an object that outgrows memory goes to a file, also when its
// folder was never made or has been removed, and the file goes with the object.
func TestSpool(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "tmp")
	for _, size := range []int{0, 1, spoolMemory, spoolMemory + 1, 3*spoolMemory + 7} {
		want := make([]byte, size)
		src := rand.NewChaCha8([32]byte{})
		src.Read(want)
		sp := newSpool(dir)
		for rest := want; len(rest) > 0; {
			n := min(len(rest), 300_000)
			if _, err := sp.Write(rest[:n]); err != nil {
				t.Fatalf("%d bytes: %v", size, err)
			}
			rest = rest[n:]
		}
		if (sp.file != nil) != (size > spoolMemory) {
			t.Errorf("%d bytes: in a file: %v", size, sp.file != nil)
		}
		body := sp.body()
		r, err := body.Open()
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(r)
		r.Close()
		if err != nil || !bytes.Equal(got, want) || body.Size != int64(size) {
			t.Errorf("%d bytes: read %d, said %d, %v", size, len(got), body.Size, err)
		}
		sp.drop()
		if left, _ := os.ReadDir(dir); len(left) != 0 {
			t.Errorf("%d bytes: %v left", size, left)
		}
		if err := os.RemoveAll(dir); err != nil {
			t.Fatal(err)
		}
	}
}

// TestSweepTemp: what a killed process left is removed, what another may be
// writing is not.
func TestSweepTemp(t *testing.T) {
	dir := t.TempDir()
	old := time.Now().Add(-48 * time.Hour)
	for name, at := range map[string]time.Time{"nagare-lake-1": old, "nagare-lake-2": time.Now(), "other": old} {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(path, at, at); err != nil {
			t.Fatal(err)
		}
	}
	if err := SweepTemp(dir); err != nil {
		t.Fatal(err)
	}
	left, err := os.ReadDir(dir)
	if err != nil || len(left) != 2 || left[0].Name() != "nagare-lake-2" {
		t.Errorf("left %v, %v", left, err)
	}
	if err := SweepTemp(filepath.Join(dir, "missing")); err != nil {
		t.Errorf("without a folder: %v", err)
	}
}
