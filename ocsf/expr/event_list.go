package expr

import (
	"errors"
	"reflect"

	"github.com/google/cel-go/common/types"
	"github.com/google/cel-go/common/types/ref"
	"github.com/google/cel-go/common/types/traits"

	"nagare/ocsf"
)

// A slotList is a list of an event as CEL sees it: its elements are made when
// they are asked for.
type slotList struct {
	attr *ocsf.Attr
	rows *view // of a list of objects
	list *ocsf.List
}

func (l *slotList) at(i int) ref.Val {
	if l.rows != nil {
		return &object{record: l.rows.record, view: l.rows, slots: l.list.At(i)}
	}
	return scalar(l.attr, l.list.Items[i])
}

// all is the list with all its elements made, for what is rarely asked.
func (l *slotList) all() traits.Lister {
	items := make([]ref.Val, l.list.Len())
	for i := range items {
		items[i] = l.at(i)
	}
	return types.NewRefValList(types.DefaultTypeAdapter, items)
}

// Get implements traits.Indexer.
func (l *slotList) Get(index ref.Val) ref.Val {
	i, err := types.IndexOrError(index)
	if err != nil {
		return types.WrapErr(err)
	}
	if i < 0 || i >= l.list.Len() {
		return types.WrapErr(errAbsent)
	}
	return l.at(i)
}

// Contains implements traits.Container.
func (l *slotList) Contains(v ref.Val) ref.Val {
	for i := range l.list.Len() {
		if types.Equal(l.at(i), v) == types.True {
			return types.True
		}
	}
	return types.False
}

// Size implements traits.Sizer.
func (l *slotList) Size() ref.Val { return types.Int(l.list.Len()) }

// Iterator implements traits.Iterable.
func (l *slotList) Iterator() traits.Iterator { return &listIterator{list: l} }

// Add implements traits.Adder.
func (l *slotList) Add(other ref.Val) ref.Val { return l.all().Add(other) }

// ConvertToNative implements ref.Val.
func (l *slotList) ConvertToNative(t reflect.Type) (any, error) { return l.all().ConvertToNative(t) }

// ConvertToType implements ref.Val.
func (l *slotList) ConvertToType(t ref.Type) ref.Val { return l.all().ConvertToType(t) }

// Equal implements ref.Val.
func (l *slotList) Equal(other ref.Val) ref.Val { return l.all().Equal(other) }

// Type implements ref.Val.
func (l *slotList) Type() ref.Type { return types.ListType }

// Value implements ref.Val.
func (l *slotList) Value() any { return l.all().Value() }

// A listIterator goes over the elements of a slotList.
type listIterator struct {
	types.Unknown // the parts of ref.Val that nobody calls
	list          *slotList
	next          int
}

// HasNext implements traits.Iterator.
func (it *listIterator) HasNext() ref.Val { return types.Bool(it.next < it.list.list.Len()) }

// Next implements traits.Iterator.
func (it *listIterator) Next() ref.Val {
	if it.next >= it.list.list.Len() {
		return nil
	}
	it.next++
	return it.list.at(it.next - 1)
}

// errAbsent is what reading something that is not there comes to: a key of
// unmapped, or an element past the end. It makes a condition false and a text
// empty, and is no failure.
var errAbsent = errors.New("it is not there")

// An unmappedMap is the event's unmapped fields, looked up where they are.
type unmappedMap struct{ pairs []ocsf.Pair }

func (m *unmappedMap) all() traits.Mapper {
	out := make(map[string]string, len(m.pairs))
	for _, p := range m.pairs {
		out[p.Key] = p.Value
	}
	return types.NewStringStringMap(types.DefaultTypeAdapter, out)
}

// Find implements traits.Mapper. Of a key that is there twice the last counts.
func (m *unmappedMap) Find(key ref.Val) (ref.Val, bool) {
	k, ok := key.(types.String)
	if !ok {
		return nil, false
	}
	for i := len(m.pairs) - 1; i >= 0; i-- {
		if m.pairs[i].Key == string(k) {
			return types.String(m.pairs[i].Value), true
		}
	}
	return nil, false
}

// Get implements traits.Indexer.
func (m *unmappedMap) Get(key ref.Val) ref.Val {
	if v, ok := m.Find(key); ok {
		return v
	}
	return types.WrapErr(errAbsent)
}

// Contains implements traits.Container.
func (m *unmappedMap) Contains(key ref.Val) ref.Val {
	_, ok := m.Find(key)
	return types.Bool(ok)
}

// Size implements traits.Sizer.
func (m *unmappedMap) Size() ref.Val { return m.all().Size() }

// Iterator implements traits.Iterable.
func (m *unmappedMap) Iterator() traits.Iterator { return m.all().Iterator() }

// ConvertToNative implements ref.Val.
func (m *unmappedMap) ConvertToNative(t reflect.Type) (any, error) { return m.all().ConvertToNative(t) }

// ConvertToType implements ref.Val.
func (m *unmappedMap) ConvertToType(t ref.Type) ref.Val { return m.all().ConvertToType(t) }

// Equal implements ref.Val.
func (m *unmappedMap) Equal(other ref.Val) ref.Val { return m.all().Equal(other) }

// Type implements ref.Val.
func (m *unmappedMap) Type() ref.Type { return types.MapType }

// Value implements ref.Val.
func (m *unmappedMap) Value() any { return m.all().Value() }
