// Package blobtest says what every blob.Store must do, as a test suite, and
// has a store that fails on demand.
package blobtest

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"

	"nagare/internal/blob"
)

// Run tests the stores that open returns. Each call of open gives another
// handle on the same objects, as another process would have.
func Run(t *testing.T, open func(t *testing.T) blob.Store) {
	s := open(t)
	t.Run("RoundTrip", func(t *testing.T) { roundTrip(t, s) })
	t.Run("CreateOnly", func(t *testing.T) { createOnly(t, s) })
	t.Run("Checksum", func(t *testing.T) { checksum(t, s) })
	t.Run("Keys", func(t *testing.T) { keys(t, s) })
	t.Run("List", func(t *testing.T) { list(t, s) })
	t.Run("Delete", func(t *testing.T) { remove(t, s) })
	t.Run("OneWinner", func(t *testing.T) { oneWinner(t, s, open(t)) })
	t.Run("Reopen", func(t *testing.T) { reopen(t, s, open(t)) })
	t.Run("Cancelled", func(t *testing.T) { cancelled(t, s) })
}

func get(t *testing.T, s blob.Store, key string) []byte {
	t.Helper()
	b, err := blob.ReadAll(t.Context(), s, key, 1<<20)
	if err != nil {
		t.Fatalf("read %s: %v", key, err)
	}
	return b
}

func roundTrip(t *testing.T, s blob.Store) {
	for name, want := range map[string][]byte{
		"empty": {}, "small": []byte("x"), "deep/er/still": bytes.Repeat([]byte{0, 255, '\n'}, 70_000),
		"region=local/eventDay=20261125/a b+c@1.parquet": []byte("name"),
	} {
		key := "round/" + name
		if _, err := s.Get(t.Context(), key); !errors.Is(err, blob.ErrNotFound) {
			t.Errorf("Get of nothing: %v, want ErrNotFound", err)
		}
		if _, err := s.Head(t.Context(), key); !errors.Is(err, blob.ErrNotFound) {
			t.Errorf("Head of nothing: %v, want ErrNotFound", err)
		}
		if err := s.Put(t.Context(), key, blob.Bytes(want)); err != nil {
			t.Fatal(err)
		}
		if got := get(t, s, key); !bytes.Equal(got, want) {
			t.Errorf("%s: got %d bytes, want the %d that were put", key, len(got), len(want))
		}
		info, err := s.Head(t.Context(), key)
		if err != nil || info != (blob.Info{Size: int64(len(want)), SHA256: sha256.Sum256(want)}) {
			t.Errorf("Head %s = %+v, %v", key, info, err)
		}
	}
}

func createOnly(t *testing.T, s blob.Store) {
	if err := s.Put(t.Context(), "once/a", blob.Bytes([]byte("first"))); err != nil {
		t.Fatal(err)
	}
	for _, again := range []string{"first", "second"} {
		if err := s.Put(t.Context(), "once/a", blob.Bytes([]byte(again))); !errors.Is(err, blob.ErrExists) {
			t.Errorf("Put of an existing key: %v, want ErrExists", err)
		}
	}
	if got := get(t, s, "once/a"); string(got) != "first" {
		t.Errorf("after refused puts the object is %q, want first", got)
	}
}

func checksum(t *testing.T, s blob.Store) {
	good := blob.Bytes([]byte("0123456789"))
	short, long, flipped := good, good, good
	short.Size--
	long.Size++
	flipped.SHA256[0] ^= 1
	for name, body := range map[string]blob.Body{"short": short, "long": long, "flipped": flipped} {
		if err := s.Put(t.Context(), "sum/"+name, body); !errors.Is(err, blob.ErrChecksum) {
			t.Errorf("%s: Put: %v, want ErrChecksum", name, err)
		}
		if _, err := s.Head(t.Context(), "sum/"+name); !errors.Is(err, blob.ErrNotFound) {
			t.Errorf("%s: an object was made all the same: %v", name, err)
		}
	}
	broken := good
	broken.Open = func() (io.ReadCloser, error) {
		return io.NopCloser(io.MultiReader(bytes.NewReader([]byte("01234")), errReader{})), nil
	}
	if err := s.Put(t.Context(), "sum/broken", broken); !errors.Is(err, errBroken) {
		t.Errorf("Put of a body that breaks: %v, want its error", err)
	}
	if _, err := s.Head(t.Context(), "sum/broken"); !errors.Is(err, blob.ErrNotFound) {
		t.Errorf("half a body became an object: %v", err)
	}
}

var errBroken = errors.New("the body broke")

type errReader struct{}

func (errReader) Read([]byte) (int, error) { return 0, errBroken }

