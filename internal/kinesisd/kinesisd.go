// Package kinesisd is a Kinesis Data Streams server for one machine: the real
// wire protocol (JSON 1.1, CBOR, and the event stream of SubscribeToShard, over
// HTTP/1.1 and HTTP/2) on a loopback address, records durable in SQLite files.
// Unmodified SDKs for Go, Java and Python, and Amazon's client and producer
// libraries talk to it.
//
// A record is answered for only after it is on disk, so it survives the end of
// the process. Sequence numbers rise within a shard and from parent to child,
// and none is given twice.
//
// It does not check signatures, encrypt, replicate, or listen beyond this
// machine. Calls it does not know (channels, queues, account settings) are
// refused as UnknownOperationException. Each call has a file, whose top says
// what is heeded; docs/kinesis.md lists them, and what is otherwise than on AWS.
//
// For tests of other packages, Config.Faults makes calls fail by rule.
package kinesisd

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"sync"
	"time"

	"modernc.org/sqlite"
)

// Config says how a Server behaves. Its zero value is ready to use: streams in
// a temporary folder, on a free port.
type Config struct {
	// Dir is the folder of the streams; it is created when missing and
	// belongs to one Server at a time. The default is a temporary folder
	// that Close removes.
	Dir string
	// Listen is the loopback address to serve. The default is 127.0.0.1:0.
	Listen string
	// ListenTLS, when set, is a second loopback address, for clients that
	// only speak HTTPS. The certificate to trust is certificate.pem in Dir.
	ListenTLS string
	// Region is the region named in ARNs. The default is us-east-1.
	Region string
	// Retention is how long a new stream keeps records. The default is 24
	// hours, as on AWS. Records go a file at a time, so some stay up to one
	// FileSpan longer.
	Retention time.Duration
	// Limits makes the server refuse what exceeds the throughput of a shard
	// on AWS: 1 MiB/s and 1000 records/s in; 5 reads/s and 2 MiB/s out, and
	// 2 MiB/s for each consumer with SubscribeToShard.
	Limits bool

	// TailBytes bounds the newest records kept in memory, over all shards;
	// older ones are read from disk. The default is 32 MiB.
	TailBytes int
	// FileSpan is the time one file of records covers. The default is an hour.
	FileSpan time.Duration
	// IteratorTTL is how long a shard iterator is valid. The default is 5 minutes.
	IteratorTTL time.Duration
	// SubscriptionTTL is how long SubscribeToShard sends before it ends and
	// wants to be called again. The default is 5 minutes.
	SubscriptionTTL time.Duration
	// SubscriptionGap is the time in which a second subscription of the same
	// consumer to the same shard is refused. The default is 5 seconds.
	SubscriptionGap time.Duration
	// Heartbeat is the longest silence of a subscription. The default is 5 seconds.
	Heartbeat time.Duration

	// Faults are rules of what should go wrong, for tests. They may be
	// changed while the server runs.
	Faults *Faults
	// Fault, when set, is asked before each call instead of Faults what
	// should go wrong with it. It may be called from many goroutines.
	Fault func(action string, body []byte) Fault
	// Log gets what an operator may want to know. The default is silence.
	Log *slog.Logger

	// now is the clock of arrival times and retention.
	now func() time.Time
}

// withDefaults returns the configuration with every default filled in, save
// for Dir, which needs the file system.
func (c Config) withDefaults() Config {
	def(&c.Listen, "127.0.0.1:0")
	def(&c.Region, "us-east-1")
	def(&c.Retention, 24*time.Hour)
	def(&c.TailBytes, 32<<20)
	def(&c.FileSpan, time.Hour)
	def(&c.IteratorTTL, 5*time.Minute)
	def(&c.SubscriptionTTL, 5*time.Minute)
	def(&c.SubscriptionGap, 5*time.Second)
	def(&c.Heartbeat, 5*time.Second)
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.now == nil {
		c.now = time.Now
	}
	return c
}

func def[T comparable](p *T, v T) {
	var zero T
	if *p == zero {
		*p = v
	}
}

// errClosing answers calls that reach the server while it stops.
var errClosing = errors.New("the server is stopping")

// Server is a running Kinesis. Open makes one.
type Server struct {
	cfg     Config
	log     *slog.Logger
	ownsDir bool
	ln      net.Listener
	lnTLS   net.Listener // nil without Config.ListenTLS
	http    *http.Server
	actions map[string]action
	bodies  *memory // of request bodies
	pages   *memory // of records read from disk
	meta    *metadata
	files   *fileCache
	writer  *writer
	subs    subscriptions

	// stop ends the subscriptions and starts the shutdown.
	stop      context.Context
	stopNow   context.CancelFunc
	closeOnce sync.Once
	closeErr  error

	// mu guards what follows: the streams and all that is below them, and
	// the list of files. Only the writer's goroutine changes them, so it
	// alone may read without the lock.
	mu      sync.RWMutex
	streams map[string]*stream
	hours   []*hour // by number; the last is being written
	tails   tailQueue
}

