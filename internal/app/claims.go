package app

import (
	"context"
	"fmt"
	"path/filepath"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"

	"nagare/internal/blob"
	"nagare/internal/claim"
	"nagare/internal/config"
)

// openClaims opens the folder of bodies that no record holds.
func openClaims(o Options, c config.Config) (*claim.Store, error) {
	dir := c.Objects.Claims
	if dir == "" {
		dir = filepath.Join(o.Data, "claims")
	}
	objects, err := blob.Dir(dir)
	if err != nil {
		return nil, fmt.Errorf("folder %s: %w", dir, err)
	}
	return claim.New(claim.Config{Blob: objects, MaxBytes: int64(c.Limits.Decompressed)}), nil
}

// claimMargin is how much longer than its record a claim is kept: for the day
// that it is filed under, and for a spool that takes three days to drain.
const claimMargin = 5 * 24 * time.Hour

// sweepClaims removes claims that no record names any more, until ctx is over.
// The archive and dead letters have the bodies themselves.
func (p *pipeline) sweepClaims(ctx context.Context, client *kinesis.Client, streams []string) {
	tick := time.NewTicker(time.Hour)
	defer tick.Stop()
	for {
		n := 0
		kept, err := longestRetention(ctx, client, streams)
		if err == nil {
			n, err = p.claims.Sweep(ctx, time.Now().Add(-kept-claimMargin))
		}
		switch {
		case ctx.Err() != nil:
			return
		case err != nil:
			p.opts.Log.Warn("old claims are not removed, trying again", "err", err)
		case n > 0:
			p.opts.Log.Info("old claims removed", "objects", n)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// longestRetention is for how long a record can be read. The stream is asked:
// it may have been made by somebody with another configuration.
func longestRetention(ctx context.Context, client *kinesis.Client, streams []string) (time.Duration, error) {
	var longest time.Duration
	for _, name := range streams {
		out, err := client.DescribeStreamSummary(ctx, &kinesis.DescribeStreamSummaryInput{StreamName: &name})
		if err != nil {
			return 0, fmt.Errorf("retention of stream %s: %w", name, err)
		}
		longest = max(longest, time.Duration(aws.ToInt32(out.StreamDescriptionSummary.RetentionPeriodHours))*time.Hour)
	}
	return longest, nil
}
