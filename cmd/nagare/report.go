package main

import "nagare/internal/app"

type reportCmd struct {
	List reportListCmd `cmd:"" help:"List the reports."`
	Show reportShowCmd `cmd:"" help:"Show a report's question and parameters."`
	Run  reportRunCmd  `cmd:"" help:"Run a report."`
}

type reportListCmd struct {
	Format string `help:"table, json or csv." enum:"table,json,csv," default:""`
}

func (c *reportListCmd) Run(e *env) error {
	return app.ReportList(e.ctx, e.opts, format(c.Format, e.stdout), e.stdout)
}

type reportShowCmd struct {
	Name string `arg:"" help:"The report." name:"NAME"`
}

func (c *reportShowCmd) Run(e *env) error {
	return app.ReportShow(e.ctx, e.opts, c.Name, e.stdout)
}

type reportRunCmd struct {
	Name   string            `arg:"" help:"The report." name:"NAME"`
	Param  map[string]string `help:"A parameter, as days=90." placeholder:"K=V"`
	Format string            `help:"table, json or csv." enum:"table,json,csv," default:""`
}

func (c *reportRunCmd) Run(e *env) error {
	return app.ReportRun(e.ctx, e.opts, c.Name, c.Param, format(c.Format, e.stdout), e.stdout, e.stderr)
}
