package ocsf

import (
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strings"
)

// A Problem is what Validate finds wrong with an event.
type Problem struct {
	// Path is the attribute's dotted path.
	Path string `json:"path"`
	// Code is required, constraint, enum, format, range, length, type or
	// seconds.
	Code    string `json:"code"`
	Message string `json:"message"`
}

func (p Problem) String() string { return p.Path + ": " + p.Message }

// Validate appends what is wrong with a finished event to dst. It knows the
// types, formats, enumerations, requirements (as the event's profiles have
// them) and constraints of the schema.
//
// auth_factor's just_one constraint of 1.2 to 1.4 is waived: no factor but a
// mail, a phone call or a question can satisfy it.
func Validate(e *Event, dst []Problem) []Problem {
	v := validator{event: e, problems: dst}
	l := e.Layout
	if i := l.Slot("metadata.profiles"); i >= 0 {
		for _, p := range listItems(e.Slots[i]) {
			v.profiles = append(v.profiles, p.Text())
		}
	}
	if i := l.Slot("time"); i >= 0 && e.Slots[i].Has() {
		if t := e.Slots[i].Int(); t > 0 && t < 1e11 {
			v.add("time", "seconds", fmt.Sprintf("%d looks like seconds: OCSF times are milliseconds", t))
		}
	}
	v.object(l, l.Object, "", e.Slots, "")
	return v.problems
}

func listItems(v Value) []Value {
	if l := v.List(); l != nil {
		return l.Items
	}
	return nil
}

type validator struct {
	event    *Event
	profiles []string
	problems []Problem
}

func (v *validator) add(path, code, message string) {
	v.problems = append(v.problems, Problem{path, code, message})
}

// object checks the attributes of o that lie below prefix in a layout's slots.
// rowPath is the path of the rows the slots belong to.
func (v *validator) object(l *Layout, o *Object, prefix string, slots []Value, rowPath string) (present bool) {
	var have map[string]bool // attributes of o that are there
	set := func(name string) {
		if have == nil {
			have = map[string]bool{}
		}
		have[name] = true
	}
	for _, a := range o.Attrs {
		path := prefix + a.Name
		if a.Base == BaseObject && !a.Array {
			if l.anyUnder(path+".") && v.object(l, a.Object, path+".", slots, rowPath) {
				set(a.Name)
			}
			continue
		}
		i := l.Slot(path)
		if i < 0 || !slots[i].Has() {
			continue
		}
		set(a.Name)
		v.value(&l.slots[i], slots[i], rowPath+path)
	}
	if have == nil && prefix != "" {
		return false
	}
	if prefix == "" && rowPath == "" && len(v.event.Unmapped) > 0 {
		set("unmapped")
	}
	for _, a := range o.Attrs {
		if a.Requirement == Required && !have[a.Name] && v.applies(a) {
			v.add(rowPath+prefix+a.Name, "required", fmt.Sprintf("%s requires %s", o.Name, a.Name))
		}
	}
	for _, group := range o.AtLeastOne {
		if !slices.ContainsFunc(group, func(n string) bool { return have[n] }) {
			v.add(strings.TrimSuffix(rowPath+prefix, "."), "constraint", fmt.Sprintf("%s requires at least one of %s", o.Name, strings.Join(group, ", ")))
		}
	}
	for _, group := range o.JustOne {
		n := 0
		for _, name := range group {
			if have[name] {
				n++
			}
		}
		if n != 1 && o.Name != "auth_factor" {
			v.add(strings.TrimSuffix(rowPath+prefix, "."), "constraint", fmt.Sprintf("%s requires just one of %s and has %d", o.Name, strings.Join(group, ", "), n))
		}
	}
	return true
}

// applies says whether an attribute counts in this event.
func (v *validator) applies(a *Attr) bool {
	return len(a.Profiles) == 0 || slices.ContainsFunc(a.Profiles, func(p string) bool { return slices.Contains(v.profiles, p) })
}

// anyUnder says whether the layout has a slot whose path begins so.
func (l *Layout) anyUnder(prefix string) bool {
	if l.prefixes == nil {
		return slices.ContainsFunc(l.slots, func(s SlotInfo) bool { return strings.HasPrefix(s.Path, prefix) })
	}
	return l.prefixes[prefix]
}

