package app

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"runtime/debug"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"

	"nagare/consumers"
	"nagare/consumers/compact"
	"nagare/consumers/live"
	"nagare/internal/alert"
	"nagare/internal/config"
	"nagare/internal/coord"
	"nagare/internal/lake"
	"nagare/ocsf"
	"nagare/ocsf/mapping"
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

// UpOptions are the flags of up.
type UpOptions struct {
	Listen, Admin string
	Flush         time.Duration
	// Out is where addresses and, without receivers, alerts are printed.
	Out io.Writer
}

// Up runs the whole pipeline until ctx is over, then drains it: intake stops
// first, what it accepted is written, and the consumers make durable what
// they have read.
func Up(ctx context.Context, o Options, up UpOptions) error {
	c, err := loadCore(o, selection{})
	if err != nil {
		return err
	}
	if err := c.err(); err != nil {
		return err
	}
	for _, p := range c.problems {
		o.Log.Warn(p.String())
	}
	if host, _, err := net.SplitHostPort(up.Admin); err != nil || !loopback(host) {
		return usagef("--admin %q: metrics and health are served on loopback only, as 127.0.0.1:8081", up.Admin)
	}
	data, err := openData(ctx, o, "127.0.0.1:0")
	if err != nil {
		return err
	}
	if !data.ours() {
		return usagef("process %d already runs on %s; stop it, or name another folder with --data", data.run.PID, o.Data)
	}
	if os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(softMemory)
	}
	err = runPipeline(ctx, o, up, c, data)
	return errors.Join(err, data.close())
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || (ip != nil && ip.IsLoopback())
}

// A pipeline is everything that runs in up.
type pipeline struct {
	core    *core
	opts    Options
	up      UpOptions
	data    *dataDir
	store   coord.Store
	reg     *prometheus.Registry
	objects objects
	tables  *lake.Tables
	// downgrade is nil when the lake has the schema of the mappings.
	downgrade *ocsf.Downgrade
	alerts    *alert.Store
	tokens    map[string]string

	mapped scratches // of the live stage, which sees every event once

	events, bulk *producers.Writer
	monitors     []*consumers.Monitor
	liveStats    *live.Stats
	compactStats *compact.Stats
}

func runPipeline(ctx context.Context, o Options, up UpOptions, c *core, data *dataDir) (err error) {
	store, err := data.coord()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	p := &pipeline{core: c, opts: o, up: up, data: data, store: store, reg: newRegistry(),
		liveStats: &live.Stats{}, compactStats: &compact.Stats{}}
	if p.objects, err = openObjects(o, c.config); err != nil {
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
	client := data.client()
	names := []string{c.config.Stream.Name, c.config.Stream.Name + "-bulk"}
	if err := makeStreams(ctx, client, names, c.config.Stream.Shards, c.config.Stream.Retention); err != nil {
		return unreachablef("%w", err)
	}
	metrics := producers.NewMetrics(p.reg)
	writer := producers.WriterConfig{Log: o.Log, Metrics: metrics}
	p.events, p.bulk = producers.NewWriter(client, names[0], writer), producers.NewWriter(client, names[1], writer)
	p.alerts = alert.NewStore(store, alert.Config{Route: c.route, Log: o.Log})
	sender, err := p.sender()
	if err != nil {
		return err
	}
	key, err := data.hashKey()
	if err != nil {
		return fmt.Errorf("key of hashed fields: %w", err)
	}
	intake := producers.NewIntake(producers.Config{
		Head: func() producers.Head { return c.mappings.Head(mapping.Options{HashKey: key}) }, Events: p.events, Bulk: p.bulk, Adapters: adapters,
		Decompressed: int(c.config.Limits.Decompressed), Depth: c.config.Limits.Depth, Log: o.Log, Metrics: metrics,
	})
	handler, err := p.intakeHandler(intake, metrics)
	if err != nil {
		return &Usage{err}
	}

	intakeListener, err := net.Listen("tcp", up.Listen)
	if err != nil {
		return usagef("--listen: %w; name another address, or stop what has it", err)
	}
	adminListener, err := net.Listen("tcp", up.Admin)
	if err != nil {
		return errors.Join(usagef("--admin: %w; name another address, or stop what has it", err), intakeListener.Close())
	}
	run := RunInfo{PID: os.Getpid(), HTTP: "http://" + reachable(intakeListener.Addr()), Admin: "http://" + reachable(adminListener.Addr()),
		Kinesis: data.server.URL(), Tokens: p.tokens}
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
	front.Go(func() error { return must("intake", serveHTTP(serving, intakeListener, webhook.Server(handler))) })
	front.Go(func() error {
		return must("admin", serveHTTP(serving, adminListener, webhook.Server(p.adminHandler())))
	})
	writers.Go(func() error { return must("events writer", p.events.Run(writing)) })
	writers.Go(func() error { return must("bulk writer", p.bulk.Run(writing)) })
	back.Go(func() error { return must("alerts", sender.Run(consuming)) })
	for _, cfg := range p.consumers(names[0], names[1]) {
		back.Go(func() error { return must(cfg.App+" on "+cfg.Stream, consumers.Run(consuming, cfg)) })
	}
	if err := writeRunInfo(o.Data, run); err != nil {
		stopServing(err)
	} else {
		p.greet(run)
	}
	<-serving.Done()
	o.Log.Info("stopping")
	err = front.Wait()
	stopWriting()
	err = errors.Join(err, writers.Wait())
	stopConsuming()
	err = errors.Join(err, back.Wait(), removeRunInfo(o.Data))
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
		flush = p.up.Flush
	}
	base := consumers.Config{
		Kinesis: p.data.aws, Coord: p.store, FanOut: true, LeaseTime: 3 * time.Second, Sole: true, StopTime: 15 * time.Second,
		DefaultSource: "unknown", Log: p.opts.Log,
	}
	liveCfg := base
	liveCfg.App, liveCfg.Stream = liveApp, events
	liveCfg.NewStage = live.New(live.Config{
		Normalize: p.core.counted(&p.mapped), Eval: p.core.eval(alert.Live, false), Record: p.alerts.Record, Stats: p.liveStats,
	})
	out := []consumers.Config{liveCfg}
	for _, stream := range []string{events, bulk} {
		cfg := base
		cfg.App, cfg.Stream, cfg.FlushEvery = compactApp, stream, flush
		cfg.NewStage = compact.New(p.compactConfig())
		out = append(out, cfg)
	}
	for i := range out {
		out[i].Monitor = &consumers.Monitor{}
		p.monitors = append(p.monitors, out[i].Monitor)
	}
	return out
}

