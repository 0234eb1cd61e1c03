package app

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"nagare/consumers"
	"nagare/internal/coord"
)

func newRegistry() *prometheus.Registry {
	reg := prometheus.NewRegistry()
	reg.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return reg
}

// adminHandler serves health and metrics, on loopback.
func (p *pipeline) adminHandler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("ok\n")) })
	mux.HandleFunc("GET /readyz", p.ready)
	mux.Handle("GET /metrics", promhttp.HandlerFor(p.reg, promhttp.HandlerOpts{}))
	return mux
}

// ready answers 200 when every consumer there is reads its stream and intake can
// acknowledge, and says for each shard how far it is and what it waits for. A
// shard that does not get on is borne for a while (consumers.StuckAfter); one
// whose ledger is lost is not read until a person does something, so that is
// not ready at once.
func (p *pipeline) ready(w http.ResponseWriter, _ *http.Request) {
	type shard struct {
		Shard  string  `json:"shard"`
		Lag    float64 `json:"lag_seconds"`
		Reason string  `json:"reason,omitempty"`
		Gap    string  `json:"gap,omitempty"`
	}
	type consumer struct {
		App    string  `json:"app"`
		Stream string  `json:"stream"`
		Ready  bool    `json:"ready"`
		Reason string  `json:"reason,omitempty"`
		Shards []shard `json:"shards"`
		// Unread are shards that no process has taken for a whole lease; nobody
		// knows what is in them.
		Unread []shard `json:"unread,omitempty"`
	}
	type intake struct {
		Ready  bool   `json:"ready"`
		Reason string `json:"reason,omitempty"`
	}
	answer := struct {
		Ready     bool       `json:"ready"`
		Intake    *intake    `json:"intake,omitempty"`
		Consumers []consumer `json:"consumers"`
	}{Ready: true, Consumers: []consumer{}}
	if p.ingest {
		answer.Intake = &intake{Ready: true}
		if err := p.reach.err(); err != nil && p.needsStream() {
			*answer.Intake = intake{Reason: err.Error()}
			answer.Ready = false
		}
	}
	stopped := map[[2]string]bool{}
	if p.compact {
		for _, s := range p.compactStats.Lake.Stopped() {
			stopped[[2]string{streamName(s.Stream), s.Shard}] = true
		}
	}
	for _, m := range p.monitors {
		h := m.Health()
		c := consumer{App: h.App, Stream: h.Stream, Ready: h.Ready, Reason: h.Reason, Shards: []shard{}}
		var lost []string
		for _, s := range h.Shards {
			c.Shards = append(c.Shards, shard{s.Shard, s.Lag.Seconds(), s.Reason, s.Gap})
			if h.App == compactApp && stopped[[2]string{h.Stream, s.Shard}] {
				lost = append(lost, s.Shard)
			}
		}
		if len(lost) > 0 {
			c.Ready = false
			c.Reason = "shards cannot be opened: the lake's ledger is lost or behind the lake; see " + strings.Join(lost, " ")
		}
		for _, u := range h.Unread {
			c.Unread = append(c.Unread, shard{Shard: u.Shard, Lag: time.Since(u.Since).Seconds()})
		}
		answer.Ready = answer.Ready && c.Ready
		answer.Consumers = append(answer.Consumers, c)
	}
	w.Header().Set("Content-Type", "application/json")
	if !answer.Ready {
		w.WriteHeader(http.StatusServiceUnavailable)
	}
	_ = json.NewEncoder(w).Encode(answer)
}

// registerMetrics exposes what the rooms count themselves.
func (p *pipeline) registerMetrics() {
	counter := func(name, help string, labels prometheus.Labels, f func() float64) {
		p.reg.MustRegister(prometheus.NewCounterFunc(prometheus.CounterOpts{Namespace: "nagare", Name: name, Help: help, ConstLabels: labels}, f))
	}
	plain := func(name, help string, f func() int64) {
		counter(name, help, nil, func() float64 { return float64(f()) })
	}
	if p.live {
		p.registerLive(plain, counter)
	}
	if p.compact {
		p.registerLake(plain)
	}
	if s, ok := p.store.(interface{ Stats() *coord.DynamoDBStats }); ok {
		registerCoord(s.Stats(), plain)
	}
	p.reg.MustRegister(&shardCollector{p}, &mappingCollector{&p.mapped})
}

// registerCoord exposes how the service with leases, ledger and alerts does.
func registerCoord(s *coord.DynamoDBStats, plain func(name, help string, f func() int64)) {
	plain("coord_requests_total", "Requests sent to DynamoDB.", s.Requests.Load)
	plain("coord_throttled_total", "Requests that DynamoDB refused for their rate.", s.Throttled.Load)
	plain("coord_failed_total", "Requests to DynamoDB without an answer, or with 5xx.", s.Failed.Load)
	plain("coord_readbacks_total", "Reads that found out what had become of a write.", s.ReadBacks.Load)
	plain("coord_unknown_total", "Writes of which nobody knows what became of them.", s.Unknown.Load)
	plain("coord_tables_made_total", "How often the table was made.", s.Tables.Load)
}

