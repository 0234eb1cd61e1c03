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
// it: what people write in the cases of rules. Numbers may be int, int64,
// uint64, float64 or json.Number; times may be RFC 3339 text.
type Tree = map[string]any

// AddTree gives a layout the slots that a tree needs. The error is a
// *PathError, or says what cannot be an attribute.
func (l *Layout) AddTree(t Tree) error { return l.eachLeaf(t, "", l.addLeaf) }

// FillTree puts a tree into the slots that AddTree made, in an event that was
// reset to l.
func (e *Event) FillTree(t Tree) error {
	return e.Layout.eachLeaf(t, "", func(path string, a *Attr, v any) error {
		if path == "unmapped" {
			return e.fillUnmapped(v)
		}
		i := e.Layout.Slot(path)
		if i < 0 {
			return fmt.Errorf("%s has no slot", path)
		}
		val, err := e.treeValue(e.Layout.slots[i], v)
		if err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		e.Slots[i] = val
		return nil
	})
}

func (e *Event) fillUnmapped(v any) error {
	t, ok := v.(Tree)
	if !ok {
		return fmt.Errorf("unmapped must be a map of text")
	}
	for _, k := range slices.Sorted(maps.Keys(t)) {
		e.AddUnmapped(k, fmt.Sprint(t[k]))
	}
	return nil
}

// eachLeaf calls f for each value of a tree, in the order of the paths.
func (l *Layout) eachLeaf(t Tree, prefix string, f func(path string, a *Attr, v any) error) error {
	o := l.objectAt(prefix)
	for _, name := range slices.Sorted(maps.Keys(t)) {
		head, rest, dotted := strings.Cut(name, ".")
		a, ok := o.Attr(head)
		if !ok {
			return &PathError{o.Name, prefix + name, name, fmt.Sprintf("%s has no attribute %q", o.Name, head), nearest(head, o)}
		}
		v := t[name]
		if prefix == "" && head == "unmapped" {
			if err := f("unmapped", a, v); err != nil {
				return err
			}
			continue
		}
		if a.Base == BaseObject && !a.Array {
			sub, ok := v.(Tree)
			if dotted {
				sub, ok = Tree{rest: v}, true
			}
			if !ok {
				return fmt.Errorf("%s is an object (%s): give it attributes", prefix+name, a.Object.Name)
			}
			if err := l.eachLeaf(sub, prefix+head+".", f); err != nil {
				return err
			}
			continue
		}
		if dotted {
			return &PathError{o.Name, prefix + name, name, fmt.Sprintf("%q is no object", head), ""}
		}
		if err := f(prefix+name, a, v); err != nil {
			return err
		}
	}
	return nil
}

func (l *Layout) addLeaf(path string, a *Attr, v any) error {
	if path == "unmapped" {
		return nil
	}
	i, err := l.Add(path)
	if err != nil {
		return err
	}
	rows := l.slots[i].Rows
	if rows == nil {
		return nil
	}
	list, ok := v.([]any)
	if !ok {
		return fmt.Errorf("%s must be a list of objects", path)
	}
	for _, item := range list {
		row, ok := item.(Tree)
		if !ok {
			return fmt.Errorf("%s must be a list of objects", path)
		}
		if err := rows.AddTree(row); err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
	}
	return nil
}

func (e *Event) treeValue(s SlotInfo, v any) (Value, error) {
	if !s.Attr.Array {
		return treeScalar(s.Attr, v)
	}
	items, ok := v.([]any)
	if !ok {
		return Value{}, fmt.Errorf("must be a list")
	}
	list := e.NewList(s.Rows)
	for _, item := range items {
		if s.Rows == nil {
			val, err := treeScalar(s.Attr, item)
			if err != nil {
				return Value{}, err
			}
			list.Items = append(list.Items, val)
			continue
		}
		list.AddRow()
		at := list.Len() - 1
		err := s.Rows.eachLeaf(item.(Tree), "", func(path string, _ *Attr, v any) error {
			i := s.Rows.Slot(path)
			val, err := e.treeValue(s.Rows.slots[i], v)
			if err == nil {
				list.At(at)[i] = val
			}
			return err
		})
		if err != nil {
			return Value{}, err
		}
	}
	return ListValue(list), nil
}

func treeScalar(a *Attr, v any) (Value, error) {
	if a.Base == BaseJSON {
		text, err := json.Marshal(v)
		return JSONValue(string(text)), err
	}
	switch x := v.(type) {
	case string:
		switch a.Base {
		case BaseString:
			return TextValue(x), nil
		case BaseTimestamp, BaseDatetime:
			t, err := time.Parse(time.RFC3339, x)
			return IntValue(t.UnixMilli()), err
		}
		if a.Enum != nil {
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
		if a.Base == BaseTimestamp || a.Base == BaseDatetime {
			return IntValue(x.UnixMilli()), nil
		}
	default:
		if f, ok := number(v); ok {
			switch a.Base {
			case BaseInt, BaseLong, BaseTimestamp, BaseDatetime:
				if f == math.Trunc(f) && math.Abs(f) < 1<<63 {
					return IntValue(int64(f)), nil
				}
			case BaseFloat:
				return FloatValue(f), nil
			}
		}
	}
	return Value{}, fmt.Errorf("%v (%T) is of the wrong type", v, v)
}

func number(v any) (float64, bool) {
	switch x := v.(type) {
	case int:
		return float64(x), true
	case int64:
		return float64(x), true
	case uint64:
		return float64(x), true
	case float64:
		return x, true
	case json.Number:
		f, err := x.Float64()
		return f, err == nil
	}
	return 0, false
}
