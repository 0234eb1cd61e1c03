package app

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"nagare"
	"nagare/ocsf"
	"nagare/ocsf/mapping"
	"nagare/producers"
)

// MapOptions are the flags of map.
type MapOptions struct {
	Source  string
	Summary bool
	Format  string
	// OCSF is the version to bring events down to, as a lake of that version
	// gets them; "" leaves them as rules see them.
	OCSF  string
	Files []string
	// Out gets the events or the summary, Problems what is wrong with them.
	Out, Problems io.Writer
}

// A mapSummary is what map --summary says of a file.
type mapSummary struct {
	File   string `json:"file"`
	Source string `json:"source"`
	// Sources counts events by source, where they were recognised.
	Sources    map[string]int64 `json:"sources"`
	Events     int64            `json:"events"`
	Classes    map[string]int64 `json:"classes"`
	Valid      int64            `json:"valid"`
	Invalid    int64            `json:"invalid"`
	LastResort int64            `json:"last_resort"`
	// LastResortShare is LastResort among the events that were mapped.
	LastResortShare float64 `json:"last_resort_share"`
	// Unknown counts the events of LastResort by their metadata.event_code: at
	// most 1000 names, the rest under "(others)".
	Unknown map[string]int64 `json:"unknown"`
	// Unmapped is the number of source fields that no attribute takes,
	// UnmappedShare their share of all fields.
	Unmapped      int64   `json:"unmapped"`
	UnmappedShare float64 `json:"unmapped_share"`
	// Unconverted counts values that an attribute could not take, by attribute;
	// NotInTable lookups of what a table does not have, by table.
	Unconverted map[string]int64 `json:"unconverted"`
	NotInTable  map[string]int64 `json:"not_in_table"`
	// Incomplete counts events that lacked what their class requires and
	// became base events; TimeSuspect those without a believable time;
	// TimeUnit OCSF events whose time was not in milliseconds; Duplicates members of objects that a later one of the same name replaced.
	Incomplete  int64 `json:"incomplete"`
	TimeSuspect int64 `json:"time_suspect"`
	// Truncated counts unmapped fields that were cut or left out at the bounds,
	// NotUTF8 events with bytes that are no UTF-8.
	Truncated  int64            `json:"truncated"`
	NotUTF8    int64            `json:"not_utf8"`
	TimeUnit   int64            `json:"time_unit,omitempty"`
	Duplicates int64            `json:"duplicates"`
	Dead       map[string]int64 `json:"dead"`
	MBPerS     float64          `json:"mb_per_s"`
}

// add adds what a source's mapping counted. mapped is the number of fields
// that went into attributes.
func (s *mapSummary) add(st *mapping.Stats, mapped *int64) {
	s.LastResort += st.LastResort
	s.Unmapped += st.Unmapped
	s.Incomplete += st.Incomplete
	s.TimeSuspect += st.TimeSuspect
	s.TimeUnit += st.TimeUnit
	s.Truncated += st.Truncated
	s.NotUTF8 += st.NotUTF8
	s.Duplicates += st.Duplicates
	*mapped += st.Mapped
	for _, n := range []struct {
		to   map[string]int64
		from map[string]int64
	}{{s.Unknown, st.Unknown.Map()}, {s.Unconverted, st.ByAttribute.Map()}, {s.NotInTable, st.ByTable.Map()}} {
		for k, v := range n.from {
			n.to[k] += v
		}
	}
}

func newSummary(file, source string) mapSummary {
	return mapSummary{File: file, Source: source, Sources: map[string]int64{}, Classes: map[string]int64{}, Dead: map[string]int64{},
		Unknown: map[string]int64{}, Unconverted: map[string]int64{}, NotInTable: map[string]int64{}}
}

func share(part, whole int64) float64 {
	if whole == 0 {
		return 0
	}
	return float64(part) / float64(whole)
}

// withShare shows a number and its share of a whole.
func withShare(n int64, share float64) string { return fmt.Sprintf("%d (%.1f %%)", n, share*100) }

