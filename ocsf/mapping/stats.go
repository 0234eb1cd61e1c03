package mapping

// Stats counts what became of the events of one source.
type Stats struct {
	Events int64
	Bytes  int64
	// Classes counts events by class name.
	Classes map[string]int64
	// LastResort counts events that only the last entry, without a when, took.
	LastResort int64
	// WithUnmapped counts events with fields in unmapped; Unmapped counts
	// these fields, Mapped those that went into attributes.
	WithUnmapped, Unmapped, Mapped int64
	// Dead counts dead letters by reason.
	Dead map[string]int64
	// Unconverted counts fields whose value their attribute could not take.
	Unconverted int64
	// NotInTable counts lookups of what a table does not have.
	NotInTable int64
	// Dropped counts objects left out because what they require was not there.
	Dropped int64
	// FellThrough counts events that an entry matched but lacked what its
	// class requires, so that a later entry took them.
	FellThrough int64
	// Duplicates counts members of JSON objects that a later one of the same
	// name replaced.
	Duplicates int64
	// TimeSuspect counts events whose time was absent or not believable.
	TimeSuspect int64
	// Truncated counts unmapped fields cut short or left out at the bounds.
	Truncated int64
}

func newStats() *Stats { return &Stats{Classes: map[string]int64{}, Dead: map[string]int64{}} }

// Stats returns the counts of a source so far; nil if it had no event.
func (sc *Scratch) Stats(source string) *Stats { return sc.stats[source] }

func (s *Stats) dead(reason string, err error) error {
	s.Dead[reason]++
	return &Dead{Reason: reason, Err: err}
}

func (s *Stats) count(e *entry) {
	s.Classes[e.layout.Class.Name]++
	if e.lastResort {
		s.LastResort++
	}
}

// Add adds other's counts.
func (s *Stats) Add(other *Stats) {
	for k, v := range other.Classes {
		s.Classes[k] += v
	}
	for k, v := range other.Dead {
		s.Dead[k] += v
	}
	s.Events += other.Events
	s.Bytes += other.Bytes
	s.LastResort += other.LastResort
	s.WithUnmapped += other.WithUnmapped
	s.Unmapped += other.Unmapped
	s.Mapped += other.Mapped
	s.Unconverted += other.Unconverted
	s.NotInTable += other.NotInTable
	s.Dropped += other.Dropped
	s.FellThrough += other.FellThrough
	s.Duplicates += other.Duplicates
	s.TimeSuspect += other.TimeSuspect
	s.Truncated += other.Truncated
}
