package blob_test

import (
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