// Map normalizes files offline, through the same intake that deliveries take.
func Map(ctx context.Context, o Options, m MapOptions) error {
	c, err := loadCore(o, selection{onlyMappings: true, source: m.Source})
	if err != nil {
		return err
	}
	if err := c.err(); err != nil {
		return err
	}
	if m.Source != "" {
		if _, ok := c.mappings.Source(m.Source); !ok {
			return unknownSource(c, m.Source)
		}
	}
	down, err := c.downgradeTo(m.OCSF)
	if err != nil {
		return err
	}
	out := bufio.NewWriterSize(m.Out, 1<<20)
	l := listing{columns: []string{"file", "source", "events", "valid", "invalid", "last resort", "unmapped fields", "dead", "MB/s", "classes", "unknown", "unconverted"}}
	var bad int64
	for _, name := range m.Files {
		r := &mapRun{core: c, opts: m, down: down, file: name, out: out, sum: newSummary(name, m.Source)}
		if err := r.run(ctx); err != nil {
			return err
		}
		s := r.sum
		bad += s.Invalid
		for _, n := range s.Dead {
			bad += n
		}
		l.add(s, s.File, s.Source, fmt.Sprint(s.Events), fmt.Sprint(s.Valid), fmt.Sprint(s.Invalid), withShare(s.LastResort, s.LastResortShare), withShare(s.Unmapped, s.UnmappedShare),
			counts(s.Dead), fmt.Sprintf("%.1f", s.MBPerS), counts(s.Classes), counts(s.Unknown), counts(s.Unconverted))
	}
	if m.Summary {
		if err := l.print(out, m.Format); err != nil {
			return err
		}
	}
	if err := out.Flush(); err != nil {
		return err
	}
	if bad > 0 {
		return &Found{fmt.Sprintf("%d invalid or dead", bad)}
	}
	return nil
}

func unknownSource(c *core, name string) error {
	if near := ocsf.Nearest(name, c.sourcesOf()); near != "" {
		return usagef("there is no source %q; did you mean %q?", name, near)
	}
	return usagef("there is no source %q; there are %s", name, strings.Join(c.sourcesOf(), ", "))
}

// counts shows a map of counts, the largest first.
func counts(m map[string]int64) string {
	keys := slices.SortedFunc(maps.Keys(m), func(a, b string) int {
		if m[a] != m[b] {
			return int(m[b] - m[a])
		}
		return strings.Compare(a, b)
	})
	var parts []string
	for _, k := range keys {
		parts = append(parts, fmt.Sprintf("%s %d", k, m[k]))
	}
	return strings.Join(parts, ", ")
}

// A mapRun maps one file. It takes the place of the stream: intake puts the
// events here.
type mapRun struct {
	core *core
	opts MapOptions
	down *ocsf.Downgrade // nil leaves events as they are
	file string
	out  *bufio.Writer
	sum  mapSummary

	sniffer  *mapping.Head // tells the source of an event that has none
	scratch  mapping.Scratch
	event    ocsf.Event
	older    ocsf.Event // after the downgrade
	line     []byte
	problems []ocsf.Problem
	sources  map[string]bool
	guessed  bool // the source is a guess by the file's name
	number   int
}

func (r *mapRun) run(ctx context.Context) error {
	in, closeFile, err := openInput(r.file)
	if err != nil {
		return &Usage{err}
	}
	defer closeFile()
	r.sources, r.sniffer = map[string]bool{}, r.core.mappings.Head(mapping.Options{})
	source := r.opts.Source
	if source == "" {
		source, r.guessed, in = sniff(r.file, in)
	}
	limits := r.core.config.Limits
	intake := producers.NewIntake(producers.Config{
		Head:   func() producers.Head { return &sniffingHead{r.core.mappings.Head(mapping.Options{})} },
		Events: r, Adapters: adapters, Decompressed: int(limits.Decompressed), Depth: limits.Depth, InOrder: true,
	})
	began := time.Now()
	var bytes int64
	_, err = intake.AcceptFile(ctx, producers.Delivery{Source: source, Name: filepath.Base(r.file), Auth: nagare.AuthPass}, in, func(n int64) { bytes = n })
	if err != nil {
		return err
	}
	var mapped, fields int64
	for name := range r.sources {
		if st := r.scratch.Stats(name); st != nil {
			r.sum.add(st, &fields)
			bytes = max(bytes, st.Bytes)
		}
	}
	for _, n := range r.sum.Classes {
		mapped += n
	}
	r.sum.LastResortShare, r.sum.UnmappedShare = share(r.sum.LastResort, mapped), share(r.sum.Unmapped, r.sum.Unmapped+fields)
	if r.sum.Source == "" {
		r.sum.Source = strings.Join(slices.Sorted(maps.Keys(r.sources)), ",")
	}
	r.sum.MBPerS = float64(bytes) / 1e6 / time.Since(began).Seconds()
	return nil
}

