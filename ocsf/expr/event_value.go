package expr

import (
	"errors"
	"fmt"
	"reflect"
	"time"

	"github.com/google/cel-go/common/types"
	"github.com/google/cel-go/common/types/ref"

	"nagare"
	"nagare/ocsf"
)

// A view is an object of a layout as CEL walks it: for each attribute of its
// record the slot, or the view of the object below. It is built once for an
// environment and a layout.
type view struct {
	record *record
	kids   []kid
}

// A kid is one attribute: a slot, or an object. slot is -1 and object nil when
// the layout has neither.
type kid struct {
	slot   int
	object *view
	under  []int // slots below object, for has()
	rows   *view // of an array of objects
}

// newView builds the view of record in a layout, below a prefix that ends with
// a dot or is "".
func newView(r *record, l *ocsf.Layout, prefix string) *view {
	v := &view{record: r, kids: make([]kid, len(r.attrs))}
	for i, a := range r.attrs {
		k := kid{slot: -1}
		path := prefix + a.Name
		if a.Base == ocsf.BaseObject && !a.Array {
			k.under = l.Under(path + ".")
			if len(k.under) > 0 {
				k.object = newView(r.below[i], l, path+".")
			}
		} else if k.slot = l.Slot(path); k.slot >= 0 && a.Base == ocsf.BaseObject {
			k.rows = newView(r.below[i], l.Info(k.slot).Rows, "")
		}
		v.kids[i] = k
	}
	return v
}

// An object is an event, or an object in it, as a CEL value.
type object struct {
	record *record
	view   *view // nil: the layout has nothing of it
	slots  []ocsf.Value
	event  *ocsf.Event // for unmapped; nil below the event
}

func (o *object) hasField(i int) bool {
	if o.event != nil && isUnmapped(o.record.attrs[i]) {
		return len(o.event.Unmapped) > 0
	}
	if o.view == nil {
		return false
	}
	k := &o.view.kids[i]
	if k.slot >= 0 {
		return o.slots[k.slot].Has()
	}
	for _, s := range k.under {
		if o.slots[s].Has() {
			return true
		}
	}
	return false
}

func (o *object) field(i int) ref.Val {
	a := o.record.attrs[i]
	if o.event != nil && isUnmapped(a) {
		return &unmappedMap{o.event.Unmapped}
	}
	if o.view == nil {
		return o.nothing(i)
	}
	k := &o.view.kids[i]
	if k.object != nil {
		return &object{record: k.object.record, view: k.object, slots: o.slots}
	}
	if k.slot < 0 || !o.slots[k.slot].Has() {
		return o.nothing(i)
	}
	v := o.slots[k.slot]
	if l := v.List(); l != nil {
		return &slotList{attr: a, rows: k.rows, list: l}
	}
	return scalar(a, v)
}

// nothing is what an absent attribute reads as.
func (o *object) nothing(i int) ref.Val {
	if a := o.record.attrs[i]; a.Base != ocsf.BaseObject || a.Array {
		return zeroOf(a)
	}
	return o.record.below[i].none
}

func scalar(a *ocsf.Attr, v ocsf.Value) ref.Val {
	switch v.Kind() {
	case ocsf.Bool:
		return types.Bool(v.Bool())
	case ocsf.Int:
		if a.Base == ocsf.BaseDatetime {
			return types.Timestamp{Time: time.UnixMilli(v.Int()).UTC()}
		}
		if a.Base == ocsf.BaseFloat {
			return types.Double(v.Float())
		}
		return types.Int(v.Int())
	case ocsf.Float:
		return types.Double(v.Float())
	}
	return types.String(v.Text())
}

var errNoConversion = errors.New("an OCSF object cannot be converted")

// ConvertToNative implements ref.Val.
func (o *object) ConvertToNative(reflect.Type) (any, error) { return nil, errNoConversion }

// ConvertToType implements ref.Val.
func (o *object) ConvertToType(t ref.Type) ref.Val {
	return types.NewErr("%s cannot become %s", o.record.name, t.TypeName())
}

// Equal implements ref.Val. No expression that loads compares objects.
func (o *object) Equal(other ref.Val) ref.Val { return types.Bool(o == other) }

// Type implements ref.Val.
func (o *object) Type() ref.Type { return types.NewObjectType(o.record.name) }

// Value implements ref.Val.
func (o *object) Value() any { return o }

// metaValue is meta.
type metaValue struct{ ev *nagare.Event }

func (m *metaValue) hasField(i int) bool {
	return metaAttrs[i].Name != "tenant" || m.ev.Tenant != ""
}

func (m *metaValue) field(i int) ref.Val {
	switch metaAttrs[i].Name {
	case "source":
		return types.String(m.ev.Source)
	case "uid":
		return types.String(m.ev.UID)
	case "received":
		return types.Timestamp{Time: m.ev.Received.UTC()}
	case "auth":
		return types.String(m.ev.Auth)
	case "tenant":
		return types.String(m.ev.Tenant)
	}
	panic(fmt.Sprintf("expr: meta has no field %d", i))
}

// ConvertToNative implements ref.Val.
func (m *metaValue) ConvertToNative(reflect.Type) (any, error) { return nil, errNoConversion }

// ConvertToType implements ref.Val.
func (m *metaValue) ConvertToType(t ref.Type) ref.Val {
	return types.NewErr("meta cannot become %s", t.TypeName())
}

// Equal implements ref.Val.
func (m *metaValue) Equal(other ref.Val) ref.Val { return types.Bool(m == other) }

// Type implements ref.Val.
func (m *metaValue) Type() ref.Type { return types.NewObjectType(metaType) }

// Value implements ref.Val.
func (m *metaValue) Value() any { return m }
