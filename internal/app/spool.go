package app

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/kinesis"

	"nagare/consumers"
	"nagare/producers"
)

// A spooled is a spool and the writer that it is drained to.
type spooled struct {
	stream string
	spool  *producers.Spool
	writer *producers.Writer
}

// openSpools puts a spool in front of each stream, if a source wants one, or
// if there is one from before: what it holds was acknowledged.
func (p *pipeline) openSpools(names []string, metrics *producers.Metrics) error {
	p.toEvents, p.toBulk = p.events, p.bulk
	dir := filepath.Join(p.opts.Data, "spool")
	_, err := os.Stat(dir) // there may be one from before
	if err != nil && !p.core.spools() {
		p.toEvents = producers.NewAck(producers.AckConfig{Name: names[0], Stream: p.events, Log: p.opts.Log, Metrics: metrics})
		p.toBulk = producers.NewAck(producers.AckConfig{Name: names[1], Stream: p.bulk, Log: p.opts.Log, Metrics: metrics})
		return nil
	}
	policy := func(source string) string { return p.core.config.Sources[source].Ack }
	for i, to := range []struct {
		writer *producers.Writer
		ack    *producers.Putter
	}{{p.events, &p.toEvents}, {p.bulk, &p.toBulk}} {
		s, err := producers.OpenSpool(producers.SpoolConfig{
			Dir: filepath.Join(dir, names[i]), Stream: names[i], MaxBytes: int64(p.core.config.Limits.Spool), Log: p.opts.Log, Metrics: metrics,
		})
		if err != nil {
			err = errors.Join(err, p.closeSpools())
			if errors.Is(err, producers.ErrSpoolTaken) {
				return &Usage{err}
			}
			return err
		}
		p.spools = append(p.spools, spooled{names[i], s, to.writer})
		*to.ack = producers.NewAck(producers.AckConfig{
			Name: names[i], Stream: to.writer, Spool: s, Policy: policy, Log: p.opts.Log, Metrics: metrics,
		})
	}
	return nil
}

func (p *pipeline) closeSpools() error {
	var errs []error
	for _, s := range p.spools {
		if err := s.spool.Close(); err != nil {
			errs = append(errs, fmt.Errorf("spool of %s: %w", s.stream, err))
		}
	}
	p.spools = nil
	return errors.Join(errs...)
}

// spools says whether a source wants a spool.
func (c *core) spools() bool {
	for _, s := range c.config.Sources {
		if s.Ack == producers.AckSpool || s.Ack == producers.AckEither {
			return true
		}
	}
	return false
}

// streamTime is how long the streams may be out of reach at the start.
const streamTime = 30 * time.Second

// startStreams makes the streams. Intake that has a spool does not need them
// to start: they are then made when they can be, and until then what can be
// acknowledged without them is.
func (p *pipeline) startStreams(ctx context.Context, client *kinesis.Client, names []string) (later func(context.Context), err error) {
	s := p.core.config.Stream
	patient := p.ingest && !p.live && !p.compact && p.core.spools()
	patience := streamTime
	if patient {
		patience = 5 * time.Second
	}
	wait, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	// A server that is being restarted is no reason to give up.
	for {
		began := time.Now()
		if err = makeStreams(wait, client, names, s.Shards, s.Retention); err == nil || !consumers.Retryable(err) {
			break
		}
		select {
		case <-time.After(max(0, 500*time.Millisecond-time.Since(began))):
			continue
		case <-wait.Done():
		}
		break
	}
	if err == nil || !patient || ctx.Err() != nil {
		return func(context.Context) {}, err
	}
	p.opts.Log.Warn("the streams cannot be reached: deliveries go to the spool", "err", err)
	return func(ctx context.Context) {
		for ; err != nil && ctx.Err() == nil; err = makeStreams(ctx, client, names, s.Shards, s.Retention) {
			select {
			case <-time.After(time.Second):
			case <-ctx.Done():
			}
		}
	}, nil
}
