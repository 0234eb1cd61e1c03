package kinesistest_test

import (
	"os"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/kinesis"

	"nagare/internal/kinesisd/kinesistest"
)

// TestEndpoint puts the Kinesis at the address in NAGARE_TEST_KINESIS through
// the suite. integration/emulators does so with servers that are not ours.
func TestEndpoint(t *testing.T) {
	url := os.Getenv("NAGARE_TEST_KINESIS")
	if url == "" {
		t.Skip("NAGARE_TEST_KINESIS is not set")
	}
	kinesistest.Run(t, func(*testing.T) *kinesis.Client { return kinesistest.Client(url) })
}
