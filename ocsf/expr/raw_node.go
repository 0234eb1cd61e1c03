package expr

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"reflect"
	"sort"
	"strconv"
	"time"

	"github.com/google/cel-go/cel"
	"github.com/google/cel-go/common/types"
	"github.com/google/cel-go/common/types/ref"
	"github.com/google/cel-go/common/types/traits"
	"github.com/google/cel-go/interpreter"

	"nagare/ocsf/rawjson"
)

// RawMeta is the envelope of an event, as expressions see it.
type RawMeta struct {
	Source, UID, Auth, Tenant string
	Received                  time.Time
}

// Field returns a field of meta.
func (m *RawMeta) Field(name string) RawValue {
	text := func(s string) RawValue {
		if s == "" {
			return RawValue{}
		}
		return RawValue{Kind: RawText, Text: s}
	}
	switch name {
	case "source":
		return text(m.Source)
	case "uid":
		return text(m.UID)
	case "auth":
		return text(m.Auth)
	case "tenant":
		return text(m.Tenant)
	case "received":
		if !m.Received.IsZero() {
			return RawValue{Kind: RawTime, Num: m.Received.UnixMilli()}
		}
	}
	return RawValue{}
}

// RawVars is what programs see of one event. It is used again for the next.
type RawVars struct {
	Doc  *rawjson.Doc
	Meta RawMeta
	// Var and VarName are the element of an each.
	Var     RawValue
	VarName string
	// Touched lists the scalars of Doc that programs read.
	Touched []int32
	// Left is how much of Work is left for the event. Whoever sets Doc sets it;
	// below zero there was too much to do, and the event is given up.
	Left int64

	raw *Raw
}

// Vars makes the variables of an environment.
func (r *Raw) Vars() *RawVars { return &RawVars{raw: r, Left: Work} }

var _ interpreter.Activation = (*RawVars)(nil)

// ResolveName is for cel-go.
func (v *RawVars) ResolveName(name string) (any, bool) {
	switch name {
	case "raw":
		return nodeVal(v, v.Doc, 0), true
	case "meta":
		return &metaVal{meta: &v.Meta}, true
	case "tables":
		return &tablesVal{raw: v.raw}, true
	case v.VarName:
		return celOf(v, v.Var), true
	}
	return nil, false
}

// Parent is for cel-go.
func (v *RawVars) Parent() interpreter.Activation { return nil }

// nodeVal is a node of a document as CEL sees it. Whole numbers that fit are
// ints, others doubles.
func nodeVal(v *RawVars, d *rawjson.Doc, i int32) ref.Val {
	n := &d.Nodes[i]
	switch n.Kind {
	case rawjson.Object:
		return &rawObject{rawNode{vars: v, doc: d, at: i}}
	case rawjson.Array:
		return &rawArray{rawNode{vars: v, doc: d, at: i}}
	}
	if v != nil && d == v.Doc {
		v.Touched = append(v.Touched, i)
	}
	switch n.Kind {
	case rawjson.True:
		return types.True
	case rawjson.False:
		return types.False
	case rawjson.String:
		v.spend(NodeCost(d, i))
		return types.String(d.Text(i))
	case rawjson.Number:
		if x, ok := d.Int(i); ok {
			return types.Int(x)
		}
		if x, err := strconv.ParseUint(d.Literal(i), 10, 64); err == nil {
			return types.Uint(x)
		}
		if x, ok := d.Float(i); ok {
			return types.Double(x)
		}
	}
	return types.NullValue
}

// rawNode is what objects and arrays have in common. They are read where they
// lie. To cel-go they must be two types: it asks for a map before a list.
type rawNode struct {
	vars *RawVars
	doc  *rawjson.Doc
	at   int32
}

func (n *rawNode) node() *rawNode { return n }

func (n *rawNode) ConvertToNative(t reflect.Type) (any, error) {
	return nil, fmt.Errorf("a value of the event is no %v", t)
}

func (n *rawNode) convert(t ref.Type, own *types.Type) ref.Val {
	switch t {
	case types.TypeType:
		return own
	case types.StringType:
		n.spendBytes()
		return types.String(n.doc.JSON(n.at))
	}
	return types.NewErr("a %s is no %s", own.TypeName(), t.TypeName())
}

func (n *rawNode) Value() any { return n.doc.JSON(n.at) }

