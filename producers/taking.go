package producers

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strconv"

	"github.com/segmentio/ksuid"
	"golang.org/x/sync/errgroup"

	"nagare"
	"nagare/ocsf/mapping"
)

// A taking is one delivery being read. It belongs to one goroutine.
type taking struct {
	in      *Intake
	d       Delivery
	ctx     context.Context
	group   *errgroup.Group
	id      ksuid.KSUID // of the delivery; its events get the ids that follow
	open    func() (io.Reader, error)
	limit   int64
	head    []byte // the first bytes of the text
	headSum []byte // their SHA-256
	sum     string // see place
	result  Result
	token   bool // holds one of in.large

	splitter Head
	meta     mapping.HeadMeta

	events, bulk batch
}

type batch struct {
	events []nagare.Event
	size   int
}

// take reads the delivery and makes its events.
func (t *taking) take(progress func(int64)) error {
	if t.d.Failure != "" {
		t.dead(piece{text: t.d.Body, number: 1, reason: t.d.Failure, detail: "the delivery is not whole"})
		return nil
	}
	r, err := t.open()
	if err != nil {
		return err
	}
	c, err := t.content(r, progress)
	defer func() { c.Close() }() // there is one even after an error
	if err == nil {
		t.head, _ = c.Peek(peekBytes)
		t.head = bytes.Clone(t.head)
		if a := t.in.cfg.Adapters[t.d.Source]; a.Wants != nil && a.Wants(t.input(t.head)) {
			err = t.adapt(a, c)
		} else {
			err = t.split(a, c)
		}
	}
	t.in.cfg.Metrics.bytes.WithLabelValues(t.d.Source).Add(float64(c.src.n))
	if progress != nil {
		progress(c.src.n) // a small file was read before anybody could ask
	}
	var refused *Refusal
	if errors.As(err, &refused) {
		t.dead(piece{text: c.src.head, number: 0, reason: refused.Reason, detail: refused.Err.Error()})
		return nil
	}
	if err == nil && t.result.Accepted == 0 && t.d.Name == "" && len(bytes.TrimSpace(t.head)) == 0 {
		t.dead(piece{text: c.src.head, number: 0, reason: ReasonEmpty})
	}
	return err
}

func (t *taking) content(r io.Reader, progress func(int64)) (*content, error) {
	c, err := openContent(r, t.d.ContentType, t.limit)
	c.src.seen = progress
	if err != nil {
		return c, err
	}
	switch t.d.ContentEncoding {
	case "", "identity", "gzip", "x-gzip", "zstd":
		return c, nil
	}
	if c.compressed { // whatever it is called
		return c, nil
	}
	return c, &Refusal{ReasonBadEncoding, fmt.Errorf("content encoding %.50q", t.d.ContentEncoding)}
}

func (t *taking) input(body []byte) Input {
	return Input{Source: t.d.Source, Name: t.d.Name, ContentType: t.d.ContentType, Body: body}
}

// split reads JSON.
func (t *taking) split(a Adapter, c *content) error {
	s := &splitter{r: c, limit: t.in.cfg.Decompressed, depth: t.in.cfg.Depth, grow: t.acquire, repair: a.Repair}
	next, more := s.next()
	if t.d.Name == "" && more {
		// A value that is alone in its delivery is named by its content.
		second, two := s.next()
		if !two && next.number == 1 {
			next.number = 0
		}
		t.piece(next)
		next, more = second, two
	}
	dead := 0 // in a row
	for more && t.ctx.Err() == nil {
		t.piece(next)
		if dead++; next.reason == "" {
			dead = 0
		}
		if dead == maxDead {
			next, more = s.rest()
			continue
		}
		next, more = s.next()
	}
	if s.err != nil && s.err != io.EOF {
		return s.err
	}
	return t.ctx.Err()
}

// adapt reads what is not JSON.
func (t *taking) adapt(a Adapter, c *content) error {
	read := func(emit func(Item) error) error { return a.Stream(t.ctx, t.input(t.head), c.Reader, emit) }
	if a.Stream == nil {
		body, err := t.whole(c)
		if err != nil {
			return err
		}
		read = func(emit func(Item) error) error { return a.Read(t.ctx, t.input(body), emit) }
	}
	number := 0
	var stopped error
	err := read(func(item Item) error {
		number++
		if item.UID != "" && item.Reason == "" {
			t.object(piece{text: item.Body, number: number}, item.UID)
		} else {
			t.piece(piece{text: item.Body, number: number, reason: item.Reason, detail: item.Error})
		}
		stopped = t.ctx.Err()
		return stopped
	})
	switch {
	case stopped != nil:
		return stopped
	case c.src.err != nil: // not the sender's fault
		return c.src.err
	}
	var refused *Refusal
	if err != nil && !errors.As(err, &refused) {
		return &Refusal{ReasonNotJSON, err}
	}
	return err
}

// whole reads a content of limited size.
func (t *taking) whole(c *content) ([]byte, error) {
	limit := t.in.cfg.Decompressed
	if err := t.acquire(); err != nil {
		return nil, err
	}
	body, err := io.ReadAll(io.LimitReader(c, int64(limit)+1))
	if err == nil && len(body) > limit {
		err = &Refusal{ReasonTooLarge, fmt.Errorf("more than %d bytes", limit)}
	}
	return body, err
}

// acquire waits for the right to hold much text; once is enough for a delivery.
func (t *taking) acquire() error {
	if t.token {
		return nil
	}
	select {
	case t.in.large <- struct{}{}:
		t.token = true
		return nil
	case <-t.ctx.Done():
		return t.ctx.Err()
	}
}

