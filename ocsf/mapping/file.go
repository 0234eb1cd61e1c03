package mapping

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v4"

	"nagare/ocsf"
	"nagare/ocsf/expr"
)

// maxFile bounds a mapping file.
const maxFile = 4 << 20

// A file is a mapping file as YAML nodes, which know their places.
type file struct {
	name string
	keys map[string]*yaml.Node
	// source is the node of the source's name; nil in a file of tables.
	source *yaml.Node
	tables map[string]*expr.Table
}

// The keys of a file, of a product, an entry, an each and a case.
var (
	fileKeys    = []string{"source", "ocsf", "products", "accepts", "split", "include", "zone", "uid", "time", "drop", "hash", "tables", "events", "cases"}
	productKeys = []string{"vendor_name", "name", "version", "feature", "uid"}
	entryKeys   = []string{"when", "product", "class", "activity", "unknown", "set", "each"}
	eachKeys    = []string{"path", "in", "as", "when", "set"}
	caseKeys    = []string{"file", "golden", "at"}
)

// shared says whether the file only lends its tables.
func (f *file) shared() bool { return f.source == nil }

// A loader collects the problems of all files.
type loader struct {
	layouts  *ocsf.Layouts
	files    map[string]*file
	problems []Problem
	noted    map[Problem]bool
	ofFile   map[string]*counted
	mistakes int // problems that are no warnings, those that are not kept too
}

// maxProblems bounds the problems of a file that are listed: nobody reads
// more, and one wrong table or alias may make any number of them.
const maxProblems = 1000

// counted is how many problems a file has.
type counted struct {
	kept, more int
	mistake    bool // among those that are not kept
}

// at notes a problem at a node.
func (l *loader) at(file string, n *yaml.Node, code, message, suggestion string) {
	p := Problem{File: file, Code: code, Message: message, Suggestion: suggestion}
	if n != nil {
		p.Line, p.Column = n.Line, n.Column
	}
	l.note(p)
}

// note adds a problem once: a part that several entries share is compiled for
// each of them.
func (l *loader) note(p Problem) {
	if l.noted[p] {
		return
	}
	if l.noted == nil {
		l.noted, l.ofFile = map[Problem]bool{}, map[string]*counted{}
	}
	n := l.ofFile[p.File]
	if n == nil {
		n = &counted{}
		l.ofFile[p.File] = n
	}
	if !p.Warning {
		l.mistakes++
	}
	if n.kept == maxProblems {
		n.more++ // one that is said again counts again: to know them all would be no bound
		n.mistake = n.mistake || !p.Warning
		return
	}
	n.kept++
	l.noted[p] = true
	l.problems = append(l.problems, p)
}

// listed are the problems in the order of files and lines, with what is left
// out behind those of its file.
func (l *loader) listed() []Problem {
	slices.SortStableFunc(l.problems, func(a, b Problem) int {
		if a.File != b.File {
			return strings.Compare(a.File, b.File)
		}
		if a.Line != b.Line {
			return a.Line - b.Line
		}
		return a.Column - b.Column
	})
	var out []Problem
	for i, p := range l.problems {
		out = append(out, p)
		n := l.ofFile[p.File]
		if n.more > 0 && (i+1 == len(l.problems) || l.problems[i+1].File != p.File) {
			out = append(out, Problem{File: p.File, Line: p.Line, Column: p.Column, Code: "too-many", Message: fmt.Sprintf("and %d more", n.more), Warning: !n.mistake})
		}
	}
	return out
}

// decode reads the YAML of a file and its tables.
func (l *loader) decode(in File) *file {
	f := &file{name: in.Name, tables: map[string]*expr.Table{}}
	if len(in.Data) > maxFile {
		l.at(in.Name, nil, "too-large", fmt.Sprintf("%d bytes; a mapping file has at most %d", len(in.Data), maxFile), "")
		return nil
	}
	var doc, second yaml.Node
	dec := yaml.NewDecoder(bytes.NewReader(in.Data))
	if err := dec.Decode(&doc); err != nil && !errors.Is(err, io.EOF) {
		l.syntax(in.Name, err)
		return nil
	}
	if err := dec.Decode(&second); err == nil {
		l.at(in.Name, &second, "syntax", "a second YAML document begins here: a mapping file is one", "write each source into a file of its own")
		return nil
	} else if !errors.Is(err, io.EOF) {
		l.syntax(in.Name, err)
		return nil
	}
	if doc.Kind == yaml.DocumentNode && len(doc.Content) > 0 {
		doc = *doc.Content[0]
	}
	if doc.Kind != yaml.MappingNode {
		l.at(in.Name, nil, "syntax", "a mapping file is a map with the key source", "")
		return nil
	}
	if !l.aliases(f.name, &doc) {
		return nil
	}
	f.keys = l.fields(f.name, &doc, fileKeys)
	f.source = f.keys["source"]
	if f.source == nil {
		for _, k := range fileKeys {
			if n := f.keys[k]; n != nil && k != "tables" {
				l.at(f.name, n, "missing-key", fmt.Sprintf("%q needs the key source beside it", k), "a file without source holds only tables")
			}
		}
	}
	for _, p := range l.pairs(f.name, f.keys["tables"]) {
		f.tables[p.key.Value] = l.table(f.name, p.key.Value, p.value)
	}
	return f
}

var yamlLine = regexp.MustCompile(`line (\d+)(?:, column (\d+))?:? ?`)

// syntax notes what the YAML parser says.
func (l *loader) syntax(name string, err error) {
	p := Problem{File: name, Code: "syntax", Message: strings.TrimPrefix(err.Error(), "yaml: ")}
	if m := yamlLine.FindStringSubmatch(p.Message); m != nil {
		p.Line, _ = strconv.Atoi(m[1])
		p.Column, _ = strconv.Atoi(m[2])
		p.Message = strings.TrimSpace(strings.Replace(p.Message, m[0], "", 1))
	}
	l.note(p)
}

