package mapping

import (
	"fmt"
	"math"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"

	"nagare/ocsf"
	"nagare/ocsf/expr"
	"nagare/ocsf/rawjson"
)

// A conv turns the text of a scalar into a value of an attribute. What it
// cannot turn is not ok: the attribute stays unset and the original goes to
// unmapped.
type conv func(r *run, s string) (ocsf.Value, bool)

// A target is an attribute that something is put into.
type target struct {
	path string
	full string     // from the class on, also in rows
	attr *ocsf.Attr // of an enum: the id, also when the file names the text
	slot int
	text int // the slot of the caption beside an enum id; -1 without one
	enum *enumIndex
	conv conv
	// plain is the longest text, in bytes, that needs no conversion; 0 when
	// every one needs it.
	plain int
}

func (t *target) isTime() bool {
	return t.attr.Base == ocsf.BaseTimestamp || t.attr.Base == ocsf.BaseDatetime
}

// newTarget resolves a path in a layout and gives it its slots. The text
// beside an enum id stands for the id.
func newTarget(layout *ocsf.Layout, path string) (*target, error) {
	a, err := layout.Resolve(path)
	if err != nil {
		return nil, err
	}
	t := &target{path: path, full: path, attr: a, text: -1}
	if id := idOf(layout, path, a); id != nil && !a.Array {
		t.attr, t.path = id, path[:strings.LastIndexByte(path, '.')+1]+id.Name
	}
	if t.slot, err = layout.Add(t.path); err != nil {
		return nil, err
	}
	if e := t.attr.Enum; e != nil {
		t.enum = newEnumIndex(e)
		if t.attr.Sibling != "" && !t.attr.Array {
			sibling := t.path[:strings.LastIndexByte(t.path, '.')+1] + t.attr.Sibling
			if t.text, err = layout.Add(sibling); err != nil {
				t.text = -1
			}
		}
	}
	t.conv = convFor(t.attr, t.enum)
	if k := t.attr.Type; t.attr.Base == ocsf.BaseString && t.enum == nil && k != nil && k.Regex == "" && k.Name != "ip_t" && k.Name != "hostname_t" && k.Name != "email_t" {
		t.plain = maxText
		if k.MaxLen > 0 {
			t.plain = k.MaxLen
		}
	}
	return t, nil
}

// idOf is the enum attribute whose caption a text attribute holds; nil if it
// is none.
func idOf(layout *ocsf.Layout, path string, a *ocsf.Attr) *ocsf.Attr {
	if a.Enum != nil || a.Base != ocsf.BaseString {
		return nil
	}
	o := layout.Object
	parts := strings.Split(path, ".")
	for _, p := range parts[:len(parts)-1] {
		sub, ok := o.Attr(p)
		if !ok || sub.Object == nil {
			return nil
		}
		o = sub.Object
	}
	for _, b := range o.Attrs {
		if b.Sibling == a.Name && b.Enum != nil {
			return b
		}
	}
	return nil
}

// setText puts the text of a scalar.
func (t *target) setText(r *run, slots []ocsf.Value, s string) bool {
	if s == "" {
		return false
	}
	if len(s) <= t.plain {
		slots[t.slot] = ocsf.TextValue(s)
		return true
	}
	if t.enum != nil {
		return t.setEnum(slots, s)
	}
	v, ok := t.conv(r, s)
	if ok {
		slots[t.slot] = v
	}
	return ok
}

// setEnum puts an id or a caption. A text that is neither is kept beside 99,
// Other.
func (t *target) setEnum(slots []ocsf.Value, s string) bool {
	if v, ok := t.enum.find(s); ok {
		slots[t.slot] = v
		if t.text >= 0 {
			slots[t.text] = ocsf.Value{}
		}
		return true
	}
	if t.text < 0 || !t.enum.other || len(s) > maxText {
		return false
	}
	slots[t.slot], slots[t.text] = ocsf.IntValue(99), ocsf.TextValue(s)
	return true
}

// otherText is the text behind "Other: ", which a file writes where an enum
// has no value for what it means: it becomes 99 with that text beside it.
func (t *target) otherText(v *expr.RawValue) (string, bool) {
	if t.enum == nil || t.text < 0 || !t.enum.other || v.Kind != expr.RawText {
		return "", false
	}
	return strings.CutPrefix(v.Text, "Other: ")
}

// An enumIndex finds the value of an enum by id or caption.
type enumIndex struct {
	enum  *ocsf.Enum
	other bool // has 99
}

func newEnumIndex(e *ocsf.Enum) *enumIndex {
	_, other := e.Caption(99)
	return &enumIndex{e, other}
}

func (x *enumIndex) find(s string) (ocsf.Value, bool) {
	i, ok := x.enum.Find(s)
	switch {
	case !ok:
		return ocsf.Value{}, false
	case i.ID == -1 && i.Key != "-1": // an enum of texts
		return ocsf.TextValue(i.Key), true
	}
	return ocsf.IntValue(i.ID), true
}

// near are the captions, for a problem's suggestion.
func (x *enumIndex) near(s string) string {
	var names []string
	for _, i := range x.enum.Items {
		names = append(names, i.Caption)
	}
	if n := ocsf.Nearest(s, names); n != "" {
		return fmt.Sprintf("did you mean %q?", n)
	}
	return "one of: " + strings.Join(names, ", ")
}

// maxText bounds a text attribute: string_t's own limit.
const maxText = 65535

