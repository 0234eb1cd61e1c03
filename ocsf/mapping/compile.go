package mapping

import (
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v4"

	"nagare/ocsf"
	"nagare/ocsf/expr"
	"nagare/ocsf/rawjson"
)

// A compiler compiles one file.
type compiler struct {
	*loader
	f       *file
	m       *Mapping
	raw     *expr.Raw
	vars    []string
	layout  *ocsf.Layout   // of the entry or the row at hand
	elem    []string       // the path of the elements of the each at hand
	line    int            // where the expression at hand stands in the file
	set     map[string]int // the slots set so far in layout
	prefix  string         // before paths of layout: of rows, where they are
	memos   map[string]int // see once
	product map[string]map[string]string
	rescues map[string]*rescue // by product
	always  map[int]bool       // the slots of layout that constants fill

	places map[string]*yaml.Node // where the paths of the entry are set

	usedProducts map[string]bool
}

func (c *compiler) warn(n *yaml.Node, code, message, suggestion string) {
	p := Problem{File: c.f.name, Code: code, Message: message, Suggestion: suggestion, Warning: true}
	p.Line, p.Column = n.Line, n.Column
	c.note(p)
}

func (c *compiler) say(n *yaml.Node, code, message, suggestion string) {
	c.at(c.f.name, n, code, message, suggestion)
}

// compile compiles a mapping file; nil when it has a problem.
func (l *loader) compile(f *file) *Mapping {
	before := l.mistakes
	c := &compiler{loader: l, f: f, product: map[string]map[string]string{}, rescues: map[string]*rescue{}, usedProducts: map[string]bool{}}
	c.m = &Mapping{Name: l.text(f.name, f.source), File: f.name, paths: rawjson.NewPaths(), zone: time.UTC}
	if c.m.Name == "" || strings.ContainsAny(c.m.Name, " /\\") {
		c.say(f.source, "wrong-type", "source must be a word", "")
		return nil
	}
	tables := c.tables()
	c.vars = c.variables()
	raw, err := expr.NewRaw(tables, c.vars...)
	if err != nil {
		c.say(f.source, "internal", err.Error(), "")
		return nil
	}
	c.raw, c.m.raw = raw, raw
	raw.ParseTime = c.m.parseTime
	if z := f.keys["zone"]; z != nil {
		if zone, err := expr.Zone(l.text(f.name, z)); err != nil {
			c.say(z, "wrong-value", err.Error(), `zones are named as "UTC", "Asia/Tokyo"`)
		} else {
			c.m.zone = zone
		}
	}
	c.products()
	c.head()
	if f.keys["ocsf"] != nil {
		c.natives()
	} else {
		c.entries()
	}
	c.cases()
	c.reach(c.m.entries)
	c.unused()
	if l.mistakes > before {
		return nil
	}
	c.m.dispatch = newDispatch(c.m.paths, c.m.entries)
	return c.m
}

// tables are the file's own and the included ones.
func (c *compiler) tables() map[string]*expr.Table {
	tables := map[string]*expr.Table{}
	for _, n := range list(c.f.keys["include"]) {
		name := c.text(c.f.name, n)
		other := c.files[sibling(c.f.name, name)]
		if other == nil {
			var names []string
			for k, f := range c.files {
				if f.shared() {
					names = append(names, k[strings.LastIndexByte(k, '/')+1:])
				}
			}
			slices.Sort(names)
			c.say(n, "unknown-file", fmt.Sprintf("no file %q to include", name), nearest(name, names))
			continue
		}
		for k, t := range other.tables {
			if _, ok := tables[k]; ok {
				c.say(n, "duplicate-table", fmt.Sprintf("table %q of %s is there already", k, name), "")
			}
			tables[k] = t
		}
	}
	for k, t := range c.f.tables {
		if _, ok := tables[k]; ok {
			c.say(c.f.keys["tables"], "duplicate-table", fmt.Sprintf("table %q is also in an included file", k), "give it another name")
		}
		tables[k] = t
	}
	return tables
}