func (t *taking) release() {
	t.in.heads.Put(t.splitter)
	if t.token {
		<-t.in.large
	}
}

func (t *taking) piece(p piece) {
	if p.reason != "" {
		t.dead(p)
		return
	}
	t.object(p, "")
}

// object asks the head for the events of one JSON object. An adapter's uid is
// for the case that the head finds a single event and no id in it.
func (t *taking) object(p piece, uid string) {
	if mark := t.in.cfg.Adapters[t.d.Source].Mark; mark != nil && t.d.Event != "" {
		p.text = mark(t.d.Event, p.text)
	}
	found, err := t.splitter.Split(t.d.Source, p.text, t.meta)
	if err != nil {
		// The stream keeps the value whole: a better mapping can still read it.
		t.in.cfg.Log.Debug("the mapping's head cannot tell", "source", t.d.Source, "err", err)
		t.put(nagare.Event{UID: cmp.Or(uid, hash(p.text)), Body: p.text})
		return
	}
	for i, h := range found {
		ev := nagare.Event{UID: h.UID, Time: h.Time.UTC(), Body: h.Body}
		if ev.UID == "" && len(found) == 1 && uid != "" {
			ev.UID = uid
		}
		if ev.UID == "" {
			ev.UID = t.place(p, h.Body, i, len(found))
		}
		t.put(ev)
	}
}

// dead makes a dead letter of what cannot be read.
func (t *taking) dead(p piece) {
	t.result.Dead++
	t.in.cfg.Metrics.dead.WithLabelValues(t.d.Source, p.reason).Inc()
	t.in.cfg.Log.Warn("dead letter", "source", t.d.Source, "reason", p.reason, "err", p.detail)
	contentType := t.d.ContentType
	if contentType == "" || len(contentType) > 200 {
		contentType = "application/octet-stream"
	}
	t.put(nagare.Event{
		UID: t.deadUID(p), Reason: p.reason, Error: p.detail, ContentType: contentType,
		Body: bytes.Clone(p.text[:min(len(p.text), deadBytes)]), // a clone, to let go of a large text
	})
}

// place is the uid of an event that has no id: of a file's events, their place
// in the file; of a single delivery, its content. number is 0 for what is all
// of its delivery.
func (t *taking) place(p piece, body []byte, i, of int) string {
	if p.number == 0 && of == 1 {
		return hash(body)
	}
	if t.sum == "" {
		t.sum = t.hashAll()
	}
	if of > 1 {
		return hash([]byte(t.d.Source), []byte(t.sum), strconv.AppendInt(nil, int64(p.number), 10), strconv.AppendInt(nil, int64(i), 10))
	}
	return hash([]byte(t.d.Source), []byte(t.sum), strconv.AppendInt(nil, int64(p.number), 10))
}

// deadUID names a dead letter by its text and place. A file is not read a
// second time for it: its beginning tells it from others well enough.
func (t *taking) deadUID(p piece) string {
	if p.number == 0 {
		return hash(p.text)
	}
	if t.headSum == nil {
		sum := sha256.Sum256(t.head)
		t.headSum = sum[:]
	}
	return hash([]byte(t.d.Source), t.headSum, strconv.AppendInt(nil, int64(p.number), 10), p.text)
}

// hashAll is the SHA-256 of the text, decompressed, so that a file has it with
// and without its .gz; or of its beginning if it cannot be read twice.
func (t *taking) hashAll() string {
	h := sha256.New()
	r, err := t.open()
	if err == nil {
		var c *content
		c, err = openContent(r, t.d.ContentType, t.limit)
		if err == nil {
			_, err = io.Copy(h, c)
		}
		c.Close()
	}
	var refused *Refusal
	if err != nil && !errors.As(err, &refused) { // damage is part of what the file is
		h.Reset()
		h.Write(t.head)
	}
	return string(h.Sum(nil))
}

// hash names things by what they are: 128 bits are enough, and short.
func hash(parts ...[]byte) string {
	h := sha256.New()
	for i, p := range parts {
		if i > 0 {
			h.Write([]byte{0})
		}
		h.Write(p)
	}
	return hex.EncodeToString(h.Sum(nil)[:16])
}

// put completes an event and sends it on with others.
func (t *taking) put(ev nagare.Event) {
	t.id = t.id.Next()
	ev.ID = t.id.String()
	ev.Source, ev.Tenant, ev.Auth, ev.Received = t.d.Source, t.d.Tenant, t.d.Auth, t.d.Received
	t.result.Accepted++
	b, to := &t.events, t.in.cfg.Events
	late := !ev.Time.IsZero() && ev.Received.Sub(ev.Time) > t.in.cfg.Late
	if late && !t.d.Live && t.in.cfg.Bulk != nil {
		b, to = &t.bulk, t.in.cfg.Bulk
	}
	b.events = append(b.events, ev)
	b.size += len(ev.Body) + 300
	if b.size >= batchBytes || len(b.events) >= batchEvents {
		t.flush(b, to)
	}
}

// flush sends a batch on, and waits if too many are on their way.
func (t *taking) flush(b *batch, to Putter) {
	if len(b.events) == 0 {
		return
	}
	events := b.events
	*b = batch{}
	t.group.Go(func() error {
		ctx, cancel := context.WithTimeout(t.ctx, t.in.cfg.PutTimeout)
		defer cancel()
		return to.Put(ctx, events)
	})
}
