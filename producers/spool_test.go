package producers

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"

	"nagare"
)

// A sink is a stream that keeps what it is given, while it is open.
type sink struct {
	mu   sync.Mutex
	seen map[string]int
	all  []nagare.Event
	err  error
	hold chan struct{} // Put waits for it, if set
}

func newSink() *sink { return &sink{seen: map[string]int{}} }

func (s *sink) Put(ctx context.Context, events []nagare.Event) error {
	if s.hold != nil {
		select {
		case <-s.hold:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil {
		return s.err
	}
	for _, ev := range events {
		s.seen[ev.UID]++
	}
	s.all = append(s.all, events...)
	return nil
}

// open opens a spool that is closed when the test ends.
func openSpool(t testing.TB, cfg SpoolConfig) *Spool {
	t.Helper()
	if cfg.Dir == "" {
		cfg.Dir = t.TempDir()
	}
	cfg.Stream = "events"
	s, err := OpenSpool(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// empty drains a spool into a sink and closes it.
func empty(t testing.TB, s *Spool, to Putter) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	cancel() // then Run goes on until the spool is empty
	if err := s.Run(ctx, to); err != nil {
		t.Errorf("Run = %v", err)
	}
	if s.Waiting() {
		t.Error("the spool is not empty")
	}
	if err := s.Close(); err != nil {
		t.Errorf("Close = %v", err)
	}
}

func putAll(t testing.TB, s *Spool, from, puts, each int) {
	t.Helper()
	for i := range puts {
		if err := s.Put(t.Context(), numbered(from+i*each, each)); err != nil {
			t.Fatal(err)
		}
	}
}

// exactly fails unless each of n events came once.
func (s *sink) exactly(t testing.TB, n int) {
	t.Helper()
	if len(s.seen) != n || len(s.all) != n {
		t.Errorf("%d different events of %d came, want %d once each", len(s.seen), len(s.all), n)
	}
}

// counted is what a counter says.
func counted(t testing.TB, c prometheus.Counter) float64 {
	t.Helper()
	reg := prometheus.NewRegistry()
	reg.MustRegister(c)
	got, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	return got[0].GetMetric()[0].GetCounter().GetValue()
}

func files(t testing.TB, dir, pattern string) []string {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, pattern))
	if err != nil {
		t.Fatal(err)
	}
	return names
}

func TestSpoolKeepsEventsAsTheyAre(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 5000, time.UTC)
	small := nagare.Event{ID: "2x", UID: "u1", Source: "okta", Tenant: "prod", Auth: nagare.AuthPass, Time: now.Add(-time.Hour), Received: now, Body: []byte(`{"a":1}`)}
	dead := nagare.Event{ID: "2y", UID: "u2", Source: "okta", Received: now, ContentType: "text/plain", Reason: ReasonNotJSON, Error: "why", Body: []byte("<")}
	large := small
	large.ID, large.UID, large.Body = "2z", "u3", []byte(strings.Repeat("long ", 20_000)) // in a compressed row
	want := []nagare.Event{small, dead, large}
	dir := t.TempDir()
	s := openSpool(t, SpoolConfig{Dir: dir})
	for _, ev := range want {
		if err := s.Put(t.Context(), []nagare.Event{ev}); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s, got := openSpool(t, SpoolConfig{Dir: dir}), newSink()
	if !s.Waiting() {
		t.Error("a spool with events says that none waits")
	}
	empty(t, s, got)
	if diff := cmp.Diff(want, got.all); diff != "" {
		t.Errorf("the events changed (-put +drained):\n%s", diff)
	}
	s = openSpool(t, SpoolConfig{Dir: dir})
	empty(t, s, got)
	if got.exactly(t, 3); len(files(t, dir, "*.db")) > 0 {
		t.Errorf("left over: %v", files(t, dir, "*"))
	}
}

func TestSpoolDrainsWhileItFills(t *testing.T) {
	dir := t.TempDir()
	s, got := openSpool(t, SpoolConfig{Dir: dir, FileBytes: 20_000}), newSink()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- s.Run(ctx, got) }()
	var group sync.WaitGroup
	for i := range 16 {
		group.Go(func() { putAll(t, s, i*1000, 20, 5) })
	}
	group.Wait()
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	got.exactly(t, 16*100)
	if left := files(t, dir, "*.db"); len(left) > 1 {
		t.Errorf("drained files stay: %v", left)
	}
}

