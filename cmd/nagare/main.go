// Command nagare takes security events from SaaS webhooks, EDR exports, mails
// and files, normalizes them to OCSF, evaluates detections on them, and keeps
// them in a lake. This package is the command table: one file a command, and
// no logic.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/alecthomas/kong"

	"nagare/internal/app"
)

// commands is every command there is.
type commands struct {
	Config   string `help:"Configuration file; nagare.yaml is read if it is there." placeholder:"FILE" type:"path"`
	Data     string `help:"Folder for streams, lake and state." default:"nagare-data" type:"path"`
	LogLevel string `help:"Least level that is logged: debug, info, warn, error." default:"warn" enum:"debug,info,warn,error"`

	Up          upCmd          `cmd:"" help:"Run the whole pipeline on this machine; Ctrl-C drains it."`
	Serve       serveCmd       `cmd:"" help:"Run chosen parts on configured services, with other processes; SIGTERM drains."`
	Send        sendCmd        `cmd:"" help:"Send files through intake onto the stream."`
	Map         mapCmd         `cmd:"" help:"Normalize files to OCSF, offline."`
	Query       queryCmd       `cmd:"" help:"Ask the lake in SQL."`
	Report      reportCmd      `cmd:"" help:"Reports: prepared questions to the lake."`
	Rules       rulesCmd       `cmd:"" help:"Detection rules as code."`
	Mappings    mappingsCmd    `cmd:"" help:"Mappings as code."`
	Ocsf        ocsfCmd        `cmd:"" name:"ocsf" help:"What is known of OCSF."`
	Replay      replayCmd      `cmd:"" help:"Read the stream or the archive again: evaluate the rules, or fill another lake."`
	Checkpoints checkpointsCmd `cmd:"" help:"How far each application is: list, save under a name, set."`
	Alerts      alertsCmd      `cmd:"" help:"Alerts: list, show, acknowledge, close."`
	Lake        lakeCmd        `cmd:"" help:"The lake: its ledger."`
	Deadletters deadlettersCmd `cmd:"" help:"Events that could not be used, with their reasons."`
	Check       checkCmd       `cmd:"" help:"Check configuration, mappings and rules without starting anything."`
	Kinesis     kinesisCmd     `cmd:"" help:"Run the embedded Kinesis server alone."`
	Version     versionCmd     `cmd:"" help:"Print the version."`
}

// An env is what a command has besides its flags.
type env struct {
	ctx    context.Context
	opts   app.Options
	stdout io.Writer
	stderr io.Writer
}

// endsAtOnce lets a signal end the process as it stands. Commands that write
// nothing call it: they have nothing to drain, and what they compute does not
// look at the context.
func (e *env) endsAtOnce() { signal.Reset(os.Interrupt, syscall.SIGTERM) }

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// run parses args and runs the command. It returns the exit code: 0 good, 1
// found something wrong, 2 wrong usage or configuration, 3 could not reach
// something.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) (code int) {
	var c commands
	exited := false
	k, err := kong.New(&c,
		kong.Name("nagare"),
		kong.Description("Security events in, OCSF, alerts and a lake out. Exit codes: 0 good, 1 found something wrong, 2 wrong usage or configuration, 3 could not reach something."),
		kong.UsageOnError(),
		kong.Writers(stdout, stderr),
		kong.Exit(func(c int) { exited, code = true, c }),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, FlagsLast: true}),
	)
	if err != nil {
		panic(err) // the command table is wrong
	}
	if len(args) == 0 {
		args = []string{"--help"}
	}
	kctx, err := k.Parse(joinDurations(args))
	if exited {
		return code
	}
	if err != nil {
		fmt.Fprintf(stderr, "nagare: %v\nRun nagare --help for the commands, nagare COMMAND --help for one.\n", err)
		return 2
	}
	e := &env{ctx: ctx, stdout: stdout, stderr: stderr, opts: app.Options{
		Config: c.Config, Data: c.Data, Command: commandName(kctx), Log: app.NewLog(stderr, c.LogLevel),
	}}
	if err := kctx.Run(e); err != nil {
		var quiet *app.Found
		if !errors.As(err, &quiet) {
			fmt.Fprintf(stderr, "nagare: %v\n", err)
		}
		return app.ExitCode(err)
	}
	return 0
}

// commandName is the command without its arguments, as "checkpoints set".
func commandName(k *kong.Context) string {
	name, _, _ := strings.Cut(k.Command(), " <")
	return name
}

// joinDurations makes --from -1h one word, --from=-1h: a position may begin
// with a minus, which would be taken for a flag.
func joinDurations(args []string) []string {
	var out []string
	for i := 0; i < len(args); i++ {
		a := args[i]
		if (a == "--from" || a == "--to" || a == "--since") && i+1 < len(args) && len(args[i+1]) > 1 && args[i+1][0] == '-' && args[i+1][1] >= '0' && args[i+1][1] <= '9' {
			a += "=" + args[i+1]
			i++
		}
		out = append(out, a)
	}
	return out
}
