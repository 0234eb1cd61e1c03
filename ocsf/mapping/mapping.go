// Package mapping is the language in which a source is described: how its
// deliveries split into events (the head), and which OCSF class and
// attributes each event becomes. It loads mapping files, checks them against
// the schema, runs them, and tests their cases.
//
// A mapping is pure: what it makes depends on the event's bytes, its envelope
// and the file alone. The package reads no streams and writes no storage.
package mapping

import (
	"fmt"
	"slices"
	"time"
	_ "time/tzdata" // zones mean the same on every machine

	"nagare"
	"nagare/ocsf"
	"nagare/ocsf/expr"
	"nagare/ocsf/rawjson"
)

// A File is one mapping file.
type File struct {
	// Name is what problems call it: its path.
	Name string
	Data []byte
}

// A Problem is one mistake in a mapping file.
type Problem = nagare.Problem

// A Set is all mappings of a program. It is immutable, and may be used by
// many goroutines.
type Set struct {
	bySource map[string]*Mapping
	sources  []string
}

// Source returns the mapping of a source.
func (s *Set) Source(name string) (*Mapping, bool) {
	m, ok := s.bySource[name]
	return m, ok
}

// Sources are the sources there are mappings for, sorted.
func (s *Set) Sources() []string { return s.sources }

// SetZone sets the zone of the times of a source that name none, in place of
// what its file says. It must be called before the set is used.
func (s *Set) SetZone(source string, zone *time.Location) {
	if m, ok := s.bySource[source]; ok {
		m.zone = zone
	}
}

// A Mapping is one mapping file, compiled.
type Mapping struct {
	// Name is the source, File the file it came from.
	Name, File string
	// Cases are the file's test cases.
	Cases []Case

	raw      *expr.Raw
	paths    *rawjson.Paths
	zone     *time.Location
	time     valueFn // when it happened
	head     head
	entries  []*entry
	dispatch dispatch
	native   *native // of events that are OCSF already; entries is empty then
}

// A Case is one test of a mapping: an input and what must come of it. Paths
// are relative to the mapping file.
type Case struct {
	File, Golden string
	// At is when the input arrived.
	At   time.Time
	Line int
}

// A Dead says why an event became no OCSF event: it goes to the dead letters.
type Dead struct {
	// Reason is a word for machines: see the constants.
	Reason string
	Err    error
}

// The reasons of Dead.
const (
	// NotAnEvent: the body is not one JSON object within the bounds.
	NotAnEvent = "not-an-event"
	// NoMapping: no entry of events matched, and none is the last resort.
	NoMapping = "no-mapping"
	// Invalid: what would have come of it lacks a required attribute.
	Invalid = "invalid"
	// TooCostly: the mapping would have to do too much for it. It is given up
	// at the same step whenever it comes again.
	TooCostly = "too-costly"
)

func (d *Dead) Error() string {
	if d.Err == nil {
		return d.Reason
	}
	return d.Reason + ": " + d.Err.Error()
}

func (d *Dead) Unwrap() error { return d.Err }

// Load compiles mapping files and checks them against the schema. It returns
// every problem it finds; with one that is not a warning the set lacks the
// mappings concerned. Files that have only tables are for others to include.
// The slots it needs are added to layouts, which must not be frozen yet.
func Load(layouts *ocsf.Layouts, files []File) (*Set, []Problem) {
	return load(layouts, files, "")
}

// LoadSource is Load for programs that need the mapping of one source. The set
// knows the names of all.
func LoadSource(layouts *ocsf.Layouts, files []File, source string) (*Set, []Problem) {
	return load(layouts, files, source)
}

func load(layouts *ocsf.Layouts, files []File, only string) (*Set, []Problem) {
	l := &loader{layouts: layouts, files: map[string]*file{}}
	var order []*file
	for _, f := range files {
		if d := l.decode(f); d != nil {
			l.files[f.Name] = d
			order = append(order, d)
		}
	}
	s := &Set{bySource: map[string]*Mapping{}}
	for _, f := range order {
		if f.shared() {
			continue
		}
		if name := f.source.Value; only != "" && name != only {
			s.sources = append(s.sources, name)
			continue
		}
		if m := l.compile(f); m != nil {
			if old := s.bySource[m.Name]; old != nil {
				l.at(f.name, f.source, "duplicate-source", fmt.Sprintf("%s already maps source %q", old.File, m.Name), "")
				continue
			}
			s.bySource[m.Name] = m
			s.sources = append(s.sources, m.Name)
		}
	}
	slices.Sort(s.sources)
	return s, l.listed()
}

// Failed says whether problems has one that is not a warning.
func Failed(problems []Problem) bool {
	return slices.ContainsFunc(problems, func(p Problem) bool { return !p.Warning })
}
