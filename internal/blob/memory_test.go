package blob_test

import (
	"testing"

	"nagare/internal/blob"
	"nagare/internal/blob/blobtest"
)

func TestMemory(t *testing.T) {
	s := blobtest.Memory()
	blobtest.Run(t, func(*testing.T) blob.Store { return s })
}
