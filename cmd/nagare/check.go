package main

import "nagare/internal/app"

type checkCmd struct {
	Format string `help:"table, json or csv." enum:"table,json,csv," default:""`
}

func (c *checkCmd) Run(e *env) error {
	e.endsAtOnce()
	return app.Check(e.ctx, e.opts, format(c.Format, e.stdout), e.stdout)
}