// sibling is the name of a file beside another.
func sibling(file, name string) string {
	return file[:strings.LastIndexByte(file, '/')+1] + name
}

// variables are the names that each gives its elements.
func (c *compiler) variables() []string {
	var vars []string
	for _, e := range list(c.f.keys["events"]) {
		if e.Kind != yaml.MappingNode {
			continue
		}
		for i := 0; i+1 < len(e.Content); i += 2 {
			if e.Content[i].Value != "each" {
				continue
			}
			for _, each := range list(e.Content[i+1]) {
				for k := 0; k+1 < len(each.Content); k += 2 {
					if v := each.Content[k+1].Value; each.Content[k].Value == "as" && !slices.Contains(vars, v) && isWord(v) {
						vars = append(vars, v)
					}
				}
			}
		}
	}
	return vars
}

func isWord(s string) bool {
	for i := 0; i < len(s); i++ {
		c := s[i]
		if !(c == '_' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || i > 0 && c >= '0' && c <= '9') {
			return false
		}
	}
	return s != "" && !slices.Contains([]string{"raw", "meta", "tables", "true", "false", "null", "in"}, s)
}

func (c *compiler) products() {
	for _, p := range c.pairs(c.f.name, c.f.keys["products"]) {
		fields := c.fields(c.f.name, p.value, productKeys)
		out := map[string]string{}
		for k, n := range fields {
			out[k] = c.text(c.f.name, n)
		}
		for _, k := range []string{"vendor_name", "name"} {
			if out[k] == "" {
				c.say(p.key, "missing-key", fmt.Sprintf("product %q has no %s", p.key.Value, k), "OCSF requires it of every event")
			}
		}
		c.product[p.key.Value] = out
	}
	if len(c.product) == 0 {
		c.say(c.f.source, "missing-key", "the file has no products", "products: {name: {vendor_name: …, name: …}}")
	}
}

// expression compiles the CEL text of a node; nil after a problem.
func (c *compiler) expression(n *yaml.Node) *expr.RawExpr {
	if n == nil {
		return nil
	}
	if n.Kind != yaml.ScalarNode || n.Tag == "!!null" {
		c.say(n, "wrong-type", "an expression must stand here", "")
		return nil
	}
	c.line = n.Line
	x, found := c.raw.Compile(n.Value)
	for _, i := range found {
		p := Problem{File: c.f.name, Code: "expression", Message: i.Message, Suggestion: i.Suggestion}
		p.Line, p.Column = place(n, i.Line, i.Column)
		switch text := strings.TrimSpace(n.Value); {
		case strings.Contains(i.Message, "undeclared reference") && isWord(text):
			p.Suggestion = fmt.Sprintf("a text constant has quotes of its own: \"'%s'\"; a field of the event is raw.%s", n.Value, text)
		case strings.HasPrefix(text, ".") || strings.HasPrefix(text, "$."):
			p.Suggestion = fmt.Sprintf("a field of the event is raw%s", strings.TrimPrefix(text, "$"))
		}
		c.note(p)
	}
	if x != nil {
		c.checkLookups(n, x)
	}
	return x
}

// place is where a line and column of a scalar's text lie in the file.
func place(n *yaml.Node, line, column int) (int, int) {
	switch {
	case n.Style&(yaml.LiteralStyle|yaml.FoldedStyle) != 0:
		return n.Line + line, column
	case line > 1:
		return n.Line + line - 1, column
	case n.Style&(yaml.DoubleQuotedStyle|yaml.SingleQuotedStyle) != 0:
		return n.Line, n.Column + column
	}
	return n.Line, n.Column + column - 1
}

