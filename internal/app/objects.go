package app

import (
	"fmt"
	"path/filepath"

	"nagare/consumers/compact"
	"nagare/internal/blob"
	"nagare/internal/config"
)

// objects are the stores of whole files.
type objects struct {
	lake, stage, archive blob.Store
}

// openObjects opens the lake, what is staged for it, and the archive with the
// dead letters.
func openObjects(o Options, c config.Config) (objects, error) {
	var out objects
	for _, s := range []struct {
		store *blob.Store
		dir   string
	}{
		{&out.lake, o.lakeDir(c.Lake.Dir)}, {&out.stage, filepath.Join(o.Data, "stage")}, {&out.archive, filepath.Join(o.Data, "archive")},
	} {
		store, err := blob.Dir(s.dir)
		if err != nil {
			return out, fmt.Errorf("folder %s: %w", s.dir, err)
		}
		*s.store = store
	}
	return out, nil
}

// compactConfig is what every shard's compact stage gets.
func (p *pipeline) compactConfig() compact.Config {
	return compact.Config{
		Normalize: p.core.normalizer(), Layouts: p.core.layouts, Coord: p.store,
		Stage: p.objects.stage, Lake: p.objects.lake, Archive: p.objects.archive,
		TempDir: filepath.Join(p.opts.Data, "tmp"), Stats: p.compactStats, Log: p.opts.Log,
	}
}
