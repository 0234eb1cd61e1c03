package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"

	"nagare/internal/kinesisd"
)

// Kinesis runs the embedded server alone until ctx is over.
func Kinesis(ctx context.Context, o Options, listen string, out io.Writer) (err error) {
	// Processes of serve may have the folder too, for their rows and the lake;
	// the streams are one process's.
	lock, err := shareDir(o.Data)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, lock.Unlock()) }()
	dir := filepath.Join(o.Data, "kinesis")
	own, held, err := lockDir(dir)
	if err != nil {
		return err
	}
	if !held {
		return usagef("another process holds %s; name another folder with --data", dir)
	}
	defer func() { err = errors.Join(err, own.Unlock()) }()
	s, err := kinesisd.Open(kinesisd.Config{Dir: dir, Listen: listen, Region: region, Log: o.Log})
	if err != nil {
		return &Usage{err}
	}
	fmt.Fprintf(out, "Kinesis API at %s, region %s, any credentials\nexport AWS_ENDPOINT_URL_KINESIS=%s AWS_REGION=%s AWS_ACCESS_KEY_ID=x AWS_SECRET_ACCESS_KEY=x\n", s.URL(), region, s.URL(), region)
	return s.Run(ctx)
}