// sender makes the alert sender with the configured receivers.
func (p *pipeline) sender() (*alert.Sender, error) {
	receivers, err := receiversOf(p.core.config, p.up.Out)
	if err != nil {
		return nil, err
	}
	return alert.NewSender(p.alerts, alert.SenderConfig{
		Receivers: receivers, Second: alert.NewTerminal(p.up.Out), PutFinding: p.events.Put, Log: p.opts.Log,
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

// intakeHandler is the webhook with every source's way of authentication. A
// source without one in the configuration gets a random token.
func (p *pipeline) intakeHandler(intake *producers.Intake, metrics *producers.Metrics) (http.Handler, error) {
	kept, err := readTokens(p.opts.Data)
	if err != nil {
		return nil, err
	}
	p.tokens = map[string]string{}
	sources := map[string]webhook.Source{}
	for _, name := range p.core.mappings.Sources() {
		if name == live.FindingSource {
			continue // our own, and nobody else's
		}
		auth := p.core.config.Sources[name].Auth
		if auth == nil {
			if p.tokens[name] = kept[name]; p.tokens[name] == "" {
				token := make([]byte, 16)
				rand.Read(token)
				p.tokens[name] = hex.EncodeToString(token)
			}
			auth = &config.Auth{Kind: "header", Name: "X-Nagare-Token", Secret: config.NewSecret(p.tokens[name])}
		}
		sources[name] = webhook.Source{Auth: webhook.Auth{Kind: auth.Kind, Name: auth.Name, User: auth.User, Secret: webhook.Secret(auth.Secret.Reveal())}}
	}
	if err := writeTokens(p.opts.Data, p.tokens); err != nil {
		return nil, err
	}
	return webhook.New(webhook.Config{
		Intake: intake, Sources: sources, MaxBody: int(p.core.config.Limits.Body), Log: p.opts.Log, Metrics: metrics,
	})
}

// greet prints where everything is, and a line to try.
func (p *pipeline) greet(run RunInfo) {
	w := p.up.Out
	fmt.Fprintf(w, "intake   %s/v1/SOURCE\nadmin    %s/metrics /readyz\nkinesis  %s\ndata     %s\n", run.HTTP, run.Admin, run.Kinesis, p.opts.Data)
	if token, ok := p.tokens["datadog"]; ok {
		fmt.Fprintf(w, "\nTry it:\ncurl -sS -H 'X-Nagare-Token: %s' -d '%s' %s/v1/datadog\n\n", token, tryBody, run.HTTP)
	}
	if len(p.core.config.Receivers) == 0 {
		fmt.Fprintln(w, "No receiver is configured: alerts are shown here. Ctrl-C stops.")
	}
}

// tryBody is a signal that a rule alerts on.
const tryBody = `{"signal_id":"try-1","severity":"high","title":"Impossible travel","msg":"A first alert","rule":{"id":"r-1","name":"Impossible travel","type":"log_detection"},"event":{"type":"security_signal"},"org":{"id":"1","name":"Example"}}`

// sourcesOf are the sources that a person may name.
func (c *core) sourcesOf() []string {
	return slices.DeleteFunc(slices.Clone(c.mappings.Sources()), func(s string) bool { return s == live.FindingSource })
}
