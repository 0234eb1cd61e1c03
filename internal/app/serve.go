package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
)

// ServeOptions are the flags of serve.
type ServeOptions struct {
	// Roles are what this process does: ingest, live, compact.
	Roles         []string
	Listen, Admin string
	Flush         time.Duration
	// Lease is how long a shard waits for the worker that has it.
	Lease time.Duration
	// Out is where addresses and, without receivers, alerts are printed.
	Out io.Writer
}

// Serve runs the chosen parts of the pipeline on configured services until ctx
// is over, then drains them. Any number of processes may share a stream.
func Serve(ctx context.Context, o Options, s ServeOptions) error {
	p := &pipeline{opts: o, plan: plan{
		listen: s.Listen, admin: s.Admin, flush: s.Flush, out: s.Out, lease: s.Lease, compactPolls: true,
	}}
	if err := p.roles(s.Roles); err != nil {
		return err
	}
	if err := checkAdmin(s.Admin); err != nil {
		return err
	}
	if s.Lease < time.Second || s.Lease > 10*time.Minute {
		return usagef("--lease %s: use 1s to 10m", s.Lease)
	}
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
	p.core = c
	if p.ingest {
		if err := c.checkAuth(o); err != nil {
			return err
		}
	}
	if p.data, err = openShared(ctx, o, c.config); err != nil {
		return err
	}
	p.aws = p.data.aws
	limitMemory()
	p.started = func(intake, admin string) error {
		if p.ingest {
			fmt.Fprintf(s.Out, "intake   %s/v1/SOURCE for %s\n", intake, strings.Join(p.served, " "))
			closed := p.notServed()
			if len(closed) > 0 {
				fmt.Fprintf(s.Out, "closed   %s: no auth in the configuration\n", strings.Join(closed, " "))
			}
			o.Log.Info("sources", "served", strings.Join(p.served, " "), "not_served", strings.Join(closed, " "))
		}
		fmt.Fprintf(s.Out, "admin    %s/metrics /readyz\n", admin)
		at := aws.ToString(kinesis.NewFromConfig(p.aws).Options().BaseEndpoint)
		if at == "" {
			at = "AWS " + p.aws.Region
		}
		_, err := fmt.Fprintf(s.Out, "stream   %s at %s\nroles    %s\ndata     %s\n", c.config.Stream.Name, at, strings.Join(s.Roles, " "), o.Data)
		return err
	}
	return errors.Join(p.run(ctx), p.data.close())
}

// roles notes what this process does.
func (p *pipeline) roles(names []string) error {
	known := map[string]*bool{"ingest": &p.ingest, "live": &p.live, "compact": &p.compact}
	for _, name := range names {
		if name == "correlate" || name == "web" {
			return usagef("--roles: this version has no role %s yet; it has %s", name, strings.Join(slices.Sorted(maps.Keys(known)), ", "))
		}
		if known[name] == nil {
			return usagef("--roles: there is no role %q; there are %s", name, strings.Join(slices.Sorted(maps.Keys(known)), ", "))
		}
		*known[name] = true
	}
	if len(names) == 0 {
		return usagef("--roles names nothing to do; there are %s", strings.Join(slices.Sorted(maps.Keys(known)), ", "))
	}
	return nil
}

// notServed are the sources that there are, and that nobody can send as.
func (p *pipeline) notServed() []string {
	return slices.DeleteFunc(p.core.sourcesOf(), func(name string) bool { return slices.Contains(p.served, name) })
}

// checkAuth refuses sources that anybody could send as. up would give them a
// token, but tokens that a process makes for itself are no use behind a load
// balancer.
func (c *core) checkAuth(o Options) error {
	var open []string
	for _, name := range slices.Sorted(maps.Keys(c.config.Sources)) {
		if c.config.Sources[name].Auth == nil {
			open = append(open, name)
		}
	}
	const how = "set sources.SOURCE.auth, as {kind: header, name: X-Nagare-Token, secret: env:NAME}"
	switch {
	case len(open) > 0:
		return usagef("role ingest takes nothing in without authentication, and there is none for %s: %s, or leave the source out", strings.Join(open, ", "), how)
	case o.configFile() == "":
		return usagef("role ingest takes nothing in without authentication, and there is no configuration file that says any: write nagare.yaml, or name one with --config, and %s; nagare up makes tokens by itself", how)
	case len(c.config.Sources) == 0:
		return usagef("role ingest takes nothing in without authentication, and the configuration has no source: in %s %s, for each source to be taken, of %s",
			o.configFile(), how, strings.Join(c.sourcesOf(), " "))
	}
	return nil
}
