package app

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/prometheus/client_golang/prometheus"

	"nagare/consumers/compact"
	"nagare/internal/blob"
	"nagare/internal/config"
	"nagare/internal/lake"
	"nagare/ocsf"
)

// objects are the stores of whole files.
type objects struct {
	lake, stage, archive blob.Store
}

// lakeTarget is the schema of the lake, and how events come down to it; nil if
// they are of it already.
func (c *core) lakeTarget() (*ocsf.Schema, *ocsf.Downgrade, error) {
	if c.config.Lake.OCSF == ocsf.Version {
		return c.layouts.Schema, nil, nil
	}
	down, err := c.downgradeTo(c.config.Lake.OCSF)
	if err != nil {
		return nil, nil, err
	}
	return down.Schema(), down, nil
}

// downgradeTo is how events come down to a version; nil if they are of it.
func (c *core) downgradeTo(version string) (*ocsf.Downgrade, error) {
	if version == "" || version == ocsf.Version {
		return nil, nil
	}
	if !slices.Contains(ocsf.Versions, version) {
		return nil, usagef("OCSF %q is not built in; there are %s", version, strings.Join(ocsf.Versions, " and "))
	}
	schema, err := ocsf.Load(version)
	if err != nil {
		return nil, err
	}
	return ocsf.NewDowngrade(c.layouts, schema)
}

// ownLake refuses a lake that another application writes.
func ownLake(ctx context.Context, o objects) error {
	err := lake.Own(ctx, o.lake, lake.Owner{App: compactApp}, false)
	var other *lake.OwnerError
	if errors.As(err, &other) {
		return &Usage{err}
	}
	return err
}

// claimLake refuses a lake that is written in another version of OCSF.
func claimLake(ctx context.Context, o objects, version string) error {
	err := lake.Claim(ctx, o.lake, version)
	var other *lake.VersionError
	if errors.As(err, &other) {
		return &Usage{err}
	}
	return err
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

// tempDir is where objects are made that are too large for memory.
func (o *Options) tempDir() string { return filepath.Join(o.Data, "tmp") }

// compactConfig is what every shard's compact stage gets.
func (p *pipeline) compactConfig() compact.Config {
	if err := lake.SweepTemp(p.opts.tempDir()); err != nil {
		p.opts.Log.Warn("files of an earlier run cannot be removed", "err", err)
	}
	return compact.Config{
		Normalize: p.core.normalizer(), Downgrade: p.downgrade, Coord: p.store, Tables: p.tables,
		Stage: p.objects.stage, Lake: p.objects.lake, Archive: p.objects.archive,
		Version: p.core.mappingVersion, TempDir: p.opts.tempDir(), Stats: p.compactStats, Log: p.opts.Log,
	}
}

// registerLake exposes what became of the lake.
func (p *pipeline) registerLake(plain func(name, help string, f func() int64)) {
	s := p.compactStats
	plain("lake_events_total", "Events taken for the lake.", s.Events.Load)
	plain("lake_invalid_total", "Events in the lake that do not follow the schema.", s.Invalid.Load)
	plain("lake_rows_total", "Rows committed.", s.Lake.Rows.Load)
	plain("lake_dead_letters_total", "Dead letters committed.", s.Lake.Dead.Load)
	plain("lake_repeats_total", "Repeats left out.", s.Lake.Repeats.Load)
	plain("lake_commits_total", "Commits.", s.Lake.Commits.Load)
	plain("lake_files_total", "Parquet files published.", s.Lake.Files.Load)
	plain("lake_bytes_total", "Bytes of objects published.", s.Lake.Bytes.Load)
	plain("lake_recovered_total", "Commits that another attempt had left unpublished.", s.Lake.Recovered.Load)
	p.reg.MustRegister(deadCollector{s}, prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Namespace: "nagare", Name: "lake_stopped_shards",
		Help: "Shards that are not read for the lake because their ledger is lost or behind.",
	}, func() float64 { return float64(len(s.Lake.Stopped())) }))
}

// A deadCollector exposes dead letters by source and reason.
type deadCollector struct{ stats *compact.Stats }

var deadDesc = prometheus.NewDesc("nagare_dead_letters_total", "Dead letters committed, by source and reason.", []string{"source", "reason"}, nil)

// Describe implements prometheus.Collector.
func (deadCollector) Describe(ch chan<- *prometheus.Desc) { ch <- deadDesc }

// Collect implements prometheus.Collector.
func (c deadCollector) Collect(ch chan<- prometheus.Metric) {
	kinds := map[lake.DeadKind]int64{}
	for k, n := range c.stats.Lake.DeadKinds() {
		kinds[lake.DeadKind{Source: label(k.Source), Reason: label(k.Reason)}] += n
	}
	for k, n := range kinds {
		ch <- prometheus.MustNewConstMetric(deadDesc, prometheus.CounterValue, float64(n), k.Source, k.Reason)
	}
}

// maxLabel bounds a label in bytes.
const maxLabel = 64

// label makes a label of a text that came with an event: whoever writes to the
// stream chooses it. How many there are is bounded where they are counted.
func label(s string) string {
	if len(s) > maxLabel {
		return "other"
	}
	return strings.ToValidUTF8(s, "?")
}
