package main

import "nagare/internal/app"

type rulesCmd struct {
	Check rulesCheckCmd `cmd:"" help:"Say what is wrong with rules, each mistake with its line."`
	Test  rulesTestCmd  `cmd:"" help:"Run the cases that rules carry."`
	List  rulesListCmd  `cmd:"" help:"List the rules."`
}

// rulePaths is what the three take.
type rulePaths struct {
	Format string   `help:"table, json or csv." enum:"table,json,csv," default:""`
	Paths  []string `arg:"" optional:"" help:"Files or folders; without one the embedded pack and rules.dirs." name:"PATH"`
}

type rulesCheckCmd struct{ rulePaths }

func (c *rulesCheckCmd) Run(e *env) error {
	e.endsAtOnce()
	return app.RulesCheck(e.ctx, e.opts, c.Paths, format(c.Format, e.stdout), e.stdout)
}

type rulesTestCmd struct{ rulePaths }

func (c *rulesTestCmd) Run(e *env) error {
	e.endsAtOnce()
	return app.RulesTest(e.ctx, e.opts, c.Paths, format(c.Format, e.stdout), e.stdout)
}

type rulesListCmd struct{ rulePaths }

func (c *rulesListCmd) Run(e *env) error {
	e.endsAtOnce()
	return app.RulesList(e.ctx, e.opts, c.Paths, format(c.Format, e.stdout), e.stdout)
}
