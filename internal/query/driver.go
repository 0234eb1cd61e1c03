//go:build cgo && !nosql

package query

import (
	"fmt"
	"strings"
	"time"

	"github.com/duckdb/duckdb-go/v2"
)

// plain turns the driver's own types into ours.
func plain(v any) any {
	switch v := v.(type) {
	case []any:
		for i := range v {
			v[i] = plain(v[i])
		}
	case map[string]any:
		for k := range v {
			v[k] = plain(v[k])
		}
	case duckdb.OrderedMap:
		m := pairs{v.Keys(), v.Values()}
		for i := range m.keys {
			m.keys[i], m.values[i] = plain(m.keys[i]), plain(m.values[i])
		}
		return m
	case duckdb.Decimal:
		return number(v.String())
	case duckdb.Union:
		return plain(v.Value)
	case duckdb.Interval:
		return interval{v.Months, v.Days, v.Micros}
	case duckdb.UUID:
		return v.String()
	}
	return v
}

// An interval is a span of the calendar.
type interval struct {
	months, days int32
	micros       int64
}

func (i interval) String() string {
	var parts []string
	for _, p := range []struct {
		n    int32
		unit string
	}{{i.months, "month"}, {i.days, "day"}} {
		switch p.n {
		case 0:
		case 1, -1:
			parts = append(parts, fmt.Sprintf("%d %s", p.n, p.unit))
		default:
			parts = append(parts, fmt.Sprintf("%d %ss", p.n, p.unit))
		}
	}
	if i.micros != 0 || len(parts) == 0 {
		parts = append(parts, (time.Duration(i.micros) * time.Microsecond).String())
	}
	return strings.Join(parts, " ")
}
