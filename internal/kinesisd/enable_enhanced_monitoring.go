package kinesisd

import (
	"context"
	"slices"
)

// EnableEnhancedMonitoring adds to the shard-level metrics that descriptions
// of the stream name. No metrics are sent anywhere.
//
// Heeded: StreamName, StreamARN, ShardLevelMetrics.
type enhancedMonitoringInput struct {
	streamRef
	ShardLevelMetrics []string
}

type enhancedMonitoringOutput struct {
	StreamName               string
	StreamARN                string
	CurrentShardLevelMetrics []string
	DesiredShardLevelMetrics []string
}

// shardMetrics are all there are, in order of their names.
func shardMetrics() []string {
	return []string{"IncomingBytes", "IncomingRecords", "IteratorAgeMilliseconds", "OutgoingBytes", "OutgoingRecords",
		"ReadProvisionedThroughputExceeded", "WriteProvisionedThroughputExceeded"}
}

func (s *Server) enableEnhancedMonitoring(ctx context.Context, in *enhancedMonitoringInput) (*enhancedMonitoringOutput, error) {
	return s.changeMonitoring(ctx, in, func(m string, on, named bool) bool { return on || named })
}

// changeMonitoring keeps the metrics that keep wants, which is asked for each
// one whether it is on and whether the call names it.
func (s *Server) changeMonitoring(ctx context.Context, in *enhancedMonitoringInput, keep func(metric string, on, named bool) bool) (*enhancedMonitoringOutput, error) {
	var v violations
	v.must(len(in.ShardLevelMetrics) >= 1, in.ShardLevelMetrics, "shardLevelMetrics", "have length greater than or equal to 1")
	v.must(len(in.ShardLevelMetrics) <= 7, "[…]", "shardLevelMetrics", "have length less than or equal to 7")
	all := shardMetrics()
	named := in.ShardLevelMetrics
	for _, m := range named {
		if m != "ALL" {
			v.must(slices.Contains(all, m), m, "shardLevelMetrics", "satisfy enum value set: %v", append(all, "ALL"))
		} else {
			named = all
		}
	}
	if err := v.err(); err != nil {
		return nil, err
	}
	out := &enhancedMonitoringOutput{}
	return out, s.writer.change(ctx, func() error {
		return s.changeStream(in.streamRef, func(st *stream, set *settings) error {
			out.StreamName, out.StreamARN = st.name, s.streamARN(st.name)
			out.CurrentShardLevelMetrics, out.DesiredShardLevelMetrics = append([]string{}, set.Metrics...), []string{}
			for _, m := range all {
				if keep(m, slices.Contains(set.Metrics, m), slices.Contains(named, m)) {
					out.DesiredShardLevelMetrics = append(out.DesiredShardLevelMetrics, m)
				}
			}
			set.Metrics = out.DesiredShardLevelMetrics
			return nil
		})
	})
}
