package producers

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"

	"nagare"
	"nagare/internal/frame"
)

const (
	// requestBytes is what one request may hold before compression. With the
	// last frame up to a record's limit it stays below the 5 MiB of the API.
	requestBytes = 3 << 20
	// requestRecords is the API's limit of records in a request.
	requestRecords = 500
	// deadBytes is how much of a body a dead letter keeps.
	deadBytes = 64 << 10
	// partitionKey is not used, because every record has an explicit hash
	// key, but it must be there, and it counts for the record's size.
	partitionKey = "nagare"
)

// A lane writes to one shard. It has one request in flight, so that the next
// frame grows while the last one travels.
type lane struct {
	w     *Writer
	shard string
	wake  chan struct{} // capacity 1: something changed

	// Guarded by w.mu.
	waiting []*entry
	bytes   int       // size of waiting
	since   time.Time // when the first of waiting came
	retired bool      // the shard is closed; waiting was moved elsewhere
}

// push appends an entry. w.mu is held.
func (l *lane) push(e *entry) {
	if len(l.waiting) == 0 {
		l.since = time.Now()
	}
	l.waiting = append(l.waiting, e)
	before := l.bytes
	l.bytes += e.size
	if len(l.waiting) == 1 || (before < l.w.cfg.FrameBytes && l.bytes >= l.w.cfg.FrameBytes) {
		l.poke()
	}
}

func (l *lane) poke() {
	select {
	case l.wake <- struct{}{}:
	default: // it will look anyway
	}
}

// run writes until the lane is retired or ctx ends.
func (l *lane) run(ctx context.Context) {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		entries, linger, ok := l.take()
		if !ok || ctx.Err() != nil {
			l.giveBack(entries)
			return
		}
		if len(entries) > 0 {
			l.send(ctx, l.w.pack(entries))
			continue
		}
		timer.Reset(linger)
		select {
		case <-l.wake:
		case <-timer.C:
		case <-ctx.Done():
		}
	}
}

// take returns what should be sent now, or how long to wait for more.
func (l *lane) take() (entries []*entry, linger time.Duration, ok bool) {
	w := l.w
	w.mu.Lock()
	defer w.mu.Unlock()
	if l.retired {
		return nil, 0, false
	}
	if len(l.waiting) == 0 {
		return nil, time.Hour, true
	}
	linger = w.cfg.Linger - time.Since(l.since)
	if l.bytes < w.cfg.FrameBytes && linger > 0 && !w.closing {
		return nil, linger, true
	}
	n, size := 0, 0
	for n < len(l.waiting) && (n == 0 || size+l.waiting[n].size <= requestBytes) {
		size += l.waiting[n].size
		n++
	}
	entries = slices.Clone(l.waiting[:n])
	l.waiting = slices.Delete(l.waiting, 0, n) // clears the rest: what is sent must not be kept
	l.bytes -= size
	return entries, 0, true
}

// giveBack lets Run find entries that were taken and not sent.
func (l *lane) giveBack(entries []*entry) {
	l.w.mu.Lock()
	defer l.w.mu.Unlock()
	l.w.early = append(l.w.early, entries...)
}

// A parcel is a frame with the entries in it.
type parcel struct {
	data    []byte
	entries []*entry
}

// pack makes frames. Entries whose caller has given up are left out: he was
// told that they are not durable, and will come again.
func (w *Writer) pack(entries []*entry) []parcel {
	var parcels []parcel
	var enc frame.Encoder
	var in []*entry
	seal := func() {
		if len(in) > 0 {
			parcels = append(parcels, w.seal(&enc, in)...)
		}
		enc.Reset()
		in = nil
	}
	for _, e := range entries {
		if e.owner.gone.Load() {
			w.finish(e, nil)
			continue
		}
		if enc.Len() > 0 && enc.RawSize()+e.size > w.cfg.FrameBytes {
			seal()
		}
		enc.Add(&e.event)
		in = append(in, e)
	}
	seal()
	return parcels
}

// seal compresses one frame. If it does not fit into a record it is halved,
// and a single event that does not fit is cut to a dead letter.
func (w *Writer) seal(enc *frame.Encoder, in []*entry) []parcel {
	data, err := enc.Append(nil)
	if err == nil && len(data)+len(partitionKey) <= w.cfg.RecordBytes {
		w.cfg.Metrics.raw.WithLabelValues(w.stream).Add(float64(enc.RawSize()))
		return []parcel{{data, in}}
	}
	if len(in) > 1 {
		var parcels []parcel
		for _, half := range [][]*entry{in[:len(in)/2], in[len(in)/2:]} {
			var enc frame.Encoder
			for _, e := range half {
				enc.Add(&e.event)
			}
			parcels = append(parcels, w.seal(&enc, half)...)
		}
		return parcels
	}
	ev := &in[0].event
	detail := fmt.Sprintf("%d bytes do not fit into a record of %d bytes, not even compressed to %d", len(ev.Body), w.cfg.RecordBytes, len(data))
	if err != nil {
		detail = err.Error()
	}
	w.cfg.Metrics.tooLarge.WithLabelValues(w.stream).Inc()
	w.cfg.Log.Warn("event cut to a dead letter", "source", ev.Source, "event_id", ev.ID, "err", detail)
	cut := nagare.Event{ID: ev.ID, UID: ev.UID, Source: ev.Source, Tenant: ev.Tenant, Auth: ev.Auth, Time: ev.Time, Received: ev.Received,
		ContentType: ev.ContentType, Reason: ReasonTooLarge, Error: detail, Body: ev.Body[:min(len(ev.Body), deadBytes, w.cfg.RecordBytes/4)]}
	enc.Reset()
	enc.Add(&cut)
	if data, err = enc.Append(nil); err != nil || len(data)+len(partitionKey) > w.cfg.RecordBytes {
		// The envelope alone is too large: only a uid of a megabyte does that.
		w.finish(in[0], fmt.Errorf("put on %s: the envelope of event %s is too large", w.stream, ev.ID))
		return nil
	}
	return []parcel{{data, in}}
}

