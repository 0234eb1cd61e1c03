package kinesisd

import (
	"slices"
	"sync"
	"time"
)

// Fault is what should go wrong with one call. Its zero value is nothing.
//
// What a client can meet, and how to say it:
//
//	refused, throttled     Error: "ProvisionedThroughputExceededException"
//	the server's fault     Error: "InternalFailure" (500), "ServiceUnavailable" (503)
//	lost before            Cut: true
//	done, but unheard of   Drop: true
//	slow                   Delay before it is done, DelayAnswer after
//	half open              Mute: true, for SubscribeToShard
//	partly refused         Record, or a Rule with Records
type Fault struct {
	// Delay is waited before the call is looked at.
	Delay time.Duration
	// Error, when set, is answered instead of doing anything: an error type
	// such as ProvisionedThroughputExceededException or InternalFailure.
	Error string
	// Status is the HTTP status of that answer. The default is what AWS
	// sends with the type.
	Status int
	// Cut ends the connection without doing anything.
	Cut bool
	// Drop does what was asked, then cuts the connection without an answer.
	// A subscription is cut after its first event.
	Drop bool
	// DelayAnswer does what was asked and waits before it says so.
	DelayAnswer time.Duration
	// Mute keeps a subscription open but sends no event on it, as a
	// half-open connection would.
	Mute bool
	// Record, when set, is asked for each record of a PutRecords by its
	// index; the error type it returns fails that record alone.
	Record func(i int) string
}

func (f *Fault) err() *apiError {
	return &apiError{Type: f.Error, Message: "injected fault", code: f.Status}
}

// Rule says which calls a fault befalls. Its zero value is all of them.
type Rule struct {
	// Action is the call's name, such as GetRecords. Empty is every call.
	Action string
	// Stream is the name of the stream a call is about, Shard the id of the
	// shard it reads, subscribes to, splits or merges, or that its record
	// falls into. Empty is any.
	Stream, Shard string
	// Records makes the rule one for the single records of PutRecords: it
	// counts those, and Fault.Error fails one alone.
	Records bool

	// Nth is the one matching call that fails, counted from 1.
	Nth int
	// Every, without Nth, is 3 for every third matching call, and so on.
	Every int
	// Times is how often the fault happens at most. Zero has no bound.
	Times int

	Fault Fault
}

// Faults are rules that a test sets up and takes away while the server runs.
// The first rule that is due decides; every rule counts what it matches. The
// zero value is ready to use.
type Faults struct {
	mu    sync.Mutex
	armed []*Armed
}

// Armed is a rule in force.
type Armed struct {
	faults     *Faults
	rule       Rule
	seen, hits int // Faults.mu
}

// Add puts a rule in force, behind those that are.
func (f *Faults) Add(r Rule) *Armed {
	f.mu.Lock()
	defer f.mu.Unlock()
	a := &Armed{faults: f, rule: r}
	f.armed = append(f.armed, a)
	return a
}

// Remove takes the rule away. Calls it has befallen go on as they began.
func (a *Armed) Remove() {
	a.faults.mu.Lock()
	defer a.faults.mu.Unlock()
	a.faults.armed = slices.DeleteFunc(slices.Clone(a.faults.armed), func(b *Armed) bool { return a == b })
}

// Seen is how many calls, or records, the rule has matched.
func (a *Armed) Seen() int {
	a.faults.mu.Lock()
	defer a.faults.mu.Unlock()
	return a.seen
}

// Hits is how many of them the fault has befallen.
func (a *Armed) Hits() int {
	a.faults.mu.Lock()
	defer a.faults.mu.Unlock()
	return a.hits
}

// due counts a match and says whether the fault happens.
func (a *Armed) due() bool {
	a.seen++
	switch r := a.rule; {
	case r.Times > 0 && a.hits >= r.Times:
		return false
	case r.Nth > 0:
		return a.seen == r.Nth
	case r.Every > 1:
		return a.seen%r.Every == 0
	}
	return true
}

// choose finds the fault of a call, or of a record of one.
func (f *Faults) choose(action string, records bool, target func() faultTarget) Fault {
	if f == nil {
		return Fault{}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	var chosen *Armed
	for _, a := range f.armed {
		r := &a.rule
		if r.Records != records || r.Action != "" && r.Action != action {
			continue
		}
		if r.Stream != "" || r.Shard != "" {
			if t := target(); r.Stream != "" && r.Stream != t.stream || r.Shard != "" && r.Shard != t.shard && r.Shard != t.other {
				continue
			}
		}
		if a.due() && chosen == nil {
			chosen = a
			a.hits++
		}
	}
	if chosen == nil {
		return Fault{}
	}
	return chosen.rule.Fault
}

// faultOf asks what should go wrong with a call.
func (s *Server) faultOf(r *request) Fault {
	if s.cfg.Fault != nil {
		return s.cfg.Fault(r.action, r.body)
	}
	return s.cfg.Faults.choose(r.action, false, sync.OnceValue(func() faultTarget { return s.faultTarget(r) }))
}

// recordFault asks what should go wrong with one record of a PutRecords.
func (s *Server) recordFault(r *request, st *stream, i int, key hashKey) *apiError {
	if r.fault.Record != nil {
		if kind := r.fault.Record(i); kind != "" {
			return errorf(kind, "injected fault")
		}
	}
	if s.cfg.Faults == nil {
		return nil
	}
	f := s.cfg.Faults.choose(r.action, true, sync.OnceValue(func() faultTarget {
		s.mu.RLock()
		defer s.mu.RUnlock()
		return faultTarget{stream: st.name, shard: st.route(key).id()}
	}))
	if f.Error == "" {
		return nil
	}
	return f.err()
}

// faultTarget is what a call is about: a stream, and a shard, or two that are
// to be merged.
type faultTarget struct{ stream, shard, other string }

// faultTarget looks at the members by which calls name streams and shards. A
// call that cannot be read is about nothing.
func (s *Server) faultTarget(r *request) (t faultTarget) {
	var in struct {
		streamRef
		ConsumerARN, ResourceARN, ShardId, ShardToSplit, ShardToMerge, AdjacentShardToMerge, ShardIterator, PartitionKey string
		ExplicitHashKey                                                                                                  *string
	}
	if r.decode(&in) != nil {
		return t
	}
	t.stream = in.StreamName
	for _, arn := range []string{in.StreamARN, in.ConsumerARN, in.ResourceARN} {
		if name, _, ok := splitARN(arn); ok {
			t.stream = name
		}
	}
	t.shard, t.other = in.ShardId, in.AdjacentShardToMerge
	if t.shard == "" {
		t.shard = in.ShardToSplit + in.ShardToMerge // a call has one of them
	}
	if in.ShardIterator != "" {
		if sh, _, err := s.resolve(in.ShardIterator); err == nil {
			t.stream, t.shard = sh.stream.name, sh.id()
		}
	}
	if in.PartitionKey != "" {
		key, ok := hashOf(in.PartitionKey), true
		if in.ExplicitHashKey != nil {
			key, ok = parseHashKey(*in.ExplicitHashKey)
		}
		s.mu.RLock()
		defer s.mu.RUnlock()
		if st := s.streams[t.stream]; ok && st != nil {
			t.shard = st.route(key).id()
		}
	}
	return t
}
