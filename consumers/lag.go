package consumers

import (
	"context"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"

	"nagare"
)

// A Lag is how far a position is behind the newest record of its shard.
type Lag struct {
	// Records lie behind the position; More says that there are more, which
	// were not counted.
	Records int  `json:"records"`
	More    bool `json:"more,omitempty"`
	// Oldest is when the first of them arrived; zero when there is none.
	Oldest time.Time `json:"oldest,omitzero"`
}

// MeasureLag counts the records of a shard after seq, or from where start says
// when seq is "", up to about most of them. It reads them, so it takes its part
// of what the shard allows.
func MeasureLag(ctx context.Context, cfg aws.Config, stream, shard, seq string, start Start, most int) (Lag, error) {
	client := kinesis.NewFromConfig(cfg)
	in := start.iterator(stream, shard)
	if seq != "" && nagare.ValidSeq(seq) && nagare.CompareSeq(seq, "0") > 0 {
		in.ShardIteratorType, in.StartingSequenceNumber, in.Timestamp = types.ShardIteratorTypeAfterSequenceNumber, &seq, nil
	}
	var lag Lag
	if in.Timestamp != nil && in.Timestamp.After(time.Now()) {
		return lag, nil // the stream refuses times to come
	}
	err := probe(ctx, client, in, 10000, func(out *kinesis.GetRecordsOutput) bool {
		if n := len(out.Records); n > 0 {
			if lag.Records == 0 {
				lag.Oldest = aws.ToTime(out.Records[0].ApproximateArrivalTimestamp).UTC()
			}
			lag.Records += n
		}
		behind := aws.ToInt64(out.MillisBehindLatest) > 0
		lag.More = behind && lag.Records >= most
		return behind && !lag.More
	})
	if err != nil {
		return lag, fmt.Errorf("lag of %s %s: %w", stream, shard, err)
	}
	return lag, nil
}