// convFor picks the conversion that an attribute's type implies.
func convFor(a *ocsf.Attr, enum *enumIndex) conv {
	if enum != nil {
		return func(_ *run, s string) (ocsf.Value, bool) { return enum.find(s) }
	}
	switch a.Base {
	case ocsf.BaseBool:
		return toBool
	case ocsf.BaseInt, ocsf.BaseLong:
		low, high := int64(math.MinInt64), int64(math.MaxInt64)
		if a.Base == ocsf.BaseInt {
			low, high = math.MinInt32, math.MaxInt32
		}
		if a.Type != nil && a.Type.HasRange {
			low, high = max(low, a.Type.Min), min(high, a.Type.Max)
		}
		return func(_ *run, s string) (ocsf.Value, bool) {
			n, ok := rawjson.ParseInt(s)
			return ocsf.IntValue(n), ok && n >= low && n <= high
		}
	case ocsf.BaseFloat:
		return func(_ *run, s string) (ocsf.Value, bool) {
			f, err := strconv.ParseFloat(s, 64)
			return ocsf.FloatValue(f), err == nil && !math.IsNaN(f) && !math.IsInf(f, 0)
		}
	case ocsf.BaseTimestamp, ocsf.BaseDatetime:
		return func(r *run, s string) (ocsf.Value, bool) {
			ms, ok := parseTime(s, r.m.zone)
			return ocsf.IntValue(ms), ok
		}
	case ocsf.BaseJSON:
		return func(_ *run, s string) (ocsf.Value, bool) {
			return ocsf.JSONValue(string(rawjson.AppendText(nil, s))), true
		}
	}
	return textConv(a.Type)
}

func toBool(_ *run, s string) (ocsf.Value, bool) {
	switch s {
	case "true", "True", "TRUE", "yes", "Yes", "YES", "1":
		return ocsf.BoolValue(true), true
	case "false", "False", "FALSE", "no", "No", "NO", "0":
		return ocsf.BoolValue(false), true
	}
	return ocsf.Value{}, false
}

// textConv checks a text against its type's format, so that what is put is
// valid.
func textConv(t *ocsf.Type) conv {
	limit := maxText
	if t == nil {
		t = &ocsf.Type{}
	}
	if t.MaxLen > 0 {
		limit = t.MaxLen
	}
	check := func(string) bool { return true }
	switch t.Name {
	case "ip_t":
		return func(_ *run, s string) (ocsf.Value, bool) {
			ip, ok := normalIP(s)
			return ocsf.TextValue(ip), ok
		}
	case "hostname_t":
		check = validHostname
	case "email_t":
		check = validEmail
	default:
		if t.Regex != "" {
			if re, err := regexp.Compile(t.Regex); err == nil {
				check = re.MatchString
			}
		}
	}
	return func(_ *run, s string) (ocsf.Value, bool) {
		if len(s) > limit && utf8.RuneCountInString(s) > limit {
			return ocsf.Value{}, false
		}
		return ocsf.TextValue(s), check(s)
	}
}

// put puts the value of an expression. It says whether it could.
func (t *target) put(r *run, slots []ocsf.Value, v *expr.RawValue) bool {
	switch {
	case v.Kind == expr.RawAbsent:
		return false
	case t.attr.Array:
		return t.putList(r, slots, v)
	case t.attr.Base == ocsf.BaseJSON:
		switch v.Kind {
		case expr.RawNode:
			slots[t.slot] = ocsf.JSONValue(v.Doc.JSON(v.Node))
		case expr.RawJSON:
			slots[t.slot] = ocsf.JSONValue(v.Text)
		default:
			slots[t.slot] = ocsf.JSONValue(string(v.AppendJSON(nil)))
		}
		return true
	case v.Kind == expr.RawTime && t.isTime():
		ms, ok := inRange(v.Num)
		if ok {
			slots[t.slot] = ocsf.IntValue(ms)
		}
		return ok
	case v.Kind == expr.RawJSON:
		return t.setText(r, slots, v.Text)
	}
	if s, ok := t.otherText(v); ok {
		slots[t.slot], slots[t.text] = ocsf.IntValue(99), ocsf.TextValue(s)
		return true
	}
	s, ok := v.Scalar()
	return ok && t.setText(r, slots, s)
}

// putList puts an array of scalars; a single value is a list of one.
func (t *target) putList(r *run, slots []ocsf.Value, v *expr.RawValue) bool {
	list := slots[t.slot].List()
	if list == nil {
		list = r.out.NewList(nil)
	}
	had := len(list.Items)
	add := func(e *expr.RawValue) {
		if t.attr.Base == ocsf.BaseJSON {
			list.Items = append(list.Items, ocsf.JSONValue(string(e.AppendJSON(nil))))
		} else if s, ok := e.Scalar(); ok && s != "" {
			if item, ok := t.conv(r, s); ok {
				list.Items = append(list.Items, item)
			}
		}
	}
	want := 1
	switch {
	case v.Kind == expr.RawNode && v.Doc.Nodes[v.Node].Kind == rawjson.Array:
		want = 0
		d := v.Doc
		for k, end := v.Node+1, d.Nodes[v.Node].Next; k < end; k = d.Nodes[k].Next {
			if d.Nodes[k].Kind == rawjson.Null {
				continue
			}
			want++
			e := expr.NodeValue(d, k)
			add(&e)
		}
	case v.Kind == expr.RawList:
		elements := v.Elements()
		want = len(elements)
		for i := range elements {
			add(&elements[i])
		}
	default:
		add(v)
	}
	if len(list.Items) > had {
		slots[t.slot] = ocsf.ListValue(list)
	}
	// All or nothing: with one element left out the original stays in unmapped too.
	return want > 0 && len(list.Items) == had+want
}
