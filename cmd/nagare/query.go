package main

import "nagare/internal/app"

type queryCmd struct {
	Format string `help:"table, json (JSON lines) or csv; the default is table on a terminal, else json." enum:"table,json,csv," default:""`
	SQL    string `arg:"" help:"The question. The views are OCSF class names, as authentication." name:"SQL"`
}

func (c *queryCmd) Run(e *env) error {
	return app.Query(e.ctx, e.opts, c.SQL, format(c.Format, e.stdout), e.stdout)
}
