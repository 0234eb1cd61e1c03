package kinesisd

import "context"

// UpdateStreamMode declares a stream ON_DEMAND or PROVISIONED. It keeps its
// shards either way; ON_DEMAND they cannot be split, merged or counted anew by
// a client, and no load does it here. The limit of two calls a day does not
// exist.
//
// Heeded: StreamARN, StreamModeDetails, WarmThroughputMiBps.
type updateStreamModeInput struct {
	StreamARN           string
	StreamModeDetails   modeShape
	WarmThroughputMiBps *int
}

func (s *Server) updateStreamMode(ctx context.Context, in *updateStreamModeInput) (*empty, error) {
	var v violations
	v.mode(in.StreamModeDetails.StreamMode)
	v.between(in.WarmThroughputMiBps, 0, maxWarmMiBps, "warmThroughputMiBps")
	if err := v.err(); err != nil {
		return nil, err
	}
	onDemand := in.StreamModeDetails.StreamMode == "ON_DEMAND"
	return &empty{}, s.writer.change(ctx, func() error {
		return s.changeStream(streamRef{StreamARN: in.StreamARN}, func(st *stream, set *settings) error {
			st.onDemand = onDemand
			if in.WarmThroughputMiBps != nil {
				if !onDemand {
					return errorf(invalidArgument, "WarmThroughputMiBps is for streams ON_DEMAND.")
				}
				set.WarmMiBps = *in.WarmThroughputMiBps
			}
			if !onDemand {
				set.WarmMiBps, set.Distribution = 0, ""
			}
			return nil
		})
	})
}

// mode checks the mode of a stream.
func (v *violations) mode(mode string) {
	v.must(mode == "PROVISIONED" || mode == "ON_DEMAND", mode, "streamModeDetails.streamMode", "satisfy enum value set: [PROVISIONED, ON_DEMAND]")
}

// mustBeProvisioned refuses calls that are not for streams ON_DEMAND.
func (st *stream) mustBeProvisioned(action string) error {
	if st.onDemand {
		return errorf(validation, "%s is only supported for data streams with the provisioned capacity mode; stream %s under account 000000000000 is ON_DEMAND.", action, st.name)
	}
	return nil
}
