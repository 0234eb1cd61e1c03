package integration

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
)

// TestSpoolKills is TestKills where the spool alone acknowledges.
func TestSpoolKills(t *testing.T) {
	if testing.Short() {
		t.Skip("kills a process five times")
	}
	killsOn(t, number("NAGARE_KILLS", 5), "stream: {shards: 2}\nsources: {okta: {ack: spool}}\n", func(int) {})
}

// TestSpoolOutages has intake and lake in processes of their own, and a stream
// that is killed, stopped so that it does not answer, and started again, while
// intake is killed too and must start without a stream. Deliveries must be
// acknowledged all the while, and then be in the lake, once.
func TestSpoolOutages(t *testing.T) {
	if testing.Short() {
		t.Skip("kills processes")
	}
	kills := number("NAGARE_KILLS", 3)
	seed := uint64(number("NAGARE_SEED", int(time.Now().UnixNano())))
	t.Logf("%d kills; NAGARE_SEED=%d repeats it", kills, seed)
	c := &crash{t: t, binary: build(t), rnd: rand.New(rand.NewPCG(seed, 3)), began: time.Now(), dir: t.TempDir(), workers: make([]*worker, 1)}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c.addr = l.Addr().String()
	l.Close()
	config := fmt.Sprintf("stream: {shards: 2, endpoint: 'http://%s'}\nsources: {okta: {ack: kinesis-or-spool, auth: {kind: header, name: X-Nagare-Token, secret: %s}}}\n", c.addr, crashToken)
	if err := os.WriteFile(filepath.Join(c.dir, "nagare.yaml"), []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	c.api = kinesis.New(kinesis.Options{Region: "us-east-1", BaseEndpoint: aws.String("http://" + c.addr), Credentials: credentials.NewStaticCredentialsProvider("x", "x", "")})

	// Intake first, before there has ever been a stream.
	intake := serveRoles(c, "ingest")
	c.workers[0] = intake
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	s := &crashSender{crash: c, acked: map[string]bool{}}
	for i := range 2 {
		s.wg.Add(1)
		go s.send(ctx, i)
	}
	progress := func(when string) {
		t.Helper()
		mark := s.count()
		await(t, 60*time.Second, "deliveries "+when, func() bool { return s.count() > mark+5 })
	}
	progress("without a stream")
	c.serveStream()
	t.Cleanup(func() { _ = c.server.Process.Kill() })
	lake := serveRoles(c, "compact")
	await(t, 60*time.Second, "the lake's process to be ready", lake.ready)
	for c.kills < kills {
		switch c.rnd.IntN(3) {
		case 0:
			_ = c.server.Process.Kill()
			_ = c.server.Wait()
			c.kills++
			progress("while the stream is down")
			if c.rnd.IntN(2) == 0 { // and intake starts without it
				c.workers[0].kill9()
				c.replaceIntake()
				progress("after a start without a stream")
			}
			c.serveStream()
		case 1:
			_ = c.server.Process.Signal(syscall.SIGSTOP)
			progress("while the stream does not answer")
			_ = c.server.Process.Signal(syscall.SIGCONT)
		case 2:
			c.workers[0].kill9()
			c.replaceIntake()
			c.kills++
		}
		time.Sleep(time.Duration(c.rnd.IntN(1000)) * time.Millisecond) // any moment will do
		progress("with everything well")
	}
	stop()
	s.wg.Wait()
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("intake: %s\nlake: %s", tail(c.workers[0].log.Bytes()), tail(lake.log.Bytes()))
		}
	})
	var rows map[string]int
	await(t, 90*time.Second, "the lake to hold everything acknowledged", func() bool {
		rows = c.rows()
		for uid := range s.acked {
			if rows[uid] == 0 {
				return false
			}
		}
		return true
	})
	c.workers[0].terminate()
	lake.terminate()
	doubled := 0
	rows = c.rows()
	for uid, n := range rows {
		if n > 1 {
			doubled++
			t.Errorf("%s is in the lake %d times", uid, n)
		}
	}
	t.Logf("%s: %d kills, %d acknowledged, %d rows, 0 lost, %d doubled", time.Since(c.began).Round(time.Second), c.kills, len(s.acked), len(rows), doubled)
}

func (c *crash) replaceIntake() {
	w := serveRoles(c, "ingest")
	c.mu.Lock()
	defer c.mu.Unlock()
	c.workers[0] = w
}

// serveRoles starts a process with some roles.
func serveRoles(c *crash, roles string) *worker {
	c.t.Helper()
	w := &worker{t: c.t, done: make(chan struct{})}
	w.cmd = exec.Command(c.binary, "--config", filepath.Join(c.dir, "nagare.yaml"), "--data", filepath.Join(c.dir, "data"), "--log-level", "info",
		"serve", "--roles", roles, "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--flush", "1s", "--lease", leaseTime.String())
	w.cmd.Stderr = &w.log
	out, err := w.cmd.StdoutPipe()
	if err == nil {
		err = w.cmd.Start()
	}
	if err != nil {
		c.t.Fatal(err)
	}
	go w.read(out)
	c.t.Cleanup(w.kill9)
	return w
}

// TestSpoolOfAnother: two processes of intake cannot share a data folder once
// there is a spool in it.
func TestSpoolOfAnother(t *testing.T) {
	c := &crash{t: t, binary: build(t), dir: t.TempDir(), workers: make([]*worker, 1)}
	config := fmt.Sprintf("stream: {endpoint: 'http://127.0.0.1:1'}\nsources: {okta: {ack: spool, auth: {kind: header, name: X-Nagare-Token, secret: %s}}}\n", crashToken)
	if err := os.WriteFile(filepath.Join(c.dir, "nagare.yaml"), []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	w := serveRoles(c, "ingest")
	await(t, 30*time.Second, "intake without a stream", func() bool { return w.url() != "" })
	code, _, stderr := run(c.binary, "--config", filepath.Join(c.dir, "nagare.yaml"), "--data", filepath.Join(c.dir, "data"),
		"serve", "--roles", "ingest", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0")
	if code != 2 || !strings.Contains(string(stderr), "another process has the spool") {
		t.Errorf("a second intake: exit %d: %s", code, stderr)
	}
	w.terminate()
}
