package app

import (
	"path/filepath"
	"testing"

	"nagare/internal/config"
)

// TestReplayIntoOwnFolder refuses every folder that the pipeline uses itself,
// be it there or not, and what lies in it or around it.
func TestReplayIntoOwnFolder(t *testing.T) {
	data := t.TempDir()
	c := &core{config: config.Config{}}
	o := Options{Data: data}
	for _, name := range []string{"claims", "spool", "stage", "tmp", "archive", "lake", "kinesis", ".", "claims/2026-11-25", "spool/nagare", ".."} {
		if _, err := c.checkInto(o, filepath.Join(data, name)); err == nil {
			t.Errorf("a replay may fill %s", name)
		}
	}
	for _, name := range []string{"claims2", "again"} {
		if _, err := c.checkInto(o, filepath.Join(data, name)); err != nil {
			t.Errorf("a replay may not fill %s: %v", name, err)
		}
	}
}
