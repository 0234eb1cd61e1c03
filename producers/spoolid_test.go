package producers

import (
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"nagare"
)

// TestForeignMark puts the mark of another spool, whose files have higher
// numbers, into a spool with events that wait: they are not removed.
func TestForeignMark(t *testing.T) {
	dir := t.TempDir()
	open := func() (*Spool, error) { return OpenSpool(SpoolConfig{Dir: dir, Stream: "s"}) }
	s, err := open()
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Put(t.Context(), []nagare.Event{{Source: "okta", UID: "1", Body: []byte("{}")}}); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	for _, whose := range []string{" " + strings.Repeat("A", 26), ""} {
		text := "99 5" + whose
		text = fmt.Sprintf("%s %08x\n", text, crc32.Checksum([]byte(text), castagnoli))
		if err := os.WriteFile(markPath(dir), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		s, err := open()
		if whose != "" {
			if err == nil || !strings.Contains(err.Error(), "remove it") {
				t.Errorf("the mark of another spool: %v", err)
			}
		} else if err != nil {
			t.Errorf("a mark without a name: %v", err)
		}
		if err == nil {
			if !s.Waiting() {
				t.Error("nothing waits any more")
			}
			_ = s.Close()
		}
		if files, _ := filepath.Glob(filepath.Join(dir, "spool-*.db")); len(files) != 1 {
			t.Errorf("files of the spool: %v", files)
		}
	}
}