// checkLookups checks that the field a lookup reads is one of its table's.
func (c *compiler) checkLookups(n *yaml.Node, x *expr.RawExpr) {
	if x.Op == expr.OpLookup {
		var fields []string
		found := len(x.Table.Rows) == 0
		for _, row := range x.Table.Rows {
			for f := range row {
				found = found || f == x.Name
				if f != "" && !slices.Contains(fields, f) {
					fields = append(fields, f)
				}
			}
		}
		slices.Sort(fields)
		if !found {
			p := Problem{File: c.f.name, Code: "unknown-field", Message: fmt.Sprintf("the rows of table %q have no field %q", x.Table.Name, x.Name), Suggestion: nearest(x.Name, fields)}
			if x.Name == "" {
				p.Message = fmt.Sprintf("the rows of table %q have fields: name one", x.Table.Name)
			}
			p.Line, p.Column = place(n, x.Line, x.Column)
			c.note(p)
		}
	}
	c.said(n, x)
	for _, a := range x.Args {
		c.checkLookups(n, a)
	}
}

// condition compiles a node that must be true or false.
func (c *compiler) condition(n *yaml.Node) *expr.RawExpr {
	if n != nil && n.Kind == yaml.ScalarNode && n.Tag == "!!bool" {
		n = &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: strings.ToLower(n.Value), Line: n.Line, Column: n.Column}
	}
	x := c.expression(n)
	if x == nil {
		return nil
	}
	if x.Type != expr.RawBool && x.Type != expr.RawAny {
		c.say(n, "wrong-type", "a condition must be true or false", "")
		return nil
	}
	return x
}

// productOf is the product of an entry.
func (c *compiler) productOf(fields map[string]*yaml.Node, n *yaml.Node) (string, bool) {
	if p := fields["product"]; p != nil {
		name := c.text(c.f.name, p)
		if _, ok := c.product[name]; !ok {
			c.say(p, "unknown-product", fmt.Sprintf("no product %q", name), nearest(name, slices.Sorted(maps.Keys(c.product))))
			return "", false
		}
		return name, true
	}
	if len(c.product) != 1 {
		if len(c.product) > 0 { // that there is none was said
			c.say(n, "missing-key", "the file has several products: name one", "product: …")
		}
		return "", false
	}
	for name := range c.product {
		return name, true
	}
	return "", false
}

// productConstants are what a product sets in the layout at hand.
func (c *compiler) productConstants(name string) []constant {
	var out []constant
	for _, k := range productKeys {
		path := "metadata.product." + k
		if k == "feature" {
			path += ".name"
		}
		if slot, err := c.layout.Add(path); err == nil && c.product[name][k] != "" {
			out = append(out, constant{slot, ocsf.TextValue(c.product[name][k])})
		}
	}
	return out
}

func (c *compiler) cases() {
	for _, n := range list(c.f.keys["cases"]) {
		fields := c.fields(c.f.name, n, caseKeys)
		k := Case{Line: n.Line, File: c.text(c.f.name, fields["file"]), Golden: c.text(c.f.name, fields["golden"]), At: caseReceived}
		if at := fields["at"]; at != nil {
			t, err := time.Parse(time.RFC3339, c.text(c.f.name, at))
			if err != nil {
				c.say(at, "wrong-value", fmt.Sprintf("%q is no time", at.Value), "write it as 2026-01-02T15:04:05Z")
			}
			k.At = t
		}
		if k.File == "" || k.Golden == "" {
			c.say(n, "missing-key", "a case needs file and golden", "")
			continue
		}
		if !c.inside(fields["file"]) || !c.inside(fields["golden"]) {
			continue
		}
		c.m.Cases = append(c.m.Cases, k)
	}
}

// inside checks that a case's file is in the folder of the mapping, or below:
// to check or test a mapping that somebody sent must open nothing else.
func (c *compiler) inside(n *yaml.Node) bool {
	if fs.ValidPath(n.Value) && !strings.ContainsAny(n.Value, "\\:") {
		return true
	}
	c.say(n, "wrong-value", fmt.Sprintf("%q is not in the folder of the mapping", n.Value), "name a file in it or below it, as testdata/a.json")
	return false
}
