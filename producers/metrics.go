package producers

import "github.com/prometheus/client_golang/prometheus"

// Metrics counts what goes in and onto the streams. Writers and intakes of one
// process share one.
type Metrics struct {
	deliveries *prometheus.CounterVec
	events     *prometheus.CounterVec
	bytes      *prometheus.CounterVec
	dead       *prometheus.CounterVec
	refused    *prometheus.CounterVec

	frames    *prometheus.CounterVec
	written   *prometheus.CounterVec
	raw       *prometheus.CounterVec
	packed    *prometheus.CounterVec
	retries   *prometheus.CounterVec
	misplaced *prometheus.CounterVec
	tooLarge  *prometheus.CounterVec
	claimed   *prometheus.CounterVec
	waiting   *prometheus.GaugeVec

	acked        *prometheus.CounterVec
	spooled      *prometheus.CounterVec
	drained      *prometheus.CounterVec
	spoolRefused *prometheus.CounterVec
	spoolDamaged *prometheus.CounterVec
	spoolBytes   *prometheus.GaugeVec
	spoolAge     *prometheus.GaugeVec
}

// NewMetrics makes the counters and registers them; with a nil Registerer
// they count for nobody.
func NewMetrics(reg prometheus.Registerer) *Metrics {
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		c := prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: "nagare", Name: name, Help: help}, labels)
		if reg != nil {
			reg.MustRegister(c)
		}
		return c
	}
	gauge := func(name, help string, labels ...string) *prometheus.GaugeVec {
		g := prometheus.NewGaugeVec(prometheus.GaugeOpts{Namespace: "nagare", Name: name, Help: help}, labels)
		if reg != nil {
			reg.MustRegister(g)
		}
		return g
	}
	return &Metrics{
		deliveries: counter("intake_deliveries_total", "Deliveries that became durable.", "source"),
		events:     counter("intake_events_total", "Events that became durable, dead letters included.", "source"),
		bytes:      counter("intake_bytes_total", "Bytes of deliveries, as they came.", "source"),
		dead:       counter("intake_dead_total", "Events that intake could not read.", "source", "reason"),
		refused:    counter("intake_refused_total", "Requests answered with an error.", "source", "status"),

		frames:    counter("writer_frames_total", "Frames put on a stream.", "stream"),
		written:   counter("writer_events_total", "Events put on a stream.", "stream"),
		raw:       counter("writer_raw_bytes_total", "Bytes of frames before compression.", "stream"),
		packed:    counter("writer_bytes_total", "Bytes of frames after compression.", "stream"),
		retries:   counter("writer_retries_total", "Frames that had to be sent again.", "stream", "code"),
		misplaced: counter("writer_misplaced_total", "Events sent again because their frame went to another shard.", "stream"),
		tooLarge:  counter("writer_too_large_total", "Events cut to a dead letter because no record holds them.", "stream"),
		claimed:   counter("writer_claims_total", "Events whose body is kept as an object because no record holds it.", "stream"),
		waiting:   gauge("writer_waiting_bytes", "Bytes of events accepted by the writer and not yet durable.", "stream"),

		acked:        counter("ack_events_total", "Events acknowledged, by what made them durable.", "stream", "by"),
		spooled:      counter("spool_events_total", "Events put into the spool.", "stream"),
		drained:      counter("spool_drained_events_total", "Events that went from the spool to the stream.", "stream"),
		spoolRefused: counter("spool_refused_total", "Batches that the spool did not take.", "stream", "reason"),
		spoolDamaged: counter("spool_damaged_total", "Batches of the spool that could not be read back.", "stream"),
		spoolBytes:   gauge("spool_bytes", "Bytes that the spool holds, drained ones included until their file is removed.", "stream"),
		spoolAge:     gauge("spool_oldest_seconds", "How long the oldest event has been waiting in the spool.", "stream"),
	}
}

// Refused counts a request that was answered with an error. A source that is
// not configured must be given as "", or strangers could grow the metric.
func (m *Metrics) Refused(source, status string) { m.refused.WithLabelValues(source, status).Inc() }
