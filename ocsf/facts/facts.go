// Package facts holds what the program knows of each OCSF version, in a
// compact file that ocsf/gen makes from a compiled schema: names, types,
// enumerations, requirements and constraints, and no descriptions.
//
// The schema is by the OCSF project (github.com/ocsf/ocsf-schema), under the
// Apache License 2.0; see NOTICE.
package facts

import (
	"bytes"
	"compress/gzip"
	"embed"
	"encoding/json"
	"fmt"
	"io"
)

//go:generate go run nagare/ocsf/gen -schema ../../../shared/ocsf/schema-1.3.0.json -out 1.3.0.json.gz
//go:generate go run nagare/ocsf/gen -schema ../../../shared/ocsf/schema-1.1.0.json -out 1.1.0.json.gz

//go:embed *.json.gz
var files embed.FS

// A File is the facts of one version.
type File struct {
	Version string          `json:"version"`
	Types   map[string]Type `json:"types"`
	// Enums are shared: an attribute names its enumeration by index.
	Enums   [][]EnumItem      `json:"enums"`
	Objects map[string]Object `json:"objects"`
	Classes map[string]Class  `json:"classes"`
	// Profiles are the captions of profiles by name, Categories those of
	// categories by uid.
	Profiles   map[string]string `json:"profiles"`
	Categories map[int]string    `json:"categories"`
}

// A Type is a dictionary type.
type Type struct {
	// Base is string_t, integer_t, long_t, float_t, boolean_t, json_t,
	// timestamp_t or datetime_t.
	Base       string    `json:"base"`
	Regex      string    `json:"regex,omitempty"`
	MaxLen     int       `json:"max_len,omitempty"`
	Range      *[2]int64 `json:"range,omitempty"`
	Observable int       `json:"observable,omitempty"`
}

// An EnumItem is the key of a value, a number or a word, and its caption.
type EnumItem [2]string

// An Object is a set of attributes.
type Object struct {
	Caption    string          `json:"caption"`
	Attrs      map[string]Attr `json:"attrs"`
	AtLeastOne []string        `json:"at_least_one,omitempty"`
	JustOne    []string        `json:"just_one,omitempty"`
	Observable int             `json:"observable,omitempty"`
	Deprecated bool            `json:"deprecated,omitempty"`
}

// A Class is an object with a place in the taxonomy.
type Class struct {
	Object
	UID          int      `json:"uid"`
	CategoryUID  int      `json:"category_uid"`
	CategoryName string   `json:"category_name"`
	Profiles     []string `json:"profiles,omitempty"`
}

// An Attr is an attribute.
type Attr struct {
	Type        string   `json:"type,omitempty"`   // a dictionary type
	Object      string   `json:"object,omitempty"` // or an object
	Array       bool     `json:"array,omitempty"`
	Requirement string   `json:"req,omitempty"` // "r" required, "c" recommended
	Profiles    []string `json:"profiles,omitempty"`
	Enum        int      `json:"enum,omitempty"` // index in Enums plus one
	Sibling     string   `json:"sibling,omitempty"`
	Observable  int      `json:"observable,omitempty"`
	Deprecated  bool     `json:"deprecated,omitempty"`
}

// Read returns the embedded facts of a version.
func Read(version string) (*File, error) {
	data, err := files.ReadFile(version + ".json.gz")
	if err != nil {
		return nil, fmt.Errorf("no facts about OCSF %q are built in", version)
	}
	zr, err := gzip.NewReader(bytes.NewReader(data))
	if err != nil {
		return nil, fmt.Errorf("facts of %s: %w", version, err)
	}
	text, err := io.ReadAll(zr)
	if err != nil {
		return nil, fmt.Errorf("facts of %s: %w", version, err)
	}
	var f File
	if err := json.Unmarshal(text, &f); err != nil {
		return nil, fmt.Errorf("facts of %s: %w", version, err)
	}
	return &f, nil
}

// Marshal encodes facts; equal facts give equal bytes.
func (f *File) Marshal() ([]byte, error) {
	text, err := json.Marshal(f)
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	zw, err := gzip.NewWriterLevel(&b, gzip.BestCompression)
	if err != nil {
		return nil, err
	}
	if _, err := zw.Write(text); err != nil {
		return nil, err
	}
	if err := zw.Close(); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}
