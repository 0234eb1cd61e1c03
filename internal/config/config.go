// Package config reads nagare.yaml: it composes what the rooms need to know
// into one strict file, where an unknown key is an error with its line, and
// says every mistake at once.
//
// It starts nothing, and opens no file but the ones that hold secrets.
package config

import (
	"fmt"
	"os"
	"path/filepath"
	"time"

	"nagare"
)

// Config is the whole file. Load gives it its defaults.
type Config struct {
	Stream    Stream              `yaml:"stream"`
	Sources   map[string]Source   `yaml:"sources"`
	Rules     Dirs                `yaml:"rules"`
	Mappings  Dirs                `yaml:"mappings"`
	Receivers map[string]Receiver `yaml:"receivers"`
	Routes    []Route             `yaml:"routes"`
	Coord     Coord               `yaml:"coord"`
	Objects   Objects             `yaml:"objects"`
	Lake      Lake                `yaml:"lake"`
	SQL       SQL                 `yaml:"sql"`
	Limits    Limits              `yaml:"limits"`
}

// Stream says which streams hold the events: NAME, and NAME-bulk for what is
// old when it arrives.
type Stream struct {
	// Name is the stream's name; the default is nagare.
	Name string `yaml:"name"`
	// Endpoint is the URL of the Kinesis API; without one serve uses what the
	// AWS SDK finds, as AWS_ENDPOINT_URL_KINESIS, or else AWS itself.
	Endpoint string `yaml:"endpoint"`
	// Shards is how many shards a stream gets when it is made; the default is
	// 1. An existing stream keeps what it has.
	Shards int `yaml:"shards"`
	// Retention is how long records stay readable; the default is 24h, the
	// least that Kinesis has.
	Retention time.Duration `yaml:"retention"`
}

// Source says how a sender proves itself, and what only its owner knows.
type Source struct {
	// Auth is nil when the file does not say: up then makes a token.
	Auth *Auth `yaml:"auth"`
	// Zone is the time zone of the source's times that name none, in place of
	// what its mapping says: "Asia/Tokyo".
	Zone string `yaml:"zone"`
	// Ack is when a delivery is acknowledged: "kinesis", the default, when it
	// is on the stream; "spool" when it is on this machine's disk;
	// "kinesis-or-spool" when it is on the stream, or on the disk while the
	// stream is slow or down.
	Ack string `yaml:"ack"`
}

// Auth is one way to prove who sends. Kind is header or basic.
type Auth struct {
	Kind string `yaml:"kind"`
	// Name is the header's name, for kind header.
	Name string `yaml:"name"`
	// User is the user, for kind basic.
	User string `yaml:"user"`
	// Secret is the header's value, or the password.
	Secret Secret `yaml:"secret"`
}

// Dirs names folders of files that add to the embedded ones. Relative names
// are relative to the configuration file.
type Dirs struct {
	Dirs []string `yaml:"dirs"`
}

// Receiver is somewhere alerts go.
type Receiver struct {
	Slack *Slack `yaml:"slack"`
}

// Slack is a channel: a bot token and a channel, or an incoming webhook.
type Slack struct {
	Token   Secret `yaml:"token"`
	Channel string `yaml:"channel"`
	Webhook Secret `yaml:"webhook"`
	// API is the base of Slack's API; the default is https://slack.com/api/.
	API string `yaml:"api"`
}

// Route sends the alerts for which When holds to receivers. When is CEL over
// alert, with the fields that `nagare alerts show --format json` prints.
type Route struct {
	When string   `yaml:"when"`
	To   []string `yaml:"to"`
}

// Coord says where leases, the ledger and alert rows are kept.
type Coord struct {
	// Kind is sqlite, the default, for a file in the data folder, or dynamodb.
	Kind string `yaml:"kind"`
	// Table is the table in DynamoDB; the default is nagare. It is made when
	// it is not there.
	Table string `yaml:"table"`
	// Endpoint is the URL of DynamoDB's API; without one it is what the AWS SDK
	// finds, as AWS_ENDPOINT_URL_DYNAMODB, or else AWS itself.
	Endpoint string `yaml:"endpoint"`
}

