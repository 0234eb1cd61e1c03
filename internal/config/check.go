package config

import (
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	"nagare/ocsf"
	"nagare/ocsf/expr"
	"nagare/producers"
)

// tableName is from https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_CreateTable.html.
var tableName = regexp.MustCompile(`^[a-zA-Z0-9_.-]{3,255}$`)

var streamName = regexp.MustCompile(`^[a-zA-Z0-9_.-]{1,128}$`)

// check reports what is well formed and still cannot be right.
func check(c *Config, d *document, sources []string) {
	bad := func(path []any, code, suggestion, format string, args ...any) {
		d.add(d.at(path...), code, suggestion, fmt.Errorf(format, args...))
	}
	at := func(path ...any) []any { return path }

	if !streamName.MatchString(c.Stream.Name) {
		bad(at("stream", "name"), "value", "use letters, digits, _ . and -", "stream.name %q is not a stream's name", c.Stream.Name)
	}
	if c.Stream.Endpoint != "" {
		if u, err := url.Parse(c.Stream.Endpoint); err != nil || u.Host == "" || (u.Scheme != "https" && u.Scheme != "http") || u.User != nil {
			bad(at("stream", "endpoint"), "value", "use http://127.0.0.1:4567, or leave it out for AWS", "stream.endpoint is no URL of http or https")
		}
	}
	if c.Stream.Shards < 1 || c.Stream.Shards > 64 {
		bad(at("stream", "shards"), "value", "use 1 to 64", "stream.shards is %d", c.Stream.Shards)
	}
	if c.Stream.Retention < 24*time.Hour || c.Stream.Retention > 365*24*time.Hour || c.Stream.Retention%time.Hour != 0 {
		bad(at("stream", "retention"), "value", "use whole hours from 24h to 8760h, as Kinesis does", "stream.retention is %s", c.Stream.Retention)
	}
	if c.Coord.Kind != "sqlite" && c.Coord.Kind != "dynamodb" {
		bad(at("coord", "kind"), "value", `this version knows "sqlite" and "dynamodb"`, "coord.kind %q is unknown", c.Coord.Kind)
	}
	if !tableName.MatchString(c.Coord.Table) {
		bad(at("coord", "table"), "value", "use 3 to 255 letters, digits, _ . and -", "coord.table %q is not a table's name", c.Coord.Table)
	}
	if c.Coord.Endpoint != "" {
		if u, err := url.Parse(c.Coord.Endpoint); err != nil || u.Host == "" || (u.Scheme != "https" && u.Scheme != "http") || u.User != nil {
			bad(at("coord", "endpoint"), "value", "use http://127.0.0.1:8000, or leave it out for AWS", "coord.endpoint is no URL of http or https")
		}
	}
	if c.SQL.Engine != "duckdb" {
		bad(at("sql", "engine"), "value", `this version knows "duckdb"`, "sql.engine %q is unknown", c.SQL.Engine)
	}
	if !slices.Contains(ocsf.Versions, c.Lake.OCSF) {
		bad(at("lake", "ocsf"), "value", `this version knows "`+strings.Join(ocsf.Versions, `" and "`)+`"`, "lake.ocsf %q is unknown", c.Lake.OCSF)
	}
	if c.Lake.Flush != 0 && c.Lake.Flush < time.Second || c.Lake.Flush > 24*time.Hour {
		bad(at("lake", "flush"), "value", "use 1s to 24h; on Security Lake at least 5m", "lake.flush is %s", c.Lake.Flush)
	}
	if c.Limits.Depth < 1 || c.Limits.Depth > 64 {
		bad(at("limits", "depth"), "value", "use 1 to 64, which is what mappings read", "limits.depth is %d", c.Limits.Depth)
	}
	if c.Limits.Decompressed < c.Limits.Body {
		bad(at("limits", "decompressed"), "value", "make it at least limits.body", "limits.decompressed is less than limits.body")
	}
	if c.Limits.Spool < 16<<20 {
		bad(at("limits", "spool"), "value", "use at least 16MiB", "limits.spool is too small")
	}
	if strings.Contains(c.Objects.Claims, "://") {
		bad(at("objects", "claims"), "value", "this version keeps claims in a folder", "objects.claims %q is no folder", c.Objects.Claims)
	}
	acks := producers.AckPolicies[:]
	for _, name := range slices.Sorted(maps.Keys(c.Sources)) {
		s := c.Sources[name]
		if !slices.Contains(sources, name) {
			suggestion := "the sources are " + strings.Join(sources, ", ")
			if near := ocsf.Nearest(name, sources); near != "" {
				suggestion = fmt.Sprintf("did you mean %q?", near)
			}
			bad(at("sources", name), "unknown-source", suggestion, "no mapping is for source %q", name)
		}
		if s.Zone != "" {
			if _, err := expr.Zone(s.Zone); err != nil {
				bad(at("sources", name, "zone"), "value", `zones are named as "UTC", "Asia/Tokyo"`, "sources.%s.zone: %w", name, err)
			}
		}
		if s.Ack != "" && !slices.Contains(acks, s.Ack) {
			bad(at("sources", name, "ack"), "value", `use "`+strings.Join(acks, `", "`)+`", or leave it out`, "sources.%s.ack %q is unknown", name, s.Ack)
		}
		if s.Auth == nil {
			continue
		}
		where := at("sources", name, "auth")
		switch s.Auth.Kind {
		case "header":
			if s.Auth.Name == "" || http.CanonicalHeaderKey(s.Auth.Name) == "" || strings.ContainsAny(s.Auth.Name, " \t\r\n:") {
				bad(where, "value", "name: X-Nagare-Token is what most use", "sources.%s.auth.name %q is no header's name", name, s.Auth.Name)
			}
		case "basic":
			if s.Auth.User == "" {
				bad(where, "value", "set user", "sources.%s.auth of kind basic has no user", name)
			}
		default:
			bad(where, "value", `this version knows "header" and "basic"`, "sources.%s.auth.kind %q is unknown", name, s.Auth.Kind)
		}
		secret(d, append(where, "secret"), "sources."+name+".auth.secret", s.Auth.Secret, true)
	}
	for _, name := range slices.Sorted(maps.Keys(c.Receivers)) {
		checkSlack(d, name, c.Receivers[name].Slack)
	}
	for i, r := range c.Routes {
		if len(r.To) == 0 {
			bad(at("routes", i), "value", "name receivers in to", "route %d goes nowhere", i+1)
		}
		for j, to := range r.To {
			if _, ok := c.Receivers[to]; !ok {
				bad(at("routes", i, "to", j), "value", "add it under receivers", "route %d goes to %q, which is no receiver", i+1, to)
			}
		}
	}
}

