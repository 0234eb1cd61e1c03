package main

import "nagare/internal/app"

type mapCmd struct {
	Source  string   `help:"The kind of sender; without it each event is recognised by itself."`
	Summary bool     `help:"Print figures instead of the events."`
	OCSF    string   `name:"ocsf" help:"Bring events down to this version of OCSF, as a lake of that version gets them: 1.3.0 or 1.1.0." placeholder:"VERSION"`
	Format  string   `help:"How the summary is printed: table, json or csv; the default is table on a terminal." enum:"table,json,csv," default:""`
	Files   []string `arg:"" help:"Files: plain, .gz or .zst; - is standard input." name:"FILE"`
}

func (c *mapCmd) Run(e *env) error {
	e.endsAtOnce()
	return app.Map(e.ctx, e.opts, app.MapOptions{
		Source: c.Source, Summary: c.Summary, Format: format(c.Format, e.stdout), OCSF: c.OCSF, Files: c.Files, Out: e.stdout, Problems: e.stderr,
	})
}
