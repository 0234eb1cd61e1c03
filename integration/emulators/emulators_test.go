// Package emulators runs the conformance suite of internal/kinesisd against
// Kinesis servers that are not ours: what passes there and here is more than
// our own reading of the documentation. install.sh brings the servers, and
// run.sh starts one; dynalite, a DynamoDB, is for the suite of internal/coord.
package emulators

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestKinesalite(t *testing.T)   { compare(t, "kinesalite", kinesalite) }
func TestKinesisLocal(t *testing.T) { compare(t, "kinesis-local", kinesisLocal) }

// compare runs the suite on an emulator. What it complains of must be a known
// difference, and every known difference must show.
func compare(t *testing.T, name string, known []difference) {
	if os.Getenv("NAGARE_EMULATORS") == "" {
		t.Skip("NAGARE_EMULATORS is not set; make proof sets it where node and npm are")
	}
	t.Parallel()
	url := start(t, name)
	args := []string{"test", "-json", "-count=1", "-run=TestEndpoint"}
	var skip []string
	for _, d := range known {
		if d.skip {
			skip = append(skip, "TestEndpoint/"+strings.ReplaceAll(d.test, "/", "$/")+"$")
			t.Logf("not run: %s: AWS %s, %s %s", d.test, d.aws, name, d.here)
		}
	}
	args = append(args, "-skip="+strings.Join(skip, "|"))
	cmd := exec.CommandContext(t.Context(), "go", append(args, "nagare/internal/kinesisd/kinesistest")...)
	cmd.Env = append(os.Environ(), "NAGARE_TEST_KINESIS="+url)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, _ := cmd.Output() // it fails where there are differences
	ran, complaints := read(t, out)
	if ran < 20 {
		t.Fatalf("%d tests ran: %s\n%s", ran, stderr.Bytes(), out)
	}
	seen := make([]bool, len(known))
	for _, c := range complaints {
		expected := false
		for i, d := range known {
			if d.matches(c) {
				expected, seen[i] = true, true
			}
		}
		if !expected {
			t.Errorf("not a known difference: %s: %s", c.test, c.text)
		}
	}
	for i, d := range known {
		if !seen[i] && !d.skip && !d.late {
			t.Errorf("%s now does as AWS does (%s) in %s; take the difference off the list", name, d.aws, d.test)
		}
	}
	t.Logf("%d tests ran; %d complaints, all of the %d known differences", ran, len(complaints), len(known))
}

func (d difference) matches(c complaint) bool {
	ok, err := path.Match(d.test, c.test)
	return err == nil && ok && !d.skip && strings.Contains(c.text, d.says)
}

// complaint is one message of a failed test.
type complaint struct{ test, text string }

var beginning = regexp.MustCompile(`^\s+\w+\.go:\d+: `)

// read takes complaints out of what go test -json says. A panic or a time-out
// is one too.
func read(t *testing.T, out []byte) (ran int, found []complaint) {
	t.Helper()
	messages, failed := map[string][]string{}, map[string]bool{}
	parent := map[string]bool{}
	var order []string
	lines := bufio.NewScanner(bytes.NewReader(out))
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var e struct{ Action, Test, Output string }
		if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
			t.Fatalf("go test says %q: %v", lines.Text(), err)
		}
		test := strings.TrimPrefix(e.Test, "TestEndpoint/")
		switch {
		case e.Action == "run" && e.Test != "":
			order = append(order, test)
			parent[path.Dir(test)] = true
		case e.Action == "fail" && e.Test != "":
			failed[test] = true
		case e.Action == "pass" && e.Test != "":
			ran++
		case e.Action == "output" && beginning.MatchString(e.Output):
			messages[test] = append(messages[test], beginning.ReplaceAllString(e.Output, ""))
		case e.Action == "output" && strings.HasPrefix(e.Output, "panic:"):
			found = append(found, complaint{test, e.Output})
		case e.Action == "output" && len(messages[test]) > 0 && strings.HasPrefix(e.Output, "        "):
			messages[test][len(messages[test])-1] += e.Output
		}
	}
	if err := lines.Err(); err != nil {
		t.Fatal(err)
	}
	for _, test := range order {
		if !failed[test] {
			continue
		}
		ran++
		for _, m := range messages[test] {
			found = append(found, complaint{test, strings.TrimSpace(m)})
		}
		if len(messages[test]) == 0 && !parent[test] && test != "TestEndpoint" {
			found = append(found, complaint{test, "failed without a word"})
		}
	}
	return ran, found
}

// start runs an emulator until the test ends and returns its address.
func start(t *testing.T, name string) (url string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := l.Addr().(*net.TCPAddr).Port
	_ = l.Close()
	cmd := exec.Command("./run.sh", name, fmt.Sprint(port))
	var log bytes.Buffer
	cmd.Stdout, cmd.Stderr = &log, &log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // the script and what it starts
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	t.Cleanup(func() {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
		<-ended
	})
	url = fmt.Sprintf("http://127.0.0.1:%d", port)
	deadline := time.After(30 * time.Second)
	for {
		if resp, err := http.Get(url); err == nil {
			_ = resp.Body.Close()
			return url
		}
		select {
		case err := <-ended:
			ended <- err
			t.Fatalf("%s ended: %v\n%s", name, err, log.Bytes())
		case <-deadline:
			t.Fatalf("%s does not answer", name)
		case <-time.After(50 * time.Millisecond):
		}
	}
}
