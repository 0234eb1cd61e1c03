package integration

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/big"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"
)

// TestCrash has several workers share a stream, and lets happen to them what
// may: kill -9, a stop longer than a lease, a clean restart; and to the stream:
// splits, merges, kill -9 and restart of its server. A sender posts all the
// while, each event again until it is acknowledged. Then it counts the lake by
// uid: everything acknowledged is there, and nothing is there twice.
//
// NAGARE_KILLS sets the number of kills, NAGARE_WORKERS that of workers and
// NAGARE_SEED the order of things.
func TestCrash(t *testing.T) {
	seed := uint64(number("NAGARE_SEED", int(time.Now().UnixNano())))
	rnd := rand.New(rand.NewPCG(seed, 2))
	kills := number("NAGARE_KILLS", 3)
	c := &crash{t: t, binary: build(t), rnd: rnd, began: time.Now(), workers: make([]*worker, number("NAGARE_WORKERS", 2+rnd.IntN(min(3, 1+kills/5))))}
	t.Logf("%d kills, %d workers; NAGARE_SEED=%d NAGARE_WORKERS=%d repeats it", kills, len(c.workers), seed, len(c.workers))
	c.start()
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	s := &crashSender{crash: c, acked: map[string]bool{}}
	for i := range 4 {
		s.wg.Add(1)
		go s.send(ctx, i)
	}
	for c.kills < kills {
		c.step()
		time.Sleep(time.Duration(rnd.IntN(1500)) * time.Millisecond) // the moment is the point: any will do
		if c.steps%20 == 0 {
			t.Logf("%s: %s, %d acknowledged", time.Since(c.began).Round(time.Second), c.did(), s.count())
		}
	}
	c.heal()
	// A little more after the last fault, and then no more.
	mark := s.count()
	await(t, 60*time.Second, "deliveries after the last fault", func() bool { return s.count() > mark+20 })
	stop()
	s.wg.Wait()
	if s.count() < 20*kills {
		t.Errorf("%d deliveries were acknowledged: not much of a load", s.count())
	}

	missing := func(rows map[string]int) (n int) {
		for uid := range s.acked {
			if rows[uid] == 0 {
				n++
			}
		}
		return n
	}
	await(t, 90*time.Second, "the lake to hold everything acknowledged", func() bool {
		time.Sleep(500 * time.Millisecond)
		return missing(c.rows()) == 0
	})
	for _, w := range c.workers {
		w.terminate()
	}
	rows := c.rows() // and after the last flush
	lost, doubled := missing(rows), 0
	for uid, n := range rows {
		if n > 1 {
			doubled++
			t.Errorf("%s is in the lake %d times", uid, n)
		}
	}
	t.Logf("%s: %s; %d acknowledged, %d rows, %d lost, %d doubled", time.Since(c.began).Round(time.Second), c.did(), len(s.acked), len(rows), lost, doubled)
	if lost > 0 || doubled > 0 {
		t.Fail()
	}
}

// number is a number of the environment.
func number(name string, byDefault int) int {
	if n, err := strconv.Atoi(os.Getenv(name)); err == nil {
		return n
	}
	return byDefault
}

// leaseTime is short, so that many can lapse in a test.
const leaseTime = 2 * time.Second

// A crash is the stream's server and the workers, and what was done to them.
type crash struct {
	t      *testing.T
	binary string
	rnd    *rand.Rand
	began  time.Time
	dir    string // of configuration, stream and data
	addr   string // of the server
	api    *kinesis.Client
	server *exec.Cmd

	mu      sync.Mutex
	workers []*worker

	steps, kills, stops, drains, restarts, splits, merges int
}

func (c *crash) did() string {
	return fmt.Sprintf("%d kills, %d stops longer than a lease, %d clean restarts, %d kills of the server, %d splits, %d merges",
		c.kills, c.stops, c.drains, c.restarts, c.splits, c.merges)
}

const crashToken = "sesame"

func (c *crash) start() {
	c.t.Helper()
	c.dir = c.t.TempDir()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		c.t.Fatal(err)
	}
	c.addr = l.Addr().String()
	l.Close()
	config := fmt.Sprintf("stream: {shards: 3, endpoint: 'http://%s'}\nsources: {okta: {auth: {kind: header, name: X-Nagare-Token, secret: %s}}}\n", c.addr, crashToken)
	if err := os.WriteFile(filepath.Join(c.dir, "nagare.yaml"), []byte(config), 0o600); err != nil {
		c.t.Fatal(err)
	}
	c.api = kinesis.New(kinesis.Options{Region: "us-east-1", BaseEndpoint: aws.String("http://" + c.addr), Credentials: credentials.NewStaticCredentialsProvider("x", "x", "")})
	c.serveStream()
	c.t.Cleanup(func() { _ = c.server.Process.Kill() })
	for i := range c.workers {
		c.replace(i)
	}
	for _, w := range c.workers {
		await(c.t, 60*time.Second, "a worker to be ready", w.ready)
	}
}

