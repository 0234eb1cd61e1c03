package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"
)

// UpOptions are the flags of up.
type UpOptions struct {
	Listen, Admin string
	Flush         time.Duration
	// Out is where addresses and, without receivers, alerts are printed.
	Out io.Writer
}

// Up runs the whole pipeline, with a stream of its own, until ctx is over,
// then drains it.
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
	if c.config.Stream.Endpoint != "" {
		return usagef("up runs a stream of its own, and stream.endpoint of %s names one elsewhere (%s): to work on that one, "+
			"run nagare serve --roles ingest,live,compact; to have one here, leave stream.endpoint out", o.configFile(), c.config.Stream.Endpoint)
	}
	if err := checkAdmin(up.Admin); err != nil {
		return err
	}
	data, err := openData(ctx, o, c.config, "127.0.0.1:0")
	if err != nil {
		return err
	}
	if !data.ours() {
		return errors.Join(usagef("another process runs on %s; stop it, or name another folder with --data", o.Data), data.close())
	}
	limitMemory()
	lease := 3 * time.Second
	if c.config.Coord.Kind != "sqlite" {
		lease = 10 * time.Second // a service is busy for longer than a disk
	}
	p := &pipeline{core: c, opts: o, data: data, plan: plan{
		ingest: true, live: true, compact: true, listen: up.Listen, admin: up.Admin, flush: up.Flush, out: up.Out,
		aws: data.aws, lease: lease, alone: true, makeTokens: true,
	}}
	p.started = func(intake, admin string) error {
		run := RunInfo{PID: os.Getpid(), HTTP: intake, Admin: admin, Kinesis: data.server.URL(), Tokens: p.tokens}
		if err := writeRunInfo(o.Data, run); err != nil {
			return err
		}
		p.greet(run)
		return nil
	}
	err = p.run(ctx)
	return errors.Join(err, removeRunInfo(o.Data), data.close())
}

// greet prints where everything is, and a line to try.
func (p *pipeline) greet(run RunInfo) {
	w := p.out
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
