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

	"nagare/internal/coord"
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

// A dataDir is the data folder in use: ours, with its lock and a server of its
// own, or another process's, reached by what its run.json says.
type dataDir struct {
	dir    string
	lock   *flock.Flock     // nil when another process holds the folder
	server *kinesisd.Server // nil likewise
	run    RunInfo          // of the other process
	aws    aws.Config

	stopServer context.CancelFunc
	served     chan error
}

// openData takes the data folder, or connects to the process that has it.
// listen is the address of the embedded server, if it is started here.
func openData(ctx context.Context, o Options, listen string) (*dataDir, error) {
	lock, held, err := lockDir(o.Data)
	if err != nil {
		return nil, err
	}
	if !held {
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

// ours says whether this process holds the folder.
func (d *dataDir) ours() bool { return d.lock != nil }

// close stops the server, if it is ours, and gives the folder back.
func (d *dataDir) close() error {
	if !d.ours() {
		return nil
	}
	d.stopServer()
	err := <-d.served
	return errors.Join(err, d.lock.Unlock())
}

// coord opens the rows of the folder. They may be open in several processes.
func (d *dataDir) coord() (coord.Store, error) {
	s, err := coord.OpenSQLite(filepath.Join(d.dir, "coord.db"))
	if err != nil {
		return nil, fmt.Errorf("coordination store: %w", err)
	}
	return s, nil
}

// client is a Kinesis client for the folder's streams.
func (d *dataDir) client() *kinesis.Client { return kinesis.NewFromConfig(d.aws) }

// makeStreams makes the streams that are not there yet, and waits until they
// can be used.
func makeStreams(ctx context.Context, client *kinesis.Client, names []string, shards int, retention time.Duration) error {
	for _, name := range names {
		_, err := client.CreateStream(ctx, &kinesis.CreateStreamInput{StreamName: &name, ShardCount: aws.Int32(int32(shards))})
		var inUse *types.ResourceInUseException
		if errors.As(err, &inUse) {
			continue // it is there already
		}
		if err != nil {
			return fmt.Errorf("create stream %s: %w", name, err)
		}
		wait := kinesis.NewStreamExistsWaiter(client, func(o *kinesis.StreamExistsWaiterOptions) {
			o.MinDelay, o.MaxDelay = 100*time.Millisecond, time.Second
		})
		if err := wait.Wait(ctx, &kinesis.DescribeStreamInput{StreamName: &name}, 30*time.Second); err != nil {
			return fmt.Errorf("wait for stream %s: %w", name, err)
		}
		if hours := int32(retention / time.Hour); hours > 24 {
			_, err := client.IncreaseStreamRetentionPeriod(ctx, &kinesis.IncreaseStreamRetentionPeriodInput{StreamName: &name, RetentionPeriodHours: &hours})
			if err != nil {
				return fmt.Errorf("retention of stream %s: %w", name, err)
			}
		}
	}
	return nil
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
