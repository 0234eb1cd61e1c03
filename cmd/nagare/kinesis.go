package main

import "nagare/internal/app"

type kinesisCmd struct {
	Listen string `help:"Address to listen on; loopback only." default:"127.0.0.1:4567"`
}

func (c *kinesisCmd) Run(e *env) error {
	return app.Kinesis(e.ctx, e.opts, c.Listen, e.stdout)
}
