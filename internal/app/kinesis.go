package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"

	"nagare/internal/kinesisd"
)

// KinesisOptions say how the embedded server runs alone. They are those of
// kinesisd.Config.
type KinesisOptions struct {
	Listen, ListenTLS string
	Limits            bool
}

// Kinesis runs the embedded server alone until ctx is over.
func Kinesis(ctx context.Context, o Options, k KinesisOptions, out io.Writer) (err error) {
	lock, held, err := lockDir(o)
	if err != nil {
		return err
	}
	if !held {
		return usagef("another process works on %s; stop it, or name another folder with --data", o.Data)
	}
	defer func() { err = errors.Join(err, lock.Unlock()) }()
	dir := filepath.Join(o.Data, "kinesis")
	s, err := kinesisd.Open(kinesisd.Config{Dir: dir, Listen: k.Listen, ListenTLS: k.ListenTLS, Limits: k.Limits, Region: region, Log: o.Log})
	if err != nil {
		return &Usage{err}
	}
	fmt.Fprintf(out, "Kinesis API at %s, region %s, any credentials\nexport AWS_ENDPOINT_URL_KINESIS=%s AWS_REGION=%s AWS_ACCESS_KEY_ID=x AWS_SECRET_ACCESS_KEY=x\n", s.URL(), region, s.URL(), region)
	if url := s.TLSURL(); url != "" {
		fmt.Fprintf(out, "and at %s, whose certificate is %s\n", url, filepath.Join(dir, "certificate.pem"))
	}
	return s.Run(ctx)
}
