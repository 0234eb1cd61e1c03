package detect

import (
	"slices"
	"strings"

	"go.yaml.in/yaml/v4"

	"nagare"
	"nagare/ocsf/expr"
)

// A spot is a place in a file, from 1; columns count characters.
type spot struct{ line, column int }

// spots gives each character of a scalar its place in the file, and one more
// for its end. It goes over the text of the file and over the value side by
// side: folding changes only white space, and quotes only what they escape.
func (r *reader) spots(n *yaml.Node) []spot {
	if r.lines == nil {
		for l := range strings.SplitSeq(string(r.file.Data), "\n") {
			r.lines = append(r.lines, []rune(strings.TrimSuffix(l, "\r")))
		}
	}
	c := cursor{lines: r.lines, line: n.Line - 1, column: n.Column - 1}
	switch {
	case n.Style&(yaml.LiteralStyle|yaml.FoldedStyle) != 0:
		c.line, c.column = n.Line, 0 // a block begins below its mark
	case n.Style&yaml.DoubleQuotedStyle != 0:
		c.open('"')
	case n.Style&yaml.SingleQuotedStyle != 0:
		c.open('\'')
	}
	value := []rune(n.Value)
	out := make([]spot, 0, len(value)+1)
	for _, v := range value {
		c.approach(v)
		out = append(out, c.spot())
		c.pass(v)
	}
	return append(out, c.spot())
}

// A cursor walks the text of a file.
type cursor struct {
	lines        [][]rune
	line, column int
	quote        rune
}

func (c *cursor) spot() spot { return spot{c.line + 1, c.column + 1} }

// at is the character i further on this line; a line ends with '\n'.
func (c *cursor) at(i int) rune {
	if c.line < 0 || c.line >= len(c.lines) || c.column+i >= len(c.lines[c.line]) {
		return '\n'
	}
	return c.lines[c.line][c.column+i]
}

// open goes behind the quote that begins a scalar.
func (c *cursor) open(quote rune) {
	c.quote = quote
	for c.at(0) != quote && c.at(0) != '\n' {
		c.column++
	}
	c.column++
}

func isSpace(r rune) bool { return r == ' ' || r == '\n' || r == '\t' }

// approach goes to the character that v came from. White space in a value may
// come from a fold, so it is not looked for.
func (c *cursor) approach(v rune) {
	if isSpace(v) {
		return
	}
	for c.line < len(c.lines) {
		switch {
		case c.at(0) == '\n', c.quote == '"' && c.at(0) == '\\' && c.at(1) == '\n':
			c.line, c.column = c.line+1, 0
		case isSpace(c.at(0)):
			c.column++
		default:
			return
		}
	}
}

// pass goes past what v was written as.
func (c *cursor) pass(v rune) {
	here := c.at(0)
	switch {
	case c.quote == '"' && here == '\\' && c.at(1) != '\n':
		c.column += map[rune]int{'x': 4, 'u': 6, 'U': 10}[c.at(1)]
		if !strings.ContainsRune("xuU", c.at(1)) {
			c.column += 2
		}
	case c.quote == '\'' && here == '\'':
		c.column += 2
	case here != '\n' && (!isSpace(v) || isSpace(here)):
		c.column++
	}
}

// place turns issues of an expression into problems of the file. from is how
// many characters of the scalar come before the expression.
func (r *reader) place(n *yaml.Node, text string, issues []expr.Issue, from int) {
	if len(issues) == 0 {
		return
	}
	spots := r.spots(n)
	for _, i := range issues {
		at := spots[min(max(0, from+offset(text, i.Line, i.Column)), len(spots)-1)]
		r.problems = append(r.problems, nagare.Problem{File: r.file.Name, Line: at.line, Column: at.column, Code: i.Code, Message: i.Message, Suggestion: i.Suggestion})
	}
}

// offset is how many characters come before a line and column of text.
func offset(text string, line, column int) int {
	at := column - 1
	for l := range strings.SplitAfterSeq(text, "\n") {
		if line--; line < 1 {
			break
		}
		at += len([]rune(l))
	}
	return at
}

// node finds the node of a dotted path below n, or the deepest one on the way.
// A path leads through the elements of a list.
func node(n *yaml.Node, path string) *yaml.Node {
	parts := strings.Split(path, ".")
	for len(parts) > 0 {
		next, used := step(n, parts)
		if next == nil {
			break
		}
		n, parts = next, parts[used:]
	}
	return n
}

// step goes to the member of n whose key is the first of parts, or several of
// them with dots between.
func step(n *yaml.Node, parts []string) (*yaml.Node, int) {
	switch n = plain(n); {
	case n == nil:
	case n.Kind == yaml.SequenceNode:
		best, used := (*yaml.Node)(nil), 0
		for _, e := range n.Content {
			if found, u := step(e, parts); u > used || found != nil && len(parts) == u {
				best, used = found, u
			}
		}
		return best, used
	case n.Kind == yaml.MappingNode:
		for i := 0; i+1 < len(n.Content); i += 2 {
			key := strings.Split(n.Content[i].Value, ".")
			if len(key) <= len(parts) && slices.Equal(key, parts[:len(key)]) {
				return n.Content[i+1], len(key)
			}
		}
	}
	return nil, 0
}
