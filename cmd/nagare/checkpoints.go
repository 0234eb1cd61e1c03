package main

import (
	"time"

	"nagare/internal/app"
)

type checkpointsCmd struct {
	List checkpointsListCmd `cmd:"" help:"How far each application is in each shard, and what lies behind."`
	Save checkpointsSaveCmd `cmd:"" help:"Keep where an application is, for replay --from checkpoint:NAME."`
	Set  checkpointsSetCmd  `cmd:"" help:"Make an application begin elsewhere when it next starts."`
}

type checkpointsListCmd struct {
	App    string `help:"Only this application." placeholder:"NAME"`
	Saved  bool   `help:"List the saved checkpoints instead."`
	Count  int    `help:"Count up to about so many records in each shard." default:"10000"`
	Format string `help:"table, json or csv." enum:"table,json,csv," default:""`
}

// Help implements kong.HelpProvider.
func (*checkpointsListCmd) Help() string {
	return `Lag is how long the oldest record that is not yet durable has been on the stream, and how many there are; they are read to be counted. Of compact, the lake's ledger counts (ledger, in JSON), and the checkpoint follows it.`
}

func (c *checkpointsListCmd) Run(e *env) error {
	return app.CheckpointsList(e.ctx, e.opts, app.CheckpointsFilter{App: c.App, Count: c.Count, Saved: c.Saved}, format(c.Format, e.stdout), e.stdout)
}

type checkpointsSaveCmd struct {
	Name    string `arg:"" help:"The name: letters, digits and ._-" name:"NAME"`
	App     string `help:"The application whose checkpoints are copied." default:"live" placeholder:"NAME"`
	Replace bool   `help:"Replace one of the same name."`
	Format  string `help:"table, json or csv." enum:"table,json,csv," default:""`
}

func (c *checkpointsSaveCmd) Run(e *env) error {
	return app.CheckpointsSave(e.ctx, e.opts, c.Name, c.App, c.Replace, format(c.Format, e.stdout), e.stdout)
}

type checkpointsSetCmd struct {
	App    string        `required:"" help:"The application; it must not run." placeholder:"NAME"`
	To     string        `required:"" help:"RFC 3339 time, -DURATION, TRIM_HORIZON, seq:SHARD:NUMBER, app:NAME or checkpoint:NAME." placeholder:"POS"`
	Stream string        `help:"events, bulk or all: the default is every stream that it reads." enum:"events,bulk,all," default:""`
	Lease  time.Duration `help:"How long leases of the application may be: leases that nobody gave back are watched that long." default:"10s"`
}

// Help implements kong.HelpProvider.
func (*checkpointsSetCmd) Help() string {
	return `While an application runs its checkpoints only grow, and a worker that lost its lease cannot move them; this command is the one way back, and refuses while the application runs.

live evaluates the rules again on what comes after the position. Alerts are known by their ids, so events that raised one join it once more without a message. To look without touching live alerts, use replay.

compact reads on from the lake's ledger, whatever its checkpoint says. The ledger is never moved back, or the lake would hold events twice, nor on, or it would lack some. So for compact only what the ledger says is accepted; to have events in a lake again, use replay --app compact --into FOLDER.`
}

func (c *checkpointsSetCmd) Run(e *env) error {
	return app.CheckpointsSet(e.ctx, e.opts, c.App, c.To, c.Stream, c.Lease, e.stdout)
}
