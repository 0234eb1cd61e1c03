package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"

	"nagare"
	"nagare/internal/frame"
	"nagare/internal/kinesisd"
)

// sampled says which folder of samples is of which source.
var sampled = []struct{ dir, source string }{
	{"aws_cloudtrail", "cloudtrail"}, {"aws_cloudtrail_s3objects", "cloudtrail"}, {"aws_cloudtrail_eventbridge", "cloudtrail"},
	{"aws_guardduty", "guardduty"}, {"aws_securityhub", "securityhub"}, {"aws_vpc_flow", "vpcflow"}, {"aws_waf", "waf"},
	{"azure_activity", "azure"}, {"gcp_audit", "gcp"}, {"entra_signin", "entra"}, {"microsoft_defender_xdr", "defender"}, {"m365_audit", "m365"},
	{"okta_system_log", "okta"}, {"google_workspace", "google"}, {"github_audit", "github"}, {"github_webhook", "github"}, {"slack_audit", "slack"},
	{"csv_manual", "directory"}, {"mail_mime", "mail"},
}

// frames sends each folder of samples and looks at what the writer made of it
// on the stream; and, since the samples come in small files and a busy stream
// has full frames, at the same events in frames of 256 KiB.
func frames(binary, data string) error {
	if _, err := os.Stat(data); errors.Is(err, fs.ErrNotExist) {
		fmt.Printf("skipped: there is no folder %s\n", data)
		return nil
	}
	fmt.Println("| folder | source | events | bytes of bodies | with envelopes | as sent: frames | bytes | shrinks | full frames: bytes | shrinks | bodies alone |")
	fmt.Println("|---|---|---|---|---|---|---|---|---|---|---|")
	for _, s := range sampled {
		files, err := filepath.Glob(filepath.Join(data, s.dir, "*"))
		if err != nil {
			return err
		}
		files = slices.DeleteFunc(files, func(f string) bool { return strings.HasSuffix(f, ".txt") })
		if len(files) == 0 {
			continue
		}
		m, err := framesOf(binary, s.source, files)
		if err != nil {
			return fmt.Errorf("%s: %w", s.dir, err)
		}
		full, err := m.full()
		if err != nil {
			return err
		}
		times := func(a, b int) float64 { return float64(a) / float64(b) }
		fmt.Printf("| %s | %s | %d | %d | %d | %d | %d | %.1f | %d | %.1f | %.1f |\n", s.dir, s.source, len(m.events), m.bodies, m.batches, m.frames, m.records,
			times(m.batches, m.records), full, times(m.batches, full), times(m.bodies, full))
	}
	return nil
}

type frameSizes struct {
	events                           []nagare.Event
	frames, bodies, batches, records int
}

// full is the size of the events in full frames.
func (m *frameSizes) full() (size int, err error) {
	var enc frame.Encoder
	for i := range m.events {
		enc.Add(&m.events[i])
		if enc.RawSize() < 256<<10 && i < len(m.events)-1 {
			continue
		}
		data, err := enc.Append(nil)
		if err != nil {
			return 0, err
		}
		size += len(data)
		enc.Reset()
	}
	return size, nil
}

func framesOf(binary, source string, files []string) (m frameSizes, err error) {
	dir, err := os.MkdirTemp("", "nagare-frames-")
	if err != nil {
		return m, err
	}
	defer os.RemoveAll(dir)
	if out, err := exec.Command(binary, append([]string{"--data", dir, "send", "--source", source}, files...)...).CombinedOutput(); err != nil {
		return m, fmt.Errorf("send: %w: %s", err, out)
	}
	server, err := kinesisd.Open(kinesisd.Config{Dir: filepath.Join(dir, "kinesis"), Listen: "127.0.0.1:0"})
	if err != nil {
		return m, err
	}
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- server.Run(ctx) }()
	defer func() {
		stop()
		err = errors.Join(err, <-done)
	}()
	client := kinesis.New(kinesis.Options{Region: "us-east-1", BaseEndpoint: aws.String(server.URL()), Credentials: credentials.NewStaticCredentialsProvider("x", "x", "")})
	for _, stream := range []string{"nagare", "nagare-bulk"} {
		if err := m.read(ctx, client, stream); err != nil {
			return m, err
		}
	}
	return m, nil
}

func (m *frameSizes) read(ctx context.Context, client *kinesis.Client, stream string) error {
	shards, err := client.ListShards(ctx, &kinesis.ListShardsInput{StreamName: &stream})
	if err != nil {
		return err
	}
	for _, s := range shards.Shards {
		it, err := client.GetShardIterator(ctx, &kinesis.GetShardIteratorInput{StreamName: &stream, ShardId: s.ShardId, ShardIteratorType: types.ShardIteratorTypeTrimHorizon})
		if err != nil {
			return err
		}
		for next := it.ShardIterator; next != nil; {
			got, err := client.GetRecords(ctx, &kinesis.GetRecordsInput{ShardIterator: next})
			if err != nil {
				return err
			}
			for _, r := range got.Records {
				raw, err := frame.Raw(r.Data)
				if err != nil {
					return err
				}
				events, err := frame.DecodeRaw(raw)
				if err != nil {
					return err
				}
				for i := range events {
					m.bodies += len(events[i].Body)
				}
				m.events = append(m.events, events...)
				m.frames, m.batches, m.records = m.frames+1, m.batches+len(raw), m.records+len(r.Data)
			}
			if next = got.NextShardIterator; len(got.Records) == 0 && aws.ToInt64(got.MillisBehindLatest) == 0 {
				break
			}
		}
	}
	return nil
}
