package main

import "nagare/internal/app"

type deadlettersCmd struct {
	List deadlettersListCmd `cmd:"" help:"List dead letters; they are seen after the next flush."`
}

type deadlettersListCmd struct {
	Source string `help:"Only this source."`
	Reason string `help:"Only this reason."`
	Limit  int    `help:"At most this many." default:"1000"`
	Format string `help:"table, json or csv." enum:"table,json,csv," default:""`
}

func (c *deadlettersListCmd) Run(e *env) error {
	return app.DeadLettersList(e.ctx, e.opts, app.DeadLettersFilter{Source: c.Source, Reason: c.Reason, Limit: c.Limit}, format(c.Format, e.stdout), e.stdout)
}
