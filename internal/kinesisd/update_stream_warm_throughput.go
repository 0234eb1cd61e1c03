package kinesisd

import "context"

// UpdateStreamWarmThroughput declares the throughput that a stream ON_DEMAND
// is to be ready for. It is told back and changes nothing.
//
// Heeded: StreamName, StreamARN, WarmThroughputMiBps.
type updateStreamWarmThroughputInput struct {
	streamRef
	WarmThroughputMiBps int
}

type updateStreamWarmThroughputOutput struct {
	StreamName     string
	StreamARN      string
	WarmThroughput warmShape
}

// maxWarmMiBps is the most a stream takes on AWS.
const maxWarmMiBps = 10 << 10

func (s *Server) updateStreamWarmThroughput(ctx context.Context, in *updateStreamWarmThroughputInput) (*updateStreamWarmThroughputOutput, error) {
	var v violations
	v.between(&in.WarmThroughputMiBps, 0, maxWarmMiBps, "warmThroughputMiBps")
	if err := v.err(); err != nil {
		return nil, err
	}
	out := &updateStreamWarmThroughputOutput{WarmThroughput: warmShape{in.WarmThroughputMiBps, in.WarmThroughputMiBps}}
	return out, s.writer.change(ctx, func() error {
		return s.changeStream(in.streamRef, func(st *stream, set *settings) error {
			if !st.onDemand {
				return errorf(validation, "UpdateStreamWarmThroughput is only supported for data streams with the on-demand capacity mode.")
			}
			out.StreamName, out.StreamARN = st.name, s.streamARN(st.name)
			set.WarmMiBps = in.WarmThroughputMiBps
			return nil
		})
	})
}