func (c *crash) serveStream() {
	c.t.Helper()
	c.server = exec.Command(c.binary, "--data", filepath.Join(c.dir, "stream"), "kinesis", "--listen", c.addr)
	if err := c.server.Start(); err != nil {
		c.t.Fatal(err)
	}
	await(c.t, 30*time.Second, "the stream's server to answer", func() bool {
		resp, err := http.Get("http://" + c.addr)
		if err == nil {
			resp.Body.Close()
		}
		return err == nil
	})
}

// replace starts a worker in place i.
func (c *crash) replace(i int) {
	c.t.Helper()
	w := &worker{t: c.t, done: make(chan struct{})}
	w.cmd = exec.Command(c.binary, "--config", filepath.Join(c.dir, "nagare.yaml"), "--data", filepath.Join(c.dir, "data"), "--log-level", "info",
		"serve", "--roles", "ingest,live,compact", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--flush", "1s", "--lease", leaseTime.String())
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
	c.mu.Lock()
	defer c.mu.Unlock()
	c.workers[i] = w
}

// step does one thing to a worker or to the stream.
func (c *crash) step() {
	c.t.Helper()
	c.steps++
	i := c.rnd.IntN(len(c.workers))
	w := c.workers[i]
	switch n := c.rnd.IntN(20); {
	case n < 9:
		w.kill9()
		c.replace(i)
		c.kills++
	case n < 12:
		// The others get on meanwhile, or are killed.
		_ = w.cmd.Process.Signal(syscall.SIGSTOP)
		time.AfterFunc(leaseTime+time.Duration(c.rnd.IntN(4000))*time.Millisecond, func() { _ = w.cmd.Process.Signal(syscall.SIGCONT) })
		c.stops++
	case n < 14:
		if w.ready() {
			w.terminate()
			c.replace(i)
			c.drains++
		}
	case n < 16:
		_ = c.server.Process.Kill()
		_ = c.server.Wait()
		time.Sleep(time.Duration(c.rnd.IntN(1000)) * time.Millisecond)
		c.serveStream()
		c.kills++
		c.restarts++
	default:
		c.reshard()
	}
	if c.alive() == 0 { // something must be acknowledged now and then
		await(c.t, 60*time.Second, "a worker to be ready", func() bool { return c.alive() > 0 })
	}
}

func (c *crash) alive() (n int) {
	for _, w := range c.workers {
		if w.url() != "" {
			n++
		}
	}
	return n
}

// reshard splits or merges open shards of one of the two streams.
func (c *crash) reshard() {
	stream := aws.String([]string{"nagare", "nagare", "nagare-bulk"}[c.rnd.IntN(3)])
	list, err := c.api.ListShards(c.t.Context(), &kinesis.ListShardsInput{StreamName: stream})
	if err != nil {
		return // it is between two changes
	}
	var open []types.Shard
	for _, s := range list.Shards {
		if s.SequenceNumberRange.EndingSequenceNumber == nil {
			open = append(open, s)
		}
	}
	start := func(s types.Shard) *big.Int { return decimal(s.HashKeyRange.StartingHashKey) }
	slices.SortFunc(open, func(a, b types.Shard) int { return start(a).Cmp(start(b)) })
	if len(open) < 2 || len(open) < 6 && c.rnd.IntN(2) == 0 {
		s := open[c.rnd.IntN(len(open))]
		mid := new(big.Int).Add(start(s), decimal(s.HashKeyRange.EndingHashKey))
		_, err = c.api.SplitShard(c.t.Context(), &kinesis.SplitShardInput{StreamName: stream, ShardToSplit: s.ShardId, NewStartingHashKey: aws.String(mid.Rsh(mid, 1).String())})
		if err == nil {
			c.splits++
		}
	} else {
		i := c.rnd.IntN(len(open) - 1)
		_, err = c.api.MergeShards(c.t.Context(), &kinesis.MergeShardsInput{StreamName: stream, ShardToMerge: open[i].ShardId, AdjacentShardToMerge: open[i+1].ShardId})
		if err == nil {
			c.merges++
		}
	}
	var busy *types.ResourceInUseException
	if err != nil && !errors.As(err, &busy) {
		c.t.Errorf("reshard: %v", err)
	}
}

func decimal(s *string) *big.Int {
	n, _ := new(big.Int).SetString(aws.ToString(s), 10)
	return n
}

// heal waits until everything works again.
func (c *crash) heal() {
	c.t.Helper()
	for _, w := range c.workers {
		await(c.t, 60*time.Second, "every worker to be ready", w.ready)
	}
}

// rows counts the lake by uid.
func (c *crash) rows() map[string]int {
	c.t.Helper()
	return countByUID(c.t, c.binary, filepath.Join(c.dir, "data"))
}

// A worker is a process of nagare serve.
type worker struct {
	t    *testing.T
	cmd  *exec.Cmd
	log  bytes.Buffer
	done chan struct{}
	err  error

	mu            sync.Mutex
	intake, admin string // URLs
}

// read notes the addresses that the worker prints, until it ends.
func (w *worker) read(out io.Reader) {
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		w.mu.Lock()
		switch f := strings.Fields(lines.Text()); {
		case len(f) > 1 && f[0] == "intake":
			w.intake = strings.TrimSuffix(f[1], "SOURCE")
		case len(f) > 1 && f[0] == "admin":
			w.admin = strings.TrimSuffix(f[1], "/metrics")
		}
		w.mu.Unlock()
	}
	w.err = w.cmd.Wait()
	w.mu.Lock()
	w.intake, w.admin = "", ""
	w.mu.Unlock()
	close(w.done)
}

