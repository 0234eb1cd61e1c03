package integration

import (
	"bytes"
	"encoding/base64"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// TestLargeObjects: one flush of more than fits into memory, with every setting
// as it is by default. (The samples shrink too well to make such an object.)
func TestLargeObjects(t *testing.T) {
	const events = 3000
	dir, binary := t.TempDir(), build(t)
	p := up(t, binary, dir, "--flush", "4s")
	noise := rand.NewChaCha8([32]byte{1})
	now := time.Now()
	var lines bytes.Buffer
	for i := range events {
		text := make([]byte, 3000)
		noise.Read(text)
		one := signal("large-"+strconv.Itoa(i), now)
		lines.Write(bytes.Replace(one, []byte("An alert"), []byte(base64.StdEncoding.EncodeToString(text)), 1))
		lines.WriteByte('\n')
	}
	file := filepath.Join(t.TempDir(), "large.jsonl")
	if err := os.WriteFile(file, lines.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	command(t, binary, "--data", dir, "send", "--source", "datadog", file)
	await(t, 2*time.Minute, "all of them in the lake", func() bool {
		n := command(t, binary, "--data", dir, "query", "--format", "csv", "select count(*) as n, count(distinct metadata.uid) as u from detection_finding where finding_info.uid like 'large-%'")
		return strings.Contains(string(n), "3000,3000")
	})
	largest := int64(0)
	filepath.Walk(filepath.Join(dir, "archive"), func(_ string, info os.FileInfo, err error) error {
		if err == nil {
			largest = max(largest, info.Size())
		}
		return nil
	})
	if largest <= 4<<20 {
		t.Errorf("the largest object has %d bytes: this tests nothing", largest)
	}
	p.stop()
}
