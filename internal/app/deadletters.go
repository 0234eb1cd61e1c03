package app

import (
	"context"
	"io"
	"path/filepath"
	"time"

	"nagare/internal/blob"
	"nagare/internal/lake"
)

// DeadLettersFilter chooses dead letters.
type DeadLettersFilter struct {
	Source, Reason string
	Limit          int
}

// DeadLettersList lists published dead letters. They are files that never
// change, so it needs no lock.
func DeadLettersList(ctx context.Context, o Options, f DeadLettersFilter, format string, out io.Writer) error {
	archive, err := blob.Dir(filepath.Join(o.Data, "archive"))
	if err != nil {
		return usagef("%w", err)
	}
	l := listing{columns: []string{"received", "source", "reason", "error", "shard", "seq", "id"}}
	for d, err := range lake.DeadLetters(ctx, archive, lake.DeadFilter{Source: f.Source, Reason: f.Reason}) {
		if err != nil {
			o.Log.Warn("dead letters not read", "err", err)
			continue
		}
		l.add(struct {
			ID       string    `json:"id"`
			Source   string    `json:"source"`
			UID      string    `json:"uid"`
			Reason   string    `json:"reason"`
			Error    string    `json:"error"`
			Received time.Time `json:"received"`
			Shard    string    `json:"shard"`
			Seq      string    `json:"seq"`
			Mapping  string    `json:"mapping"`
		}{d.ID, d.Source, d.UID, d.Reason, d.Error, d.Received, d.Shard, d.Seq, d.Mapping},
			d.Received.UTC().Format(time.DateTime), d.Source, d.Reason, d.Error, d.Shard, d.Seq, d.ID)
		if len(l.rows) == f.Limit {
			break
		}
	}
	return l.print(out, format)
}
