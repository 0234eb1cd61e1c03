package lake

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"nagare/internal/blob"
)

// VersionKey is the object that says which version of OCSF a lake is written
// in. It is not below ext/, where crawlers look for tables.
const VersionKey = "ocsf.version"

// firstVersion is what lakes are written in that do not say so: those from
// before there was a choice.
const firstVersion = "1.3.0"

// A VersionError says that a lake is written in another version of OCSF.
// Tables of two versions have different types for one column, which readers
// of a whole lake refuse.
type VersionError struct{ Has, Want string }

func (e *VersionError) Error() string {
	return fmt.Sprintf("the lake is written in OCSF %s, and OCSF %s is asked for: its files must not mix; set lake.ocsf to %[1]q, or name another folder in lake.dir", e.Has, e.Want)
}

// Version returns the version of OCSF that a lake is written in; "" if it is
// empty.
func Version(ctx context.Context, lake blob.Store) (string, error) {
	text, err := blob.ReadAll(ctx, lake, VersionKey, 64)
	switch {
	case err == nil:
		return strings.TrimSpace(string(text)), nil
	case !errors.Is(err, blob.ErrNotFound):
		return "", fmt.Errorf("lake: version: %w", err)
	}
	objects, err := lake.List(ctx, "ext/", "", 1)
	if err != nil {
		return "", fmt.Errorf("lake: version: %w", err)
	}
	if len(objects) > 0 {
		return firstVersion, nil
	}
	return "", nil
}

// Claim makes a lake one of a version of OCSF, for ever. It is a *VersionError
// if it is one of another version already; of two processes that claim an
// empty lake at once, one wins.
func Claim(ctx context.Context, lake blob.Store, version string) error {
	has, err := Version(ctx, lake)
	if err != nil {
		return err
	}
	if has == "" || has == version {
		err := lake.Put(ctx, VersionKey, blob.Bytes([]byte(version+"\n")))
		if err == nil {
			return nil
		}
		if !errors.Is(err, blob.ErrExists) {
			return fmt.Errorf("lake: version: %w", err)
		}
		if has, err = Version(ctx, lake); err != nil {
			return err
		}
	}
	if has != version {
		return &VersionError{Has: has, Want: version}
	}
	return nil
}
