package app

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

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
	_, err := os.Stat(dir)
	wanted := err == nil
	for _, s := range p.core.config.Sources {
		wanted = wanted || s.Ack == producers.AckSpool || s.Ack == producers.AckEither
	}
	if !wanted {
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