// send puts parcels on the shard until each is durable, or until the shard
// turns out to be closed and what is left was given to others.
func (l *lane) send(ctx context.Context, parcels []parcel) {
	w := l.w
	for attempt := 0; len(parcels) > 0; attempt++ {
		if attempt > 0 {
			if pause(ctx, attempt-1) != nil {
				for _, p := range parcels {
					l.giveBack(p.entries)
				}
				return
			}
			if parcels = w.wanted(parcels); len(parcels) == 0 {
				return
			}
		}
		failed, strays := l.request(ctx, parcels)
		if strays != nil {
			// Frames went to another shard, so this one is closed. What lies
			// outside the other shard's range would be skipped by its reader.
			l.reroute(ctx, failed, strays)
			return
		}
		parcels = failed
	}
}

// A stray is a frame and the shard that it went to.
type stray struct {
	parcel
	shard string
}

// request makes one request of up to 500 records; parcels beyond are returned
// as failed. It returns what failed and what went astray.
func (l *lane) request(ctx context.Context, parcels []parcel) (failed []parcel, strays []stray) {
	w := l.w
	failed = parcels[min(len(parcels), requestRecords):]
	parcels = parcels[:len(parcels)-len(failed)]
	in := &kinesis.PutRecordsInput{StreamName: aws.String(w.stream)}
	for _, p := range parcels {
		in.Records = append(in.Records, types.PutRecordsRequestEntry{
			Data: p.data, PartitionKey: aws.String(partitionKey),
			ExplicitHashKey: aws.String(formatHashKey(p.entries[0].hash)),
		})
	}
	request, cancel := context.WithTimeout(ctx, w.cfg.RequestTimeout)
	out, err := w.client.PutRecords(request, in)
	cancel()
	if err == nil && len(out.Records) != len(parcels) {
		err = fmt.Errorf("%d answers for %d records", len(out.Records), len(parcels))
	}
	if err != nil {
		if ctx.Err() == nil {
			w.failed(err)
			w.cfg.Metrics.retries.WithLabelValues(w.stream, "request").Add(float64(len(parcels)))
			w.cfg.Log.Warn("request failed, trying again", "stream", w.stream, "shard", l.shard, "err", err)
		}
		return append(parcels, failed...), nil
	}
	for i, r := range out.Records {
		p := parcels[i]
		switch shard := aws.ToString(r.ShardId); {
		case aws.ToString(r.ErrorCode) != "":
			w.failed(errors.New(aws.ToString(r.ErrorCode) + ": " + aws.ToString(r.ErrorMessage)))
			w.cfg.Metrics.retries.WithLabelValues(w.stream, aws.ToString(r.ErrorCode)).Inc()
			failed = append(failed, p)
		case shard != l.shard:
			strays = append(strays, stray{p, shard})
		default:
			w.failed(nil)
			w.delivered(p, p.entries)
		}
	}
	return failed, strays
}

// delivered finishes the entries of a frame that are where they belong.
func (w *Writer) delivered(p parcel, entries []*entry) {
	w.cfg.Metrics.frames.WithLabelValues(w.stream).Inc()
	w.cfg.Metrics.packed.WithLabelValues(w.stream).Add(float64(len(p.data)))
	w.cfg.Metrics.written.WithLabelValues(w.stream).Add(float64(len(entries)))
	for _, e := range entries {
		w.finish(e, nil)
	}
}

// reroute learns the new shards and hands over what is not where it belongs.
func (l *lane) reroute(ctx context.Context, failed []parcel, strays []stray) {
	w := l.w
	var again []*entry
	for _, p := range failed {
		again = append(again, p.entries...)
	}
	for _, s := range strays {
		if w.refresh(ctx, s.shard) != nil { // ctx ended: nobody knows where it belongs
			again = append(again, s.entries...)
			continue
		}
		w.mu.Lock()
		sp, known := w.ring.spans[s.shard]
		w.mu.Unlock()
		var home []*entry
		for _, e := range s.entries {
			if known && sp.holds(e.hash) {
				home = append(home, e)
			} else {
				again = append(again, e)
			}
		}
		w.cfg.Metrics.misplaced.WithLabelValues(w.stream).Add(float64(len(s.entries) - len(home)))
		w.delivered(s.parcel, home)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, e := range again {
		w.route(e)
	}
}

// wanted leaves out parcels that nobody waits for any more.
func (w *Writer) wanted(parcels []parcel) []parcel {
	kept := parcels[:0]
	for _, p := range parcels {
		gone := true
		for _, e := range p.entries {
			gone = gone && e.owner.gone.Load()
		}
		if !gone {
			kept = append(kept, p)
			continue
		}
		for _, e := range p.entries {
			w.finish(e, nil)
		}
	}
	return kept
}

// pause waits before another attempt: full jitter, up to 50 ms at first, up to
// 5 s in the end.
func pause(ctx context.Context, attempt int) error {
	limit := min(50*time.Millisecond<<min(attempt, 10), 5*time.Second)
	t := time.NewTimer(rand.N(limit) + 1)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
