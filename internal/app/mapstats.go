package app

import (
	"sync"

	"github.com/prometheus/client_golang/prometheus"

	"nagare/ocsf/mapping"
)

// scratches lends the memory that mappings work in, and gathers what they
// count in it.
type scratches struct {
	mu    sync.Mutex
	free  []*mapping.Scratch
	total map[string]*mapping.Stats
}

func (s *scratches) take() *mapping.Scratch {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := len(s.free)
	if n == 0 {
		return new(mapping.Scratch)
	}
	sc := s.free[n-1]
	s.free = s.free[:n-1]
	return sc
}

func (s *scratches) put(sc *mapping.Scratch) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.free = append(s.free, sc)
}

// sources calls f with the counts of each source. What is at work right now is
// counted the next time.
func (s *scratches) sources(f func(source string, st *mapping.Stats)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.total == nil {
		s.total = map[string]*mapping.Stats{}
	}
	for _, sc := range s.free {
		sc.Drain(s.total)
	}
	for name, st := range s.total {
		f(name, st)
	}
}

// A mappingCollector exposes what the mappings of a stage count: how a source
// drifts away from its mapping is seen here first.
type mappingCollector struct{ s *scratches }

var (
	mapEvents      = prometheus.NewDesc("nagare_mapping_events_total", "Events normalized, by source and class.", []string{"source", "class"}, nil)
	mapDead        = prometheus.NewDesc("nagare_mapping_dead_total", "Events that became no OCSF event, by reason.", []string{"source", "reason"}, nil)
	mapFields      = prometheus.NewDesc("nagare_mapping_fields_total", "Fields of events: mapped to attributes, or unmapped.", []string{"source", "to"}, nil)
	mapUnknown     = prometheus.NewDesc("nagare_mapping_last_resort_total", "Events only the last entry took, by the source's name of their type; at most 1000 names, then (others).", []string{"source", "event_code"}, nil)
	mapUnconverted = prometheus.NewDesc("nagare_mapping_unconverted_total", "Values that an attribute could not take, by attribute.", []string{"source", "attribute"}, nil)
	mapNotInTable  = prometheus.NewDesc("nagare_mapping_not_in_table_total", "Lookups of what a table does not have, by table.", []string{"source", "table"}, nil)
	mapOdd         = prometheus.NewDesc("nagare_mapping_odd_total", "Events that are not as they should be: incomplete, fell_through, time_suspect, not_utf8; duplicate members and truncated fields in them; objects dropped.", []string{"source", "what"}, nil)
)

// Describe implements prometheus.Collector.
func (c *mappingCollector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{mapEvents, mapDead, mapFields, mapUnknown, mapUnconverted, mapNotInTable, mapOdd} {
		ch <- d
	}
}

// Collect implements prometheus.Collector.
func (c *mappingCollector) Collect(ch chan<- prometheus.Metric) {
	c.s.sources(func(source string, st *mapping.Stats) {
		send := func(d *prometheus.Desc, counts map[string]int64) {
			for name, n := range counts {
				ch <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(n), source, name)
			}
		}
		send(mapEvents, st.Classes)
		send(mapDead, st.Dead)
		send(mapFields, map[string]int64{"mapped": st.Mapped, "unmapped": st.Unmapped})
		send(mapUnknown, st.Unknown.Map())
		send(mapUnconverted, st.ByAttribute.Map())
		send(mapNotInTable, st.ByTable.Map())
		send(mapOdd, map[string]int64{"incomplete": st.Incomplete, "fell_through": st.FellThrough, "time_suspect": st.TimeSuspect, "time_unit": st.TimeUnit,
			"duplicate": st.Duplicates, "truncated": st.Truncated, "not_utf8": st.NotUTF8, "dropped": st.Dropped})
	})
}
