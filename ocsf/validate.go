package ocsf

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"unicode/utf8"
)

// A Problem is one thing that is wrong with an event.
type Problem struct {
	// Path is the attribute, with the index of each row: evidences[0].file.name.
	// It is the object for a constraint, and "" for the event itself.
	Path string `json:"path"`
	// Code names the kind of problem: one of the Code constants.
	Code string `json:"code"`
	// Message says what is wrong. It holds no value of the event, so it can be
	// logged.
	Message string `json:"message"`
}

// The codes of problems.
const (
	CodeType       = "type"       // the value is not of the attribute's type
	CodeFormat     = "format"     // text that is not an address, a host name …
	CodeEnum       = "enum"       // a value that the enumeration lacks
	CodeRange      = "range"      // a number out of the type's range
	CodeLength     = "length"     // text longer than the type takes
	CodeTimeUnit   = "time-unit"  // a time that is not in milliseconds
	CodeRequired   = "required"   // an attribute that must be there is not
	CodeConstraint = "constraint" // at_least_one or just_one does not hold
	CodeProfile    = "profile"    // an attribute of a profile the event does not list
)

func (p Problem) String() string {
	if p.Path == "" {
		return p.Message
	}
	return p.Path + ": " + p.Message
}

// Validate appends what is wrong with a finished event to dst. A valid event
// costs no allocation.
//
// Attributes of a profile are required only in events that list the profile.
// An object's requirements count only where the object is present. The
// just_one of auth_factor is waived: in OCSF 1.2 to 1.4 no factor but a mail,
// a phone call or a question could satisfy it.
func Validate(e *Event, dst []Problem) []Problem {
	v := validation{problems: dst}
	if i := e.Layout.Slot("metadata.profiles"); i >= 0 {
		v.profiles = e.Slots[i].List()
	}
	v.slots(e.Layout, e.Slots)
	return v.problems
}

// A validatePlan is what Validate checks in one set of slots, resolved once.
type validatePlan struct {
	values  []valueCheck // by slot
	objects []objectCheck
}

// An objectCheck is what one object within a set of slots requires.
type objectCheck struct {
	path   string // "" for the class or the row itself
	slots  []int  // all slots below
	needed []neededAttr
	groups []group
}

type neededAttr struct {
	attr  *Attr
	slots []int // the attribute's own slot, or those below it
}

// A group is a constraint of an object.
type group struct {
	just    bool // just_one, else at_least_one
	names   string
	members [][]int // the slots of each name
}

// planValidate resolves the checks of a layout.
func (l *Layout) planValidate() *validatePlan {
	p := &validatePlan{objects: []objectCheck{l.planObject("")}}
	seen := map[string]bool{}
	for i := range l.slots {
		p.values = append(p.values, newValueCheck(l, i))
		for prefix := parentOf(l.slots[i].Path); prefix != "" && !seen[prefix]; prefix = parentOf(prefix[:len(prefix)-1]) {
			seen[prefix] = true
			p.objects = append(p.objects, l.planObject(prefix))
		}
	}
	return p
}

func (l *Layout) planObject(prefix string) objectCheck {
	o := l.objectAt(prefix)
	c := objectCheck{path: strings.TrimSuffix(prefix, "."), slots: l.under(prefix, -1)}
	for _, a := range o.Attrs {
		if a.Requirement == Required {
			c.needed = append(c.needed, neededAttr{a, l.slotsOf(prefix + a.Name)})
		}
	}
	add := func(just bool, lists [][]string) {
		for _, names := range lists {
			g := group{just: just, names: strings.Join(names, ", ")}
			for _, n := range names {
				g.members = append(g.members, l.slotsOf(prefix+n))
			}
			c.groups = append(c.groups, g)
		}
	}
	add(false, o.AtLeastOne)
	if o.Name != "auth_factor" {
		add(true, o.JustOne)
	}
	return c
}

// slotsOf returns the slot of a path, or those below it if it is an object.
func (l *Layout) slotsOf(path string) []int {
	if i := l.Slot(path); i >= 0 {
		return []int{i}
	}
	return l.under(path+".", -1)
}

func anyHas(s []Value, slots []int) bool {
	for _, i := range slots {
		if s[i].k != Absent {
			return true
		}
	}
	return false
}

// maxRowDepth bounds rows within rows. No class has as many.
const maxRowDepth = 8

// A validation is one call of Validate.
type validation struct {
	problems []Problem
	profiles *List
	// rows says in which row the slots are that are being checked. The path
	// is joined only when there is a problem.
	rows [maxRowDepth]struct {
		path  string
		index int
	}
	depth int
}

func (v *validation) add(path, code, message string) {
	var b strings.Builder
	for i := range v.depth {
		fmt.Fprintf(&b, "%s[%d]", v.rows[i].path, v.rows[i].index)
		if path != "" || i < v.depth-1 {
			b.WriteByte('.')
		}
	}
	b.WriteString(path)
	v.problems = append(v.problems, Problem{b.String(), code, message})
}

// lists says whether the event lists one of these profiles.
func (v *validation) lists(profiles []string) bool {
	if v.profiles == nil {
		return false
	}
	for i := range v.profiles.Items {
		for _, p := range profiles {
			if v.profiles.Items[i].s == p {
				return true
			}
		}
	}
	return false
}

func (v *validation) slots(l *Layout, s []Value) {
	for i := range s {
		if s[i].k != Absent {
			v.value(l, i, s[i])
		}
	}
	for i := range l.validate.objects {
		v.object(&l.validate.objects[i], s)
	}
}

