package lake

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"nagare/internal/blob"
	"nagare/internal/coord"
)

// The states of an Item.
const (
	Committed = "COMMITTED" // decided; not all of it is in the lake yet
	Published = "PUBLISHED" // all of it is in the lake
)

// An Item is the ledger's row of one shard: it alone decides what counts.
type Item struct {
	// N counts the commits of the shard; 0 at birth.
	N int64 `json:"n"`
	// From and To are the range of sequence numbers of commit N: after From,
	// up to and including To. "" is before the first record.
	From string `json:"from"`
	To   string `json:"to"`
	// Attempt is the id of the try that won.
	Attempt string `json:"attempt"`
	// Manifest is the key of the winner's manifest in the stage.
	Manifest string `json:"manifest"`
	State    string `json:"state"`
	// Closed says that the shard was read to its end.
	Closed bool `json:"closed"`
	// Epoch is the lease's, for the record only.
	Epoch int64 `json:"epoch"`
	// ReadUntil is a time before which everything that arrived was read.
	ReadUntil time.Time `json:"read_until,omitzero"`
}

// ReadItem reads the ledger row of a shard. Without one the error is
// coord.ErrNotFound.
func ReadItem(ctx context.Context, s coord.Store, app, stream, shard string) (Item, int64, error) {
	var it Item
	version, err := coord.GetJSON(ctx, s, LedgerPart(app, stream), shard, &it)
	return it, version, err
}

// A Manifest says what one commit consists of. It is staged before the commit
// and kept as long as the lake's objects.
type Manifest struct {
	Version int    `json:"version"`
	App     string `json:"app"`
	Stream  string `json:"stream"`
	Shard   string `json:"shard"`
	// N is the number of the commit that this becomes.
	N         int64     `json:"n"`
	From      string    `json:"from"`
	To        string    `json:"to"`
	Attempt   string    `json:"attempt"`
	Closed    bool      `json:"closed"`
	Epoch     int64     `json:"epoch"`
	ReadUntil time.Time `json:"read_until,omitzero"`
	// First and Last are the arrival times of the records.
	First time.Time `json:"first,omitzero"`
	Last  time.Time `json:"last,omitzero"`
	// Previous are the commits before this one: one, or of a new shard those
	// of its parents.
	Previous []Ref `json:"previous,omitempty"`
	// IDs are the hashes of the events that became rows.
	IDs IDs `json:"ids"`
	// Entries are the objects to publish, in this order: see rowsLast.
	Entries []Entry `json:"entries"`
	Counts  Counts  `json:"counts"`
	// Dead counts the dead letters by source and reason.
	Dead []DeadCount `json:"dead,omitempty"`
}

// A Ref names the manifest of a commit.
type Ref struct {
	Shard    string `json:"shard"`
	N        int64  `json:"n"`
	Manifest string `json:"manifest"`
}

// IDs describes a staged ids.bin.
type IDs struct {
	Key   string `json:"key,omitempty"`
	Count int64  `json:"count"`
	blob.Info
}

// The stores that an Entry may be for.
const (
	inLake    = "lake"
	inArchive = "archive"
)

// An Entry is one object: where it is staged, and where it belongs.
type Entry struct {
	Staged string   `json:"staged"`
	Store  string   `json:"store"`
	Key    string   `json:"key"`
	Size   int64    `json:"size"`
	Rows   int64    `json:"rows"`
	SHA256 blob.Sum `json:"sha256"`
}

func (e *Entry) info() blob.Info { return blob.Info{Size: e.Size, SHA256: e.SHA256} }

// Counts says where the events of a commit went: Events = Rows + Dead +
// Repeats.
type Counts struct {
	Events  int64 `json:"events"`
	Rows    int64 `json:"rows"`
	Dead    int64 `json:"dead"`
	Repeats int64 `json:"repeats"`
	// Cut rows lost the end of a text or a list that was too long.
	Cut int64 `json:"cut"`
}

const maxManifest = 64 << 20

// ReadManifest reads a manifest from the stage.
func ReadManifest(ctx context.Context, stage blob.Store, key string) (*Manifest, error) {
	b, err := blob.ReadAll(ctx, stage, key, maxManifest)
	if err != nil {
		return nil, fmt.Errorf("lake: manifest: %w", err)
	}
	m := &Manifest{}
	if err := json.Unmarshal(b, m); err != nil {
		return nil, fmt.Errorf("lake: %w %s: %w", errManifest, key, err)
	}
	if m.Version != 1 {
		return nil, fmt.Errorf("lake: %w %s has version %d, this program knows 1: use the newer program", errManifest, key, m.Version)
	}
	return m, nil
}

// errManifest is of a manifest that was read and makes no sense.
var errManifest = errors.New("manifest")

// ErrLedgerLost is returned when there are objects of a shard but no ledger
// row: what was committed is not known, and to begin again would double it.
var ErrLedgerLost = errors.New("the ledger has no row for this shard although there are objects of it")

// ErrLedgerBehind is returned when there are objects of commits that the
// ledger row knows nothing of, as after its store was put back from a backup:
// to commit those events once more would double them.
var ErrLedgerBehind = errors.New("the ledger is behind the objects of this shard")

// howToRebuild is what a person does about it.
const howToRebuild = "stop all workers, run nagare lake rebuild, and start them again"

// ErrDifferent is returned when a lake object has other bytes than the commit
// that owns its name. Somebody wrote there; a person has to look.
var ErrDifferent = errors.New("lake: an object with this name has other content")

// A MovedError says that the ledger is not where the caller's buffer begins:
// another worker committed. What lies up to To must be forgotten.
type MovedError struct{ To string }

func (e *MovedError) Error() string { return "lake: the ledger has moved to " + e.To }
