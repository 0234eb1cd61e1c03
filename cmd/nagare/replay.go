package main

import "nagare/internal/app"

type replayCmd struct {
	App    string `required:"" help:"What to replay: live evaluates the rules." enum:"live"`
	From   string `required:"" help:"RFC 3339 time, -DURATION, TRIM_HORIZON, seq:SHARD:NUMBER or app:NAME." placeholder:"POS"`
	To     string `help:"Where to end: a time or -DURATION; without it what has arrived when the replay starts." placeholder:"POS"`
	DryRun bool   `help:"Only print what would match; write no alert rows."`
	Notify bool   `help:"Also send the alerts to their receivers."`
	Format string `help:"table, json or csv." enum:"table,json,csv," default:""`
}

func (c *replayCmd) Run(e *env) error {
	return app.Replay(e.ctx, e.opts, app.ReplayOptions{
		From: c.From, To: c.To, DryRun: c.DryRun, Notify: c.Notify,
		Format: format(c.Format, e.stdout), Out: e.stdout, Progress: e.stderr,
	})
}