func (v *validation) object(c *objectCheck, s []Value) {
	if len(c.needed)+len(c.groups) == 0 || c.path != "" && !anyHas(s, c.slots) {
		return
	}
	for i := range c.needed {
		n := &c.needed[i]
		if anyHas(s, n.slots) || len(n.attr.Profiles) > 0 && !v.lists(n.attr.Profiles) {
			continue
		}
		path := n.attr.Name
		if c.path != "" {
			path = c.path + "." + path
		}
		v.add(path, CodeRequired, "is required, and missing")
	}
	for i := range c.groups {
		g := &c.groups[i]
		have := 0
		for _, slots := range g.members {
			if anyHas(s, slots) {
				have++
			}
		}
		switch {
		case have == 0:
			v.add(c.path, CodeConstraint, "needs one of "+g.names)
		case g.just && have > 1:
			v.add(c.path, CodeConstraint, "takes only one of "+g.names)
		}
	}
}

// value checks the value of one slot, and the rows in it.
func (v *validation) value(l *Layout, slot int, val Value) {
	c := &l.validate.values[slot]
	path := l.slots[slot].Path
	for _, profiles := range c.profiles {
		if !v.lists(profiles) {
			v.add(path, CodeProfile, "belongs to profile "+profiles[0]+", which the event does not list")
		}
	}
	list := val.List()
	switch {
	case (list != nil) != c.attr.Array:
		v.add(path, CodeType, "is not "+c.want(true))
	case list == nil:
		if code, message := c.check(val); code != "" {
			v.add(path, code, message)
		}
	case (list.Row != nil) != (c.attr.Base == BaseObject):
		v.add(path, CodeType, "is not "+c.want(true))
	case list.Row == nil:
		for i := range list.Items {
			if code, message := c.check(list.Items[i]); code != "" {
				v.add(path+"["+strconv.Itoa(i)+"]", code, message)
			}
		}
	case v.depth < maxRowDepth:
		v.depth++
		for r := range list.Len() {
			v.rows[v.depth-1].path, v.rows[v.depth-1].index = path, r
			v.slots(list.Row, list.At(r))
		}
		v.depth--
	}
}

// A valueCheck is what the value of a slot must be.
type valueCheck struct {
	attr     *Attr
	profiles [][]string // that the attribute and the objects it is in need
	min, max int64
	maxLen   int
	format   func(string) bool // nil where any text will do
}

const (
	// maxText is the longest text of types that say nothing else: string_t's.
	maxText = 65_535
	// Times outside these bounds, March 1973 and the year 5138, are in
	// seconds, or in micro- or nanoseconds.
	minTime = 100_000_000_000
	maxTime = 100_000_000_000_000
)

func newValueCheck(l *Layout, slot int) valueCheck {
	a := l.slots[slot].Attr
	c := valueCheck{attr: a, profiles: l.profilesOf(l.slots[slot].Path), min: math.MinInt64, max: math.MaxInt64, maxLen: maxText}
	if a.Base == BaseInt {
		c.min, c.max = math.MinInt32, math.MaxInt32
	}
	if t := a.Type; t != nil {
		c.format = formatOf(t)
		if t.MaxLen > 0 {
			c.maxLen = t.MaxLen
		}
		if t.HasRange {
			c.min, c.max = t.Min, t.Max
		}
	}
	return c
}

// check says what is wrong with a single value; no code if nothing is.
func (c *valueCheck) check(v Value) (code, message string) {
	ok := true
	switch c.attr.Base {
	case BaseString:
		return c.checkText(v)
	case BaseInt, BaseLong:
		return c.checkInt(v)
	case BaseTimestamp, BaseDatetime:
		switch n := v.Int(); {
		case v.k != Int:
			ok = false
		case n > 0 && n < minTime:
			return CodeTimeUnit, "looks like seconds: times are milliseconds"
		case n > maxTime:
			return CodeTimeUnit, "looks like micro- or nanoseconds: times are milliseconds"
		}
	case BaseBool:
		ok = v.k == Bool
	case BaseFloat:
		if ok = v.k == Float || v.k == Int; ok && (math.IsNaN(v.Float()) || math.IsInf(v.Float(), 0)) {
			return CodeRange, "is not a finite number"
		}
	}
	if !ok {
		return CodeType, "is not " + c.want(false)
	}
	return "", ""
}

func (c *valueCheck) checkText(v Value) (code, message string) {
	if v.k != Text {
		return CodeType, "is not " + c.want(false)
	}
	if c.attr.Enum != nil {
		if _, ok := c.attr.Enum.byKey[v.s]; !ok {
			return CodeEnum, "is none of the values of " + c.attr.Name
		}
	}
	switch {
	case !utf8.ValidString(v.s):
		return CodeFormat, "is not UTF-8"
	case len(v.s) > c.maxLen && utf8.RuneCountInString(v.s) > c.maxLen:
		return CodeLength, fmt.Sprintf("is longer than %d characters", c.maxLen)
	case c.format != nil && !c.format(v.s):
		return CodeFormat, "is not " + c.want(false)
	}
	return "", ""
}

func (c *valueCheck) checkInt(v Value) (code, message string) {
	if v.k != Int {
		return CodeType, "is not " + c.want(false)
	}
	n := v.Int()
	if n < c.min || n > c.max {
		return CodeRange, fmt.Sprintf("is not between %d and %d", c.min, c.max)
	}
	if c.attr.Enum != nil {
		if _, ok := c.attr.Enum.byID[n]; !ok {
			return CodeEnum, "is none of the ids of " + c.attr.Name
		}
	}
	return "", ""
}

// want names what the attribute takes, whole or a single value, for messages.
func (c *valueCheck) want(whole bool) string {
	what := "an object"
	if t := c.attr.Type; t != nil {
		what = t.Name
	}
	if whole && c.attr.Array {
		return "a list of " + what
	}
	return what
}
