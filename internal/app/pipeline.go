package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"runtime/debug"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"

	"nagare/consumers"
	"nagare/consumers/compact"
	"nagare/consumers/live"
	"nagare/internal/alert"
	"nagare/internal/claim"
	"nagare/internal/config"
	"nagare/internal/coord"
	"nagare/internal/lake"
	"nagare/ocsf"
	"nagare/producers"
	"nagare/producers/webhook"
)

// The names of the two applications.
const (
	liveApp    = "live"
	compactApp = "compact"
)

// terminal is the receiver of alerts where none is configured.
const terminal = "terminal"

// softMemory is from where on the collector works harder. All queues together
// may hold about half of it; without it, garbage of large deliveries would
// stay as long as memory is free. GOMEMLIMIT sets another.
const softMemory = 384 << 20

func limitMemory() {
	if os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(softMemory)
	}
}

// A plan says which parts of the pipeline run in this process, and on what.
type plan struct {
	// ingest takes deliveries in, live evaluates the rules and sends alerts,
	// compact fills the lake.
	ingest, live, compact bool
	// listen is intake's address, admin that of metrics and health.
	listen, admin string
	// flush is how long events wait for a lake file, if the configuration
	// does not say.
	flush time.Duration
	// out is where addresses and, without receivers, alerts are printed.
	out io.Writer

	// aws is how streams are reached.
	aws aws.Config
	// lease is how long a shard waits for the worker that has it.
	lease time.Duration
	// alone says that no other process works on the same rows, so that what a
	// killed one held is free at once.
	alone bool
	// compactPolls makes compact read by polling. It is cheaper than fan-out
	// and slower by a fraction of a second.
	compactPolls bool
	// makeTokens gives sources without auth a token; else they are left out.
	makeTokens bool

	// started is told the addresses; what it fails with stops the pipeline.
	started func(intake, admin string) error
}

// A pipeline is what runs of a plan.
type pipeline struct {
	plan
	core    *core
	opts    Options
	data    *dataDir
	store   coord.Store
	reg     *prometheus.Registry
	objects objects
	tables  *lake.Tables
	// downgrade is nil when the lake has the schema of the mappings.
	downgrade *ocsf.Downgrade
	alerts    *alert.Store
	// served are the sources that intake takes, and tokens what was made for
	// those without auth.
	served []string
	tokens map[string]string

	mapped scratches // of the live stage, which sees every event once

	events, bulk *producers.Writer // nil when nothing is written
	// toEvents and toBulk are where intake puts events: the writers, perhaps
	// with a spool before them.
	toEvents, toBulk producers.Putter
	// reach knows whether deliveries can be acknowledged.
	reach        reach
	spools       []spooled
	claims       *claim.Store // of bodies that no record holds
	monitors     []*consumers.Monitor
	liveStats    *live.Stats
	compactStats *compact.Stats
}

// checkAdmin holds metrics and health on this machine.
func checkAdmin(addr string) error {
	if host, _, err := net.SplitHostPort(addr); err != nil || !loopback(host) {
		return usagef("--admin %q: metrics and health are served on loopback only, as 127.0.0.1:8081", addr)
	}
	return nil
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || (ip != nil && ip.IsLoopback())
}

// streams are the names of the events stream and of that for old events.
func streams(c config.Config) []string {
	return []string{c.Stream.Name, c.Stream.Name + "-bulk"}
}

