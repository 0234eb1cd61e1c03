package main

import "nagare/internal/app"

type alertsCmd struct {
	List  alertsListCmd  `cmd:"" help:"List alerts, newest first."`
	Show  alertsShowCmd  `cmd:"" help:"Show one alert."`
	Ack   alertsAckCmd   `cmd:"" help:"Say that somebody looks at it."`
	Close alertsCloseCmd `cmd:"" help:"Close an alert with a verdict."`
}

type alertsListCmd struct {
	State  string `help:"Only this state: open, acknowledged or closed." enum:"open,acknowledged,closed," default:""`
	Rule   string `help:"Only this rule."`
	Origin string `help:"live, or replay:NAME; the default is live." default:"live"`
	Format string `help:"table, json or csv." enum:"table,json,csv," default:""`
}

func (c *alertsListCmd) Run(e *env) error {
	return app.AlertsList(e.ctx, e.opts, app.AlertsFilter{State: c.State, Rule: c.Rule, Origin: c.Origin}, format(c.Format, e.stdout), e.stdout)
}

// oneAlert is what the three that act on one alert take.
type oneAlert struct {
	Origin string `help:"live, or replay:NAME; the default is live." default:"live"`
	Note   string `help:"A note that is kept with it."`
	ID     string `arg:"" help:"The alert's id, or the beginning of it." name:"ID"`
}

type alertsShowCmd struct {
	Origin string `help:"live, or replay:NAME; the default is live." default:"live"`
	Format string `help:"table or json." enum:"table,json," default:""`
	ID     string `arg:"" help:"The alert's id, or the beginning of it." name:"ID"`
}

func (c *alertsShowCmd) Run(e *env) error {
	return app.AlertsShow(e.ctx, e.opts, c.Origin, c.ID, format(c.Format, e.stdout), e.stdout)
}

type alertsAckCmd struct{ oneAlert }

func (c *alertsAckCmd) Run(e *env) error {
	return app.AlertsAck(e.ctx, e.opts, c.Origin, c.ID, c.Note, e.stdout)
}

type alertsCloseCmd struct {
	oneAlert
	As string `help:"The verdict." enum:"true_positive,benign,false_positive" required:""`
}

func (c *alertsCloseCmd) Run(e *env) error {
	return app.AlertsClose(e.ctx, e.opts, c.Origin, c.ID, c.As, c.Note, e.stdout)
}