func checkSlack(d *document, name string, s *Slack) {
	where := []any{"receivers", name, "slack"}
	bad := func(suggestion, format string, args ...any) {
		d.add(d.at(where...), "value", suggestion, fmt.Errorf(format, args...))
	}
	if s == nil {
		bad("add slack: {webhook: …} or slack: {token: …, channel: …}", "receiver %q says nothing", name)
		return
	}
	switch {
	case s.Token.Set() == s.Webhook.Set():
		bad("set token and channel for a bot, or webhook", "receivers.%s.slack needs either a token or a webhook", name)
	case s.Token.Set() && s.Channel == "":
		bad(`set channel: "#name"`, "receivers.%s.slack has a token and no channel", name)
	}
	secret(d, append(where, "token"), "receivers."+name+".slack.token", s.Token, false)
	secret(d, append(where, "webhook"), "receivers."+name+".slack.webhook", s.Webhook, false)
	if s.Webhook.Set() && s.Webhook.err == nil {
		if u, err := url.Parse(s.Webhook.Reveal()); err != nil || u.Host == "" || (u.Scheme != "https" && u.Scheme != "http") {
			bad("copy it from the app's page at api.slack.com", "receivers.%s.slack.webhook is no URL", name)
		}
	}
	if s.API != "" {
		if u, err := url.Parse(s.API); err != nil || u.Host == "" || !strings.HasSuffix(s.API, "/") {
			bad("the default is https://slack.com/api/", "receivers.%s.slack.api %q is no URL that ends in /", name, s.API)
		}
	}
}

// secret reports a secret that cannot be had, or is not there and must be.
func secret(d *document, where []any, path string, s Secret, must bool) {
	switch {
	case s.err != nil:
		d.add(d.at(where...), "secret", "set it, or correct "+s.from, fmt.Errorf("%s: %w", path, s.err))
	case must && !s.Set():
		d.add(d.at(where...), "secret", "write secret: env:NAME or secret: file:PATH", fmt.Errorf("%s is missing", path))
	}
}
