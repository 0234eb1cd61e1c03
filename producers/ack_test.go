package producers

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// TestAckEither takes a stream down, slows it, and brings it back. Nobody may
// wait for it longer than its patience, or be refused.
func TestAckEither(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		stream, spool := newSink(), newSink()
		a := NewAck(AckConfig{Name: "events", Stream: stream, Spool: spool, Policy: func(string) string { return AckEither }})
		put := func(from int, within time.Duration) {
			t.Helper()
			began := time.Now()
			if err := a.Put(t.Context(), numbered(from, 1)); err != nil {
				t.Error(err)
			}
			if d := time.Since(began); d > within {
				t.Errorf("acknowledged after %v, want at most %v", d, within)
			}
		}
		put(0, 0)
		if len(stream.all) != 1 || len(spool.all) != 0 {
			t.Fatal("a healthy stream must have it")
		}
		stream.hold = make(chan struct{})
		put(1, 300*time.Millisecond)
		for i := range 100 { // nobody asks a slow stream twice
			put(2+i, 0)
		}
		if len(spool.all) != 101 {
			t.Errorf("%d events in the spool", len(spool.all))
		}
		time.Sleep(time.Second)
		var group sync.WaitGroup
		began := time.Now()
		waited := make(chan time.Duration, 50)
		for i := range 50 {
			group.Go(func() {
				put(200+i, 300*time.Millisecond)
				waited <- time.Since(began)
			})
		}
		group.Wait()
		close(waited)
		asked := 0
		for d := range waited {
			if d > 0 {
				asked++
			}
		}
		if asked != 1 {
			t.Errorf("%d of 50 asked the slow stream, want one", asked)
		}
		close(stream.hold)
		time.Sleep(time.Second)
		put(300, 0)
		put(301, 0)
		if stream.seen["uid-300"] != 1 || stream.seen["uid-301"] != 1 {
			t.Error("the stream is well again and not used")
		}
	})
}

func TestAckPolicies(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		down, full := errors.New("connection refused"), ErrSpoolFull
		for _, tt := range []struct {
			policy        string
			stream, spool error
			by            string // "" for an error
		}{
			{"", nil, nil, AckKinesis},
			{AckKinesis, nil, nil, AckKinesis},
			{AckKinesis, down, nil, ""},
			{AckSpool, nil, nil, AckSpool},
			{AckSpool, nil, full, ""},
			{AckEither, nil, nil, AckKinesis},
			{AckEither, down, nil, AckSpool},
			{AckEither, down, full, ""},
		} {
			stream, spool := newSink(), newSink()
			stream.err, spool.err = tt.stream, tt.spool
			a := NewAck(AckConfig{Stream: stream, Spool: spool, Policy: func(string) string { return tt.policy }})
			err := a.Put(t.Context(), numbered(0, 1))
			by := map[string]bool{AckKinesis: len(stream.all) == 1, AckSpool: len(spool.all) == 1}
			if (err == nil) != (tt.by != "") || tt.by != "" && !by[tt.by] || by[AckKinesis] && by[AckSpool] {
				t.Errorf("%+v: %v, in stream and spool: %v", tt, err, by)
			}
		}
	})
}

// TestAckFullSpoolWaits: when the spool cannot, a slow stream is better than
// nothing.
func TestAckFullSpoolWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		stream, spool := newSink(), newSink()
		stream.hold, spool.err = make(chan struct{}), ErrSpoolFull
		a := NewAck(AckConfig{Stream: stream, Spool: spool, Policy: func(string) string { return AckEither }})
		time.AfterFunc(2*time.Second, func() { close(stream.hold) })
		if err := a.Put(t.Context(), numbered(0, 1)); err != nil {
			t.Error(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		stream.hold = make(chan struct{})
		if err := a.Put(ctx, numbered(1, 1)); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Put without time = %v", err)
		}
	})
}

// TestAckGivesWriterUp: what waited in the writer for a stream that is down
// must not stay there.
func TestAckGivesWriterUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeStream(t, 1)
		spool := newSink()
		write(t, f, WriterConfig{}, func(ctx context.Context, w *Writer) {
			a := NewAck(AckConfig{Stream: w, Spool: spool, Policy: func(string) string { return AckEither }})
			if err := a.Put(ctx, numbered(0, 5)); err != nil {
				t.Error(err)
			}
			f.mu.Lock()
			f.down = errors.New("connection refused")
			f.mu.Unlock()
			for i := range 30 {
				if err := a.Put(ctx, numbered(100+i*10, 10)); err != nil {
					t.Error(err)
				}
				time.Sleep(200 * time.Millisecond)
			}
			f.mu.Lock()
			f.down = nil
			f.mu.Unlock()
			time.Sleep(10 * time.Second)
			if err := a.Put(ctx, numbered(1000, 5)); err != nil {
				t.Error(err)
			}
		})
		f.once(10)
		if len(spool.all) != 300 {
			t.Errorf("%d events in the spool, want 300", len(spool.all))
		}
	})
}

var _ = []Putter{(*Writer)(nil), (*Spool)(nil), (*Ack)(nil), (*sink)(nil)}
