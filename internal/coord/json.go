package coord

import (
	"context"
	"encoding/json"
	"fmt"
)

// GetJSON reads a row and decodes its value into v. It returns the row's
// version, or 0 and ErrNotFound.
func GetJSON(ctx context.Context, s Store, part, sort string, v any) (int64, error) {
	r, err := s.Get(ctx, part, sort)
	if err != nil {
		return 0, err
	}
	if err := json.Unmarshal(r.Value, v); err != nil {
		return 0, fmt.Errorf("coord: row %s %s: %w", part, sort, err)
	}
	return r.Version, nil
}

// PutJSON encodes v and writes it as Put does.
func PutJSON(ctx context.Context, s Store, part, sort string, v any, ifVersion int64) (int64, error) {
	b, err := json.Marshal(v)
	if err != nil {
		return 0, fmt.Errorf("coord: row %s %s: %w", part, sort, err)
	}
	return s.Put(ctx, part, sort, b, ifVersion)
}

// All lists a whole part, page by page. Rows written meanwhile may be missing.
func All(ctx context.Context, s Store, part string) ([]Row, error) {
	const page = 500
	var all []Row
	for after := ""; ; {
		rows, err := s.List(ctx, part, after, page)
		if err != nil {
			return nil, err
		}
		all = append(all, rows...)
		if len(rows) < page {
			return all, nil
		}
		after = rows[len(rows)-1].Sort
	}
}
