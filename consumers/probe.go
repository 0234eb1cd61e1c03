package consumers

import (
	"context"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
)

// probeTries bounds how often one read of a probe is made: about a quarter of a
// minute against consumers that leave no read to anybody else.
const probeTries = 12

// probe reads from a place of a shard, beside those who consume it: no faster
// than a shard allows, and patiently when they were first. It ends when see
// does not want the next page, or there is none.
func probe(ctx context.Context, client *kinesis.Client, from *kinesis.GetShardIteratorInput, limit int32, see func(*kinesis.GetRecordsOutput) bool) error {
	it, err := client.GetShardIterator(ctx, from)
	if err != nil {
		return err
	}
	for next := it.ShardIterator; next != nil; {
		out, err := probeOnce(ctx, client, &kinesis.GetRecordsInput{ShardIterator: next, Limit: &limit})
		if err != nil || !see(out) {
			return err
		}
		if next = out.NextShardIterator; next != nil {
			if err := wait(ctx, readEvery); err != nil {
				return err
			}
		}
	}
	return nil
}

func probeOnce(ctx context.Context, client *kinesis.Client, in *kinesis.GetRecordsInput) (*kinesis.GetRecordsOutput, error) {
	for try := 0; ; try++ {
		out, err := client.GetRecords(ctx, in, func(o *kinesis.Options) { o.Retryer = aws.NopRetryer{} })
		if err == nil || !retryable(err) || try+1 == probeTries {
			return out, err
		}
		if wait(ctx, backoff(try, readEvery, 2*time.Second)) != nil {
			return nil, err
		}
	}
}

func wait(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}
