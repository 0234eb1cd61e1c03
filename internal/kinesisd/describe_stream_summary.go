package kinesisd

import "context"

// DescribeStreamSummary describes a stream without its shards.
//
// Heeded: StreamName, StreamARN.
// StreamId, which is "reserved for future use", is absent.
type describeStreamSummaryInput struct{ streamRef }

type describeStreamSummaryOutput struct {
	StreamDescriptionSummary struct {
		StreamName                 string
		StreamARN                  string
		StreamStatus               string
		StreamModeDetails          modeShape
		StreamCreationTimestamp    seconds
		RetentionPeriodHours       int
		EncryptionType             string
		KeyId                      string `json:",omitempty"`
		EnhancedMonitoring         []metricsShape
		OpenShardCount             int
		ConsumerCount              int
		MaxRecordSizeInKiB         int
		WarmThroughput             *warmShape `json:",omitempty"`
		RecordDistributionStrategy string
	}
}

func (s *Server) describeStreamSummary(_ context.Context, in *describeStreamSummaryInput) (*describeStreamSummaryOutput, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	st, err := s.find(in.streamRef)
	if err != nil {
		return nil, err
	}
	out := &describeStreamSummaryOutput{}
	d := &out.StreamDescriptionSummary
	d.StreamName, d.StreamARN, d.StreamStatus = st.name, s.streamARN(st.name), "ACTIVE"
	d.StreamModeDetails, d.StreamCreationTimestamp = st.mode(), seconds(st.created)
	d.RetentionPeriodHours, d.EncryptionType = st.retentionHours(), st.encryption()
	d.KeyId, d.EnhancedMonitoring = st.KeyID, st.monitoring()
	d.WarmThroughput, d.RecordDistributionStrategy = st.warm(), st.distribution()
	d.OpenShardCount, d.ConsumerCount, d.MaxRecordSizeInKiB = len(st.open), len(st.consumers), st.maxRecord>>10
	return out, nil
}
