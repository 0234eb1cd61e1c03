package kinesisd

import "context"

// GetShardIterator gives a position in a shard to read from.
//
// Heeded: StreamName, StreamARN, ShardId, ShardIteratorType of all five types,
// StartingSequenceNumber, Timestamp.
type getShardIteratorInput struct {
	streamRef
	ShardId                string
	ShardIteratorType      string
	StartingSequenceNumber string
	Timestamp              *timestamp
}

type getShardIteratorOutput struct{ ShardIterator string }

func (s *Server) getShardIterator(ctx context.Context, in *getShardIteratorInput) (*getShardIteratorOutput, error) {
	if in.StartingSequenceNumber != "" && (in.ShardIteratorType == "TRIM_HORIZON" || in.ShardIteratorType == "LATEST") {
		return nil, errorf(invalidArgument, "Must either specify (1) AT_SEQUENCE_NUMBER or AFTER_SEQUENCE_NUMBER and StartingSequenceNumber or (2) TRIM_HORIZON or LATEST and no StartingSequenceNumber. Request specified %s and also a StartingSequenceNumber.", in.ShardIteratorType)
	}
	s.mu.RLock()
	st, err := s.find(in.streamRef)
	var sh *shard
	if err == nil {
		sh, err = st.mustShard(in.ShardId)
	}
	s.mu.RUnlock()
	if err != nil {
		return nil, err
	}
	after, err := s.position(ctx, sh, startingPosition{in.ShardIteratorType, in.StartingSequenceNumber, in.Timestamp})
	if err != nil {
		return nil, err
	}
	return &getShardIteratorOutput{s.iterator(sh, after)}, nil
}

func (s *Server) iterator(sh *shard, after sequence) string {
	return token{kind: iteratorToken, stream: sh.stream.id, shard: int64(sh.index), after: after, issued: s.cfg.now().UnixMilli()}.String()
}

// mustShard is shard with the error for the client.
func (st *stream) mustShard(id string) (*shard, error) {
	if sh := st.shard(id); sh != nil {
		return sh, nil
	}
	return nil, errorf(resourceNotFound, "Shard %s in stream %s under account 000000000000 does not exist", clip(id), st.name)
}