// noded is a rawObject or a rawArray.
type noded interface{ node() *rawNode }

// same says whether a value is the same JSON.
func (n *rawNode) same(other ref.Val) bool {
	o, ok := other.(noded)
	if !ok {
		return false
	}
	n.spendBytes()
	return n.doc.JSON(n.at) == o.node().doc.JSON(o.node().at)
}

// rawObject is an object; a null member is as if it were not there.
type rawObject struct{ rawNode }

func (n *rawObject) Type() ref.Type                   { return types.MapType }
func (n *rawObject) ConvertToType(t ref.Type) ref.Val { return n.convert(t, types.MapType) }
func (n *rawObject) Equal(other ref.Val) ref.Val      { return types.Bool(n.same(other)) }

func (n *rawObject) Find(key ref.Val) (ref.Val, bool) {
	k, ok := key.(types.String)
	if !ok {
		return nil, false
	}
	i, ok := n.doc.Child(n.at, string(k))
	if ok {
		n.spendMember(i)
	} else {
		n.spendMember(n.doc.Nodes[n.at].Next)
	}
	if !ok || n.doc.Nodes[i].Kind == rawjson.Null {
		return nil, false
	}
	return nodeVal(n.vars, n.doc, i), true
}

func (n *rawObject) Get(key ref.Val) ref.Val      { return get(n.Find, key) }
func (n *rawObject) Contains(key ref.Val) ref.Val { return contains(n.Find, key) }

func (n *rawObject) Size() ref.Val {
	size := types.Int(0)
	for it := (&rawIterator{n: &n.rawNode, names: true, at: n.at + 1}); it.HasNext() == types.True; it.next() {
		size++
	}
	n.vars.spend(StepCost(int(size)))
	return size
}

func (n *rawObject) Iterator() traits.Iterator {
	return &rawIterator{n: &n.rawNode, names: true, at: n.at + 1}
}

// rawArray is an array.
type rawArray struct{ rawNode }

func (n *rawArray) Type() ref.Type                   { return types.ListType }
func (n *rawArray) ConvertToType(t ref.Type) ref.Val { return n.convert(t, types.ListType) }

func (n *rawArray) Equal(other ref.Val) ref.Val {
	if n.same(other) {
		return types.True
	}
	l, ok := other.(traits.Lister)
	if !ok || n.Size() != l.Size() {
		return types.False
	}
	for i := types.Int(0); i < n.Size().(types.Int); i++ {
		if types.Equal(n.Get(i), l.Get(i)) != types.True {
			return types.False
		}
	}
	return types.True
}

func (n *rawArray) Get(key ref.Val) ref.Val {
	at, ok := key.(types.Int)
	if !ok {
		return types.NewErr("an index must be a whole number")
	}
	i, ok := n.doc.Index(n.at, int(at))
	n.vars.spend(StepCost(max(0, min(int(at), int(n.doc.Nodes[n.at].Next-n.at)))))
	if !ok {
		return types.NewErr("index out of bounds: %d", at)
	}
	return nodeVal(n.vars, n.doc, i)
}

func (n *rawArray) Contains(v ref.Val) ref.Val {
	for it := (&rawIterator{n: &n.rawNode, at: n.at + 1}); it.HasNext() == types.True; {
		if types.Equal(nodeVal(n.vars, n.doc, it.next()), v) == types.True {
			return types.True
		}
	}
	return types.False
}

func (n *rawArray) Size() ref.Val {
	size := n.doc.Count(n.at)
	n.vars.spend(StepCost(size))
	return types.Int(size)
}

// Add is list concatenation.
func (n *rawArray) Add(other ref.Val) ref.Val {
	l, ok := other.(traits.Lister)
	if !ok {
		return types.MaybeNoSuchOverloadErr(other)
	}
	var all []ref.Val
	for _, list := range []traits.Lister{n, l} {
		for it := list.Iterator(); it.HasNext() == types.True; {
			all = append(all, it.Next())
			n.vars.spend(1)
		}
	}
	return types.NewRefValList(types.DefaultTypeAdapter, all)
}

func (n *rawArray) Iterator() traits.Iterator { return &rawIterator{n: &n.rawNode, at: n.at + 1} }

// rawIterator goes over the names of an object or the elements of an array.
type rawIterator struct {
	types.Unknown // the parts of ref.Val nobody calls
	n             *rawNode
	names         bool
	at            int32
	passed        int
}

