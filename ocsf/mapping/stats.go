package mapping

import "nagare/ocsf"

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
	// Unknown counts the events of LastResort by their metadata.event_code.
	Unknown Names
	// Unconverted counts fields whose value their attribute could not take;
	// ByAttribute by the path of the attribute.
	Unconverted int64
	ByAttribute Names
	// NotInTable counts lookups of what a table does not have; ByTable by the
	// name of the table.
	NotInTable int64
	ByTable    Names
	// Incomplete counts events that entries matched and that lacked what their
	// classes require: they became base events, of the file's own last entry or
	// without one.
	Incomplete int64
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
	// TimeUnit counts OCSF events whose time was in another unit than
	// milliseconds.
	TimeUnit int64
	// Truncated counts unmapped fields cut short or left out at the bounds.
	Truncated int64
	// NotUTF8 counts events with bytes that are no UTF-8.
	NotUTF8 int64
}

func newStats() *Stats { return &Stats{Classes: map[string]int64{}, Dead: map[string]int64{}} }

// Stats returns the counts of a source so far; nil if it had no event.
func (sc *Scratch) Stats(source string) *Stats { return sc.stats[source] }

// Drain adds the counts of every source to those in to, and begins anew.
func (sc *Scratch) Drain(to map[string]*Stats) {
	for source, st := range sc.stats {
		if to[source] == nil {
			to[source] = newStats()
		}
		to[source].Add(st)
		*st = *newStats()
	}
}

// count counts an event; unknown says that the file does not know its type.
func (s *Stats) count(e *entry, out *ocsf.Event, unknown bool) {
	s.Classes[e.layout.Class.Name]++
	if e.lastResort {
		s.LastResort++
	}
	if !unknown {
		return
	}
	name := ""
	if e.code >= 0 {
		name = out.Slots[e.code].Text()
	}
	if name == "" {
		name = Nameless
	}
	s.Unknown.Add(name, 1)
}

// Nameless is the name in Stats.Unknown of events whose type is not known.
const Nameless = "(no name)"

// A tally is what is counted while an entry is tried: it counts only for the
// entry that takes the event.
type tally struct {
	unconverted []*target
	notInTable  []string
	dropped     int64
	suspect     bool
	timeUnit    bool
}

func (t *tally) reset() {
	t.unconverted, t.notInTable, t.dropped, t.suspect, t.timeUnit = t.unconverted[:0], t.notInTable[:0], 0, false, false
}

// lose notes that a value did not fit its attribute.
func (t *tally) lose(of *target, text string) {
	if of.isTime() && never(text) {
		return // that is how some say that there is none
	}
	t.unconverted = append(t.unconverted, of)
}

// take adds the counts of the entry that took an event.
func (s *Stats) take(t *tally) {
	for _, of := range t.unconverted {
		s.Unconverted++
		s.ByAttribute.Add(of.full, 1)
	}
	for _, table := range t.notInTable {
		s.NotInTable++
		s.ByTable.Add(table, 1)
	}
	s.Dropped += t.dropped
	if t.suspect {
		s.TimeSuspect++
	}
	if t.timeUnit {
		s.TimeUnit++
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
	for _, n := range []struct{ to, from *Names }{{&s.Unknown, &other.Unknown}, {&s.ByAttribute, &other.ByAttribute}, {&s.ByTable, &other.ByTable}} {
		for k, v := range n.from.m {
			n.to.Add(k, *v)
		}
	}
	s.Incomplete += other.Incomplete
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
	s.TimeUnit += other.TimeUnit
	s.Truncated += other.Truncated
	s.NotUTF8 += other.NotUTF8
}
