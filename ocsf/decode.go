package ocsf

import (
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"time"
)

// A Tree is an OCSF event as nested maps, as encoding/json and YAML decode
// it: what people write in the cases of rules. Names may be dotted paths.
// Numbers may be of any Go type or json.Number; times may be RFC 3339 text;
// numbers of an enum may be captions.
type Tree = map[string]any

// AddTree gives a layout the slots that a tree needs. It returns all that
// cannot be an attribute.
func (l *Layout) AddTree(t Tree) []*PathError {
	w := treeWalk{add: true}
	w.object(l, t, "")
	return w.wrong
}

// FillTree puts a tree into the slots that AddTree made, in an event that was
// reset to a layout. It returns all values that do not fit.
func (e *Event) FillTree(t Tree) []*PathError {
	w := treeWalk{event: e}
	w.slots = func() []Value { return e.Slots }
	w.object(e.Layout, t, "")
	return w.wrong
}

// A treeWalk goes over a tree, to make slots or to fill them.
type treeWalk struct {
	add   bool
	event *Event
	// slots are those being filled: of the event, or of a row, which moves
	// when another is added.
	slots func() []Value
	above string // the path of the list that rows are in, with a dot
	wrong []*PathError
}

func (w *treeWalk) fail(o *Object, path, name, near, format string, args ...any) {
	w.wrong = append(w.wrong, &PathError{Object: o.Name, Path: w.above + path, Name: name, Reason: fmt.Sprintf(format, args...), Near: near})
}

// object walks the members of the object at prefix, which ends with a dot or
// is "".
func (w *treeWalk) object(l *Layout, t Tree, prefix string) {
	o := l.objectAt(prefix)
	for _, name := range slices.Sorted(maps.Keys(t)) {
		v := t[name]
		head, rest, isDotted := strings.Cut(name, ".")
		path := prefix + head
		a, ok := o.Attr(head)
		switch {
		case !ok:
			w.fail(o, path, head, nearest(head, o), "%s has no attribute %q", o.Name, head)
		case path == "unmapped" && l.Class != nil:
			w.unmapped(o, v, rest, isDotted)
		case a.Base == BaseObject && !a.Array:
			sub, ok := v.(Tree)
			if isDotted {
				sub, ok = Tree{rest: v}, true
			}
			if !ok {
				w.fail(o, path, head, "", "%q is an object (%s): give it attributes", head, a.Object.Name)
				continue
			}
			w.object(l, sub, path+".")
		case isDotted:
			w.fail(o, prefix+name, head, "", "%q has no attributes to name", head)
		default:
			w.value(l, o, a, path, v)
		}
	}
}

// unmapped keeps what has no attribute: a map of text, or one dotted key.
func (w *treeWalk) unmapped(o *Object, v any, key string, isDotted bool) {
	t, ok := v.(Tree)
	if isDotted {
		t, ok = Tree{key: v}, true
	}
	if !ok {
		w.fail(o, "unmapped", "unmapped", "", "unmapped is a map of text")
		return
	}
	if w.add {
		return
	}
	for _, k := range slices.Sorted(maps.Keys(t)) {
		text, ok := t[k].(string)
		if !ok {
			data, err := json.Marshal(t[k])
			if err != nil {
				w.fail(o, "unmapped."+k, k, "", "%v", err)
				continue
			}
			text = string(data)
		}
		w.event.AddUnmapped(k, text)
	}
}

func (w *treeWalk) value(l *Layout, o *Object, a *Attr, path string, v any) {
	slot, err := l.Add(path)
	if err != nil {
		w.fail(o, path, a.Name, "", "%v", err)
		return
	}
	if !a.Array {
		val, err := treeScalar(a, v)
		if err != nil {
			w.fail(o, path, a.Name, "", "%v", err)
		} else if !w.add {
			w.slots()[slot] = val
		}
		return
	}
	items, ok := v.([]any)
	if !ok {
		w.fail(o, path, a.Name, "", "a list must stand here")
		return
	}
	rows := l.slots[slot].Rows
	var list *List
	if !w.add {
		list = w.event.NewList(rows)
	}
	for _, item := range items {
		if rows != nil {
			w.row(rows, list, o, path, item)
			continue
		}
		val, err := treeScalar(a, item)
		if err != nil {
			w.fail(o, path, a.Name, "", "%v", err)
		} else if !w.add {
			list.Items = append(list.Items, val)
		}
	}
	if !w.add {
		w.slots()[slot] = ListValue(list)
	}
}

// row walks one element of a list of objects.
func (w *treeWalk) row(rows *Layout, list *List, o *Object, path string, item any) {
	t, ok := item.(Tree)
	if !ok {
		w.fail(o, path, path, "", "a list of objects must stand here")
		return
	}
	inner := treeWalk{add: w.add, event: w.event, above: w.above + path + "."}
	if !w.add {
		list.AddRow()
		at := list.Len() - 1
		inner.slots = func() []Value { return list.At(at) }
	}
	inner.object(rows, t, "")
	w.wrong = append(w.wrong, inner.wrong...)
}

func treeScalar(a *Attr, v any) (Value, error) {
	if a.Base == BaseJSON {
		text, err := json.Marshal(v)
		return JSONValue(string(text)), err
	}
	isTime := a.Base == BaseTimestamp || a.Base == BaseDatetime
	switch x := v.(type) {
	case string:
		switch {
		case a.Base == BaseString:
			return TextValue(x), nil
		case isTime:
			t, err := time.Parse(time.RFC3339, x)
			if err != nil {
				return Value{}, fmt.Errorf("%q is no time: write it as 2006-01-02T15:04:05Z", x)
			}
			return IntValue(t.UnixMilli()), nil
		case a.Enum != nil:
			if item, ok := a.Enum.ByCaption(x); ok {
				return IntValue(item.ID), nil
			}
			return Value{}, fmt.Errorf("%q is not one of %s", x, strings.Join(a.Enum.Captions(), ", "))
		}
	case bool:
		if a.Base == BaseBool {
			return BoolValue(x), nil
		}
	case time.Time: // YAML reads dates
		if isTime {
			return IntValue(x.UnixMilli()), nil
		}
	default:
		whole, f, ok := number(v)
		switch a.Base {
		case BaseInt, BaseLong, BaseTimestamp, BaseDatetime:
			if ok && f == math.Trunc(f) {
				return IntValue(whole), nil
			}
		case BaseFloat:
			if ok {
				return FloatValue(f), nil
			}
		}
	}
	return Value{}, fmt.Errorf("%v does not fit: %s", v, wants[a.Base])
}

var wants = map[Base]string{
	BaseString: "a text must stand here", BaseBool: "true or false must stand here", BaseInt: "a whole number must stand here",
	BaseLong: "a whole number must stand here", BaseFloat: "a number must stand here",
	BaseTimestamp: "a time or milliseconds must stand here", BaseDatetime: "a time or milliseconds must stand here",
}

// number is v as a whole number and as any number.
func number(v any) (whole int64, f float64, ok bool) {
	switch x := v.(type) {
	case int:
		return int64(x), float64(x), true
	case int64:
		return x, float64(x), true
	case uint64:
		return int64(x), float64(x), x <= math.MaxInt64
	case float64:
		return int64(x), x, math.Abs(x) < 1<<63
	case json.Number:
		if i, err := x.Int64(); err == nil {
			return i, float64(i), true
		}
		f, err := x.Float64()
		return int64(f), f, err == nil && math.Abs(f) < 1<<63
	}
	return 0, 0, false
}