func TestSpoolOldestFirst(t *testing.T) {
	dir := t.TempDir()
	for i := range 5 { // a file each
		s := openSpool(t, SpoolConfig{Dir: dir})
		putAll(t, s, i*10, 2, 5)
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	got := newSink()
	empty(t, openSpool(t, SpoolConfig{Dir: dir}), got)
	for i, ev := range got.all {
		if ev.UID != fmt.Sprintf("uid-%d", i) {
			t.Fatalf("%s came as number %d", ev.UID, i)
		}
	}
	got.exactly(t, 50)
}

func TestSpoolBelongsToOneProcess(t *testing.T) {
	dir := t.TempDir()
	s := openSpool(t, SpoolConfig{Dir: dir})
	if _, err := OpenSpool(SpoolConfig{Dir: dir, Stream: "events"}); !errors.Is(err, ErrSpoolTaken) {
		t.Errorf("a second OpenSpool = %v", err)
	}
	empty(t, s, newSink())
	empty(t, openSpool(t, SpoolConfig{Dir: dir}), newSink())
}

// TestSpoolBounds fills a spool whose stream takes nothing. What it took must
// come to the stream, and then it takes more.
func TestSpoolBounds(t *testing.T) {
	metrics := NewMetrics(nil)
	clock := time.Now()
	var mu sync.Mutex
	s := openSpool(t, SpoolConfig{MaxBytes: 100_000, MaxAge: time.Hour, Metrics: metrics, now: func() time.Time {
		mu.Lock()
		defer mu.Unlock()
		return clock
	}})
	taken := 0
	var err error
	for ; err == nil; taken++ {
		err = s.Put(t.Context(), numbered(taken*10, 10))
	}
	taken--
	if !errors.Is(err, ErrSpoolFull) || taken < 20 || taken > 40 {
		t.Errorf("Put number %d = %v", taken, err)
	}
	if n := counted(t, metrics.spoolRefused.WithLabelValues("events", "bytes")); n != 1 {
		t.Errorf("%v refusals counted", n)
	}
	got := newSink()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.Run(ctx, got); err != nil {
		t.Error(err)
	}
	got.exactly(t, taken*10)
	if err := s.Put(t.Context(), numbered(100_000, 1)); err != nil {
		t.Errorf("Put into an empty spool = %v", err)
	}
	mu.Lock()
	clock = clock.Add(61 * time.Minute)
	mu.Unlock()
	if err := s.Put(t.Context(), numbered(100_001, 1)); !errors.Is(err, ErrSpoolFull) {
		t.Errorf("Put behind an event that waits for 61 minutes = %v", err)
	}
	empty(t, s, got)
	got.exactly(t, taken*10+1)
}

// TestSpoolDiskFull lets SQLite run out of pages. What was acknowledged comes;
// what was not may not be said to be there.
func TestSpoolDiskFull(t *testing.T) {
	metrics := NewMetrics(nil)
	s, got := openSpool(t, SpoolConfig{maxPages: 20, Metrics: metrics}), newSink()
	acked, refused := 0, 0
	for i := range 100 {
		if err := s.Put(t.Context(), numbered(i*10, 10)); err == nil {
			acked += 10
		} else if isFull(err) {
			refused++
		} else {
			t.Fatal(err)
		}
	}
	empty(t, s, got)
	if got.exactly(t, acked); refused == 0 {
		t.Error("the file was never full")
	}
	if n := counted(t, metrics.spoolRefused.WithLabelValues("events", "disk-full")); n != float64(refused) {
		t.Errorf("%v refusals counted, want %d", n, refused)
	}
}

// TestSpoolFailedSync: what failed to be brought to the disk is not said to be
// there, and nothing more is written to its file, because nobody knows what of
// it is on the disk and a second sync would say yes to anything.
func TestSpoolFailedSync(t *testing.T) {
	fail := false
	s, got := openSpool(t, SpoolConfig{fault: func(op string) error {
		if fail && op == "commit" {
			return fmt.Errorf("%s: %w", op, syscall.EIO)
		}
		return nil
	}}), newSink()
	count := func() int {
		s.mu.Lock()
		defer s.mu.Unlock()
		return len(s.files)
	}
	if err := s.Put(t.Context(), numbered(0, 3)); err != nil {
		t.Fatal(err)
	}
	fail = true
	if err := s.Put(t.Context(), numbered(3, 3)); !errors.Is(err, syscall.EIO) {
		t.Errorf("got %v, want that it failed", err)
	}
	fail = false
	if err := s.Put(t.Context(), numbered(3, 3)); err != nil {
		t.Fatal(err)
	}
	if n := count(); n != 2 {
		t.Errorf("%d files, want a second one after a failed sync", n)
	}
	empty(t, s, got)
	got.exactly(t, 6)
}

// TestSpoolFailEveryOperation lets the n-th operation fail, for every n, and
// once more from the n-th on for a while. Whatever Put said yes to must reach
// the stream, here or after a restart.
func TestSpoolFailEveryOperation(t *testing.T) {
	for _, times := range []int{1, 3} {
		for n := 1; ; n += times {
			dir := t.TempDir()
			var mu sync.Mutex
			count, hits := 0, 0
			fault := func(op string) error {
				mu.Lock()
				defer mu.Unlock()
				if count++; count >= n && count < n+times {
					hits++
					return fmt.Errorf("%s: %w", op, io.ErrShortWrite)
				}
				return nil
			}
			got := newSink()
			acked := map[string]bool{}
			s := openSpool(t, SpoolConfig{Dir: dir, FileBytes: 3000, fault: fault})
			ctx, cancel := context.WithCancel(t.Context())
			done := make(chan error)
			go func() { done <- s.Run(ctx, got) }()
			for i := range 6 {
				events := numbered(i*3, 3)
				if s.Put(t.Context(), events) == nil {
					for _, ev := range events {
						acked[ev.UID] = true
					}
				}
			}
			if n%2 == 0 {
				cancel()
			}
			for n%2 == 1 && s.Waiting() { // until everything is there, in spite of the fault
				time.Sleep(time.Millisecond)
			}
			cancel()
			if err := <-done; err != nil {
				t.Error(err)
			}
			if err := s.Close(); err != nil {
				t.Error(err)
			}
			empty(t, openSpool(t, SpoolConfig{Dir: dir}), got)
			for uid := range acked {
				if got.seen[uid] == 0 {
					t.Errorf("operation %d failed: %s was acknowledged and never came", n, uid)
				}
			}
			if len(files(t, dir, "damaged-*")) > 0 {
				t.Errorf("operation %d failed: a good file was set aside", n)
			}
			if t.Failed() {
				return
			}
			if hits == 0 {
				if n < 20 {
					t.Fatalf("only %d operations", n)
				}
				break
			}
		}
	}
}

// snapshot is what a kill -9 leaves of a folder that is in use.
func snapshot(t testing.TB, dir string) string {
	t.Helper()
	to := t.TempDir()
	for _, name := range files(t, dir, "*") {
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(to, filepath.Base(name)), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return to
}

// damaged builds a spool of 30 batches of 2 in one file, as it is after a
// kill -9 (everything in the log) and after a stop (everything in the file).
func damagedSpools(t testing.TB) map[string]string {
	dir := t.TempDir()
	s := openSpool(t, SpoolConfig{Dir: dir})
	putAll(t, s, 0, 30, 2)
	log := snapshot(t, dir)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	return map[string]string{"spool-00000001.db-wal": log, "spool-00000001.db": dir}
}

// drainDamaged opens a damaged spool and drains it. It must not fail, what
// comes must be what was put, and what does not come must be counted.
func drainDamaged(t testing.TB, dir string) (came int, lost float64) {
	t.Helper()
	metrics := NewMetrics(nil)
	got := newSink()
	empty(t, openSpool(t, SpoolConfig{Dir: dir, Metrics: metrics}), got)
	want := map[string]nagare.Event{}
	for _, ev := range numberedPuts(30, 2) {
		want[ev.UID] = ev
	}
	for _, ev := range got.all {
		if diff := cmp.Diff(want[ev.UID], ev); diff != "" {
			t.Errorf("an event that nobody put: %s", diff)
		}
	}
	lost = counted(t, metrics.spoolDamaged.WithLabelValues("events"))
	return len(got.seen), lost
}

func numberedPuts(puts, each int) (all []nagare.Event) {
	for i := range puts {
		all = append(all, numbered(i*each, each)...)
	}
	for i := range all {
		all[i].Auth = ""
	}
	return all
}

// TestSpoolBitFlips turns single bits all over the files. Without repairLog a
// flip in the log takes every later commit along and nobody hears of it.
func TestSpoolBitFlips(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 7))
	for name, dir := range damagedSpools(t) {
		whole, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		for range 40 {
			to := snapshot(t, dir)
			data := append([]byte{}, whole...)
			at := r.IntN(len(data))
			data[at] ^= 1 << r.IntN(8)
			if err := os.WriteFile(filepath.Join(to, name), data, 0o600); err != nil {
				t.Fatal(err)
			}
			came, lost := drainDamaged(t, to)
			switch {
			case came < 60 && lost == 0 && !lastCommit(name, at, len(data)):
				t.Errorf("%s: bit at %d of %d: %d of 60 events came, and nobody was told", name, at, len(data), came)
			case came+2*int(lost) < 60 && came > 0 && lost > 0 && !lastCommit(name, at, len(data)):
				t.Errorf("%s: bit at %d: %d events came, only %v batches are counted as lost", name, at, came, lost)
			}
		}
	}
}

