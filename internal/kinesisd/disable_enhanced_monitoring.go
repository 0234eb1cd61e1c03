package kinesisd

import "context"

// DisableEnhancedMonitoring takes from the shard-level metrics that
// descriptions of the stream name.
//
// Heeded: StreamName, StreamARN, ShardLevelMetrics.
func (s *Server) disableEnhancedMonitoring(ctx context.Context, in *enhancedMonitoringInput) (*enhancedMonitoringOutput, error) {
	return s.changeMonitoring(ctx, in, func(_ string, on, named bool) bool { return on && !named })
}
