// Command demo shows the whole chain on this machine, in a temporary folder:
// a webhook, an EDR export, a mail, sign-ins and a user list go in; an alert,
// Parquet and SQL come out. It exits 0 when everything arrived, and 1 saying
// what is missing.
package main

import (
	"bufio"
	"bytes"
	"context"
	"embed"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"time"
)

//go:embed events
var eventFiles embed.FS

// limit is how long the whole demo may take.
const limit = 90 * time.Second

func main() {
	binary := flag.String("nagare", "bin/nagare", "the nagare binary")
	keep := flag.Bool("keep", false, "keep the folder with streams, lake and logs")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	if err := run(ctx, *binary, *keep); err != nil {
		fmt.Fprintf(os.Stderr, "demo: %v\n", err)
		os.Exit(1)
	}
}

// A demo is one run of it.
type demo struct {
	ctx    context.Context
	binary string
	dir    string
	began  time.Time
	step   time.Time
	slack  *slackEnd
}

func run(ctx context.Context, binary string, keep bool) (err error) {
	binary, err = filepath.Abs(binary)
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "nagare-demo-")
	if err != nil {
		return err
	}
	d := &demo{ctx: ctx, binary: binary, dir: dir, began: time.Now(), step: time.Now()}
	defer func() {
		if keep || err != nil {
			fmt.Printf("kept: %s\n", dir)
			return
		}
		err = errors.Join(err, os.RemoveAll(dir))
	}()
	if d.slack, err = startSlack(); err != nil {
		return err
	}
	defer d.slack.close()
	if err := d.writeEvents(); err != nil {
		return err
	}

	up, info, err := d.up()
	if err != nil {
		return err
	}
	defer up.kill()
	d.did("nagare up: streams, intake, rules, lake")

	accepted, err := d.deliver(info)
	if err != nil {
		return err
	}
	if err := d.awaitAlert(); err != nil {
		return err
	}
	if err := d.awaitLake(accepted); err != nil {
		return err
	}
	if err := d.ask(); err != nil {
		return err
	}
	if err := up.stop(); err != nil {
		return fmt.Errorf("nagare up did not stop cleanly: %w", err)
	}
	d.did("stopped cleanly")
	fmt.Printf("\nEverything arrived, in %.1f s.\n", time.Since(d.began).Seconds())
	return nil
}

// did prints a step with its time.
func (d *demo) did(format string, args ...any) {
	fmt.Printf("%6.2f s  %s\n", time.Since(d.step).Seconds(), fmt.Sprintf(format, args...))
	d.step = time.Now()
}

// placeholder is a time in the event files, relative to now: @t-5m@ and
// @tm-5m@ (RFC 3339, whole seconds or milliseconds), @ms-5m@ and @s-5m@
// (epoch), @rfc-5m@ (of a mail).
var placeholder = regexp.MustCompile(`@(t|tm|ms|s|rfc)-([0-9]+m)@`)

// writeEvents writes the embedded events, dated now, and the configuration.
func (d *demo) writeEvents() error {
	now := time.Now().UTC()
	files, err := eventFiles.ReadDir("events")
	if err != nil {
		return err
	}
	for _, f := range files {
		data, err := eventFiles.ReadFile(path.Join("events", f.Name()))
		if err != nil {
			return err
		}
		data = placeholder.ReplaceAllFunc(data, func(m []byte) []byte {
			parts := placeholder.FindSubmatch(m)
			ago, _ := time.ParseDuration(string(parts[2]))
			t := now.Add(-ago)
			switch string(parts[1]) {
			case "ms":
				return fmt.Append(nil, t.UnixMilli())
			case "s":
				return fmt.Append(nil, t.Unix())
			case "rfc":
				return []byte(t.Format(time.RFC1123Z))
			case "tm":
				return []byte(t.Format("2006-01-02T15:04:05.000Z"))
			}
			return []byte(t.Format(time.RFC3339))
		})
		if err := os.WriteFile(filepath.Join(d.dir, f.Name()), data, 0o600); err != nil {
			return err
		}
	}
	config := fmt.Sprintf("receivers: {team: {slack: {webhook: %q}}}\nroutes: [{when: \"alert.severity_id >= 4\", to: [team]}]\n", d.slack.url())
	return os.WriteFile(filepath.Join(d.dir, "nagare.yaml"), []byte(config), 0o600)
}

// runInfo is what the demo needs of run.json.
type runInfo struct {
	HTTP   string            `json:"http"`
	Admin  string            `json:"admin"`
	Tokens map[string]string `json:"tokens"`
}

