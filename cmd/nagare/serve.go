package main

import (
	"time"

	"nagare/internal/app"
)

type serveCmd struct {
	Roles  []string      `required:"" help:"What this process does, with commas: ingest takes deliveries in (sources with auth in the configuration), live evaluates rules and sends alerts, compact fills the lake." placeholder:"ROLE,…"`
	Listen string        `help:"Address of intake; may face the internet behind TLS." default:"127.0.0.1:8080"`
	Admin  string        `help:"Address of metrics and health; loopback only." default:"127.0.0.1:8081"`
	Flush  time.Duration `help:"How long events wait for a lake file, if the configuration does not say." default:"1m"`
	Lease  time.Duration `help:"How long a shard waits for a worker that is not heard of, before another takes it. The same for all workers." default:"10s"`
}

// Help implements kong.HelpProvider.
func (c *serveCmd) Help() string {
	return `The stream is at stream.endpoint of the configuration, or where the AWS SDK finds it: AWS_REGION, AWS_ENDPOINT_URL_KINESIS, AWS_PROFILE and so on. Workers on one machine share a folder (--data): rows, lake and staged files are there. The shards are divided between them; one that is killed is replaced within the lease time and a few seconds. SIGTERM drains: intake answers what it has begun, what was accepted is written, what was read is made durable, the shards are given back.

nagare kinesis, nagare serve --roles ingest, and nagare serve --roles live,compact twice, with ports of their own, are a pipeline of four processes.`
}

func (c *serveCmd) Run(e *env) error {
	return app.Serve(e.ctx, e.opts, app.ServeOptions{
		Roles: c.Roles, Listen: c.Listen, Admin: c.Admin, Flush: c.Flush, Lease: c.Lease, Out: e.stdout,
	})
}
