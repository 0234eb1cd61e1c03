package lake

import (
	"context"
	"errors"
	"fmt"

	"nagare/internal/blob"
)

// publish brings the decided commit into the lake (F4) and marks it (F5). The
// objects go one after the other, in the manifest's order: whoever repeats it
// after a crash, and who rebuilds a ledger, counts on that.
func (c *Committer) publish(ctx context.Context) error {
	m := c.manifest
	if m == nil {
		var err error
		if m, err = ReadManifest(ctx, c.cfg.Stage, c.item.Manifest); err != nil {
			return c.gone(ctx, err)
		}
		if m.Attempt != c.item.Attempt || m.N != c.item.N {
			return fmt.Errorf("lake: manifest %s is of attempt %s, commit %d", c.item.Manifest, m.Attempt, m.N)
		}
		c.manifest = m
	}
	for i := range m.Entries {
		if err := c.publishOne(ctx, &m.Entries[i]); err != nil {
			return c.gone(ctx, err)
		}
		c.cfg.At(StepPut)
	}
	c.cfg.At(StepPublish)
	if err := c.mark(ctx); err != nil {
		return err
	}
	c.cfg.At(StepFinished)
	c.recent.add(m)
	st := c.cfg.Stats
	st.Commits.Add(1)
	st.Rows.Add(m.Counts.Rows)
	st.Dead.Add(m.Counts.Dead)
	st.addDead(m.Dead)
	st.Repeats.Add(m.Counts.Repeats)
	st.Cut.Add(m.Counts.Cut)
	c.cfg.Log.Info("commit published", "shard", m.Shard, "n", m.N, "seq", m.To, "objects", len(m.Entries),
		"rows", m.Counts.Rows, "dead", m.Counts.Dead, "repeats", m.Counts.Repeats)
	return nil
}

func (c *Committer) store(name string) (blob.Store, error) {
	switch name {
	case inLake:
		return c.cfg.Lake, nil
	case inArchive:
		return c.cfg.Archive, nil
	}
	return nil, fmt.Errorf("lake: a manifest names the store %q", name)
}

// publishOne copies a staged object to its final name. Only the winner's bytes
// ever go there, so what is there already must be the same.
func (c *Committer) publishOne(ctx context.Context, e *Entry) error {
	to, err := c.store(e.Store)
	if err != nil {
		return err
	}
	existed, err := putOnce(ctx, to, e.Key, blob.Object(ctx, c.cfg.Stage, e.Staged, e.info()))
	if err != nil {
		return fmt.Errorf("lake: publish: %w", err)
	}
	if existed {
		c.cfg.Stats.Existing.Add(1)
		return nil
	}
	c.cfg.Stats.Files.Add(1)
	c.cfg.Stats.Bytes.Add(e.Size)
	return nil
}

// putOnce creates an object, or sees that it exists with the same content.
func putOnce(ctx context.Context, s blob.Store, key string, body blob.Body) (existed bool, err error) {
	err = s.Put(ctx, key, body)
	if !errors.Is(err, blob.ErrExists) {
		return false, err
	}
	info, err := s.Head(ctx, key)
	if err != nil {
		return false, err
	}
	if info != body.Info {
		return false, fmt.Errorf("%w: %s has %d bytes with SHA-256 %s, want %d with %s", ErrDifferent, key, info.Size, info.SHA256, body.Size, body.SHA256)
	}
	return true, nil
}

// gone explains an error of publishing. If something staged is not there, then
// most likely another worker has published and a collector has cleaned up:
// then the row has moved on, and there is nothing left to do.
func (c *Committer) gone(ctx context.Context, err error) error {
	if !errors.Is(err, blob.ErrNotFound) {
		return err
	}
	was := c.item
	c.known = false
	if e := c.read(ctx); e != nil {
		return errors.Join(err, e)
	}
	if c.item.N > was.N || c.item.N == was.N && c.item.State == Published {
		return nil
	}
	c.known = false
	return fmt.Errorf("lake: commit %d of %s is decided, and a part of it is gone: %w", was.N, c.cfg.Shard, err)
}

// mark says that the commit is published (F5). Others may have said so, and
// gone on.
func (c *Committer) mark(ctx context.Context) error {
	done, before := c.item, c.version
	done.State = Published
	c.known = false
	var err error
	for range sends {
		var version int64
		if version, err = c.put(ctx, done, before); err == nil {
			c.item, c.version, c.known = done, version, true
			return nil
		}
		if e := c.read(ctx); e != nil {
			return errors.Join(err, e)
		}
		if c.item.N > done.N || c.item.N == done.N && c.item.State == Published {
			return nil
		}
		if c.version != before {
			break
		}
		c.known = false
	}
	c.known = false
	return fmt.Errorf("lake: mark commit %d of %s: %w", done.N, c.cfg.Shard, err)
}