// Open reads the streams in cfg.Dir and binds the listener, so URL is known
// when it returns. Nothing is answered before Run.
func Open(cfg Config) (*Server, error) {
	cfg = cfg.withDefaults()
	for _, listen := range []string{cfg.Listen, cfg.ListenTLS} {
		addr, err := netip.ParseAddrPort(listen)
		if err != nil && listen != "" {
			return nil, fmt.Errorf("listen address: %w", err)
		}
		if err == nil && !addr.Addr().IsLoopback() {
			return nil, fmt.Errorf("listen address %s is not a loopback address; the server checks no signatures", listen)
		}
	}
	// POSIX locks vanish when anything in the process reads and closes a
	// database file; the other kind does not exist everywhere.
	// Two first calls at once may be told that they are too late though it is
	// on (modernc v1.62.0), hence the second look.
	if _, err := sqlite.OFDLocking(true); errors.Is(err, sqlite.ErrOFDLockingTooLate) && !sqlite.OFDLockingEnabled() {
		return nil, fmt.Errorf("lock databases: %w", err)
	}
	s := &Server{
		cfg: cfg, log: cfg.Log,
		bodies: newMemory(maxBodiesInMemory, maxCallInMemory),
		pages:  newMemory(maxPagesInMemory, maxReadBytes),
	}
	s.stop, s.stopNow = context.WithCancel(context.Background())
	s.actions = s.actionTable()
	if err := s.openDir(); err != nil {
		s.closeStore()
		return nil, err
	}
	var err error
	if s.ln, err = net.Listen("tcp", cfg.Listen); err != nil {
		s.closeStore()
		return nil, fmt.Errorf("listen: %w", err)
	}
	if cfg.ListenTLS != "" {
		if s.lnTLS, err = s.listenTLS(); err != nil {
			_ = s.ln.Close()
			s.closeStore()
			return nil, fmt.Errorf("listen with TLS: %w", err)
		}
	}
	// The SDK for Java subscribes over HTTP/2, and without TLS it begins with
	// that at once.
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	protocols.SetHTTP2(true)
	protocols.SetUnencryptedHTTP2(true)
	s.http = &http.Server{
		Protocols:         protocols,
		Handler:           s,
		ReadHeaderTimeout: 10 * time.Second,
		IdleTimeout:       5 * time.Minute,
		MaxHeaderBytes:    64 << 10,
		ErrorLog:          slog.NewLogLogger(s.log.Handler(), slog.LevelDebug),
	}
	return s, nil
}

// openDir opens what is stored and starts the writer.
func (s *Server) openDir() error {
	if s.cfg.Dir == "" {
		dir, err := os.MkdirTemp("", "nagare-kinesis-")
		if err != nil {
			return fmt.Errorf("make a folder for streams: %w", err)
		}
		s.cfg.Dir, s.ownsDir = dir, true
	}
	dir, err := filepath.Abs(s.cfg.Dir)
	if err != nil {
		return fmt.Errorf("folder of streams: %w", err)
	}
	s.cfg.Dir = dir
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("folder of streams: %w", err)
	}
	// The folder's own name has to survive a loss of power too, where we may
	// look at the folder it is in.
	if err := syncDir(filepath.Dir(dir)); err != nil && !errors.Is(err, fs.ErrPermission) {
		return fmt.Errorf("folder of streams: %w", err)
	}
	s.files = newFileCache(dir)
	if s.meta, err = openMetadata(filepath.Join(dir, "streams.db")); err != nil {
		return err
	}
	if err := s.load(); err != nil {
		return fmt.Errorf("read streams in %s: %w", dir, err)
	}
	return nil
}

// URL is the address to give to a client as its endpoint.
func (s *Server) URL() string { return "http://" + s.ln.Addr().String() }

// TLSURL is the address of Config.ListenTLS, or nothing without one.
func (s *Server) TLSURL() string {
	if s.lnTLS == nil {
		return ""
	}
	return "https://" + s.lnTLS.Addr().String()
}

// Run serves until ctx is done or Close is called, then closes the server. It
// returns early, with the reason, when records can no longer be stored.
func (s *Server) Run(ctx context.Context) error {
	served := make(chan error, 1)
	serving := 1
	go func() { served <- s.http.Serve(s.ln) }()
	if s.lnTLS != nil {
		serving++
		go func() { served <- s.http.Serve(s.lnTLS) }()
	}
	s.log.Info("kinesis server is up", "url", s.URL(), "dir", s.cfg.Dir)
	var err error
	select {
	case <-ctx.Done():
	case <-s.stop.Done():
	case <-s.writer.broken:
		err = s.writer.brokenBy
	case err = <-served:
		serving--
		if !errors.Is(err, http.ErrServerClosed) { // else Close was called
			err = fmt.Errorf("serve: %w", err)
		} else {
			err = nil
		}
	}
	err = errors.Join(err, s.Close())
	for range serving {
		<-served
	}
	return err
}

// Close stops serving, lets calls in progress end, and closes the files. It
// may be called more than once.
func (s *Server) Close() error {
	s.closeOnce.Do(func() {
		s.stopNow()
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		if s.http.Shutdown(ctx) != nil {
			_ = s.http.Close()
		}
		_ = s.ln.Close() // when Run never took it over
		if s.lnTLS != nil {
			_ = s.lnTLS.Close()
		}
		s.closeErr = s.closeStore()
	})
	return s.closeErr
}

// closeStore closes what openDir opened, as far as it came.
func (s *Server) closeStore() error {
	s.stopNow()
	var errs []error
	if s.writer != nil {
		errs = append(errs, s.writer.close())
	}
	if s.files != nil {
		errs = append(errs, s.files.close())
	}
	if s.meta != nil {
		errs = append(errs, s.meta.close())
	}
	if s.ownsDir {
		errs = append(errs, os.RemoveAll(s.cfg.Dir))
	}
	return errors.Join(errs...)
}
