package main

import (
	"time"

	"nagare/internal/app"
)

type lakeCmd struct {
	Rebuild lakeRebuildCmd `cmd:"" help:"Write a lost ledger again, from what is in the lake."`
}

type lakeRebuildCmd struct {
	DryRun bool          `help:"Only say what would be written."`
	Lease  time.Duration `help:"How long leases may be (serve --lease), where the rows are in DynamoDB: leases that nobody gave back are watched that long." default:"10s"`
	Format string        `help:"table, json or csv." enum:"table,json,csv," default:""`
}

// Help implements kong.HelpProvider.
func (*lakeRebuildCmd) Help() string {
	return `The ledger is a row for each shard: what of it is in the lake. When rows are gone (the table was deleted, coord.db was lost), or older than the lake (they were put back from a backup), compact stops, for it would put events in twice. This command writes them again, from what every commit leaves: its manifest in the stage and the names of its objects. A commit that was staged or published in part is finished by the next worker.

It refuses while up or a worker of serve runs. It may be stopped and run again: rows that agree with the objects are kept. Where the objects do not tell, nothing is written for that shard and the reason is shown (exit code 1).

Only the ledger comes back. Alerts, checkpoints and saved positions that were in the same table do not: live begins at the oldest record and may alert again.`
}

func (c *lakeRebuildCmd) Run(e *env) error {
	return app.LakeRebuild(e.ctx, e.opts, app.LakeRebuildOptions{
		DryRun: c.DryRun, Lease: c.Lease, Format: format(c.Format, e.stdout), Out: e.stdout, Progress: e.stderr,
	})
}
