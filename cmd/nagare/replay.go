package main

import (
	"time"

	"nagare/internal/app"
)

type replayCmd struct {
	App     string        `required:"" help:"What is done with the events: live evaluates the rules, compact fills a lake." enum:"live,compact"`
	From    string        `required:"" help:"RFC 3339 time, -DURATION, TRIM_HORIZON, seq:SHARD:NUMBER, app:NAME, checkpoint:NAME or archive:TIME." placeholder:"POS"`
	To      string        `help:"Where to end: a time or -DURATION; without it what has arrived when the replay starts." placeholder:"POS"`
	Into    string        `help:"Folder of the lake that compact fills: empty, or of this very replay." placeholder:"FOLDER" type:"path"`
	Stream  string        `help:"events, bulk or all; live reads events, compact all." enum:"events,bulk,all," default:""`
	Name    string        `help:"Name of the replay; without one it follows from the other flags." placeholder:"NAME"`
	Restart bool          `help:"Begin anew, instead of going on or saying that it is done."`
	DryRun  bool          `help:"Only print what would match, or what the lake would hold; write nothing."`
	Notify  bool          `help:"Also send the alerts to their receivers."`
	Flush   time.Duration `help:"How long events wait for a lake file." default:"1m"`
	Format  string        `help:"table, json or csv." enum:"table,json,csv," default:""`
}

// Help implements kong.HelpProvider.
func (*replayCmd) Help() string {
	return `A replay works under its own name, with places, ledger and alerts (origin replay:NAME) that are its own: live alerts are neither joined nor hidden, and the lake of the pipeline is not touched. Stopped or killed, the same command goes on where it was; done, it says so and shows the result again.

Exit code 1 means that it is done and has a gap: a part of what was asked for is no longer on the stream.`
}

func (c *replayCmd) Run(e *env) error {
	return app.Replay(e.ctx, e.opts, app.ReplayOptions{
		App: c.App, From: c.From, To: c.To, Into: c.Into, Stream: c.Stream, Name: c.Name, Restart: c.Restart, DryRun: c.DryRun, Notify: c.Notify,
		Flush: c.Flush, Format: format(c.Format, e.stdout), Out: e.stdout, Progress: e.stderr,
	})
}
