package integration

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"
)

// freeAddress is a loopback address that nobody listens on.
func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// TestServeDocs runs the four processes that docs/serve.md shows, with other
// addresses, and sends an event through them.
func TestServeDocs(t *testing.T) {
	binary, dir := build(t), t.TempDir()
	text, err := os.ReadFile("../docs/serve.md")
	if err != nil {
		t.Fatal(err)
	}
	addrs := map[string]string{}
	text = regexp.MustCompile(`127\.0\.0\.1:\d+`).ReplaceAllFunc(text, func(old []byte) []byte {
		if addrs[string(old)] == "" {
			addrs[string(old)] = freeAddress(t)
		}
		return []byte(addrs[string(old)])
	})
	blocks := regexp.MustCompile("(?s)```(yaml)?\n(.*?)```").FindAllSubmatch(text, -1)
	if len(blocks) != 2 {
		t.Fatalf("docs/serve.md has %d blocks, want the commands and the configuration", len(blocks))
	}
	if err := os.WriteFile(filepath.Join(dir, "nagare.yaml"), blocks[1][2], 0o600); err != nil {
		t.Fatal(err)
	}
	type started struct {
		cmd *exec.Cmd
		log *bytes.Buffer
	}
	var all []started
	for line := range strings.Lines(string(blocks[0][2])) {
		args := strings.Fields(line)
		if args[0] != "nagare" {
			t.Fatalf("not a command of ours: %s", line)
		}
		p := started{exec.Command(binary, args[1:]...), &bytes.Buffer{}}
		p.cmd.Dir, p.cmd.Stdout, p.cmd.Stderr = dir, p.log, p.log
		p.cmd.Env = append(os.Environ(), "OKTA_TOKEN=sesame")
		if err := p.cmd.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = p.cmd.Process.Kill() })
		all = append(all, p)
		if len(all) == 1 {
			await(t, 30*time.Second, "the stream's server", func() bool {
				resp, err := http.Get("http://" + addrs["127.0.0.1:4567"])
				if err == nil {
					resp.Body.Close()
				}
				return err == nil
			})
		}
	}
	for _, admin := range []string{"127.0.0.1:8081", "127.0.0.1:8082", "127.0.0.1:8083"} {
		await(t, 60*time.Second, "a worker to be ready", func() bool {
			resp, err := http.Get("http://" + addrs[admin] + "/readyz")
			if err != nil {
				return false
			}
			resp.Body.Close()
			return resp.StatusCode == http.StatusOK
		})
	}
	post := func(source, token string) int {
		req, err := http.NewRequest(http.MethodPost, "http://"+addrs["127.0.0.1:8080"]+"/v1/"+source, bytes.NewReader(signIn("documented", time.Now())))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("X-Nagare-Token", token)
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		return resp.StatusCode
	}
	for _, c := range []struct {
		source, token string
		want          int
	}{{"okta", "sesame", http.StatusAccepted}, {"okta", "guess", http.StatusUnauthorized}, {"datadog", "", http.StatusNotFound}} {
		if got := post(c.source, c.token); got != c.want {
			t.Errorf("a delivery of %s with token %q: %d, want %d", c.source, c.token, got, c.want)
		}
	}
	work := filepath.Join(dir, "work")
	await(t, 30*time.Second, "the event in the lake", func() bool { return countByUID(t, binary, work)["documented"] == 1 })

	// Beside them: what needs the rows works, what would have a stream of its
	// own is refused.
	command(t, binary, "--data", work, "alerts", "list")
	if code, _, stderr := run(binary, "--data", work, "up"); code != 2 {
		t.Errorf("up beside serve: exit %d, want 2: %s", code, stderr)
	}
	file := filepath.Join(dir, "in.jsonl")
	if err := os.WriteFile(file, signIn("sent", time.Now()), 0o600); err != nil {
		t.Fatal(err)
	}
	sent := exec.Command(binary, "--data", "work", "send", "--source", "okta", file)
	sent.Dir, sent.Env = dir, append(os.Environ(), "OKTA_TOKEN=sesame")
	if out, err := sent.CombinedOutput(); err != nil {
		t.Errorf("send beside serve: %v: %s", err, out)
	}
	await(t, 30*time.Second, "the event in the lake", func() bool { return countByUID(t, binary, work)["sent"] == 1 })

	for i := len(all) - 1; i >= 0; i-- { // the stream last
		_ = all[i].cmd.Process.Signal(syscall.SIGTERM)
		if err := all[i].cmd.Wait(); err != nil {
			t.Errorf("%v: %v: %s", all[i].cmd.Args, err, all[i].log)
		}
	}
	// What is served and what is not is said at the start.
	for line, names := range map[string][]string{"intake ": {" for okta\n"}, "closed ": {" datadog ", " github ", ": no auth in the configuration\n"}} {
		for _, name := range names {
			if !regexp.MustCompile("(?m)^" + line + ".*" + name).Match(all[1].log.Bytes()) {
				t.Errorf("ingest does not say %q after %q: %s", name, line, all[1].log)
			}
		}
	}
}

