package expr

import (
	"github.com/google/cel-go/common/types/ref"

	"nagare/ocsf/rawjson"
)

// named is named(): an object of a list of names and values, as sources write
// what others write as an object: [{"name": "a", "value": 1}] is {"a": 1}. The
// value is the one other member, whatever it is called; where there are more,
// the element as it is. Of a name that comes twice the last counts, as it does
// in JSON. What is no such list stays itself.
func named(v ref.Val) ref.Val {
	n, ok := v.(noded)
	if !ok {
		return v
	}
	dst, ok := appendNamed(nil, n.node().doc, n.node().at)
	if !ok {
		return v
	}
	return parseJSON(string(dst))
}

func appendNamed(dst []byte, d *rawjson.Doc, list int32) ([]byte, bool) {
	if d.Nodes[list].Kind != rawjson.Array {
		return dst, false
	}
	dst = append(dst, '{')
	for i := range children(d, list) {
		name, value := int32(-1), int32(-1)
		others := 0
		if d.Nodes[i].Kind != rawjson.Object {
			return dst, false
		}
		for k := range children(d, i) {
			switch d.Name(k) {
			case "name", "Name", "key", "Key":
				name = k
			default:
				value = k
				others++
			}
		}
		if name < 0 || d.Nodes[name].Kind != rawjson.String {
			return dst, false
		}
		if dst[len(dst)-1] != '{' {
			dst = append(dst, ',')
		}
		dst = append(rawjson.AppendText(dst, d.Text(name)), ':')
		switch others {
		case 0:
			dst = append(dst, "null"...)
		case 1:
			dst = appendMessage(dst, d, value)
		default:
			dst = append(dst, d.JSON(i)...)
		}
	}
	return append(dst, '}'), true
}

// appendMessage writes a value. {"parameter": [names and values]} is how
// Google nests them; it is an object too.
func appendMessage(dst []byte, d *rawjson.Doc, i int32) []byte {
	start := len(dst)
	switch d.Nodes[i].Kind {
	case rawjson.Object:
		if p, ok := d.Child(i, "parameter"); ok && d.Count(i) == 1 {
			if out, ok := appendNamed(dst, d, p); ok {
				return out
			}
		}
	case rawjson.Array:
		dst = append(dst, '[')
		for k := range children(d, i) {
			if len(dst) > start+1 {
				dst = append(dst, ',')
			}
			dst = appendMessage(dst, d, k)
		}
		return append(dst, ']')
	}
	return append(dst[:start], d.JSON(i)...)
}

// children are the members or elements of a node.
func children(d *rawjson.Doc, i int32) func(func(int32) bool) {
	return func(yield func(int32) bool) {
		for k := i + 1; k < d.Nodes[i].Next; k = d.Nodes[k].Next {
			if d.Live(k) && !yield(k) {
				return
			}
		}
	}
}
