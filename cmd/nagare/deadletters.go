package main

import "nagare/internal/app"

type deadlettersCmd struct {
	List    deadlettersListCmd    `cmd:"" help:"List dead letters; they are seen after the next flush."`
	Show    deadlettersShowCmd    `cmd:"" help:"Show a dead letter with its body."`
	Redrive deadlettersRedriveCmd `cmd:"" help:"Put dead letters on the stream again, once."`
}

// deadLetters is what chooses them.
type deadLetters struct {
	Source string `help:"Only this source."`
	Reason string `help:"Only this reason."`
	Since  string `help:"Only what was received since: a time or -DURATION." placeholder:"TIME"`
}

type deadlettersListCmd struct {
	deadLetters
	Limit  int    `help:"At most this many." default:"1000"`
	Root   string `help:"Those of a replay: its folder." placeholder:"FOLDER" type:"path"`
	Format string `help:"table, json or csv." enum:"table,json,csv," default:""`
}

func (c *deadlettersListCmd) Run(e *env) error {
	return app.DeadLettersList(e.ctx, e.opts, app.DeadLettersFilter{Source: c.Source, Reason: c.Reason, Since: c.Since, Limit: c.Limit, Root: c.Root},
		format(c.Format, e.stdout), e.stdout)
}

type deadlettersShowCmd struct {
	ID     string `arg:"" help:"Its id, or the beginning of it." name:"ID"`
	Root   string `help:"Those of a replay: its folder." placeholder:"FOLDER" type:"path"`
	Format string `help:"table or json." enum:"table,json," default:""`
}

func (c *deadlettersShowCmd) Run(e *env) error {
	return app.DeadLettersShow(e.ctx, e.opts, app.DeadLettersFilter{IDs: []string{c.ID}, Root: c.Root}, format(c.Format, e.stdout), e.stdout)
}

type deadlettersRedriveCmd struct {
	deadLetters
	ID     []string `help:"Only these, by id or the beginning of it." placeholder:"ID"`
	Limit  int      `help:"At most this many." default:"100000"`
	Again  bool     `help:"Also those that were redriven before."`
	DryRun bool     `help:"Only say what would be done."`
	Format string   `help:"table, json or csv." enum:"table,json,csv," default:""`
}

// Help implements kong.HelpProvider.
func (*deadlettersRedriveCmd) Help() string {
	return `After a mapping was mended: the events go on the stream that they came from, with the uid they had. What is in the lake already is left out, and of repeats within the lake's window one row remains. What intake could not read goes through intake again. A letter that is redriven is marked, and not put again without --again; should its event fail once more, that is a new letter.

Exit code 1 means that some could not be redriven: outcome still-refused, or not-whole where only a part was kept.`
}

func (c *deadlettersRedriveCmd) Run(e *env) error {
	return app.Redrive(e.ctx, e.opts, app.RedriveOptions{
		DeadLettersFilter: app.DeadLettersFilter{Source: c.Source, Reason: c.Reason, Since: c.Since, IDs: c.ID, Limit: c.Limit},
		Again:             c.Again, DryRun: c.DryRun, Format: format(c.Format, e.stdout), Out: e.stdout, Progress: e.stderr,
	})
}