// registerLive exposes what became of rules and alerts.
func (p *pipeline) registerLive(plain func(name, help string, f func() int64), counter func(name, help string, labels prometheus.Labels, f func() float64)) {
	plain("live_events_total", "Events that rules were evaluated on.", p.liveStats.Events.Load)
	plain("live_unusable_total", "Events that could not be normalized for rules.", p.liveStats.Unusable.Load)
	plain("live_matches_total", "Matches of rules.", p.liveStats.Matches.Load)
	for _, r := range p.core.rules.All() {
		labels := prometheus.Labels{"rule": r.ID}
		counter("rule_matches_total", "Matches by rule.", labels, func() float64 { return float64(r.Stats().Matched.Load()) })
		counter("rule_failures_total", "Evaluations that ended in an error.", labels, func() float64 { return float64(r.Stats().Failed.Load()) })
	}
	a := p.alerts.Stats()
	plain("alerts_raised_total", "Alerts raised.", a.Raised.Load)
	plain("alerts_joined_total", "Events that joined an alert.", a.Joined.Load)
	plain("alerts_sent_total", "Messages sent.", a.Sent.Load)
	plain("alerts_throttled_total", "Refusals of a receiver with a wait.", a.Throttled.Load)
	plain("alerts_undeliverable_total", "Messages given up.", a.Dead.Load)
	plain("findings_total", "Findings put onto the stream.", a.Findings.Load)
}

// A shardCollector exposes the consumers' lag by shard.
type shardCollector struct{ p *pipeline }

var (
	lagDesc    = prometheus.NewDesc("nagare_consumer_lag_seconds", "How long the next event of a shard has been waiting, or, if it does not get on or nobody reads it, for how long that is so.", []string{"app", "stream", "shard"}, nil)
	eventsDesc = prometheus.NewDesc("nagare_consumer_events_total", "Events handed to a consumer.", []string{"app", "stream"}, nil)
	skipDesc   = prometheus.NewDesc("nagare_consumer_misrouted_total", "Events left out because another shard has them.", []string{"app", "stream"}, nil)
	gapsDesc   = prometheus.NewDesc("nagare_consumer_gaps_total", "Places where records may be missing, because the stream trimmed them before they were read.", []string{"app", "stream"}, nil)
	takenDesc  = prometheus.NewDesc("nagare_consumer_leases_taken_total", "Shards this process began to read.", []string{"app", "stream"}, nil)
	lostDesc   = prometheus.NewDesc("nagare_consumer_leases_lost_total", "Shards that were taken from this process.", []string{"app", "stream"}, nil)
	readErrors = prometheus.NewDesc("nagare_consumer_read_errors_total", "Reads of the stream that failed, throttled ones included.", []string{"app", "stream"}, nil)
	retryDesc  = prometheus.NewDesc("nagare_consumer_retries_total", "Calls that failed and were made again.", []string{"app", "stream"}, nil)
)

// Describe implements prometheus.Collector.
func (c *shardCollector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{lagDesc, eventsDesc, skipDesc, retryDesc, gapsDesc, takenDesc, lostDesc, readErrors} {
		ch <- d
	}
}

// Collect implements prometheus.Collector.
func (c *shardCollector) Collect(ch chan<- prometheus.Metric) {
	var all []consumers.Health
	for _, m := range c.p.monitors {
		all = append(all, m.Health())
	}
	for _, h := range all {
		if h.App == "" {
			continue // not started yet
		}
		for _, s := range h.Shards {
			ch <- prometheus.MustNewConstMetric(lagDesc, prometheus.GaugeValue, s.Lag.Seconds(), h.App, h.Stream, s.Shard)
		}
		for _, u := range h.Unread {
			if !slices.ContainsFunc(h.Shards, func(s consumers.ShardHealth) bool { return s.Shard == u.Shard }) {
				ch <- prometheus.MustNewConstMetric(lagDesc, prometheus.GaugeValue, time.Since(u.Since).Seconds(), h.App, h.Stream, u.Shard)
			}
		}
		for desc, n := range map[*prometheus.Desc]uint64{
			eventsDesc: h.Counts.Events, skipDesc: h.Counts.Misrouted, retryDesc: h.Counts.Retries, gapsDesc: h.Counts.Gaps,
			takenDesc: h.Counts.LeasesTaken, lostDesc: h.Counts.LeasesLost, readErrors: h.Counts.ReadErrors,
		} {
			ch <- prometheus.MustNewConstMetric(desc, prometheus.CounterValue, float64(n), h.App, h.Stream)
		}
	}
}
