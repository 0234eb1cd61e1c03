package kinesisd_test

import (
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/kinesis"

	"nagare/internal/kinesisd"
	"nagare/internal/kinesisd/kinesistest"
)

func TestConformance(t *testing.T) {
	t.Parallel()
	s := kinesistest.Start(t, kinesisd.Config{Dir: t.TempDir()})
	kinesistest.Run(t, func(*testing.T) *kinesis.Client { return kinesistest.Client(s.URL()) })
}

// TestConformanceFromDisk keeps nothing in memory, so every read is from the
// files.
func TestConformanceFromDisk(t *testing.T) {
	t.Parallel()
	s := kinesistest.Start(t, kinesisd.Config{Dir: t.TempDir(), TailBytes: 1})
	kinesistest.Run(t, func(*testing.T) *kinesis.Client { return kinesistest.Client(s.URL()) })
}