// openInput opens a file; - is standard input.
func openInput(name string) (io.Reader, func() error, error) {
	if name == "-" {
		return os.Stdin, func() error { return nil }, nil
	}
	f, err := os.Open(name)
	if err != nil {
		return nil, nil, err
	}
	if info, err := f.Stat(); err != nil || info.IsDir() {
		f.Close()
		return nil, nil, fmt.Errorf("%s is a folder: name its files", name)
	}
	return f, f.Close, nil
}

// Put implements producers.Putter: it normalizes instead.
func (r *mapRun) Put(ctx context.Context, events []nagare.Event) error {
	for i := range events {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := r.one(&events[i]); err != nil {
			return err
		}
	}
	return nil
}

func (r *mapRun) one(ev *nagare.Event) error {
	r.number++
	r.sum.Events++
	if ev.Reason != "" {
		r.dead(ev, ev.Reason, ev.Error)
		return nil
	}
	if ev.Source == "" {
		source, ok := r.sniffer.Detect(ev.Body)
		if !ok {
			r.dead(ev, "unrecognised", "no mapping accepts it: name one with --source")
			return nil
		}
		ev.Source = source
	} else if r.guessed {
		r.better(ev)
	}
	r.sources[ev.Source] = true
	r.sum.Sources[ev.Source]++
	m, ok := r.core.mappings.Source(ev.Source)
	if !ok {
		r.dead(ev, mapping.NoMapping, "")
		return nil
	}
	if err := m.Normalize(ev, &r.event, &r.scratch); err != nil {
		reason, text := reasonOf(err)
		r.dead(ev, reason, text)
		return nil
	}
	e := &r.event
	if r.down != nil {
		e = &r.older
		r.problems = r.down.Convert(&r.event, e, r.problems[:0])
	} else {
		r.problems = ocsf.Validate(e, r.problems[:0])
	}
	r.sum.Classes[e.Class().Name]++
	if len(r.problems) > 0 {
		r.sum.Invalid++
		if !r.opts.Summary {
			for _, p := range r.problems {
				fmt.Fprintf(r.opts.Problems, "%s: event %d (%s): not valid: %s\n", r.file, r.number, ev.UID, p)
			}
		}
	} else {
		r.sum.Valid++
	}
	if r.opts.Summary {
		return nil
	}
	r.line = append(e.AppendJSON(r.line[:0]), '\n')
	_, err := r.out.Write(r.line)
	return err
}

// better gives a row of a list to the source whose mapping knows its columns,
// if that is another than the one that its file's name stands for.
func (r *mapRun) better(ev *nagare.Event) {
	source, ok := r.sniffer.Detect(ev.Body)
	if !ok || source == ev.Source {
		return
	}
	events, err := r.sniffer.Split(source, ev.Body, mapping.HeadMeta{Source: source, Auth: ev.Auth, Tenant: ev.Tenant, Received: ev.Received})
	if err != nil || len(events) != 1 {
		return
	}
	ev.Source, ev.Body = source, events[0].Body
	if events[0].UID != "" {
		ev.UID = events[0].UID
	}
}

func (r *mapRun) dead(ev *nagare.Event, reason, text string) {
	r.sum.Dead[reason]++
	if !r.opts.Summary {
		fmt.Fprintf(r.opts.Problems, "%s: event %d: dead letter: %s: %s\n", r.file, r.number, reason, text)
	}
}

// reasonOf takes a mapping's error apart.
func reasonOf(err error) (reason, text string) {
	if d, ok := err.(*mapping.Dead); ok {
		if d.Err == nil {
			return d.Reason, ""
		}
		return d.Reason, d.Err.Error()
	}
	return "error", err.Error()
}

// A sniffingHead finds the mapping of a value that has no source by looking at
// it.
type sniffingHead struct{ *mapping.Head }

// Split implements producers.Head.
func (h *sniffingHead) Split(source string, body []byte, meta mapping.HeadMeta) ([]mapping.HeadEvent, error) {
	if source == "" {
		found, ok := h.Head.Detect(body)
		if !ok {
			return nil, fmt.Errorf("no mapping accepts it")
		}
		source = found
	}
	return h.Head.Split(source, body, meta)
}
