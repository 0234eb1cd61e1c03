package kinesisd_test

import (
	"bufio"
	"context"
	"fmt"
	"math/big"
	"math/rand/v2"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"

	"nagare/internal/kinesisd"
	"nagare/internal/kinesisd/kinesistest"
)

// serveDir, set in the environment, makes this test binary a server of that
// folder, for others to kill.
const serveDir = "NAGARE_TEST_KINESISD_DIR"

func TestMain(m *testing.M) {
	if dir := os.Getenv(serveDir); dir != "" {
		// Short files and a short tail, so that kills hit every part.
		s, err := kinesisd.Open(kinesisd.Config{Dir: dir, FileSpan: 100 * time.Millisecond, TailBytes: 64 << 10})
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		fmt.Println(s.URL())
		fmt.Fprintln(os.Stderr, s.Run(context.Background()))
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// serve starts a server process and returns its address and what kills it.
func serve(t *testing.T, dir string) (url string, kill func()) {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(exe)
	cmd.Env = append(os.Environ(), serveDir+"="+dir)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	kill = sync.OnceFunc(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	t.Cleanup(kill)
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatalf("the server did not start: %v", err)
	}
	return strings.TrimSpace(line), kill
}

// TestKill kills the server at random moments under load, with files rolled
// and shards split all the while. Every record that was answered for must be
// there once, under the number in the answer; and none may be there twice.
func TestKill(t *testing.T) {
	const kills, writers, perCall = 3, 16, 5
	dir := t.TempDir()
	var mu sync.Mutex
	acked := map[string]string{} // record to shard and sequence number
	tried := 0
	for round := range kills {
		url, kill := serve(t, dir)
		c := kinesistest.Client(url)
		if round == 0 {
			if _, err := c.CreateStream(t.Context(), &kinesis.CreateStreamInput{StreamName: aws.String("s"), ShardCount: aws.Int32(2)}); err != nil {
				t.Fatal(err)
			}
		}
		var all sync.WaitGroup
		for w := range writers {
			all.Go(func() {
				for n := 0; ; n++ {
					in := &kinesis.PutRecordsInput{StreamName: aws.String("s")}
					for i := range perCall {
						id := fmt.Sprintf("%d.%d.%d.%d", round, w, n, i)
						in.Records = append(in.Records, types.PutRecordsRequestEntry{PartitionKey: aws.String(id), Data: []byte(id + strings.Repeat(" ", 500))})
					}
					// One attempt: a second could store what the first did.
					out, err := c.PutRecords(t.Context(), in, func(o *kinesis.Options) { o.Retryer = aws.NopRetryer{} })
					mu.Lock()
					tried += perCall
					if err == nil {
						for i, r := range out.Records {
							acked[*in.Records[i].PartitionKey] = *r.ShardId + " " + *r.SequenceNumber
						}
					}
					mu.Unlock()
					if err != nil {
						return
					}
				}
			})
		}
		all.Go(func() { splitForever(t, c) })
		time.Sleep(300*time.Millisecond + rand.N(200*time.Millisecond))
		kill()
		all.Wait()
	}
	s := kinesistest.Start(t, kinesisd.Config{Dir: dir})
	stored, shards := readEverything(t, kinesistest.Client(s.URL()), "s")
	for id, where := range acked {
		if got := stored[id]; got != where {
			t.Errorf("record %s was answered for as %q, and is at %q", id, where, got)
		}
	}
	t.Logf("%d kills, %d shards: %d of %d records were answered for, %d are there", kills, shards, len(acked), tried, len(stored))
	if len(acked) < 100 || shards < 4 {
		t.Errorf("%d records in %d shards prove little", len(acked), shards)
	}
}

// splitForever splits the last shard again and again until the server is gone.
func splitForever(t *testing.T, c *kinesis.Client) {
	for {
		out, err := c.ListShards(t.Context(), &kinesis.ListShardsInput{StreamName: aws.String("s")})
		if err != nil {
			return
		}
		sh := out.Shards[len(out.Shards)-1]
		low, _ := new(big.Int).SetString(*sh.HashKeyRange.StartingHashKey, 10)
		high, _ := new(big.Int).SetString(*sh.HashKeyRange.EndingHashKey, 10)
		middle := low.Add(low, high).Rsh(low, 1).String()
		in := &kinesis.SplitShardInput{StreamName: aws.String("s"), ShardToSplit: sh.ShardId, NewStartingHashKey: &middle}
		if _, err := c.SplitShard(t.Context(), in, func(o *kinesis.Options) { o.Retryer = aws.NopRetryer{} }); err != nil {
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// readEverything reads all shards from their beginning and returns where each
// record is. It checks that numbers rise within each shard, that none is used
// twice, and that no record is there twice.
func readEverything(t *testing.T, c *kinesis.Client, stream string) (where map[string]string, shards int) {
	t.Helper()
	where = map[string]string{}
	numbers := map[string]bool{}
	list, err := c.ListShards(t.Context(), &kinesis.ListShardsInput{StreamName: &stream})
	if err != nil {
		t.Fatal(err)
	}
	for _, sh := range list.Shards {
		it, err := c.GetShardIterator(t.Context(), &kinesis.GetShardIteratorInput{StreamName: &stream, ShardId: sh.ShardId, ShardIteratorType: types.ShardIteratorTypeTrimHorizon})
		if err != nil {
			t.Fatal(err)
		}
		previous := *sh.SequenceNumberRange.StartingSequenceNumber
		for next := it.ShardIterator; next != nil; {
			out, err := c.GetRecords(t.Context(), &kinesis.GetRecordsInput{ShardIterator: next})
			if err != nil {
				t.Fatal(err)
			}
			for _, r := range out.Records {
				if *r.SequenceNumber <= previous { // all have the same length
					t.Errorf("%s: %s follows %s", *sh.ShardId, *r.SequenceNumber, previous)
				}
				previous = *r.SequenceNumber
				id := *r.PartitionKey
				if where[id] != "" || numbers[*r.SequenceNumber] {
					t.Errorf("record %s or number %s is there twice", id, *r.SequenceNumber)
				}
				numbers[*r.SequenceNumber] = true
				where[id] = *sh.ShardId + " " + *r.SequenceNumber
			}
			if next = out.NextShardIterator; *out.MillisBehindLatest == 0 {
				break
			}
		}
		if end := sh.SequenceNumberRange.EndingSequenceNumber; end != nil && *end < previous {
			t.Errorf("%s ends at %s, but has a record %s", *sh.ShardId, *end, previous)
		}
	}
	return where, len(list.Shards)
}