// run runs the pipeline until ctx is over, then drains it: intake stops first,
// what it accepted is written, and the consumers make durable what they have
// read.
func (p *pipeline) run(ctx context.Context) (err error) {
	o, c := p.opts, p.core
	p.reg, p.liveStats, p.compactStats = newRegistry(), &live.Stats{}, &compact.Stats{}
	if p.store, err = openCoord(ctx, o, c.config.Coord); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, p.store.Close()) }()
	if p.compact {
		if p.objects, err = openObjects(o, c.config); err != nil {
			return err
		}
		if err := ownLake(ctx, p.objects); err != nil {
			return err
		}
		if err := claimLake(ctx, p.objects, c.config.Lake.OCSF); err != nil {
			return err
		}
		schema, downgrade, err := c.lakeTarget()
		if err != nil {
			return err
		}
		p.tables, p.downgrade = lake.NewTables(schema), downgrade
	}
	client := kinesis.NewFromConfig(p.aws)
	names := streams(c.config)
	later, err := p.startStreams(ctx, client, names)
	if err != nil {
		return away(unreachablef("%w", err))
	}
	metrics := producers.NewMetrics(p.reg)
	if p.claims, err = openClaims(o, c.config); err != nil {
		return err
	}
	writer := producers.WriterConfig{Claims: p.claims, Log: o.Log, Metrics: metrics}
	if p.ingest || p.live {
		p.events = producers.NewWriter(client, names[0], writer)
	}
	if p.ingest {
		p.bulk = producers.NewWriter(client, names[1], writer)
		if err := p.openSpools(names, metrics); err != nil {
			return err
		}
		defer func() { err = errors.Join(err, p.closeSpools()) }()
	}
	var sender *alert.Sender
	if p.live {
		p.alerts = alert.NewStore(p.store, alert.Config{Route: c.route, Log: o.Log})
		if sender, err = p.sender(); err != nil {
			return err
		}
	}
	adminListener, err := net.Listen("tcp", p.admin)
	if err != nil {
		return usagef("--admin: %w; name another address, or stop what has it", err)
	}
	var intakeListener net.Listener
	var handler http.Handler
	if p.ingest {
		if handler, err = p.intake(metrics); err != nil {
			return errors.Join(err, adminListener.Close())
		}
		if intakeListener, err = net.Listen("tcp", p.listen); err != nil {
			return errors.Join(usagef("--listen: %w; name another address, or stop what has it", err), adminListener.Close())
		}
	}
	p.registerMetrics()

	// Three stages stop one after another: intake, then the writers, then the
	// consumers with the alerts.
	serving, stopServing := context.WithCancelCause(ctx)
	defer stopServing(nil)
	writing, stopWriting := context.WithCancel(context.WithoutCancel(ctx))
	defer stopWriting()
	consuming, stopConsuming := context.WithCancel(context.WithoutCancel(ctx))
	defer stopConsuming()
	front, writers, back := new(errgroup.Group), new(errgroup.Group), new(errgroup.Group)
	must := func(what string, err error) error {
		if err != nil {
			err = fmt.Errorf("%s: %w", what, err)
			stopServing(err) // one part that cannot go on stops them all
		}
		return err
	}
	if p.ingest {
		front.Go(func() error { return must("intake", serveHTTP(serving, intakeListener, webhook.Server(handler))) })
	}
	front.Go(func() error {
		return must("admin", serveHTTP(serving, adminListener, webhook.Server(p.adminHandler())))
	})
	writers.Go(func() error {
		later(writing)
		if p.ingest {
			p.sweepClaims(writing, client, names)
		}
		return nil
	})
	front.Go(func() error { return must("embedded stream", p.data.watch(serving)) })
	if p.ingest && p.needsStream() {
		front.Go(func() error { p.reach.look(serving, p.aws, names); return nil })
	}
	for _, s := range p.spools { // with intake, so that the writers outlive them
		front.Go(func() error { return must("spool of "+s.stream, s.spool.Run(serving, s.writer)) })
	}
	for what, w := range map[string]*producers.Writer{"events writer": p.events, "bulk writer": p.bulk} {
		if w != nil {
			writers.Go(func() error { return must(what, w.Run(writing)) })
		}
	}
	if sender != nil {
		back.Go(func() error { return must("alerts", sender.Run(consuming)) })
	}
	for _, cfg := range p.consumers(names[0], names[1]) {
		back.Go(func() error { return must(cfg.App+" on "+cfg.Stream, consume(consuming, cfg)) })
	}
	intakeURL := ""
	if p.ingest {
		intakeURL = "http://" + reachable(intakeListener.Addr())
	}
	if err := p.started(intakeURL, "http://"+reachable(adminListener.Addr())); err != nil {
		stopServing(err)
	}
	<-serving.Done()
	o.Log.Info("stopping")
	err = front.Wait()
	stopWriting()
	err = errors.Join(err, writers.Wait())
	stopConsuming()
	err = errors.Join(err, back.Wait())
	if cause := context.Cause(serving); err == nil && !errors.Is(cause, context.Canceled) {
		err = cause
	}
	return err
}