// Objects says where whole files are kept.
type Objects struct {
	// Claims is the folder of bodies that no record of the stream holds; the
	// default is claims in the data folder. Every process that shares the
	// stream must see the same one. A body is kept five days longer than the
	// stream keeps its records; the archive has it for as long as the rest.
	Claims string `yaml:"claims"`
}

// Lake says where the lake is and how often it gets new files.
type Lake struct {
	// Dir is the lake's folder; the default is lake in the data folder.
	Dir string `yaml:"dir"`
	// Flush is how long events wait for a file; zero leaves it to the flag of
	// up.
	Flush time.Duration `yaml:"flush"`
	// OCSF is the schema version of the lake: 1.3.0, the default, or 1.1.0,
	// to which events are brought down before they are written. Rules see 1.3.0
	// always. A lake keeps the version it began with.
	OCSF string `yaml:"ocsf"`
}

// SQL says what answers queries.
type SQL struct {
	Engine string `yaml:"engine"`
}

// Limits bound a delivery.
type Limits struct {
	// Body is the largest body as sent; the default is 10MiB.
	Body Size `yaml:"body"`
	// Decompressed is the largest body after decompression; the default is
	// 64MiB.
	Decompressed Size `yaml:"decompressed"`
	// Depth is how deep JSON may nest; the default is 64.
	Depth int `yaml:"depth"`
	// Spool is how much a spool may hold, of each stream; the default is 4GiB.
	Spool Size `yaml:"spool"`
}

// Default is the configuration without a file.
func Default() Config {
	return Config{
		Stream: Stream{Name: "nagare", Shards: 1, Retention: 24 * time.Hour},
		Coord:  Coord{Kind: "sqlite", Table: "nagare"},
		Lake:   Lake{OCSF: "1.3.0"},
		SQL:    SQL{Engine: "duckdb"},
		Limits: Limits{Body: 10 << 20, Decompressed: 64 << 20, Depth: 64, Spool: 4 << 30},
	}
}

// Load reads a configuration file. Without problems the Config is good; the
// problems are all there are. sources are the names that have a mapping.
func Load(name string, sources []string) (Config, []nagare.Problem) {
	const maxBytes = 1 << 20
	info, err := os.Stat(name)
	if err == nil && info.Size() > maxBytes {
		err = fmt.Errorf("%d bytes, more than the %d a configuration may have", info.Size(), maxBytes)
	}
	var data []byte
	if err == nil {
		data, err = os.ReadFile(name)
	}
	if err != nil {
		return Config{}, []nagare.Problem{{File: name, Code: "unreadable", Message: err.Error(),
			Suggestion: "name another file with --config, or leave it out to run on the defaults"}}
	}
	return Parse(name, data, sources)
}

// Parse reads the bytes of a configuration file called name.
func Parse(name string, data []byte, sources []string) (Config, []nagare.Problem) {
	c := Default()
	doc := decode(name, data, &c)
	check(&c, doc, sources)
	base := filepath.Dir(name)
	for _, dirs := range [][]string{c.Rules.Dirs, c.Mappings.Dirs} {
		for i, d := range dirs {
			if !filepath.IsAbs(d) {
				dirs[i] = filepath.Join(base, d)
			}
		}
	}
	if c.Lake.Dir != "" && !filepath.IsAbs(c.Lake.Dir) {
		c.Lake.Dir = filepath.Join(base, c.Lake.Dir)
	}
	if c.Objects.Claims != "" && !filepath.IsAbs(c.Objects.Claims) {
		c.Objects.Claims = filepath.Join(base, c.Objects.Claims)
	}
	return c, doc.problems
}
