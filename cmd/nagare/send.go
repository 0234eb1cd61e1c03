package main

import "nagare/internal/app"

type sendCmd struct {
	Source string            `required:"" help:"The kind of sender: the name of a mapping."`
	Live   bool              `help:"Treat old events as if they were new: rules see them."`
	To     string            `help:"Post to a running intake at this URL instead." placeholder:"URL"`
	Header map[string]string `help:"Header for --to, as \"X-Nagare-Token: VALUE\"." placeholder:"K:V" mapsep:"none" sep:":"`
	Format string            `help:"How the answer is printed: text or json." default:"text" enum:"text,json"`
	Files  []string          `arg:"" help:"Files: plain, .gz or .zst; - is standard input." name:"FILE"`
}

func (c *sendCmd) Run(e *env) error {
	return app.Send(e.ctx, e.opts, app.SendOptions{
		Source: c.Source, Live: c.Live, To: c.To, Header: c.Header, Files: c.Files,
		JSON: c.Format == "json", Out: e.stdout, Progress: e.stderr,
	})
}
