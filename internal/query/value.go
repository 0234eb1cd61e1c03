package query

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math"
	"math/big"
	"strconv"
	"time"
)

// A number is a decimal number of any size, as text.
type number string

func (n number) String() string { return string(n) }

// pairs are the entries of a map, in order.
type pairs struct{ keys, values []any }

// appendJSON adds a value as JSON. Numbers keep every digit, times are in UTC,
// bytes are hexadecimal, and a float that JSON has no number for is a string.
func appendJSON(dst []byte, v any, t *sqlType) []byte {
	switch v := v.(type) {
	case nil:
		return append(dst, "null"...)
	case bool:
		return strconv.AppendBool(dst, v)
	case number:
		return append(dst, v...)
	case *big.Int:
		return v.Append(dst, 10)
	case float64:
		return appendFloat(dst, v, 64)
	case float32:
		return appendFloat(dst, float64(v), 32)
	case int8, int16, int32, int64, uint8, uint16, uint32, uint64, int:
		return fmt.Append(dst, v)
	case []any:
		dst = append(dst, '[')
		for i, e := range v {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = appendJSON(dst, e, elem(t))
		}
		return append(dst, ']')
	case map[string]any:
		return appendStruct(dst, v, t)
	case pairs:
		dst = append(dst, '{')
		for i, k := range v.keys {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = appendString(dst, format(k, key(t)))
			dst = append(dst, ':')
			dst = appendJSON(dst, v.values[i], elem(t))
		}
		return append(dst, '}')
	case string:
		if t != nil && t.kind == "JSON" && json.Valid([]byte(v)) {
			return append(dst, v...)
		}
		return appendString(dst, v)
	default:
		return appendString(dst, format(v, t))
	}
}

// appendStruct adds the fields in the order of the type.
func appendStruct(dst []byte, v map[string]any, t *sqlType) []byte {
	dst = append(dst, '{')
	n := 0
	add := func(name string, value any, typ *sqlType) {
		if n > 0 {
			dst = append(dst, ',')
		}
		n++
		dst = appendString(dst, name)
		dst = append(dst, ':')
		dst = appendJSON(dst, value, typ)
	}
	if t == nil || len(t.fields) == 0 { // parsed JSON, say
		b, err := json.Marshal(v)
		if err != nil {
			return appendString(dst[:len(dst)-1], fmt.Sprint(v))
		}
		return append(dst[:len(dst)-1], b...)
	}
	for _, f := range t.fields {
		add(f.name, v[f.name], f.typ)
	}
	return append(dst, '}')
}

func elem(t *sqlType) *sqlType {
	if t == nil {
		return nil
	}
	return t.elem
}

func key(t *sqlType) *sqlType {
	if t == nil {
		return nil
	}
	return t.key
}

// format is a value as text, as tables and CSV show it. NULL is "".
func format(v any, t *sqlType) string {
	kind := ""
	if t != nil {
		kind = t.kind
	}
	switch v := v.(type) {
	case nil:
		return ""
	case string:
		return v
	case time.Time:
		return formatTime(v, kind)
	case []byte:
		if kind == "UUID" && len(v) == 16 {
			return fmt.Sprintf("%x-%x-%x-%x-%x", v[:4], v[4:6], v[6:8], v[8:10], v[10:])
		}
		return hex.EncodeToString(v)
	case fmt.Stringer:
		return v.String()
	case float64:
		return strconv.FormatFloat(v, 'g', -1, 64)
	case float32:
		return strconv.FormatFloat(float64(v), 'g', -1, 32)
	case []any, map[string]any, pairs:
		return string(appendJSON(nil, v, t))
	default:
		return fmt.Sprint(v)
	}
}

func formatTime(t time.Time, kind string) string {
	switch kind {
	case "DATE":
		return t.Format(time.DateOnly)
	case "TIME":
		return t.Format("15:04:05.999999")
	case "TIMETZ", "TIME WITH TIME ZONE":
		return t.Format("15:04:05.999999Z07:00")
	case "TIMESTAMPTZ", "TIMESTAMP WITH TIME ZONE":
		return t.UTC().Format(time.RFC3339Nano)
	}
	return t.UTC().Format("2006-01-02T15:04:05.999999999") // no zone is known
}

func appendFloat(dst []byte, f float64, bits int) []byte {
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return appendString(dst, strconv.FormatFloat(f, 'g', -1, bits))
	}
	return strconv.AppendFloat(dst, f, 'g', -1, bits)
}

func appendString(dst []byte, s string) []byte {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(s); err != nil {
		return append(dst, `""`...)
	}
	return append(dst, bytes.TrimRight(b.Bytes(), "\n")...)
}
