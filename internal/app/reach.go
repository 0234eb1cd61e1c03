package app

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/smithy-go"

	"nagare"
	"nagare/consumers"
	"nagare/producers"
)

// A reach knows whether the streams can be reached, for an intake that cannot
// acknowledge without them: they are looked at now and then, and deliveries
// that failed tell at once.
type reach struct {
	mu     sync.Mutex
	looked map[string]error // by stream: what the last look failed with
	failed time.Time        // when a delivery failed last, and with what
	why    error
}

const (
	// lookEvery is how often the streams are looked at; a look is one call for
	// each, of which an account has twenty a second for all.
	lookEvery = 5 * time.Second
	// failedFor is how long a delivery that failed counts if none comes after.
	failedFor = 15 * time.Second
	// inVain is from when on a wait for the stream was long enough to count.
	inVain = 2 * time.Second
)

// look looks at the streams until ctx is over.
func (r *reach) look(ctx context.Context, cfg aws.Config, streams []string) {
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for {
		for _, name := range streams {
			short, cancel := context.WithTimeout(ctx, lookEvery)
			_, err := consumers.StreamID(short, cfg, name)
			cancel()
			if ctx.Err() == nil {
				r.saw(name, err)
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// saw notes what came of a look.
func (r *reach) saw(stream string, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.looked == nil {
		r.looked = map[string]error{}
	}
	r.looked[stream] = err
	var api smithy.APIError
	if errors.As(err, &api) && (strings.Contains(api.ErrorCode(), "Exceeded") || strings.Contains(api.ErrorCode(), "Throttl")) {
		delete(r.looked, stream) // it answers, and is only asked too often
	}
}

// err says why deliveries cannot be acknowledged, or nil.
func (r *reach) err() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	for stream, err := range r.looked {
		if err != nil {
			return fmt.Errorf("stream %s cannot be reached: %w", stream, err)
		}
	}
	if r.why != nil && time.Since(r.failed) < failedFor {
		return fmt.Errorf("a delivery could not be acknowledged: %w", r.why)
	}
	return nil
}

// heard notes what came of a delivery after so long. Only one that waited in
// vain says something of the stream: others failed for what was in them, or
// because the sender had no time.
func (r *reach) heard(err error, after time.Duration) {
	if err != nil && (!errors.Is(err, context.DeadlineExceeded) || after < inVain) {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.failed, r.why = time.Now(), err
}

// watch tells r what comes of the deliveries to a stream.
func (r *reach) watch(to producers.Putter) producers.Putter { return watched{to, r} }

type watched struct {
	to producers.Putter
	r  *reach
}

// Put implements producers.Putter.
func (w watched) Put(ctx context.Context, events []nagare.Event) error {
	began := time.Now()
	err := w.to.Put(ctx, events)
	w.r.heard(err, time.Since(began))
	return err
}

// needsStream says whether a source that is served is acknowledged by the
// stream alone.
func (p *pipeline) needsStream() bool {
	for _, source := range p.served {
		if ack := p.core.config.Sources[source].Ack; ack == "" || ack == producers.AckKinesis {
			return true
		}
	}
	return false
}
