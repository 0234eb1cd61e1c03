package query

import (
	"database/sql"
	"maps"
	"slices"
)

// namedArgs are the values of $name in SQL.
func namedArgs(values map[string]any) []any {
	var out []any
	for _, name := range slices.Sorted(maps.Keys(values)) {
		out = append(out, sql.Named(name, values[name]))
	}
	return out
}
