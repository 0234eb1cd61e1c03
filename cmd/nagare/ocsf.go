package main

import (
	"nagare/internal/app"
	"nagare/ocsf"
)

type ocsfCmd struct {
	Schema ocsfSchemaCmd `cmd:"" help:"Show what is known of an OCSF class."`
}

type ocsfSchemaCmd struct {
	Class      string   `arg:"" help:"The class by name or class_uid; a path to an object in it may follow, as authentication.user." name:"CLASS"`
	JSONSchema bool     `name:"json-schema" help:"Print it as a JSON Schema (draft 2020-12)." xor:"show"`
	Columns    bool     `help:"List the lake's columns with their SQL types." xor:"show"`
	DDL        bool     `name:"ddl" help:"Print the statement that makes the lake's table in Athena." xor:"show"`
	Version    string   `help:"The OCSF version: 1.3.0 or 1.1.0." default:"1.3.0"`
	Location   string   `help:"For --ddl: the folder above region=…; the default is s3://BUCKET/ext/nagare_<class_uid>/." placeholder:"URL"`
	Region     []string `help:"For --ddl: the regions of the lake." default:"local"`
	Account    []string `help:"For --ddl: the accounts of the lake." default:"external"`
	Format     string   `help:"table, json or csv; the default is table on a terminal." enum:"table,json,csv," default:""`
}

func (c *ocsfSchemaCmd) Run(e *env) error {
	show := app.ShowAttributes
	switch {
	case c.JSONSchema:
		show = app.ShowJSONSchema
	case c.Columns:
		show = app.ShowColumns
	case c.DDL:
		show = app.ShowDDL
	}
	return app.OCSFSchema(app.SchemaOptions{
		Class: c.Class, Version: c.Version, Show: show, Format: format(c.Format, e.stdout),
		Place: ocsf.Place{Location: c.Location, Regions: c.Region, Accounts: c.Account},
	}, e.stdout)
}
