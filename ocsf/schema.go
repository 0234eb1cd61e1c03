package ocsf

// A Base is how values of an attribute are kept in memory and in columns.
type Base uint8

// The bases. A Datetime is kept as Int: milliseconds since 1970 in UTC; it
// becomes RFC 3339 text in JSON and a timestamp in Parquet. A Timestamp is
// the same number, and stays one.
const (
	BaseString Base = iota
	BaseBool
	BaseInt  // 32 bits
	BaseLong // 64 bits
	BaseFloat
	BaseTimestamp
	BaseDatetime
	BaseJSON   // any JSON: json_t, and objects without declared attributes
	BaseObject // an object with attributes; see Attr.Object
)

// A Requirement says whether an attribute must be there.
type Requirement uint8

// The requirements of the schema.
const (
	Optional Requirement = iota
	Recommended
	Required
)

// A Schema is what one version of OCSF says: its classes and objects. It is
// immutable once loaded.
type Schema struct {
	// Version is the schema's version, as "1.3.0".
	Version string
	// Classes are all event classes, ordered by UID.
	Classes []*Class
	// Objects are all objects by name.
	Objects map[string]*Object
	// Types are the dictionary's types by name, as "ip_t".
	Types map[string]*Type
	// Profiles are the captions of all profiles, by name as events list it.
	Profiles map[string]string

	byName map[string]*Class
	byUID  map[int]*Class
}

// Class returns the class with this schema key, as "authentication".
func (s *Schema) Class(name string) (*Class, bool) {
	c, ok := s.byName[name]
	return c, ok
}

// ClassByUID returns the class with this class_uid.
func (s *Schema) ClassByUID(uid int) (*Class, bool) {
	c, ok := s.byUID[uid]
	return c, ok
}

// A Class is an event class. Its embedded Object holds its attributes.
type Class struct {
	Object
	UID          int
	CategoryUID  int
	CategoryName string
	// Version is the schema's version.
	Version string
	// Profiles are the profiles the class may use.
	Profiles []string
}

// An Object is a named set of attributes.
type Object struct {
	Name    string
	Caption string
	// Attrs are ordered by name.
	Attrs []*Attr
	// AtLeastOne and JustOne are the constraints: groups of attribute names.
	AtLeastOne, JustOne [][]string
	// Observable is the observable type_id of the whole object; 0 if none.
	Observable int
	Deprecated bool

	byName map[string]*Attr
}

// Attr returns the attribute of this name.
func (o *Object) Attr(name string) (*Attr, bool) {
	a, ok := o.byName[name]
	return a, ok
}

// An Attr is one attribute of a class or an object.
type Attr struct {
	Name string
	Base Base
	// Type is the dictionary type, as "ip_t"; nil for objects.
	Type *Type
	// Object is set when Base is BaseObject.
	Object *Object
	// Array says that the attribute is a list.
	Array       bool
	Requirement Requirement
	// Profiles: when not empty the attribute counts only in events that list
	// one of these profiles.
	Profiles []string
	// Enum is set for attributes with an enumeration.
	Enum *Enum
	// Sibling is the attribute that holds the caption of an enum id.
	Sibling string
	// Observable is the observable type_id of values here; 0 if none.
	Observable int
	Deprecated bool
}

// A Type is a dictionary type with its limits.
type Type struct {
	Name string
	Base Base
	// Regex is "" without one.
	Regex string
	// MaxLen is 0 without one.
	MaxLen int
	// Min and Max bound integers when HasRange.
	Min, Max   int64
	HasRange   bool
	Observable int
}

// An Enum lists the values of an attribute.
type Enum struct {
	Items []EnumItem
	byID  map[int64]int
	byKey map[string]int
	// byText finds a key, and a caption in the usual cases.
	byText map[string]int
}

// An EnumItem is one value of an Enum. For string enums Key is the value and
// ID is -1.
type EnumItem struct {
	ID      int64
	Key     string
	Caption string
}

// Caption returns the caption of an id.
func (e *Enum) Caption(id int64) (string, bool) {
	i, ok := e.byID[id]
	if !ok {
		return "", false
	}
	return e.Items[i].Caption, true
}
