package lake

import (
	"fmt"
	"strings"
	"sync"

	"github.com/parquet-go/parquet-go"

	"nagare/ocsf"
)

// Tables holds the table of each class, made at first use. It may be used by
// many goroutines.
type Tables struct {
	schema *ocsf.Schema

	mu      sync.Mutex
	byClass map[int]*table
}

// NewTables makes the tables of a schema.
func NewTables(s *ocsf.Schema) *Tables {
	return &Tables{schema: s, byClass: map[int]*table{}}
}

// A table is the full, fixed shape of all files of one class.
type table struct {
	class   *ocsf.Class
	version string // of OCSF
	hash    string // of the columns
	columns []*ocsf.Column
	schema  *parquet.Schema
	noStats []string // leaves, dotted, whose smallest and largest value tell nothing

	mu    sync.Mutex
	plans map[*ocsf.Layout]*plan
}

func (ts *Tables) of(c *ocsf.Class) (*table, error) {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	if t, ok := ts.byClass[c.UID]; ok {
		return t, nil
	}
	columns := ts.schema.Columns(c)
	t := &table{class: c, version: ts.schema.Version, hash: ocsf.ColumnsHash(columns), columns: columns, plans: map[*ocsf.Layout]*plan{}}
	group, err := t.group(columns, "")
	if err != nil {
		return nil, fmt.Errorf("lake: table of %s: %w", c.Name, err)
	}
	t.schema = parquet.NewSchema(c.Name, group)
	ts.byClass[c.UID] = t
	return t, nil
}

// group turns columns into a Parquet group. Everything is optional: a field
// that a source does not have is null, and whether that is right is for
// Validate to say. Groups are ordered by name, as the columns are.
func (t *table) group(columns []*ocsf.Column, prefix string) (parquet.Group, error) {
	g := parquet.Group{}
	for _, c := range columns {
		n, err := t.node(c, prefix+c.Name)
		if err != nil {
			return nil, err
		}
		g[c.Name] = parquet.Optional(n)
	}
	return g, nil
}

// node is the Parquet type of a column; at is its path as the file has it.
func (t *table) node(c *ocsf.Column, at string) (parquet.Node, error) {
	switch c.Type {
	case ocsf.ColBool:
		return parquet.Leaf(parquet.BooleanType), nil
	case ocsf.ColInt32:
		return parquet.Int(32), nil
	case ocsf.ColInt64:
		return parquet.Int(64), nil
	case ocsf.ColDouble:
		return parquet.Leaf(parquet.DoubleType), nil
	case ocsf.ColTimestamp:
		return parquet.Timestamp(parquet.Millisecond), nil
	case ocsf.ColJSON:
		t.noStats = append(t.noStats, at)
		return parquet.String(), nil
	case ocsf.ColString:
		if free[c.Name] {
			t.noStats = append(t.noStats, at)
		}
		if repeats(c) {
			return parquet.Encoded(parquet.String(), &parquet.RLEDictionary), nil
		}
		return parquet.String(), nil
	case ocsf.ColGroup:
		return t.group(c.Fields, at+".")
	case ocsf.ColList:
		n, err := t.node(c.Fields[0], at+".list.element")
		if err != nil {
			return nil, err
		}
		return parquet.List(parquet.Optional(n)), nil
	case ocsf.ColMap:
		t.noStats = append(t.noStats, at+".key_value.value")
		return parquet.Map(parquet.Encoded(parquet.String(), &parquet.RLEDictionary), parquet.String()), nil
	}
	return nil, fmt.Errorf("column %s has unknown type %d", at, c.Type)
}

// free are texts as long as people or machines care to write: bounds of them
// would fill the footer and help no query.
var free = map[string]bool{
	"message": true, "raw_data": true, "desc": true, "cmd_line": true, "status_detail": true, "comment": true,
	"user_agent": true, "url_string": true, "original_time": true, "query_string": true, "value": true,
}

// few are texts with few values in a file, for which a dictionary is shorter
// than the text and quick to build. A dictionary of what differs in every
// event costs more time than everything else.
var few = map[string]bool{
	"version": true, "vendor_name": true, "lang": true, "profiles": true, "labels": true, "event_code": true,
	"tenant_uid": true, "log_name": true, "log_provider": true, "type": true, "class_name": true, "category_name": true,
	"type_name": true, "region": true, "country": true, "continent": true, "provider": true, "domain": true,
	"http_method": true, "protocol_name": true, "direction": true, "operation": true, "os": true, "algorithm": true,
}

// repeats says whether a column gets a dictionary: captions of enumerations,
// and few.
func repeats(c *ocsf.Column) bool {
	if c.Attr == nil { // of a list
		return few[c.Path[strings.LastIndexByte(c.Path, '.')+1:]]
	}
	return few[c.Name] || c.Attr.Enum != nil
}

// leaf looks a leaf up by its dotted path in the file.
func (t *table) leaf(at string) (parquet.LeafColumn, error) {
	l, ok := t.schema.Lookup(strings.Split(at, ".")...)
	if !ok {
		return l, fmt.Errorf("lake: %s has no column %s", t.class.Name, at)
	}
	return l, nil
}