func (w *worker) url() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.intake
}

func (w *worker) ready() bool {
	select {
	case <-w.done:
		w.t.Fatalf("a worker ended by itself: %v: %s", w.err, tail(w.log.Bytes()))
	default:
	}
	w.mu.Lock()
	admin := w.admin
	w.mu.Unlock()
	if admin == "" {
		return false
	}
	resp, err := (&http.Client{Timeout: 2 * time.Second}).Get(admin + "/readyz")
	if err != nil {
		return false
	}
	resp.Body.Close()
	return resp.StatusCode == http.StatusOK
}

func tail(b []byte) []byte { return b[max(0, len(b)-4000):] }

func (w *worker) kill9() {
	select {
	case <-w.done:
	default:
		_ = w.cmd.Process.Kill()
		<-w.done
	}
}

// terminate stops the worker as a deployment does, and wants exit code 0.
func (w *worker) terminate() {
	w.t.Helper()
	_ = w.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-w.done:
		if w.err != nil {
			w.t.Errorf("a worker stopped with %v: %s", w.err, tail(w.log.Bytes()))
		}
	case <-time.After(40 * time.Second):
		w.t.Errorf("a worker still runs 40 s after SIGTERM: %s", tail(w.log.Bytes()))
		w.kill9()
	}
}

// crashSender posts sign-ins to whichever worker there is, each again until it
// is acknowledged.
type crashSender struct {
	*crash
	wg sync.WaitGroup

	mu    sync.Mutex
	acked map[string]bool
}

func (s *crashSender) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.acked)
}

func (s *crashSender) send(ctx context.Context, lane int) {
	defer s.wg.Done()
	client := &http.Client{Timeout: 3 * time.Second}
	for n := 0; ctx.Err() == nil; n++ {
		uid := fmt.Sprintf("crash-%d-%d", lane, n)
		at := time.Now()
		if n%5 == 4 {
			at = at.Add(-30 * 24 * time.Hour) // by the bulk stream
		}
		body := signIn(uid, at)
		for try := lane + n; ctx.Err() == nil && !s.post(ctx, client, try, body); try++ {
			time.Sleep(20 * time.Millisecond) // nobody is there to be asked
		}
		if ctx.Err() == nil {
			s.mu.Lock()
			s.acked[uid] = true
			s.mu.Unlock()
		}
		time.Sleep(2 * time.Millisecond)
	}
}

func (s *crashSender) post(ctx context.Context, client *http.Client, try int, body []byte) bool {
	s.crash.mu.Lock()
	url := s.workers[try%len(s.workers)].url()
	s.crash.mu.Unlock()
	if url == "" {
		return false
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url+"okta", bytes.NewReader(body))
	if err != nil {
		return false
	}
	req.Header.Set("X-Nagare-Token", crashToken)
	resp, err := client.Do(req)
	if err != nil {
		return false
	}
	defer resp.Body.Close()
	_, err = io.Copy(io.Discard, resp.Body)
	return err == nil && resp.StatusCode == http.StatusAccepted
}
