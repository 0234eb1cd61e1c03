// Package detect is detection as code: it loads rule files, refuses those that
// could read a wrong attribute or hold because something is absent, evaluates
// them on OCSF events, and runs the cases they carry.
//
// It reads no stream and tells nobody: what a rule concludes is a Match, and
// its caller decides what becomes of it. Rules with windows are not here yet.
package detect

import (
	"io/fs"
	"sync"
	"sync/atomic"
	"time"

	"nagare"
	"nagare/ocsf"
	"nagare/ocsf/expr"
)

// A File is one rule file.
type File struct {
	// Name is what problems call it.
	Name string
	Data []byte
	// Dir and Base are where the files that cases name are looked for.
	Dir  fs.FS
	Base string
}

// Options say what Load may know of the world around the rules.
type Options struct {
	// Fills says whether any enabled source can fill an attribute of a class;
	// nil believes so of all.
	Fills func(class, path string) bool
	// Receivers are the names that alert.to may have; nil checks none.
	Receivers []string
	// Today decides which exceptions are called expired; zero is now.
	Today time.Time
}

// A Rule is one rule, compiled.
type Rule struct {
	ID, Title, Description string
	// Severity is a word, or "" when it is computed for each event.
	Severity string
	// Shadow rules keep their alerts to themselves.
	Shadow bool
	// Classes are the class names; nil is any class.
	Classes []string
	// Dedupe is how long later matches of a key join an alert.
	Dedupe                     time.Duration
	To                         []string
	Attack, References         []string
	Runbook, Owner             string
	FalsePositives             []string
	File                       string
	Enabled                    bool
	Cases                      []Case
	where, key, suppress, sevX *expr.EventExpr
	text                       template
	except                     []exception
	env                        *expr.EventEnv
	stats                      RuleStats
}

// RuleStats counts what a rule did.
type RuleStats struct {
	// Evaluated, Matched and Excepted count events; Failed counts evaluations
	// that ended in an error, which is no match.
	Evaluated, Matched, Excepted, Failed atomic.Int64
}

// Stats are the rule's counters.
func (r *Rule) Stats() *RuleStats { return &r.stats }

// An exception keeps a rule silent for events before until, by their own time:
// so a replay says what live said.
type exception struct {
	when  *expr.EventExpr
	until time.Time
}

// forever is until when an exception without an end holds.
var forever = time.Date(9999, 12, 31, 0, 0, 0, 0, time.UTC)

// A Match is one event for which a rule's condition held.
type Match struct {
	Rule *Rule
	// Key is what the rule is about for this event; "" if the rule has none,
	// or the event lacks it: then there is one alert for each event.
	Key string
	// Severity is informational, low, medium, high or critical.
	Severity string
	// Text is what the rule says; its parts come from the event.
	Text      string
	EventUID  string
	EventTime time.Time
	// Suppressed matches go to the lake and raise no alert.
	Suppressed bool
}

// Rules are all rules of a program. They may be used by many goroutines.
type Rules struct {
	all     []*Rule
	byClass map[int][]*Rule
	any     []*Rule
	layouts *ocsf.Layouts
	// vars are *expr.Vars, one for each goroutine at work.
	vars sync.Pool
}

// All returns the rules, ordered by id.
func (r *Rules) All() []*Rule { return r.all }

// A Normalizer makes the OCSF event of a raw one.
type Normalizer func(ev *nagare.Event, out *ocsf.Event) error

// severities are the words for how bad something is, mildest first.
var severities = []string{"informational", "low", "medium", "high", "critical"}

// DefaultDedupe is how long later matches of a key join an alert.
const DefaultDedupe = time.Hour