func (it *rawIterator) HasNext() ref.Val {
	d := it.n.doc
	for ; it.at < d.Nodes[it.n.at].Next; it.at = d.Nodes[it.at].Next {
		if !it.names || d.Live(it.at) && d.Nodes[it.at].Kind != rawjson.Null {
			return types.True
		}
	}
	return types.False
}

func (it *rawIterator) Next() ref.Val {
	if it.HasNext() != types.True {
		return nil
	}
	// cel-go's own count of costs looks through a stack that grows with each
	// turn of a loop, for branches that were not taken: a turn costs more the
	// later it comes.
	it.n.vars.spend(StepCost(it.passed))
	it.passed++
	at := it.next()
	if it.names {
		return types.String(it.n.doc.Name(at))
	}
	return nodeVal(it.n.vars, it.n.doc, at)
}

// next goes on by one; there is one.
func (it *rawIterator) next() int32 {
	at := it.at
	it.at = it.n.doc.Nodes[at].Next
	return at
}

// lookupOnly is what metaVal, tablesVal and tableVal are to CEL: a map that
// is only looked into.
type lookupOnly struct{}

func (lookupOnly) ConvertToNative(t reflect.Type) (any, error) { return nil, fmt.Errorf("no %v", t) }
func (lookupOnly) ConvertToType(t ref.Type) ref.Val            { return types.NewErr("no %s", t.TypeName()) }
func (lookupOnly) Equal(ref.Val) ref.Val                       { return types.False }
func (lookupOnly) Type() ref.Type                              { return types.MapType }
func (lookupOnly) Value() any                                  { return nil }
func (lookupOnly) Size() ref.Val                               { return types.IntZero }
func (lookupOnly) Iterator() traits.Iterator {
	return types.NewRefValList(types.DefaultTypeAdapter, nil).Iterator()
}

func get(find func(ref.Val) (ref.Val, bool), key ref.Val) ref.Val {
	if v, ok := find(key); ok {
		return v
	}
	return types.NewErr("no such key: %v", key)
}

func contains(find func(ref.Val) (ref.Val, bool), key ref.Val) ref.Val {
	_, ok := find(key)
	return types.Bool(ok)
}

type metaVal struct {
	lookupOnly
	meta *RawMeta
}

func (m *metaVal) Find(key ref.Val) (ref.Val, bool) {
	k, _ := key.(types.String)
	v := m.meta.Field(string(k))
	return celOf(nil, v), v.Has()
}
func (m *metaVal) Get(key ref.Val) ref.Val      { return get(m.Find, key) }
func (m *metaVal) Contains(key ref.Val) ref.Val { return contains(m.Find, key) }

type tablesVal struct {
	lookupOnly
	raw *Raw
}

func (t *tablesVal) Find(key ref.Val) (ref.Val, bool) {
	k, _ := key.(types.String)
	table, ok := t.raw.tables[string(k)]
	return &tableVal{table: table}, ok
}
func (t *tablesVal) Get(key ref.Val) ref.Val      { return get(t.Find, key) }
func (t *tablesVal) Contains(key ref.Val) ref.Val { return contains(t.Find, key) }

// tableVal finds its rows by the text of the key, so that 4624 and "4624" are
// one key.
type tableVal struct {
	lookupOnly
	table *Table
}

func (t *tableVal) Find(key ref.Val) (ref.Val, bool) {
	k, ok := valueOf(key).Scalar()
	if !ok {
		return nil, false
	}
	row, ok := t.table.Find(k)
	if !ok {
		return nil, false
	}
	if v, ok := row[""]; ok {
		return celOf(nil, v), true
	}
	return &rowVal{row: row}, true
}
func (t *tableVal) Get(key ref.Val) ref.Val      { return get(t.Find, key) }
func (t *tableVal) Contains(key ref.Val) ref.Val { return contains(t.Find, key) }

type rowVal struct {
	lookupOnly
	row Row
}

func (r *rowVal) Find(key ref.Val) (ref.Val, bool) {
	k, _ := key.(types.String)
	v, ok := r.row[string(k)]
	return celOf(nil, v), ok
}
func (r *rowVal) Get(key ref.Val) ref.Val      { return get(r.Find, key) }
func (r *rowVal) Contains(key ref.Val) ref.Val { return contains(r.Find, key) }

