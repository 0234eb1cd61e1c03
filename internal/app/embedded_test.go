package app

import (
	"context"
	"log/slog"
	"testing"

	"nagare/internal/config"
)

// TestEmbeddedStreamEnds: a process whose embedded server has ended says so,
// and can still be closed; one that stops by itself says nothing.
func TestEmbeddedStreamEnds(t *testing.T) {
	for _, by := range []string{"itself", "the process"} {
		o := Options{Data: t.TempDir(), Log: slog.New(slog.DiscardHandler)}
		d, err := openData(t.Context(), o, config.Config{}, "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		ctx, stop := context.WithCancel(t.Context())
		if by == "itself" {
			d.stopServer()
		} else {
			stop()
		}
		if err := d.watch(ctx); (err != nil) != (by == "itself") {
			t.Errorf("ended by %s: %v", by, err)
		}
		stop()
		if err := d.close(); err != nil {
			t.Errorf("close after it was ended by %s: %v", by, err)
		}
	}
}