// lastCommit says whether a place is in the last commit of a log: there, damage
// and a crash look the same, and a crash is what it is taken for.
func lastCommit(name string, at, size int) bool {
	return strings.HasSuffix(name, "-wal") && at >= size-3*(8192+24)
}

// TestSpoolTornTail cuts the log anywhere: what a crash does to commits that
// nobody was told of.
func TestSpoolTornTail(t *testing.T) {
	name := "spool-00000001.db-wal"
	dir := damagedSpools(t)[name]
	whole, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil {
		t.Fatal(err)
	}
	before := -1
	for cut := len(whole); cut > 0; cut -= len(whole)/12 + 1 {
		to := snapshot(t, dir)
		if err := os.WriteFile(filepath.Join(to, name), whole[:cut], 0o600); err != nil {
			t.Fatal(err)
		}
		came, lost := drainDamaged(t, to)
		if lost > 0 || before >= 0 && came > before {
			t.Errorf("cut at %d of %d: %d events came, %v batches are said to be damaged", cut, len(whole), came, lost)
		}
		before = came
	}
}

func TestSpoolTruncatedFile(t *testing.T) {
	name := "spool-00000001.db"
	dir := damagedSpools(t)[name]
	whole, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil {
		t.Fatal(err)
	}
	to := snapshot(t, dir)
	if err := os.WriteFile(filepath.Join(to, name), whole[:len(whole)/2], 0o600); err != nil {
		t.Fatal(err)
	}
	came, lost := drainDamaged(t, to)
	if lost == 0 || came == 60 {
		t.Errorf("%d events came, %v batches are said to be damaged", came, lost)
	}
	if kept := files(t, to, "damaged-*"); len(kept) == 0 {
		t.Error("the damaged file was not kept")
	}
}

