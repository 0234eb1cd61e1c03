package ocsf

import "math"

// A Kind says what a Value holds.
type Kind uint8

// The kinds of values.
const (
	Absent Kind = iota
	Bool
	Int   // integer, long, timestamp and datetime (milliseconds)
	Float //
	Text
	JSON     // compact JSON text
	ListKind // see List
)

// A Value is what one slot holds. Its text points into the event's bytes, so
// it is good as long as those are.
type Value struct {
	s string
	n uint64
	l *List
	k Kind
}

// Constructors, one a kind.
func BoolValue(b bool) Value {
	if b {
		return Value{k: Bool, n: 1}
	}
	return Value{k: Bool}
}

// IntValue holds an integer, or a time in milliseconds.
func IntValue(i int64) Value { return Value{k: Int, n: uint64(i)} }

// FloatValue holds a floating point number.
func FloatValue(f float64) Value { return Value{k: Float, n: math.Float64bits(f)} }

// TextValue holds text.
func TextValue(s string) Value { return Value{k: Text, s: s} }

// JSONValue holds compact JSON text, already validated.
func JSONValue(s string) Value { return Value{k: JSON, s: s} }

// ListValue holds a list; nil is Absent.
func ListValue(l *List) Value {
	if l == nil {
		return Value{}
	}
	return Value{k: ListKind, l: l}
}

// Kind says what v holds.
func (v Value) Kind() Kind { return v.k }

// Has says whether v holds anything.
func (v Value) Has() bool { return v.k != Absent }

// Bool returns the boolean; false for other kinds.
func (v Value) Bool() bool { return v.k == Bool && v.n != 0 }

// Int returns the integer; 0 for other kinds.
func (v Value) Int() int64 {
	if v.k != Int {
		return 0
	}
	return int64(v.n)
}

// Float returns the number; an Int is converted.
func (v Value) Float() float64 {
	switch v.k {
	case Float:
		return math.Float64frombits(v.n)
	case Int:
		return float64(int64(v.n))
	}
	return 0
}

// Text returns text or JSON text; "" for other kinds.
func (v Value) Text() string { return v.s }

// List returns the list; nil for other kinds.
func (v Value) List() *List { return v.l }

// A List holds the values of an array attribute: scalars, or rows of slots
// for an array of objects.
type List struct {
	// Row lays out one element of an array of objects; nil for scalars.
	Row *Layout
	// Items holds the scalars, or the slots of all rows one after another.
	Items []Value
}

// Len is the number of elements.
func (l *List) Len() int {
	if l == nil {
		return 0
	}
	if l.Row == nil {
		return len(l.Items)
	}
	return len(l.Items) / max(1, l.Row.Len())
}

// At returns the slots of row i, to read or to set.
func (l *List) At(i int) []Value {
	n := l.Row.Len()
	return l.Items[i*n : (i+1)*n : (i+1)*n]
}

// AddRow appends an empty row and returns its slots. They move when another
// row is added.
func (l *List) AddRow() []Value {
	n := l.Row.Len()
	at := len(l.Items)
	if cap(l.Items) >= at+n {
		l.Items = l.Items[:at+n]
		clear(l.Items[at:])
	} else {
		l.Items = append(l.Items, make([]Value, n)...)
	}
	return l.At(at / max(1, n))
}

// DropRow removes the last row, for a row that turned out to be empty.
func (l *List) DropRow() { l.Items = l.Items[:len(l.Items)-l.Row.Len()] }
