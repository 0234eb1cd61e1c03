package kinesisd

import (
	"fmt"
	"slices"
	"sort"
	"strings"
	"time"
)

// stream is one incarnation of a stream: made again under its old name it has
// another id. Server.mu guards it and its shards.
type stream struct {
	id        int64
	name      string
	created   int64 // milliseconds
	retention time.Duration
	maxRecord int  // bytes
	onDemand  bool // as the client declared it; it changes nothing here
	nextIndex int  // of the next shard
	settings
	attached
	deleted   bool
	shards    []*shard // by index; those without records left are gone
	open      []*shard // by hash range, the whole ring without gaps
	consumers []*consumer
}

// shard is a part of a stream's ring, with the records that fell into it.
type shard struct {
	number           int64 // among all shards ever; part of the records' keys
	index            int   // in its stream
	stream           *stream
	low, high        hashKey
	parent, adjacent string   // ids, empty without
	start, end       sequence // end is 0 while the shard is open
	created, closed  int64    // milliseconds

	last    sequence      // nothing is stored beyond it
	changed chan struct{} // closed when last moves or the shard closes
	tail    tail
	in      shardInLimit  // the writer's goroutine only
	out     shardOutLimit // has its own lock
}

// consumer is a registered reader with its own throughput.
type consumer struct {
	name    string
	created int64 // milliseconds
	attached
}

func (sh *shard) id() string { return shardID(sh.index) }

func shardID(index int) string { return fmt.Sprintf("shardId-%012d", index) }

// wake tells everyone who waits on changed. The caller holds Server.mu.
func (sh *shard) wake() {
	close(sh.changed)
	sh.changed = make(chan struct{})
}

// route finds the open shard whose range holds the key.
func (st *stream) route(key hashKey) *shard {
	i := sort.Search(len(st.open), func(i int) bool { return !st.open[i].high.less(key) })
	return st.open[i]
}

func (st *stream) shard(id string) *shard {
	i, ok := slices.BinarySearchFunc(st.shards, id, func(sh *shard, id string) int { return strings.Compare(sh.id(), id) })
	if !ok {
		return nil
	}
	return st.shards[i]
}

func (st *stream) consumer(name string) *consumer {
	for _, c := range st.consumers {
		if c.name == name {
			return c
		}
	}
	return nil
}

// children are the shards that a split or merge of sh made.
func (sh *shard) children() []*shard {
	var found []*shard
	for _, c := range sh.stream.shards {
		if c.parent == sh.id() || c.adjacent == sh.id() {
			found = append(found, c)
		}
	}
	return found
}

// reopen sorts out which shards are open, after the set has changed.
func (st *stream) reopen() {
	st.open = st.open[:0:0]
	for _, sh := range st.shards {
		if sh.end == 0 {
			st.open = append(st.open, sh)
		}
	}
	slices.SortFunc(st.open, func(a, b *shard) int {
		if a.low.less(b.low) {
			return -1
		}
		return 1
	})
}

func (s *Server) streamARN(name string) string {
	return "arn:aws:kinesis:" + s.cfg.Region + ":000000000000:stream/" + name
}

func (s *Server) consumerARN(st *stream, c *consumer) string {
	return fmt.Sprintf("%s/consumer/%s:%d", s.streamARN(st.name), c.name, c.created/1000)
}

// madeAt refuses a stream that was made at another time than the client
// thinks, to the second: it is another one of that name.
func (st *stream) madeAt(t *timestamp) error {
	if t != nil && int64(*t) != st.created/1000 {
		return errorf(resourceNotFound, "Stream %s under account 000000000000 with that creation timestamp not found.", st.name)
	}
	return nil
}

// streamRef is how calls name a stream. Their StreamId is "reserved for future
// use" and heeded by nobody.
type streamRef struct {
	StreamName string
	StreamARN  string
}

// find resolves the reference. The caller holds Server.mu or is the writer.
func (s *Server) find(ref streamRef) (*stream, error) {
	name := ref.StreamName
	if ref.StreamARN != "" {
		fromARN, rest, ok := splitARN(ref.StreamARN)
		if !ok || rest != "" {
			return nil, errorf(validation, "1 validation error detected: Value '%s' at 'streamARN' failed to satisfy constraint: Member must satisfy regular expression pattern: arn:aws.*:kinesis:.*:\\d{12}:stream/\\S+", clip(ref.StreamARN))
		}
		if name != "" && name != fromARN {
			return nil, errorf(invalidArgument, "StreamName and StreamARN name different streams.")
		}
		name = fromARN
	}
	if name == "" {
		return nil, errorf(validation, "Either StreamName or StreamARN must be given.")
	}
	if st := s.streams[name]; st != nil {
		return st, nil
	}
	return nil, errorf(resourceNotFound, "Stream %s under account 000000000000 not found.", clip(name))
}

// splitARN takes the stream's name out of an ARN; rest is what follows it
// ("consumer/NAME:TIME", or nothing).
func splitARN(arn string) (name, rest string, ok bool) {
	parts := strings.SplitN(arn, ":", 6)
	if len(arn) > 2048 || len(parts) != 6 || parts[0] != "arn" || parts[2] != "kinesis" {
		return "", "", false
	}
	name, ok = strings.CutPrefix(parts[5], "stream/")
	name, rest, _ = strings.Cut(name, "/")
	return name, rest, ok && name != ""
}

// consumerRef is how calls name a consumer: by its ARN, or by the stream's
// ARN and its name.
type consumerRef struct {
	ConsumerARN  string
	StreamARN    string
	ConsumerName string
}

// findConsumer resolves the reference. The caller holds Server.mu or is the
// writer.
func (s *Server) findConsumer(ref consumerRef) (*stream, *consumer, error) {
	if ref.ConsumerARN == "" {
		if ref.StreamARN == "" || ref.ConsumerName == "" {
			return nil, nil, errorf(invalidArgument, "Either ConsumerARN or both StreamARN and ConsumerName must be given.")
		}
		st, err := s.find(streamRef{StreamARN: ref.StreamARN})
		if err != nil {
			return nil, nil, err
		}
		if c := st.consumer(ref.ConsumerName); c != nil {
			return st, c, nil
		}
		return nil, nil, errorf(resourceNotFound, "Consumer %s, account 000000000000 not found.", clip(ref.ConsumerName))
	}
	name, rest, _ := splitARN(ref.ConsumerARN)
	rest, ok := strings.CutPrefix(rest, "consumer/")
	if !ok {
		return nil, nil, errorf(invalidArgument, "ConsumerARN %s is not the ARN of a consumer.", clip(ref.ConsumerARN))
	}
	if st := s.streams[name]; st != nil {
		consumerName, _, _ := strings.Cut(rest, ":")
		if c := st.consumer(consumerName); c != nil && s.consumerARN(st, c) == ref.ConsumerARN {
			return st, c, nil
		}
	}
	return nil, nil, errorf(resourceNotFound, "Consumer %s not found.", clip(ref.ConsumerARN))
}
