package main

import "nagare/internal/app"

type kinesisCmd struct {
	Listen string `help:"Address to listen on; loopback only." default:"127.0.0.1:4567"`
	TLS    string `name:"tls" help:"A second address, for clients that only speak HTTPS." placeholder:"ADDRESS"`
	Limits bool   `help:"Refuse what exceeds the throughput of a shard on AWS."`
}

func (c *kinesisCmd) Run(e *env) error {
	return app.Kinesis(e.ctx, e.opts, app.KinesisOptions{Listen: c.Listen, ListenTLS: c.TLS, Limits: c.Limits}, e.stdout)
}
