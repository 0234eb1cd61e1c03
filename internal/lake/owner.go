package lake

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"nagare/internal/blob"
)

// OwnerKey is the object that says which application writes a lake.
const OwnerKey = "lake.owner"

// An Owner is the application that a lake belongs to. A second one would put
// the same events there once more, under other names.
type Owner struct {
	App string `json:"app"`
	// ID tells apart applications of one name: two replays of two data
	// folders. The pipeline's own has none.
	ID string `json:"id,omitempty"`
}

// An OwnerError says that a lake belongs to somebody else, or is not empty and
// belongs to nobody known.
type OwnerError struct{ Has, Want Owner }

func (e *OwnerError) Error() string {
	if e.Has == (Owner{}) {
		return fmt.Sprintf("the lake is not empty, and nothing says that %s wrote it: name an empty folder", e.Want.App)
	}
	return fmt.Sprintf("the lake belongs to %s, so %s does not write there: name another folder", e.Has.App, e.Want.App)
}

// OwnerOf returns whom a lake belongs to; the zero Owner if it does not say.
func OwnerOf(ctx context.Context, lake blob.Store) (Owner, error) {
	var o Owner
	text, err := blob.ReadAll(ctx, lake, OwnerKey, 4<<10)
	if errors.Is(err, blob.ErrNotFound) {
		return o, nil
	}
	if err == nil {
		err = json.Unmarshal(text, &o)
	}
	if err != nil {
		return o, fmt.Errorf("lake: owner: %w", err)
	}
	return o, nil
}

// Own makes a lake that of an application, for ever. A lake that belongs to
// another is an *OwnerError; so is, with empty, one that belongs to nobody and
// has any objects. Without empty, a lake from before owners were noted is
// taken as it is.
func Own(ctx context.Context, lake blob.Store, owner Owner, empty bool) error {
	has, err := OwnerOf(ctx, lake)
	if err != nil {
		return err
	}
	if has == (Owner{}) {
		if empty {
			found, err := lake.List(ctx, "", "", 1)
			if err != nil {
				return fmt.Errorf("lake: owner: %w", err)
			}
			if len(found) > 0 {
				return &OwnerError{Want: owner}
			}
		}
		text, err := json.Marshal(owner)
		if err != nil {
			return err
		}
		err = lake.Put(ctx, OwnerKey, blob.Bytes(append(text, '\n')))
		if err == nil {
			return nil
		}
		if !errors.Is(err, blob.ErrExists) {
			return fmt.Errorf("lake: owner: %w", err)
		}
		if has, err = OwnerOf(ctx, lake); err != nil {
			return err
		}
	}
	if has != owner {
		return &OwnerError{Has: has, Want: owner}
	}
	return nil
}