// TestSpoolVersionFlips: the version of the format lies in four bytes. A file
// whose version was made nought is not an empty one.
func TestSpoolVersionFlips(t *testing.T) {
	name := "spool-00000001.db"
	dir := damagedSpools(t)[name]
	for bit := range 32 {
		to := snapshot(t, dir)
		data, err := os.ReadFile(filepath.Join(to, name))
		if err != nil {
			t.Fatal(err)
		}
		data[60+bit/8] ^= 1 << (bit % 8)
		if err := os.WriteFile(filepath.Join(to, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
		if came, _ := drainDamaged(t, to); came != 60 {
			t.Errorf("bit %d of the version: %d of 60 events came", bit, came)
		}
	}
}

// FuzzSpoolFiles opens whatever is in the files.
func FuzzSpoolFiles(f *testing.F) {
	for name, dir := range damagedSpools(f) {
		data, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data, strings.HasSuffix(name, "-wal"))
	}
	f.Add([]byte("12 4 00000000"), false)
	f.Fuzz(func(t *testing.T, data []byte, log bool) {
		dir := t.TempDir()
		name := spoolPath(dir, 1)
		if log {
			os.WriteFile(name, nil, 0o600)
			name += "-wal"
		}
		os.WriteFile(name, data, 0o600)
		s, err := OpenSpool(SpoolConfig{Dir: dir, Stream: "events", Drain: time.Minute})
		if err != nil {
			return // a later format, say
		}
		empty(t, s, newSink())
	})
}

// TestSpoolMark: a mark is believed only if it is whole.
func TestSpoolMark(t *testing.T) {
	dir := t.TempDir()
	s := openSpool(t, SpoolConfig{Dir: dir})
	putAll(t, s, 0, 4, 1)
	s.mu.Lock()
	s.files[0].sent = 3
	s.mu.Unlock()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name   string
		change func(string) string
		want   int
	}{
		{"whole", func(s string) string { return s }, 1},
		{"another number", func(s string) string { return strings.Replace(s, "1 3", "1 4", 1) }, 4},
		{"another file", func(s string) string { return strings.Replace(s, "1 3", "2 3", 1) }, 4},
		{"cut", func(s string) string { return s[:4] }, 4},
		{"empty", func(string) string { return "" }, 4},
		{"long", func(s string) string { return s + strings.Repeat("0", 1000) }, 4},
	} {
		to := snapshot(t, dir)
		text, err := os.ReadFile(markPath(to))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(markPath(to), []byte(tt.change(string(text))), 0o600); err != nil {
			t.Fatal(err)
		}
		got := newSink()
		empty(t, openSpool(t, SpoolConfig{Dir: to}), got)
		if len(got.all) != tt.want {
			t.Errorf("%s: %d events came, want %d", tt.name, len(got.all), tt.want)
		}
	}
}