// up starts the pipeline and waits until it is ready.
func (d *demo) up() (*process, runInfo, error) {
	var info runInfo
	log, err := os.Create(filepath.Join(d.dir, "up.log"))
	if err != nil {
		return nil, info, err
	}
	p, err := start(d.command(d.ctx, "up", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--flush", "5s"), log)
	if err != nil {
		return nil, info, err
	}
	err = d.await("nagare up to be ready", func() (bool, error) {
		if p.exited() {
			text, _ := os.ReadFile(log.Name())
			return false, fmt.Errorf("nagare up ended: %s", text)
		}
		data, err := os.ReadFile(filepath.Join(d.dir, "data", "run.json"))
		if err != nil || json.Unmarshal(data, &info) != nil {
			return false, nil
		}
		resp, err := http.Get(info.Admin + "/readyz")
		if err != nil {
			return false, nil
		}
		resp.Body.Close()
		return resp.StatusCode == http.StatusOK, nil
	})
	if err != nil {
		p.kill()
	}
	return p, info, err
}

// deliver sends everything and returns how many events were accepted.
func (d *demo) deliver(info runInfo) (int, error) {
	total := 0
	for _, name := range []string{"datadog-signal.json", "datadog-monitor.json"} {
		n, err := d.post(info, "datadog", name)
		if err != nil {
			return 0, err
		}
		total += n
		d.did("POST /v1/datadog %s: %d event", name, n)
	}
	for _, f := range []struct{ source, name string }{
		{"defender", "defender-export.json"},
		{"mail", "notice.eml"},
		{"okta", "okta-system-log.jsonl"},
		{"entra", "entra-signins.jsonl"},
		{"directory", "directory-users.jsonl"},
	} {
		out, err := d.output("send", "--source", f.source, "--format", "json", filepath.Join(d.dir, f.name))
		if err != nil {
			return 0, err
		}
		n, err := count(out, f.name)
		if err != nil {
			return 0, err
		}
		total += n
		d.did("nagare send --source %s %s: %d events", f.source, f.name, n)
	}
	return total, nil
}

// count reads {"accepted":n,"dead":n} and wants no dead letters.
func count(answer []byte, name string) (int, error) {
	var r struct{ Accepted, Dead int }
	if err := json.Unmarshal(answer, &r); err != nil {
		return 0, fmt.Errorf("%s: the answer %q: %w", name, answer, err)
	}
	if r.Accepted == 0 || r.Dead != 0 {
		return 0, fmt.Errorf("%s: %d accepted, %d dead", name, r.Accepted, r.Dead)
	}
	return r.Accepted, nil
}

func (d *demo) post(info runInfo, source, name string) (int, error) {
	body, err := os.ReadFile(filepath.Join(d.dir, name))
	if err != nil {
		return 0, err
	}
	req, err := http.NewRequestWithContext(d.ctx, http.MethodPost, info.HTTP+"/v1/"+source, bytes.NewReader(body))
	if err != nil {
		return 0, err
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("X-Nagare-Token", info.Tokens[source])
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, 64<<10))
	if err != nil {
		return 0, err
	}
	if resp.StatusCode != http.StatusAccepted {
		return 0, fmt.Errorf("%s: %s: %s", name, resp.Status, answer)
	}
	return count(answer, name)
}

// awaitAlert waits until the Datadog signal's alert was delivered to Slack.
func (d *demo) awaitAlert() error {
	var text string
	err := d.await("the alert of the Datadog signal at Slack", func() (bool, error) {
		text = d.slack.find("Impossible travel")
		return text != "", nil
	})
	if err != nil {
		return err
	}
	d.did("Slack was told: %s", text)
	return nil
}

// views are the classes the demo's events become.
var views = []string{"detection_finding", "authentication", "process_activity", "network_activity", "file_activity", "user_inventory", "account_change", "api_activity", "base_event"}

// awaitLake waits until the lake holds every event.
func (d *demo) awaitLake(want int) error {
	var parts []string
	for _, v := range views {
		parts = append(parts, fmt.Sprintf("select '%s' as class, metadata.uid as uid, metadata.product.name as product from %s", v, v))
	}
	sql := "select class, count(*) as events from (" + strings.Join(parts, " union all ") + ") where product <> 'nagare' group by class order by class"
	var got int
	var classes []string
	err := d.await("the lake to hold every event", func() (bool, error) {
		out, err := d.output("query", "--format", "json", sql)
		if err != nil {
			return false, err
		}
		got, classes = 0, nil
		lines := bufio.NewScanner(bytes.NewReader(out))
		for lines.Scan() {
			var row struct {
				Class  string
				Events int
			}
			if err := json.Unmarshal(lines.Bytes(), &row); err != nil {
				return false, fmt.Errorf("query answered %q: %w", lines.Text(), err)
			}
			got += row.Events
			classes = append(classes, fmt.Sprintf("%s %d", row.Class, row.Events))
		}
		return got >= want, lines.Err()
	})
	if err != nil {
		return fmt.Errorf("%w: it holds %d of %d (%s)", err, got, want, strings.Join(classes, ", "))
	}
	if got != want {
		return fmt.Errorf("the lake holds %d rows for %d events (%s)", got, want, strings.Join(classes, ", "))
	}
	d.did("the lake holds all %d events: %s", want, strings.Join(classes, ", "))
	return nil
}

// ask runs both reports and lists the alerts.
func (d *demo) ask() error {
	for _, args := range [][]string{
		{"report", "run", "weak-authenticators", "--format", "table"},
		{"report", "run", "dormant-accounts", "--format", "table"},
		{"alerts", "list", "--format", "table"},
	} {
		out, err := d.output(args...)
		if err != nil {
			return err
		}
		if len(bytes.TrimSpace(out)) == 0 {
			return fmt.Errorf("nagare %s printed nothing", strings.Join(args, " "))
		}
		d.did("nagare %s\n\n%s", strings.Join(args, " "), out)
	}
	return nil
}

// await asks done every 100 ms until it is true.
func (d *demo) await(what string, done func() (bool, error)) error {
	for {
		ok, err := done()
		if ok || err != nil {
			return err
		}
		select {
		case <-d.ctx.Done():
			return fmt.Errorf("still waiting for %s: %w", what, context.Cause(d.ctx))
		case <-time.After(100 * time.Millisecond):
		}
	}
}

func (d *demo) command(ctx context.Context, args ...string) *exec.Cmd {
	args = append([]string{"--data", filepath.Join(d.dir, "data"), "--config", filepath.Join(d.dir, "nagare.yaml")}, args...)
	return exec.CommandContext(ctx, d.binary, args...)
}

// output runs a command and returns what it prints on stdout.
func (d *demo) output(args ...string) ([]byte, error) {
	cmd := d.command(d.ctx, args...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("nagare %s: %w: %s", args[0], err, stderr.String())
	}
	return out, nil
}