func keys(t *testing.T, s blob.Store) {
	long := string(bytes.Repeat([]byte("k"), 300))
	for _, key := range []string{"", "/a", "a/", "a//b", "../a", "a/../b", ".hidden", "a/.b", "a\\b", "a\x00b", "a\nb", long, "a/" + long} {
		if err := s.Put(t.Context(), key, blob.Bytes(nil)); err == nil {
			t.Errorf("Put of key %.20q was taken", key)
		}
		if _, err := s.Get(t.Context(), key); err == nil {
			t.Errorf("Get of key %.20q was taken", key)
		}
	}
}

func list(t *testing.T, s blob.Store) {
	// In the order of their bytes, in which "." and "-" are before "/".
	want := []string{"list/a-b", "list/a.b", "list/a/1", "list/a/2/x", "list/a/2/y", "list/a/3", "list/ab", "list/b/1"}
	for i := range want {
		if err := s.Put(t.Context(), want[len(want)-1-i], blob.Bytes(make([]byte, i))); err != nil {
			t.Fatal(err)
		}
	}
	for prefix, part := range map[string][]string{
		"list/": want, "list/a": want[:7], "list/a/": want[2:6], "list/a/2": want[3:5], "list/b": want[7:],
		"list/c": nil, "list/a/1": want[2:3], "list/a/1/": nil, "nothing/": nil, "list/../list/": nil,
	} {
		for limit := 1; limit <= len(want)+1; limit++ {
			var got []string
			for after := ""; ; {
				page, err := s.List(t.Context(), prefix, after, limit)
				if err != nil {
					t.Fatal(err)
				}
				for _, e := range page {
					got = append(got, e.Key)
				}
				if len(page) < limit {
					break
				}
				after = page[len(page)-1].Key
			}
			if d := cmp.Diff(part, got); d != "" {
				t.Errorf("List %q by %d (-want +got):\n%s", prefix, limit, d)
			}
		}
	}
	got, err := s.List(t.Context(), "list/b", "", 10)
	if d := cmp.Diff([]blob.Entry{{Key: "list/b/1", Size: 0}}, got); d != "" || err != nil {
		t.Errorf("List: %v, (-want +got):\n%s", err, d)
	}
}

func remove(t *testing.T, s blob.Store) {
	if err := s.Put(t.Context(), "del/a", blob.Bytes([]byte("x"))); err != nil {
		t.Fatal(err)
	}
	for range 2 { // the second finds nothing, which is as good
		if err := s.Delete(t.Context(), "del/a"); err != nil {
			t.Errorf("Delete: %v", err)
		}
	}
	if _, err := s.Get(t.Context(), "del/a"); !errors.Is(err, blob.ErrNotFound) {
		t.Errorf("Get of a deleted object: %v, want ErrNotFound", err)
	}
}

func oneWinner(t *testing.T, stores ...blob.Store) {
	const writers = 8
	for round := range 5 {
		key := fmt.Sprintf("race/%d", round)
		var won atomic.Int32
		var winner atomic.Value
		var wg sync.WaitGroup
		for w := range writers {
			wg.Go(func() {
				body := bytes.Repeat([]byte{byte('a' + w)}, 5000)
				switch err := stores[w%len(stores)].Put(t.Context(), key, blob.Bytes(body)); {
				case err == nil:
					won.Add(1)
					winner.Store(body)
				case !errors.Is(err, blob.ErrExists):
					t.Errorf("Put: %v", err)
				}
			})
		}
		wg.Wait()
		if won.Load() != 1 {
			t.Fatalf("%d writers won, want 1", won.Load())
		}
		if got := get(t, stores[0], key); !bytes.Equal(got, winner.Load().([]byte)) {
			t.Errorf("the object is not the winner's")
		}
	}
}

func reopen(t *testing.T, s, other blob.Store) {
	if err := s.Put(t.Context(), "again/a", blob.Bytes([]byte("kept"))); err != nil {
		t.Fatal(err)
	}
	if got := get(t, other, "again/a"); string(got) != "kept" {
		t.Errorf("another handle reads %q", got)
	}
}

func cancelled(t *testing.T, s blob.Store) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.Put(ctx, "late/a", blob.Bytes([]byte("x"))); !errors.Is(err, context.Canceled) {
		t.Errorf("Put: %v, want context.Canceled", err)
	}
	if _, err := s.Head(t.Context(), "late/a"); !errors.Is(err, blob.ErrNotFound) {
		t.Errorf("a cancelled Put made an object: %v", err)
	}
	if _, err := s.List(ctx, "", "", 10); !errors.Is(err, context.Canceled) {
		t.Errorf("List: %v, want context.Canceled", err)
	}
}