// reachable is an address that a client can dial.
func reachable(a net.Addr) string {
	host, port, err := net.SplitHostPort(a.String())
	if err != nil {
		return a.String()
	}
	if ip := net.ParseIP(host); ip != nil && ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	return net.JoinHostPort(host, port)
}

// serveHTTP serves until ctx is over, and lets requests end within five
// seconds.
func serveHTTP(ctx context.Context, l net.Listener, s *http.Server) error {
	stopped := make(chan error, 1)
	go func() {
		<-ctx.Done()
		end, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
		defer cancel()
		stopped <- s.Shutdown(end)
	}()
	if err := s.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	if err := <-stopped; err != nil {
		return errors.Join(err, s.Close())
	}
	return nil
}

// consumers are the configurations of everything that reads a stream here.
func (p *pipeline) consumers(events, bulk string) []consumers.Config {
	flush := p.core.config.Lake.Flush
	if flush == 0 {
		flush = p.flush
	}
	base := consumers.Config{
		Kinesis: p.aws, Coord: p.store, FanOut: true, LeaseTime: p.lease, Sole: p.alone,
		DefaultSource: "unknown", Claims: p.claims, Log: p.opts.Log,
	}
	var out []consumers.Config
	if p.live {
		cfg := base
		cfg.App, cfg.Stream = liveApp, events
		cfg.NewStage = live.New(live.Config{
			Normalize: p.core.counted(&p.mapped), Eval: p.core.eval(alert.Live, false), Record: p.alerts.Record, Stats: p.liveStats,
		})
		out = append(out, cfg)
	}
	if p.compact {
		for _, stream := range []string{events, bulk} {
			cfg := base
			cfg.App, cfg.Stream, cfg.FlushEvery, cfg.FanOut = compactApp, stream, flush, !p.compactPolls
			cfg.NewStage = compact.New(p.compactConfig())
			out = append(out, cfg)
		}
	}
	for i := range out {
		out[i].Monitor = &consumers.Monitor{}
		p.monitors = append(p.monitors, out[i].Monitor)
	}
	return out
}

// consume reads a stream. What a stop did not leave the time to flush is still
// there, and the next worker reads it again: that is no error.
func consume(ctx context.Context, cfg consumers.Config) error {
	err := consumers.Run(ctx, cfg)
	if errors.Is(err, consumers.ErrNotFlushed) {
		cfg.Log.Info("what was not flushed at the stop is read again by whoever has the shards next", "app", cfg.App, "stream", cfg.Stream, "err", err)
		return nil
	}
	return err
}

// sender makes the alert sender with the configured receivers.
func (p *pipeline) sender() (*alert.Sender, error) {
	receivers, err := receiversOf(p.core.config, p.out)
	if err != nil {
		return nil, err
	}
	return alert.NewSender(p.alerts, alert.SenderConfig{
		Receivers: receivers, Second: alert.NewTerminal(p.out), PutFinding: p.events.Put, Log: p.opts.Log,
	}), nil
}

// receiversOf makes the configured receivers; without any it is the terminal.
func receiversOf(c config.Config, out io.Writer) (map[string]alert.Receiver, error) {
	receivers := map[string]alert.Receiver{}
	for name, r := range c.Receivers {
		slack, err := alert.NewSlack(alert.SlackConfig{
			Token: alert.Secret(r.Slack.Token.Reveal()), Channel: r.Slack.Channel, Webhook: alert.Secret(r.Slack.Webhook.Reveal()), API: r.Slack.API,
		})
		if err != nil {
			return nil, usagef("receivers.%s: %w", name, err)
		}
		receivers[name] = slack
	}
	if len(receivers) == 0 {
		receivers[terminal] = alert.NewTerminal(out)
	}
	return receivers, nil
}

// sourcesOf are the sources that a person may name.
func (c *core) sourcesOf() []string {
	return slices.DeleteFunc(slices.Clone(c.mappings.Sources()), func(s string) bool { return s == live.FindingSource })
}
