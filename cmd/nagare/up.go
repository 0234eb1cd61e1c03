package main

import (
	"time"

	"nagare/internal/app"
)

type upCmd struct {
	Listen string        `help:"Address of intake; may face the internet behind TLS." default:"127.0.0.1:8080"`
	Admin  string        `help:"Address of metrics and health; loopback only." default:"127.0.0.1:8081"`
	Flush  time.Duration `help:"How long events wait for a lake file, if the configuration does not say." default:"1m"`
}

func (c *upCmd) Run(e *env) error {
	return app.Up(e.ctx, e.opts, app.UpOptions{Listen: c.Listen, Admin: c.Admin, Flush: c.Flush, Out: e.stdout})
}
