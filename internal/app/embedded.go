package app

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"
	"github.com/gofrs/flock"

	"nagare/internal/config"
	"nagare/internal/kinesisd"
)

// region is what the embedded server calls its place.
const region = "us-east-1"

// embeddedAWS is how the SDK reaches an embedded server. Its credentials are
// for show: the server is on loopback and checks none.
func embeddedAWS(endpoint string) aws.Config {
	return aws.Config{
		Region:       region,
		BaseEndpoint: aws.String(endpoint),
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: "nagare", SecretAccessKey: "nagare"}, nil
		}),
	}
}

// A dataDir is the data folder in use. It is ours, with its lock and a server
// of its own; or another process's, reached by what its run.json says; or
// shared by processes that use a stream elsewhere.
type dataDir struct {
	dir    string
	lock   *flock.Flock     // nil when another process holds the folder
	server *kinesisd.Server // nil when the stream is not in the folder, or not ours
	run    RunInfo          // of the other process
	aws    aws.Config

	stopServer context.CancelFunc
	served     chan error
}

// openData takes the data folder, or connects to the process that has it, or
// to the stream elsewhere that the configuration or the environment names.
// listen is the address of the embedded server, if it is started here.
func openData(ctx context.Context, o Options, c config.Config, listen string) (*dataDir, error) {
	if c.Stream.Endpoint != "" {
		return openShared(ctx, o, c)
	}
	lock, held, err := lockDir(o)
	if err != nil {
		return nil, err
	}
	if !held {
		if shared, err := lock.TryRLock(); err == nil && shared { // who has it shares it: serve
			return connect(ctx, o, c, lock)
		}
		run, err := readRunInfo(ctx, o.Data)
		if err != nil {
			return nil, err
		}
		return &dataDir{dir: o.Data, run: run, aws: embeddedAWS(run.Kinesis)}, nil
	}
	server, err := kinesisd.Open(kinesisd.Config{Dir: filepath.Join(o.Data, "kinesis"), Listen: listen, Region: region, Log: o.Log})
	if err != nil {
		return nil, errors.Join(usagef("embedded stream: %w", err), lock.Unlock())
	}
	d := &dataDir{dir: o.Data, lock: lock, server: server, aws: embeddedAWS(server.URL()), served: make(chan error, 1)}
	serve, cancel := context.WithCancel(context.WithoutCancel(ctx))
	d.stopServer = cancel
	go func() { d.served <- server.Run(serve) }()
	return d, nil
}

// openShared takes the data folder together with other processes, and connects
// to the stream that the configuration or the environment names.
func openShared(ctx context.Context, o Options, c config.Config) (*dataDir, error) {
	lock, err := shareDir(o.Data)
	if err != nil {
		return nil, err
	}
	return connect(ctx, o, c, lock)
}

func connect(ctx context.Context, o Options, c config.Config, lock *flock.Flock) (*dataDir, error) {
	cfg, err := streamAWS(ctx, c.Stream)
	if err != nil {
		return nil, errors.Join(err, lock.Unlock())
	}
	return &dataDir{dir: o.Data, lock: lock, aws: cfg}, nil
}

// ours says whether this process holds the folder with a stream of its own.
func (d *dataDir) ours() bool { return d.server != nil }

// close stops the server, if it is ours, and gives the folder back.
func (d *dataDir) close() (err error) {
	if d.server != nil {
		d.stopServer()
		err = <-d.served
	}
	if d.lock != nil {
		err = errors.Join(err, d.lock.Unlock())
	}
	return err
}

// watch returns an error when the embedded server ends before ctx does: nothing
// that is left of the process could go on without it.
func (d *dataDir) watch(ctx context.Context) error {
	if d.server == nil {
		return nil
	}
	select {
	case <-ctx.Done():
		return nil
	case err := <-d.served:
		d.served <- err // close waits for it too
		if err == nil {
			err = errors.New("its server has ended")
		}
		return err
	}
}

// client is a Kinesis client for the folder's streams.
func (d *dataDir) client() *kinesis.Client { return kinesis.NewFromConfig(d.aws) }

// makeStreams makes the streams that are not there yet, and waits until they
// can be used.
func makeStreams(ctx context.Context, client *kinesis.Client, names []string, shards int, retention time.Duration) error {
	for _, name := range names {
		made, err := makeStream(ctx, client, name, shards)
		if err != nil {
			return err
		}
		if hours := int32(retention / time.Hour); made && hours > 24 {
			_, err := client.IncreaseStreamRetentionPeriod(ctx, &kinesis.IncreaseStreamRetentionPeriodInput{StreamName: &name, RetentionPeriodHours: &hours})
			if err != nil {
				return fmt.Errorf("retention of stream %s: %w", name, err)
			}
		}
	}
	return nil
}

// makeStream makes one stream. It looks before it does: on AWS most processes
// may use a stream and not make one.
func makeStream(ctx context.Context, client *kinesis.Client, name string, shards int) (made bool, err error) {
	out, err := client.DescribeStreamSummary(ctx, &kinesis.DescribeStreamSummaryInput{StreamName: &name})
	var notFound *types.ResourceNotFoundException
	var inUse *types.ResourceInUseException
	switch {
	case err == nil && out.StreamDescriptionSummary != nil && out.StreamDescriptionSummary.StreamStatus != types.StreamStatusCreating:
		return false, nil
	case err != nil && !errors.As(err, &notFound):
		return false, fmt.Errorf("look for stream %s: %w", name, err)
	case err != nil:
		_, err := client.CreateStream(ctx, &kinesis.CreateStreamInput{StreamName: &name, ShardCount: aws.Int32(int32(shards))})
		if err != nil && !errors.As(err, &inUse) { // another process may be quicker
			return false, fmt.Errorf("create stream %s: %w", name, err)
		}
		made = err == nil
	}
	wait := kinesis.NewStreamExistsWaiter(client, func(o *kinesis.StreamExistsWaiterOptions) {
		o.MinDelay, o.MaxDelay = 100*time.Millisecond, time.Second
	})
	if err := wait.Wait(ctx, &kinesis.DescribeStreamInput{StreamName: &name}, 30*time.Second); err != nil {
		return made, fmt.Errorf("wait for stream %s: %w", name, err)
	}
	return made, nil
}

// hashKey is the key of the hashes that mappings ask for. It is made once per
// data folder and kept beside the data, readable by its owner only.
func (d *dataDir) hashKey() ([]byte, error) {
	name := filepath.Join(d.dir, "hash.key")
	text, err := os.ReadFile(name)
	if err == nil {
		return hex.DecodeString(string(text))
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	key := make([]byte, 32)
	rand.Read(key)
	f, err := os.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if errors.Is(err, fs.ErrExist) { // another process was quicker
		text, err := os.ReadFile(name)
		if err != nil {
			return nil, err
		}
		return hex.DecodeString(string(text))
	}
	if err != nil {
		return nil, err
	}
	_, err = f.WriteString(hex.EncodeToString(key))
	return key, errors.Join(err, f.Sync(), f.Close())
}