// A pair is one entry of a YAML map.
type pair struct {
	key, value *yaml.Node
	merged     bool // by <<: what stands here itself goes first
}

// pairs are the entries of a map; other nodes are a problem, nil is empty.
func (l *loader) pairs(name string, n *yaml.Node) []pair {
	n = deref(n)
	if n == nil || n.Tag == "!!null" {
		return nil
	}
	if n.Kind != yaml.MappingNode {
		l.at(name, n, "wrong-type", "a map must stand here", "")
		return nil
	}
	var out, merged []pair
	seen := map[string]bool{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		k := n.Content[i]
		if k.Value == "<<" {
			for _, m := range list(n.Content[i+1]) {
				merged = append(merged, l.pairs(name, m)...)
			}
			continue
		}
		if k.Kind != yaml.ScalarNode {
			l.at(name, k, "wrong-type", "a key must be a word", "")
			continue
		}
		if seen[k.Value] {
			l.at(name, k, "duplicate-key", fmt.Sprintf("%q is here twice", k.Value), "")
			continue
		}
		seen[k.Value] = true
		out = append(out, pair{k, deref(n.Content[i+1]), false})
	}
	for _, p := range merged { // what stands here itself goes first
		if !seen[p.key.Value] {
			seen[p.key.Value] = true
			p.merged = true
			out = append(out, p)
		}
	}
	return out
}

// fields are the entries of a map that may only have certain keys.
func (l *loader) fields(name string, n *yaml.Node, allowed []string) map[string]*yaml.Node {
	out := map[string]*yaml.Node{}
	for _, p := range l.pairs(name, n) {
		if !slices.Contains(allowed, p.key.Value) {
			l.at(name, p.key, "unknown-key", fmt.Sprintf("no key %q here", p.key.Value), nearest(p.key.Value, allowed))
			continue
		}
		out[p.key.Value] = p.value
	}
	return out
}

// list are the elements of a list; a single value is a list of one.
func list(n *yaml.Node) []*yaml.Node {
	n = deref(n)
	if n == nil || n.Tag == "!!null" {
		return nil
	}
	if n.Kind != yaml.SequenceNode {
		return []*yaml.Node{n}
	}
	out := make([]*yaml.Node, len(n.Content))
	for i, c := range n.Content {
		out[i] = deref(c)
	}
	return out
}

func deref(n *yaml.Node) *yaml.Node {
	for i := 0; n != nil && n.Kind == yaml.AliasNode && i < 10; i++ {
		n = n.Alias
	}
	return n
}

// text is a plain word of the file: not an expression.
func (l *loader) text(name string, n *yaml.Node) string {
	if n == nil {
		return ""
	}
	if n.Kind != yaml.ScalarNode || n.Tag == "!!null" {
		l.at(name, n, "wrong-type", "a text must stand here", "")
		return ""
	}
	return n.Value
}

// table reads a lookup table: rows of scalars or of fields.
func (l *loader) table(file, name string, n *yaml.Node) *expr.Table {
	rows := map[string]expr.Row{}
	folded := map[string]*yaml.Node{}
	for _, p := range l.pairs(file, n) {
		if first := folded[strings.ToLower(p.key.Value)]; first != nil {
			l.at(file, p.key, "duplicate-key", fmt.Sprintf("%q is %q of line %d: keys match in any case", p.key.Value, first.Value, first.Line), "")
			continue
		}
		folded[strings.ToLower(p.key.Value)] = p.key
		row := expr.Row{}
		if p.value.Kind == yaml.MappingNode {
			for _, f := range l.pairs(file, p.value) {
				if v, ok := l.scalar(file, f.value); ok {
					row[f.key.Value] = v
				}
			}
		} else if v, ok := l.scalar(file, p.value); ok {
			row[""] = v
		}
		rows[p.key.Value] = row
	}
	return expr.NewTable(name, rows)
}

// scalar is a constant of a table.
func (l *loader) scalar(file string, n *yaml.Node) (expr.RawValue, bool) {
	switch {
	case n.Kind == yaml.SequenceNode:
		var elements []expr.RawValue
		for _, c := range list(n) {
			if e, ok := l.scalar(file, c); ok {
				elements = append(elements, e)
			}
		}
		return expr.ListValue(elements), true
	case n.Kind != yaml.ScalarNode:
		l.at(file, n, "wrong-type", "a table holds texts, numbers and booleans, or fields with these", "")
		return expr.RawValue{}, false
	}
	switch n.Tag {
	case "!!bool":
		b, _ := strconv.ParseBool(strings.ToLower(n.Value))
		if b {
			return expr.RawValue{Kind: expr.RawBool, Num: 1}, true
		}
		return expr.RawValue{Kind: expr.RawBool}, true
	case "!!int":
		if i, err := strconv.ParseInt(n.Value, 10, 64); err == nil {
			return expr.RawValue{Kind: expr.RawInt, Num: i}, true
		}
	case "!!float":
		if f, err := strconv.ParseFloat(n.Value, 64); err == nil {
			return expr.FloatValue(f), true
		}
	case "!!null":
		return expr.RawValue{}, false
	}
	return expr.RawValue{Kind: expr.RawText, Text: n.Value}, true
}

// nearest says what the writer may have meant.
func nearest(name string, names []string) string {
	if n := ocsf.Nearest(name, names); n != "" {
		return fmt.Sprintf("did you mean %q?", n)
	}
	if len(names) == 0 || len(names) > 24 {
		return ""
	}
	return "there are: " + strings.Join(names, ", ")
}