func (v *validator) value(s *SlotInfo, val Value, path string) {
	list := val.List()
	switch {
	case s.Attr.Array && list == nil:
		v.add(path, "type", "must be a list")
	case s.Rows != nil:
		for r := range list.Len() {
			v.object(s.Rows, s.Rows.Object, "", list.At(r), fmt.Sprintf("%s[%d].", path, r))
		}
	case list != nil && !s.Attr.Array:
		v.add(path, "type", "must not be a list")
	case list != nil:
		for _, item := range list.Items {
			v.scalar(s.Attr, item, path)
		}
	default:
		v.scalar(s.Attr, val, path)
	}
}

func (v *validator) scalar(a *Attr, val Value, path string) {
	kind := val.Kind()
	ok := false
	switch a.Base {
	case BaseString:
		ok = kind == Text
	case BaseBool:
		ok = kind == Bool
	case BaseInt, BaseLong, BaseTimestamp, BaseDatetime:
		ok = kind == Int
	case BaseFloat:
		ok = kind == Float || kind == Int
	case BaseJSON:
		ok = kind != ListKind
	}
	if !ok {
		v.add(path, "type", "is of the wrong type")
		return
	}
	if a.Base == BaseInt && (val.Int() > 1<<31-1 || val.Int() < -1<<31) {
		v.add(path, "range", fmt.Sprintf("%d does not fit 32 bits", val.Int()))
	}
	if a.Enum != nil {
		if kind == Int {
			if _, ok := a.Enum.Caption(val.Int()); !ok {
				v.add(path, "enum", fmt.Sprintf("%d is not one of its values", val.Int()))
			}
		} else if _, ok := a.Enum.ByKey(val.Text()); !ok {
			v.add(path, "enum", fmt.Sprintf("%q is not one of its values", val.Text()))
		}
	}
	t := a.Type
	if t == nil {
		return
	}
	if t.HasRange && kind == Int && (val.Int() < t.Min || val.Int() > t.Max) {
		v.add(path, "range", fmt.Sprintf("%d is not within %d and %d", val.Int(), t.Min, t.Max))
	}
	if kind != Text {
		return
	}
	if t.MaxLen > 0 && len(val.s) > t.MaxLen && len([]rune(val.s)) > t.MaxLen {
		v.add(path, "length", fmt.Sprintf("%d characters, more than %d", len([]rune(val.s)), t.MaxLen))
	}
	if !ValidFormat(t, val.s) {
		v.add(path, "format", fmt.Sprintf("%q is no %s", clip(val.s), strings.TrimSuffix(t.Name, "_t")))
	}
}

func clip(s string) string {
	if len(s) > 80 {
		return s[:80] + "…"
	}
	return s
}

// The formats of text types, as the schema's expressions have them, without
// white space at the ends and with the dot of an address meant as a dot.
var (
	emailFormat = regexp.MustCompile("^[a-zA-Z0-9!#$%&'*+/=?^_`{|}~.-]+@[a-zA-Z0-9-]+\\.[a-zA-Z0-9.-]+$")
	macFormat   = regexp.MustCompile(`^([0-9A-Fa-f]{2}[:-]){5}([0-9A-Fa-f]{2})$`)
	uuidFormat  = regexp.MustCompile(`^[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}$`)
)

// ValidFormat says whether text is right for a type.
func ValidFormat(t *Type, text string) bool {
	if t == nil {
		return true
	}
	switch t.Name {
	case "ip_t":
		_, err := netip.ParseAddr(text)
		return err == nil
	case "email_t":
		return emailFormat.MatchString(text)
	case "hostname_t":
		return validHostname(text)
	case "mac_t":
		return macFormat.MatchString(text)
	case "uuid_t":
		return uuidFormat.MatchString(text)
	}
	return true
}

// validHostname says whether text is labels of letters, digits and inner
// hyphens, joined by dots.
func validHostname(text string) bool {
	start := 0
	for i := 0; i <= len(text); i++ {
		if i < len(text) && text[i] != '.' {
			c := text[i]
			if c != '-' && (c < '0' || c > '9') && (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') {
				return false
			}
			continue
		}
		if i == start || text[start] == '-' || text[i-1] == '-' {
			return false
		}
		start = i + 1
	}
	return true
}
