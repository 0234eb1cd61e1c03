package integration

import (
	"bytes"
	"context"
	"encoding/hex"
	"math/rand/v2"
	"net/http"
	"path/filepath"
	"testing"
	"time"
)

// TestClaims sends events that no record holds, new and old: they come to the
// lake like others.
func TestClaims(t *testing.T) {
	dir, binary := t.TempDir(), build(t)
	p := up(t, binary, dir)
	noise := make([]byte, 3<<20)
	rand.NewChaCha8([32]byte{3}).Read(noise)
	large := func(uid string, at time.Time) []byte {
		debug := []byte(`"debugContext":{"debugData":{"noise":"` + hex.EncodeToString(noise) + `"`)
		body := bytes.Replace(signIn(uid, at), []byte(`"debugContext":{"debugData":{"authMethodFirstType":"webauthn:webauthn:aut3"`), debug, 1)
		if len(body) < 6<<20 {
			t.Fatal("the sample has changed")
		}
		return body
	}
	s := &senders{acked: map[string]bool{}}
	s.target(p.info)
	for _, body := range [][]byte{large("large-1", time.Now()), large("large-2", time.Now().Add(-48*time.Hour)), signIn("small", time.Now())} {
		await(t, 20*time.Second, "a large event to be acknowledged", func() bool {
			return s.post(context.Background(), &http.Client{Timeout: 15 * time.Second}, body)
		})
	}
	await(t, 30*time.Second, "the lake to have large events", func() bool {
		rows := countByUID(t, binary, dir)
		return rows["large-1"] == 1 && rows["large-2"] == 1 && rows["small"] == 1
	})
	kept, err := filepath.Glob(filepath.Join(dir, "claims", "*-*-*", "*"))
	if err != nil || len(kept) != 2 {
		t.Errorf("%d bodies are kept as objects, want 2: %v", len(kept), err)
	}
	p.stop()
}
