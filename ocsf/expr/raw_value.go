package expr

import (
	"encoding/base64"
	"math"
	"strconv"
	"time"

	"github.com/google/cel-go/common/types"
	"github.com/google/cel-go/common/types/ref"
	"github.com/google/cel-go/common/types/traits"

	"nagare/ocsf/rawjson"
)

// A RawKind says what a RawValue holds.
type RawKind uint8

// The kinds. RawAny is only a static type: known when an event is there.
const (
	RawAbsent RawKind = iota
	RawBool
	RawInt
	RawFloat
	RawText
	RawTime // milliseconds
	RawNode // a value of a document, of any JSON kind
	RawList
	RawJSON // JSON text
	RawAny
)

// A RawValue is what an expression gives. It is small: it is passed by value
// for every attribute of every event.
type RawValue struct {
	Kind RawKind
	Node int32
	Num  int64 // int, time, bool as 0 and 1; the bits of a float
	Text string
	Doc  *rawjson.Doc
	list *[]RawValue
}

// FloatValue is a number that is not whole.
func FloatValue(f float64) RawValue {
	return RawValue{Kind: RawFloat, Num: int64(math.Float64bits(f))}
}

// ListValue is a list.
func ListValue(elements []RawValue) RawValue { return RawValue{Kind: RawList, list: &elements} }

// Real is the value of a float.
func (v *RawValue) Real() float64 { return math.Float64frombits(uint64(v.Num)) }

// Elements are those of a list.
func (v *RawValue) Elements() []RawValue {
	if v.list == nil {
		return nil
	}
	return *v.list
}

// NodeValue is a node as a value; null is absent.
func NodeValue(d *rawjson.Doc, node int32) RawValue {
	if d.Nodes[node].Kind == rawjson.Null {
		return RawValue{}
	}
	return RawValue{Kind: RawNode, Doc: d, Node: node}
}

// Has says whether there is a value.
func (v RawValue) Has() bool { return v.Kind != RawAbsent }

// Empty says whether v says nothing: it is absent, an empty text or an empty
// list.
func (v *RawValue) Empty() bool {
	switch v.Kind {
	case RawAbsent:
		return true
	case RawText:
		return v.Text == ""
	case RawList:
		return len(v.Elements()) == 0
	case RawNode:
		n := &v.Doc.Nodes[v.Node]
		return n.Kind == rawjson.Null || n.Kind == rawjson.String && n.End-n.Start == 2 || n.Kind == rawjson.Array && n.Next == v.Node+1
	}
	return false
}

// Scalar is the text of a scalar as it is written: of a number its digits.
func (v RawValue) Scalar() (string, bool) {
	switch v.Kind {
	case RawBool:
		return strconv.FormatBool(v.Num != 0), true
	case RawInt:
		return strconv.FormatInt(v.Num, 10), true
	case RawFloat:
		return strconv.FormatFloat(v.Real(), 'g', -1, 64), true
	case RawText:
		return v.Text, true
	case RawTime:
		return time.UnixMilli(v.Num).UTC().Format(time.RFC3339Nano), true
	case RawNode:
		if v.Doc.Nodes[v.Node].Kind < rawjson.Object {
			return v.Doc.Literal(v.Node), true
		}
	}
	return "", false
}

// AppendJSON appends the value as JSON.
func (v RawValue) AppendJSON(dst []byte) []byte {
	switch v.Kind {
	case RawAbsent:
		return append(dst, "null"...)
	case RawNode:
		return append(dst, v.Doc.JSON(v.Node)...)
	case RawJSON:
		return append(dst, v.Text...)
	case RawList:
		dst = append(dst, '[')
		for i, e := range v.Elements() {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = e.AppendJSON(dst)
		}
		return append(dst, ']')
	case RawFloat:
		if math.IsNaN(v.Real()) || math.IsInf(v.Real(), 0) {
			return append(dst, "null"...)
		}
	}
	s, _ := v.Scalar()
	if v.Kind == RawText || v.Kind == RawTime {
		return rawjson.AppendText(dst, s)
	}
	return append(dst, s...)
}

// valueOf takes a value over from CEL, without a bound.
func valueOf(v ref.Val) RawValue { return (*RawVars)(nil).valueOf(v) }

// valueOf takes a result over from CEL. What is written as JSON for it is taken
// from what is left; where that ends, the value is cut short.
func (vars *RawVars) valueOf(v ref.Val) RawValue {
	switch v := v.(type) {
	case types.Bool:
		if v {
			return RawValue{Kind: RawBool, Num: 1}
		}
		return RawValue{Kind: RawBool}
	case types.Int:
		return RawValue{Kind: RawInt, Num: int64(v)}
	case types.Uint:
		if v <= math.MaxInt64 {
			return RawValue{Kind: RawInt, Num: int64(v)}
		}
		return RawValue{Kind: RawText, Text: strconv.FormatUint(uint64(v), 10)}
	case types.Double:
		return FloatValue(float64(v))
	case types.String:
		return RawValue{Kind: RawText, Text: string(v)}
	case types.Bytes:
		return RawValue{Kind: RawText, Text: base64.StdEncoding.EncodeToString(v)}
	case types.Timestamp:
		return RawValue{Kind: RawTime, Num: v.UnixMilli()}
	case types.Duration:
		return RawValue{Kind: RawInt, Num: v.Milliseconds()}
	case *types.Optional:
		if v.HasValue() {
			return vars.valueOf(v.GetValue())
		}
	case noded:
		return NodeValue(v.node().doc, v.node().at)
	case *rowVal:
		return rowJSON(v.row)
	case traits.Lister:
		if vars != nil {
			if vars.Left -= countOf(v); vars.Left < 0 || countOf(v) > ProgramWork {
				vars.Left = min(vars.Left, 0) - 1
				return RawValue{}
			}
		}
		var out []RawValue
		for it := v.Iterator(); it.HasNext() == types.True; {
			if e := vars.valueOf(it.Next()); e.Has() {
				out = append(out, e)
			}
			if vars != nil && vars.Left < 0 {
				break
			}
		}
		return ListValue(out)
	case traits.Mapper:
		return vars.mapJSON(v)
	}
	return RawValue{}
}

// mapJSON turns a map made by an expression into JSON, ordered by key: the
// same event must always give the same bytes.
func (vars *RawVars) mapJSON(m traits.Mapper) RawValue {
	row := Row{}
	cost := int64(0)
	for it := m.Iterator(); it.HasNext() == types.True; {
		k := it.Next()
		if key, ok := valueOf(k).Scalar(); ok {
			if v := vars.valueOf(m.Get(k)); v.Has() {
				row[key] = v
				cost += v.Cost()
			}
		}
	}
	if vars != nil {
		if vars.Left -= cost; vars.Left < 0 {
			return RawValue{}
		}
	}
	return rowJSON(row)
}

// celOf gives a value to CEL.
func celOf(vars *RawVars, v RawValue) ref.Val {
	switch v.Kind {
	case RawBool:
		return types.Bool(v.Num != 0)
	case RawInt:
		return types.Int(v.Num)
	case RawFloat:
		return types.Double(v.Real())
	case RawText:
		return types.String(v.Text)
	case RawTime:
		return types.Timestamp{Time: time.UnixMilli(v.Num).UTC()}
	case RawNode:
		return nodeVal(vars, v.Doc, v.Node)
	case RawList:
		out := make([]ref.Val, len(v.Elements()))
		for i, e := range v.Elements() {
			out[i] = celOf(vars, e)
		}
		return types.NewRefValList(types.DefaultTypeAdapter, out)
	case RawJSON:
		return parseJSON(v.Text)
	}
	return types.NullValue
}