// TestServeRefuses: what is wrong is said at once, with exit code 2, and what
// cannot be reached with 3.
func TestServeRefuses(t *testing.T) {
	binary, dir := build(t), t.TempDir()
	t.Setenv("AWS_REGION", "")
	t.Setenv("AWS_ENDPOINT_URL", "")
	t.Setenv("AWS_ENDPOINT_URL_KINESIS", "")
	config := func(text string) string {
		name := filepath.Join(t.TempDir(), "nagare.yaml")
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return name
	}
	none := config("{}")
	open := config("stream: {endpoint: 'http://127.0.0.1:9'}\nsources: {okta: {}}\n")
	nowhere := config(fmt.Sprintf("stream: {endpoint: 'http://%s'}\n", freeAddress(t)))
	for _, c := range []struct {
		name, config string
		args         []string
		code         int
		says         string
	}{
		{"no role", none, nil, 2, "--roles"},
		{"no such role", none, []string{"--roles", "ingestion"}, 2, `there is no role "ingestion"`},
		{"a role to come", none, []string{"--roles", "live,web"}, 2, "no role web yet"},
		{"a source without auth", open, []string{"--roles", "ingest"}, 2, "there is none for okta"},
		{"no source", none, []string{"--roles", "ingest"}, 2, "the configuration has no source: in " + none + " set sources.SOURCE.auth"},
		{"admin for everybody", none, []string{"--roles", "live", "--admin", "0.0.0.0:0"}, 2, "on loopback only"},
		{"no region", none, []string{"--roles", "live", "--admin", "127.0.0.1:0"}, 2, "set AWS_REGION"},
		{"a lease too short", open, []string{"--roles", "live", "--lease", "10ms"}, 2, "use 1s to 10m"},
		{"a stream that is not there", nowhere, []string{"--roles", "live", "--admin", "127.0.0.1:0"}, 3, "does not answer"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if c.code == 3 && testing.Short() {
				t.Skip("it waits for the stream for half a minute")
			}
			code, _, stderr := run(binary, append([]string{"--config", c.config, "--data", dir, "serve"}, c.args...)...)
			if code != c.code || !strings.Contains(string(stderr), c.says) {
				t.Errorf("exit %d, want %d and %q: %s", code, c.code, c.says, stderr)
			}
		})
	}
	t.Chdir(t.TempDir()) // where there is no nagare.yaml
	if code, _, stderr := run(binary, "--data", dir, "serve", "--roles", "ingest"); code != 2 || !strings.Contains(string(stderr), "write nagare.yaml") {
		t.Errorf("serve without a configuration: exit %d, want 2: %s", code, stderr)
	}
	code, _, stderr := run(binary, "--config", open, "--data", dir, "up")
	if code != 2 || !strings.Contains(string(stderr), "run nagare serve --roles ingest,live,compact") {
		t.Errorf("up with a stream elsewhere: exit %d, want 2: %s", code, stderr)
	}
	p := up(t, binary, dir)
	if code, _, stderr := run(binary, "--config", open, "--data", dir, "serve", "--roles", "live", "--admin", "127.0.0.1:0"); code != 2 {
		t.Errorf("serve on a folder that up has: exit %d, want 2: %s", code, stderr)
	}
	p.stop()
}

// TestServeSaysWhenTheStreamIsAway: intake that acknowledges by the stream is
// not ready while that is away, and is again when it is back.
func TestServeSaysWhenTheStreamIsAway(t *testing.T) {
	binary, dir := build(t), t.TempDir()
	stream, listen, admin := freeAddress(t), freeAddress(t), freeAddress(t)
	text := fmt.Sprintf("stream: {endpoint: 'http://%s'}\nsources: {okta: {auth: {kind: header, name: X-Nagare-Token, secret: 'env:OKTA_TOKEN'}}}\n", stream)
	if err := os.WriteFile(filepath.Join(dir, "nagare.yaml"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	start := func(args ...string) *exec.Cmd {
		cmd := exec.Command(binary, args...)
		cmd.Dir, cmd.Env = dir, append(os.Environ(), "OKTA_TOKEN=sesame")
		if args[2] == "serve" {
			cmd.Stdout, cmd.Stderr = &log, &log
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = cmd.Process.Kill() })
		return cmd
	}
	ready := func() (code int, body string) {
		resp, err := http.Get("http://" + admin + "/readyz")
		if err != nil {
			return 0, ""
		}
		defer resp.Body.Close()
		b, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return resp.StatusCode, string(b)
	}
	kinesis := []string{"--data", "stream", "kinesis", "--listen", stream}
	server := start(kinesis...)
	intake := start("--data", "work", "serve", "--roles", "ingest", "--listen", listen, "--admin", admin)
	await(t, 60*time.Second, "intake to be ready", func() bool { code, _ := ready(); return code == http.StatusOK })
	if err := server.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = server.Wait()
	await(t, 60*time.Second, "intake to be not ready, with the reason", func() bool {
		code, body := ready()
		return code == http.StatusServiceUnavailable && strings.Contains(body, "stream nagare cannot be reached") ||
			code == http.StatusServiceUnavailable && strings.Contains(body, "stream nagare-bulk cannot be reached")
	})
	start(kinesis...)
	await(t, 60*time.Second, "intake to be ready again", func() bool { code, _ := ready(); return code == http.StatusOK })
	_ = intake.Process.Signal(syscall.SIGTERM)
	if err := intake.Wait(); err != nil {
		t.Errorf("%v: %s", err, log.String())
	}
}
