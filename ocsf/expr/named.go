package expr

import (
	"strconv"

	"github.com/google/cel-go/common/types"
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
	n.node().spendBytes()
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

// unfold is unfold(): an object for every element of a list that an object
// has, with the members of both and the element's place as index. What the
// object is told once counts for each; where both have a member, the element's
// stays. The member called pairs is named(). An object in place of the list is
// one element without an index; without elements the object is the only one.
func unfold(args ...ref.Val) ref.Val {
	list, ok1 := args[1].(types.String)
	pairs, ok2 := args[2].(types.String)
	n, ok := args[0].(noded)
	if !ok || !ok1 || !ok2 || n.node().doc.Nodes[n.node().at].Kind != rawjson.Object {
		return types.NewErr("unfold takes an object and two names")
	}
	d, object := n.node().doc, n.node().at
	dst := []byte{'['}
	row := func(element int32, place int) {
		from, width := len(dst), StepCost(d.Count(max(element, 0)))
		if len(dst) > 1 {
			dst = append(dst, ',')
		}
		dst = append(dst, '{')
		member := func(k int32) {
			if dst[len(dst)-1] != '{' {
				dst = append(dst, ',')
			}
			dst = append(rawjson.AppendText(dst, d.Name(k)), ':')
			if start := len(dst); d.Name(k) == string(pairs) {
				var ok bool
				if dst, ok = appendNamed(dst, d, k); ok {
					return
				}
				dst = dst[:start]
			}
			dst = append(dst, d.JSON(k)...)
		}
		for k := range children(d, object) {
			n.node().vars.spend(width)
			_, ok := d.Child(max(element, 0), d.Name(k))
			if element < 0 || !ok && d.Name(k) != string(list) {
				member(k)
			}
		}
		if element >= 0 && d.Nodes[element].Kind == rawjson.Object {
			for k := range children(d, element) {
				if d.Name(k) != "index" || place < 0 {
					member(k)
				}
			}
			if dst[len(dst)-1] != '{' && place >= 0 {
				dst = append(dst, ',')
			}
			if place >= 0 {
				dst = strconv.AppendInt(append(dst, `"index":`...), int64(place), 10)
			}
		} else if element >= 0 {
			if dst[len(dst)-1] != '{' {
				dst = append(dst, ',')
			}
			dst = append(append(rawjson.AppendText(dst, string(list)), ':'), d.JSON(element)...)
		}
		dst = append(dst, '}')
		n.node().vars.spend(int64(len(dst)-from) / textAUnit)
	}
	place := 0
	switch l, ok := d.Child(object, string(list)); {
	case ok && d.Nodes[l].Kind == rawjson.Array:
		for e := range children(d, l) {
			row(e, place)
			place++
		}
	case ok && d.Nodes[l].Kind == rawjson.Object:
		row(l, -1) // one of several, most likely, by somebody who took them apart
	}
	if len(dst) == 1 {
		row(-1, 0)
	}
	return parseJSON(string(append(dst, ']')))
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
