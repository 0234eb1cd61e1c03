package main

import "nagare/internal/app"

type mappingsCmd struct {
	Check mappingsCheckCmd `cmd:"" help:"Say what is wrong with mappings, each mistake with its line."`
	Test  mappingsTestCmd  `cmd:"" help:"Run the cases that mappings carry."`
	List  mappingsListCmd  `cmd:"" help:"List the sources that have a mapping."`
}

// mappingPaths is what the three take.
type mappingPaths struct {
	Format string   `help:"table, json or csv." enum:"table,json,csv," default:""`
	Paths  []string `arg:"" optional:"" help:"Files or folders; without one the embedded mappings and mappings.dirs." name:"PATH"`
}

type mappingsCheckCmd struct {
	mappingPaths
	Coverage bool `help:"Print which attributes of each class a source can ever fill; PATH may then be the name of a source."`
}

func (c *mappingsCheckCmd) Run(e *env) error {
	e.endsAtOnce()
	if c.Coverage {
		return app.MappingsCoverage(e.ctx, e.opts, c.Paths, format(c.Format, e.stdout), e.stdout)
	}
	return app.MappingsCheck(e.ctx, e.opts, c.Paths, format(c.Format, e.stdout), e.stdout)
}

type mappingsTestCmd struct {
	mappingPaths
	Update bool `help:"Write the golden files of the named mappings anew, then test; review the difference."`
}

func (c *mappingsTestCmd) Run(e *env) error {
	if !c.Update {
		e.endsAtOnce()
	}
	return app.MappingsTest(e.ctx, e.opts, c.Paths, c.Update, format(c.Format, e.stdout), e.stdout)
}

type mappingsListCmd struct{ mappingPaths }

func (c *mappingsListCmd) Run(e *env) error {
	e.endsAtOnce()
	return app.MappingsList(e.ctx, e.opts, c.Paths, format(c.Format, e.stdout), e.stdout)
}