// rowJSON is a whole row as JSON.
func rowJSON(r Row) RawValue {
	keys := make([]string, 0, len(r))
	for k := range r {
		keys = append(keys, k)
	}
	sort.Strings(keys)
	dst := []byte{'{'}
	for i, k := range keys {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(rawjson.AppendText(dst, k), ':')
		dst = r[k].AppendJSON(dst)
	}
	return RawValue{Kind: RawJSON, Text: string(append(dst, '}'))}
}

// parseJSON is json(): the value in a text. A text that holds none stays
// itself, so that one event of a batch does not take the others with it.
func parseJSON(text string) ref.Val {
	d := rawjson.NewPaths().NewDoc()
	if err := d.Parse([]byte(text)); err != nil {
		return types.String(text)
	}
	return nodeVal(&RawVars{Left: parseWork}, d, 0)
}

// rawFunctions are the functions only mappings have.
func rawFunctions(r *Raw) []cel.EnvOption {
	unit := func(name string, perMilli, milli int64) cel.EnvOption {
		return cel.Function(name, cel.Overload("raw_"+name, []*cel.Type{cel.DynType}, cel.TimestampType,
			cel.UnaryBinding(func(v ref.Val) ref.Val {
				s, ok := valueOf(v).Scalar()
				ms, good := EpochMillis(s, perMilli, milli)
				if !ok || !good {
					return types.NewErr("%s of what is no number", name)
				}
				return types.Timestamp{Time: time.UnixMilli(ms).UTC()}
			})))
	}
	return []cel.EnvOption{
		unit("seconds", 1, 1000), unit("millis", 1, 1), unit("micros", 1000, 1),
		cel.Function("inZone", cel.Overload("raw_inZone", []*cel.Type{cel.DynType, cel.StringType}, cel.TimestampType, cel.FunctionBinding(r.timeFunction("inZone")))),
		cel.Function("timeAs",
			cel.Overload("raw_timeAs", []*cel.Type{cel.DynType, cel.StringType}, cel.TimestampType, cel.FunctionBinding(r.timeFunction("timeAs"))),
			cel.Overload("raw_timeAs_zone", []*cel.Type{cel.DynType, cel.StringType, cel.StringType}, cel.TimestampType, cel.FunctionBinding(r.timeFunction("timeAs")))),
		cel.Function("json", cel.Overload("raw_json", []*cel.Type{cel.DynType}, cel.DynType,
			cel.UnaryBinding(func(v ref.Val) ref.Val {
				if s, ok := v.(types.String); ok {
					return parseJSON(string(s))
				}
				return v // it was no text: some sources send the object itself
			}))),
		cel.Function("unfold", cel.Overload("raw_unfold", []*cel.Type{cel.DynType, cel.StringType, cel.StringType}, cel.DynType, cel.FunctionBinding(unfold))),
		cel.Function("named", cel.Overload("raw_named", []*cel.Type{cel.DynType}, cel.DynType, cel.UnaryBinding(named))),
		cel.Function("sha256", cel.Overload("raw_sha256", []*cel.Type{cel.DynType}, cel.StringType,
			cel.UnaryBinding(func(v ref.Val) ref.Val {
				s, ok := valueOf(v).Scalar()
				if !ok {
					s = string(valueOf(v).AppendJSON(nil))
				}
				sum := sha256.Sum256([]byte(s))
				return types.String(hex.EncodeToString(sum[:]))
			}))),
	}
}

// EpochMillis turns the text of a number into milliseconds: number × milli ÷
// perMilli, with whatever fraction it has.
func EpochMillis(s string, perMilli, milli int64) (int64, bool) {
	if n, ok := rawjson.ParseInt(s); ok {
		if milli > 1 && (n > maxMillis/milli || n < -maxMillis/milli) {
			return 0, false
		}
		n = n * milli
		q := n / perMilli
		if n%perMilli < 0 {
			q--
		}
		return q, q <= maxMillis && q >= -maxMillis
	}
	f, err := strconv.ParseFloat(s, 64)
	if err != nil || f != f {
		return 0, false
	}
	f = f * float64(milli) / float64(perMilli)
	if f > maxMillis || f < -maxMillis {
		return 0, false
	}
	return int64(f), true
}

// maxMillis is the end of year 9999: RFC 3339 goes no further.
const maxMillis = 253402300799999
